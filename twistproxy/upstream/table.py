"""What is known of the upstreams of one pool, by their keys: kept across snapshots and, handed to the next group, reloads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from twistproxy.messages import Upstream
from twistproxy.upstream.standing import Standing

FORGET_AFTER: Final = 600.0
"""Seconds after which a removed upstream at which nothing runs is forgotten."""

MAX_GONE: Final = 1024
"""Removed upstreams that are remembered, at most."""


class Entry:
    """One upstream, and what is known of it."""

    __slots__ = ("_maxConnections", "standing", "upstream")

    def __init__(self, upstream: Upstream, standing: Standing) -> None:
        self.upstream = upstream
        self.standing = standing
        self._maxConnections = upstream.maxConnections

    def takeOver(self, told: Upstream) -> None:
        """What a new snapshot says about it."""
        kept = self.upstream
        kept.weight = told.weight
        kept.metadata = told.metadata
        kept.backup = told.backup
        self._maxConnections = told.maxConnections

    def show(self) -> None:
        """Let balancers and connection pools see what is known."""
        self.upstream.state = self.standing.verdict.state
        advised = self.standing.advisedConnections
        self.upstream.maxConnections = self._maxConnections if advised is None else advised


class UpstreamTable:
    """The entries, by key. Those that were removed stay for a while, so that one that comes back is known.

    @ivar members: the entries of those that are there, in the order of the last snapshot.
    @ivar version: another number after each change of who gets which requests.
    @ivar wake: called with the time at which an ejection ends; by the group that has this table now.
    """

    def __init__(self) -> None:
        self.members: list[Entry] = []
        self.version = 0
        self.wake: Callable[[float], object] = lambda when: None
        self._entries: dict[str, Entry] = {}
        self._hadMembers = False

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Entry | None:
        """What is known of an upstream; None when nothing is."""
        return self._entries.get(key)

    @property
    def gone(self) -> list[Entry]:
        """Those that were removed and are still remembered."""
        return [each for each in self._entries.values() if not each.standing.isPresent]

    def take(self, upstreams: Sequence[Upstream], now: float) -> list[Entry]:
        """These are the members now.

        @return: their entries, in that order. An upstream that was known stays the same object, with the new weight, limits
            and metadata.
        """
        entries = self._entries
        members: dict[str, Entry] = {}
        for each in upstreams:
            entry = entries.get(each.key)
            if entry is None:
                entry = Entry(each, Standing(now, isFirst=not self._hadMembers))
            elif entry.upstream is not each:
                entry.takeOver(each)
            members[each.key] = entry
            if not entry.standing.isPresent:
                entry.standing.appeared(now)
        gone = {key: entry for key, entry in entries.items() if key not in members}
        for entry in gone.values():
            if entry.standing.isPresent:
                entry.standing.removed(now)
        self._entries = {**self._remembered(gone, now), **members}
        self._hadMembers = self._hadMembers or bool(members)
        self.members = list(members.values())
        self.version += 1
        return self.members

    def _remembered(self, gone: dict[str, Entry], now: float) -> dict[str, Entry]:
        kept = [
            (key, entry)
            for key, entry in gone.items()
            if entry.upstream.inFlight or now - entry.standing.since < FORGET_AFTER
        ]
        kept.sort(key=lambda item: item[1].standing.since)
        return dict(kept[-MAX_GONE:])
