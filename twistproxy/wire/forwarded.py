"""The Forwarded header of RFC 7239, taken apart."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Final

_TOKEN: Final = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_QUOTED: Final = r'"(?:[^"\\\x00-\x08\x0a-\x1f\x7f]|\\[\t\x20-\x7e\x80-\xff])*"'
_PAIR: Final = re.compile(rf"({_TOKEN})=({_TOKEN}|{_QUOTED})")
_ESCAPED: Final = re.compile(r"\\(.)")


def parseForwarded(values: Sequence[bytes]) -> list[Mapping[str, str]]:
    """The elements of all lines of Forwarded, left to right: their parameters by lower-case name, unquoted.

    A list that breaks the grammar of RFC 7239 section 4 anywhere says nothing: who wrote which part of it cannot be told.
    """
    text = b", ".join(values).decode("latin-1")
    elements: list[Mapping[str, str]] = []
    element: dict[str, str] = {}
    at = 0
    while True:
        at = _skipSpace(text, at)
        found = _PAIR.match(text, at)
        if found is not None:
            name, value = found[1].lower(), found[2]
            if name in element:
                return []
            element[name] = _ESCAPED.sub(r"\1", value[1:-1]) if value[0] == '"' else value
            at = _skipSpace(text, found.end())
        if at < len(text) and text[at] not in ",;":
            return []
        if at == len(text) or text[at] == ",":
            if element:
                elements.append(element)
            element = {}
        if at == len(text):
            return elements
        at += 1


def _skipSpace(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t":
        at += 1
    return at
