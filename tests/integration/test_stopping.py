"""The end of a proxy: what is under way comes to its end, nothing new begins, and nobody waits for ever."""

from __future__ import annotations

import pytest_twisted
from twisted.internet.error import ConnectionDone, ConnectionRefusedError

from tests.support.messages import request, response
from tests.support.network import Network


@pytest_twisted.ensureDeferred
async def test_exchangeUnderWayIsFinished(network: Network) -> None:
    upstream = await network.upstream()
    live = await network.proxy(upstream)
    idle, busy = await live.connect(), await live.connect()
    idle.write(request())
    server, _ = await upstream.request()
    server.write(response())
    await idle.readMessage()
    busy.write(request(b"/", method=b"POST", body=b"x"), request(b"/never"))
    assert (await server.readMessage()).body == b"x"
    await live.stopListening()
    stopping = live.proxy.stopService()
    await idle.ended()
    assert not stopping.called
    server.write(response(b"done"))
    answer = await busy.readMessage()
    assert (answer.body, answer.head.get(b"connection")) == (b"done", b"close")
    await busy.ended()
    busy.close()
    await stopping
    assert len(upstream.connections) == 1
    await server.until(lambda: server.inputEnded)
    assert not server.received, "a pipelined request was begun"


@pytest_twisted.ensureDeferred
async def test_whatDoesNotEndIsCut(network: Network) -> None:
    upstream = await network.upstream()
    live = await network.proxy(upstream, drainTimeout=0.2)
    client = await live.connect()
    client.write(request())
    server, _ = await upstream.request()
    await live.proxy.stopService()
    await client.gone()
    await server.gone()


@pytest_twisted.ensureDeferred
async def test_newClientsAreNotAccepted(network: Network) -> None:
    live = await network.proxy(await network.upstream())
    await live.stopListening()
    try:
        await live.connect()
    except ConnectionRefusedError:
        pass
    else:
        raise AssertionError("it was accepted")


@pytest_twisted.ensureDeferred
async def test_upstreamThatIsRemovedEndsItsExchanges(network: Network) -> None:
    old, new = await network.upstream(), await network.upstream()
    new.answer(response(b"new"))
    live = await network.proxy(old)
    first, second = await live.connect(), await live.connect()
    first.write(request())
    server, _ = await old.request()
    live.proxy.setUpstreams([new.url])
    second.write(request())
    assert (await second.readMessage()).body == b"new"
    server.write(response(b"old"))
    assert (await first.readMessage()).body == b"old"
    await server.ended()
    server.close()
    assert (await server.gone()).check(ConnectionDone)
    first.write(request())
    assert (await first.readMessage()).body == b"new"
