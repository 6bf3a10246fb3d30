"""A copy of a body that is on its way to a client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from twistproxy.caching.store import Store
from twistproxy.interfaces import IBodyFilter


@implementer(IBodyFilter)
class Copying:
    """Passes one body on as it is, and keeps a copy until it is complete, or too long.

    @ivar keepsBytes: see L{IBodyFilter}.
    """

    keepsBytes = True

    def __init__(self, store: Store[Any], limit: int, seconds: Callable[[], float], complete: Callable[[bytes], None]) -> None:
        """
        @param store: whose room it takes.
        @param limit: most bytes; a longer body is not copied.
        @param seconds: the time.
        @param complete: called with the body when all of it went through.
        """
        self._store = store
        self._limit = limit
        self._seconds = seconds
        self._complete: Callable[[bytes], None] | None = complete
        self._copy: bytearray | None = bytearray()

    def data(self, chunk: bytes) -> bytes:
        """L{IBodyFilter.data}."""
        copy = self._copy
        if copy is not None:
            if len(copy) + len(chunk) <= self._limit and self._store.take(len(chunk), self._seconds()):
                copy += chunk
            else:
                self.drop()
        return chunk

    def end(self) -> bytes:
        """L{IBodyFilter.end}."""
        copy, complete = self._copy, self._complete
        self.drop()
        if copy is not None and complete is not None:
            complete(bytes(copy))
        return b""

    def drop(self, exchange: Any = None) -> None:
        """Forget what was copied: the exchange is over, or it is of no use."""
        copy, self._copy, self._complete = self._copy, None, None
        if copy is not None:
            self._store.giveBack(len(copy))
