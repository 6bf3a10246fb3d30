"""TLS in two ways: by OpenSSL under Twisted's C{startTLS}, as on every reactor, and by uvloop, which is twice as fast.

The first is for everything that Twisted's interfaces promise, and L{SwitchedConnection} is what a connection becomes
then. The second needs a standard C{ssl.SSLContext}, which no interface of Twisted's takes.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterable
from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, INegotiated, ISSLTransport, ITLSTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.reactor.connection import Connection
from twistproxy.reactor.internet import TCPConnection
from twistproxy.transports.writing import HIGH_WATER, PlainWriter, Writer, WritingOwner


class Turnwise(TCPConnection):
    """Sends what was written when the loop's turn ends, not at once: what is below a layer of Twisted's TLS.

    When that layer aborts, it writes a close_notify first and counts on its being forgotten with all else that was not
    sent. If it arrived, an answer that was cut short would look complete.
    """

    _turn: list[bytes] | None = None
    _turnSize = 0

    def write(self, data: bytes) -> None:
        """Send these bytes soon."""
        if not self.isDirect or data.__class__ is not bytes:
            super().write(data)
            return
        if self._turn is None:
            self._turn = []
            self._turnSize = 0
            self.reactor.loop.call_soon(self._endTurn)
        self._turn.append(data)
        self._turnSize += len(data)
        if self._turnSize > HIGH_WATER:
            self._endTurn()  # so that a producer is paused in time

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send all of these soon."""
        for data in iovec:
            self.write(data)

    def makeWriter(self, owner: WritingOwner) -> Writer:
        """L{IWriterSource.makeWriter}."""
        return PlainWriter(self, owner)

    def _endTurn(self) -> None:
        turn, self._turn = self._turn, None
        if turn and self.connected and not self._isAborting:
            self.send(b"".join(turn))

    def _attend(self) -> None:
        self._endTurn()
        super()._attend()

    def _closeWhenSent(self) -> None:
        self._endTurn()
        super()._closeWhenSent()


@implementer(ITLSTransport)
class UpgradableConnection(TCPConnection):
    """Over TCP, and over TLS on top of that when asked. What C{listenTCP} and C{connectTCP} make.

    @cvar switched: what it becomes then.
    """

    switched: type[UpgradableConnection]

    def startTLS(self, contextFactory: Any, normal: bool = True) -> None:
        """Speak TLS from here on, by Twisted's own C{TLSMemoryBIOProtocol} between the protocol and this.

        @param contextFactory: of pyOpenSSL's contexts.
        @param normal: whether the side that connected is TLS's client.
        """
        from twisted.protocols.tls import TLSMemoryBIOFactory

        producer, streaming = self.producer, self.streamingProducer
        if producer is not None:
            self.unregisterProducer()
        isClient = (self.connector is not None) == normal
        factory = TLSMemoryBIOFactory(contextFactory, isClient, None)  # type: ignore[arg-type]
        layer = factory.protocol(factory, self.protocol, False)
        self.protocol = layer
        # What was an attribute lookup stays one: no question whether there is TLS in the way of every write.
        self.__class__ = self.switched
        layer.makeConnection(_Below(self))  # type: ignore[arg-type]
        if producer is not None:
            self.registerProducer(producer, streaming)


class _Below:
    """What a layer of TLS that was started later writes to: the connection without it."""

    def __init__(self, connection: SwitchedConnection) -> None:
        self._connection = connection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)

    def write(self, data: bytes) -> None:
        Turnwise.write(self._connection, data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        Turnwise.writeSequence(self._connection, iovec)

    def loseConnection(self) -> None:
        Turnwise.loseConnection(self._connection)

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        Turnwise.registerProducer(self._connection, producer, streaming)

    def unregisterProducer(self) -> None:
        Turnwise.unregisterProducer(self._connection)


@implementer(ISSLTransport)
class SwitchedConnection(Turnwise, UpgradableConnection):
    """After C{startTLS}: to the protocol it is the layer of TLS, whose writes go around these methods."""

    TLS = True

    def write(self, data: bytes) -> None:
        """Send encrypted."""
        if self.connected:
            self.protocol.write(data)

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """Send encrypted."""
        if self.connected:
            self.protocol.writeSequence(iovec)

    def loseConnection(self) -> None:
        """End TLS, then the connection."""
        if self.connected and not self.disconnecting:
            self.protocol.loseConnection()

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """The layer paces it."""
        self.protocol.registerProducer(producer, streaming)

    def unregisterProducer(self) -> None:
        """The layer has it."""
        self.protocol.unregisterProducer()

    def getHandle(self) -> Any:
        """pyOpenSSL's connection."""
        return self.protocol.getHandle()

    def getPeerCertificate(self) -> Any:
        """pyOpenSSL's certificate of the peer."""
        return self.protocol.getPeerCertificate()


UpgradableConnection.switched = SwitchedConnection


@implementer(ISSLTransport, INegotiated)
class SecureConnection(Connection):
    """TLS by uvloop, from the first byte on.

    The protocol is connected when TCP is, as with Twisted's TLS, and told by C{IHandshakeListener} when TLS is up. What
    it writes until then is sent then. There is no half-close.

    @ivar negotiatedProtocol: what ALPN chose, once TLS is up; None without.
    """

    TLS = True
    negotiatedProtocol: bytes | None = None
    _closedCleanly = False

    def __init__(
        self,
        reactor: Any,
        handle: socket.socket,
        protocol: Any,
        peer: Any,
        connector: Any,
        context: ssl.SSLContext,
        serverName: str | None,
        handshakeTimeout: float,
    ) -> None:
        """
        @param serverName: of the server, for SNI and its certificate; None on the server's side.
        @param handshakeTimeout: in seconds.
        """
        self._context = context
        self._serverName = serverName
        self._handshakeTimeout = handshakeTimeout
        super().__init__(reactor, handle, protocol, peer, connector)

    def _open(self) -> Any:
        loop, limit = self.reactor.loop, self._handshakeTimeout
        if self.connector is None:
            return loop.connect_accepted_socket(self._itself, self.socket, ssl=self._context, ssl_handshake_timeout=limit)
        return loop.create_connection(
            self._itself, sock=self.socket, ssl=self._context, server_hostname=self._serverName, ssl_handshake_timeout=limit
        )

    def connection_made(self, transport: Any) -> None:
        """TLS is up."""
        transport.set_write_buffer_limits(HIGH_WATER, 0)
        chosen = transport.get_extra_info("ssl_object").selected_alpn_protocol()
        if chosen is not None:
            self.negotiatedProtocol = chosen.encode("ascii")
        super().connection_made(transport)
        if IHandshakeListener.providedBy(self.protocol) and self.connected and not self._isAborting:
            try:
                self.protocol.handshakeCompleted()
            except BaseException:
                self.protocolFailed()

    def eof_received(self) -> bool:
        """The peer said that it closes; uvloop answers in kind, and says that the connection is lost.

        @return: False: TLS has no half-close.
        """
        self._closedCleanly = True
        return False

    def _reasonOf(self, error: BaseException | None) -> Failure:
        if isinstance(error, ssl.SSLError) and not self._isAborting:
            return Failure(error)  # what is wrong with a certificate, say
        if error is None and not (self._closedCleanly or self.disconnecting or self._isAborting or self._reason):
            return Failure(ConnectionLost("TLS ended without a close_notify"))
        return super()._reasonOf(error)

    def loseConnection(self) -> None:
        """End TLS, then the connection, after what was written. In a handshake, with nothing written, at once."""
        if self._uv is None and not self._early and self.producer is None:
            self.abortConnection()
        else:
            super().loseConnection()

    def loseWriteConnection(self) -> None:
        """Close both ways: uvloop's TLS cannot close one."""
        self.loseConnection()

    def abortConnection(self) -> None:
        """Reset the connection."""
        if self.disconnected or self._isAborting:
            return
        super().abortConnection()
        if self._uv is None:
            try:
                self.socket.shutdown(socket.SHUT_RDWR)  # uvloop's handshake sees the end of its input
            except OSError:
                pass

    def getPeerCertificate(self) -> Any:
        """pyOpenSSL's certificate of the peer, or None."""
        from OpenSSL.crypto import FILETYPE_ASN1, load_certificate

        session = None if self._uv is None else self._uv.get_extra_info("ssl_object")
        encoded = None if session is None else session.getpeercert(True)
        return None if encoded is None else load_certificate(FILETYPE_ASN1, encoded)

    _isNoDelay = True
    getTcpNoDelay = TCPConnection.getTcpNoDelay
    setTcpNoDelay = TCPConnection.setTcpNoDelay
    getTcpKeepAlive = TCPConnection.getTcpKeepAlive
    setTcpKeepAlive = TCPConnection.setTcpKeepAlive
    getHost = TCPConnection.getHost
    getPeer = TCPConnection.getPeer
