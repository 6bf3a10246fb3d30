"""Where and with what something was measured: figures mean nothing without it."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import twistproxy


def versionOf(program: str, option: str) -> str:
    """The first line that a program says about its version; nginx says it on stderr."""
    done = subprocess.run([program, option], capture_output=True, text=True)
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if lines else "unknown version"


def twistproxyVersion() -> str:
    """Its version, and the commit when it runs from a checkout; C{-dirty} with changes that are not committed."""
    folder = Path(twistproxy.__file__).resolve().parent
    said = f"twistproxy {twistproxy.__version__}"
    if not (folder.parent / ".git").exists():
        return said
    command = ["git", "-C", str(folder.parent), "describe", "--always", "--dirty"]
    try:
        done = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        return said
    return f"{said} ({done.stdout.strip()})" if done.returncode == 0 else said


def describe() -> dict[str, str]:
    """Machine, system, Python, libraries and date."""
    packages = {name: _packageVersion(name) for name in ("Twisted", "httptools", "uvloop")}
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "machine": f"{_processor()}, {os.cpu_count()} cores",
        "system": f"{platform.system()} {platform.release()}",
        "load": f"{os.getloadavg()[0]:.1f} before the first round",
        "python": f"{platform.python_implementation()} {sys.version.split()[0]}",
        "libraries": ", ".join(f"{name} {found}" for name, found in packages.items() if found),
    }


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        if key.strip() == "model name":
            return value.strip()
    return platform.machine()


def _packageVersion(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""
