"""Cache-Control as it is written (RFC 9111 section 5.2). Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

_LONGEST: Final = 1 << 31
"""Seconds; what is more counts as this (RFC 9111 section 1.2.2)."""

_SHORT: Final = 100
"""Bytes; what is shorter is worth remembering."""

_TOKEN: Final = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_DIRECTIVE: Final = re.compile(
    rb"(?P<name>%b)(?:[ \t]*=[ \t]*(?:(?P<token>%b)|\"(?P<quoted>(?:[^\"\\]|\\.)*)\"))?" % (_TOKEN, _TOKEN), re.DOTALL
)
_BETWEEN: Final = re.compile(rb"[ \t]*(?:,[ \t]*)*")
_COMMA: Final = re.compile(rb"[ \t]*(?:,|\Z)")
_NUMBER: Final = re.compile(rb"[0-9]+\Z")


class CacheControl:
    """The directives of a message; C{in} asks for one by its name in lower case.

    What cannot be read says no-store: whoever wrote it wanted to limit something.
    """

    def __init__(self, values: Sequence[bytes]) -> None:
        """@param values: of Cache-Control."""
        self._arguments: dict[bytes, list[bytes | None]] = {}
        for value in values:
            self._read(value)

    def _read(self, value: bytes) -> None:
        at = _BETWEEN.match(value).end()  # type: ignore[union-attr]  # it matches nothing, too
        while at < len(value):
            found = _DIRECTIVE.match(value, at)
            if found is None or not _COMMA.match(value, found.end()):
                self._arguments[b"no-store"] = [None]
                return
            argument = found["quoted"] if found["token"] is None else found["token"]
            self._arguments.setdefault(found["name"].lower(), []).append(argument)
            at = _BETWEEN.match(value, found.end()).end()  # type: ignore[union-attr]

    def __contains__(self, name: bytes) -> bool:
        return name in self._arguments

    def isBare(self, name: bytes) -> bool:
        """Whether a directive is there without an argument."""
        return None in self._arguments.get(name, ())

    def seconds(self, name: bytes) -> int | None:
        """The argument of a directive; None when it is not there. The least of several, and 0 for what is no number (RFC 9111
        section 4.2.1)."""
        arguments = self._arguments.get(name)
        if arguments is None:
            return None
        return min(_number(each) for each in arguments)


@lru_cache(maxsize=1024)
def _known(value: bytes) -> CacheControl:
    return CacheControl([value])


def cacheControl(values: Sequence[bytes]) -> CacheControl:
    """The directives of these lines; of a short one they are remembered, as there are few in the world."""
    return _known(values[0]) if len(values) == 1 and len(values[0]) < _SHORT else CacheControl(values) if values else _NONE


def _number(argument: bytes | None) -> int:
    if argument is None or not _NUMBER.match(argument):
        return 0
    return min(int(argument), _LONGEST) if len(argument) < 20 else _LONGEST


_NONE: Final = CacheControl([])
