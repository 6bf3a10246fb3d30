"""L{twistproxy.limiting.gcra}: rates and bursts."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.limiting.gcra import LocalLimit, Rate


class TestLocalLimit(SynchronousTestCase):
    def test_theBurstThenTheRate(self) -> None:
        limit = LocalLimit(Rate(10, 4), 10)
        found = [limit.take(b"a", 0.0) for _ in range(6)]
        self.assertEqual([each.isAllowed for each in found], [True] * 5 + [False])
        self.assertEqual([each.remaining for each in found], [4, 3, 2, 1, 0, 0])
        self.assertAlmostEqual(found[-1].retryAfter, 0.1)
        self.assertAlmostEqual(found[-2].reset, 0.5)
        self.assertFalse(limit.take(b"a", 0.09).isAllowed)
        self.assertTrue(limit.take(b"a", 0.1).isAllowed)
        self.assertFalse(limit.take(b"a", 0.1).isAllowed)
        self.assertEqual(limit.take(b"a", 100.0).remaining, 4)

    def test_withoutABurst(self) -> None:
        limit = LocalLimit(Rate(0.5, 0), 10)
        self.assertEqual([limit.take(b"a", now).isAllowed for now in (0.0, 1.9, 2.0, 2.1, 4.0)], [True, False, True, False, True])

    def test_whoComesAtTheTimeToldPasses(self) -> None:
        limit = LocalLimit(Rate(3, 1), 10)
        now = 0.0
        for _ in range(50):
            decision = limit.take(b"a", now)
            if not decision.isAllowed:
                now += decision.retryAfter
                self.assertTrue(limit.take(b"a", now).isAllowed)

    def test_keysAreApart(self) -> None:
        limit = LocalLimit(Rate(1, 0), 10)
        self.assertEqual([limit.take(key, 0.0).isAllowed for key in (b"a", b"b", b"a", b"b")], [True, True, False, False])

    def test_theLeastRecentAreForgotten(self) -> None:
        limit = LocalLimit(Rate(1, 0), 3)
        for key in (b"a", b"b", b"c", b"a", b"d"):
            limit.take(key, 0.0)
        self.assertEqual(len(limit), 3)
        self.assertFalse(limit.take(b"a", 0.0).isAllowed)
        self.assertTrue(limit.take(b"b", 0.0).isAllowed)

    @given(
        st.floats(0.1, 1000), st.integers(0, 50), st.lists(st.floats(0, 2), min_size=1, max_size=200), st.floats(0.01, 20)
    )
    @settings(deadline=None, derandomize=True, database=None, max_examples=150)
    def test_neverMoreThanTheRateAndTheBurst(self, rate: float, burst: int, gaps: list[float], window: float) -> None:
        """In any stretch of time pass at most rate times its length, the burst and one."""
        limit = LocalLimit(Rate(rate, burst), 10)
        now, passed = 0.0, []
        for gap in gaps:
            now += gap / rate
            decision = limit.take(b"a", now)
            self.assertTrue(0 <= decision.remaining <= burst)
            if decision.isAllowed:
                passed.append(now)
        for start in passed:
            count = sum(start <= each <= start + window for each in passed)
            self.assertLessEqual(count, rate * window + burst + 1 + 1e-6)
