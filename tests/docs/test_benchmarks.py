"""The benchmarks run. Their figures are for people: a shared machine is no place to test them."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.docs.session import ROOT, environment

BENCHMARKS = ROOT / "benchmarks"


def run(name: str, *arguments: str, status: int = 0) -> str:
    """What a benchmark prints."""
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / name), *arguments],
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert done.returncode == status, done.stdout
    return done.stdout


def test_requestTellsTheCostOfAllCases() -> None:
    said = run("request.py", "--repeats", "1", "--exchanges", "3")
    assert re.fullmatch(r"small: [\d.]+ us\nbrowser: [\d.]+ us\nmixed: [\d.]+ us\n", said)


def test_requestWithHeadsThatNeverComeAgain() -> None:
    said = run("request.py", "small", "--unlike", "--repeats", "1", "--exchanges", "3")
    assert re.fullmatch(r"small: [\d.]+ us\n", said)


def test_comparePutsItsFiguresIntoAPage(tmp_path: Path) -> None:
    """Measured for a second: that it works is all that is said here."""
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- figures: written by benchmarks/compare.py --page -->\nold\n<!-- end of figures -->\nafter\n")
    for program in ("wrk", "nginx", "taskset", "openssl"):
        if shutil.which(program, path=os.environ["PATH"] + ":/usr/sbin") is None:
            pytest.skip(f"{program} is not installed")
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("needs two cores")
    arguments = ("--scenario", "tls,bulk", "--peer", "nginx", "--reactor", "default", "--rounds", "1", "--seconds", "1")
    run("compare.py", *arguments, "--page", str(page))
    text = page.read_text()
    assert re.match(r"before\n<!-- figures[^\n]*\n\n- date: ", text)
    assert text.endswith("<!-- end of figures -->\nafter\n")
    assert "old" not in text
    for name in ("twistproxy", "nginx"):
        assert len(re.findall(rf"^\| {name} +\| +[\d,.]+ \|", text, re.MULTILINE)) == 2, text
    assert page.with_suffix(".svg").read_text().startswith("<svg ")


def test_requestTellsWhatIsAllocatedAndWhereTimeGoes() -> None:
    said = run("request.py", "small", "--repeats", "1", "--exchanges", "3", "--allocations", "--profile")
    assert "objects in reference cycles" in said
    assert re.search(r"^ +\d+ blocks +\d+ bytes  exchange/exchange\.py:\d+$", said, re.MULTILINE)
    assert "Ordered by: internal time" in said


def test_pluginsComparesWithNone() -> None:
    said = run("plugins.py", "small", "--repeats", "1", "--exchanges", "3")
    assert re.search(r"^  director, modifier, middleware( +[-+]?[\d.]+%?){3}$", said, re.MULTILINE)
    assert re.search(r"^small: one of each loses -?[\d.]+% of the requests", said, re.MULTILINE)


def test_wireTimesTheCasesThatAreAskedFor() -> None:
    said = run("wire.py", "response", "--rounds", "1", "--seconds", "0")
    assert "response, nginx" in said
    assert "request, small" not in said


def test_routesComparesSizes() -> None:
    said = run("routes.py", "--sizes", "10", "20", "--rounds", "1")
    assert re.search(r"^host and path( +[\d.]+){3}$", said, re.MULTILINE)


def test_balancersComparesSizes() -> None:
    said = run("balancers.py", "--sizes", "2", "3", "--rounds", "1", "--seconds", "0")
    assert len(re.findall(r"^consistent-hash( +[\d.]+){2} +[\d.]+ ms +[\d.]+ ms$", said, re.MULTILINE)) == 2


def test_compareNamesItsScenariosAndPeers() -> None:
    said = run("compare.py", "--help")
    for name in ("small", "browser", "mixed", "churn", "tls", "down", "up", "ws", "bulk", "idle"):
        assert re.search(rf"^  {name} ", said, re.MULTILINE)
    assert "go, nginx, haproxy, twisted.web" in said


@pytest.mark.parametrize(
    ("option", "value", "names"),
    [("--scenario", "tiny", "small, browser"), ("--peer", "squid", "go, nginx"), ("--rounds", "0", "1 or more")],
)
def test_compareSaysWhatThereIs(option: str, value: str, names: str) -> None:
    assert names in run("compare.py", option, value, status=2)
