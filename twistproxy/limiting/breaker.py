"""A circuit breaker: after too many failures nobody is let through for a while, then more and more again. Pure.

Closed, open, half-open as in M. Nygard, "Release It!" (2007). The share of failures is that of a sliding window with a
least volume, as Envoy's and Hystrix's, so that one failure of one request opens nothing. Half-open begins with a single
trial; after a good one the share that is let through grows evenly, as Traefik's recovery does, so that a server that just
came back is not met by everybody at once.
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from attrs import frozen

_BUCKETS: Final = 10
_RECOVERY_VOLUME: Final = 5
"""Outcomes that count while it recovers; few, as fewer are let through."""
_NEVER: Final = float("-inf")
_ROUNDING: Final = 1e-9
"""Of outcomes: 7 of 100 are 7 %, though 0.07 * 100 is a little more than 7."""


class State(Enum):
    """Of a breaker."""

    CLOSED = "closed"
    OPEN = "open"
    HALF_OPEN = "half-open"


@frozen
class Policy:
    """When a breaker opens, and how it closes again.

    @ivar errors: the share of failures that opens it.
    @ivar volume: outcomes in the window below which nothing opens it.
    @ivar window: seconds that are looked at.
    @ivar open: seconds for which nobody is let through.
    @ivar recovery: seconds over which more and more are let through again.
    """

    errors: float = 0.5
    volume: int = 20
    window: float = 10.0
    open: float = 10.0
    recovery: float = 10.0


class Window:
    """Outcomes of the last seconds, in a ring of ten buckets."""

    def __init__(self, seconds: float) -> None:
        self._width = seconds / _BUCKETS
        self._totals = [0] * _BUCKETS
        self._failures = [0] * _BUCKETS
        self._last = 0
        self.total = 0
        self.failures = 0

    def advance(self, now: float) -> None:
        """Forget what is too old."""
        number = int(now / self._width)
        if number == self._last:
            return
        for each in range(max(self._last + 1, number - _BUCKETS + 1), number + 1):
            at = each % _BUCKETS
            self.total -= self._totals[at]
            self.failures -= self._failures[at]
            self._totals[at] = self._failures[at] = 0
        self._last = max(self._last, number)

    def add(self, now: float, failed: bool) -> None:
        """One outcome."""
        self.advance(now)
        at = self._last % _BUCKETS
        self._totals[at] += 1
        self.total += 1
        if failed:
            self._failures[at] += 1
            self.failures += 1

    def spoil(self, now: float) -> None:
        """One that did not fail at first has failed now."""
        self.advance(now)
        if self.failures < self.total:
            self._failures[self._last % _BUCKETS] += 1
            self.failures += 1

    def clear(self) -> None:
        """Forget everything."""
        self._totals = [0] * _BUCKETS
        self._failures = [0] * _BUCKETS
        self.total = self.failures = 0


class Breaker:
    """The breaker of one route or upstream. All times are seconds of the same clock.

    Every request that L{admit} lets through is to be followed by L{record} or L{release}, with the time at which it was let
    through: what began before the breaker was half-open tells nothing about how things are since then, as in Sony's
    gobreaker.

    @ivar state: now.
    @ivar opened: how often it has opened.
    @ivar cause: failures and outcomes in the window when it opened last.
    """

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.state = State.CLOSED
        self.opened = 0
        self.cause = (0, 0)
        self._window = Window(policy.window)
        self._until = 0.0  # of the open state
        self._since: float | None = None  # when recovery began: no trial went well before
        self._trial = self._era = _NEVER  # when the trial began; since when requests count
        self._credit = 0.0  # while it recovers; somebody may pass for each whole one

    def admit(self, now: float) -> float:
        """Somebody wants to pass.

        @return: 0 for going on, else the seconds after which it is worth another try.
        """
        if self.state is State.CLOSED:
            return 0.0
        if self.state is State.OPEN:
            if now < self._until:
                return self._until - now
            self.state = State.HALF_OPEN
            self._since, self._trial, self._era = None, _NEVER, now
            self._credit = 0.0
            self._window.clear()
        if self._since is None:
            # One at a time; one that does not come back is given up after as long as the breaker was open.
            if now - self._trial < self.policy.open:
                return self.policy.open - (now - self._trial)
            self._trial = now
            return 0.0
        share = (now - self._since) / self.policy.recovery if self.policy.recovery else 1.0
        if share >= 1.0:
            self._close()
            return 0.0
        self._credit += share
        if self._credit >= 1.0:
            self._credit -= 1.0
            return 0.0
        return self.policy.recovery - (now - self._since)

    def record(self, now: float, failed: bool, began: float) -> None:
        """Somebody who passed has come back.

        @param began: when L{admit} let it through.
        """
        if self.state is State.OPEN or began < self._era:
            return
        self._window.add(now, failed)
        if self._since is None and self.state is State.HALF_OPEN:
            if failed:
                self._open(now)
            else:
                self._since = now
        elif failed:  # what went well opens nothing, however old failures come to weigh more
            self._judge(now)

    def spoil(self, now: float, began: float) -> None:
        """What was recorded as good has failed after all: its answer broke off.

        @param began: as for L{record}.
        """
        if self.state is not State.OPEN and began >= self._era:
            self._window.spoil(now)
            self._judge(now)

    def release(self, began: float) -> None:
        """Somebody who passed will tell nothing: the client left, or nobody was asked. If it was the trial, the next may be.

        @param began: as for L{record}.
        """
        if began == self._trial and self._since is None:
            self._trial = _NEVER

    def _judge(self, now: float) -> None:
        volume = self.policy.volume if self.state is State.CLOSED else min(self.policy.volume, _RECOVERY_VOLUME)
        window = self._window
        if window.failures and window.total >= volume and window.failures >= self.policy.errors * window.total - _ROUNDING:
            self._open(now)

    def _open(self, now: float) -> None:
        self.state = State.OPEN
        self.opened += 1
        self.cause = (self._window.failures, self._window.total)
        self._until = now + self.policy.open
        self._window.clear()

    def _close(self) -> None:
        self.state = State.CLOSED
        self._window.clear()
