"""The wheel and the sdist, built once for all tests of packages."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import pytest

from tests.packaging.building import ROOT, call, installed


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


@pytest.fixture(scope="session")
def prepared(built: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The C{bin} of an environment with what the wheel needs; making one takes longer than all that is done with it."""
    return installed(built, tmp_path_factory.mktemp("environment"))


@pytest.fixture(scope="module")
def environment(built: Path, prepared: Path) -> Path:
    """The C{bin} of an environment in which nothing but the wheel and what it needs is installed, at first."""
    [wheel] = built.glob("*.whl")
    call(prepared / "pip", "install", "-q", "--no-deps", "--force-reinstall", wheel, cwd=built)
    return prepared
