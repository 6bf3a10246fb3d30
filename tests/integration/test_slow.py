"""Slow clients and slow upstreams: what waits has an end, and what only goes slowly has none.

The clock of these proxies is hurried: a second of theirs is a tenth of ours.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint, UNIXServerEndpoint
from twisted.internet.error import ConnectionLost
from twisted.internet.task import deferLater

from tests.support.dialogue import Peer
from tests.support.messages import CHUNKED, chunk, request, response
from tests.support.network import Hurried, Network


@pytest_twisted.ensureDeferred
async def test_headThatNeverEndsIs408(network: Network, hurried: Hurried) -> None:
    client, upstream = await network.chain(clock=hurried, headTimeout=3.0)
    for _ in range(50):  # a header line each half second keeps nothing open
        if client.inputEnded:
            break
        client.write(b"GET / HTTP/1.1\r\nHost: a\r\n" if not client.total else b"X: y\r\n")
        await deferLater(reactor, 0.05)
    answer = await client.readMessage()
    assert (answer.code, answer.head.get(b"connection")) == (408, b"close")
    await client.ended()
    assert upstream.connections == []
    await network.logged("408 client_timeout")


@pytest_twisted.ensureDeferred
async def test_clientThatSaysNothingIsClosedWithoutAWord(network: Network, hurried: Hurried) -> None:
    client, _ = await network.chain(clock=hurried, headTimeout=1.0)
    await client.ended()
    assert (client.total, network.log) == (0, [])


@pytest_twisted.ensureDeferred
async def test_idleConnectionIsClosedAfterItsAnswer(network: Network, hurried: Hurried) -> None:
    client, upstream = await network.chain(clock=hurried, keepAliveTimeout=1.0, headTimeout=1000.0)
    upstream.answer(response(b"ok"))
    client.write(request())
    assert (await client.readMessage()).body == b"ok"
    await client.ended()
    assert network.log == []


@pytest_twisted.ensureDeferred
async def test_bodyThatStopsIs408(network: Network, hurried: Hurried) -> None:
    client, upstream = await network.chain(clock=hurried, bodyTimeout=1.0)
    client.write(request(b"/", b"Content-Length: 100", method=b"POST"), b"x" * 50)
    server = await upstream.accept()
    await server.readHead()
    answer = await client.readMessage()
    assert (answer.code, answer.head.get(b"connection")) == (408, b"close")
    await server.gone()
    await network.logged("POST / from 127.0.0.1", "408 client_timeout", upstream.url)


@pytest_twisted.ensureDeferred
async def test_bodyThatTricklesIs408(network: Network, hurried: Hurried) -> None:
    client, upstream = await network.chain(clock=hurried, bodyTimeout=2.0, minBodyRate=100)
    client.write(request(b"/", CHUNKED, method=b"POST"))
    server = await upstream.accept()
    for _ in range(50):
        if client.inputEnded:
            break
        client.write(chunk(b"x"))
        await deferLater(reactor, 0.05)
    assert (await client.readMessage()).code == 408
    await server.gone()
    await network.logged("408 client_timeout")


@pytest_twisted.ensureDeferred
async def test_bodyThatComesSlowlyButSteadilyIsWaitedFor(network: Network, hurried: Hurried) -> None:
    client, upstream = await network.chain(clock=hurried, bodyTimeout=2.0, minBodyRate=10, upstreamTimeout=2.0)
    client.write(request(b"/", b"Content-Length: 1000", method=b"POST"))
    server = await upstream.accept()
    for _ in range(20):  # ten seconds of the proxy's
        client.write(b"x" * 50)
        await deferLater(reactor, 0.05)
    assert (await server.readMessage()).body == b"x" * 1000
    server.write(response(b"thanks"))
    assert (await client.readMessage()).body == b"thanks"


@pytest_twisted.ensureDeferred
async def test_clientThatTakesNothingIsCutOff(network: Network, hurried: Hurried) -> None:
    client, upstream = await network.chain(clock=hurried, sendTimeout=2.0)
    client.pause()
    client.write(request())
    server, _ = await upstream.request()
    server.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
    server.pour(b"x" * 65536, 16000)
    await server.gone()
    await network.logged("GET / from 127.0.0.1", "200 client_closed", "took nothing", upstream.url)
    client.resume()
    assert (await client.gone()).check(ConnectionLost)


@pytest_twisted.ensureDeferred
async def test_clientThatTakesItSlowlyGetsAllOfIt(network: Network, hurried: Hurried) -> None:
    client, upstream = await network.chain(clock=hurried, sendTimeout=3.0, upstreamTimeout=3.0)
    client.transport.getHandle().setsockopt(1, 8, 16384)  # SO_RCVBUF
    client.pause()
    client.write(request())
    server, _ = await upstream.request()
    size = 12 << 20
    server.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    server.pour(b"x" * 65536, size // 65536)
    for _ in range(12):  # eighteen seconds of the proxy's
        taken = client.total
        client.resume()
        await client.until(lambda: client.total > taken)  # noqa: B023 - called before the next turn
        client.pause()
        await deferLater(reactor, 0.15)
    client.resume()
    assert len((await client.readMessage()).body) == size
    assert network.log == []


@pytest_twisted.ensureDeferred
async def test_restOfARequestThatWasAnsweredEarlyIsNotReadForEver(network: Network, hurried: Hurried) -> None:
    client, upstream = await network.chain(clock=hurried, lingerTimeout=2.0, bodyTimeout=1000.0)
    client.write(request(b"/", CHUNKED, method=b"POST"))
    server = await upstream.accept()
    await server.readHead()
    server.write(response(b"no", status=b"403 Forbidden"))
    assert (await client.readMessage()).code == 403
    await client.until(lambda: client.inputEnded)
    for _ in range(100):
        if client.reason is not None:
            break
        client.write(chunk(b"still talking"))
        await deferLater(reactor, 0.02)
    assert (await client.gone()).check(ConnectionLost)


@pytest_twisted.ensureDeferred
async def test_upstreamThatDoesNotAnswerIs504(network: Network, hurried: Hurried) -> None:
    client, upstream = await network.chain(clock=hurried, upstreamHeadTimeout=1.0)
    client.write(request())
    server, _ = await upstream.request()
    assert (await client.readMessage()).code == 504
    await server.gone()
    await network.logged("GET / from 127.0.0.1", "504 upstream_timeout", upstream.url)
    upstream.answer(response(b"awake"))
    client.write(request())
    assert (await client.readMessage()).body == b"awake"


@pytest_twisted.ensureDeferred
async def test_upstreamThatStopsInMidAnswerIsCutOff(network: Network, hurried: Hurried) -> None:
    client, upstream = await network.chain(clock=hurried, upstreamTimeout=1.0)
    client.write(request())
    server, _ = await upstream.request()
    server.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await client.readHead()
    assert await client.readToEnd() == b"half"
    await server.gone()
    await network.logged("GET / from 127.0.0.1", "200 upstream_timeout", upstream.url)


@pytest_twisted.ensureDeferred
async def test_upstreamThatTakesNothingOfTheRequestIs504(network: Network, hurried: Hurried) -> None:
    client, upstream = await network.chain(clock=hurried, upstreamTimeout=2.0)
    client.write(request(b"/", b"Content-Length: 1000000000", method=b"POST"))
    server = await upstream.accept()
    server.pause()
    client.pour(b"x" * 65536, 16000)
    assert (await client.readMessage()).code == 504
    await network.logged("POST / from 127.0.0.1", "504 upstream_timeout", upstream.url)


@pytest_twisted.ensureDeferred
async def test_idleUpstreamConnectionIsClosed(network: Network, hurried: Hurried) -> None:
    client, upstream = await network.chain(clock=hurried, idleConnectionTimeout=1.0)
    client.write(request())
    server, _ = await upstream.request()
    server.write(response(b"ok"))
    await client.readMessage()
    await server.ended()
    assert network.log == []


@pytest_twisted.ensureDeferred
async def test_waitInTheQueueEndsIn503(network: Network, hurried: Hurried) -> None:
    upstream = await network.upstream()
    proxy = await network.proxy(upstream, clock=hurried, maxConnectionsPerUpstream=1, queueTimeout=1.0, maxQueuedRequests=1)
    first, second, third = [await proxy.connect() for _ in range(3)]
    first.write(request(b"/1"))
    server, _ = await upstream.request()
    second.write(request(b"/2"))
    await network.until(lambda: len(proxy.engine.pools.room), "it does not wait")
    third.write(request(b"/3"))
    assert (await third.readMessage()).code == 503
    await network.logged("GET /3", "503 queue_full")
    assert (await second.readMessage()).code == 503
    await network.logged("GET /2", "503 queue_timeout")
    server.write(response(b"one"))
    assert (await first.readMessage()).body == b"one"


@pytest.mark.parametrize("place", ["tcp", "unix"])
@pytest_twisted.ensureDeferred
async def test_uploadThatLeavesTheQueueIsMissed(network: Network, hurried: Hurried, tmp_path: Path, place: str) -> None:
    """By its end or its reset, though nobody reads what comes before that."""
    front: Any = UNIXServerEndpoint(reactor, str(tmp_path / "front")) if place == "unix" else None
    upstream = await network.upstream()
    proxy = await network.proxy(upstream, clock=hurried, maxConnectionsPerUpstream=1, queueTimeout=1000.0, endpoint=front)

    async def ask(data: bytes) -> Peer:
        path = str(tmp_path / "front")
        to = UNIXClientEndpoint(reactor, path) if front else TCP4ClientEndpoint(reactor, "127.0.0.1", proxy.address.port)
        client = await network.client(to)
        client.write(data)
        return client

    first = await ask(request(b"/1"))
    server, _ = await upstream.request()
    for leave in (Peer.close, Peer.abort, Peer.finish):
        client = await ask(request(b"/2", method=b"POST", body=b"x" * 140_000))
        await network.until(lambda: len(proxy.engine.pools.room), "it does not wait")
        await deferLater(reactor, 0.05)  # all of it is in our socket
        leave(client)
        await network.until(lambda: not len(proxy.engine.pools.room), "it waits on")
        await network.logged("POST /2", "499 client_closed")
    server.write(response(b"one"))
    assert (await first.readMessage()).body == b"one"
    assert len(upstream.connections) == 1
