"""A limit on clients' connections: when there are so many, no more are accepted until one is closed.

Clients that come meanwhile wait in the kernel's queue (the backlog of listen(2)), as with HAProxy's C{maxconn}; nobody is
refused who could be served a moment later.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Final, TypeVar

from twisted.logger import Logger

_log: Final = Logger(namespace="twistproxy.error")
_TELL_EVERY: Final = 60.0
"""Seconds from one line in the log to the next."""

T = TypeVar("T")


class _Told(set[T]):
    """A set that tells when it has grown or shrunk."""

    def __init__(self, changed: Callable[[], None]) -> None:
        super().__init__()
        self._changed = changed

    def add(self, element: T) -> None:
        super().add(element)
        self._changed()

    def discard(self, element: object) -> None:
        super().discard(element)
        self._changed()


class Accepting:
    """Stops and starts listening ports.

    @ivar connections: where all connections are kept while they are open.
    @ivar isFull: whether there are as many as may be.
    """

    def __init__(self, limit: int, seconds: Callable[[], float]) -> None:
        """
        @param limit: most connections; 0: any number.
        @param seconds: tells the time.
        """
        self._limit = limit
        self._seconds = seconds
        self._ports: list[Any] = []
        self._told = float("-inf")
        self.isFull = False
        self.connections: set[Any] = _Told(self._changed) if limit else set()

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

    def _changed(self) -> None:
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
