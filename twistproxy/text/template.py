"""Text with places to be filled: C{$1} or C{${1}} for a group of a regular expression, C{$name} for anything else."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Final

from twistproxy.text.suggest import didYouMean

_PLACE: Final = re.compile(r"\$(?:(?P<dollar>\$)|(?P<name>\d+|[A-Za-z_]\w*)|\{(?P<braced>\w+)\}|)")
_UNWRITABLE: Final = re.compile(rb"[^\x21-\x7e]")


class Template:
    """Text whose places are filled again and again. What is filled in stays as it is."""

    def __init__(self, text: str, known: Collection[str], forURL: bool = False) -> None:
        """
        @param known: the names that may stand behind a C{$}.
        @param forURL: whether to percent-encode what C{text} has and a URL cannot have.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        encoded = _percentEncoded if forURL else str.encode
        self._parts: list[tuple[bytes, str]] = []  # literal bytes, and the name that follows them
        literal, at = "", 0
        for found in _PLACE.finditer(text):
            literal += text[at : found.start()]
            at = found.end()
            if found["dollar"]:
                literal += "$"
                continue
            name = found["name"] or found["braced"]
            if name is None:
                raise ValueError(f"{text!r}: write $$ for a dollar sign")
            if name not in known:
                raise ValueError(f"{text!r}: there is no ${name}{didYouMean(name, known) or _known(known)}")
            self._parts.append((encoded(literal), name))
            literal = ""
        self._last = encoded(literal + text[at:])

    def fill(self, value: Callable[[str], bytes]) -> bytes:
        """The text, with C{value(name)} in each place."""
        return b"".join(each for literal, name in self._parts for each in (literal, value(name))) + self._last


def groupNames(pattern: re.Pattern[bytes]) -> list[str]:
    """The groups of C{pattern} as they stand behind a C{$}; 0 is all of the match."""
    return [*map(str, range(pattern.groups + 1)), *pattern.groupindex]


def groupOf(match: re.Match[bytes], name: str) -> bytes:
    """What a group matched, nothing if it took no part."""
    return match[int(name) if name.isdigit() else name] or b""


def _known(known: Collection[str]) -> str:
    return f" (there is {', '.join('$' + each for each in known)})" if known else ""


def _percentEncoded(text: str) -> bytes:
    return _UNWRITABLE.sub(lambda found: b"%%%02X" % found[0][0], text.encode())
