"""Which of several content types a client would rather have. Pure."""

from __future__ import annotations

from collections.abc import Sequence


def preferred(accept: str, available: Sequence[str]) -> str:
    """The one of C{available} that an Accept header prefers (RFC 9110 section 12.5.1); the first where it does not say.

    @param available: content types without parameters, at least one.
    """
    ranges = [each for each in map(_mediaRange, accept.lower().split(",")) if each is not None]
    if not ranges:
        return available[0]
    return max(available, key=lambda kind: _quality(kind, ranges))  # the first of equals


def _mediaRange(text: str) -> tuple[str, float] | None:
    name, *parameters = (part.strip() for part in text.split(";"))
    quality = 1.0
    for parameter in parameters:
        if parameter.startswith("q="):
            try:
                quality = float(parameter[2:])
            except ValueError:
                quality = 0.0
    return (name, quality) if name else None


def _quality(kind: str, ranges: Sequence[tuple[str, float]]) -> float:
    """What the most specific range says of C{kind}; 0 when none does."""
    for pattern in (kind, kind.partition("/")[0] + "/*", "*/*"):
        for name, quality in ranges:
            if name == pattern:
                return quality
    return 0.0
