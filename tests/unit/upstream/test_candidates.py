"""Who may be asked: tiers, backups, panic."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.messages import Upstream
from twistproxy.upstream.candidates import Candidates, Tiers


def member(name: str, priority: object = None, backup: bool = False, state: str = "up") -> Upstream:
    made = Upstream(f"http://{name}", metadata={} if priority is None else {"priority": priority}, backup=backup)
    made.state = state
    return made


def names(upstreams: Iterable[Upstream]) -> str:
    return "".join(each.location.host for each in upstreams)


class CandidatesTests(SynchronousTestCase):
    def test_isASequenceWithAFastIn(self) -> None:
        a, b = member("a"), member("b")
        made = Candidates([a])
        self.assertEqual((made[0], len(made), a in made, b in made), (a, 1, True, False))


class TierTests(SynchronousTestCase):
    def test_withoutPrioritiesThereIsOneTier(self) -> None:
        a, b, c = members = [member(each) for each in "abc"]
        tiers = Tiers(members)
        self.assertEqual(names(tiers.first), "abc")
        self.assertEqual([names(tiers.without(tried)) for tried in ((b,), (a, c), (a, b, c))], ["ac", "b", ""])

    def test_theLowestPriorityFirst(self) -> None:
        a, b, c, d = members = [member("a", 20), member("b", 10), member("c", 10), member("d")]
        tiers = Tiers(members)
        self.assertEqual(names(tiers.first), "d")
        steps = [names(tiers.without(tried)) for tried in ((d,), (d, b), (d, b, c), (d, b, c, a))]
        self.assertEqual(steps, ["bc", "c", "a", ""])

    def test_nextTierWhenAllOfTheFirstAreDown(self) -> None:
        self.assertEqual(names(Tiers([member("a", 1, state="down: x"), member("b", 2), member("c", 2)]).first), "bc")

    def test_backupsComeLastWhateverTheirPriority(self) -> None:
        a, b = members = [member("a", 0, backup=True), member("b", 9)]
        tiers = Tiers(members)
        self.assertEqual(names(tiers.first), "b")
        self.assertIs(tiers.without((b,))[0], a)
        b.state = "down: x"
        self.assertEqual(names(Tiers(members).first), "a")

    def test_anUntouchedTierIsTheSameObject(self) -> None:
        """So that what a balancer keeps by its identity holds for the next request."""
        a, b, c = member("a", 1), member("b", 2), member("c", 2)
        tiers = Tiers([a, b, c])
        self.assertIs(tiers.without((a,)), tiers.without((a,)))

    def test_nonsenseIsNoPriority(self) -> None:
        self.assertEqual(names(Tiers([member("a", "first"), member("b")]).first), "ab")

    def test_nobody(self) -> None:
        self.assertEqual((names(Tiers([]).first), names(Tiers([]).without(()))), ("", ""))


class PanicTests(SynchronousTestCase):
    def test_fewerThanTheThreshold(self) -> None:
        up, down = [member(each) for each in "ab"], [member(each, state="down: x") for each in "cde"]
        for threshold, first in ((0, "ab"), (40, "ab"), (41, "abcde"), (100, "abcde")):
            tiers = Tiers(up + down, threshold)
            self.assertEqual((names(tiers.first), tiers.isPanic), (first, first != "ab"), threshold)

    def test_withoutAThresholdNobodyIsAskedWhenAllAreDown(self) -> None:
        down = [member(each, state="down: x") for each in "ab"]
        self.assertEqual((names(Tiers(down).first), names(Tiers(down, 1).first)), ("", "ab"))

    def test_whoWasTakenOutByHandStaysOut(self) -> None:
        members = [member("a", state="drain"), member("b", state="maintenance: disk"), member("c", state="down: x")]
        self.assertEqual(names(Tiers(members, 50).first), "c")
        drained = [member("a"), member("b", state="drain"), member("c", state="drain")]
        self.assertEqual((names(Tiers(drained, 90).first), Tiers(drained, 90).isPanic), ("a", False))

    def test_tiersHoldInPanic(self) -> None:
        members = [member("a", state="down: x"), member("b", backup=True, state="down: x"), member("c", state="down: x")]
        self.assertEqual(names(Tiers(members, 50).first), "ac")


class StateTests(SynchronousTestCase):
    """What the words of the states mean here."""

    def test_anEjectedOneIsAskedWhenNobodyElseIsLeft(self) -> None:
        a, b, c = members = [member("a", state="ejected: 5 failures"), member("b"), member("c", backup=True)]
        tiers = Tiers(members)
        self.assertEqual([names(tiers.without(tried)) for tried in ((b,), (b, c), (b, c, a))], ["c", "a", ""])
        self.assertEqual(names(Tiers([a]).first), "a")

    def test_oneOnTrialGetsOneRequest(self) -> None:
        a, _ = members = [member("a", state="trial: refused"), member("b")]
        self.assertEqual((names(Tiers(members).first), names(Tiers(members, tried=[a]).first)), ("ab", "b"))

    def test_aDrainingOneIsNoCandidate(self) -> None:
        a, b = members = [member("a", state="draining: by the operator"), member("b")]
        tiers = Tiers(members)
        self.assertEqual((names(tiers.first), tiers.first.draining), ("b", {a}))
        self.assertTrue(tiers.first.mayBePicked(a))
        self.assertEqual((tiers.without([b]), Tiers([a]).first.draining), ((), {a}))

    def test_allOthersAreNone(self) -> None:
        self.assertEqual(names(Tiers([member("a", state="maintenance: x"), member("b", state="gone"), member("c")]).first), "c")
