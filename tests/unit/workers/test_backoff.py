"""When a worker that ended is started again."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.workers.backoff import LONGEST, Backoff


class BackoffTests(SynchronousTestCase):
    def test_atOnceThenLater(self) -> None:
        backoff = Backoff()
        self.assertEqual([backoff.ended(0.0) for _ in range(5)], [0.0, 0.5, 1.0, 2.0, 4.0])

    def test_notForEver(self) -> None:
        backoff = Backoff()
        self.assertEqual(max(backoff.ended(0.0) for _ in range(2000)), LONGEST)

    def test_aWhileOfServiceIsForgiven(self) -> None:
        backoff = Backoff()
        for _ in range(4):
            backoff.ended(0.0)
        backoff.wasReady(100.0)
        self.assertEqual(backoff.ended(109.0), 4.0)
        backoff.wasReady(200.0)
        self.assertEqual(backoff.ended(210.0), 0.0)
