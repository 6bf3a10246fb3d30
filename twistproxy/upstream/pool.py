"""The connections to one upstream: idle ones to be used again, a limit, and a bounded queue in front of it.

What to do with a request is one pure function, L{decide}. The newest idle connection serves first, so that those which
are not needed grow old and are closed.
"""

from __future__ import annotations

from collections import deque
from enum import Enum
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from twistproxy.errors import INTERNAL, QUEUE_FULL, QUEUE_TIMEOUT, ProxyError
from twistproxy.messages import Upstream
from twistproxy.settings import Settings
from twistproxy.sweep import NEVER, Sweeper
from twistproxy.tls.contexts import ClientContexts
from twistproxy.upstream.connect import connect
from twistproxy.upstream.connection import UpstreamConnection
from twistproxy.wire.http1 import ResponseMemory


class Decision(Enum):
    """What happens with a request for a connection."""

    REUSE = "reuse"
    CONNECT = "connect"
    QUEUE = "queue"
    REFUSE = "refuse"


def decide(idle: int, total: int, limit: int, queued: int, queueLimit: int) -> Decision:
    """The whole policy of a pool.

    @param idle: connections that can be used at once.
    @param total: all connections, those being opened included.
    @param limit: most connections; 0 for any number.
    @param queued: requests that wait already.
    """
    if idle:
        return Decision.REUSE
    if not limit or total < limit:
        return Decision.CONNECT
    return Decision.QUEUE if queued < queueLimit else Decision.REFUSE


class Waiter(Protocol):
    """Who asked for a connection that is not there yet."""

    def connectionReady(self, connection: UpstreamConnection) -> None:
        """Here it is."""

    def connectionFailed(self, error: ProxyError) -> None:
        """There will be none."""


class Ticket:
    """A request for a connection, to be cancelled when its client leaves.

    @ivar deadline: see L{twistproxy.sweep.Watched}: the end of the wait in the queue.
    """

    __slots__ = ("_opening", "_pool", "_wanted", "deadline", "waiter")

    def __init__(self, pool: ConnectionPool, waiter: Waiter) -> None:
        self._pool = pool
        self.waiter: Waiter | None = waiter
        self._opening: Deferred[UpstreamConnection] | None = None
        self._wanted = False
        self.deadline = NEVER

    def start(self) -> None:
        """The waiter holds the ticket now and can be called: open the connection, unless the ticket is queued."""
        if self._wanted:
            self._pool.open(self)

    def connectAtStart(self) -> None:
        """There is room for a connection: open it at the start."""
        self._wanted = True

    def cancel(self) -> None:
        """Nobody waits any longer: leave the queue, or stop connecting."""
        self.waiter = None
        self._pool.ticketCancelled(self)
        if self._opening is not None:
            self._opening.cancel()

    def opening(self, connecting: Deferred[UpstreamConnection]) -> None:
        """A connection is being opened for it."""
        self._opening = connecting

    def deadlinePassed(self) -> None:
        """It waited in the queue for too long."""
        waiter, self.waiter = self.waiter, None
        self._pool.ticketCancelled(self)
        if waiter is not None:
            waiter.connectionFailed(ProxyError(QUEUE_TIMEOUT, "no connection became free in time"))


class IdleLimit:
    """How many idle connections there are over all pools.

    @ivar count: now.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.count = 0


class ConnectionPool:
    """The connections to one upstream.

    @ivar total: all of them, those being opened included.
    """

    def __init__(
        self,
        reactor: Any,
        upstream: Upstream,
        settings: Settings,
        sweeper: Sweeper,
        idleLimit: IdleLimit,
        contexts: ClientContexts,
        memory: ResponseMemory | None = None,
    ) -> None:
        """@param memory: of response heads that came before."""
        self._memory = memory
        self._reactor = reactor
        self._contexts = contexts
        self._upstream = upstream
        self._settings = settings
        self._sweeper = sweeper
        self._idleLimit = idleLimit
        self._idle: list[UpstreamConnection] = []
        self._queue: deque[Ticket] = deque()
        self._all: set[UpstreamConnection] = set()
        self.total = 0
        self.isClosed = False

    def __repr__(self) -> str:
        return f"<ConnectionPool {self._upstream.key} idle={len(self._idle)} total={self.total} queued={len(self._queue)}>"

    @property
    def _limit(self) -> int:
        """Most connections, as the upstream has it now; 0 for any number."""
        return self._upstream.maxConnections or self._settings.maxConnectionsPerUpstream

    @property
    def idle(self) -> int:
        """Connections that can be used at once."""
        return len(self._idle)

    @property
    def queued(self) -> int:
        """Requests that wait for a connection."""
        return len(self._queue)

    def acquire(self) -> UpstreamConnection | None:
        """An idle connection, if there is one: the way of nearly every request. Else call C{request}."""
        if self._idle:
            self._idleLimit.count -= 1
            return self._idle.pop()
        return None

    def request(self, waiter: Waiter, fresh: bool = False) -> Ticket:
        """Ask for a connection that is not there yet.

        @param fresh: whether one that has served before will not do.
        @raise ProxyError: when too many wait already.
        """
        ticket = Ticket(self, waiter)
        decision = decide(0, self.total, self._limit, len(self._queue), self._settings.maxQueuedRequests)
        if decision is Decision.CONNECT or (fresh and self._closeOneIdle()):
            self.total += 1
            ticket.connectAtStart()
        elif decision is Decision.QUEUE:
            ticket.deadline = self._sweeper.after(self._settings.queueTimeout)
            self._sweeper.watch(ticket)
            self._queue.append(ticket)
        else:
            raise ProxyError(QUEUE_FULL, f"{len(self._queue)} requests wait for {self._upstream.key}")
        return ticket

    def ticketCancelled(self, ticket: Ticket) -> None:
        """It waits no longer."""
        self._sweeper.forget(ticket)
        try:
            self._queue.remove(ticket)
        except ValueError:
            pass  # it was not in the queue: its connection was being opened

    def close(self) -> None:
        """The upstream is no longer wanted: idle connections go now, others when their exchange ends."""
        self.isClosed = True
        for connection in list(self._idle):
            connection.close()

    def abort(self) -> None:
        """Cut every connection."""
        self.isClosed = True
        for connection in list(self._all):
            connection.abort()

    def _closeOneIdle(self) -> bool:
        if self._idle:
            self._idle[0].close()
            return True
        return False

    def open(self, ticket: Ticket) -> None:
        """Open a connection for a ticket; it is counted already."""
        connection = UpstreamConnection(self, self._settings, self._sweeper, self._memory)
        self._all.add(connection)
        try:
            opening = connect(self._reactor, self._upstream, self._settings, connection, self._contexts)
        except Exception as error:  # an endpoint that refuses its arguments: this upstream can't be reached
            opening = Deferred()
            opening.errback(ProxyError(INTERNAL, str(error)))
        ticket.opening(opening)
        opening.addCallbacks(self._opened, self._notOpened, callbackArgs=(ticket,), errbackArgs=(ticket, connection))

    def _opened(self, connection: UpstreamConnection, ticket: Ticket) -> None:
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
        """To the first who waits, else kept for later, else closed."""
        settings = self._settings
        while self._queue:
            ticket = self._queue.popleft()
            self._sweeper.forget(ticket)
            waiter, ticket.waiter = ticket.waiter, None
            if waiter is not None:
                waiter.connectionReady(connection)
                return
        if self.isClosed or len(self._idle) >= settings.maxIdlePerUpstream or self._idleLimit.count >= self._idleLimit.limit:
            connection.close()
            return
        connection.deadline = self._sweeper.after(settings.idleConnectionTimeout)
        self._idle.append(connection)
        self._idleLimit.count += 1

    def connectionGone(self, connection: UpstreamConnection) -> None:
        """One fewer; whoever waits gets a new one."""
        if connection not in self._all:
            return  # told already: by the attempt to connect it, or by its own abort
        self._all.remove(connection)
        self.total -= 1
        if connection in self._idle:
            self._idle.remove(connection)
            self._idleLimit.count -= 1
        while self._queue and (not self._limit or self.total < self._limit):
            ticket = self._queue.popleft()
            self._sweeper.forget(ticket)
            if ticket.waiter is not None:
                self.total += 1
                self.open(ticket)
