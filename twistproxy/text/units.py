"""Durations and sizes as people write them: C{500ms}, C{10s}, C{5m}; C{64KiB}, C{1MiB}; and shares: C{50%}.

The one place that turns such text into seconds (float) and bytes (int) and back. L{Duration}, L{Size} and L{Share} are
the annotations by which settings and plugin constructors say that they take one.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Annotated, Final

Duration = Annotated[float, "duration"]
"""A number of seconds; written as C{500ms}, C{10s}, C{5m}, C{1h}, C{2d} or a bare number of seconds."""

Size = Annotated[int, "size"]
"""A number of bytes; written as C{512}, C{64KiB}, C{1MiB}, C{2GiB}, or decimal C{64kB}, C{1MB}, C{2GB}."""

Share = Annotated[float, "share"]
"""A part of a whole, 0.0 to 1.0; written as C{50%} or C{0.5}."""

_NUMBER: Final = re.compile(r"\s*([0-9]{1,18}(?:\.[0-9]{1,18})?|\.[0-9]{1,18})\s*([A-Za-z]*)\s*\Z")
_SECONDS: Final[dict[str, int | Decimal]] = {
    "ms": Decimal("0.001"),
    "s": 1,
    "": 1,
    "m": 60,
    "min": 60,
    "h": 3600,
    "d": 86400,
}
_BYTES: Final = {
    "": 1,
    "b": 1,
    "kib": 1 << 10,
    "mib": 1 << 20,
    "gib": 1 << 30,
    "tib": 1 << 40,
    "k": 1 << 10,
    "m": 1 << 20,
    "g": 1 << 30,
    "kb": 10**3,
    "mb": 10**6,
    "gb": 10**9,
    "tb": 10**12,
}


def parseDuration(text: str) -> float:
    """The seconds that C{text} names.

    @raise ValueError: with a sentence for the person who wrote it.
    """
    found = _NUMBER.match(text)
    if found is None or found[2].lower() not in _SECONDS:
        raise ValueError(f"{text!r} is not a duration (want one such as 500ms, 10s, 5m, 1h)")
    return float(Decimal(found[1]) * _SECONDS[found[2].lower()])


def parseSize(text: str) -> int:
    """The bytes that C{text} names.

    @raise ValueError: with a sentence for the person who wrote it.
    """
    found = _NUMBER.match(text)
    if found is None or found[2].lower() not in _BYTES:
        raise ValueError(f"{text!r} is not a size (want one such as 512, 64KiB, 1MiB)")
    return int(Decimal(found[1]) * _BYTES[found[2].lower()])


def parseShare(text: str) -> float:
    """The part, from 0.0 to 1.0, that C{text} names.

    @raise ValueError: with a sentence for the person who wrote it.
    """
    number, mark, rest = text.strip().partition("%")
    try:
        share = float(number) / (100 if mark else 1)
    except ValueError:
        share = -1.0
    if rest or not 0 <= share <= 1:
        raise ValueError(f"{text!r} is not a share (want one such as 50% or 0.5)")
    return share


def formatShare(share: float) -> str:
    """C{share} as a percentage."""
    return f"{share * 100:g}%"


def formatDuration(seconds: float) -> str:
    """C{seconds} in the largest unit of which it is a whole number, else in seconds or milliseconds: C{90.0} is
    C{90s}, C{120.0} is C{2m}, C{0.5} is C{500ms}."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds >= length and seconds % length == 0:
            return f"{int(seconds // length)}{unit}"
    exact = Decimal(repr(seconds))
    if 0 < seconds < 1:
        return _plain(exact * 1000) + "ms"
    return _plain(exact) + "s"


def _plain(number: Decimal) -> str:
    """Digits without an exponent, and without zeros behind the point."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def formatSize(size: int) -> str:
    """C{size} in the largest binary unit that divides it: C{65536} is C{64KiB}."""
    for unit, length in (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)):
        if size >= length and size % length == 0:
            return f"{size // length}{unit}"
    return str(size)
