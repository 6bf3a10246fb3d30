"""L{twistproxy.limiting.fates}: the same seed, the same faults."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.limiting.fates import Fates


class TestFates(SynchronousTestCase):
    def test_repeatable(self) -> None:
        first, second, other = (Fates(seed, 0.5, 1.0, 0.5) for seed in (1, 1, 2))
        found = [first.next() for _ in range(50)]
        self.assertEqual(found, [second.next() for _ in range(50)])
        self.assertNotEqual(found, [other.next() for _ in range(50)])

    def test_whoIsHitDoesNotDependOnTheFault(self) -> None:
        first, second = Fates(1, 0.5, 0.0, 0.0), Fates(1, 0.5, 1.0, 0.5)
        self.assertEqual([first.next().isHit for _ in range(50)], [second.next().isHit for _ in range(50)])

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
