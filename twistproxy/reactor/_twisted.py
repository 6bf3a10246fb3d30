"""How connections come to be: Twisted's own ports and connectors, up to the moment when a socket is connected.

Listening, accepting (with its care for a lack of descriptors), connecting, binding, timeouts, lock files and all errors
are Twisted's code. What changes is which transport is made then. For ports that is a public attribute. For clients it
is C{_connectDone}, which Twisted calls a hook, but names as private; and C{_makeTransport} and
C{_fromListeningDescriptor} are private too. L{WatchingReactor} mends what uvloop does to everything else that has a
descriptor. C{tests/unit/reactor} fails by name when one of Twisted's names is gone.
"""

# mypy: allow-untyped-calls
# Twisted's reactors carry no annotations.
from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Sequence
from typing import Any, Final

import uvloop
from twisted.internet import tcp, unix
from twisted.internet.address import UNIXAddress
from twisted.internet.asyncioreactor import AsyncioSelectorReactor
from twisted.internet.interfaces import IFileDescriptorReceiver
from twisted.internet.protocol import Protocol
from twisted.internet.tcp import Client as TCPClient

from twistproxy.reactor.accepted import AcceptedConnection, isTwistedsTLS
from twistproxy.reactor.connection import Connection
from twistproxy.reactor.local import UNIXConnection
from twistproxy.reactor.securing import SecureConnection, Turnwise, UpgradableConnection

PRIVATE_NAMES: Final = (
    (tcp.Client, "_connectDone"),
    (unix.Client, "_connectDone"),
    (tcp.Client, "_collectSocketDetails"),
    (tcp.Connector, "_makeTransport"),
    (unix.Connector, "_makeTransport"),
    (tcp.Port, "_fromListeningDescriptor"),
    (unix.Port, "_fromListeningDescriptor"),
    (AsyncioSelectorReactor, "_readOrWrite"),
)
"""What this module overrides or calls although its name says not to."""


class WatchingReactor(AsyncioSelectorReactor):
    """Twisted's asyncio reactor, whose readers and writers survive an error on their descriptor.

    When libuv reports one, uvloop calls both once more, and then watches that descriptor no longer. Twisted's selectables
    count on being called again while there is something to read.

    @ivar loop: uvloop's.
    """

    loop: uvloop.Loop

    def _readOrWrite(self, selectable: Any, read: bool) -> None:
        super()._readOrWrite(selectable, read)
        descriptor = (self._readers if read else self._writers).get(selectable)
        if descriptor is not None:
            asked = select.poll()
            asked.register(descriptor, 0)
            if asked.poll(0):
                self.loop.call_soon(self._watchAgain, selectable, read)

    def _watchAgain(self, selectable: Any, read: bool) -> None:
        watched, add, remove = (
            (self._readers, self.addReader, self.removeReader) if read else (self._writers, self.addWriter, self.removeWriter)
        )
        if selectable in watched:
            remove(selectable)
            add(selectable)


class _BelowTLS(Turnwise, UpgradableConnection):
    """A TCP connection whose protocol is a layer of Twisted's TLS."""


class _LocallyBelowTLS(Turnwise, UNIXConnection):
    """A UNIX connection whose protocol is such a layer."""


def _make(reactor: Any, handle: socket.socket, protocol: Any, peer: Any, connector: Any = None) -> Connection:
    kind = _BelowTLS if isTwistedsTLS(protocol) else UpgradableConnection
    return kind(reactor, handle, protocol, peer, connector)


def _numbered(connection: Connection, port: Any, number: int) -> Connection:
    connection.server = port
    connection.sessionno = number
    return connection


def _acceptedLocally(handle: socket.socket, protocol: Any, peer: Any, port: Any, number: int, reactor: Any) -> Any:
    if IFileDescriptorReceiver.providedBy(protocol):
        return unix.Server(handle, protocol, peer, port, number, reactor)
    return _numbered(_makeLocally(reactor, handle, protocol, peer), port, number)


def _makeLocally(reactor: Any, handle: socket.socket, protocol: Any, peer: Any, connector: Any = None) -> Connection:
    kind = _LocallyBelowTLS if isTwistedsTLS(protocol) else UNIXConnection
    return kind(reactor, handle, protocol, peer, connector)


_LOOK: Final = 64
"""Connections from one look at how they come to the next."""

_MOST: Final = 8
"""Connections that a port takes in one turn."""


class Port(tcp.Port):
    """Listens on TCP: Twisted's port, whose connections uvloop accepts.

    uvloop has a copy of the socket, which it can close at any time: that is how no more is accepted for a while. Of each copy
    libuv accepts one connection in a turn. Where connections come faster there are more copies, so that a turn is worth its
    price, and what it writes is worth gathering: measured, a fifth of all that a connection with one request costs. Where
    they come one by one each further copy would be a call of accept in vain.
    """

    reactor: Any
    _serving: Sequence[Any] = ()
    _turns = 0

    def startReading(self) -> None:
        """Accept."""
        if not self._serving:
            self._serve(1)
            self._turns = self.reactor.batch.turns
            self.reactor.ports.add(self)

    def stopReading(self) -> None:
        """Accept no more."""
        if self._serving:
            self._serve(0)
            self.reactor.ports.discard(self)

    def _serve(self, number: int) -> None:
        """Accept by so many copies."""
        serving = list(self._serving)
        while len(serving) > number:
            serving.pop().close()
        while len(serving) < number:
            copy = self.socket.dup()
            # An adopted port does not know its backlog, and to libuv listening is listening with one.
            listening = self.reactor.loop.create_server(self._arriving, sock=copy, backlog=self.backlog or socket.SOMAXCONN)
            serving.append(finished(listening))
        self._serving = serving

    def _look(self) -> None:
        """See how many turns it took until so many connections had come."""
        number, before = len(self._serving), self._turns
        self._turns = self.reactor.batch.turns
        taken = number * (self._turns - before)  # that would have been, if each copy had had one in each turn
        if number and taken <= _LOOK * 5 // 4:
            self._serve(min(2 * number, _MOST))
        elif number > 1 and taken > _LOOK * 3:
            self._serve(number // 2)

    def _arriving(self) -> AcceptedConnection:
        number = self.sessionno
        self.sessionno = number + 1
        if not self.sessionno % _LOOK:
            self.reactor.loop.call_soon(self._look)
        return AcceptedConnection(self.reactor, self, number)


def finished(coroutine: Any) -> Any:
    """What a coroutine returns that waits for nothing."""
    try:
        coroutine.send(None)
    except StopIteration as result:
        return result.value
    raise RuntimeError("uvloop waits where it did not before")


class UNIXPort(unix.Port):
    """Listens on a path."""

    transport = staticmethod(_acceptedLocally)  # type: ignore[assignment]


class SecurePort(tcp.Port):
    """Listens on TCP for TLS by uvloop.

    @ivar context: of standard C{ssl}; C{handshakeTimeout} is in seconds.
    """

    _type = "TLS"
    context: ssl.SSLContext
    handshakeTimeout: float

    def transport(  # type: ignore[override]
        self, handle: socket.socket, protocol: Any, peer: Any, port: Any, number: int, reactor: Any
    ) -> Connection:
        """What C{tcp.Port.transport} is called with."""
        made = SecureConnection(reactor, handle, protocol, peer, None, self.context, None, self.handshakeTimeout)
        return _numbered(made, port, number)


def _takeOver(client: Any, make: Any) -> None:
    """A client's socket is connected: what Twisted's C{_connectDone} does, with a transport of another make.

    @param make: called with socket, protocol and connector; gives the transport.
    """
    connector, handle = client.connector, client.socket
    protocol = connector.buildProtocol(client.getPeer())
    isWanted = protocol is not None
    client.connected = 1  # what comes late, a timeout say, is too late
    del client.connector
    client._collectSocketDetails()
    if protocol is None:
        protocol = Protocol()
    connector.transport = transport = make(handle, protocol, connector)
    if isWanted:
        protocol.makeConnection(transport)
    else:
        transport.loseConnection()


class _Client(TCPClient):
    """Connects over TCP."""

    def _connectDone(self) -> None:
        peer, connector = self.realAddress, self.connector
        try:
            _takeOver(self, lambda handle, protocol, connector: connector.secured(handle, protocol, peer))
        except BaseException:
            if not isinstance(connector.transport, Connection):
                raise  # buildProtocol() failed: Twisted's business
            connector.transport.protocolFailed()


class Connector(tcp.Connector):
    """Connects over TCP, and makes what is connected."""

    def _makeTransport(self) -> TCPClient:
        return _Client(self.host, self.port, self.bindAddress, self, self.reactor)

    @property
    def asked(self) -> tuple[Any, Any]:
        """Where to connect to, as it was asked for."""
        return (self.host, self.port)

    def secured(self, handle: socket.socket, protocol: Any, peer: Any) -> Connection:
        """The transport of a connected socket."""
        return _make(self.reactor, handle, protocol, peer, self)


class SecureConnector(Connector):
    """The same, with TLS by uvloop.

    @ivar context, serverName, handshakeTimeout: see L{SecureConnection}.
    """

    context: ssl.SSLContext
    serverName: str
    handshakeTimeout: float

    def secured(self, handle: socket.socket, protocol: Any, peer: Any) -> Connection:
        """L{Connector.secured}."""
        return SecureConnection(
            self.reactor, handle, protocol, peer, self, self.context, self.serverName, self.handshakeTimeout
        )


class _UNIXClient(unix.Client):
    """Connects to a path."""

    def _connectDone(self) -> None:
        path = self.addr

        def make(handle: socket.socket, protocol: Any, connector: Any) -> Any:
            if not IFileDescriptorReceiver.providedBy(protocol):
                return _makeLocally(connector.reactor, handle, protocol, path, connector)
            return _OwnClient(handle, protocol, path, connector)

        _takeOver(self, make)


class _OwnClient(unix.Server):
    """Twisted's own transport of a connected UNIX socket, for protocols that receive descriptors."""

    def __init__(self, handle: socket.socket, protocol: Any, path: bytes, connector: Any) -> None:
        super().__init__(handle, protocol, path, None, 0, connector.reactor)
        self.repstr = f"<{type(protocol).__name__} to {path!r}>"
        self._connector = connector

    def getHost(self) -> UNIXAddress:
        return UNIXAddress(None)

    def connectionLost(self, reason: Any) -> None:
        wasConnected = hasattr(self, "socket")
        super().connectionLost(reason)
        if wasConnected:
            self._connector.connectionLost(reason)


class UNIXConnector(unix.Connector):
    """Connects to a path."""

    def _makeTransport(self) -> _UNIXClient:  # type: ignore[override]
        return _UNIXClient(self.address, self, self.reactor, self.checkPID)
