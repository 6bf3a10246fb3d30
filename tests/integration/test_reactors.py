"""The tests of this folder again, on another reactor than this process has."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NAMES = ("traffic", "upgrades", "endings", "slow", "places", "stopping", "chaos", "splicing", "splicing_bodies")
FILES = [f"test_{name}.py" for name in NAMES]
NOT_AGAIN = ("-k", "not buffered")  # what is compared with the kernel's way, and does not depend on the reactor
ON_UVLOOP = [*FILES, "test_tls.py", "test_network_contract.py", "test_tcp.py", "test_uvloop_transports.py"]


def run(*words: object) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:warnings", *map(str, words)],
        capture_output=True, text=True, timeout=150, cwd=HERE.parent.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout


@pytest.mark.slow
def test_allOfItHoldsOnAsyncio() -> None:
    run("--reactor=asyncio", *NOT_AGAIN, *(HERE / each for each in FILES))


@pytest.mark.slow
def test_allOfItHoldsOnUvloop() -> None:
    pytest.importorskip("uvloop")
    run("-p", "tests.support.uvloopreactor", "--reactor=asyncio", *NOT_AGAIN, *(HERE / each for each in ON_UVLOOP))


@pytest.mark.slow
def test_twistedsOwnTestsPassOnUvloop() -> None:
    pytest.importorskip("uvloop")
    pytest.importorskip("hamcrest", reason="Twisted's tests need pyhamcrest")
    done = subprocess.run(
        [sys.executable, "-m", "tests.support.twistedsuite"],
        capture_output=True, text=True, timeout=150, cwd=HERE.parent.parent,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-20000:]
    assert re.search(r"^PASSED \(.*successes=7\d\d\)", done.stdout, re.M), done.stdout[-2000:]
