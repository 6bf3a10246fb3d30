"""Upstreams from a JSON document of a real server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest_twisted
from twisted.internet import reactor as realReactor
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.support.network import Network
from twistproxy.config import BuildContext
from twistproxy.discovery.httpjson import httpJSON
from twistproxy.text.secret import Secret

reactor: Any = realReactor


class Document(Resource):
    """What a test says.

    @ivar answers: the statuses of the answers so far.
    """

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.content = b"[]"
        self.etag = b""
        self.code = 200
        self.answers: list[int] = []
        self.tokens: list[bytes | None] = []
        self.port: Any = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port.getHost().port}/upstreams.json?key=secret"

    def render_GET(self, request: Any) -> bytes:
        self.tokens.append(request.getHeader(b"authorization"))
        request.setResponseCode(self.code)
        body = self.content
        if self.etag:
            request.setHeader(b"ETag", self.etag)
            if request.getHeader(b"if-none-match") == self.etag:
                request.setResponseCode(304)
                body = b""
        self.answers.append(request.code)
        return body


@pytest_twisted.async_yield_fixture
async def document(cleanReactor: None) -> AsyncIterator[Document]:
    made = Document()
    site = Site(made)
    site.noisy = False
    made.port = reactor.listenTCP(0, site, interface="127.0.0.1")
    yield made
    await made.port.stopListening()


@pytest_twisted.ensureDeferred
async def test_readAgainWhenItHasChanged(document: Document, network: Network) -> None:
    document.content, document.etag = b'["a:1", {"host": "b", "port": 2, "weight": 3}, "unix:/run/docker.sock"]', b'"1"'
    source = httpJSON(BuildContext(reactor), document.url, every=0.02, token=Secret("abc"))
    told: list[list[str]] = []
    source.subscribe(lambda upstreams: told.append([f"{each.url} {each.weight}" for each in upstreams]))
    source.startService()
    try:
        await network.until(lambda: document.answers.count(304) > 2, "it is not asked for again")
        assert told == [["http://a:1 1", "http://b:2 3"]]
        assert document.answers.count(200) == 1
        assert set(document.tokens) == {b"Bearer abc"}
        document.content, document.etag = b'{"upstreams": ["c:1"]}', b'"2"'
        await network.until(lambda: told[-1] == ["http://c:1 1"], "the change is not told")
    finally:
        source.stopService()


@pytest_twisted.ensureDeferred
async def test_whatCannotBeHadLeavesWhatWasThere(document: Document, network: Network) -> None:
    document.content = b'["a:1"]'
    source = httpJSON(BuildContext(reactor), document.url, every=0.02)
    source._delay = lambda failures: 0.01
    told: list[list[str]] = []
    source.subscribe(lambda upstreams: told.append([each.url for each in upstreams]))
    source.startService()
    try:
        await network.until(lambda: told, "nothing was told")
        for code, content in ((500, b'["b:1"]'), (200, b"[nonsense"), (302, b"[]"), (200, b" " * ((4 << 20) + 1))):
            document.code, document.content = code, content
            before = len(document.answers)
            await network.until(lambda: len(document.answers) > before + 1, f"not asked again after {code}")  # noqa: B023
        assert {tuple(each) for each in told} == {("http://a:1",)}
        document.code, document.content = 200, b'["c:1"]'
        await network.until(lambda: told[-1] == ["http://c:1"], "it does not come back")
    finally:
        source.stopService()
