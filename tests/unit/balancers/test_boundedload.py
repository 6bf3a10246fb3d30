"""A bound on the load: HAProxy's integers, and what comes of them."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.balancers.picks import outcome, request, upstreams
from twistproxy.balancers.boundedload import slots
from twistproxy.balancers.consistenthash import ConsistentHash
from twistproxy.messages import Upstream


class SlotTests(SynchronousTestCase):
    def test_haproxysIntegers(self) -> None:
        # Ten under way, 125 %: ceil(11 * 1.25) = 14 slots for weights 1, 1 and 2: 3.5, 3.5 and 7 in whole numbers.
        self.assertEqual([slots(10, 125, weight, before, 4) for weight, before in ((1, 0), (1, 1), (2, 2))], [3, 4, 7])

    def test_noneIsLostToTheDivision(self) -> None:
        for underWay in range(50):
            for weights in ((1, 1, 1), (5, 3, 2), (7, 1, 1)):
                given = [slots(underWay, 150, each, sum(weights[:at]), sum(weights)) for at, each in enumerate(weights)]
                total = ((underWay + 1) * 150 + 99) // 100
                self.assertGreaterEqual(sum(given), total)
                if min(given) > 1:
                    self.assertEqual(sum(given), total)

    def test_atLeastOne(self) -> None:
        self.assertEqual(slots(0, 100, 1, 0, 100), 1)


class BoundTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.members = upstreams(1, 1, 1, 1)
        self.balancer = ConsistentHash(key="path", loadFactor=125)
        self.balancer.upstreamsChanged(self.members)

    def pick(self, path: bytes = b"/popular") -> Upstream:
        picked = self.balancer.pick(request(path), self.members)
        assert picked is not None
        return picked

    def test_aPopularKeySpillsOver(self) -> None:
        home = self.pick()
        counts = Counter([home, *(self.pick() for _ in range(99))])
        self.assertEqual(sum(counts.values()), 100)
        # 125 percent of a hundred, shared by four.
        self.assertLessEqual(max(counts.values()), 32)
        self.assertGreaterEqual(counts[home], 25)

    def test_backHomeWhenThereIsRoom(self) -> None:
        home = self.pick()
        away = self.pick()
        self.assertIsNot(home, away)
        self.balancer.report(home, outcome(home))
        self.assertIs(self.pick(), home)

    def test_oneAfterTheOtherStaysAtHome(self) -> None:
        plain = ConsistentHash(key="path")
        plain.upstreamsChanged(self.members)
        for number in range(100):
            path = b"/%d" % number
            picked = self.pick(path)
            self.assertIs(picked, plain.pick(request(path), self.members))
            self.balancer.report(picked, outcome(picked))

    def test_requestsWithoutAKeyCountToo(self) -> None:
        balancer = ConsistentHash(key="header:X-User", loadFactor=125)
        balancer.upstreamsChanged(self.members)
        picked = [balancer.pick(request(), self.members) for _ in range(8)]
        for each in picked:
            assert each is not None
            balancer.report(each, outcome(each))
        assert balancer._bound is not None
        self.assertEqual((balancer._bound._total, balancer._bound._underWay), (0, {}))

    def test_whoLeftIsForgottenWithItsLastRequest(self) -> None:
        picked = [self.pick(b"/%d" % number) for number in range(12)]
        self.balancer.upstreamsChanged(self.members[1:])
        for each in picked:
            self.balancer.report(each, outcome(each))
        assert self.balancer._bound is not None
        self.assertEqual(self.balancer._bound._underWay, {})

    def test_isToldOfTheEndsOnlyWithABound(self) -> None:
        self.assertFalse(self.balancer.ignoresOutcomes)
        self.assertTrue(ConsistentHash().ignoresOutcomes)
