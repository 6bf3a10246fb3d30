"""Coarse deadlines: never early, never later than two ticks, and one that fails does not stop the others."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.sweep import NEVER, TICK, Sweeper


class Watched:
    def __init__(self, deadline: float, passed: Callable[[], object] = lambda: None) -> None:
        self.deadline = deadline
        self.calls: list[float] = []
        self._passed = passed
        self.clock: Clock | None = None

    def deadlinePassed(self) -> None:
        assert self.clock is not None
        self.calls.append(self.clock.seconds())
        self._passed()


class SweeperTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sweeper = Sweeper(self.clock)
        self.sweeper.start()

    def watch(self, deadline: float, passed: Callable[[], object] = lambda: None) -> Watched:
        watched = Watched(deadline, passed)
        watched.clock = self.clock
        self.sweeper.watch(watched)
        return watched

    def run_(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.clock.advance(0.1)

    def test_betweenItsTimeAndTwoTicksLater(self) -> None:
        for begin in (0, 0.3, 0.9):
            self.run_(begin)
            now = self.clock.seconds()
            watched = self.watch(self.sweeper.after(5))
            self.run_(5)
            self.assertEqual(watched.calls, [])
            self.run_(2)
            self.assertLessEqual(now + 5, watched.calls[0])
            self.assertLessEqual(watched.calls[0], now + 5 + 2 * TICK)
            self.sweeper.forget(watched)

    def test_untilAnotherIsSet(self) -> None:
        watched = self.watch(1)
        self.run_(4)
        self.assertGreater(len(watched.calls), 2)
        watched.deadline = NEVER
        count = len(watched.calls)
        self.run_(4)
        self.assertEqual(len(watched.calls), count)

    def test_forgotten(self) -> None:
        watched = self.watch(2)
        self.sweeper.forget(watched)
        self.sweeper.forget(watched)
        self.run_(5)
        self.assertEqual(watched.calls, [])

    def test_forgottenAndAddedMeanwhile(self) -> None:
        more: list[Watched] = []
        first = self.watch(1, lambda: more.append(self.watch(1)))
        self.run_(1.5)
        self.assertEqual(len(first.calls), 1)
        self.assertEqual(len(more), 1)

    def test_anotherIsSetByWhatIsToldInTheSameLook(self) -> None:
        """Who was given more time a moment ago is not told that it has passed."""
        pair: list[Watched] = []

        def passed() -> None:
            for each in pair:
                each.deadline = NEVER

        pair += [self.watch(1, passed), self.watch(1, passed)]
        self.run_(3)
        self.assertEqual(sum(len(each.calls) for each in pair), 1)

    def test_oneThatFails(self) -> None:
        def fail() -> None:
            raise ValueError("a deadline")

        self.watch(1, fail)
        other = self.watch(1)
        self.run_(1.5)
        self.assertEqual(len(other.calls), 1)
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_stopAndStart(self) -> None:
        watched = self.watch(1)
        self.sweeper.stop()
        self.sweeper.stop()
        self.run_(5)
        self.assertEqual(watched.calls, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.sweeper.start()
        self.sweeper.start()
        self.assertEqual(self.sweeper.now, self.clock.seconds())
        self.run_(1.5)
        self.assertEqual(len(watched.calls), 1)
        self.sweeper.stop()
