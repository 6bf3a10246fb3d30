"""The highest score wins."""

from __future__ import annotations

from collections import Counter

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.balancers.picks import chiSquare, request, upstreams
from twistproxy.balancers.rendezvous import Rendezvous, hash64, mix


class RendezvousTests(SynchronousTestCase):
    def test_sharesAreExactByWeight(self) -> None:
        members = upstreams(5, 3, 2)
        balancer = Rendezvous(key="path")
        counts = Counter(balancer.pick(request(b"/%d" % at), members) for at in range(5000))
        # 13.82: once in a thousand by chance, with two degrees of freedom.
        self.assertLess(chiSquare((counts[each] for each in members), [2500.0, 1500.0, 1000.0]), 13.82)

    def test_moreWeightOnlyAttracts(self) -> None:
        """A key moves to the upstream that became heavier, or nowhere."""
        before, after = upstreams(1, 1, 1, 1), upstreams(3, 1, 1, 1)
        balancer = Rendezvous(key="path")
        for at in range(500):
            asked = request(b"/%d" % at)
            was, now = balancer.pick(asked, before), balancer.pick(asked, after)
            assert was is not None and now is not None
            self.assertIn(now.key, (was.key, "http://a"))

    def test_whoHasNoWeightGetsNothing(self) -> None:
        members = upstreams(0, 1, 2)
        balancer = Rendezvous(key="path")
        picked = {balancer.pick(request(b"/%d" % at), members) for at in range(300)}
        self.assertEqual(picked, set(members[1:]))

    def test_hashesAreTheSameEverywhere(self) -> None:
        """Values that another machine, and another version of Python, has to agree with."""
        self.assertEqual(hash64(b"key"), 0xCE7CCCADC3A94CF5)
        self.assertEqual(mix(1, 2), 0x1E535EEDE31428F0)
        # The first number of SplitMix64 with seed 0, from its authors' C code.
        self.assertEqual(mix(0x9E3779B97F4A7C15, 0), 0xE220A8397B1DCDAF)

    def test_extremesOfTheMix(self) -> None:
        from twistproxy.balancers.rendezvous import _score

        for mixed in (0, 1, (1 << 64) - 1):
            self.assertTrue(0 < _score(mixed, 1) < float("inf"))
