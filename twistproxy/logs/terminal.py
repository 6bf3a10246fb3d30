"""Standard output, error and exit status as a person sees them."""

from __future__ import annotations

import os
import sys
from typing import Any, Literal

from twisted.logger import LoggingFile


def terminal(name: Literal["stdout", "stderr"]) -> Any:
    """Standard output or error, as it is for a person: while the reactor runs, C{twist} has them go to its log."""
    stream = getattr(sys, name)
    return getattr(sys, f"__{name}__") if isinstance(stream, LoggingFile) else stream


def stopWith(reactor: Any, status: int) -> None:
    """Stop C{reactor}, which runs, and end the process with this status once everything has stopped: C{twist} has no
    other way to end with one then (26.10)."""
    reactor.addSystemEventTrigger("after", "shutdown", _exit, status)
    reactor.stop()


def _exit(status: int) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)
