"""What the documentation shows is what happens; see README.md beside this file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.docs.session import ROOT, Session
from tests.support.zookeeper import MISSING, hasZooKeeper

_ZOOKEEPER = "<!-- zookeeper: 2181 -->"
PAGES = sorted((ROOT / "docs").rglob("*.md"))


@pytest.fixture(scope="module")
def running(request: pytest.FixtureRequest, upstreams: dict[str, int]) -> Iterator[Mapping[Path, Future[None]]]:
    """The pages that were asked for, three at a time: they wait more than they work."""
    chosen = [item.callspec.params["page"] for item in request.session.items if "running" in getattr(item, "fixturenames", ())]
    ready = dict(upstreams)
    if hasZooKeeper and any(_ZOOKEEPER in page.read_text() for page in chosen):
        ready |= request.getfixturevalue("zookeeper")
    chosen = [page for page in chosen if hasZooKeeper or _ZOOKEEPER not in page.read_text()]
    with ThreadPoolExecutor(3) as pool:
        sessions = {page: Session(str(page.relative_to(ROOT)), page.read_text(), ready) for page in chosen}
        yield {page: pool.submit(session.run) for page, session in sessions.items()}
        pool.shutdown(cancel_futures=True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT / "docs")))
def test_whatAPageShowsHappens(page: Path, running: Mapping[Path, Future[None]]) -> None:
    if "$ curl" in page.read_text() and shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    if _ZOOKEEPER in page.read_text() and not hasZooKeeper:
        pytest.skip(MISSING)
    running[page].result()
