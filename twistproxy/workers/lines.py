"""What supervisor and workers say to each other: JSON, a line each, over a pipe in each direction. Pure.

The first line to a worker is its L{Task}. Each further one has a key C{is}:

    to a worker      stop                            drain, and end
                     lend, return (worker)           take the connections of one that ended; no longer
                     probe (on)                      run the health checks for all, or don't
                     checked (...)                   the result of a health check of another worker
                     count (number)                  tell the counters
    from a worker    ready, stopping
                     log (event)                     an event of twisted.logger, as its own JSON
                     checked (...)                   the result of a health check
                     counted (number, counters)
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from attrs import asdict, frozen

from twistproxy.commandline import CommandLine
from twistproxy.messages import Health

LONGEST: Final = 1 << 20
"""Bytes of a line; longer ones are dropped."""


class Lines:
    """Takes bytes as they come and gives lines."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0

    def receive(self, data: bytes) -> Iterator[bytes]:
        """The lines that C{data} completes, without their ends."""
        *whole, rest = data.split(b"\n")
        for each in whole:
            line = b"".join((*self._pieces, each)) if self._pieces else each
            isTooLong = self._size + len(each) > LONGEST
            self._pieces, self._size = [], 0
            if not isTooLong:
                yield line
        self._size += len(rest)
        if self._size > LONGEST:
            self._pieces = []  # the rest of it is waited for, and not kept
        elif rest:
            self._pieces.append(rest)

    @property
    def rest(self) -> bytes:
        """What came behind the last line's end."""
        return b"".join(self._pieces)


def encode(kind: str, **fields: Any) -> bytes:
    """One line."""
    return json.dumps({"is": kind, **fields}, separators=(",", ":")).encode() + b"\n"


def decode(line: bytes) -> Mapping[str, Any]:
    """What a line says.

    @raise ValueError: when it is none of ours.
    """
    said = json.loads(line)
    if not isinstance(said, dict) or not isinstance(said.get("is"), str):
        raise ValueError(f"{line[:100]!r} is not what a worker says")
    return said


@frozen
class Port:
    """A listening socket that a worker has, or several of which it has one.

    @ivar family: the number of its address family.
    @ivar descriptors: one for all workers, or one for each.
    """

    family: int
    descriptors: tuple[int, ...]

    @property
    def isShared(self) -> bool:
        """Whether all workers accept from the same one."""
        return len(self.descriptors) == 1

    def of(self, worker: int) -> int:
        """The descriptor of a worker, which are counted from 1."""
        return self.descriptors[0 if self.isShared else worker - 1]


@frozen
class Task:
    """What a worker has to know before anything else.

    @ivar number: its own, from 1.
    @ivar count: of all workers.
    @ivar reactor: as C{twist --reactor} takes it; empty for the default.
    @ivar words: the command line's.
    @ivar listeners: for each listener of the configuration the ports that its endpoint makes, in the order in which it does.
    @ivar secret: of this run, the same for all workers.
    @ivar pythonPath: C{PYTHONPATH} as the supervisor found it: the worker's own is made for its start alone.
    """

    number: int
    count: int
    reactor: str
    words: CommandLine
    listeners: tuple[tuple[Port, ...], ...]
    secret: str
    pythonPath: str | None = None

    def encode(self) -> bytes:
        """One line."""
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def decode(cls, line: bytes) -> Task:
        """The task that L{encode} made a line of."""
        said = json.loads(line)
        listeners = tuple(tuple(Port(each["family"], tuple(each["descriptors"])) for each in one) for one in said["listeners"])
        return cls(**{**said, "words": CommandLine(**said["words"]), "listeners": listeners})


def encodeHealth(pool: str, upstream: str, check: str, health: Health, rise: int, fall: int) -> bytes:
    """The result of a health check, for the others."""
    return encode("checked", pool=pool, upstream=upstream, check=check, health=asdict(health), rise=rise, fall=fall)


def decodeHealth(said: Mapping[str, Any]) -> Health:
    """What L{encodeHealth} was given."""
    return Health(**said["health"])
