"""The moving of bytes and time: turns of a reactor over connections in memory, until nothing moves.

Who connects to whom is the business of L{twistproxy.testing.network}.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.testing.core import MemoryCore
from twistproxy.testing.routes import Routes

if TYPE_CHECKING:
    from twistproxy.testing.ports import MemoryConnector, MemoryPort
    from twistproxy.testing.sockets import MemorySocket
    from twistproxy.testing.transport import MemoryTransport

SegmentSize = int | Callable[[], int | None] | Iterator[int] | None
"""How many bytes one delivery carries at most; see L{MemoryNetwork.segmentSize}."""

_TRACED_TURNS = 100


@implementer(IReactorTime)
class DeliveryReactor(MemoryCore):
    """A reactor that serves transports, ports and connectors in memory, one turn after another."""

    segmentSize: SegmentSize
    """How many bytes one delivery carries at most: L{None} for all that has arrived (64 KiB at most), a
    number, an iterator of numbers (no limit once it is used up), or a function called for each delivery."""

    socketBuffer: int
    """The bytes that the socket of a new connection holds unread, for each direction; 64 KiB at first."""

    resetDropsUnread: bool
    """Whether a reset discards what has arrived and was not read. Linux keeps it (L{False}, the default),
    Windows and the BSDs discard it."""

    pumpLimit: int
    """How many turns C{pump} runs before it gives up; 200,000 at first."""

    def __init__(self, hosts: Mapping[str, str | Sequence[str]] | None = None) -> None:
        """
        @param hosts: host names and their IP literals, besides C{localhost}.
        """
        super().__init__(hosts)
        self.segmentSize = None
        self.socketBuffer = 64 * 1024
        self.resetDropsUnread = False
        self.pumpLimit = 200_000
        self.routes = Routes()
        self._connectors: dict[MemoryConnector, None] = {}
        self._transports: dict[MemorySocket, MemoryTransport] = {}
        self._readers: set[object] = set()
        self._writers: set[object] = set()
        self._pastMaxBuffered = 0
        self._trace: Counter[str] | None = None
        self._isPumping = False

    @property
    def connections(self) -> list[MemoryTransport]:
        """The open transports, both sides of each connection, oldest first."""
        return list(self._transports.values())

    @property
    def ports(self) -> list[MemoryPort]:
        """The open ports, oldest first."""
        return list(self.routes.ports)

    def pump(self, timings: Iterable[float] = ()) -> None:
        """Run turns until nothing moves; then for each number in C{timings} advance by so many seconds.

        @raise AssertionError: if it does not settle within C{pumpLimit} turns; names who kept it busy.
        @raise RuntimeError: if it is called by something that is being pumped, such as a protocol.
        """
        if self._isPumping:
            raise RuntimeError("the network is being pumped already")
        self._isPumping = True
        try:
            self._settle()
        finally:
            self._isPumping = False
        for seconds in timings:
            self.advance(seconds)

    flush = pump

    def advance(self, amount: float) -> None:
        """Pump, then move time on by C{amount} seconds, stopping and pumping at each delayed call on the way.

        @raise ValueError: if C{amount} is negative.
        """
        if amount < 0:
            raise ValueError("time does not go back")
        end = self.rightNow + amount
        self.pump()
        while (time := self.nextTime()) is not None and time <= end:
            self.rightNow = max(self.rightNow, time)
            self.pump()
        self.rightNow = end

    def turn(self) -> bool:
        """Run one turn of the reactor: due calls, then new connections, then one read and one write for each.

        @return: whether anything happened.
        """
        busy: list[object] = [call.func for call in self.runDueCalls()]
        busy += [port for port in self.ports if port.acceptWaiting()]
        busy += [connector for connector in list(self._connectors) if connector.finish()]
        busy += [transport for transport in self.connections if self._serve(transport)]
        if self._trace is not None:
            self._trace.update(map(repr, busy))
        return bool(busy)

    # For the ports, connectors and transports of this package.

    def connecting(self, connector: MemoryConnector) -> None:
        """Watch an attempt."""
        self._connectors[connector] = None

    def settled(self, connector: MemoryConnector) -> None:
        """Forget an attempt that has succeeded or failed."""
        self._connectors.pop(connector, None)

    def adopt(self, transport: MemoryTransport) -> None:
        """Serve C{transport} from now on."""
        self._transports[transport.end] = transport

    def forget(self, transport: MemoryTransport) -> None:
        """Serve C{transport} no longer."""
        self._transports.pop(transport.end, None)
        self._pastMaxBuffered = max(self._pastMaxBuffered, transport.maxBuffered)

    def transportOf(self, end: MemorySocket) -> MemoryTransport | None:
        """The open transport on C{end}."""
        return self._transports.get(end)

    def isReading(self, transport: MemoryTransport) -> bool:
        """Whether C{transport} waits for bytes."""
        return transport in self._readers

    def addReader(self, reader: object) -> None:
        """See L{IReactorFDSet.addReader}; for this network's own transports only."""
        self._readers.add(reader)

    def removeReader(self, reader: object) -> None:
        """See L{IReactorFDSet.removeReader}."""
        self._readers.discard(reader)

    def addWriter(self, writer: object) -> None:
        """See L{IReactorFDSet.addWriter}; for this network's own transports only."""
        self._writers.add(writer)

    def removeWriter(self, writer: object) -> None:
        """See L{IReactorFDSet.removeWriter}."""
        self._writers.discard(writer)

    # The same steps as in Twisted's epoll reactor.

    def _serve(self, transport: MemoryTransport) -> bool:
        isReader, isWriter = transport in self._readers, transport in self._writers
        canRead = isReader and transport.end.readable
        canWrite = isWriter and transport.end.writable
        why: BaseException | None = None
        inRead = False
        if not canRead and (isReader or isWriter) and transport.end.hungUp:
            why = CONNECTION_LOST
        elif canRead or canWrite:
            try:
                if canRead:
                    why = transport.doRead()
                    inRead = True
                if not why and canWrite and transport in self._writers:
                    why = transport.doWrite()  # type: ignore[no-untyped-call]
                    inRead = False
            except Exception as error:
                why = error
                self.noteError(repr(transport), Failure())
        else:
            return False
        if why is not None:
            self.guarded(repr(transport), self._disconnect, transport, why, inRead)
        return True

    def _disconnect(self, transport: MemoryTransport, why: BaseException, inRead: bool) -> None:
        self.removeReader(transport)
        if inRead and isinstance(why, ConnectionDone):
            transport.readConnectionLost(Failure(why))
        else:
            self.removeWriter(transport)
            transport.connectionLost(Failure(why))

    def _settle(self) -> None:
        self._trace = None
        for turn in range(self.pumpLimit):
            if turn >= self.pumpLimit - _TRACED_TURNS and self._trace is None:
                self._trace = Counter()
            if not self.turn():
                return
        raise AssertionError(f"still busy after {self.pumpLimit} turns: {self._busiest()}")

    def _busiest(self) -> str:
        return ", ".join(f"{who} ({count} times)" for who, count in (self._trace or Counter()).most_common(5))

    def nextSegment(self) -> int | None:
        """How many bytes the next delivery may carry; see C{segmentSize}.

        @raise ValueError: if that is not a positive number.
        """
        size = self.segmentSize
        if isinstance(size, Iterator):
            size = next(size, None)
        elif callable(size):
            size = size()
        if size is not None and size < 1:
            raise ValueError(f"a segment of {size} bytes moves nothing")
        return size
