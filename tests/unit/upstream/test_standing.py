"""What is known of one upstream, and what follows from it."""

from __future__ import annotations

from itertools import product

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.messages import Health
from twistproxy.upstream.standing import TABLE, Active, Administrative, Passive, Standing, Traffic, rowFor

GOOD, BAD = Health(True), Health(False, "refused")

GOLDEN = """
gone    any    any        any      gone      none
there   ready  unchecked  fit      up        all
there   ready  unchecked  trial    trial     one at a time
there   ready  unchecked  ejected  ejected   when nobody else is left
there   ready  up         fit      up        all
there   ready  up         trial    trial     one at a time
there   ready  up         ejected  ejected   when nobody else is left
there   ready  drain      fit      draining  of sessions it has
there   ready  drain      trial    draining  of sessions it has
there   ready  drain      ejected  drained   none
there   ready  down       any      down      none
there   ready  maintenance any     maintenance none
there   drain  unchecked  fit      draining  of sessions it has
there   drain  unchecked  trial    draining  of sessions it has
there   drain  unchecked  ejected  drained   none
there   drain  up         fit      draining  of sessions it has
there   drain  up         trial    draining  of sessions it has
there   drain  up         ejected  drained   none
there   drain  drain      fit      draining  of sessions it has
there   drain  drain      trial    draining  of sessions it has
there   drain  drain      ejected  drained   none
there   drain  down       any      down      none
there   drain  maintenance any     maintenance none
there   down   any        any      maintenance none
"""


class TableTests(SynchronousTestCase):
    def test_everyCombination(self) -> None:
        golden = {}
        for line in GOLDEN.strip().splitlines():
            presence, administrative, active, passive, state, traffic = line.split(None, 5)
            for facts in product(
                [presence == "there"],
                Administrative if administrative == "any" else [Administrative(administrative)],
                Active if active == "any" else [Active(active)],
                Passive if passive == "any" else [Passive(passive)],
            ):
                self.assertNotIn(facts, golden)
                golden[facts] = (state, Traffic(traffic))
        every = set(product([True, False], Administrative, Active, Passive))
        self.assertEqual(set(golden), every)
        for facts in every:
            row = rowFor(*facts)
            self.assertEqual((row.state, row.traffic), golden[facts], facts)

    def test_noRowIsInVain(self) -> None:
        used = {rowFor(*facts) for facts in product([True, False], Administrative, Active, Passive)}
        self.assertEqual(used, set(TABLE))


class StandingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.standing = Standing(0.0, isFirst=True)

    @property
    def state(self) -> str:
        return self.standing.verdict.state

    def test_inTheBeginning(self) -> None:
        self.assertEqual((self.state, self.standing.verdict.traffic, self.standing.changes), ("up", Traffic.ALL, 0))

    def test_fallAndRise(self) -> None:
        """HAProxy's example: rise 2, fall 3."""
        self.standing.checkedBy({"tcp": Active.UNCHECKED}, 0.0)
        states = ""
        for now, word in enumerate("--+---+-++--", 1):
            self.standing.checked("tcp", GOOD if word == "+" else BAD, float(now), rise=2, fall=3)
            states += "d" if self.state == "down: refused" else "u"
        self.assertEqual(states, "uuuuudddduuu")
        self.assertEqual((self.standing.changes, self.standing.since), (2, 10.0))
        record = self.standing.checks["tcp"]
        self.assertEqual((record.runs, record.failures, record.failed, record.lastAt), (12, 8, 2, 12.0))

    def test_downUntilTheFirstCheck(self) -> None:
        self.standing.checkedBy({"tcp": Active.DOWN}, 0.0)
        self.assertEqual(self.state, "down: not checked yet")
        self.standing.checked("tcp", GOOD, 1.0, rise=3, fall=3)
        self.assertEqual(self.state, "up")

    def test_downWhenTheFirstCheckFails(self) -> None:
        self.standing.checkedBy({"tcp": Active.DOWN}, 0.0)
        self.standing.checked("tcp", BAD, 1.0, rise=2, fall=3)
        self.assertEqual(self.state, "down: refused")
        self.standing.checked("tcp", GOOD, 2.0, rise=2, fall=3)
        self.assertEqual(self.standing.verdict.row.state, "down")
        self.standing.checked("tcp", GOOD, 3.0, rise=2, fall=3)
        self.assertEqual(self.state, "up")

    def test_theWorstOfSeveralChecks(self) -> None:
        self.standing.checkedBy({"one": Active.UNCHECKED, "two": Active.UNCHECKED}, 0.0)
        self.standing.checked("one", GOOD, 1.0)
        self.standing.checked("two", BAD, 1.0)
        self.assertEqual(self.state, "down: refused")
        self.standing.checkedBy({"one": Active.UNCHECKED}, 2.0)
        self.assertEqual(self.state, "up")

    def test_aCheckThatIsNotWantedAnyMoreCountsForNothing(self) -> None:
        self.standing.checkedBy({"one": Active.UNCHECKED}, 0.0)
        self.assertFalse(self.standing.checked("two", BAD, 1.0))
        self.assertEqual(self.state, "up")

    def test_anAgentsAdviceHoldsUntilTheNext(self) -> None:
        self.standing.checkedBy({"agent": Active.UNCHECKED}, 0.0)
        tell = self.standing.checked
        tell("agent", Health(True, "leaving", advice="drain", isInconclusive=True), 1.0)
        self.assertEqual(self.state, "draining: leaving")
        tell("agent", Health(True, "75%", share=0.75, isInconclusive=True), 2.0)
        self.assertEqual((self.standing.verdict.row.state, self.standing.advisedShare), ("draining", 0.75))
        tell("agent", Health(False, "broken"), 3.0)
        self.assertEqual(self.state, "down: broken")
        tell("agent", Health(True), 4.0)
        self.assertEqual(self.standing.verdict.row.state, "draining")
        tell("agent", Health(True, "disks", advice="maint", isInconclusive=True), 5.0)
        self.assertEqual(self.state, "maintenance: disks")
        tell("agent", Health(True, advice="ready", isInconclusive=True), 6.0)
        self.assertEqual(self.state, "up")

    def test_aShareOfNothingDrains(self) -> None:
        self.standing.checkedBy({"agent": Active.UNCHECKED}, 0.0)
        self.standing.checked("agent", Health(True, share=0.0), 1.0)
        self.assertEqual(self.state, "draining: its weight is 0%")
        self.standing.checked("agent", Health(True, share=0.5), 2.0)
        self.assertEqual((self.state, self.standing.advisedShare), ("up", 0.5))

    def test_whatAPersonWants(self) -> None:
        self.assertTrue(self.standing.administer(Administrative.DRAIN, 1.0))
        self.assertEqual(self.state, "draining: by the operator")
        self.assertTrue(self.standing.administer(Administrative.DOWN, 2.0, "new disks"))
        self.assertEqual(self.state, "maintenance: new disks")
        self.assertFalse(self.standing.administer(Administrative.DOWN, 3.0, "old disks"))
        self.assertEqual((self.state, self.standing.since), ("maintenance: old disks", 2.0))
        self.assertTrue(self.standing.administer(Administrative.READY, 4.0))
        self.assertEqual(self.state, "up")

    def test_whatAPersonWantsComesBeforeWhatChecksFind(self) -> None:
        self.standing.checkedBy({"tcp": Active.UNCHECKED}, 0.0)
        self.standing.administer(Administrative.DOWN, 1.0)
        self.standing.checked("tcp", GOOD, 2.0)
        self.assertEqual(self.state, "maintenance: by the operator")

    def test_anEjectionEnds(self) -> None:
        self.assertTrue(self.standing.eject(30.0, 100.0, "5 times 5xx"))
        self.assertEqual((self.state, self.standing.ejectedUntil), ("ejected: 5 times 5xx", 130.0))
        self.assertFalse(self.standing.timePassed(129.0))
        self.assertTrue(self.standing.timePassed(130.0))
        self.assertEqual((self.state, self.standing.ejections, self.standing.ejectedUntil), ("up", 1, None))

    def test_anEjectionEndsInATrial(self) -> None:
        self.standing.eject(10.0, 0.0, "refused", hasTrial=True)
        self.standing.timePassed(10.0)
        self.assertEqual((self.state, self.standing.verdict.traffic), ("trial: refused", Traffic.ONE))
        self.standing.tried(10.0)
        self.assertTrue(self.standing.isTried)
        self.standing.trialEnded(False, 11.0)
        self.assertEqual((self.state, self.standing.isTried), ("trial: refused", False))
        self.standing.tried(10.0)
        self.assertTrue(self.standing.trialEnded(True, 12.0))
        self.assertEqual((self.state, self.standing.isTried), ("up", False))

    def test_aGoodCheckEndsAnEjection(self) -> None:
        self.standing.checkedBy({"tcp": Active.UNCHECKED}, 0.0)
        self.standing.eject(30.0, 1.0)
        self.standing.checked("tcp", Health(True, isInconclusive=True), 2.0)
        self.assertEqual(self.state, "ejected")
        self.standing.checked("tcp", BAD, 3.0, fall=3)
        self.assertEqual(self.state, "ejected")
        self.assertTrue(self.standing.checked("tcp", GOOD, 4.0))
        self.assertEqual(self.state, "up")

    def test_goneAndBack(self) -> None:
        self.standing.administer(Administrative.DRAIN, 1.0)
        self.assertTrue(self.standing.removed(2.0))
        self.assertEqual(self.state, "gone")
        self.assertTrue(self.standing.appeared(3.0))
        self.assertEqual(self.state, "draining: by the operator")


class SlowStartTests(SynchronousTestCase):
    """When an upstream starts slowly."""

    def test_notAtTheStart(self) -> None:
        self.assertFalse(Standing(0.0, isFirst=True).startsSlowly)

    def test_whenFoundLater(self) -> None:
        self.assertTrue(Standing(50.0).startsSlowly)

    def test_afterAFailure(self) -> None:
        standing = Standing(0.0, isFirst=True)
        standing.checkedBy({"tcp": Active.UNCHECKED}, 0.0)
        standing.checked("tcp", BAD, 1.0)
        self.assertFalse(standing.startsSlowly)
        standing.checked("tcp", GOOD, 100.0)
        self.assertTrue(standing.startsSlowly)

    def test_notAfterWaitingForTheFirstCheckAtTheStart(self) -> None:
        standing = Standing(0.0, isFirst=True)
        standing.checkedBy({"tcp": Active.DOWN}, 0.0)
        standing.checked("tcp", GOOD, 1.0)
        self.assertFalse(standing.startsSlowly)
        standing.checked("tcp", BAD, 2.0)
        standing.checked("tcp", GOOD, 100.0)
        self.assertTrue(standing.startsSlowly)

    def test_afterAnEjection(self) -> None:
        standing = Standing(0.0, isFirst=True)
        standing.eject(30.0, 0.0)
        standing.timePassed(30.0)
        self.assertTrue(standing.startsSlowly)

    def test_oneThatWasDrainedIsWarm(self) -> None:
        standing = Standing(0.0, isFirst=True)
        standing.administer(Administrative.DRAIN, 1.0)
        standing.administer(Administrative.READY, 2.0)
        self.assertFalse(standing.startsSlowly)

    def test_oneThatWasInMaintenanceIsNot(self) -> None:
        standing = Standing(0.0, isFirst=True)
        standing.administer(Administrative.DOWN, 1.0)
        standing.administer(Administrative.READY, 2.0)
        self.assertTrue(standing.startsSlowly)
