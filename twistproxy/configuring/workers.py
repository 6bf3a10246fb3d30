"""How many processes serve."""

from __future__ import annotations

import os
from typing import Any, Final

from twistproxy.configuring.reading import Reader

MOST: Final = 256


def readWorkers(reader: Reader, where: str, value: Any) -> int:
    """A whole number, or C{auto}: as many as there are processors for this process."""
    if value == "auto":
        return processors()
    if isinstance(value, str) and value.isascii() and value.isdigit():
        value = int(value)
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST:
        reader.wrong(where, f"workers are a whole number from 1 to {MOST}, or auto, not {value!r}")
        return 1
    if value > 1 and os.name != "posix":
        reader.wrong(where, "several workers need a POSIX system")
    return value


def processors() -> int:
    """Those that this process may use."""
    usable = getattr(os, "sched_getaffinity", None)
    return min(MOST, len(usable(0)) if usable is not None else os.cpu_count() or 1)
