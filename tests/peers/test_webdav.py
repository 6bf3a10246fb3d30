"""WebDAV through the proxy: Debian's litmus against Apache's mod_dav."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.conftest import StartProxy
from tests.support.apache import Apache
from tests.support.programs import needs, run

pytestmark = needs("apache2", "litmus", "curl")

CONFIGURATION = """
<Location />
    Dav On
    Require all granted
</Location>
"""


@pytest.fixture(scope="module")
def apache() -> Iterator[Apache]:
    """Apache with a directory that can be written to."""
    with Apache(CONFIGURATION) as running:
        yield running


def summary(url: str, directory: Path) -> dict[str, tuple[int, int]]:
    """How many tests of each suite of litmus ran, and how many failed."""
    directory.mkdir()
    done = run("litmus", "-k", f"{url}/", cwd=directory)
    found = re.findall(rb"summary for `(\w+)': of (\d+) tests run: \d+ passed, (\d+) failed", done.stdout)
    assert len(found) == 5, done.stdout.decode()
    return {name.decode(): (int(ran), int(failed)) for name, ran, failed in found}


def test_litmusFindsWhatItFindsWithoutAProxy(apache: Apache, startProxy: StartProxy, tmp_path: Path) -> None:
    # The proxy keeps the client's Host, which Apache compares with that of Destination: COPY and MOVE would fail else.
    proxy = startProxy(apache.url)
    found = summary(proxy.url, tmp_path / "proxied")
    assert sum(ran for ran, _ in found.values()) > 80
    failed = {name for name, (_, failures) in found.items() if failures}
    if failed:
        assert found == summary(apache.url, tmp_path / "direct")
    # Two of its requests have a fragment in their target, and are to be refused; one client leaves once it got its 100.
    expected = ("the target has a fragment", "PUT /litmus/expect100 from 127.0.0.1")
    assert [line for line in proxy.log if not any(each in line for each in expected)] == []
