"""Bodies that come late: a L{stage<twistproxy.bodies.stages>} that hands on each piece some time after it came."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from twisted.internet.interfaces import IDelayedCall

from twistproxy.bodies.body import BodySink
from twistproxy.bodies.stages import BodyControl, Stage
from twistproxy.messages import InboundRequest, Item
from twistproxy.transports.splicing import FlowSource

MOST: Final = 1 << 20
"""Bytes on their way, above which the source is paused. More than elsewhere, or no long latency would let much through."""


class DelayedBody:
    """Every piece has a delay of its own from when it came, and so has the end; what would overtake waits."""

    def __init__(
        self, reactor: Any, request: InboundRequest, delay: Callable[[], float], sink: BodySink, control: BodyControl
    ) -> None:
        """
        @param reactor: C{IReactorTime}.
        @param request: whose end closes this.
        @param delay: of the next piece, in seconds.
        """
        self._reactor = reactor
        self._delay = delay
        self._sink = sink
        self._control = control
        self._pieces: deque[tuple[float, bytes]] = deque()  # and when they are due
        self._held = 0
        self._last = 0.0  # when the last one is
        self._trailers: list[Item] | None = None
        self._timer: IDelayedCall | None = None
        self._isPaused = self._isOver = False
        request.whenFinished(self._close)

    def spliceBody(self, source: FlowSource, transport: Any, length: int) -> None:
        """L{BodySink}: never, as it is timed here."""

    def bodySpliced(self, size: int) -> None:
        """L{BodySink}: never."""

    def bodyReceived(self, data: bytes) -> None:
        """L{BodySink}."""
        if self._isOver:
            return
        self._add(data)
        self._held += len(data)
        if self._held > MOST:
            self._isPaused = True
            self._control.pauseBody()

    def bodyEnded(self, trailers: list[Item]) -> None:
        """L{BodySink}."""
        if not self._isOver:
            self._trailers = trailers
            self._add(b"")
            self._control.flush()  # the head, which would have left with the end

    def _add(self, data: bytes) -> None:
        self._last = due = max(self._last, self._reactor.seconds() + self._delay())
        self._pieces.append((due, data))
        self._await()

    def _await(self) -> None:
        if self._timer is None and self._pieces:
            self._timer = self._reactor.callLater(max(0.0, self._pieces[0][0] - self._reactor.seconds()), self._advance)

    def _advance(self) -> None:
        self._timer = None
        now, control = self._reactor.seconds(), self._control
        while self._pieces and self._pieces[0][0] <= now and not self._isOver:
            _, data = self._pieces.popleft()
            self._held -= len(data)
            if data:
                self._sink.bodyReceived(data)
            else:
                self._isOver = True
                assert self._trailers is not None
                self._sink.bodyEnded(self._trailers)
                return
        if self._isOver:
            return
        control.flush()
        if self._isPaused and self._held <= MOST // 2 and self._trailers is None:
            self._isPaused = False
            control.resumeBody()
        self._await()

    def _close(self, exchange: Any) -> None:
        """The exchange is over: nothing more is wanted."""
        self._isOver = True
        self._pieces.clear()
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


def delayed(reactor: Any, request: InboundRequest, delay: Callable[[], float]) -> Stage:
    """The stage for a body of C{request}'s exchange; see L{DelayedBody}."""
    return partial(DelayedBody, reactor, request, delay)
