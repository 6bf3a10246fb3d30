"""Bodies at a pace: the L{stages<twistproxy.bodies.stages>} that slow a body, or break it off.

When how much may go is decided by a L{Pace}, which knows neither transports nor timers.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IDelayedCall

from twistproxy.bodies.body import HIGH_WATER, BodySink
from twistproxy.bodies.stages import BodyControl, Stage
from twistproxy.errors import ProxyError
from twistproxy.messages import InboundRequest, Item
from twistproxy.transports.splicing import FlowSource

LOW_WATER: Final = HIGH_WATER // 2
"""Bytes held, at which the source may send again."""


class Pace(Protocol):
    """How fast."""

    def grant(self, held: int, now: float) -> tuple[int, float]:
        """What may go next.

        @param held: how many bytes there are; more than none.
        @param now: in seconds, never going back.
        @return: of how many bytes, at most C{held}, the turn comes, and in how many seconds. These are taken.
        """


class AtOnce:
    """L{Pace} of a body that is not slowed."""

    def grant(self, held: int, now: float) -> tuple[int, float]:
        """L{Pace.grant}."""
        return held, 0.0


class PacedBody:
    """A stage that sends as its pace allows."""

    def __init__(
        self, reactor: Any, request: InboundRequest, pace: Pace, endDelay: float, sink: BodySink, control: BodyControl
    ) -> None:
        """
        @param reactor: C{IReactorTime}.
        @param request: whose end closes this.
        @param endDelay: seconds by which the end of the body is held back, after its last byte.
        """
        self._reactor = reactor
        self._pace = pace
        self._endDelay = endDelay
        self._sink = sink
        self._control = control
        self._pieces: deque[bytes] = deque()
        self._held = self._at = 0  # the second in the first piece
        self._trailers: list[Item] | None = None
        self._timer: IDelayedCall | None = None
        self._isPaused = self._isSending = self._isOver = False
        request.whenFinished(self._close)

    # From where the body comes.

    def spliceBody(self, source: FlowSource, transport: Any, length: int) -> None:
        """L{BodySink}: never, as it is timed here."""

    def bodySpliced(self, size: int) -> None:
        """L{BodySink}: never."""

    def bodyReceived(self, data: bytes) -> None:
        """L{BodySink}."""
        if self._isOver:
            return
        self._pieces.append(data)
        self._held += len(data)
        self._advance()
        if self._held > HIGH_WATER and not self._isOver and self._trailers is None:
            self._isPaused = True
            self._control.pauseBody()  # again, if somebody else has had it resumed

    def bodyEnded(self, trailers: list[Item]) -> None:
        """L{BodySink}."""
        if self._isOver:
            return
        self._trailers = trailers
        self._advance()
        if not self._isOver:
            self._control.flush()  # the head, which would have left with the end

    # In its own time.

    def _advance(self) -> None:
        if self._timer is not None or self._isSending:
            return
        self._isSending = True
        while self._held and not self._isOver:
            size, delay = self._pace.grant(self._held, self._reactor.seconds())
            if delay > 0:
                self._timer = self._reactor.callLater(delay, self._granted, size)
                break
            self._send(size)
        self._isSending = False
        if not self._isOver and not self._held and self._trailers is not None:
            if self._endDelay:
                self._timer = self._reactor.callLater(self._endDelay, self._end)
            else:
                self._end()
        elif self._isPaused and self._held <= LOW_WATER and not self._isOver and self._trailers is None:
            self._isPaused = False
            self._control.resumeBody()

    def _granted(self, size: int) -> None:
        self._timer = None
        control = self._control
        self._isSending = True
        self._send(size)
        self._isSending = False
        self._advance()
        if not self._isOver:
            control.flush()

    def _send(self, size: int) -> None:
        while size and not self._isOver:
            piece, start = self._pieces[0], self._at
            if len(piece) - start <= size:
                self._pieces.popleft()
                self._at = 0
                sent = piece[start:] if start else piece
            else:
                self._at = start + size
                sent = piece[start : self._at]
            size -= len(sent)
            self._held -= len(sent)
            self._sink.bodyReceived(sent)

    def _end(self) -> None:
        self._timer = None
        self._isOver = True
        assert self._trailers is not None
        self._sink.bodyEnded(self._trailers)

    def _close(self, exchange: Any) -> None:
        """The exchange is over: nothing more is wanted."""
        self._isOver = True
        self._pieces.clear()
        self._held = 0
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()


class LimitedBody:
    """A stage that breaks a body off after so many bytes."""

    def __init__(self, limit: int, error: ProxyError, sink: BodySink, control: BodyControl) -> None:
        """
        @param limit: bytes that pass; a body that has no more is left alone.
        @param error: what the log says then.
        """
        self._left = limit
        self._error = error
        self._sink = sink
        self._control = control
        self._isOver = False

    def spliceBody(self, source: FlowSource, transport: Any, length: int) -> None:
        """L{BodySink}: never, as it is counted here."""

    def bodySpliced(self, size: int) -> None:
        """L{BodySink}: never."""

    def bodyReceived(self, data: bytes) -> None:
        """L{BodySink}."""
        if self._isOver:
            return
        passing, rest = data[: self._left], data[self._left :]
        self._left -= len(passing)
        if passing:
            self._sink.bodyReceived(passing)
        if rest:
            self._isOver = True
            self._control.breakOff(self._error)

    def bodyEnded(self, trailers: list[Item]) -> None:
        """L{BodySink}."""
        if not self._isOver:
            self._sink.bodyEnded(trailers)


def paced(reactor: Any, request: InboundRequest, pace: Pace, endDelay: float = 0.0) -> Stage:
    """The stage for a body of C{request}'s exchange; see L{PacedBody}."""
    return partial(PacedBody, reactor, request, pace, endDelay)


def limited(limit: int, error: ProxyError) -> Stage:
    """The stage that breaks a body off; see L{LimitedBody}."""
    return partial(LimitedBody, limit, error)
