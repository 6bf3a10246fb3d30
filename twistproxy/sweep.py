"""Coarse deadlines: one look per second at everything that must not last for ever.

A timer per connection would cost more than many a request does. Whoever watches a deadline puts it in C{deadline} and
is told when it has passed, between its time and two seconds later, never before.
"""

from __future__ import annotations

from typing import Final, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

TICK: Final = 1.0
"""Seconds between two looks."""

NEVER: Final = float("inf")
"""The deadline of what has none."""

_log = Logger()


class Watched(Protocol):
    """Something with a deadline.

    @ivar deadline: in the time of L{Sweeper.now}, or L{NEVER}.
    """

    deadline: float

    def deadlinePassed(self) -> None:
        """It has passed. Set another, or it is told again at the next look."""


class Sweeper:
    """Looks at all deadlines once a second.

    @ivar now: the time of the last look, in seconds: good enough for deadlines, and free.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._watched: set[Watched] = set()
        self._loop: LoopingCall | None = None
        self.now = clock.seconds()

    def after(self, seconds: float) -> float:
        """The deadline C{seconds} from now."""
        return self.now + seconds + TICK

    def watch(self, watched: Watched) -> None:
        """Look at it from now on, until C{forget}."""
        self._watched.add(watched)

    def forget(self, watched: Watched) -> None:
        """Look at it no longer."""
        self._watched.discard(watched)

    def start(self) -> None:
        """Begin to look; harmless when begun."""
        if self._loop is None:
            self._loop = LoopingCall(self._look)
            self._loop.clock = self._clock
            self.now = self._clock.seconds()
            running: Deferred[LoopingCall] = self._loop.start(TICK, now=False)
            running.addErrback(lambda failure: _log.failure("The sweeper stopped", failure))

    def stop(self) -> None:
        """Look no longer at anything."""
        if self._loop is not None:
            loop, self._loop = self._loop, None
            loop.stop()

    def _look(self) -> None:
        self.now = now = self._clock.seconds()
        passed = [each for each in self._watched if each.deadline <= now]
        for each in passed:
            if each.deadline > now:
                continue  # what was told to another has given it a later one
            try:
                each.deadlinePassed()
            except Exception:
                _log.failure("A deadline of {watched!r} could not be handled", watched=each)
