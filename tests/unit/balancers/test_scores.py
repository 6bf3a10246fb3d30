"""What balancers tell about their picks, and that telling it changes none."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twistproxy.balancers.leastconnections import LeastConnections
from twistproxy.balancers.peakewma import PeakEwma
from twistproxy.balancers.poweroftwo import PowerOfTwoChoices
from twistproxy.balancers.rendezvous import Rendezvous
from twistproxy.balancers.weighted import WeightedRoundRobin
from twistproxy.interfaces import IExplainingBalancer
from twistproxy.messages import Outcome, Upstream
from twistproxy.testing.inbound import makeRequest
from twistproxy.upstream.candidates import Candidates

REQUEST = makeRequest()


def failed(upstream: Upstream) -> Outcome:
    return Outcome(upstream, "connect_refused", 0, None, None, 0.1, 0, 0, False)


class TestScores(SynchronousTestCase):
    def setUp(self) -> None:
        self.upstreams = Candidates(Upstream(f"http://{name}", weight) for name, weight in (("a", 4), ("b", 2), ("c", 1)))

    def scores(self, balancer: Any) -> list[float]:
        verifyObject(IExplainingBalancer, balancer)
        balancer.upstreamsChanged(self.upstreams)
        scores = balancer.scores(REQUEST, self.upstreams)
        return [scores[each] for each in self.upstreams]

    def test_underWay(self) -> None:
        self.upstreams[0].inFlight = 2
        self.upstreams[2].inFlight = 3
        for balancer in (LeastConnections(), PowerOfTwoChoices()):
            self.assertEqual(self.scores(balancer), [0.5, 0, 3])

    def test_peakEwma(self) -> None:
        two = Candidates(self.upstreams[:2])
        for bad in two:
            balancer = PeakEwma()
            for each in two:
                error, code = ("connect_refused", 0) if each is bad else ("", 200)
                balancer.report(each, Outcome(each, error, code, 0.01, 0.01, 0.01, 0, 0, False))
            costs = balancer.scores(REQUEST, two)
            self.assertIs(max(costs, key=costs.__getitem__), bad)
            self.assertIsNot(balancer.pick(REQUEST, two), bad)

    def test_rendezvous(self) -> None:
        balancer = Rendezvous()
        scores = self.scores(balancer)
        self.assertIs(balancer.pick(REQUEST, self.upstreams), self.upstreams[scores.index(max(scores))])
        self.assertEqual(Rendezvous("header:X-Key").scores(REQUEST, self.upstreams), {})

    def test_weighted(self) -> None:
        """A failure lowers the effective weight, and that is seen."""
        balancer = WeightedRoundRobin()
        self.assertEqual(self.scores(balancer), [4, 2, 1])
        balancer.pick(REQUEST, self.upstreams)
        balancer.report(self.upstreams[0], failed(self.upstreams[0]))
        self.assertEqual([balancer.scores(REQUEST, self.upstreams)[each] for each in self.upstreams], [3, 2, 1])

    def test_nothingIsChanged(self) -> None:
        makers: list[Any] = [LeastConnections, Rendezvous, WeightedRoundRobin]
        for make in (*makers, lambda: PowerOfTwoChoices(seed=1), lambda: PeakEwma(seed=1)):
            picks: list[list[Any]] = []
            for told in (False, True):
                balancer = make()
                balancer.upstreamsChanged(self.upstreams)
                picks.append([])
                for _ in range(50):
                    if told:
                        balancer.scores(REQUEST, self.upstreams)
                    picks[-1].append(balancer.pick(REQUEST, self.upstreams))
            self.assertEqual(picks[0], picks[1])
