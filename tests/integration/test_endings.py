"""How connections end too early, on either side and in every phase: what the other side sees, and what the log says."""

from __future__ import annotations

import gc
import socket
import weakref
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ServerEndpoint
from twisted.internet.error import ConnectionLost

from tests.support.messages import CHUNKED, LAST_CHUNK, chunk, request, response
from tests.support.network import Network
from twistproxy.server.channel import ClientChannel
from twistproxy.upstream.connection import UpstreamConnection


async def closedPort(network: Network) -> str:
    """The URL of an upstream where nobody listens."""
    upstream = await network.upstream()
    await upstream.stop()
    return upstream.url


# The client goes.


@pytest.mark.parametrize("how", ["close", "abort", "finish"])
@pytest_twisted.ensureDeferred
async def test_clientThatLeavesWhileItWaitsCancelsTheUpstream(network: Network, how: str) -> None:
    client, upstream = await network.chain()
    client.write(request())
    server, _ = await upstream.request()
    getattr(client, how)()
    await server.gone()
    await network.logged("GET / from 127.0.0.1", "499 client_closed", upstream.url)


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest_twisted.ensureDeferred
async def test_clientKilledInMidDownloadCancelsTheUpstream(network: Network, how: str) -> None:
    client, upstream = await network.chain()
    client.write(request(b"/big"))
    server, _ = await upstream.request()
    server.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    server.pour(b"x" * 65536, 16000)
    await client.until(lambda: client.total > 1000000)
    getattr(client, how)()
    await server.gone()
    await network.logged("GET /big from 127.0.0.1", "200 client_closed", upstream.url)


@pytest.mark.parametrize("how", ["close", "abort", "finish"])
@pytest_twisted.ensureDeferred
async def test_clientKilledInMidUploadCancelsTheUpstream(network: Network, how: str) -> None:
    client, upstream = await network.chain()
    client.write(request(b"/", b"Content-Length: 1000", method=b"POST"), b"x" * 500)
    server = await upstream.accept()
    await server.readHead()
    await server.read(500)
    getattr(client, how)()
    await server.gone()
    await network.logged("POST / from 127.0.0.1", "499 client_closed", upstream.url)


@pytest_twisted.ensureDeferred
async def test_clientThatLeavesTheQueueCostsNoConnection(network: Network) -> None:
    upstream = await network.upstream()
    proxy = await network.proxy(upstream, maxConnectionsPerUpstream=1)
    first, second, third = [await proxy.connect() for _ in range(3)]
    first.write(request(b"/1"))
    server, _ = await upstream.request()
    second.write(request(b"/2"))
    third.write(request(b"/3"))
    await network.until(lambda: len(proxy.engine.pools.room) == 2, "nobody waits in the queue")
    second.abort()
    await network.logged("GET /2", "499 client_closed")
    server.write(response(b"one"))
    assert (await first.readMessage()).body == b"one"
    assert (await server.readMessage()).head.line == b"GET /3 HTTP/1.1"
    server.write(response(b"three"))
    assert (await third.readMessage()).body == b"three"
    assert len(upstream.connections) == 1


@pytest_twisted.ensureDeferred
async def test_manyClientsThatLeaveLeaveNothingBehind(network: Network) -> None:
    upstream = await network.upstream()
    proxy = await network.proxy(upstream)
    for turn in range(5):
        clients = [await proxy.connect() for _ in range(20)]
        for number, client in enumerate(clients):
            client.write(request(b"/", b"Content-Length: 100", method=b"POST"), b"x" * number)
        await network.until(lambda turn=turn: len(upstream.connections) == 20 * (turn + 1), "not all were passed on")
        for client in clients:
            client.abort()
        await proxy.quiet()
    pool = next(iter(proxy.engine.pools))
    await network.until(lambda: pool.total == 0, "connections are left")
    assert (pool.idle, len(proxy.engine.pools.room), proxy.engine.channels) == (0, 0, set())
    assert all(member.inFlight == 0 for member in proxy.proxy.upstreams)


# The upstream goes.

HEADS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n",
    "chunked": b"HTTP/1.1 200 OK\r\n" + CHUNKED + b"\r\n\r\n",
    "until close": b"HTTP/1.1 200 OK\r\n\r\n",
}


@pytest.mark.parametrize("framing", HEADS)
@pytest.mark.parametrize("how", ["close", "abort"])
@pytest_twisted.ensureDeferred
async def test_upstreamKilledInMidAnswerIsNoCleanEnd(network: Network, how: str, framing: str) -> None:
    client, upstream = await network.chain()
    client.write(request())
    server, _ = await upstream.request()
    server.write(HEADS[framing], chunk(b"partial") if framing == "chunked" else b"partial")
    await client.readHead()
    assert (await client.read(7) if framing == "length" else await client.readChunk()) == b"partial"
    getattr(server, how)()
    if how == "close" and framing == "until close":
        assert await client.readChunk() == b""  # that was its end
        return
    await client.ended()  # without a last chunk
    word = "upstream_reset" if how == "abort" else "upstream_closed"
    await network.logged("GET / from 127.0.0.1", f"200 {word}", upstream.url)


@pytest_twisted.ensureDeferred
async def test_upstreamKilledInMidAnswerResetsAnOldClient(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(request(minor=0))
    server, _ = await upstream.request()
    server.write(HEADS["chunked"], chunk(b"partial"))
    await client.readUntil(b"\r\n\r\n")
    assert await client.read(7) == b"partial"
    server.abort()
    assert (await client.gone()).check(ConnectionLost), "the close would have been the end of the body"
    await network.logged("200 upstream_reset", upstream.url)


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest_twisted.ensureDeferred
async def test_upstreamThatGoesWithoutAnAnswerIs502(network: Network, how: str) -> None:
    client, upstream = await network.chain()
    client.write(request())
    server, _ = await upstream.request()
    getattr(server, how)()
    answer = await client.readMessage()
    assert (answer.code, answer.head.get(b"connection")) == (502, None)
    await network.logged("GET / from 127.0.0.1", "502 upstream_" + ("closed" if how == "close" else "reset"), upstream.url)
    client.write(request())
    server, _ = await upstream.request()
    server.write(response(b"recovered"))
    assert (await client.readMessage()).body == b"recovered"


@pytest_twisted.ensureDeferred
async def test_upstreamThatNobodyListensAtIs502(network: Network) -> None:
    url = await closedPort(network)
    client = await (await network.proxy(url)).connect()
    client.write(request(b"/", b"Accept: application/json"))
    answer = await client.readMessage()
    assert (answer.code, answer.head.get(b"content-type")) == (502, b"application/problem+json")
    assert url.encode() not in answer.body
    await network.logged("GET / from 127.0.0.1", "502 connect_refused", url)


@pytest_twisted.ensureDeferred
async def test_nextUpstreamIsAskedWhenOneIsDown(network: Network) -> None:
    upstream = await network.upstream()
    upstream.answer(response(b"alive"))
    downs = [await closedPort(network), await closedPort(network)]
    client = await (await network.proxy(*downs, upstream)).connect()
    for number in range(6):
        client.write(request(b"/", method=b"POST", body=b"%d" % number))
        assert (await client.readMessage()).body == b"alive"
    assert all("connect_refused" in line and "trying another" in line for line in network.log)


@pytest_twisted.ensureDeferred
async def test_nextUpstreamGetsTheWholeBody(network: Network) -> None:
    upstream = await network.upstream()
    client = await (await network.proxy(await closedPort(network), upstream)).connect()
    body = bytes(range(256)) * 20000
    for head in (b"Content-Length: %d\r\n\r\n" % len(body) + body, CHUNKED + b"\r\n\r\n" + chunk(body) + LAST_CHUNK):
        client.write(b"POST / HTTP/1.1\r\nHost: a\r\n", head)
        server = upstream.connections[0] if upstream.connections else await upstream.accept()
        assert (await server.readMessage()).body == body
        server.write(response(b"got it"))
        assert (await client.readMessage()).body == b"got it"


@contextmanager
def fullListener() -> Iterator[str]:
    """The URL of a listener whose backlog is full: the kernel leaves further connections unanswered."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, ExitStack() as waiting:
        for _ in range(4):
            each = waiting.enter_context(socket.socket())
            each.setblocking(False)
            each.connect_ex(full.getsockname())
        yield f"http://127.0.0.1:{full.getsockname()[1]}"


@pytest_twisted.ensureDeferred
async def test_nextUpstreamIsAskedWhenOneDoesNotAcceptInTime(network: Network) -> None:
    with fullListener() as url:
        upstream = await network.upstream()
        upstream.answer(response(b"alive"))
        client = await (await network.proxy(url, upstream, connectTimeout=0.3)).connect()
        client.write(request())
        assert (await client.readMessage()).body == b"alive"
        await network.logged("connect_timeout", "trying another")


@pytest_twisted.ensureDeferred
async def test_upstreamThatDoesNotAcceptInTimeIs504(network: Network) -> None:
    with fullListener() as url:
        proxy = await network.proxy(url, connectTimeout=0.3)
        client = await proxy.connect()
        client.write(request())
        assert (await client.readMessage()).code == 504
        await network.logged("504 connect_timeout")
        client.write(request())
        await network.until(lambda: proxy.engine.inFlight, "nothing is asked")
        client.abort()
        await network.logged("499 client_closed")
        assert next(iter(proxy.engine.pools)).total == 0


@pytest_twisted.ensureDeferred
async def test_noUpstreamLeftIs502(network: Network) -> None:
    client = await (await network.proxy(await closedPort(network), await closedPort(network))).connect()
    client.write(request())
    assert (await client.readMessage()).code == 502
    assert ["trying another" in line for line in network.log] == [True, False]


# A pooled connection is closed just when it is used again.


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest_twisted.ensureDeferred
async def test_staleConnectionIsReplacedSilently(network: Network, how: str) -> None:
    client, upstream = await network.chain()
    client.write(request(b"/1"))
    server, _ = await upstream.request()
    server.write(response(b"one"))
    await client.readMessage()
    client.write(request(b"/2"))
    await server.readHead()
    getattr(server, how)()
    server, asked = await upstream.request()
    assert asked.head.line == b"GET /2 HTTP/1.1"
    server.write(response(b"two"))
    assert (await client.readMessage()).body == b"two"
    assert network.log == []


@pytest_twisted.ensureDeferred
async def test_staleConnectionIsReplacedForABodyThatMayBeSentAgain(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(request(b"/1"))
    server, _ = await upstream.request()
    server.write(response(b"one"))
    await client.readMessage()
    client.write(request(b"/2", b"Idempotency-Key: 1", method=b"POST", body=b"twice"))
    await server.readMessage()
    server.close()
    server, asked = await upstream.request()
    assert asked.body == b"twice"
    server.write(response(b"two"))
    assert (await client.readMessage()).body == b"two"
    assert network.log == []


@pytest_twisted.ensureDeferred
async def test_staleConnectionIsNotReplacedForARequestWithEffects(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(request(b"/1"))
    server, _ = await upstream.request()
    server.write(response(b"one"))
    await client.readMessage()
    client.write(request(b"/2", method=b"POST", body=b"once"))
    await server.readMessage()
    server.close()
    assert (await client.readMessage()).code == 502
    assert len(upstream.connections) == 1
    await network.logged("POST /2 from 127.0.0.1", "502 upstream_closed", upstream.url)


@pytest_twisted.ensureDeferred
async def test_freshConnectionThatFailsTooIs502(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(request(b"/1"))
    server, _ = await upstream.request()
    server.write(response(b"one"))
    await client.readMessage()
    client.write(request(b"/2"))
    await server.readHead()
    server.close()
    server, _ = await upstream.request()
    server.close()
    assert (await client.readMessage()).code == 502
    assert len(upstream.connections) == 2


@pytest_twisted.ensureDeferred
async def test_upstreamThatWasRestartedIsFoundAgain(network: Network) -> None:
    upstream = await network.upstream()
    upstream.answer(response(b"ok"))
    client = await (await network.proxy(upstream)).connect()
    client.write(request())
    assert (await client.readMessage()).body == b"ok"
    port = upstream.port.getHost().port
    await upstream.stop()
    for each in upstream.connections:
        each.abort()
    client.write(request())
    assert (await client.readMessage()).code == 502
    await upstream.listen(TCP4ServerEndpoint(reactor, port, interface="127.0.0.1"))
    client.write(request())
    assert (await client.readMessage()).body == b"ok"


@pytest_twisted.ensureDeferred
async def test_connectionWithBytesThatNobodyAskedForIsNotUsedAgain(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(request(b"/1"))
    server, _ = await upstream.request()
    server.write(response(b"one"), response(b"smuggled"))
    assert (await client.readMessage()).body == b"one"
    await server.ended()
    client.write(request(b"/2"))
    server, _ = await upstream.request()
    server.write(response(b"two"))
    assert (await client.readMessage()).body == b"two"
    server.write(b"later")
    await server.ended()
    client.write(request(b"/3"))
    server, _ = await upstream.request()
    server.write(response(b"three"))
    assert (await client.readMessage()).body == b"three"


@pytest_twisted.ensureDeferred
async def test_connectionWhoseUploadWasCutShortByTheAnswerIsNotUsedAgain(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(request(b"/", CHUNKED, method=b"POST"), chunk(b"begin"))
    server = await upstream.accept()
    await server.readHead()
    server.write(response(b"enough"))
    assert (await client.readMessage()).body == b"enough"
    client.write(chunk(b"more"), LAST_CHUNK)
    await server.gone()
    await client.until(lambda: client.inputEnded)


@pytest_twisted.ensureDeferred
async def test_closedConnectionsLeaveNoGarbage(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where each request has a connection of its own, it would pile up until the collector stops everything."""
    made: list[weakref.ref[object]] = []
    for kind in (ClientChannel, UpstreamConnection):

        def watched(self: object, *arguments: object, init: Any = kind.__init__) -> None:
            made.append(weakref.ref(self))
            init(self, *arguments)

        monkeypatch.setattr(kind, "__init__", watched)
    upstream = await network.upstream()
    proxy = await network.proxy(upstream)
    gc.collect()
    gc.disable()
    try:
        for _ in range(3):
            client = await proxy.connect()
            client.write(request(b"/", b"Connection: close"))
            server, _ = await upstream.request()
            server.write(response(b"ok", b"Connection: close"))
            server.close()
            await client.readMessage()
            await client.ended()
            client.close()
            await server.gone()
        await network.until(lambda: all(each() is None for each in made[:-2]), "what is closed is kept")
    finally:
        gc.enable()
    assert len(made) == 6
