"""L{twistproxy.mirroring.sampling}: which requests are copied."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import asked
from twistproxy.keys import keyFrom
from twistproxy.mirroring.sampling import ByChance, ByCount, ByKey

REQUEST = asked()


class TestSampling(SynchronousTestCase):
    @given(st.integers(0, 100), st.integers(1, 300))
    def test_countedSharesAreExact(self, percent: int, count: int) -> None:
        """After each request as many as the share says, rounded up."""
        sampler = ByCount(percent / 100)
        taken = 0
        for seen in range(1, count + 1):
            taken += sampler(REQUEST)
            self.assertEqual(taken, -(-seen * percent // 100))

    def test_countedSharesAreSpread(self) -> None:
        sampler = ByCount(0.25)
        self.assertEqual([sampler(REQUEST) for _ in range(8)], [True, False, False, False] * 2)

    def test_byChance(self) -> None:
        samplers = (ByChance(0.3, 1), ByChance(0.3, 1), ByChance(0.3, 2))
        one, same, other = ([each(REQUEST) for _ in range(2000)] for each in samplers)
        self.assertEqual(one, same)
        self.assertNotEqual(one, other)
        self.assertTrue(520 < sum(one) < 680, sum(one))
        self.assertFalse(any(ByChance(0.0, 1)(REQUEST) for _ in range(100)))
        self.assertTrue(all(ByChance(1.0, 1)(REQUEST) for _ in range(100)))

    def test_byKey(self) -> None:
        """A key is always or never in the share, and in every larger one."""
        requests = [asked(b"/", (b"X-User", b"user%d" % number)) for number in range(2000)]
        before: set[int] = set()
        for share in (0.0, 0.1, 0.5, 1.0):
            sampler = ByKey(share, keyFrom("header:X-User"))
            taken = {at for at, each in enumerate(requests) if sampler(each)}
            self.assertEqual(taken, {at for at, each in enumerate(requests) if sampler(each)})
            self.assertLessEqual(before, taken)
            self.assertTrue(abs(len(taken) - 2000 * share) < 80, len(taken))
            before = taken

    def test_withoutAKey(self) -> None:
        sampler = ByKey(0.5, keyFrom("header:X-User"))
        self.assertEqual([sampler(REQUEST) for _ in range(4)], [True, False, True, False])
