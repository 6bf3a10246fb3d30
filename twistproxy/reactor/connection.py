"""A connection that uvloop reads and writes, with the contract of Twisted's transports.

One object is both: asyncio's protocol to uvloop, and C{ITCPTransport} to the Twisted protocol above. Where uvloop's own
transports break that contract, a comment says so next to what bridges it.
"""

from __future__ import annotations

import socket
import struct
from typing import Any, Final

from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    ILoggingContext,
    IPushProducer,
    ISystemHandle,
    ITransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.reactor.sending import Sender

_log: Final = Logger()

_DONE: Final = Failure(ConnectionDone())
_LOST: Final = Failure(ConnectionLost())
"""As in Twisted one for all."""

_RESET: Final = struct.pack("ii", 1, 0)
"""SO_LINGER's value that makes a close a reset."""


class _Borrowed(socket.socket):
    """A socket whose descriptor uvloop has, and closes: libuv ends the process when somebody else does."""

    def close(self) -> None:
        """Nothing."""


@implementer(ITransport, IPushProducer, ISystemHandle, ILoggingContext)
class Connection(Sender):
    """What TCP, UNIX and TLS connections share.

    It exists before uvloop's transport does, which comes in the loop's next turn, or after a TLS handshake: until then
    what is written waits here.

    @ivar protocol: the Twisted protocol; may be replaced at any time.
    @ivar connector: whose connection this is, when it was opened from here.
    @ivar server: the port that accepted it, when that did; C{sessionno} counts those.
    """

    connector: Any = None
    server: Any = None
    sessionno = 0

    _socket: socket.socket | None = None
    _held: list[bytes] | None = None  # what was read although reading is paused; b"" for the end of the input
    _isReading = True
    _inputEnded = False
    _reason: Failure | None = None  # why it ends, if we know better than uvloop

    def __init__(self, reactor: Any, handle: socket.socket, protocol: Any, peer: Any, connector: Any = None) -> None:
        """
        @param handle: connected; from here on uvloop's, and closed by it.
        @param peer: the address of the other side, as the socket has it.
        """
        self.reactor = reactor
        self.protocol = protocol
        self._socket = handle
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

    @property
    def socket(self) -> socket.socket:
        """uvloop's socket; for what was accepted by uvloop itself made when it is asked for."""
        if self._socket is None:
            below = self._uv.get_extra_info("socket")
            self._socket = _Borrowed(below.family, socket.SOCK_STREAM, 0, below.fileno())
        return self._socket

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
        self._caughtUp()

    def _caughtUp(self) -> None:
        """There is a transport: do what was asked for before."""
        transport = self._uv
        self.isDirect = True
        early, self._early = self._early, None
        if early:
            transport.write(b"".join(early))
        if self.producer is not None and (not self.streamingProducer or self.producerPaused):
            self._attend()
            if early:
                self._checkSent()
        self._heedPause()
        if self.disconnecting:
            self._closeWhenSent()
        elif self._writeDisconnecting:
            self._attend()
            self._checkSent()

    def _heedPause(self) -> None:
        if not self._isReading:
            # uvloop reads once this returns, whatever pause_reading() was told before, until its next turn.
            self._held = []
            self.reactor.loop.call_soon(self._holdReading)

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
        if IHalfCloseableProtocol.providedBy(self.protocol):
            try:
                self.protocol.readConnectionLost()
            except BaseException:
                self.protocolFailed()
        else:
            self._end(_DONE)
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

    # Ending.

    def loseConnection(self) -> None:
        """Close once all that was written is sent, and a producer that waits has no more."""
        if not self.connected or self.disconnecting:
            return
        if self._writeDisconnected:
            self.connectionLost(_DONE)
            return
        self.disconnecting = 1
        self.pauseProducing()
        if self._uv is not None:
            # Not now: what is written in the same turn is still sent.
            self.reactor.loop.call_soon(self._closeWhenSent)

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
            self.protocol.connectionLost(reason)
        except BaseException:
            _log.failure("Unhandled Error")
        if self.connector is not None:
            self.connector.connectionLost(reason)
        if self._socket is not None:
            self._socket.detach()  # uvloop closes it, once
        # No cycles: a closed connection must not wait for the garbage collector.
        self._uv = self.send = self.sendPieces = self.protocol = None

    def _reasonOf(self, error: BaseException | None) -> Failure:
        if self._reason is not None:
            return self._reason
        if self._isAborting:
            return Failure(ConnectionAborted())
        if error is None:
            return _DONE
        return _LOST if isinstance(error, OSError) else Failure(error)

    def _shutDown(self, reason: Failure) -> None:
        """End the connection itself, even where a copy of its descriptor is left somewhere.

        uvloop only closes, also when it aborts: that would be a FIN, a clean end to the peer.
        """
        try:
            if isinstance(reason.value, ConnectionAborted):
                self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            elif self._socket is not None:
                self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the peer was faster

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
        return f"{prefix},client" if self.connector is not None else f"{prefix},{self.sessionno},{self.getPeer().host}"

    def logPrefix(self) -> str:
        """L{ILoggingContext.logPrefix}."""
        return self.logstr
