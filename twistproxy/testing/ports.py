"""Both ways into the in-memory network: the listening port and the connector.

They follow C{tcp.Port} and C{base.BaseConnector} of Twisted step by step. Which port answers at an address is
the business of L{twistproxy.testing.network}.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, DNSLookupError, NotConnectingError, TimeoutError, UserError
from twisted.internet.interfaces import IConnector, IDelayedCall, IListeningPort, IProtocolFactory
from twisted.internet.protocol import ClientFactory, Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.testing.addresses import Address, describe
from twistproxy.testing.sockets import MemorySocket
from twistproxy.testing.transport import MemoryTransport

if TYPE_CHECKING:
    from twistproxy.testing.network import MemoryNetwork


@implementer(IListeningPort)
class MemoryPort:
    """A listening port of the in-memory network, TCP or UNIX."""

    def __init__(self, address: Address, factory: IProtocolFactory, network: MemoryNetwork, canShare: bool = False) -> None:
        """
        @param canShare: whether other ports that say the same may listen at the same address
            (C{SO_REUSEPORT}).
        """
        self.address = address
        self.factory = factory
        self.canShare = canShare
        self.connected = False
        self.backlog: list[MemorySocket] = []
        self._network = network
        self._paused = False
        self._closing = False

    def startListening(self) -> None:
        """See L{IListeningPort.startListening}.

        @raise CannotListenError: if the address is taken.
        """
        self.address = self._network.bind(self)
        self.factory.doStart()
        self.connected = True
        self._paused = False

    def stopListening(self) -> Deferred[None] | None:
        """Close the port in the next turn; connections that nobody has accepted yet are reset.

        @return: fires when the port is closed; L{None} if it was not open.
        """
        if not self.connected or self._closing:
            return None
        self._closing = self._paused = True
        return deferLater(self._network, 0, self._close)

    def getHost(self) -> Address:
        """The address, with the real port number; also after the port was closed, unlike C{tcp.Port}."""
        return self.address

    def pauseProducing(self) -> None:
        """Accept no connections for now; clients can still connect and wait in the backlog."""
        self._paused = True

    def resumeProducing(self) -> None:
        """Accept connections again."""
        self._paused = self._closing

    def acceptWaiting(self) -> int:
        """Accept what waits in the backlog; called by the network.

        @return: how many connections were accepted.
        """
        accepted = 0
        while self.backlog and not self._paused:
            end = self.backlog.pop(0)
            accepted += 1
            self._network.guarded(repr(self), self._accept, end)
        return accepted

    def _accept(self, end: MemorySocket) -> None:
        try:
            protocol = self.factory.buildProtocol(end.remote)
        except BaseException:
            end.close()
            raise
        if protocol is None:
            end.close()
            return
        transport = MemoryTransport(end, protocol, self._network, None)
        self._network.adopt(transport)
        transport.resumeProducing()
        protocol.makeConnection(transport)

    def _close(self) -> None:
        self.connected = self._closing = False
        self._network.unbind(self)
        for end in self.backlog:
            end.reset()
        self.backlog.clear()
        self.factory.doStop()

    def __repr__(self) -> str:
        return f"<port {describe(self.address)} of {type(self.factory).__name__}>"


@implementer(IConnector)
class MemoryConnector:
    """One client's way to an address: connecting, connected or disconnected, and able to connect again."""

    def __init__(
        self,
        destination: Address,
        factory: ClientFactory,
        network: MemoryNetwork,
        timeout: float | None,
        source: tuple[str, int] | None,
    ) -> None:
        """
        @param timeout: seconds after which an attempt fails with L{TimeoutError}; L{None} to wait for ever.
        @param source: the client's own host and port, either of which may be empty or 0.
        """
        self.factory = factory
        self.timeout = timeout
        self.state = "disconnected"
        self.transport: MemoryTransport | None = None
        self._destination = destination
        self._source = source
        self._network = network
        self._isStarted = False
        self._calls: list[IDelayedCall] = []
        self._end: MemorySocket | None = None

    def connect(self) -> None:
        """See L{IConnector.connect}.

        @raise RuntimeError: unless disconnected.
        """
        if self.state != "disconnected":
            raise RuntimeError("can't connect in this state")
        self.state = "connecting"
        if not self._isStarted:
            self.factory.doStart()
            self._isStarted = True
        self._network.connecting(self)
        self._calls = [self._network.callLater(0, self._attempt)]
        if self.timeout is not None:
            self._calls.append(self._network.callLater(self.timeout, self._fail, TimeoutError()))
        self.factory.startedConnecting(self)

    def stopConnecting(self) -> None:
        """See L{IConnector.stopConnecting}.

        @raise NotConnectingError: unless connecting.
        """
        if self.state != "connecting":
            raise NotConnectingError("we're not trying to connect")
        self._fail(UserError())

    def disconnect(self) -> None:
        """See L{IConnector.disconnect}."""
        if self.state == "connecting":
            self.stopConnecting()
        elif self.state == "connected" and self.transport is not None:
            self.transport.loseConnection()

    def getDestination(self) -> Address:
        """The address to connect to, as given to C{connectTCP} or C{connectUNIX}."""
        return self._destination

    def finish(self) -> bool:
        """Build the protocol if the connection was established; called by the network.

        @return: whether it was.
        """
        if self._end is None:
            return False
        end, self._end = self._end, None
        try:
            self._open(end)
        except Exception as error:
            self._network.noteError(repr(self.factory), Failure())
            self._network.guarded(repr(self), self._loseBroken, end, error)
        return True

    def connectionLost(self, reason: Failure) -> None:
        """The established connection was lost; called by the transport."""
        self.state = "disconnected"
        self.transport = None
        self.factory.clientConnectionLost(self, reason)
        self._stopFactory()

    def _attempt(self) -> None:
        try:
            self._end = self._network.establish(self._destination, self._source)
        except (ConnectError, DNSLookupError) as error:
            self._fail(error)
            return
        if self._end is not None and isinstance(self._destination, UNIXAddress):
            # The kernel connects UNIX sockets at once; Twisted does not wait for a turn either, and what a
            # protocol raises then does not lose the connection.
            end, self._end = self._end, None
            self._open(end)

    def _open(self, end: MemorySocket) -> None:
        self._settle("connected")
        protocol = self.factory.buildProtocol(end.remote)
        self.transport = MemoryTransport(end, protocol or Protocol(), self._network, self)
        self._network.adopt(self.transport)
        if protocol is None:
            self.transport.loseConnection()
        else:
            self.transport.resumeProducing()
            protocol.makeConnection(self.transport)

    def _loseBroken(self, end: MemorySocket, error: Exception) -> None:
        if self.transport is not None:
            self.transport.connectionLost(Failure(error))
        else:
            end.close()
            self._fail(ConnectError(string=error))

    def _fail(self, error: Exception) -> None:
        if self._end is not None:
            self._end.close()
            self._end = None
        self._settle("disconnected")
        self.factory.clientConnectionFailed(self, Failure(error))
        self._stopFactory()

    def _settle(self, state: str) -> None:
        self.state = state
        self._network.settled(self)
        for call in self._calls:
            if call.active():
                call.cancel()
        self._calls = []

    def _stopFactory(self) -> None:
        # Unless the factory has asked to connect again.
        if self.state == "disconnected":
            self.factory.doStop()
            self._isStarted = False

    def __repr__(self) -> str:
        return f"<connector of {type(self.factory).__name__} to {describe(self._destination)}, {self.state}>"
