"""Virtual time: delayed calls run one turn at a time, and what they raise is kept.

L{twistproxy.testing.core} makes a reactor of it, L{twistproxy.testing.network} adds the connections.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.base import DelayedCall
from twisted.internet.task import Clock
from twisted.logger import Logger
from twisted.python.failure import Failure


class TurnClock(Clock):
    """A L{Clock} whose due calls run a turn at a time, as in a reactor.

    A call that is added during a turn, even with a delay of 0, belongs to the next turn. An exception from a
    call is logged and kept in C{errors}; the other calls still run.
    """

    _log = Logger()

    errors: list[Failure]
    """What calls and protocols raised into the reactor, oldest first; a test may clear it."""

    def __init__(self) -> None:
        super().__init__()
        self.errors = []

    def dueCalls(self) -> list[DelayedCall]:
        """The calls whose time has come, earliest first, equal times in the order in which they were
        added."""
        now = self.seconds()
        return sorted((call for call in self.calls if call.getTime() <= now), key=DelayedCall.getTime)

    def runDueCalls(self) -> list[DelayedCall]:
        """Run one turn and return the calls that ran."""
        ran = []
        for call in self.dueCalls():
            # An earlier call of this turn may have cancelled or postponed this one.
            if call.active() and call.getTime() <= self.seconds():
                self.calls.remove(call)
                call.called = 1
                ran.append(call)
                self.guarded("a delayed call", call.func, *call.args, **call.kw)
        return ran

    def nextTime(self) -> float | None:
        """When the earliest delayed call is due; L{None} if there is none."""
        return min((call.getTime() for call in self.calls), default=None)

    def guarded(self, what: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call C{function}; log an exception, keep it in C{errors} and return L{None} instead of raising
        it."""
        try:
            return function(*args, **kwargs)
        except Exception:
            self.noteError(what, Failure())

    def noteError(self, what: str, failure: Failure) -> None:
        """Log C{failure} and keep it in C{errors}."""
        self.errors.append(failure)
        self._log.failure("{what} raised", failure=failure, what=what)
