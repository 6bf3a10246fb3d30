"""What the error log says about exchanges that failed.

A failure of an upstream, of a plugin or of the proxy has a line of its own. What clients cause, and what the proxy refuses
by a rule, can be as many as somebody likes, and often is when there is too much to do already: of these a few have lines,
and of the others the log gets the number. The access log has each of them, with its reason.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twisted.logger import Logger

from twistproxy.errors import NO_ANSWER, ErrorKind, Fault, ProxyError
from twistproxy.limiting.gcra import LocalLimit, Rate
from twistproxy.messages import Address
from twistproxy.sweep import NEVER, Sweeper

if TYPE_CHECKING:
    from twistproxy.exchange.exchange import Exchange

_log: Final = Logger(namespace="twistproxy.error")

LINES: Final = Rate(1.0, 9)
"""How many lines there are for each reason on each route: ten at once, and one a second."""

_MAX_KEYS: Final = 1024
"""Reasons on routes that are known at once."""

_SUM_AFTER: Final = 10.0
"""Seconds from the first that has no line to the line with their number."""


class FailureLog:
    """Tells the error log of failures.

    @ivar deadline: see L{twistproxy.sweep.Watched}.
    """

    deadline: float = NEVER

    def __init__(self, sweeper: Sweeper, seconds: Callable[[], float]) -> None:
        """@param seconds: tells the time."""
        self._sweeper = sweeper
        self._seconds = seconds
        self._lines = LocalLimit(LINES, _MAX_KEYS)
        self._untold: Counter[tuple[ErrorKind, str]] = Counter()

    def exchangeFailed(self, exchange: Exchange, error: ProxyError) -> None:
        """An exchange is over, and ended with an error."""
        kind, inbound = error.kind, exchange.inbound
        if not self.hasLine(kind, "" if exchange.route is None else exchange.route.name):
            return
        report = _log.info if kind.fault is Fault.CLIENT else _log.warn if kind.isRefusal else _log.error
        report(
            "{method} {target} from {client}: {status} {reason}{detail}{notRetried} "
            "(upstream {upstream}, {duration:.3f} s, request {id})",
            method=inbound.method.decode("latin-1"), target=inbound.target.decode("latin-1"), client=inbound.client,
            status=exchange.code or kind.status, reason=kind.reason,
            detail=f": {error.detail}" if error.detail else "",
            notRetried=f"; not retried: {error.notRetried}" if error.notRetried else "",
            upstream=exchange.upstream.key if exchange.upstream is not None else "none",
            duration=self._seconds() - exchange.started, id=inbound.id,
        )  # fmt: skip

    def requestRefused(self, peer: Address, error: ProxyError, requestId: str) -> None:
        """A client's bytes were no request, or its connection was not wanted."""
        if self.hasLine(error.kind):
            _log.info(
                "{what} from {client} was {done}: {status} {reason}{detail} (request {id})",
                what="A connection" if error.isSilent else "A request", done="closed" if error.isSilent else "refused",
                client=peer, status=NO_ANSWER if error.isSilent else error.kind.status, reason=error.kind.reason,
                detail=f": {error.detail}" if error.detail else "", id=requestId,
            )  # fmt: skip

    def hasLine(self, kind: ErrorKind, route: str = "") -> bool:
        """Whether this one has a line; else it is counted. For what tells of a failure by itself, too."""
        if not kind.isRefusal or self._lines.take(f"{kind.reason} {route}".encode(), self._seconds()).isAllowed:
            return True
        self._untold[kind, route] += 1
        if self.deadline == NEVER:
            self.deadline = self._sweeper.after(_SUM_AFTER)
            self._sweeper.watch(self)
        return False

    def deadlinePassed(self) -> None:
        """It is time to tell how many had no line."""
        self.flush()

    def flush(self) -> None:
        """Tell how many had no line."""
        self.deadline = NEVER
        self._sweeper.forget(self)
        untold, self._untold = self._untold, Counter()
        for (kind, route), count in untold.items():
            report = _log.info if kind.fault is Fault.CLIENT else _log.warn
            where = f" on route {route}" if route else ""
            report("{count} more: {status} {reason}{where}", count=count, status=kind.status, reason=kind.reason, where=where)
