"""Balancers that look at what is under way, and at times."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.balancers.picks import chiSquare, picks, request, upstreams
from twistproxy.balancers.draws import Draws
from twistproxy.balancers.leastconnections import LeastConnections
from twistproxy.balancers.peakewma import PeakEwma
from twistproxy.balancers.poweroftwo import PowerOfTwoChoices
from twistproxy.config import BuildContext
from twistproxy.messages import Outcome, Upstream


def loaded(*loads: int, weights: tuple[int, ...] = ()) -> tuple[Upstream, ...]:
    """Upstreams with so many requests under way."""
    members = upstreams(*(weights or [1] * len(loads)))
    for each, load in zip(members, loads, strict=True):
        each.inFlight = load
    return members


class LeastConnectionsTests(SynchronousTestCase):
    def test_theLeastBusy(self) -> None:
        self.assertEqual(picks(LeastConnections(), loaded(3, 1, 2), 3), "bbb")

    def test_equalsTakeTurns(self) -> None:
        """Not always the first: that one would get all the requests of a quiet proxy."""
        self.assertEqual(picks(LeastConnections(), loaded(0, 0, 0), 6), "abcabc")
        self.assertEqual(picks(LeastConnections(), loaded(1, 5, 1, 1), 6), "acdacd")

    def test_byWeight(self) -> None:
        """4 of 5 are less than 1 of 1."""
        self.assertEqual(picks(LeastConnections(), loaded(4, 1, weights=(5, 1)), 1), "a")
        self.assertEqual(picks(LeastConnections(), loaded(6, 1, weights=(5, 1)), 1), "b")

    def test_equalsTakeTurnsByWeight(self) -> None:
        self.assertEqual(picks(LeastConnections(), upstreams(5, 1, 1), 7), "aabacaa")
        self.assertEqual(picks(LeastConnections(), loaded(5, 1, 1, weights=(5, 1, 1)), 7), "aabacaa")

    def test_noWeightMeansNoShare(self) -> None:
        self.assertEqual(picks(LeastConnections(), loaded(0, 9, 9, weights=(0, 1, 1)), 4), "bcbc")
        self.assertEqual(picks(LeastConnections(), loaded(0, 0, weights=(0, 0)), 4), "abab")


class DrawsTests(SynchronousTestCase):
    def test_twoAreDifferent(self) -> None:
        for weights in ((1, 1), (1, 1, 1, 1), (5, 1), (9, 1, 3), (0, 1, 1)):
            members = upstreams(*weights)
            draws = Draws(seed=1)
            for _ in range(500):
                one, other = draws.two(members)
                self.assertIsNot(one, other, weights)

    def test_onlyOneToDrawFrom(self) -> None:
        for weights in ((1,), (0, 3), (0,)):
            members = upstreams(*weights)
            self.assertEqual(Draws().two(members), (members[-1], members[-1]))

    def test_firstByWeightSecondByWeightOfTheRest(self) -> None:
        members = upstreams(5, 3, 2)
        draws = Draws(seed=2)
        counts = Counter(draws.two(members) for _ in range(20000))
        a, b, c = members
        chances = {(a, b): 0.5 * 3 / 5, (a, c): 0.5 * 2 / 5, (b, a): 0.3 * 5 / 7, (b, c): 0.3 * 2 / 7,
                   (c, a): 0.2 * 5 / 8, (c, b): 0.2 * 3 / 8}  # fmt: skip
        expected = [20000 * chance for chance in chances.values()]
        # 20.52: once in a thousand by chance, with five degrees of freedom.
        self.assertLess(chiSquare((counts[pair] for pair in chances), expected), 20.52)

    def test_allPairsAreAsLikely(self) -> None:
        members = upstreams(1, 1, 1)
        draws = Draws(seed=3)
        counts = Counter(draws.two(members) for _ in range(6000))
        self.assertEqual(len(counts), 6)
        self.assertLess(chiSquare(counts.values(), [1000.0] * 6), 20.52)


class PowerOfTwoChoicesTests(SynchronousTestCase):
    def test_ofTwoTheBusierGetsNothing(self) -> None:
        """A known proxy preferred the busier one for years, and gave it half when that was repaired."""
        self.assertEqual(set(picks(PowerOfTwoChoices(), loaded(5, 3), 200)), {"b"})

    def test_theBusiestOfManyGetsNothing(self) -> None:
        self.assertEqual(set(picks(PowerOfTwoChoices(seed=1), loaded(1, 9, 1, 1), 300)), {"a", "c", "d"})

    def test_equalsByChance(self) -> None:
        counts = Counter(picks(PowerOfTwoChoices(seed=2), upstreams(1, 1), 1000))
        self.assertLess(chiSquare((counts["a"], counts["b"]), [500.0, 500.0]), 10.83)

    def test_byWeight(self) -> None:
        self.assertEqual(set(picks(PowerOfTwoChoices(), loaded(8, 2, weights=(10, 1)), 100)), {"a"})


class PeakEwmaTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.members = upstreams(1, 1)
        self.balancer = self.made()

    def made(self, **options: Any) -> PeakEwma:
        return PeakEwma(seed=1, context=BuildContext(self.clock), **options)

    def answered(self, at: int, seconds: float | None, error: str = "", code: int = 200, duration: float = 0.001) -> None:
        upstream = self.members[at]
        self.balancer.report(upstream, Outcome(upstream, error, code, None, seconds, duration, 0, 0, True))

    def picked(self, count: int = 100) -> set[str]:
        return set(picks(self.balancer, self.members, count))

    def test_theQuicker(self) -> None:
        self.answered(0, 0.2)
        self.answered(1, 0.1)
        self.assertEqual(self.picked(), {"b"})

    def test_whatIsUnderWayCounts(self) -> None:
        self.answered(0, 0.2)
        self.answered(1, 0.1)
        self.members[1].inFlight = 3
        self.assertEqual(self.picked(), {"a"})

    def test_peaksCountAtOnceAndFadeSlowly(self) -> None:
        for at in (0, 1):
            self.answered(at, 0.1)
        self.answered(0, 5.0)
        self.assertEqual(self.picked(), {"b"})
        self.clock.advance(5)
        self.members[0].inFlight = self.members[1].inFlight = 1
        self.answered(0, 0.1)  # half the decay later: 5 * 0.61 + 0.1 * 0.39
        self.assertAlmostEqual(self.balancer._averages[self.members[0].key].seconds, 5 * 0.60653 + 0.1 * 0.39347, places=4)
        self.assertEqual(self.picked(), {"b"})

    def test_fadesWhileIdle(self) -> None:
        """Nobody is forgotten for one slow answer."""
        self.answered(0, 1.0)
        self.answered(1, 0.1)
        self.members[1].inFlight = 1
        self.assertEqual(self.picked(), {"b"})
        self.clock.advance(60)
        self.assertEqual(self.picked(), {"a"})

    def test_doesNotFadeWhileTheAnswerIsOutstanding(self) -> None:
        self.answered(0, 1.0)
        self.answered(1, 0.1)
        self.members[0].inFlight = self.members[1].inFlight = 1
        self.clock.advance(60)
        self.assertEqual(self.picked(), {"b"})

    def test_aNewOneIsTheMean(self) -> None:
        self.members = upstreams(1, 1, 1)
        self.answered(0, 0.1)
        self.answered(1, 0.3)
        one, other, new = (self.balancer._cost(each, 0.0) for each in self.members)
        self.assertTrue(one < new < other)
        self.assertAlmostEqual(new, 0.2 + 1e-4)

    def test_allNewGoByWhatIsUnderWay(self) -> None:
        self.members[0].inFlight = 1
        self.assertEqual(self.picked(), {"b"})

    def test_failuresAreNotQuick(self) -> None:
        for error, code in (("connect_refused", 0), ("", 500), ("", 503)):
            self.balancer = self.made()
            self.answered(0, None if error else 0.001, error, code)
            self.answered(1, 0.5)
            self.assertEqual(self.picked(), {"b"}, (error, code))

    def test_notFoundIsAnAnswer(self) -> None:
        self.answered(0, 0.001, code=404)
        self.answered(1, 0.5)
        self.assertEqual(self.picked(), {"a"})

    def test_aClientThatLeavesSaysNothingUnlessItWaitedLong(self) -> None:
        self.answered(0, 0.1)
        self.answered(0, None, "client_closed", 0, duration=0.01)
        self.assertAlmostEqual(self.balancer._averages[self.members[0].key].seconds, 0.1)
        self.answered(0, None, "client_closed", 0, duration=7.0)
        self.assertAlmostEqual(self.balancer._averages[self.members[0].key].seconds, 7.0)
        self.answered(1, None, "client_closed", 0, duration=7.0)
        self.assertNotIn(self.members[1].key, self.balancer._averages)

    def test_whoLeftIsForgotten(self) -> None:
        self.answered(0, 0.1)
        self.answered(1, 0.3)
        self.balancer.upstreamsChanged(self.members[1:])
        self.assertEqual(list(self.balancer._averages), [self.members[1].key])
        self.assertAlmostEqual(self.balancer._sum, 0.3)

    def test_theSumIsThatOfTheAverages(self) -> None:
        for at in range(200):
            self.clock.advance(0.1)
            self.answered(at % 2, 0.01 * (at * 7919 % 101))
        self.assertAlmostEqual(self.balancer._sum, sum(each.seconds for each in self.balancer._averages.values()))

    def test_decayIsMoreThanNothing(self) -> None:
        self.assertRaises(ValueError, PeakEwma, decay=0)

    def test_aPlainClockWithoutAContext(self) -> None:
        self.assertIn(PeakEwma().pick(request(), self.members), self.members)
