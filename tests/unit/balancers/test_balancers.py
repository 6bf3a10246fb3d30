"""What every built-in balancer owes, and the simple ones by themselves."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from random import Random

from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.balancers.picks import chiSquare, outcome, picks, request, upstreams
from twistproxy.balancers.consistenthash import ConsistentHash
from twistproxy.balancers.leastconnections import LeastConnections
from twistproxy.balancers.peakewma import PeakEwma
from twistproxy.balancers.poweroftwo import PowerOfTwoChoices
from twistproxy.balancers.randomchoice import RandomChoice
from twistproxy.balancers.rendezvous import Rendezvous
from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.balancers.stickycookie import StickyCookie
from twistproxy.balancers.weighted import WeightedRoundRobin
from twistproxy.interfaces import IBalancer
from twistproxy.messages import Upstream

ALL = (
    RandomChoice, RoundRobin, WeightedRoundRobin, ConsistentHash, Rendezvous, LeastConnections, PowerOfTwoChoices, PeakEwma,
    StickyCookie,
)  # fmt: skip


class Loop:
    """Smooth weighted round robin as nginx writes it: through all candidates, one by one."""

    def __init__(self, maxFails: int) -> None:
        self.maxFails = maxFails
        self.current: dict[Upstream, int] = {}
        self.effective: dict[Upstream, int] = {}

    def pick(self, candidates: Sequence[Upstream]) -> Upstream | None:
        total, best = 0, None
        for each in candidates:
            if not each.weight:
                continue
            effective = self.effective.get(each, each.weight)
            self.current[each] = self.current.get(each, 0) + effective
            total += effective
            self.effective[each] = min(each.weight, effective + 1)
            if best is None or self.current[each] > self.current[best]:
                best = each
        assert best is not None
        self.current[best] -= total
        return best

    def failed(self, upstream: Upstream) -> None:
        cost = upstream.weight // self.maxFails if self.maxFails else 1
        self.effective[upstream] = max(0, self.effective.get(upstream, upstream.weight) - cost)


class EveryBalancerTests(SynchronousTestCase):
    def test_interface(self) -> None:
        for kind in ALL:
            verifyObject(IBalancer, kind())

    def test_picksACandidate(self) -> None:
        members = upstreams(1, 2, 0, 3)
        for kind in ALL:
            balancer = kind()
            balancer.upstreamsChanged(members)
            for candidates in (members, members[:1], members[2:], members[2:3]):
                for _ in range(20):
                    picked = balancer.pick(request(), candidates)
                    assert picked is not None
                    self.assertIn(picked, candidates)
                    balancer.report(picked, outcome(picked, "connect_refused"))

    def test_nobodyToPick(self) -> None:
        for kind in ALL:
            balancer = kind()
            balancer.upstreamsChanged(())
            self.assertIs(balancer.pick(request(), ()), None)


class RoundRobinTests(SynchronousTestCase):
    def test_inTurn(self) -> None:
        self.assertEqual(picks(RoundRobin(), upstreams(1, 1, 1), 7), "abcabca")

    def test_whoIsDownLeavesItsShareToAll(self) -> None:
        """Skipping on to the next would give all of b's share to c."""
        a, _, c, d = upstreams(1, 1, 1, 1)
        counts = Counter(picks(RoundRobin(), (a, c, d), 300))
        self.assertEqual(counts, {"a": 100, "c": 100, "d": 100})

    def test_whoFailsEachTimeLeavesItsShareToAll(self) -> None:
        """Nobody knows that b is down: it is tried each time. With one turn for all picks c would get nothing but these."""
        members = upstreams(1, 1, 1, 1)
        others = members[:1] + members[2:]
        balancer = RoundRobin()
        counts: Counter[str] = Counter()
        for _ in range(400):
            name = picks(balancer, members, 1)
            counts[picks(balancer, others, 1) if name == "b" else name] += 1
        self.assertLessEqual(max(counts.values()) - min(counts.values()), 1, counts)


class RandomChoiceTests(SynchronousTestCase):
    def test_uniform(self) -> None:
        counts = Counter(picks(RandomChoice(seed=1), upstreams(1, 1, 1, 1), 4000))
        # 16.27: once in a thousand by chance, with three degrees of freedom.
        self.assertLess(chiSquare((counts[name] for name in "abcd"), [1000.0] * 4), 16.27)

    def test_byWeight(self) -> None:
        counts = Counter(picks(RandomChoice(seed=2), upstreams(5, 3, 0, 2), 5000))
        self.assertLess(chiSquare((counts[name] for name in "abd"), [2500.0, 1500.0, 1000.0]), 13.82)
        self.assertEqual(counts["c"], 0)

    def test_allWeightsZero(self) -> None:
        self.assertEqual(set(picks(RandomChoice(seed=3), upstreams(0, 0), 50)), {"a", "b"})

    def test_followsTheCandidates(self) -> None:
        members = upstreams(1, 1, 1)
        balancer = RandomChoice(seed=4)
        self.assertEqual(set(picks(balancer, members, 60)), {"a", "b", "c"})
        self.assertEqual(set(picks(balancer, members[1:], 60)), {"b", "c"})


class WeightedRoundRobinTests(SynchronousTestCase):
    def test_goldenSequences(self) -> None:
        """nginx's own, and the worked example of the text that the balancer is from."""
        for weights, sequence in [((5, 1, 1), "aabacaa"), ((4, 3, 2), "abcabacba"), ((3, 1), "aaba"), ((1, 1, 1), "abc")]:
            self.assertEqual(picks(WeightedRoundRobin(), upstreams(*weights), 3 * len(sequence)), 3 * sequence)

    def test_failuresCostPicksUntilTheyAreForgotten(self) -> None:
        members = upstreams(4, 4)
        balancer = WeightedRoundRobin()
        picks(balancer, members, 1)
        for _ in range(4):
            balancer.report(members[0], outcome(members[0], "connect_refused"))
        self.assertEqual(picks(balancer, members, 5), "bbbba")
        self.assertEqual(Counter(picks(balancer, members, 40)), {"a": 20, "b": 20})

    def test_asNginxCountsFailures(self) -> None:
        """max_fails=2: a failure takes half of the weight."""
        members = upstreams(4, 4)
        balancer = WeightedRoundRobin(maxFails=2)
        picks(balancer, members, 1)
        balancer.report(members[0], outcome(members[0], "connect_refused"))
        balancer.report(members[0], outcome(members[0], "connect_refused"))
        self.assertEqual(picks(balancer, members, 5), "bbbba")
        light = WeightedRoundRobin(maxFails=3)
        one = upstreams(1, 1)
        picks(light, one, 1)
        light.report(one[0], outcome(one[0], "connect_refused"))  # a third of 1 is 0 in whole numbers
        self.assertEqual(picks(light, one, 4), "baba")

    def test_samePicksAsTheTextsLoop(self) -> None:
        """Any weights, failures and candidates: heaps only make it quicker."""
        random = Random(5)
        for _ in range(60):
            members = upstreams(*(random.choice((0, 1, 1, 2, 3, 3, 7)) for _ in range(random.randint(1, 9))))
            maxFails = random.choice((0, 0, 1, 3))
            balancer, loop = WeightedRoundRobin(maxFails), Loop(maxFails)
            candidates: Sequence[Upstream] = members
            for _ in range(120):
                if random.random() < 0.05:
                    candidates = tuple(each for each in members if random.random() < 0.7) or members
                if random.random() < 0.02:
                    balancer.upstreamsChanged(members)
                picked = balancer.pick(request(), candidates)
                assert picked is not None
                if any(each.weight for each in candidates):
                    self.assertIs(picked, loop.pick(candidates))
                if random.random() < 0.3:
                    balancer.report(picked, outcome(picked, "connect_refused"))
                    loop.failed(picked)

    def test_heapsStayAsSmallAsTheCandidatesAre(self) -> None:
        members = upstreams(2, 2, 2)
        balancer = WeightedRoundRobin()
        for _ in range(500):
            picked = balancer.pick(request(), members)
            assert picked is not None
            balancer.report(picked, outcome(picked, "connect_refused"))
        self.assertLessEqual(sum(map(len, balancer._heaps.values())), 3 * len(members))

    def test_onlyTheUpstreamsOwnFailuresCount(self) -> None:
        members = upstreams(4, 4)
        balancer = WeightedRoundRobin()
        picks(balancer, members, 1)
        for error in ("", "client_closed", "plugin_error"):
            for _ in range(4):
                balancer.report(members[0], outcome(members[0], error))
        self.assertEqual(picks(balancer, members, 4), "baba")

    def test_neverShutOut(self) -> None:
        members = upstreams(1, 1)
        balancer = WeightedRoundRobin()
        for _ in range(10):
            for each in members:
                balancer.report(each, outcome(each, "upstream_timeout"))
        self.assertEqual(Counter(picks(balancer, members, 20)), {"a": 10, "b": 10})

    def test_accountsOutliveASnapshot(self) -> None:
        balancer = WeightedRoundRobin()
        balancer.upstreamsChanged(first := upstreams(5, 1, 1))
        begun = picks(balancer, first, 3)
        balancer.upstreamsChanged(again := upstreams(5, 1, 1))
        self.assertEqual(begun + picks(balancer, again, 4), "aabacaa")

    def test_newWeights(self) -> None:
        balancer = WeightedRoundRobin()
        balancer.upstreamsChanged(first := upstreams(5, 1))
        picks(balancer, first, 6)
        balancer.upstreamsChanged(again := upstreams(1, 1))
        self.assertEqual(Counter(picks(balancer, again, 10)), {"a": 5, "b": 5})
