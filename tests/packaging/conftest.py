"""The wheel and the sdist, built once for all tests of packages."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.packaging.building import ROOT, call


@pytest.fixture(scope="session")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a checkout has at its top, without anything built."""
    copy = tmp_path_factory.mktemp("sources")
    for name in ("twistproxy", "twisted", "tests", "examples"):
        ignored = shutil.ignore_patterns("__pycache__", "dropin.cache*", "*.egg-info", ".*_cache", "_trial_temp*")
        shutil.copytree(ROOT / name, copy / name, ignore=ignored)
    for path in ROOT.iterdir():
        if path.is_file():
            shutil.copy(path, copy)
    return copy


@pytest.fixture(scope="session")
def built(sources: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the sdist and with the wheel that was built out of it."""
    out = tmp_path_factory.mktemp("dist")
    call(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, sources, cwd=out)
    return out
