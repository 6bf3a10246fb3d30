"""Raw peers: the bytes at the other end of what is tested, in the hands of the test.

A L{RawClient} connects, a L{RawServer} accepts L{RawPeer}s. They do nothing by themselves: a peer whose other
side has closed stays half open until the test closes it, like a program that never looked.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from twisted.internet.interfaces import IAddress, IConnector, IHalfCloseableProtocol, IListeningPort
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.testing.addresses import Address

if TYPE_CHECKING:
    from twistproxy.testing.transport import MemoryTransport


@implementer(IHalfCloseableProtocol)
class RawPeer(Protocol):
    """One end of a connection, driven in bytes.

    Every method may be called before the connection is there, and then takes effect when it is; once the
    connection is closed none has an effect. Nothing moves before the network is pumped.
    """

    transport: MemoryTransport
    """The transport below; C{transport.peer} is the transport of the other side, that of the code under
    test."""

    closed: Failure | None
    """Why the connection ended or could not be made; L{None} as long as it may still be used."""

    isOpen: bool
    """Whether the connection is there now."""

    eof: bool
    """Whether the other side has closed its writing half or the whole connection, and everything was read."""

    onEnd: Callable[[RawPeer], object] | None
    """Called once with this peer when nothing will come any more: after an end of file, or when the connection is lost."""

    def __init__(
        self,
        onData: Callable[[RawPeer, bytes], object] | None = None,
        onConnect: Callable[[RawPeer], object] | None = None,
    ) -> None:
        """
        @param onData: called with this peer and each delivery, after C{received} has grown.
        @param onConnect: called with this peer when the connection is there.
        """
        self.onData = onData
        self.onConnect = onConnect
        self.onEnd = None
        self.closed = None
        self.eof = False
        self._received = bytearray()
        self._taken = 0
        self._waiting: list[Callable[[], object]] = []
        self.isOpen = False

    @property
    def received(self) -> bytes:
        """Every byte that has arrived so far."""
        return bytes(self._received)

    def take(self) -> bytes:
        """What has arrived since the last C{take}."""
        new = bytes(self._received[self._taken :])
        self._taken = len(self._received)
        return new

    def send(self, data: bytes) -> None:
        """Send C{data}; what the network does not take yet waits in C{transport.buffered}."""
        self._whenOpen(lambda: self.transport.write(data))

    def halfClose(self) -> None:
        """Close the writing half once everything was sent; the other side reads an end of file."""
        self._whenOpen(lambda: self.transport.loseWriteConnection())

    def close(self) -> None:
        """Close the connection once everything was sent. Unread bytes make it a reset, as in the kernel."""
        self._whenOpen(lambda: self.transport.loseConnection())

    def abort(self) -> None:
        """Drop what was not sent and reset the connection."""
        self._whenOpen(lambda: self.transport.abortConnection())

    def pause(self) -> None:
        """Stop reading: once the socket buffer is full, what the other side writes stays in its memory."""
        self._whenOpen(lambda: self.transport.pauseProducing())

    def resume(self) -> None:
        """Read again."""
        self._whenOpen(lambda: self.transport.resumeProducing())

    # What the transport tells.

    def connectionMade(self) -> None:
        """Do what the test has asked for before, and call C{onConnect}."""
        self.isOpen = True
        waiting, self._waiting = self._waiting, []
        for action in waiting:
            action()
        if self.onConnect is not None:
            self.onConnect(self)

    def dataReceived(self, data: bytes) -> None:
        """Keep C{data} and call C{onData}."""
        self._received += data
        if self.onData is not None:
            self.onData(self, data)

    def readConnectionLost(self) -> None:
        """Note the end of file."""
        self.eof = True
        self._tellEnd()

    def writeConnectionLost(self) -> None:
        """Do nothing: C{halfClose} asked for it."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Note the reason."""
        self.isOpen = False
        self.closed = reason
        self._tellEnd()

    def _tellEnd(self) -> None:
        onEnd, self.onEnd = self.onEnd, None
        if onEnd is not None:
            onEnd(self)

    def _whenOpen(self, action: Callable[[], object]) -> None:
        if self.isOpen:
            action()
        elif self.closed is None:
            self._waiting.append(action)

    def __repr__(self) -> str:
        if self.closed is not None:
            state = self.closed.getErrorMessage()
        else:
            state = "open" if self.isOpen else "connecting"
        return f"<{type(self).__name__} {state}, {len(self._received)} bytes received>"


class RawClient(RawPeer):
    """The connecting end; made by C{MemoryNetwork.connect}.

    If no connection can be made, C{closed} tells why.
    """


class RawServer(Factory):
    """A listening port whose connections the test answers by hand; made by C{MemoryNetwork.serve}."""

    noisy = False

    port: IListeningPort
    """The port it listens on."""

    peers: list[RawPeer]
    """The connections accepted so far, the closed ones too, oldest first."""

    def __init__(
        self,
        onData: Callable[[RawPeer, bytes], object] | None = None,
        onConnect: Callable[[RawPeer], object] | None = None,
    ) -> None:
        """
        @param onData: called with the peer and each delivery on any connection.
        @param onConnect: called with each peer when its connection is there.
        """
        self.onData = onData
        self.onConnect = onConnect
        self.peers = []

    @property
    def address(self) -> Address:
        """Where it listens, with the real port number."""
        address: Address = self.port.getHost()  # type: ignore[assignment]
        return address

    def stop(self) -> None:
        """Stop listening; the accepted connections stay."""
        self.port.stopListening()

    def buildProtocol(self, addr: IAddress | None) -> RawPeer:
        """Make a peer and keep it in C{peers}."""
        peer = RawPeer(self.onData, self.onConnect)
        self.peers.append(peer)
        return peer


class RawClientFactory(ClientFactory):
    """Connects one L{RawClient}."""

    noisy = False

    def __init__(self, client: RawClient) -> None:
        self._client = client

    def buildProtocol(self, addr: IAddress | None) -> RawClient:
        """The client."""
        return self._client

    def clientConnectionFailed(self, connector: IConnector, reason: Failure) -> None:
        """Tell the client why."""
        self._client.connectionLost(reason)
