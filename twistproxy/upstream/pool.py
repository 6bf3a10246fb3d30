"""The connections to one upstream: idle ones to be used again, and a limit.

The newest idle connection serves first, so that those which are not needed grow old and are closed. Who finds no room
waits in a line of L{twistproxy.upstream.waiting}.
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twistproxy.errors import INTERNAL, ProxyError
from twistproxy.messages import Upstream
from twistproxy.settings import Settings
from twistproxy.sweep import Sweeper
from twistproxy.tls.contexts import ClientContexts
from twistproxy.tls.sessions import LastSession
from twistproxy.upstream.connect import connect
from twistproxy.upstream.connection import UpstreamConnection
from twistproxy.upstream.waiting import WaitingRoom
from twistproxy.wire.http1 import HeadMemory, ResponseHead


class Waiter(Protocol):
    """Who asked for a connection that is not there yet."""

    def connectionReady(self, connection: UpstreamConnection) -> None:
        """Here it is."""

    def connectionFailed(self, error: ProxyError) -> None:
        """There will be none."""


class Ticket:
    """A connection that is being opened for somebody, to be cancelled when the client leaves."""

    __slots__ = ("_opening", "header", "waiter")

    def __init__(self, waiter: Waiter, header: bytes = b"") -> None:
        """@param header: what the connection begins with."""
        self.waiter: Waiter | None = waiter
        self.header = header
        self._opening: Deferred[UpstreamConnection] | None = None

    def cancel(self) -> None:
        """Nobody waits any longer: stop connecting."""
        self.waiter = None
        if self._opening is not None:
            self._opening.cancel()

    def opening(self, connecting: Deferred[UpstreamConnection]) -> None:
        """A connection is being opened for it."""
        self._opening = connecting


class IdleLimit:
    """How many idle connections there are over all pools.

    @ivar count: now.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0


class ConnectionPool:
    """The connections to one upstream.

    @ivar total: all of them, those being opened and what else has a place included.
    """

    def __init__(
        self,
        reactor: Any,
        upstream: Upstream,
        settings: Settings,
        sweeper: Sweeper,
        idleLimit: IdleLimit,
        contexts: ClientContexts,
        memory: HeadMemory[ResponseHead] | None,
        room: WaitingRoom,
    ) -> None:
        """
        @param memory: of response heads that came before.
        @param room: where those wait who find this full.
        """
        self._reactor = reactor
        self._contexts = contexts
        self._sessions = LastSession()
        self._upstream = upstream
        self._settings = settings
        self._sweeper = sweeper
        self._idleLimit = idleLimit
        self._memory = memory
        self._room = room
        self._idle: list[UpstreamConnection] = []
        self._all: set[UpstreamConnection] = set()
        self._usualLimit = settings.maxConnectionsPerUpstream  # where the upstream has none, which an agent may change
        self.total = 0
        self.isClosed = False

    def __repr__(self) -> str:
        return f"<ConnectionPool {self._upstream.key} idle={len(self._idle)} total={self.total}>"

    @property
    def idle(self) -> int:
        """Connections that can be used at once."""
        return len(self._idle)

    @property
    def isFull(self) -> bool:
        """Whether there are as many connections as there may be, those being opened and tunnels included, and none is idle."""
        limit = self._upstream.maxConnections or self._usualLimit
        return bool(limit) and not self._idle and self.total >= limit and not self.isClosed

    def acquire(self) -> UpstreamConnection | None:
        """An idle connection, if there is one: the way of nearly every request. Else call C{request}."""
        idle = self._idle
        if idle:
            self._idleLimit.count -= 1
            connection = idle.pop()
            if not idle and (self._upstream.maxConnections or self._usualLimit):
                self._settle()
            return connection
        return None

    def acquireFor(self, header: bytes) -> UpstreamConnection | None:
        """As C{acquire}, for one client alone.

        @param header: of the PROXY protocol, which the connection has to have begun with.
        """
        for at in range(len(self._idle) - 1, -1, -1):
            if self._idle[at].header == header:
                self._idle.append(self._idle.pop(at))
                return self.acquire()
        return None

    def request(self, waiter: Waiter, header: bytes = b"") -> Ticket:
        """A new connection for who saw that this is not full, or has an idle one that will not do, which is closed for it.

        @param header: of the PROXY protocol, which the connection begins with.
        @return: the ticket; call C{open} with it.
        """
        self.occupy()
        return Ticket(waiter, header)

    def occupy(self) -> None:
        """Take a place, for a connection or for what asks the upstream by other means, which calls C{vacate} when it is over. Who
        calls this saw that there is one, or an idle connection, which is closed for it."""
        limit = self._upstream.maxConnections or self._usualLimit
        if limit and self._idle and self.total >= limit:
            self._idle[0].close()
        self.total += 1
        if limit:
            self._settle()

    def vacate(self) -> None:
        """Give a place back; whoever waits may have it."""
        self.total -= 1
        if self._room.full:
            self._settle()

    def _settle(self) -> None:
        if not self.isClosed:  # else another pool may have the key by now
            self._room.settle(self._upstream.key, self)

    def close(self) -> None:
        """The upstream is no longer wanted: idle connections go now, others when their exchange ends."""
        self.isClosed = True
        self._room.settle(self._upstream.key, self)
        self.closeIdle()

    def closeIdle(self) -> None:
        """Close the connections that nobody uses."""
        for connection in list(self._idle):
            connection.close()

    def abort(self) -> None:
        """Cut every connection."""
        for connection in list(self._all):
            connection.abort()

    def open(self, ticket: Ticket) -> None:
        """Open a connection for a ticket; it is counted already."""
        connection = UpstreamConnection(self, self._settings, self._sweeper, self._memory, ticket.header)
        self._all.add(connection)
        try:
            opening = connect(
                self._reactor, self._upstream, self._settings, connection, self._contexts, self._sessions
            )
        except Exception as error:  # an endpoint that refuses its arguments: this upstream can't be reached
            opening = Deferred()
            opening.errback(ProxyError(INTERNAL, str(error)))
        ticket.opening(opening)
        opening.addCallbacks(self._opened, self._notOpened, callbackArgs=(ticket,), errbackArgs=(ticket, connection))

    def _opened(self, connection: UpstreamConnection, ticket: Ticket) -> None:
        if self._upstream.guard is not None:
            self._upstream.guard.opened(connection)
        waiter, ticket.waiter = ticket.waiter, None
        if waiter is None:
            self.connectionFree(connection)
        else:
            waiter.connectionReady(connection)

    def _notOpened(self, failure: Failure, ticket: Ticket, connection: UpstreamConnection) -> None:
        self.connectionGone(connection)
        waiter, ticket.waiter = ticket.waiter, None
        if waiter is not None:
            error = failure.value
            waiter.connectionFailed(error if isinstance(error, ProxyError) else ProxyError(INTERNAL, str(error)))

    # From the connections.

    def connectionFree(self, connection: UpstreamConnection) -> None:
        """Kept for later, or for who waits; else closed."""
        settings = self._settings
        if self.isClosed or len(self._idle) >= settings.maxIdlePerUpstream or self._idleLimit.count >= self._idleLimit.limit:
            connection.close()
            return
        connection.deadline = self._sweeper.after(settings.idleConnectionTimeout)
        self._idle.append(connection)
        self._idleLimit.count += 1
        if self._room.full:
            self._settle()

    def connectionGone(self, connection: UpstreamConnection) -> None:
        """One fewer; whoever waits gets a new one."""
        if connection not in self._all:
            return  # told already: by the attempt to connect it, or by its own abort
        self._all.remove(connection)
        if self._upstream.guard is not None:
            self._upstream.guard.closed(connection)
        if connection in self._idle:
            self._idle.remove(connection)
            self._idleLimit.count -= 1
        self.vacate()
