"""The transport of a connection in memory: Twisted's own TCP transport on a L{MemorySocket}.

Buffering, producers, half-close and abort are therefore not imitated here. What this module adds is what a
test wants to know of a transport, and the addresses. What a socket does is in L{twistproxy.testing.sockets};
who calls C{doRead} and C{doWrite} is in L{twistproxy.testing.network}.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from socket import socket
from typing import TYPE_CHECKING, Any, Protocol, cast

from twisted.internet import tcp
from twisted.internet.address import UNIXAddress
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import (
    IConsumer,
    IHalfCloseableDescriptor,
    ILoggingContext,
    IProtocol,
    IPushProducer,
    ISystemHandle,
    ITCPTransport,
)
from twisted.python.failure import Failure
from zope.interface import implementer_only

from twistproxy.testing.addresses import describe
from twistproxy.testing.sockets import MemorySocket

if TYPE_CHECKING:
    from twistproxy.testing.network import MemoryNetwork


class LostListener(Protocol):
    """Who is told, besides the protocol, that a connection was lost: a connector."""

    def connectionLost(self, reason: Failure) -> None:
        """The protocol has just been told the same."""


@implementer_only(ITCPTransport, IConsumer, IPushProducer, IHalfCloseableDescriptor, ISystemHandle, ILoggingContext)
class MemoryTransport(tcp.Connection):
    """One side of a connection in memory, an L{ITCPTransport} with the whole contract of Twisted's.

    On a UNIX socket it is the same but for the addresses and C{setTcpNoDelay}, which does nothing, as in
    Twisted. C{getHandle} gives a L{MemorySocket}; C{fileno} is -1. There is no C{startTLS}: wrap the factory
    in C{TLSMemoryBIOFactory(..., clock=network)}.
    """

    end: MemorySocket
    """The socket below; stays reachable after the connection is lost."""

    application: IProtocol
    """The protocol that was built for this connection; unlike C{protocol} it stays after the connection is
    lost."""

    isClient: bool
    """Whether this side connected (L{True}) or accepted (L{False})."""

    buffered: int
    """The bytes written and not yet taken by the socket: what this transport holds in memory now."""

    maxBuffered: int
    """The largest C{buffered} so far; a test may set it back to 0."""

    def __init__(self, end: MemorySocket, protocol: IProtocol, network: MemoryNetwork, connector: LostListener | None) -> None:
        """
        @param connector: told of the loss after the protocol; L{None} on the accepting side.
        """
        super().__init__(cast(socket, end), protocol, network)  # type: ignore[arg-type]
        self.end = end
        self.network = network
        self.isClient = connector is not None
        self.application = protocol
        self.buffered = 0
        self.maxBuffered = 0
        self._connector = connector
        self.logstr = f"{type(protocol).__name__},{'client' if self.isClient else 'server'}"
        self.connected = 1

    @property
    def received(self) -> int:
        """The bytes given to the protocol so far."""
        return self.end.received

    @property
    def sent(self) -> int:
        """The bytes that the socket has taken so far."""
        return self.end.sent

    @property
    def peer(self) -> MemoryTransport | None:
        """The transport of the other side; L{None} before it was accepted."""
        return self.network.transportOf(self.end.peer)

    @property
    def isReading(self) -> bool:
        """Whether arriving bytes would be delivered: neither paused, nor closing, nor lost."""
        return self.network.isReading(self)

    def write(self, data: bytes) -> None:
        """See L{ITransport.write}."""
        if isinstance(data, bytes):
            self._count(len(data))
        super().write(data)  # type: ignore[no-untyped-call]

    def writeSequence(self, iovec: Iterable[bytes]) -> None:
        """See L{ITransport.writeSequence}.

        Like Twisted's TCP transport it goes through C{iovec} more than once, so an iterator is lost without
        an error.
        """
        if not isinstance(iovec, Iterator):
            iovec = list(iovec)
            if all(isinstance(data, bytes) for data in iovec):
                self._count(sum(map(len, iovec)))
        super().writeSequence(iovec)  # type: ignore[no-untyped-call]

    def loseConnection(self) -> None:
        """Close once everything was written and no producer is left; see L{ITransport.loseConnection}.

        As in Twisted, what is written until then is still sent.
        """
        super().loseConnection()  # type: ignore[no-untyped-call]

    def loseWriteConnection(self) -> None:
        """Close the writing half once everything was written; see L{ITCPTransport.loseWriteConnection}."""
        super().loseWriteConnection()  # type: ignore[no-untyped-call]

    def abortConnection(self) -> None:
        """Close in the next turn, drop what was not sent, reset the peer; see
        L{ITCPTransport.abortConnection}.
        """
        super().abortConnection()  # type: ignore[no-untyped-call]

    def pauseProducing(self) -> None:
        """Stop reading; see L{IPushProducer.pauseProducing}."""
        super().pauseProducing()  # type: ignore[no-untyped-call]

    def resumeProducing(self) -> None:
        """Read again, unless closing; see L{IPushProducer.resumeProducing}."""
        super().resumeProducing()  # type: ignore[no-untyped-call]

    def stopProducing(self) -> None:
        """The same as C{loseConnection}; see L{IProducer.stopProducing}."""
        super().stopProducing()  # type: ignore[no-untyped-call]

    def writeSomeData(self, data: bytes) -> int | ConnectionLost:
        """Give bytes to the socket, as the network lets it; see L{FileDescriptor.writeSomeData}."""
        count = super().writeSomeData(data)
        if isinstance(count, int):
            self.buffered -= count
        return count

    def connectionLost(self, reason: Failure) -> None:
        """Tell the producer, the protocol and the connector; see L{FileDescriptor.connectionLost}."""
        if self.disconnected:
            return
        self.buffered = 0
        self.network.forget(self)
        super().connectionLost(reason)
        if self._connector is not None:
            self._connector.connectionLost(reason)

    def startTLS(self, ctx: object, normal: bool = True) -> None:
        """Not offered.

        @raise NotImplementedError: always.
        """
        raise NotImplementedError("wrap the factory in TLSMemoryBIOFactory(..., clock=network)")

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Recorded for C{getTcpNoDelay}; ignored on a UNIX socket, as in Twisted."""
        if not isinstance(self.end.remote, UNIXAddress):
            super().setTcpNoDelay(enabled)

    def getTcpNoDelay(self) -> bool:
        """What was set, L{False} at first and on a UNIX socket."""
        return not isinstance(self.end.remote, UNIXAddress) and super().getTcpNoDelay()

    def getHost(self) -> Any:
        """The address of this side.

        @raise AttributeError: once the connection is lost, C{connectionLost} of the protocol included:
            Twisted's transports ask their socket, which is gone then. (Only the client of a UNIX socket can
            still tell.)
        """
        if self.disconnected and not (self.isClient and isinstance(self.end.local, UNIXAddress)):
            raise AttributeError("a lost transport has no socket left to ask for its address")
        return self.end.local

    def getPeer(self) -> Any:
        """The address of the other side; also after the connection is lost."""
        return self.end.remote

    def __repr__(self) -> str:
        arrow = "->" if self.isClient else "<-"
        ends = f"{describe(self.end.local)} {arrow} {describe(self.end.remote)}"
        return f"<{type(self.application).__name__} {ends}, {self.buffered} bytes buffered>"

    def _count(self, size: int) -> None:
        if self.connected and not self.end.isShut:
            self.buffered += size
            self.maxBuffered = max(self.maxBuffered, self.buffered)
