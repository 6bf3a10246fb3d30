"""A connection that uvloop reads and writes, with the contract of Twisted's transports.

One object is both: asyncio's protocol to uvloop, and C{ITCPTransport} to the Twisted protocol above. Where uvloop's own
transports break that contract, a comment says so next to what bridges it.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterable
from typing import Any, Final

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableProtocol,
    ILoggingContext,
    IPushProducer,
    ISystemHandle,
    ITCPTransport,
    ITransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.reactor.writer import JOINED, ConnectionWriter
from twistproxy.splicing import ISpliceable
from twistproxy.writing import HIGH_WATER, IWriterSource, Writer, WritingOwner

_log: Final = Logger()

_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER's value that makes a close a reset."""


@implementer(ITransport, IPushProducer, IConsumer, ISystemHandle, ILoggingContext, IWriterSource)
class Connection:
    """What TCP, UNIX and TLS connections share.

    It exists before uvloop's transport does, which comes in the loop's next turn, or after a TLS handshake: until then
    what is written waits here.

    @ivar connected, disconnected, disconnecting: as in L{twisted.internet.abstract.FileDescriptor}.
    @ivar protocol: the Twisted protocol; may be replaced at any time.
    @ivar connector: whose connection this is, when it was opened from here.
    @ivar isDirect: whether what is written goes straight to C{send} or C{sendPieces}, which are uvloop's: always but in a
        few rare states.
    @ivar server: the port that accepted it, when that did; C{sessionno} counts those.
    """

    TLS = False
    connected = 1
    disconnected = 0
    disconnecting = 0
    connector: Any = None
    server: Any = None
    sessionno = 0
    producer: Any = None
    streamingProducer = False
    producerPaused = False
    bufferSize = HIGH_WATER

    _uv: Any = None  # uvloop's transport
    send: Any = None
    sendPieces: Any = None
    isDirect = False
    _early: list[bytes] | None = None  # what was written before it was there
    _earlySize = 0
    _held: list[bytes] | None = None  # what was read although reading is paused; b"" for the end of the input
    _isReading = True
    _inputEnded = False
    _isAborting = False
    _writeDisconnecting = False
    _writeDisconnected = False
    _drainScheduled = False
    _reason: Failure | None = None  # why it ends, if we know better than uvloop

    def __init__(self, reactor: Any, handle: socket.socket, protocol: Any, peer: Any, connector: Any = None) -> None:
        """
        @param handle: connected; from here on uvloop's, and closed by it.
        @param peer: the address of the other side, as the socket has it.
        """
        self.reactor = reactor
        self.protocol = protocol
        self.socket = handle
        self._peer = peer
        if connector is not None:
            self.connector = connector
        reactor.connections.add(self)
        self._opening = self._open()
        self._awaitOpening()

    def __repr__(self) -> str:
        if self.server is not None:
            return f"<{type(self.protocol).__name__} #{self.sessionno} on {self.server._realPortNumber}>"
        return f"<{type(self)} to {self.addr} at {id(self):x}>"

    @property
    def addr(self) -> Any:
        """Where it was to connect to, as it was asked for; else the peer."""
        return self._peer if self.connector is None else getattr(self.connector, "asked", self._peer)

    # Opening.

    def _open(self) -> Any:
        """Hand the socket to uvloop.

        @return: the coroutine that does it.
        """
        return self.reactor.loop.connect_accepted_socket(self._itself, self.socket)

    def _itself(self) -> Connection:
        return self

    def _awaitOpening(self, _: object = None) -> None:
        """Run the coroutine on, without the price of a task: it waits for one future or two."""
        try:
            future = self._opening.send(None)
        except StopIteration:
            self._opening = None
            if self._uv is None:  # aborted in its handshake
                self._openingFailed(None)
        except Exception as error:
            self._opening = None
            if _ is None:
                self.socket.close()  # uvloop did not get it; later, closing it is uvloop's
            self._openingFailed(error)
        else:
            future.add_done_callback(self._awaitOpening)

    def _openingFailed(self, error: Exception | None) -> None:
        """There will be no transport of uvloop's. Twisted has no other word for it than losing the connection."""
        self.reactor.loop.call_soon(self.connection_lost, error)

    def connection_made(self, transport: Any) -> None:
        """uvloop has it: catch up with what was asked for so far."""
        self._uv = transport
        self.send = transport.write
        self.sendPieces = transport.writelines
        if self._isAborting or self._reason is not None or self.disconnected:
            transport.abort()
            return
        self.isDirect = True
        early, self._early = self._early, None
        if early:
            transport.write(b"".join(early))
        if self.producer is not None and (not self.streamingProducer or self.producerPaused):
            self._attend()
            if early:
                self._checkSent()
        if not self._isReading:
            # uvloop reads once this returns, whatever pause_reading() was told before, until its next turn.
            self._held = []
            self.reactor.loop.call_soon(self._holdReading)
        if self.disconnecting:
            self._closeWhenSent()
        elif self._writeDisconnecting:
            self._attend()
            self._checkSent()

    def _holdReading(self) -> None:
        if not self._isReading and self.connected:
            self._uv.pause_reading()
        if not self._held:
            self._held = None

    # Reading.

    def data_received(self, data: bytes) -> None:
        """Bytes from the peer."""
        if self._held is None:
            try:
                self.protocol.dataReceived(data)
            except BaseException:
                self.protocolFailed()
        else:
            self._held.append(data)

    def eof_received(self) -> bool:
        """The peer sends no more.

        @return: True: uvloop leaves the transport open, and what becomes of it is decided here.
        """
        if self._held is not None:
            self._held.append(b"")
            return True
        self._inputEnded = True
        protocol = IHalfCloseableProtocol(self.protocol, None)
        if protocol is None:
            self._end(Failure(ConnectionDone()))  # type: ignore[unreachable]
        else:
            try:
                protocol.readConnectionLost()
            except BaseException:
                self.protocolFailed()
        return True

    def _release(self) -> None:
        """Deliver what was read while reading was paused, then read on."""
        while self._held and self._isReading and self.connected:
            data = self._held.pop(0)
            held, self._held = self._held, None
            if data:
                self.data_received(data)
            else:
                self.eof_received()
            self._held = held
        if not self._held:
            self._held = None
            if self._isReading and self.connected and not self._inputEnded:
                self._uv.resume_reading()

    def pauseProducing(self) -> None:
        """Read no more for now."""
        self._isReading = False
        if self._uv is not None:
            self._uv.pause_reading()

    def resumeProducing(self) -> None:
        """Read on."""
        if self.disconnecting or not self.connected:
            return
        self._isReading = True
        if self._uv is None or self._inputEnded:  # libuv must not be asked again after the end of the input
            return
        if self._held is None:
            self._uv.resume_reading()
        else:
            self.reactor.loop.call_soon(self._release)

    def isReading(self) -> bool:
        """Whether what comes is read."""
        return self._isReading and not self._inputEnded

    stopReading = pauseProducing
    startReading = resumeProducing

    def stopProducing(self) -> None:
        """The consumer is gone: close."""
        self.loseConnection()

    # Writing.

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

    # Ending.

    def loseConnection(self) -> None:
        """Close once all that was written is sent, and a producer that waits has no more."""
        if not self.connected or self.disconnecting:
            return
        if self._writeDisconnected:
            self.connectionLost(Failure(ConnectionDone()))
            return
        self.disconnecting = 1
        self.pauseProducing()
        if self._uv is not None:
            # Not now: what is written in the same turn is still sent.
            self.reactor.loop.call_soon(self._closeWhenSent)

    def _closeWhenSent(self) -> None:
        if not self.connected:
            return
        if self.producer is not None and (not self.streamingProducer or self.producerPaused):
            self._attend()
            self._checkSent()
        else:
            self._uv.close()  # which sends what is in its buffer first, and what is written until then

    def abortConnection(self) -> None:
        """Reset the connection, and forget what was not sent."""
        if self.disconnected or self._isAborting:
            return
        self._isAborting = True
        self.isDirect = False
        if self._uv is not None:
            self._uv.abort()

    def _end(self, reason: Failure) -> None:
        """End now, for a reason of our own."""
        self._reason = reason
        if self._uv is not None:
            self._uv.abort()

    def protocolFailed(self) -> None:
        """The protocol raised: log it, and be gone, as in Twisted."""
        failure = Failure()
        _log.failure("Unhandled Error", failure=failure)
        self._end(failure)

    def connectionLost(self, reason: Failure) -> None:
        """Be lost right now, for this reason, as everything is when the reactor stops."""
        if not self.disconnected:
            self._end(reason)
            self.connection_lost(None)

    def connection_lost(self, error: BaseException | None) -> None:
        """uvloop is done with it, and closes the socket once this returns."""
        if self.disconnected:
            return
        self.reactor.connections.discard(self)
        self.isDirect = False
        self.connected = 0
        self.disconnected = 1
        reason = self._reasonOf(error)
        self._early = self._held = None
        producer, self.producer = self.producer, None
        try:
            if producer is not None:
                producer.stopProducing()
            self._shutDown(reason)
            protocol = self.protocol
            protocol.connectionLost(reason)
        except BaseException:
            _log.failure("Unhandled Error")
        if self.connector is not None:
            self.connector.connectionLost(reason)
        self._uv = self.send = self.sendPieces = None

    def _reasonOf(self, error: BaseException | None) -> Failure:
        if self._reason is not None:
            return self._reason
        if self._isAborting:
            return Failure(ConnectionAborted())
        if error is None:
            return Failure(ConnectionDone())
        return Failure(ConnectionLost()) if isinstance(error, OSError) else Failure(error)

    def _shutDown(self, reason: Failure) -> None:
        """End the connection itself, even where a copy of its descriptor is left somewhere.

        uvloop only closes, also when it aborts: that would be a FIN, a clean end to the peer.
        """
        try:
            if reason.check(ConnectionAborted):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            else:
                self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer was faster

    def _closeWriting(self) -> None:
        raise NotImplementedError

    # What it is.

    def getHandle(self) -> Any:
        """The socket. uvloop watches it: no reactor can, only a copy made by C{os.dup}."""
        return self.socket

    def fileno(self) -> int:
        """The socket's descriptor; -1 once it is closed."""
        return self.socket.fileno()

    def getHost(self) -> Any:
        """L{ITransport.getHost}."""
        raise NotImplementedError

    def getPeer(self) -> Any:
        """L{ITransport.getPeer}."""
        raise NotImplementedError

    @property
    def logstr(self) -> str:
        """What Twisted's log calls it."""
        prefix = self.protocol.logPrefix() if ILoggingContext.providedBy(self.protocol) else type(self.protocol).__name__
        return f"{prefix},client" if self.connector is not None else f"{prefix},{self.sessionno},{self._peer[0]}"

    def logPrefix(self) -> str:
        """L{ILoggingContext.logPrefix}."""
        return self.logstr


@implementer(ITCPTransport, ISpliceable)
class TCPConnection(Connection):
    """Over TCP.

    TCP_NODELAY is on from the beginning, as uvloop has it; Twisted's own begin without.
    """

    def spliceableDescriptor(self) -> int | None:
        """L{ISpliceable.spliceableDescriptor}."""
        isPlain = self._uv is not None and self.connected and not self.TLS and self._held is None
        return self.socket.fileno() if isPlain else None

    def loseWriteConnection(self) -> None:
        """Send no more after what was written; go on reading."""
        if not self.connected or self._writeDisconnecting:
            return
        self._writeDisconnecting = True
        if self._uv is not None:
            self._attend()
            self._checkSent()

    def _closeWriting(self) -> None:
        """All is sent. uvloop's write_eof() would make a later write() raise, and does not tell when it is done."""
        self._writeDisconnected = True
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        protocol = IHalfCloseableProtocol(self.protocol, None)
        if protocol is not None:
            try:
                protocol.writeConnectionLost()
            except BaseException:
                self.protocolFailed()

    def getTcpNoDelay(self) -> bool:
        """Whether nothing waits for Nagle."""
        return bool(self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Set that."""
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)
        except OSError:
            pass  # some systems refuse once the peer is gone

    def getTcpKeepAlive(self) -> bool:
        """Whether the kernel asks a silent peer if it is there."""
        return bool(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Set that."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)

    def getHost(self) -> Any:
        """Our side's address."""
        return _address(self.socket.getsockname())

    def getPeer(self) -> Any:
        """The other side's."""
        return _address(self._peer)


def _address(name: Any) -> IPv4Address | IPv6Address:
    """The address that a socket's name stands for; the zone of an IPv6 address is part of its host, as in Twisted."""
    if len(name) != 4:
        return IPv4Address("TCP", *name[:2])
    if name[3] and "%" not in name[0]:
        name = (socket.getnameinfo(name, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0], *name[1:])
    return IPv6Address("TCP", *name)
