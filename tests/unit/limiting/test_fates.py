"""L{twistproxy.limiting.fates}: the same seed, the same faults."""

from __future__ import annotations

from hypothesis import given
from hypothesis.strategies import floats, integers
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.limiting.fates import Delays, Fates


class TestFates(SynchronousTestCase):
    def test_repeatable(self) -> None:
        first, second, other = (Fates(seed, 0.5, 1.0, 0.5) for seed in (1, 1, 2))
        found = [first.next() for _ in range(50)]
        self.assertEqual(found, [second.next() for _ in range(50)])
        self.assertNotEqual(found, [other.next() for _ in range(50)])

    def test_whoIsHitDoesNotDependOnTheFault(self) -> None:
        first, second = Fates(1, 0.5, 0.0, 0.0), Fates(1, 0.5, 1.0, 0.5)
        self.assertEqual([first.next().isHit for _ in range(50)], [second.next().isHit for _ in range(50)])

    @given(integers(), floats(0, 1), floats(0, 1), floats(0, 100), floats(0, 100))
    def test_whateverTheOptions(self, seed: int, share: float, more: float, latency: float, jitter: float) -> None:
        """The n-th fate is the seed's and n's: other options change what they are about, and nothing else."""
        first, again, other = Fates(seed, share, latency, jitter), Fates(seed, share, latency, jitter), Fates(seed, more, 0, 0)
        for _ in range(30):
            fate, same, different = first.next(), again.next(), other.next()
            self.assertEqual(fate, same)
            self.assertEqual(fate.seed, different.seed)
            self.assertTrue(max(0, latency - jitter) <= fate.latency <= latency + jitter)
            if fate.isHit != different.isHit:
                self.assertEqual(fate.isHit, share > more)

    @given(integers(0, 2**32), floats(0, 100), floats(0, 100))
    def test_delays(self, seed: int, latency: float, jitter: float) -> None:
        first, again = Delays(latency, jitter, seed), Delays(latency, jitter, seed)
        for _ in range(30):
            delay = first.next()
            self.assertEqual(delay, again.next())
            self.assertTrue(max(0, latency - jitter) <= delay <= latency + jitter)

    def test_theShare(self) -> None:
        fates = Fates(1, 0.1, 0.0, 0.0)
        self.assertTrue(800 < sum(fates.next().isHit for _ in range(10_000)) < 1200)
        for share in (0.0, 1.0):
            fates = Fates(1, share, 0.0, 0.0)
            self.assertEqual({fates.next().isHit for _ in range(1000)}, {bool(share)})

    def test_jitter(self) -> None:
        fates = Fates(1, 1.0, 1.0, 0.5)
        found = [fates.next().latency for _ in range(1000)]
        self.assertTrue(0.5 <= min(found) < 0.6 and 1.4 < max(found) <= 1.5)
