"""Copies of requests over real sockets: of every kind of body, to every kind of upstream, in nobody's way."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest_twisted
from twisted.internet import reactor
from twisted.internet.endpoints import SSL4ServerEndpoint, UNIXServerEndpoint

from tests.integration.test_splicing import NOISE, flows
from tests.support.certificates import issued, ofTwisted, writeAuthority
from tests.support.dialogue import Peer
from tests.support.messages import CHUNKED, chunk, request, response
from tests.support.network import Network
from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.messages import Upstream
from twistproxy.middleware.mirror import Mirror
from twistproxy.settings import Settings
from twistproxy.tls.config import UpstreamTLS
from twistproxy.upstream.group import UpstreamGroup


def pool(name: str, upstream: Upstream) -> UpstreamGroup:
    seconds: Any = reactor
    return UpstreamGroup.configured(name, RoundRobin(), [upstream], Settings(), seconds.seconds)


@pytest_twisted.ensureDeferred
async def test_copiesAreWhole(network: Network, tmp_path: Path) -> None:
    """Whatever the kernel would rather move by itself, and however it is framed."""
    primary = await network.upstream()
    local = await network.upstream(UNIXServerEndpoint(reactor, f"{tmp_path}/shadow"))
    tls = SSL4ServerEndpoint(reactor, 0, ofTwisted(issued("localhost")).options(), interface="127.0.0.1")
    secure = await network.upstream(tls, "localhost", "https")
    upstreams = [primary, local, secure]
    mirrors = [Mirror("local"), Mirror("secure", maxBody=1 << 21)]
    live = await network.proxy(primary, middleware=mirrors, pools={
        "local": pool("local", Upstream(local.url)),
        "secure": pool("secure", Upstream(secure.url, tls=UpstreamTLS(ca=writeAuthority(tmp_path)))),
    })  # fmt: skip
    seen: dict[str, list[Any]] = {}

    def serving(name: str, answer: bytes) -> Any:
        async def serve(peer: Peer) -> None:
            while True:
                message = await peer.readMessage()
                seen.setdefault(name, []).append(message)
                peer.write(answer)

        return serve

    for each, name, answer in zip(upstreams, ("primary", "local", "secure"), (b"yes", b"no", b"never"), strict=True):
        each.handle(serving(name, response(answer)))
    bodies = [b"", NOISE[:700_000], NOISE[:1_500_000], NOISE[:600_000]]
    client = await live.connect()
    for body in bodies[:3]:
        client.write(request(b"/", method=b"POST", body=body))
        assert (await client.readMessage()).body == b"yes"
    pieces = b"".join(chunk(bodies[3][at : at + 70_000]) for at in range(0, 600_000, 70_000))
    client.write(request(b"/", CHUNKED, b"Trailer: X-Sum", method=b"POST"), pieces, b"0\r\nX-Sum: 7\r\n\r\n")
    assert (await client.readMessage()).body == b"yes"
    await network.until(lambda: [each.answered.total() for each in mirrors] == [3, 4], "copies are missing")
    assert [each.body for each in seen["primary"]] == bodies
    # Nobody waits for a copy before the next one is sent: they are under way together.
    assert sorted(each.body for each in seen["secure"]) == sorted(bodies)
    assert sorted(each.body for each in seen["local"]) == sorted([bodies[0], bodies[1], bodies[3]])
    assert mirrors[0].dropped == {"too_long": 1}
    assert {each.head.get(b"host") for each in seen["secure"]} == {secure.url.removeprefix("https://").encode()}
    assert {each.head.get(b"host") for each in seen["local"]} == {b"example.test"}
    assert [each.allowance.held for each in mirrors] == [0, 0]


@pytest_twisted.ensureDeferred
async def test_aShadowThatTakesNothing(network: Network) -> None:
    """Clients do not notice, what is held is bounded, and long bodies go through the kernel as ever."""
    primary, shadow = await network.upstream(), await network.upstream()
    primary.answer(response(b"yes"))

    async def stall(peer: Peer) -> None:
        peer.transport.pauseProducing()

    shadow.handle(stall)
    mirror = Mirror("shadow", maxMemory=4 << 20)
    pools = {"shadow": pool("shadow", Upstream(shadow.url))}
    live = await network.proxy(primary, middleware=[mirror], pools=pools, drainTimeout=0.1)
    client = await live.connect()
    for size in [1 << 20] * 8 + [4 << 20]:
        client.write(request(b"/", method=b"POST", body=NOISE[:1] * size))
        assert (await client.readMessage()).body == b"yes"
        assert mirror.allowance.held <= 4 << 20
    assert mirror.dropped == {"memory": 4, "too_long": 1}
    assert flows(live) == (sys.platform == "linux"), "only the long one"
    assert mirror.inFlight == 4
    client.close()
    await client.gone()
    await live.stopListening()
    await live.proxy.stopService()
    assert (mirror.inFlight, mirror.allowance.held, mirror.failed) == (0, 0, {"draining": 4})
