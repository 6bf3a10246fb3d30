"""What was made of some bytes, kept for when the same bytes come again.

The clients of a service say the same about themselves in request after request, and so do servers in their answers; what
was parsed and checked once need not be parsed again. What is remembered is told by the very same bytes only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Generic, TypeVar

V = TypeVar("V")

LONGEST = 2048
"""Bytes; what is longer is not worth its place."""

_SEEN: Final = 4
"""So many times as many things as are kept may have been seen once."""


class Memory(Generic[V]):
    """A bounded map in two generations: when the young one is full it becomes the old one, and what was old is forgotten
    but for what was asked for since. Something is kept from its second time on, so that what comes once takes no room
    (the doorkeeper of TinyLFU, Einziger et al. 2017).
    """

    __slots__ = ("_old", "_seen", "_size", "_young")

    def __init__(self, size: int) -> None:
        """@param size: of a generation; 0: nothing is ever remembered."""
        self._size = size
        self._young: dict[bytes, V] = {}
        self._old: dict[bytes, V] = {}
        self._seen: set[int] = set()

    def __len__(self) -> int:
        return len(self._young) + len(self._old)

    def recall(self, key: bytes) -> V | None:
        """What was made of C{key}; None when that is not known."""
        value = self._young.get(key)
        if value is None and self._old:
            value = self._old.pop(key, None)
            if value is not None:
                self._keep(key, value)
        return value

    def offer(self, key: bytes, value: V) -> None:
        """C{value} was made of C{key}, which L{recall} did not know."""
        if len(key) > LONGEST or not self._size:
            return
        mark = hash(key)
        if mark in self._seen:
            self._seen.discard(mark)
            self._keep(key, value)
            return
        if len(self._seen) >= _SEEN * self._size:
            self._seen.clear()
        self._seen.add(mark)

    def _keep(self, key: bytes, value: V) -> None:
        if len(self._young) >= self._size:
            self._old, self._young = self._young, {}
        self._young[key] = value


class Made(dict[bytes, V]):
    """A L{Memory} that makes what it does not know. What it knows it tells as fast as any dict, for it is one: its own
    content is the young generation.
    """

    __slots__ = ("_longest", "_make", "_old", "_seen", "_size")

    def __init__(self, size: int, make: Callable[[bytes], V], longest: int = LONGEST) -> None:
        """
        @param size: of a generation; at least 1.
        @param make: makes the value of a key; what it raises is raised to whoever asks.
        @param longest: bytes of a key that is kept.
        """
        super().__init__()
        self._size = size
        self._make = make
        self._longest = longest
        self._old: dict[bytes, V] = {}
        self._seen: set[int] = set()

    def __missing__(self, key: bytes) -> V:
        value = self._old.pop(key, None)
        if value is None:
            value = self._make(key)
            mark = hash(key)
            if mark not in self._seen:
                if len(self._seen) >= _SEEN * self._size:
                    self._seen.clear()
                if len(key) <= self._longest:
                    self._seen.add(mark)
                return value
            self._seen.discard(mark)
        if len(self) >= self._size:
            self._old = dict(self)
            self.clear()
        self[key] = value
        return value
