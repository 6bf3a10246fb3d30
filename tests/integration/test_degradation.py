"""The whole chain of C{fallback}, by processes that are killed; and what is kept of bodies that the kernel would move."""

from __future__ import annotations

import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest_twisted
from twisted.internet import reactor

from tests.integration.test_splicing import NOISE, flows
from tests.support import backend
from tests.support.messages import request, response
from tests.support.network import Network
from tests.support.process import Child, ProxyProcess, waitFor
from tests.unit.builtin import built
from twistproxy.interfaces import IMiddleware

CONFIGURATION = """
[pools.shop]
upstreams = ["{shop}"]

[pools.spare]
upstreams = ["{spare}"]

[[routes]]
pool = "shop"
middleware = [
    {{ use = "fallback", pool = "spare", stale = "1m", body = "sorry", status = 503 }},
    "circuit-breaker:errors=50%:volume=2:open=500ms:recovery=0s",
]
"""


class Server:
    """An upstream that answers its name, many times over."""

    def __init__(self, directory: Path, name: str) -> None:
        self.name, self._directory, self._port = name, directory, 0
        self.body = (name * 100_000)[:100_000].encode()
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        command = sys.executable, backend.__file__, str(self._port), self.body.decode(), "0"
        self._child = Child(self._directory, self.name, *command)
        self._port = int(self._child.waitFor(r"(\d+) listens")[1])

    def kill(self) -> None:
        """SIGKILL."""
        self._child.kill()


def test_poolThenEarlierAnswerThenWords(tmp_path: Path) -> None:
    shop, spare = Server(tmp_path, "shop"), Server(tmp_path, "spare")
    file = tmp_path / "proxy.toml"
    file.write_text(CONFIGURATION.format(shop=shop.url, spare=spare.url))
    try:
        with ProxyProcess(tmp_path, options=("--config", str(file))) as proxy:

            def get(path: str = "/") -> tuple[int, bytes, str]:
                try:
                    with urlopen(proxy.url + path) as answer:
                        return answer.status, answer.read(), answer.headers.get("Cache-Status", "")
                except HTTPError as error:
                    return error.code, error.read(), error.headers.get("Cache-Status", "")

            assert get() == (200, shop.body, "")
            shop.kill()
            for _ in range(4):  # refused twice, then the breaker is open
                assert get() == (200, spare.body, "")
            proxy.logged("circuit breaker", "opened")
            spare.kill()
            code, body, mark = get()
            assert (code, body) == (200, shop.body)
            assert mark.startswith("twistproxy; hit; ttl=")
            assert get("/new")[:2] == (503, b"sorry")
            shop.start()
            waitFor(lambda: get("/new")[1] == shop.body, "the shop is not asked again")
            assert get() == (200, shop.body, "")
    finally:
        shop.kill()
        spare.kill()


@pytest_twisted.ensureDeferred
async def test_whatTheKernelWouldMove(network: Network) -> None:
    """What is kept passes here; what is too long for that is moved as ever."""
    for limit, isKept in (("4MiB", True), ("1MiB", False)):
        fallback = built(IMiddleware, f"fallback:stale=1m:stale-body={limit}", reactor=reactor)
        upstream = await network.upstream()
        proxy = await network.proxy(upstream, middleware=[fallback])
        client = await proxy.connect()
        client.write(request())
        server, _ = await upstream.request()
        server.write(response(NOISE))
        answer = await client.readMessage()
        assert answer.body == NOISE
        assert answer.head.get(b"content-length") == b"%d" % len(NOISE)
        assert bool(flows(proxy)) != isKept
        client.write(request())
        await server.readMessage()
        server.write(response(b"broken", status=b"500 x"))
        answer = await client.readMessage()
        assert answer.body == (NOISE if isKept else b"broken")
