"""Upstreams that come and go while requests are under way, told by a program."""

from __future__ import annotations

import pytest_twisted

from tests.support.messages import request, response
from tests.support.network import Network
from twistproxy.discovery.listed import Listed
from twistproxy.upstream.standing import Administrative


@pytest_twisted.ensureDeferred
async def test_whatRunsAtOneThatIsRemovedEndsAndItsIdleConnectionsAreClosed(network: Network) -> None:
    leaving, staying = await network.upstream(), await network.upstream()
    source = Listed(leaving.url)
    proxy = await network.proxy(sources=[source], discoveryInterval=0.0)
    idle, busy = await proxy.connect(), await proxy.connect()
    idle.write(request(b"/idle"))
    first, _ = await leaving.request()
    busy.write(request(b"/busy"))
    second, _ = await leaving.request()
    first.write(response(b"idle"))
    assert (await idle.readMessage()).body == b"idle"
    staying.answer(response(b"stays"))

    source.update([staying.url])
    assert [each.url for each in proxy.proxy.upstreams] == [staying.url]
    await first.ended()  # nobody needs it any more
    second.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
    idle.write(request(b"/next"))
    assert (await idle.readMessage()).body == b"stays"
    second.write(b"-last")
    assert (await busy.readMessage()).body == b"first-last"
    await second.ended()
    busy.write(request(b"/next"))
    assert (await busy.readMessage()).body == b"stays"


@pytest_twisted.ensureDeferred
async def test_oneThatStaysKeepsItsConnectionsAndWhatIsKnownOfIt(network: Network) -> None:
    one, two = await network.upstream(), await network.upstream()
    source = Listed(one.url)
    proxy = await network.proxy(sources=[source], discoveryInterval=0.0)
    one.answer(response(b"one"))
    client = await proxy.connect()
    client.write(request())
    await client.readMessage()
    [known] = proxy.proxy.upstreams
    two.answer(response(b"two"))
    source.update([f"{one.url},weight=5", two.url])
    assert proxy.proxy.upstreams[0] is known
    assert known.weight == 5
    bodies = set()
    for _ in range(4):
        client.write(request())
        bodies.add((await client.readMessage()).body)
    assert bodies == {b"one", b"two"}
    assert len(one.connections) == 1
    proxy.proxy.administer(one.url, Administrative.DRAIN)
    source.update([two.url, one.url])
    assert known.state.partition(":")[0] == "draining"
    for _ in range(4):
        client.write(request())
        assert (await client.readMessage()).body == b"two"


@pytest_twisted.ensureDeferred
async def test_upstreamsThatAreWrittenAndThoseThatAreFoundAddUp(network: Network) -> None:
    written, found = await network.upstream(), await network.upstream()
    source = Listed(found.url)
    proxy = await network.proxy(written, sources=[source], discoveryInterval=0.0)
    assert [each.url for each in proxy.proxy.upstreams] == [written.url, found.url]
    proxy.proxy.setUpstreams([])
    assert [each.url for each in proxy.proxy.upstreams] == [found.url]
    await proxy.proxy.stopService()
    source.update(["http://127.0.0.1:1"])
    assert [each.url for each in proxy.proxy.upstreams] == [found.url]
