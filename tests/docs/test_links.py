"""The pages lead to each other: every link has a target, and every page can be found."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from tests.docs.blocks import blocksOf
from tests.docs.session import ROOT

DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
PICTURES = sorted(DOCS.rglob("*.svg"))


def prose(page: Path) -> str:
    """A page without its blocks, and without code."""
    text = page.read_text()
    text = re.sub(r"^ *```.*?^ *```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "code", text)


def linksOf(page: Path) -> set[str]:
    """What a page links to, other sites left out."""
    found = re.findall(r"\]\(([^)\s]+)\)", prose(page))
    return {each for each in found if not re.match(r"https?://", each)}


def anchorsOf(page: Path) -> set[str]:
    """Where a link may point in a page: its headings, as GitHub names them, and its own anchors."""
    text = re.sub(r"^ *```.*?^ *```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    names = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
    return names | set(re.findall(r'<a id="([^"]+)"', text))


def named(page: Path) -> str:
    return str(page.relative_to(DOCS))


@pytest.mark.parametrize("page", PAGES, ids=named)
def test_linksHaveTargets(page: Path) -> None:
    missing = set()
    for link in linksOf(page):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if not target.exists() or (anchor and anchor not in anchorsOf(target)):
            missing.add(link)
    assert missing == set()


def test_everyPageIsFoundFromTheMap() -> None:
    found, waiting = set(), [DOCS / "index.md"]
    while waiting:
        page = waiting.pop()
        if page in found:
            continue
        found.add(page)
        targets = {(page.parent / link.partition("#")[0]).resolve() for link in linksOf(page) if not link.startswith("#")}
        waiting += [each for each in targets if each.suffix == ".md" and DOCS in each.parents]
    assert set(PAGES) - found == set()


@pytest.mark.parametrize("picture", PICTURES, ids=named)
def test_picturesAreShownSaidAndReadableInTheDark(picture: Path) -> None:
    root = ElementTree.parse(picture).getroot()
    space = {"svg": "http://www.w3.org/2000/svg"}
    assert root.find("svg:title", space) is not None and root.find("svg:desc", space) is not None
    assert "prefers-color-scheme: dark" in picture.read_text()
    assert any(picture.name in page.read_text() for page in PAGES)


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.*")), ids=lambda path: str(path.name))
def test_everyExampleIsShown(example: Path) -> None:
    """And so run: a block that names an example has to be that file."""
    places = [*PAGES, *(ROOT / "tests" / "docs").glob("*.py")]
    assert any(example.name in place.read_text() for place in places)


def test_blocksSayWhatTheyAre() -> None:
    assert [f"{page}:{block.line}" for page in PAGES for block in blocksOf(page.read_text()) if not block.language] == []
