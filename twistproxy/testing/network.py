"""The in-memory network: a reactor with virtual time whose connections are in memory, for tests without
sockets.

L{MemoryNetwork} is what a test gives to the code under test as its reactor, and what the test pumps. Nothing
happens by itself: bytes move and delayed calls run only inside C{pump} and C{advance}, in the same order
every time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs
from twisted.internet.abstract import isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import CannotListenError, ConnectionRefusedError, DNSLookupError
from twisted.internet.interfaces import (
    IConnector,
    IListeningPort,
    IProtocolFactory,
    IReactorSSL,
    IReactorTCP,
    IReactorUNIX,
)
from twisted.internet.protocol import ClientFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from zope.interface import implementer

from twistproxy.testing.addresses import Address, AddressLike, addressOf, describe, internetAddress
from twistproxy.testing.delivery import DeliveryReactor
from twistproxy.testing.peers import RawClient, RawClientFactory, RawPeer, RawServer
from twistproxy.testing.ports import MemoryConnector, MemoryPort
from twistproxy.testing.routes import BlackHole, mapped
from twistproxy.testing.sockets import MemorySocket, socketPair
from twistproxy.testing.transport import MemoryTransport

_LOOPBACK = {"0.0.0.0": "127.0.0.1", "::": "::1"}


@implementer(IReactorTCP, IReactorUNIX, IReactorSSL)
class MemoryNetwork(DeliveryReactor):
    """A reactor for tests: TCP, UNIX and TLS connections in memory, delayed calls in virtual time.

    Endpoints and endpoint strings work on it. Transports are Twisted's own TCP transports on sockets that behave
    like Linux's, ports and connectors follow Twisted's; the same scenarios are played here and on real sockets
    by twistproxy's own tests. An exception that a protocol or a delayed call raises is logged, kept in C{errors},
    and loses the connection, as in a real reactor; under trial the log entry fails the test unless it is flushed.

    What differs from a real reactor: bytes need no time, and a paused transport gets nothing more, where epoll
    may still deliver once in the turn in which another transport has paused it; a backlog has no limit; there are
    no file descriptors, threads, processes, datagrams or C{startTLS}. C{wrapClientTLS}, C{wrapServerTLS} and
    C{TLSMemoryBIOFactory} write through the global reactor unless they are given C{clock=network};
    C{listenSSL} and C{connectSSL} do that.
    """

    def __init__(self, hosts: Mapping[str, str | Sequence[str]] | None = None) -> None:
        """
        @param hosts: host names and their IP literals, besides C{localhost}.
        """
        super().__init__(hosts)
        self._rawClients: list[RawClient] = []
        self._rawServers: list[RawServer] = []
        self._pastMaxBufferedUnderTest = 0

    # Listening and connecting.

    def listenTCP(self, port: Any, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> IListeningPort:
        """See L{IReactorTCP.listenTCP}; C{port} may be a binding made by C{tcp.makeBinding}.

        @raise CannotListenError: if the address is taken or C{interface} is an unknown name.
        """
        canShare = False
        if not isinstance(port, int):
            bound, port, _, canShare = attrs.astuple(port)
            interface = interface or bound or ""
        literals = self.table.lookUp(interface) if interface else ["0.0.0.0"]
        if not literals:
            raise CannotListenError(interface, port, OSError(f"no address for {interface}"))
        return self._listen(MemoryPort(internetAddress(literals[0], port), factory, self, canShare))

    def connectTCP(
        self,
        host: str,
        port: int,
        factory: ClientFactory[Any],
        timeout: float | None = 30.0,
        bindAddress: tuple[str, int] | None = None,
    ) -> IConnector:
        """See L{IReactorTCP.connectTCP}; without C{bindAddress} the client is 127.0.0.1 or ::1."""
        return self._connect(internetAddress(host, port), factory, timeout, bindAddress)

    def listenUNIX(
        self,
        address: str | bytes,
        factory: IProtocolFactory,
        backlog: int = 50,
        mode: int = 0o666,
        wantPID: bool = False,
    ) -> IListeningPort:
        """See L{IReactorUNIX.listenUNIX}; no file is made, so C{mode} and C{wantPID} have no effect.

        @raise CannotListenError: if the address is taken.
        """
        return self._listen(MemoryPort(UNIXAddress(address), factory, self))

    def connectUNIX(
        self,
        address: str | bytes,
        factory: ClientFactory[Any],
        timeout: float | None = 30,
        checkPID: bool = False,
    ) -> IConnector:
        """See L{IReactorUNIX.connectUNIX}; without a listener the attempt fails with C{ENOENT}."""
        return self._connect(UNIXAddress(address), factory, timeout, None)

    def listenSSL(
        self,
        port: int,
        factory: IProtocolFactory,
        contextFactory: Any,
        backlog: int = 50,
        interface: str = "",
    ) -> IListeningPort:
        """See L{IReactorSSL.listenSSL}."""
        wrapped = TLSMemoryBIOFactory(contextFactory, False, factory, clock=self)
        return self.listenTCP(port, wrapped, backlog, interface)

    def connectSSL(
        self,
        host: str,
        port: int,
        factory: ClientFactory[Any],
        contextFactory: Any,
        timeout: float | None = 30.0,
        bindAddress: tuple[str, int] | None = None,
    ) -> IConnector:
        """See L{IReactorSSL.connectSSL}."""
        wrapped: Any = TLSMemoryBIOFactory(contextFactory, True, factory, clock=self)
        return self.connectTCP(host, port, wrapped, timeout, bindAddress)

    # What a test says.

    def connect(
        self,
        address: AddressLike,
        source: tuple[str, int] | None = None,
        onData: Callable[[RawPeer, bytes], object] | None = None,
    ) -> RawClient:
        """Begin to connect a raw client; pump to get it connected.

        @param address: see L{addressOf}.
        @param source: the host and port that the server shall see; a port of 0 is replaced by a real one.
        @param onData: called with the client and each delivery.
        """
        client = RawClient(onData)
        self._rawClients.append(client)
        self._connect(addressOf(address), RawClientFactory(client), 30.0, source)
        return client

    def serve(
        self,
        address: AddressLike = 0,
        onData: Callable[[RawPeer, bytes], object] | None = None,
        onConnect: Callable[[RawPeer], object] | None = None,
    ) -> RawServer:
        """Listen with a raw server.

        @param address: see L{addressOf}; the default is any free port of 127.0.0.1.
        @param onData: called with the peer and each delivery on any connection.
        @param onConnect: called with each peer when it was accepted.

        @raise CannotListenError: if the address is taken.
        """
        server = RawServer(onData, onConnect)
        self._rawServers.append(server)
        server.port = self._listen(MemoryPort(addressOf(address), server, self))
        return server

    def blackHole(self, address: AddressLike) -> None:
        """Let connection attempts to C{address} hang until their timeout.

        @param address: see L{addressOf}; a host alone, such as C{"10.0.0.1"}, means all its ports, a name
            means all its addresses in C{hosts}.

        @raise ValueError: for an unknown name.
        """
        self._setFault(address, BlackHole())

    def failConnections(self, address: AddressLike, error: Exception | None = None) -> None:
        """Let connection attempts to C{address} fail at once.

        @param address: see C{blackHole}.
        @param error: what C{clientConnectionFailed} gets; L{ConnectionRefusedError} by default.
        """
        self._setFault(address, error or ConnectionRefusedError())

    def heal(self, address: AddressLike) -> None:
        """Undo C{blackHole} and C{failConnections}; attempts already under way stay lost.

        @param address: see C{blackHole}.
        """
        self._setFault(address, None)

    def closePeers(self) -> None:
        """Abort every raw client and raw peer, stop every raw server, and pump: the end of most tests."""
        for server in self._rawServers:
            server.stop()
        for peer in [*self._rawClients, *(peer for server in self._rawServers for peer in server.peers)]:
            peer.abort()
        self.pump()

    # What a test asks.

    def maxBuffered(self, transport: MemoryTransport | None = None) -> int:
        """The most bytes that C{transport}, or any one transport so far, has held unsent in memory at
        once."""
        if transport is not None:
            return transport.maxBuffered
        return max([self._pastMaxBuffered, *(each.maxBuffered for each in self.connections)])

    @property
    def maxBufferedUnderTest(self) -> int:
        """The same, of any one transport of what is tested: those of raw clients and raw peers do not count."""
        tested = (each.maxBuffered for each in self.connections if not isinstance(each.application, RawPeer))
        return max([self._pastMaxBufferedUnderTest, *tested])

    def forget(self, transport: MemoryTransport) -> None:
        """Serve C{transport} no longer."""
        super().forget(transport)
        if not isinstance(transport.application, RawPeer):
            self._pastMaxBufferedUnderTest = max(self._pastMaxBufferedUnderTest, transport.maxBuffered)

    def assertClean(self) -> None:
        """Check that nothing is left over.

        @raise AssertionError: naming every open connection, port, connection attempt, delayed call and kept
            error.
        """
        left = [*self.connections, *self.ports, *self._connectors, *self.getDelayedCalls()]
        lines = [*map(str, left), *(f"error: {failure.getErrorMessage()}" for failure in self.errors)]
        if lines:
            raise AssertionError("left over:\n  " + "\n  ".join(lines))

    # For the ports, connectors and transports of this package.

    def bind(self, port: MemoryPort) -> Address:
        """Open C{port} and return its address; see L{Routes.bind}."""
        return self.routes.bind(port)

    def unbind(self, port: MemoryPort) -> None:
        """Close C{port}."""
        self.routes.unbind(port)

    def establish(self, destination: Address, source: tuple[str, int] | None) -> MemorySocket | None:
        """Connect a socket to the port at C{destination} and return it; L{None} if nobody will ever answer.

        @raise ConnectError: if the attempt fails.
        @raise DNSLookupError: if the name of the host is unknown.
        """
        client: Address = UNIXAddress(None)
        if not isinstance(destination, UNIXAddress):
            destination, client = self._resolved(destination, source or ("", 0))
        try:
            port = self.routes.find(destination)
        except BlackHole:
            return None
        ours, theirs = socketPair(client, destination, self.socketBuffer, self.nextSegment, lambda: self.resetDropsUnread)
        if isinstance(port.address, IPv6Address):
            theirs.local, theirs.remote = mapped(theirs.local), mapped(theirs.remote)
        port.backlog.append(theirs)
        return ours

    def _resolved(self, destination: IPv4Address | IPv6Address, source: tuple[str, int]) -> tuple[Address, Address]:
        literals = self.table.lookUp(destination.host)
        if not literals:
            raise DNSLookupError(f"no address for {destination.host}")
        server = internetAddress(_LOOPBACK.get(literals[0], literals[0]), destination.port)
        host = source[0] or ("::1" if isinstance(server, IPv6Address) else "127.0.0.1")
        return server, internetAddress(host, source[1] or self.routes.ephemeralPort())

    def _listen(self, port: MemoryPort) -> MemoryPort:
        port.startListening()
        return port

    def _connect(
        self,
        destination: Address,
        factory: ClientFactory[Any],
        timeout: float | None,
        source: tuple[str, int] | None,
    ) -> MemoryConnector:
        connector = MemoryConnector(destination, factory, self, timeout, source)
        connector.connect()
        return connector

    def _setFault(self, where: AddressLike, fault: Exception | None) -> None:
        host, port = "", 0
        if isinstance(where, str) and (isIPv6Address(where) or not set(":/\0") & set(where)):
            host = where
        else:
            address = addressOf(where)
            if isinstance(address, UNIXAddress):
                self.routes.setFault(describe(address), fault)
                return
            host, port = address.host, address.port
        literals = self.table.lookUp(host)
        if not literals:
            raise ValueError(f"no address for {host!r}: add it to hosts")
        for literal in literals:
            self.routes.setFault(describe(internetAddress(literal, port)) if port else literal, fault)
