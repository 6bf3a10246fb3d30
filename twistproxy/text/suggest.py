"""The nearest right word for a wrong one, for error messages."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The one of C{known} that C{word} was most likely meant to be; None when none is near."""
    byLower = {each.lower(): each for each in known}
    found = get_close_matches(word.lower(), byLower, n=1, cutoff=0.6)
    return byLower[found[0]] if found else None


def didYouMean(word: str, known: Iterable[str]) -> str:
    """What to append to the sentence that says that C{word} is wrong; empty when nothing is near."""
    near = nearest(word, known)
    return f"; did you mean {near!r}?" if near is not None else ""
