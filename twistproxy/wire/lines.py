"""Header lines, known one by one.

Heads that differ have most of their lines in common: what a browser says of itself, what a server says with every answer.
A line that is plain, and says nothing to a proxy, changes nothing about what the head says; so a head is as good as parsed
when each of its lines is plain, and a head with the same I{telling} lines was parsed before. llhttp is asked about
everything else, and about each set of telling lines at least twice.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from copy import copy
from operator import itemgetter
from typing import Any, Final, Generic, Protocol, TypeVar

from twistproxy.messages import Item
from twistproxy.wire.memory import Made, Memory

_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_USUAL: Final = re.compile(
    rb"(%b): ([\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)\Z" % _TOKEN
)
_PLAIN: Final = re.compile(rb"%b:[\t\x20-\x7e\x80-\xff]*+\Z" % _TOKEN)
"""What llhttp takes for a header line, whatever stands around it; L{tests.fuzz.test_wire} compares the two."""

_SOME: Final = re.compile(rb"[1-9]\d{0,17}\Z")
_LENGTH: Final = b"(some)"
"""Stands for any Content-Length but 0: no line is the same, for it has no colon."""

_LINES: Final = 4
"""So many times as many lines are remembered as heads."""

_LONGEST: Final = 1024
"""Bytes; longer lines are not remembered."""

Line = tuple[Item, bytes | None]
"""A header line, and what tells it from others that say something to a proxy; None when it is only sent on."""

Changes = Sequence[tuple[bytes, bytes]]
"""Lines with the line ends around them, each once, and what is in their places."""

_item: Final = itemgetter(0)
_key: Final = itemgetter(1)


class Strange(Exception):
    """A line that is not plain."""


class Head(Protocol):
    """What is said by a head of either kind."""

    lines: HeaderLines
    length: int


H = TypeVar("H", bound=Head)


class Shape(Generic[H]):
    """What heads have in common that start alike and have the same telling lines.

    @ivar head: one of them.
    @ivar lengthAt: which of the telling lines says how long the body is; -1: each body is as long as that head's.
    @ivar relayed: what was found out for the other side; None as long as nobody did.
    """

    __slots__ = ("head", "lengthAt", "relayed")

    def __init__(self, head: H, lengthAt: int) -> None:
        self.head = head
        self.lengthAt = lengthAt
        self.relayed: Any = None


class HeaderLines:
    """The header lines of a head. Heads with the same lines may share them, so nobody changes any.

    @ivar connection: the options of Connection, lower-case.
    @ivar relayed: what was made of them for the other side; None as long as nobody did.
    @ivar shape: of the head, where it was known by that.
    @ivar section: all the lines as they came, where there is a shape: with a CRLF before, between and behind them.
    @ivar telling: those among them that say something to a proxy, where there is a shape.
    """

    __slots__ = ("_items", "_lines", "connection", "relayed", "section", "shape", "telling")

    section: bytes
    telling: Sequence[Line]
    _lines: Sequence[Line]

    def __init__(self, items: Sequence[Item], connection: Sequence[bytes]) -> None:
        self._items: Sequence[Item] | None = items
        self.connection = connection
        self.relayed: Any = None
        self.shape: Shape[Any] | None = None

    @classmethod
    def shaped(cls, lines: Sequence[Line], telling: Sequence[Line], section: bytes, shape: Shape[Any]) -> HeaderLines:
        """Those of a head that was known by its shape."""
        made = cls.__new__(cls)
        made._items = None
        made.relayed = None
        made._lines = lines
        made.telling = telling
        made.section = section
        made.shape = shape
        made.connection = shape.head.lines.connection
        return made

    @property
    def items(self) -> Sequence[Item]:
        """The lines as data."""
        if self._items is None:
            self._items = [*map(_item, self._lines)]
        return self._items

    def changes(self, dropped: frozenset[bytes]) -> Changes:
        """What L{changed} needs for heads of this shape, to make of the lines what is sent on.

        @param dropped: lower-case names that are not sent on; telling ones.
        """
        changes = []
        for (lower, name, value), line in self.telling:
            if line is not None and line is not _LENGTH:
                sent = b"" if lower in dropped else name + b": " + value + b"\r\n"
                if sent != line + b"\r\n":
                    changes.append((b"\r\n" + line + b"\r\n", b"\r\n" + sent))
        return changes

    def changed(self, changes: Changes) -> bytes:
        """The lines as they are sent on."""
        section = self.section
        for old, new in changes:
            section = section.replace(old, new, 1)
        return section[2:]


class LineMemory(Generic[H]):
    """The lines and the shapes of heads that were parsed with the same settings."""

    __slots__ = ("_line", "lines", "shapes")

    def __init__(self, size: int, telling: frozenset[bytes]) -> None:
        """
        @param size: how many shapes are remembered, at the least.
        @param telling: lower-case names of the lines that are not simply sent on, or that say something about the head.
        """

        def read(line: bytes) -> Line:
            return readLine(line, telling)

        self.lines: Made[Line] = Made(_LINES * size, read, _LONGEST)
        self.shapes: Memory[Shape[H]] = Memory(size)
        self._line = self.lines.__getitem__

    def read(self, start: bytes, section: bytes) -> tuple[list[Line], list[Line], bytes] | None:
        """Tell what shape a head has.

        @param start: what counts of its first line.
        @param section: as L{HeaderLines.section}.
        @return: all lines, those that tell, and the key of its shape; None when there is a line that is not plain.
        """
        try:
            lines = [*map(self._line, section[2:-2].split(b"\r\n"))]
        except Strange:
            return None
        telling = [*filter(_key, lines)]
        return lines, telling, b"\r\n".join([start, *map(_key, telling)])

    def learn(self, key: bytes, lines: Sequence[Line], telling: Sequence[Line], head: H) -> None:
        """A head of that shape was parsed."""
        lengthAt = next((at for at, (_, each) in enumerate(telling) if each is _LENGTH), -1)
        if lengthAt >= 0 and head.length != int(telling[lengthAt][0][2]):
            return  # it depends on more than that: there is no body
        if [*map(_item, lines)] == head.lines.items:
            pattern = copy(head)
            pattern.lines = HeaderLines((), head.lines.connection)  # which may be long
            self.shapes.offer(key, Shape(pattern, lengthAt))


def readLine(line: bytes, telling: frozenset[bytes]) -> Line:
    """A header line, without its end.

    @param telling: see L{LineMemory}.
    @raise Strange: when llhttp might refuse it, or take it for something else.
    """
    usual = _USUAL.match(line)
    if usual is not None:
        name, value = usual.groups()
        lower = name.lower()
        if lower not in telling:
            return (lower, name, value), None
        return (lower, name, value), _LENGTH if lower == b"content-length" and _SOME.match(value) else line
    if not _PLAIN.match(line):
        raise Strange
    name, _, rest = line.partition(b":")
    return (name.lower(), name, rest.strip(b" \t")), line  # telling, as it is sent on in another form
