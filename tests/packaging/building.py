"""What the tests of packages share: commands as a user would run them, and clean environments to run them in."""

from __future__ import annotations

import os
import subprocess
import venv
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def cleanEnvironment(bin: Path | None = None) -> Mapping[str, str]:
    """The variables of a user, without anything of this test's environment.

    @param bin: of a virtual environment that is active.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "PYTEST", "PIP_", "VIRTUAL_ENV"))
    }
    path = f"{bin}:{kept['PATH']}" if bin is not None else kept["PATH"]
    return {**kept, "PATH": path, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}


def call(*command: str | Path, cwd: Path, bin: Path | None = None) -> str:
    """Run C{command}; gives what it printed."""
    done = subprocess.run(command, cwd=cwd, env=cleanEnvironment(bin), capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


def installed(built: Path, home: Path) -> Path:
    """The C{bin} of a new environment in which nothing but the wheel and what it needs was installed."""
    venv.create(home, with_pip=True)
    [wheel] = built.glob("*.whl")
    call(home / "bin/pip", "install", "-q", wheel, cwd=home)
    return home / "bin"
