"""A pool: who may be asked, and what is remembered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.health.maxfails import MaxFails
from twistproxy.health.outlier import Outlier
from twistproxy.messages import Health, Outcome, Upstream
from twistproxy.sweep import Sweeper
from twistproxy.upstream.group import Administrative, UpstreamGroup
from twistproxy.upstream.slowstart import SlowStart
from twistproxy.upstream.standing import Active
from twistproxy.upstream.table import FORGET_AFTER, MAX_GONE

BAD = Health(False, "refused")


def url(number: int) -> str:
    return f"http://10.0.0.{number}"


class GroupCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sweeper = Sweeper(self.clock)
        self.sweeper.start()
        self.addCleanup(self.sweeper.stop)

    def make(self, *upstreams: Upstream, **options: Any) -> UpstreamGroup:
        group = UpstreamGroup("web", RoundRobin(), upstreams or [Upstream(url(each)) for each in (1, 2, 3)], **options)
        group.keepTime(self.sweeper, self.clock.seconds)
        return group

    def advance(self, seconds: float) -> None:
        for _ in range(int(seconds)):
            self.clock.advance(1.0)

    def takeDown(self, *upstreams: Upstream) -> None:
        self.check(BAD, *upstreams)

    def check(self, health: Health, *upstreams: Upstream) -> None:
        for each in upstreams:
            self.group.checkedBy(each, {"tcp": Active.UNCHECKED})
            self.group.checked(each, "tcp", health)

    group: UpstreamGroup

    def numbers(self, upstreams: Sequence[Upstream] | None = None) -> str:
        return "".join(each.location.host[-1] for each in (self.group.candidates if upstreams is None else upstreams))


class CandidatesTests(GroupCase):
    def test_theSameObjectUntilSomethingChanges(self) -> None:
        self.group = self.make()
        one, two, _ = self.group.members
        first = self.group.candidates
        self.check(Health(True), one)
        self.assertIs(self.group.candidates, first)
        self.takeDown(two)
        second = self.group.candidates
        self.assertEqual(self.numbers(), "13")
        self.check(Health(False, "reset"), two)
        self.assertEqual((two.state, self.group.candidates is second), ("down: reset", True))

    def test_aDrainedOneTakesItsSessions(self) -> None:
        self.group = self.make()
        one, two, three = self.group.members
        self.group.administer(two, Administrative.DRAIN)
        candidates = self.group.candidates
        self.assertEqual((self.numbers(), candidates.draining), ("13", {two}))
        self.assertNotIn(two, candidates)
        self.assertTrue(candidates.mayBePicked(two))
        self.assertEqual(self.group.without([one]).draining, {two})
        self.assertEqual(self.group.without([one, two]).draining, frozenset())
        self.assertFalse(self.group.without([three]).mayBePicked(three))

    def test_administering(self) -> None:
        self.group = self.make()
        one = self.group.members[0]
        self.group.administer(one, Administrative.DOWN, "new disks")
        self.assertEqual((self.numbers(), one.state), ("23", "maintenance: new disks"))
        self.group.administer(one, Administrative.READY)
        self.assertEqual((self.numbers(), one.state), ("123", "up"))
        self.assertRaises(KeyError, self.group.administer, Upstream(url(9)), Administrative.DOWN)


class PanicTests(GroupCase):
    def test_tooFewAreWell(self) -> None:
        self.group = self.make(*(Upstream(url(each)) for each in range(1, 6)), panicThreshold=50)
        one, two, three, _, five = self.group.members
        self.takeDown(one, two)
        self.assertEqual(self.numbers(), "345")
        self.takeDown(three)
        self.assertEqual(self.numbers(), "12345")
        self.group.administer(five, Administrative.DRAIN)
        self.assertEqual((self.numbers(), one.state), ("1234", "down: refused"))
        self.check(Health(True), two)
        self.assertEqual(self.numbers(), "24")


class SnapshotTests(GroupCase):
    def test_thoseThatStayKeepWhatIsKnown(self) -> None:
        self.group = self.make()
        one, two, _ = self.group.members
        one.inFlight, one.latency = 3, 0.5
        self.takeDown(two)
        self.group.setMembers([Upstream(url(2)), Upstream(url(1), 7, {"zone": "a"}, maxConnections=9)])
        self.assertEqual([each for each in self.group.members], [two, one])
        self.assertEqual((one.weight, one.metadata, one.maxConnections), (7, {"zone": "a"}, 9))
        self.assertEqual((one.inFlight, one.latency, two.state), (3, 0.5, "down: refused"))
        self.assertEqual(self.numbers(), "1")

    def test_aRemovedOneThatComesBackIsKnown(self) -> None:
        self.group = self.make()
        one, two, three = self.group.members
        self.group.administer(three, Administrative.DOWN)
        self.group.setMembers([one, two])
        self.assertEqual((three.state, self.numbers()), ("gone", "12"))
        self.group.setMembers([one, two, Upstream(url(3))])
        self.assertIs(self.group.members[2], three)
        self.assertEqual((three.state, self.numbers()), ("maintenance: by the operator", "12"))

    def test_aRemovedOneIsForgottenOnceNothingRunsThere(self) -> None:
        self.group = self.make()
        one, two, three = self.group.members
        two.inFlight = 1
        self.group.setMembers([one])
        self.advance(FORGET_AFTER + 1)
        self.group.setMembers([one])
        self.assertEqual([self.group.standing(each) is None for each in (one, two, three)], [False, False, True])

    def test_removedOnesAreRememberedWithinALimit(self) -> None:
        self.group = self.make()
        for each in range(2 * MAX_GONE):
            self.group.setMembers([Upstream(f"http://10.0.0.1:{each + 1}")])
        self.assertEqual(len(self.group.table), MAX_GONE + 1)

    def test_theNextGroupKnowsWhatThisOneKnew(self) -> None:
        """A reload."""
        self.group = self.make()
        one, two, _ = self.group.members
        one.inFlight = 5
        self.takeDown(two)
        self.group = self.make(*(Upstream(url(each)) for each in (1, 2, 4)), table=self.group.table)
        self.assertEqual(self.group.members[:2], (one, two))
        self.assertEqual((self.group.members[0].inFlight, self.numbers()), (5, "14"))

    def test_observersOfMembers(self) -> None:
        self.group = self.make()
        seen: list[str] = []
        stop = self.group.observeMembers(lambda: seen.append(self.numbers(self.group.members)))
        self.group.setMembers([Upstream(url(3))])
        stop()
        self.group.setMembers([Upstream(url(4))])
        self.assertEqual(seen, ["3"])

    def test_connectionsThatAnAgentAdvisesHoldOverSnapshots(self) -> None:
        self.group = self.make(Upstream(url(1), maxConnections=10))
        (one,) = self.group.members
        self.group.checkedBy(one, {"agent": Active.UNCHECKED})
        self.group.checked(one, "agent", Health(True, maxConnections=4))
        self.assertEqual(one.maxConnections, 4)
        self.group.setMembers([Upstream(url(1), maxConnections=20)])
        self.assertEqual(one.maxConnections, 4)


class SlowStartTests(GroupCase):
    def make(self, *upstreams: Upstream, **options: Any) -> UpstreamGroup:
        self.slow = SlowStart(10.0, self.clock.seconds, lambda: 0.5)
        return super().make(*upstreams, slowStart=self.slow, **options)

    def shares(self) -> list[float]:
        return [round(self.slow.share(each), 2) for each in self.group.members]

    def test_oneThatComesBackGetsItsShareByAndBy(self) -> None:
        self.group = self.make()
        one = self.group.members[0]
        self.takeDown(one)
        self.advance(5)
        self.check(Health(True), one)
        self.assertEqual((self.shares(), self.numbers(self.group.without(()))), ([0.1, 1.0, 1.0], "23"))
        self.advance(6)
        self.assertEqual((self.shares(), self.numbers(self.group.without(()))), ([0.6, 1.0, 1.0], "123"))
        self.advance(5)
        self.assertEqual((self.numbers(self.group.without(())), dict(self.group.warming)), ("123", {}))

    def test_oneThatWasDrainedIsWarm(self) -> None:
        self.group = self.make()
        one = self.group.members[0]
        for each in Administrative.DRAIN, Administrative.READY:
            self.group.administer(one, each)
        self.assertEqual(self.shares(), [1.0, 1.0, 1.0])

    def test_whatAnAgentWantsOfItsShare(self) -> None:
        self.group = self.make()
        one = self.group.members[0]
        self.check(Health(True, share=0.3), one)
        self.assertEqual((self.shares(), self.numbers(self.group.without(()))), ([0.3, 1.0, 1.0], "23"))
        self.takeDown(one)
        self.check(Health(True), one)
        self.assertEqual(self.shares(), [0.03, 1.0, 1.0])
        self.advance(10)
        self.assertEqual(self.shares(), [0.3, 1.0, 1.0])
        self.check(Health(True, share=0.0), one)
        self.assertEqual((self.numbers(), self.group.candidates.draining), ("23", {one}))
        self.check(Health(True, share=1.0), one)
        self.assertEqual((self.shares(), self.numbers(), dict(self.group.warming)), ([1.0, 1.0, 1.0], "123", {}))


class EjectedWhileDrainingTests(GroupCase):
    def test_itTakesNotEvenItsSessions(self) -> None:
        self.group = self.make(passive=[MaxFails()])
        one = self.group.members[0]
        assert self.group.report is not None
        self.group.report(one, Outcome(one, "connect_refused", 0, None, None, 0.0, 0, 0, False))
        self.group.administer(one, Administrative.DRAIN)
        self.assertEqual((one.state, self.numbers()), ("drained: by the operator", "23"))
        self.assertEqual(self.group.candidates.draining, frozenset())
        self.advance(12)
        self.assertEqual((one.state, self.group.candidates.draining), ("draining: by the operator", {one}))


class TrialTests(GroupCase):
    def setUp(self) -> None:
        super().setUp()
        self.group = self.make(passive=[MaxFails(timeout=10.0)])
        self.one = self.group.members[0]
        self.end("connect_refused", 0.0)
        self.advance(11)
        self.assertEqual(self.group.candidates, self.group.members)
        self.assertEqual(self.group.trials, {self.one})

    def end(self, error: str, took: float) -> None:
        assert self.group.report is not None
        self.group.report(self.one, Outcome(self.one, error, 0 if error else 200, None, took, took, 0, 0, False))

    def test_oneThatLastsIsNotWaitedForForEver(self) -> None:
        """A tunnel, or an upstream that hangs: another trial comes after as long as the ejection was."""
        self.group.picked(self.one)
        self.assertEqual((self.numbers(), self.group.trials), ("23", set()))
        self.advance(8)
        self.assertEqual(self.numbers(), "23")
        self.advance(4)
        self.assertEqual((self.numbers(), self.group.trials), ("123", {self.one}))
        self.group.picked(self.one)
        self.assertEqual(self.numbers(), "23")
        self.end("", 1.0)
        self.assertEqual((self.numbers(), self.one.state), ("123", "up"))

    def test_whatBeganBeforeTellsNothing(self) -> None:
        self.end("connect_refused", 20.0)
        self.end("", 20.0)
        self.assertEqual((self.one.state, self.group.trials), ("trial: connect_refused", {self.one}))
        self.group.picked(self.one)
        self.end("", 20.0)
        self.assertEqual((self.numbers(), self.one.state), ("23", "trial: connect_refused"))
        self.end("", 0.0)
        self.assertEqual((self.numbers(), self.one.state), ("123", "up"))

    def test_whenNobodyElseIsLeft(self) -> None:
        """Rather one on trial than nobody."""
        self.group.picked(self.one)
        for each in self.group.members[1:]:
            self.group.administer(each, Administrative.DOWN)
        self.assertEqual(self.numbers(), "1")


class ReloadTests(GroupCase):
    """A group that takes over from another, at which exchanges still end."""

    def test_whatEndsAtTheOldOneCountsAtTheNewOne(self) -> None:
        self.group = old = self.make(passive=[MaxFails(2)])
        one = old.members[0]
        assert old.report is not None
        old.report(one, Outcome(one, "connect_refused", 0, None, None, 0.0, 0, 0, False))
        self.group = new = self.make(passive=[MaxFails(2)], table=old.table)
        self.assertEqual(self.numbers(), "123")
        old.report(one, Outcome(one, "connect_refused", 0, None, None, 0.0, 0, 0, False))
        self.assertEqual((self.numbers(), one.state), ("23", "ejected: connect_refused"))
        old.retire()
        self.advance(12)
        self.assertEqual((self.numbers(), new.trials), ("123", {one}))

    def test_withoutPassiveChecksNobodyIsLeftOutAnyMore(self) -> None:
        old = self.make(passive=[MaxFails()])
        one = old.members[0]
        assert old.report is not None
        old.report(one, Outcome(one, "connect_refused", 0, None, None, 0.0, 0, 0, False))
        self.assertTrue(one.state.startswith("ejected"))
        self.group = self.make(table=old.table)
        self.assertEqual((self.numbers(), one.state), ("123", "up"))

    def test_whatAPersonWantedStays(self) -> None:
        self.group = old = self.make()
        old.administer(old.members[1], Administrative.DRAIN)
        self.group = self.make(table=old.table)
        self.assertEqual(self.numbers(), "13")


class ManyTests(GroupCase):
    def test_failuresOfManyAreCountedOnce(self) -> None:
        """Whether one more may be ejected is not counted anew for each that fails."""
        self.group = self.make(*(Upstream(f"http://10.0.{each >> 8}.{each & 255}") for each in range(400)), passive=[Outlier(1)])
        assert self.group.report is not None
        for each in self.group.members:
            self.group.report(each, Outcome(each, "upstream_reset", 0, None, None, 0.0, 0, 0, False))
        self.assertEqual(len(self.group.candidates), 360)
        counted: list[object] = []
        self.patch(self.group.table, "members", _Counting(self.group.table.members, counted))
        for each in self.group.members:
            self.group.report(each, Outcome(each, "upstream_reset", 0, None, None, 0.0, 0, 0, False))
        self.assertLessEqual(len(counted), 1)


class _Counting(list[Any]):
    """Counts how often it is gone through."""

    def __init__(self, items: Sequence[Any], counted: list[object]) -> None:
        super().__init__(items)
        self.counted = counted

    def __iter__(self) -> Any:
        self.counted.append(None)
        return super().__iter__()
