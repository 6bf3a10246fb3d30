"""One health check of one upstream, run again and again; and how many of them run at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectBindError
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from twistproxy.calling.hooks import asDeferred, isPending
from twistproxy.health.schedule import Pace
from twistproxy.messages import Health, Upstream

_LONGEST_DETAIL: Final = 200


class Slots:
    """Lets so many checks run at once; the others wait in their order."""

    def __init__(self, limit: int) -> None:
        """@param limit: 0 for any number."""
        self._limit = limit
        self._running = 0
        self._line: dict[Probe, None] = {}
        self._isAdvancing = False

    def take(self, probe: Probe) -> None:
        """Run C{probe} now, or when its turn comes."""
        self._line[probe] = None
        self._advance()

    def leave(self, probe: Probe) -> None:
        """It does not want to run any more."""
        self._line.pop(probe, None)

    def free(self) -> None:
        """One has ended."""
        self._running -= 1
        self._advance()

    def _advance(self) -> None:
        if self._isAdvancing:
            return  # a check that ended at once: those behind it have their turn in the loop
        self._isAdvancing = True
        try:
            while self._line and not (self._limit and self._running >= self._limit):
                probe = next(iter(self._line))
                del self._line[probe]
                self._running += 1
                probe.run()
        finally:
            self._isAdvancing = False


class Probe:
    """One check of one upstream, again and again."""

    def __init__(
        self,
        reactor: Any,
        slots: Slots,
        check: Any,
        pace: Pace,
        upstream: Upstream,
        random: Callable[[], float],
        tell: Callable[[Health], bool],
    ) -> None:
        """
        @param random: gives numbers from 0 to 1, for the jitter.
        @param tell: gets each result, and says whether the check holds the upstream for down now.
        """
        self._reactor = reactor
        self._slots = slots
        self._check = check
        self._pace = pace
        self._upstream = upstream
        self._random = random
        self._tell = tell
        self._started = 0.0
        self._isStopped = False
        self._running: Deferred[Any] | None = None
        self._next: IDelayedCall | None = None

    def begin(self, delay: float) -> None:
        """Run for the first time."""
        if delay > 0:
            self._next = self._reactor.callLater(delay, self._due)
        else:
            self._slots.take(self)

    def stop(self) -> None:
        """Run no more; what runs is cancelled, and its result is nothing."""
        self._isStopped = True
        self._slots.leave(self)
        pending, self._next = self._next, None
        if pending is not None:
            pending.cancel()
        running, self._running = self._running, None
        if running is not None:
            self._slots.free()
            running.cancel()

    def _due(self) -> None:
        self._next = None
        self._slots.take(self)

    def run(self) -> None:
        """It has a slot: check."""
        self._started = self._reactor.seconds()
        try:
            result = self._check.check(self._upstream)
        except Exception:
            result = Failure()
        if isPending(result):
            self._running = running = asDeferred(result)
            running.addTimeout(self._pace.timeout, self._reactor)
            running.addBoth(self._ended, running)
        else:
            self._found(result)

    def _ended(self, result: Any, running: Deferred[Any]) -> None:
        if self._running is running:
            self._running = None
            self._found(result)
        # else it was stopped

    def _found(self, result: Any) -> None:
        now = self._reactor.seconds()
        isDown = self._tell(healthOf(result, now - self._started, self._pace.timeout))
        if not self._isStopped:
            self._next = self._reactor.callLater(self._pace.next(self._started, now, self._random(), isDown), self._due)
        self._slots.free()


def healthOf(result: Any, latency: float, timeout: float) -> Health:
    """What a check returned, or its failure, as a L{Health}.

    What is the proxy's own fault tells nothing about an upstream: no descriptor or port was left for the check, or the proxy
    had no time itself, as a process that was stopped, so that a timeout fires late and nothing was read before it.

    @param latency: of the check, in seconds, where it does not say so itself.
    @param timeout: of the check, in seconds.
    """
    isInconclusive = False
    if isinstance(result, Health):
        return result
    if not isinstance(result, Failure):
        detail = f"check returned a {type(result).__name__}, not a Health"
    elif result.check(TimeoutError, CancelledError):
        detail = "it took too long"
        isInconclusive = latency > timeout + max(1.0, timeout / 2)
    else:
        detail = result.getErrorMessage() or type(result.value).__name__
        isInconclusive = result.check(ConnectBindError) is not None
    return Health(False, " ".join(detail.split())[:_LONGEST_DETAIL], latency, isInconclusive=isInconclusive)
