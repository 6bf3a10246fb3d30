"""A store that never holds more than it may, however it is used: least recently used things go first. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, Protocol, TypeVar


class Storable(Protocol):
    """What is kept: one of the variants of a key."""

    @property
    def key(self) -> Hashable:
        """By which it is looked for."""
        ...

    @property
    def variant(self) -> Hashable:
        """What tells it from the others of that key; a newer one takes the place of an equal one."""
        ...

    @property
    def size(self) -> int:
        """Bytes that it takes."""
        ...

    @property
    def until(self) -> float:
        """When it is of no use any more, in seconds."""
        ...


Kept = TypeVar("Kept", bound=Storable)

MAX_VARIANTS: Final = 16
"""Of one key; they are looked at one after the other."""


class Store(Generic[Kept]):
    """Holds things, and the copies of things that are on their way: both count.

    @ivar bytes: of what is kept.
    @ivar copying: bytes of what is on its way, at most half of all.
    @ivar evicted: how many made room for others.
    """

    def __init__(self, maxBytes: int, maxEntries: int) -> None:
        self.maxBytes = maxBytes
        self.maxEntries = maxEntries
        self.bytes = self.copying = self.evicted = 0
        self._entries: OrderedDict[int, Kept] = OrderedDict()  # the least recently used first
        self._byKey: dict[Hashable, list[Kept]] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def add(self, entry: Kept, now: float) -> bool:
        """Keep C{entry}, in the place of an equal one.

        @return: whether it is kept; not when it is larger than all there is room for.
        """
        for other in self._byKey.get(entry.key, ()):
            if other.variant == entry.variant:
                self._remove(other)
                break
        if entry.size > self.maxBytes - self.copying or entry.until <= now or self.maxEntries < 1:
            return False
        siblings = self._byKey.get(entry.key, [])
        if len(siblings) >= MAX_VARIANTS:
            self._evict(siblings[0])
        self._makeRoom(entry.size, self.maxEntries - 1, now)
        self._byKey.setdefault(entry.key, []).append(entry)
        self._entries[id(entry)] = entry
        self.bytes += entry.size
        return True

    def find(self, key: Hashable, fits: Callable[[Kept], bool], now: float) -> Kept | None:
        """The newest that fits, if any; it was used now."""
        for entry in reversed(self._byKey.get(key, ())):
            if entry.until > now and fits(entry):
                self._entries.move_to_end(id(entry))
                return entry
        return None

    def forget(self, key: Hashable) -> None:
        """Drop all variants of C{key}."""
        for entry in list(self._byKey.get(key, ())):
            self._remove(entry)

    def take(self, size: int, now: float) -> bool:
        """A copy on its way needs so many bytes more.

        @return: whether it may have them; each has to be given back.
        """
        if self.copying + size > self.maxBytes // 2:
            return False
        self.copying += size
        self._makeRoom(0, self.maxEntries, now)
        return True

    def giveBack(self, size: int) -> None:
        """A copy on its way is over."""
        self.copying -= size

    def _makeRoom(self, size: int, entries: int, now: float) -> None:
        """Have room for so many bytes beside at most so many entries."""
        while self._entries:
            oldest = next(iter(self._entries.values()))
            if oldest.until <= now:
                self._remove(oldest)
            elif len(self._entries) > entries or self.bytes + self.copying + size > self.maxBytes:
                self._evict(oldest)
            else:
                return

    def _evict(self, entry: Kept) -> None:
        self.evicted += 1
        self._remove(entry)

    def _remove(self, entry: Kept) -> None:
        del self._entries[id(entry)]
        self.bytes -= entry.size
        siblings = self._byKey[entry.key]
        siblings.remove(entry)
        if not siblings:
            del self._byKey[entry.key]
