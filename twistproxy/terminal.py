"""Standard output and error as a person sees them."""

from __future__ import annotations

import sys
from typing import Any, Literal

from twisted.logger import LoggingFile


def terminal(name: Literal["stdout", "stderr"]) -> Any:
    """Standard output or error, as it is for a person: while the reactor runs, C{twist} has them go to its log."""
    stream = getattr(sys, name)
    return getattr(sys, f"__{name}__") if isinstance(stream, LoggingFile) else stream
