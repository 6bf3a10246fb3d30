"""Limits on clients' connections: of all together, and of each client.

When there are as many as may be, no more are accepted until one is closed. Clients that come meanwhile wait in the kernel's
queue (the backlog of listen(2)), as with HAProxy's C{maxconn}; nobody is refused who could be served a moment later.

A client that has too many itself must not keep others waiting: its further connections are closed, at once and without an
answer, as by HAProxy's C{tcp-request connection reject}. To send it one, the connection would have to be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from twisted.internet.protocol import Protocol
from twisted.logger import Logger

from twistproxy.limiting.networks import clientNetwork

_log: Final = Logger(namespace="twistproxy.error")
_TELL_EVERY: Final = 60.0
"""Seconds from one line in the log to the next."""

T = TypeVar("T")


class _Told(set[T]):
    """A set that tells when it has grown or shrunk."""

    def __init__(self, changed: Callable[[object, int], None]) -> None:
        super().__init__()
        self._changed = changed

    def add(self, element: T) -> None:
        if element not in self:
            super().add(element)
            self._changed(element, 1)

    def discard(self, element: object) -> None:
        if element in self:
            super().discard(element)
            self._changed(element, -1)


class Unwelcome(Protocol):
    """A connection that is closed as soon as it is there."""

    transport: Any

    def connectionMade(self) -> None:
        """It is, below TLS too."""
        self.transport.abortConnection()


class Accepting:
    """Stops and starts listening ports.

    @ivar connections: where all connections are kept while they are open.
    @ivar isFull: whether there are as many as may be.
    @ivar perClient: most connections of one client; 0: any number.
    @ivar refused: how many connections were closed, as their client had so many.
    """

    def __init__(self, limit: int, seconds: Callable[[], float], perClient: int = 0) -> None:
        """
        @param limit: most connections; 0: any number.
        @param seconds: tells the time.
        """
        self._limit = limit
        self.perClient = perClient
        self.refused = 0
        self._counts: dict[bytes, int] = {}  # by network, of those that have any
        self._seconds = seconds
        self._ports: list[Any] = []
        self._told = float("-inf")
        self.isFull = False
        self.connections: set[Any] = _Told(self._changed) if limit or perClient else set()

    def watch(self, ports: Iterable[Any]) -> None:
        """These accept connections, as long as there may be more.

        @param ports: L{twisted.internet.interfaces.IListeningPort}s that are C{IPushProducer}s, as Twisted's are; others are
            left alone.
        """
        if not self._limit:
            return
        new = [each for each in ports if hasattr(each, "pauseProducing") and hasattr(each, "resumeProducing")]
        self._ports += new
        if self.isFull:
            for each in new:
                each.pauseProducing()

    def forget(self, ports: Iterable[Any]) -> None:
        """These are to be closed: they are not started again."""
        gone = list(ports)
        self._ports = [each for each in self._ports if each not in gone]

    def admits(self, host: str) -> bool:
        """Whether a client may have one more connection; if not, that is counted.

        @param host: its address; empty for one without, who may.
        """
        if not self.perClient or not host or self._counts.get(clientNetwork(host), 0) < self.perClient:
            return True
        self.refused += 1
        return False

    def _changed(self, connection: object, change: int) -> None:
        identity: Any = getattr(connection, "identity", None)
        if self.perClient and identity is not None and identity.peer.host:
            network = clientNetwork(identity.peer.host)
            count = self._counts.get(network, 0) + change
            if count:
                self._counts[network] = count
            else:
                del self._counts[network]
        if self._limit:
            self._checkLimit()

    def _checkLimit(self) -> None:
        isFull = len(self.connections) >= self._limit
        if isFull == self.isFull:
            return
        self.isFull = isFull
        for each in self._ports:
            if isFull:
                each.pauseProducing()
            else:
                each.resumeProducing()
        now = self._seconds()
        if isFull and now - self._told >= _TELL_EVERY:
            self._told = now
            _log.warn("max-connections: there are {limit}; others wait until one is closed", limit=self._limit)
