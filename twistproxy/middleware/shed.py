"""Refuse some requests before all become slow."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from zope.interface import implementer

from twistproxy.errors import SHED_LAG, SHED_MEMORY, ErrorKind, ProxyError
from twistproxy.interfaces import IMiddleware
from twistproxy.limiting.memory import giveBackMemory, residentMemory
from twistproxy.limiting.shedding import Shedder
from twistproxy.messages import InboundRequest
from twistproxy.text.units import Duration, Size, formatSize

_log: Final = Logger(namespace="twistproxy.error")
_TRIM_EVERY: Final = 10.0
"""Seconds from one attempt to give memory back to the next."""


@implementer(IMiddleware)
class Shed(Service):
    """Refuse requests with a 503 while the process is overloaded, as shed:lag=200ms:memory=1GiB: some of them at first, then
    more, for as long as that lasts. The logs say which of the two it was, C{shed_lag} or C{shed_memory}.

    @ivar lag: what decides by lag; None when that was not asked for. It has C{value}, C{share} and C{refused}.
    @ivar memory: the same for memory.
    @ivar allowed: how many requests passed.
    """

    def __init__(
        self,
        *,
        lag: Duration = 0.0,
        memory: Size = 0,
        interval: Duration = 0.1,
        retryAfter: Duration = 1.0,
        context: Any = None,
    ) -> None:
        """
        @param lag: how late the process may be with what it has to do at a certain time: while it works on one thing,
            everything else waits so long.
        @param memory: bytes that the process may have in memory (RSS). Linux only.
        @param interval: from one look at both to the next.
        @param retryAfter: when those who are refused may come again.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        if not lag and not memory:
            raise ValueError("name a limit: lag or memory")
        if interval <= 0:
            raise ValueError("interval is more than 0")
        if memory:
            try:
                have = residentMemory()
            except OSError:
                raise ValueError("memory: this system does not tell how much a process has") from None
            if have >= memory:
                raise ValueError(f"memory: {formatSize(memory)} is less than the process has at the start")
        self.lag = Shedder(lag) if lag else None
        self.memory = Shedder(memory) if memory else None
        self.allowed = 0
        both: list[tuple[ErrorKind, Shedder | None]] = [(SHED_LAG, self.lag), (SHED_MEMORY, self.memory)]
        self._shedders = [(kind, each) for kind, each in both if each is not None]
        self._interval = interval
        self._headers = [("Retry-After", str(ceil(retryAfter)))]
        self._reactor = context.reactor
        self._due = 0.0
        self._trimmed = float("-inf")
        self._timer: IDelayedCall | None = None
        self._isShedding = False

    def startService(self) -> None:
        """Look from now on."""
        super().startService()  # type: ignore[no-untyped-call]
        if self._timer is None:
            self._wait(self._reactor.seconds())

    def stopService(self) -> Any:
        """Look no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        for kind, shedder in self._shedders:
            if shedder.refuses():
                raise ProxyError(kind, f"{shedder.value:.6g} of {shedder.limit:.6g}", self._headers)
        self.allowed += 1
        return proceed()

    def _wait(self, now: float) -> None:
        self._due = now + self._interval
        self._timer = self._reactor.callLater(self._interval, self._look)

    def _look(self) -> None:
        now = self._reactor.seconds()
        if self.lag is not None:
            self.lag.measured(max(0.0, now - self._due))
        if self.memory is not None:
            self.memory.measured(self._resident(self.memory.limit, now))
        self._wait(self._reactor.seconds())
        isShedding = any(each.share for _, each in self._shedders)
        if isShedding != self._isShedding:
            self._isShedding = isShedding
            state = ", ".join(f"{kind.reason} {each.value:.6g} of {each.limit:.6g}" for kind, each in self._shedders)
            _log.warn("shed: refusing requests {what} ({values})", what="begins" if isShedding else "ends", values=state)

    def _resident(self, limit: float, now: float) -> int:
        size = residentMemory()
        if size > limit and now - self._trimmed >= _TRIM_EVERY:
            self._trimmed = now
            giveBackMemory()
            size = residentMemory()
        return size
