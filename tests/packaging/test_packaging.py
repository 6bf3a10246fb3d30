"""What users get: the built wheel and sdist, and C{twist revproxy} after each way of installing.

Everything happens on a copy of the sources, so that no build folder of the checkout leaks into what is built,
nor the other way round. One clean environment serves all ways of installing, one after the other.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from tests.packaging.building import ROOT, call

DROP_IN = "twisted/plugins/twistproxy_plugin.py"
# Either of these in a distribution would overwrite or hide Twisted's own.
FORBIDDEN = {"twisted/__init__.py", "twisted/plugins/__init__.py"}

pytestmark = pytest.mark.slow


def wheelFiles(built: Path) -> set[str]:
    [wheel] = built.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def assertRuns(environment: Path, elsewhere: Path) -> None:
    """C{twist revproxy} is there from another directory, in a quiet and complete way."""
    said = call(environment / "twist", "revproxy", "--help", cwd=elsewhere)
    assert "--upstream" in said
    assert "Traceback" not in said
    listed = call(environment / "twist", "--help", cwd=elsewhere)
    assert "revproxy" in listed
    assert "Unhandled" not in listed


def reinstall(environment: Path, sources: Path, *arguments: str | Path) -> None:
    call(environment / "pip", "uninstall", "-q", "-y", "twistproxy", cwd=sources)
    call(environment / "pip", "install", "-q", "--no-deps", *arguments, cwd=sources)


def test_checkoutHidesNothingOfTwisted() -> None:
    assert [name for name in FORBIDDEN if (ROOT / name).exists()] == []


def test_dropInImportsNothingHeavy() -> None:
    """Every Twisted command may import it, and before the user's choice of a reactor is known."""
    heavy = {"twisted.internet.reactor", "twistproxy.tap", "twistproxy.exchange.exchange", "twisted.web", "httptools"}
    program = f"import sys, twisted.plugins.twistproxy_plugin; print(sorted({heavy} & set(sys.modules)))"
    assert call(sys.executable, "-c", program, cwd=ROOT).strip() == "[]"


def test_wheelHasEveryModuleAndTheDropIn(built: Path) -> None:
    ours = {str(path.relative_to(ROOT)) for path in (ROOT / "twistproxy").rglob("*.py")}
    assert ours | {DROP_IN, "twistproxy/py.typed"} <= wheelFiles(built)


def test_wheelHasNothingElse(built: Path) -> None:
    files = wheelFiles(built)
    assert files & FORBIDDEN == set()
    others = {name for name in files if not name.startswith("twistproxy/") and ".dist-info/" not in name}
    assert others == {DROP_IN}
    assert [name for name in files if name.endswith((".pyc", "dropin.cache"))] == []


def test_sdistCanBeBuiltAndTested(built: Path) -> None:
    [sdist] = built.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {DROP_IN, "setup.py", "LICENSE", "Makefile", "tests/run.py", "tests/unit/__init__.py"}
    wanted |= {f"examples/plugin-template/{name}" for name in ("pyproject.toml", "README.md", "tests/test_plugins.py")}
    assert wanted <= files
    assert files & FORBIDDEN == set()
    assert [name for name in files if name.endswith("dropin.cache")] == []


def test_wheelInstalls(environment: Path, tmp_path: Path) -> None:
    assertRuns(environment, tmp_path)


def test_plainInstall(environment: Path, sources: Path, tmp_path: Path) -> None:
    reinstall(environment, sources, ".")
    assertRuns(environment, tmp_path)


def test_editableInstall(environment: Path, sources: Path, tmp_path: Path) -> None:
    reinstall(environment, sources, "-e", ".")
    assertRuns(environment, tmp_path)
    where = "import twistproxy; print(twistproxy.__file__)"
    located = call(environment / "python", "-c", where, cwd=tmp_path)
    assert located.strip() == str(sources / "twistproxy/__init__.py")


def test_uninstallLeavesTwistedWhole(environment: Path, built: Path, tmp_path: Path) -> None:
    reinstall(environment, built, *built.glob("*.whl"))
    call(environment / "pip", "uninstall", "-q", "-y", "twistproxy", cwd=tmp_path)
    listed = call(environment / "twist", "--help", cwd=tmp_path)
    assert "revproxy" not in listed
    assert "web" in listed
