"""L{twistproxy.statistics}: histograms, rates, counters."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.statistics.counters import Counters, Recent
from twistproxy.statistics.histogram import Histogram, boundary


class TestHistogram(SynchronousTestCase):
    def test_nothing(self) -> None:
        self.assertEqual(Histogram().quantile(0.5), 0.0)
        self.assertEqual(Histogram().snapshot()["mean"], 0.0)

    @given(st.lists(st.floats(0.0, 200.0), min_size=1, max_size=100), st.sampled_from([0.01, 0.5, 0.9, 0.99, 1.0]))
    @settings(deadline=None, derandomize=True, database=None, max_examples=200)
    def test_quantilesAreCloseAndNeverTooSmall(self, times: list[float], share: float) -> None:
        histogram = Histogram()
        for each in times:
            histogram.add(each)
        at = max(0, -int(-share * len(times) // 1) - 1)
        exact = sorted(times)[at]
        found = histogram.quantile(share)
        self.assertGreaterEqual(found * (1 + 1e-9), min(exact, max(times)))
        if 0.001 < exact < 80:
            self.assertLessEqual(found, exact * 1.2)

    def test_buckets(self) -> None:
        histogram = Histogram()
        for each in (0.0005, 0.001, 0.0011, 500.0):
            histogram.add(each)
        self.assertEqual(histogram.buckets(), {0.001: 2, boundary(1): 3, float("inf"): 4})
        self.assertEqual((histogram.count, histogram.longest), (4, 500.0))


class TestRecent(SynchronousTestCase):
    def test_rates(self) -> None:
        recent = Recent()
        for second in range(100, 110):
            for _ in range(second - 99):
                recent.add(second + 0.5)
        self.assertEqual(recent.rate(110.0, 1), 10.0)
        self.assertEqual(recent.rate(110.0, 10), 5.5)
        self.assertEqual(recent.rate(115.0, 10), 4.0)
        self.assertEqual(recent.rate(1000.0, 59), 0.0)


class TestCounters(SynchronousTestCase):
    def test_snapshot(self) -> None:
        counters = Counters()
        counters.add(100.2, 200, "", 0.5, 3, 10)
        counters.add(100.4, 502, "upstream_reset", 1.5, 0, 20)
        found = counters.snapshot(101.0)
        self.assertEqual(
            {name: found[name] for name in ("requests", "rate", "statuses", "failures", "bytesIn", "bytesOut")},
            {"requests": 2, "rate": {"1s": 2.0, "10s": 0.2, "59s": 2 / 59}, "statuses": {200: 1, 502: 1},
             "failures": {"upstream_reset": 1}, "bytesIn": 3, "bytesOut": 30},
        )  # fmt: skip
        self.assertEqual((found["latency"]["mean"], found["latency"]["longest"]), (1.0, 1.5))
