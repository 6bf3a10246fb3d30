"""What a plugin asks of a real server by HTTPS."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor as realReactor
from twisted.web.client import HTTPConnectionPool
from twisted.web.server import Site
from twisted.web.static import Data

from tests.support.certificates import issued, ofTwisted, writeAuthority
from twistproxy.permissions.fetching import agent, authoritiesIn, described, fetch, readLimited

reactor: Any = realReactor


@pytest_twisted.ensureDeferred
async def test_authorities(cleanReactor: None, tmp_path: Path) -> None:
    """Of one's own they are the only ones."""
    page = Data(b"keys", "text/plain")
    page.isLeaf = True
    site = Site(page)
    site.noisy = False
    port = reactor.listenSSL(0, site, ofTwisted(issued("localhost")).options(), interface="127.0.0.1")
    url = f"https://localhost:{port.getHost().port}/"
    try:
        with pytest.raises(Exception) as failure:
            await fetch(reactor, url, 5.0, 100)
        assert "certificate verify failed" in described(failure.value)
        ours = authoritiesIn(Path(writeAuthority(tmp_path)))
        assert await fetch(reactor, url, 5.0, 100, ours) == b"keys"
        with pytest.raises(Exception) as failure:
            await fetch(reactor, url, 5.0, 100, authoritiesIn(Path(writeAuthority(tmp_path, "theirs"))))
        assert "certificate verify failed" in described(failure.value)
        pool = HTTPConnectionPool(reactor)
        asking = agent(reactor, 5.0, pool, ours)
        for _ in range(2):
            assert await readLimited(await asking.request(b"GET", url.encode()), 100) == b"keys"
        await pool.closeCachedConnections()
    finally:
        await port.stopListening()
