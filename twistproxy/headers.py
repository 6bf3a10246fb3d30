"""Header lines as they are on the wire, and the mapping that plugins read and change.

Case and order are kept; names are found in any case. The methods are those of L{twisted.web.http_headers.Headers}.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

Item = tuple[bytes, bytes, bytes]
"""One header line: lower-case name, name as on the wire, value."""

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
"""What may not be in a header's value, nor in a reason phrase."""


def isToken(text: bytes) -> bool:
    """Whether C{text} is a token of RFC 9110 section 5.6.2."""
    return _TOKEN.match(text) is not None


def _name(name: bytes | str) -> bytes:
    return name if isinstance(name, bytes) else name.encode("ascii")


@lru_cache(maxsize=1024)
def _checkedName(name: bytes | str) -> tuple[bytes, bytes]:
    """In lower case, and as it was given. Programs set the same few names all the time."""
    raw = _name(name)
    if not isToken(raw):
        raise ValueError(f"{raw!r} is not a header name")
    return raw.lower(), raw


def headerItem(name: bytes | str, value: bytes | str) -> Item:
    """A checked line.

    @raise ValueError: when the name is no token or the value could break the message's framing.
    """
    lower, raw = _checkedName(name)
    content = (value if isinstance(value, bytes) else value.encode("utf-8")).strip(b" \t")
    if BAD_VALUE.search(content):
        raise ValueError(f"the value of {raw.decode()} has a control character")
    return lower, raw, content


class FrozenHeaders:
    """Headers to be read: the reading methods of L{twisted.web.http_headers.Headers}, wire case and order kept.

    @ivar items: the lines, a list that must not be changed from outside.
    """

    __slots__ = ("items",)

    def __init__(self, items: list[Item]) -> None:
        self.items = items

    def hasHeader(self, name: bytes | str) -> bool:
        """Whether there is a line of this name, in any case."""
        lower = _name(name).lower()
        return any(item[0] == lower for item in self.items)

    def get(self, name: bytes | str, default: Any = None) -> Any:
        """The value of the first line of this name, of the type of C{name}; else C{default}."""
        lower = _name(name).lower()
        for item in self.items:
            if item[0] == lower:
                return item[2] if isinstance(name, bytes) else item[2].decode("utf-8", "replace")
        return default

    def getRawHeaders(self, name: bytes | str, default: Any = None) -> Any:
        """All values of this name in order, of the type of C{name}; else C{default}."""
        lower = _name(name).lower()
        values = [item[2] for item in self.items if item[0] == lower]
        if not values:
            return default
        return values if isinstance(name, bytes) else [value.decode("utf-8", "replace") for value in values]

    def getAllRawHeaders(self) -> Iterator[tuple[bytes, Sequence[bytes]]]:
        """Each name once, as first seen on the wire, with all its values."""
        found: dict[bytes, tuple[bytes, list[bytes]]] = {}
        for lower, name, value in self.items:
            found.setdefault(lower, (name, []))[1].append(value)
        return iter(found.values())

    def copy(self) -> Headers:
        """A copy that may be changed."""
        return Headers.fromItems(list(self.items))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrozenHeaders) and other.items == self.items

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({[(name, value) for _, name, value in self.items]!r})"


HeadersLike = FrozenHeaders | Mapping[Any, Any] | Iterable[tuple[bytes | str, bytes | str]]
"""What a constructor takes for headers: Headers, a mapping of name to value or values, or pairs."""


class Headers(FrozenHeaders):
    """Headers that may be changed: all methods of L{twisted.web.http_headers.Headers}."""

    __slots__ = ()

    def __init__(self, headers: HeadersLike = ()) -> None:
        if isinstance(headers, FrozenHeaders):
            super().__init__(list(headers.items))
            return
        super().__init__([])
        pairs: Iterable[tuple[Any, Any]] = headers.items() if isinstance(headers, Mapping) else headers
        for name, value in pairs:
            for each in value if isinstance(value, (list, tuple)) else (value,):
                self.addRawHeader(name, each)

    @classmethod
    def fromItems(cls, items: list[Item]) -> Headers:
        """Headers over C{items} themselves: not checked, not copied."""
        made = cls.__new__(cls)
        made.items = items
        return made

    def addRawHeader(self, name: bytes | str, value: bytes | str) -> None:
        """Add one line at the end.

        @raise ValueError: as L{headerItem}.
        """
        self.items.append(headerItem(name, value))

    def setRawHeaders(self, name: bytes | str, values: Sequence[bytes | str]) -> None:
        """Replace all lines of this name; the first keeps its place.

        @raise ValueError: as L{headerItem}.
        @raise TypeError: when C{values} is one string, a slip that would set one line a character.
        """
        if isinstance(values, (bytes, str)):
            raise TypeError("setRawHeaders takes a list of values")
        new = [headerItem(name, value) for value in values]
        lower = new[0][0] if new else _name(name).lower()
        items = self.items
        for at, item in enumerate(items):
            if item[0] == lower:
                items[at:] = new + [each for each in items[at:] if each[0] != lower]
                return
        items += new

    def removeHeader(self, name: bytes | str) -> None:
        """Remove all lines of this name, if any."""
        lower = _name(name).lower()
        self.items[:] = [item for item in self.items if item[0] != lower]
