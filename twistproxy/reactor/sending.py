"""The writing half of a connection: what is written goes to uvloop, and producers are paced by its buffer.

uvloop sends at once what the kernel takes. It tells that its buffer has become too full, and that it is empty again. In
a few rare states something has to follow whenever all that was written is sent: a pull producer is asked for more, or the
connection is closed or half-closed. Then uvloop is told to call a buffer with a single byte too full.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.interfaces import IConsumer
from zope.interface import implementer

from twistproxy.reactor.writer import JOINED, ConnectionWriter
from twistproxy.transports.writing import HIGH_WATER, IWriterSource, Writer, WritingOwner


@implementer(IConsumer, IWriterSource)
class Sender:
    """What L{twistproxy.reactor.connection.Connection} is to those who write.

    @ivar connected, disconnected, disconnecting: as in L{twisted.internet.abstract.FileDescriptor}.
    @ivar isDirect: whether what is written goes straight to C{send} or C{sendPieces}, which are uvloop's: always but in
        those states.
    """

    TLS = False
    reactor: Any
    connected = 1
    disconnected = 0
    disconnecting = 0
    producer: Any = None
    streamingProducer = False
    producerPaused = False
    bufferSize = HIGH_WATER
    send: Any = None
    sendPieces: Any = None
    isDirect = False

    _uv: Any = None  # uvloop's transport
    _early: list[bytes] | None = None  # what was written before it was there
    _earlySize = 0
    _isAborting = False
    _writeDisconnecting = False
    _writeDisconnected = False
    _drainScheduled = False

    def abortConnection(self) -> None:
        """Reset; of the other half."""
        raise NotImplementedError

    def loseConnection(self) -> None:
        """Close; of the other half."""
        raise NotImplementedError

    def protocolFailed(self) -> None:
        """A call from here raised; of the other half."""
        raise NotImplementedError

    def _closeWriting(self) -> None:
        """All was sent before the half-close that was asked for."""
        raise NotImplementedError

    def closeAfterTurn(self) -> None:
        """As L{loseConnection}, where nothing more is written in this turn."""
        if self.isDirect and self.connected and not (self.disconnecting or self._writeDisconnecting):
            self.disconnecting = 1
            self._uv.close()  # which reads no more
        else:
            self.loseConnection()

    def _closeWhenSent(self) -> None:
        """Close now, if nothing that is produced has to be waited for."""
        if not self.connected:
            return
        if self.producer is not None and (not self.streamingProducer or self.producerPaused):
            self._attend()
            self._checkSent()
        else:
            self._uv.close()  # which sends what is in its buffer first, and what is written until then

    def write(self, data: bytes) -> None:
        """Send these bytes, at once as far as the kernel takes them.

        @raise TypeError: C{data} is not bytes.
        """
        if self.isDirect and data.__class__ is bytes:
            self.send(data)
        else:
            self._writeOtherwise(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send all of these, in order.

        @raise TypeError: one is not bytes.
        """
        pieces = list(iovec)
        for piece in pieces:
            if not isinstance(piece, bytes):
                raise TypeError("Data must be bytes")
        if len(pieces) > 1 and self.isDirect and sum(map(len, pieces)) > JOINED:
            self.sendPieces(pieces)
        else:
            self.write(b"".join(pieces))

    def makeWriter(self, owner: WritingOwner) -> Writer:
        """L{IWriterSource.makeWriter}."""
        return ConnectionWriter(self, owner)

    def _writeOtherwise(self, data: bytes) -> None:
        """What is rare: there is no transport yet or no more, or something has to happen when all is sent."""
        if not isinstance(data, bytes):
            raise TypeError("Data must be bytes")
        if not self.connected or self._writeDisconnected or self._isAborting or not data:
            return
        if self._uv is None:
            self._early = self._early or []
            self._early.append(data)
            self._earlySize += len(data)
            if self._earlySize > HIGH_WATER:
                self._pauseProducer()
        else:
            self.send(data)
            if not self.isDirect:
                self._checkSent()

    def pause_writing(self) -> None:
        """uvloop's buffer is above its mark."""
        if self._uv.get_write_buffer_size() > HIGH_WATER:
            self._pauseProducer()

    def resume_writing(self) -> None:
        """uvloop's buffer is all but empty; where L{_attend} asked for it, really empty."""
        if self.isDirect:
            self._resumeProducer()
        else:
            self._allSent()

    def _attend(self) -> None:
        """Something has to happen whenever all that was written is sent: be told."""
        self.isDirect = False
        self._uv.set_write_buffer_limits(0, 0)

    def _attendNoMore(self) -> None:
        if self._uv is not None and self.connected and not (self.disconnecting or self._writeDisconnecting):
            self._uv.set_write_buffer_limits(HIGH_WATER, 0)
            self.isDirect = True

    def _checkSent(self) -> None:
        size = self._uv.get_write_buffer_size()
        if size > HIGH_WATER:
            self._pauseProducer()
        elif not size and not self._drainScheduled:
            self._drainScheduled = True
            self.reactor.loop.call_soon(self._allSent)

    def _allSent(self) -> None:
        """Twisted's order of what follows: a producer that waits first, then closing, then half-closing."""
        self._drainScheduled = False
        if not self.connected or self._uv.get_write_buffer_size():
            return
        if self.producer is not None and (not self.streamingProducer or self.producerPaused):
            self._resumeProducer()
            if self.streamingProducer:
                self._attendNoMore()
        elif self.disconnecting:
            self._uv.close()
        elif self._writeDisconnecting and not self._writeDisconnected:
            self._closeWriting()

    def isWriting(self) -> bool:
        """Whether there is something that was not sent yet."""
        return bool(self._early if self._uv is None else self._uv.get_write_buffer_size())

    # A producer of what is written.

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """L{twisted.internet.interfaces.IConsumer}.

        @raise RuntimeError: there is one already.
        """
        if self.producer is not None:
            raise RuntimeError(
                f"Cannot register producer {producer}, because producer {self.producer} was never unregistered."
            )
        if self.disconnected:
            producer.stopProducing()
            return
        self.producer = producer
        self.streamingProducer = streaming
        self.producerPaused = False
        if not streaming:
            if self._uv is not None:
                self._attend()
                self._checkSent()  # once too often for one that comes before anything was written, in time for others
            producer.resumeProducing()
        elif self._uv is not None and self._uv.get_write_buffer_size() > HIGH_WATER:
            self._pauseProducer()  # uvloop told that its buffer is full before there was a producer, and won't again

    def unregisterProducer(self) -> None:
        """There is none any more; a close that waited for it goes on."""
        wasPull = self.producer is not None and not self.streamingProducer
        self.producer = None
        if not self.connected or self._uv is None:
            return
        if self.disconnecting:
            self._closeWhenSent()
        elif self._writeDisconnecting:
            self._checkSent()
        elif wasPull:
            self._attendNoMore()

    def stopConsuming(self) -> None:
        """The producer lost its connection: so shall this."""
        self.unregisterProducer()
        self.loseConnection()

    def _pauseProducer(self) -> None:
        if self.producer is not None and self.streamingProducer and not self.producerPaused:
            self.producerPaused = True
            self.producer.pauseProducing()

    def _resumeProducer(self) -> None:
        if self.producer is not None and (self.producerPaused or not self.streamingProducer):
            self.producerPaused = False
            try:
                self.producer.resumeProducing()
            except BaseException:
                self.protocolFailed()
