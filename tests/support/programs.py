"""Programs of the system that tests talk to."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

PATH = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"])


def program(name: str) -> str | None:
    """Where a program is; None when it is not installed."""
    return shutil.which(name, path=PATH)


def needs(*names: str) -> pytest.MarkDecorator:
    """Skips what it marks, by name, where a program is missing."""
    missing = [name for name in names if program(name) is None]
    return pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")


def run(name: str, *arguments: str | Path, limit: float = 60.0, **options: object) -> subprocess.CompletedProcess[bytes]:
    """Run a program to its end, and have its outputs."""
    found = program(name)
    assert found is not None
    words = [found, *map(str, arguments)]
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, timeout=limit, **options)  # type: ignore[call-overload,no-any-return]


def freePort() -> int:
    """A port of 127.0.0.1 where nobody listens now, for programs that can't choose one by themselves."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port: int = server.getsockname()[1]
        return port
