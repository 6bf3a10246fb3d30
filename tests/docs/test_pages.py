"""What the documentation shows is what happens; see README.md beside this file."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.docs.session import ROOT, Session

PAGES = sorted((ROOT / "docs").rglob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_whatAPageShowsHappens(page: Path, upstreams: dict[str, int]) -> None:
    if "$ curl" in page.read_text() and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    Session(page, upstreams).run()
