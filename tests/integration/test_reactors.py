"""The tests of this folder again, on another reactor than this process has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NAMES = ("traffic", "upgrades", "endings", "slow", "places", "stopping", "chaos", "splicing", "splicing_bodies")
FILES = [f"test_{name}.py" for name in NAMES]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["asyncio"])
def test_allOfItHoldsOnOtherReactors(name: str) -> None:
    words = ["-q", "-p", "no:cacheprovider", "-p", "no:warnings", f"--reactor={name}", *(HERE / each for each in FILES)]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *words], capture_output=True, text=True, timeout=120, cwd=HERE.parent.parent
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
