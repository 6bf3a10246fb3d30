"""L{twistproxy.statistics}: histograms, rates, counters."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.statistics.counters import Counters, Recent
from twistproxy.statistics.histogram import Histogram, boundary

_TIMES = st.one_of(st.floats(0.0, 200.0), st.floats(-14, 11).map(lambda exponent: min(7e4, 2.0**exponent)))
"""Seconds, up to most of a day; as likely short as long."""


class TestHistogram(SynchronousTestCase):
    def test_nothing(self) -> None:
        self.assertEqual(Histogram().quantile(0.5), 0.0)
        self.assertEqual(Histogram().snapshot()["mean"], 0.0)

    @given(st.lists(_TIMES, min_size=1, max_size=100), st.integers(1, 100))
    @settings(deadline=None, derandomize=True, database=None, max_examples=300)
    def test_quantilesAreCloseAndNeverTooSmall(self, times: list[float], percent: int) -> None:
        histogram = Histogram()
        for each in times:
            histogram.add(each)
        exact = sorted(times)[-(-percent * len(times) // 100) - 1]  # the nearest rank, in whole numbers
        found = histogram.quantile(percent / 100)
        self.assertGreaterEqual(found, exact)
        self.assertLessEqual(found, max(exact * 1.19, 0.0001))

    def test_beyondTheLastBucket(self) -> None:
        histogram = Histogram()
        for seconds in (1.0, 2e5, 3e5):
            histogram.add(seconds)
        self.assertEqual((histogram.quantile(0.5), histogram.quantile(1.0)), (3e5, 3e5))

    def test_buckets(self) -> None:
        histogram = Histogram()
        for each in (0.00005, 0.0001, 0.00011, 1e6):
            histogram.add(each)
        self.assertEqual(histogram.buckets(), {0.0001: 2, boundary(1): 3, float("inf"): 4})
        self.assertEqual((histogram.count, histogram.longest), (4, 1e6))

    @given(st.lists(_TIMES), st.lists(_TIMES))
    @settings(deadline=None, derandomize=True, database=None, max_examples=50)
    def test_sumsAreAsIfAllHadBeenCountedAtOnePlace(self, one: list[float], other: list[float]) -> None:
        apart, more, together = Histogram(), Histogram(), Histogram()
        for histogram, times in ((apart, one), (more, other), (together, one + other)):
            for each in times:
                histogram.add(each)
        apart.include(more)
        self.assertEqual((apart.buckets(), apart.count, apart.longest), (together.buckets(), together.count, together.longest))
        self.assertAlmostEqual(apart.total, together.total)


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

    @given(st.lists(st.tuples(st.floats(0, 30), st.integers(1, 3)), max_size=40), st.floats(0, 100), st.integers(1, 59))
    @settings(deadline=None, derandomize=True, database=None, max_examples=100)
    def test_ratesAreThoseOfTheLastWholeSeconds(self, steps: list[tuple[float, int]], later: float, seconds: int) -> None:
        recent, other, now = Recent(), Recent(), 1000.0
        seen: list[int] = []
        for gap, count in steps:
            now += gap
            for number in range(count):
                (recent if number else other).add(now)
                seen.append(int(now))
        now += later
        recent.include(other)
        exact = sum(int(now) - seconds <= each < int(now) for each in seen) / seconds
        self.assertEqual(recent.rate(now, seconds), exact)


class TestCounters(SynchronousTestCase):
    def test_snapshot(self) -> None:
        counters = Counters()
        counters.add(100.2, 200, "", 0.5, 3, 10)
        counters.add(100.4, 502, "upstream_reset", 1.5, 0, 20)
        counters.add(100.4, 0, "connect_refused", None, 0, 0)
        found = counters.snapshot(101.0)
        self.assertEqual(
            {name: found[name] for name in ("requests", "rate", "statuses", "failures", "bytesIn", "bytesOut")},
            {"requests": 3, "rate": {"1s": 3.0, "10s": 0.3, "59s": 3 / 59}, "statuses": {200: 1, 502: 1},
             "failures": {"upstream_reset": 1, "connect_refused": 1}, "bytesIn": 3, "bytesOut": 30},
        )  # fmt: skip
        self.assertEqual((found["latency"]["mean"], found["latency"]["longest"]), (1.0, 1.5))
