"""How much memory this process has, and giving back what it does not need. Linux."""

from __future__ import annotations

import ctypes
import gc
import os
from typing import Final

_STATM: Final = "/proc/self/statm"
PAGE: Final = os.sysconf("SC_PAGE_SIZE") if hasattr(os, "sysconf") else 4096


def residentMemory() -> int:
    """Bytes of this process that are in memory (RSS); proc(5), C{statm}.

    @raise OSError: where that cannot be known.
    """
    with open(_STATM, "rb") as file:
        return int(file.read().split()[1]) * PAGE


def giveBackMemory() -> None:
    """Collect garbage, and return to the system what the C library keeps for later: malloc_trim(3), where there is one.
    Otherwise a process that once was large would seem so for ever."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
