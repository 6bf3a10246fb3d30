"""Sets of statuses as a configuration writes them: C{404}, C{5xx}, C{400-499}, and all but some: C{!200}."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

StatusWords = Sequence[int | str]
"""The annotation of an option that takes a L{Statuses}."""

_WORD: Final = re.compile(r"(?P<not>!)?(?:(?P<class>[1-9])xx|(?P<from>\d{3})(?:-(?P<to>\d{3}))?)\Z")
_ALL: Final = frozenset(range(100, 1000))


class Statuses:
    """A set of statuses; C{in} asks it."""

    def __init__(self, words: StatusWords, option: str = "status") -> None:
        """
        @param words: a status is in the set when one of the words names it and none with a C{!} does; when all have a
            C{!}, or there are none, every other status is.
        @param option: where the words come from, for the message.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        named: set[int] = set()
        excluded: set[int] = set()
        for word in words:
            found = _WORD.match(str(word).lower())
            if found is None:
                raise ValueError(f"{option}: {str(word)!r} is no status (want 404, 5xx, 400-499 or !200)")
            if found["class"]:
                first = int(found["class"]) * 100
                last = first + 99
            else:
                first = int(found["from"])
                last = int(found["to"] or first)
            (excluded if found["not"] else named).update(range(first, last + 1))
        self._codes = frozenset((named or _ALL) - excluded)

    def __contains__(self, code: object) -> bool:
        return code in self._codes
