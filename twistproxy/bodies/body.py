"""A body on its way: bytes come in at one side, and go on to a sink or are read by a plugin, with backpressure.

A L{Body} holds what nobody took yet, at most L{HIGH_WATER} bytes and one segment: above that it asks its source to
pause. Attached to a sink it passes every piece on at once and holds nothing. It knows neither transports nor HTTP.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twisted.internet.defer import Deferred, fail, succeed

from twistproxy.errors import BODY_TOO_LARGE, BodyTooLarge, ErrorKind, ProxyError
from twistproxy.messages import Item
from twistproxy.transports.splicing import Flow, FlowSource

HIGH_WATER: Final = 64 << 10
"""Bytes held, above which the source is paused."""

_SMALL: Final = 512
_JOINED: Final = 4 << 10
"""A held piece of less than the first is added to one before it that is less than the second: a piece is an object, and a
client that sends single bytes must not make us hold fifty times as much."""

Meter = Callable[[int], None]
"""Told how many bytes of a body are held; what it raises ends the reading."""


class BodySource(Protocol):
    """Where a body comes from: it can be stopped and started."""

    def bodyWanted(self) -> None:
        """A plugin waits for it: if the sender waits too, for a 100, let it go on."""

    def pauseBody(self) -> None:
        """Send no more for now."""

    def resumeBody(self) -> None:
        """Go on."""


class BodySink(Protocol):
    """Where a body goes."""

    def spliceBody(self, source: FlowSource, transport: Any, length: int) -> Flow | None:
        """Have the kernel bring it so much of the body from C{transport}, if that can be."""

    def bodySpliced(self, size: int) -> None:
        """The kernel brings so many bytes."""

    def bodyReceived(self, data: bytes) -> None:
        """A piece, in order."""

    def bodyEnded(self, trailers: list[Item]) -> None:
        """It was complete."""


class _Nowhere:
    """The sink of a body that was handed over and is over: the one that it had leads back here, and would keep all of the
    exchange until the garbage is collected."""

    def spliceBody(self, source: FlowSource, transport: Any, length: int) -> None:
        """Nobody wants it."""

    def bodySpliced(self, size: int) -> None:
        """Nobody wants it."""

    def bodyReceived(self, data: bytes) -> None:
        """Nobody wants it."""

    def bodyEnded(self, trailers: list[Item]) -> None:
        """Nobody is told."""


_NOWHERE: Final[BodySink] = _Nowhere()


class Body:
    """One message's body.

    @ivar size: bytes that came in so far.
    @ivar ended: whether all came in.
    @ivar trailers: the fields after it, once it ended.
    """

    size = 0
    ended = False
    error: Exception | None = None
    trailers: list[Item] = []
    contents: bytes | None = None
    _most: int | None = None
    _held = 0
    _sink: BodySink | None = None
    _tap: Callable[[BodySink], BodySink] | None = None
    _paused = False
    _deferred: Deferred[bytes] | None = None
    _meter: Meter | None = None
    _limit = 0

    def __init__(self, source: BodySource | None = None, tooLarge: ErrorKind = BODY_TOO_LARGE) -> None:
        self.source = source
        self._tooLarge = tooLarge
        self._chunks: list[bytes] = []

    @classmethod
    def of(cls, contents: bytes) -> Body:
        """A complete body.

        @raise TypeError: when C{contents} is not bytes.
        """
        if not isinstance(contents, bytes):
            raise TypeError(f"a body is bytes, not {type(contents).__name__}")
        made = cls()
        if contents:
            made._chunks.append(contents)
        made.size = made._held = len(contents)
        made.contents = contents
        made.ended = True
        return made

    # What a plugin does.

    def read(self, limit: int, meter: Meter | None = None) -> Deferred[bytes]:
        """All of it, held in memory. It is still sent on afterwards, unless another is assigned.

        @param limit: most bytes.
        @param meter: for whoever limits what is held of many bodies together; not told of one that was read before.
        @return: a Deferred that fires with the bytes, or fails with L{BodyTooLarge} (413 for a request's body, 502 for
            a response's) or with what broke the message.
        """
        if self.contents is not None:
            return succeed(self.contents) if len(self.contents) <= limit else fail(self._tooLong(limit))
        if self.error is not None:
            return fail(self.error)
        if self._sink is not None or self._deferred is not None:
            return fail(RuntimeError("this body is already on its way, or being read"))
        self._limit = limit
        self._meter = meter
        reading: Deferred[bytes] = Deferred(self._readCancelled)
        self._deferred = reading
        if not self.ended and self.source is not None:
            self.source.bodyWanted()
        self._advance()
        return reading

    def tap(self, tap: Callable[[BodySink], BodySink]) -> None:
        """Have all of it pass through what C{tap} makes of its sink, once it has one; with two of them, first through that of
        the first. A body that was read or assigned passes none of them: all of it is in C{contents}.
        """
        before = self._tap
        self._tap = tap if before is None else lambda sink: before(tap(sink))

    def pour(self) -> None:
        """All of it is here, and nobody takes it: let it pass its taps."""
        if self.ended and self.contents is None and self._tap is not None:
            self.attach(_NOWHERE)

    # What the side where it comes from does.

    def limitTo(self, most: int | None, length: int) -> None:
        """Take no more than so many bytes.

        @param most: None for any number.
        @param length: what the message says of it; negative when it says nothing.
        @raise ProxyError: when it is longer.
        """
        if most is not None:
            if max(length, self.size) > most:
                raise self._over(most)
            self._most = most

    def dataReceived(self, data: bytes) -> None:
        """A piece came in.

        @raise ProxyError: when it is longer than it may be; a sink gets nothing of the piece.
        """
        self.size += len(data)
        if self._most is not None and self.size > self._most:
            raise self._over(self._most)
        if self._sink is not None:
            self._sink.bodyReceived(data)
            return
        chunks = self._chunks
        if len(data) < _SMALL and chunks and len(chunks[-1]) < _JOINED:
            chunks[-1] += data
        else:
            chunks.append(data)
        self._held += len(data)
        self._advance()

    def splice(self, source: FlowSource, transport: Any, length: int) -> Flow | None:
        """Have the kernel take so much of what did not come yet from C{transport} to where it goes, if that can be."""
        return None if self._sink is None else self._sink.spliceBody(source, transport, length)

    def spliced(self, size: int) -> None:
        """The kernel has taken so many bytes from the source."""
        self.size += size
        if self._sink is not None:
            self._sink.bodySpliced(size)

    def allReceived(self, trailers: list[Item]) -> None:
        """It is complete."""
        self.ended = True
        self.source = None  # which may hold on to this body
        self.trailers = trailers
        sink = self._sink
        if sink is not None:
            self._sink = _NOWHERE
            sink.bodyEnded(trailers)
        else:
            self._advance()

    def failed(self, error: Exception) -> None:
        """It will not become complete. A sink is told of that by whoever owns the exchange."""
        self.error = error
        self.source = None
        if self._sink is not None:
            self._sink = _NOWHERE
        if self._deferred is not None:
            reading, self._deferred = self._deferred, None
            reading.errback(error)

    # What the engine does at the side where it goes.

    @property
    def isBeingRead(self) -> bool:
        """Whether a plugin waits for all of it."""
        return self._deferred is not None

    @property
    def isUntouched(self) -> bool:
        """Whether nothing came in yet and nobody asked for any."""
        return not self.size and not self.ended and self._deferred is None and self.error is None

    @property
    def held(self) -> int:
        """Bytes held now."""
        return self._held

    def attach(self, sink: BodySink) -> None:
        """Hand over what is held, and everything from now on. A body that was read or assigned can be handed over again."""
        if self.contents is not None:
            if self.contents:
                sink.bodyReceived(self.contents)
            sink.bodyEnded(self.trailers)
            return
        if self._tap is not None:
            tap, self._tap = self._tap, None
            sink = tap(sink)
        self._sink = sink
        chunks, self._chunks, self._held = self._chunks, [], 0
        for chunk in chunks:
            sink.bodyReceived(chunk)
        if self.ended:
            self._sink = _NOWHERE
            sink.bodyEnded(self.trailers)
        elif self._paused:
            self._resume()

    def detach(self) -> None:
        """Hold what comes from now on."""
        self._sink = None

    def discard(self) -> None:
        """Drop what is held."""
        self._chunks, self._held = [], 0

    def _advance(self) -> None:
        if self._deferred is not None:
            self._advanceReading(self._deferred)
        elif self._held > HIGH_WATER and not self._paused and not self.ended and self.source is not None:
            self._paused = True
            self.source.pauseBody()

    def _advanceReading(self, reading: Deferred[bytes]) -> None:
        error = self._hindrance()
        if error is not None:
            self._deferred = None
            reading.errback(error)
        elif self.ended:
            self._deferred = None
            self.contents = b"".join(self._chunks)
            self._chunks = [self.contents] if self.contents else []
            reading.callback(self.contents)
        elif self._paused:
            self._resume()

    def _hindrance(self) -> Exception | None:
        """Why it is read no further."""
        if self._held > self._limit:
            return self._tooLong(self._limit)
        try:
            if self._meter is not None:
                self._meter(self._held)
        except Exception as error:
            return error
        return None

    def _resume(self) -> None:
        self._paused = False
        if self.source is not None:
            self.source.resumeBody()

    def _readCancelled(self, reading: Deferred[bytes]) -> None:
        self._deferred = None

    def _over(self, most: int) -> ProxyError:
        return ProxyError(self._tooLarge, f"more than {most} bytes")

    def _tooLong(self, limit: int) -> BodyTooLarge:
        return BodyTooLarge(self._tooLarge, f"longer than the {limit} bytes that a plugin reads")


EMPTY: Final = Body.of(b"")
"""The body of messages without one; shared, and never changed."""
