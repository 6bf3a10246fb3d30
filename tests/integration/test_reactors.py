"""The tests of this folder again, on another reactor than this process has."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
NAMES = ("traffic", "upgrades", "endings", "places", "stopping", "chaos", "splicing", "splicing_bodies")
FILES = [f"test_{name}.py" for name in NAMES]
NOT_AGAIN = ("-k", "not buffered")  # what is compared with the kernel's way, and does not depend on the reactor
# The timers of the two are the same code, so what is slow is so on one of them.
ON_UVLOOP = [*FILES, "test_slow.py", "test_tls.py", "test_network_contract.py", "test_tcp.py", "test_uvloop_transports.py"]


Suite = tuple["subprocess.Popen[bytes]", Path]


@pytest.fixture(scope="module", autouse=True)
def twistedsSuite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    """Twisted's own tests, and where they write to; begun before the others of this file, as they mostly wait."""
    pytest.importorskip("uvloop")
    pytest.importorskip("hamcrest", reason="Twisted's tests need pyhamcrest")
    output = tmp_path_factory.mktemp("twisted") / "output"
    words = [sys.executable, "-m", "tests.support.twistedsuite"]
    with output.open("wb") as file, subprocess.Popen(words, stdout=file, stderr=file, cwd=HERE.parent.parent) as suite:
        yield suite, output
        suite.kill()


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
def test_twistedsOwnTestsPassOnUvloop(twistedsSuite: Suite) -> None:
    suite, output = twistedsSuite
    suite.wait(timeout=150)
    said = output.read_text()
    assert suite.returncode == 0, said[-20000:]
    assert re.search(r"^PASSED \(.*successes=7\d\d\)", said, re.M), said[-2000:]
