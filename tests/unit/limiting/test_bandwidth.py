"""L{twistproxy.limiting.bandwidth}: bytes a second."""

from __future__ import annotations

from hypothesis import given
from hypothesis.strategies import floats, integers, lists, tuples
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.limiting.bandwidth import Bucket, Buckets


class TestBucket(SynchronousTestCase):
    def test_burstThenRate(self) -> None:
        bucket = Bucket(1000, 100)
        self.assertEqual([bucket.grant(50, 10.0) for _ in range(2)], [(50, 0.0), (50, 0.0)])
        size, delay = bucket.grant(50, 10.0)
        self.assertEqual((size, round(delay, 6)), (50, 0.05))

    def test_inTurn(self) -> None:
        """Nobody takes more at once than a short time's worth, or 64 KiB."""
        self.assertEqual(Bucket(1000, 0).grant(10**6, 0.0)[0], 50)
        self.assertEqual(Bucket(10, 0).grant(10**6, 0.0)[0], 1)
        self.assertEqual(Bucket(1 << 30, 0).grant(10**6, 0.0)[0], 65536)

    def test_aRestIsNotSavedUp(self) -> None:
        bucket = Bucket(1000, 100)
        bucket.grant(50, 0.0)
        grants = [bucket.grant(50, 1000.0)[1] for _ in range(4)]
        self.assertEqual([round(each, 6) for each in grants], [0.0, 0.0, 0.05, 0.1])

    @given(integers(1, 10**7), integers(0, 10**6), lists(tuples(floats(0, 0.2), integers(1, 10**5)), max_size=60))
    def test_neverMoreThanBurstAndRate(self, rate: int, burst: int, calls: list[tuple[float, int]]) -> None:
        bucket = Bucket(rate, burst)
        now, sent, start = 100.0, 0, 100.0
        for pause, held in calls:
            now += pause
            size, delay = bucket.grant(held, now)
            self.assertTrue(0 < size <= held)
            sent += size
            self.assertLessEqual(sent, burst + rate * (now + delay - start) + 1e-3 + rate * 1e-6)


class TestBuckets(SynchronousTestCase):
    def test_oneForEachKey(self) -> None:
        buckets = Buckets(1000, 0, 2)
        self.assertIs(buckets.of(b"a"), buckets.of(b"a"))
        self.assertIsNot(buckets.of(b"a"), buckets.of(b"b"))

    def test_theLeastRecentIsForgotten(self) -> None:
        buckets = Buckets(1000, 0, 2)
        first, second = buckets.of(b"a"), buckets.of(b"b")
        buckets.of(b"a")
        buckets.of(b"c")
        self.assertEqual(len(buckets), 2)
        self.assertIs(buckets.of(b"a"), first)
        self.assertIsNot(buckets.of(b"b"), second)
