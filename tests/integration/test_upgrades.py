"""After a 101: two sockets spliced, with what was glued to the heads, half-closes, and a limit to what is held."""

from __future__ import annotations

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.error import ConnectionDone, ConnectionLost

from tests.support.dialogue import Peer, Upstream, settled
from tests.support.messages import CHUNKED, LAST_CHUNK, request, response
from tests.support.network import LiveProxy, Network

ASK = request(b"/chat", b"Connection: Upgrade", b"Upgrade: WebSocket", b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==")
SWITCH = b"\r\n".join(
    [
        b"HTTP/1.1 101 Switching Protocols",
        b"Connection: upgrade",
        b"Upgrade: websocket",
        b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        b"",
        b"",
    ]
)


class Tunnel:
    """A tunnel through a proxy.

    @ivar client: its one end.
    @ivar server: its other end.
    """

    def __init__(self, proxy: LiveProxy, client: Peer, server: Peer) -> None:
        self.proxy = proxy
        self.client = client
        self.server = server


async def tunnelTo(network: Network, upstream: Upstream, **options: object) -> Tunnel:
    """A tunnel through a new proxy, both heads read."""
    proxy = await network.proxy(upstream, **options)
    client = await proxy.connect()
    client.write(ASK)
    server, asked = await upstream.request()
    assert asked.head.get(b"upgrade") == b"WebSocket"
    assert asked.head.get(b"connection").lower() == b"upgrade"
    server.write(SWITCH)
    head = await client.readHead()
    assert (head.code, head.get(b"upgrade"), head.get(b"sec-websocket-accept")) == (
        101, b"websocket", b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
    )  # fmt: skip
    return Tunnel(proxy, client, server)


async def tunnelled(network: Network, **options: object) -> Tunnel:
    """A tunnel through a new proxy to a new upstream."""
    return await tunnelTo(network, await network.upstream(), **options)


@pytest_twisted.ensureDeferred
async def test_bytesPassBothWaysAsTheyAre(network: Network) -> None:
    tunnel = await tunnelled(network)
    for number in range(5):
        sent = bytes(range(256)) * number
        tunnel.client.write(sent, b".")
        assert await tunnel.server.readUntil(b"\xff." if number else b".") == sent + b"."
        tunnel.server.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        assert await tunnel.client.read(28) == b"HTTP/1.1 400 Bad Request\r\n\r\n"


@pytest_twisted.ensureDeferred
async def test_whatIsGluedToEitherHeadComesFirst(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(ASK, b"client first")
    server = await upstream.accept()
    await server.readHead()
    await server.silent()  # nothing of a tunnel before the upstream agreed to one
    client.write(b", client second")
    server.write(SWITCH, b"server first")
    assert (await client.readHead()).code == 101
    assert await client.read(12) == b"server first"
    assert await server.read(27) == b"client first, client second"


@pytest_twisted.ensureDeferred
async def test_halfCloseOfTheClientLeavesTheOtherDirectionOpen(network: Network) -> None:
    tunnel = await tunnelled(network)
    tunnel.client.write(b"x" * 1000000)
    tunnel.client.finish()
    assert await tunnel.server.readToEnd() == b"x" * 1000000
    for _ in range(3):
        tunnel.server.write(b"still here")
        assert await tunnel.client.read(10) == b"still here"
    tunnel.server.close()
    await tunnel.client.ended()
    await tunnel.proxy.quiet()


@pytest_twisted.ensureDeferred
async def test_halfCloseOfTheUpstreamLeavesTheOtherDirectionOpen(network: Network) -> None:
    tunnel = await tunnelled(network)
    tunnel.server.write(b"x" * 1000000)
    tunnel.server.finish()
    assert await tunnel.client.readToEnd() == b"x" * 1000000
    for _ in range(3):
        tunnel.client.write(b"still here")
        assert await tunnel.server.read(10) == b"still here"
    tunnel.client.close()
    await tunnel.server.ended()
    await tunnel.proxy.quiet()


@pytest.mark.parametrize("killed", ["client", "server"])
@pytest_twisted.ensureDeferred
async def test_resetOfOneSideResetsTheOther(network: Network, killed: str) -> None:
    tunnel = await tunnelled(network)
    one, other = (tunnel.client, tunnel.server) if killed == "client" else (tunnel.server, tunnel.client)
    one.write(b"x")
    await other.read(1)
    one.abort()
    assert (await other.gone()).check(ConnectionLost)
    await tunnel.proxy.quiet()


@pytest.mark.parametrize("closed", ["client", "server"])
@pytest_twisted.ensureDeferred
async def test_closeOfOneSideClosesTheOtherCleanly(network: Network, closed: str) -> None:
    tunnel = await tunnelled(network)
    one, other = (tunnel.client, tunnel.server) if closed == "client" else (tunnel.server, tunnel.client)
    one.write(b"last words")
    one.close()
    assert await other.readToEnd() == b"last words"
    other.close()
    assert (await other.gone()).check(ConnectionDone)
    await tunnel.proxy.quiet()


@pytest.mark.parametrize("stopped", ["client", "server"])
@pytest_twisted.ensureDeferred
async def test_sideThatDoesNotReadStopsTheOther(network: Network, stopped: str) -> None:
    tunnel = await tunnelled(network)
    one, other = (tunnel.client, tunnel.server) if stopped == "client" else (tunnel.server, tunnel.client)
    one.pause()
    piece, count = b"0123456789abcdef" * 4096, 800  # 50 MB: far more than the sockets on the way hold
    pouring = other.pour(piece, count)
    await settled(reactor, lambda: pouring.poured)
    assert not pouring.done
    # The other direction is not affected.
    one.write(b"I do not listen")
    assert await other.read(15) == b"I do not listen"
    one.resume()
    await one.until(lambda: one.total >= len(piece) * count)
    assert bytes(one.received) == piece * count


@pytest_twisted.ensureDeferred
async def test_idleTunnelIsClosed(network: Network, hurried: object) -> None:
    tunnel = await tunnelled(network, clock=hurried, tunnelIdleTimeout=1.0)
    await tunnel.client.gone()
    await tunnel.server.gone()


@pytest_twisted.ensureDeferred
async def test_tunnelIsLoggedWithItsBytes(network: Network) -> None:
    records = []

    class Log:
        def log(self, exchange: object) -> None:
            records.append(exchange)

    tunnel = await tunnelled(network, accessLogs=[Log()])
    tunnel.client.write(b"x" * 10)
    await tunnel.server.read(10)
    tunnel.server.write(b"x" * 20)
    await tunnel.client.read(20)
    assert records == []
    tunnel.client.close()
    await tunnel.server.ended()
    tunnel.server.close()
    await tunnel.proxy.quiet()
    assert [(each.status, each.bytesOut) for each in records] == [(101, 20)]
    assert network.log == []


@pytest.mark.parametrize(
    "answer",
    [
        SWITCH.replace(b"websocket", b"foo"),
        SWITCH.replace(b"Upgrade: websocket\r\n", b""),
        SWITCH.replace(b"Connection: upgrade\r\n", b""),
        SWITCH.replace(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", b""),
    ],
    ids=["another protocol", "no protocol", "no Connection", "no accept key"],
)
@pytest_twisted.ensureDeferred
async def test_answerThatSwitchesToSomethingElseIsRefused(network: Network, answer: bytes) -> None:
    client, upstream = await network.chain()
    client.write(ASK)
    server, _ = await upstream.request()
    server.write(answer)
    assert (await client.readMessage()).code == 502
    await server.gone()
    await network.logged("502 upstream_protocol_error")


@pytest_twisted.ensureDeferred
async def test_switchThatNobodyAskedForIsRefused(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(request())
    server, _ = await upstream.request()
    server.write(SWITCH)
    assert (await client.readMessage()).code == 502
    await server.gone()
    await network.logged("502 upstream_protocol_error")


@pytest_twisted.ensureDeferred
async def test_refusedUpgradeIsAnAnswerLikeAnyOther(network: Network) -> None:
    client, upstream = await network.chain()
    upstream.answer(response(b"no", b"Connection: upgrade", b"Upgrade: websocket", status=b"426 Upgrade Required"))
    for _ in range(2):
        client.write(ASK)
        answer = await client.readMessage()
        assert (answer.code, answer.body) == (426, b"no")
    assert len(upstream.connections) == 1


@pytest_twisted.ensureDeferred
async def test_upgradeWithABodyIsRefused(network: Network) -> None:
    client, upstream = await network.chain()
    fields = (b"Connection: upgrade", b"Upgrade: websocket", CHUNKED)
    client.write(request(b"/", *fields, method=b"POST"), LAST_CHUNK)
    assert (await client.readMessage()).code == 400
    assert upstream.connections == []


@pytest_twisted.ensureDeferred
async def test_h2cIsRemovedAndTheRequestGoesOn(network: Network) -> None:
    client, upstream = await network.chain()
    client.write(request(b"/", b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABkAAQ"))
    server, asked = await upstream.request()
    assert [name for name, _ in asked.head.fields if name.lower() in (b"upgrade", b"http2-settings", b"connection")] == []
    server.write(response(b"plain"))
    assert (await client.readMessage()).body == b"plain"


@pytest.mark.parametrize("kind", ["unix", "tcp"])
@pytest_twisted.ensureDeferred
async def test_upstreamOfEveryKindCanBeHalfClosed(network: Network, kind: str, tmp_path: object) -> None:
    from twisted.internet.endpoints import UNIXServerEndpoint

    endpoint = UNIXServerEndpoint(reactor, f"{tmp_path}/socket") if kind == "unix" else None
    tunnel = await tunnelTo(network, await network.upstream(endpoint))
    tunnel.client.write(b"question")
    tunnel.client.finish()
    assert await tunnel.server.readToEnd() == b"question"
    tunnel.server.write(b"answer")
    tunnel.server.close()
    assert await tunnel.client.readToEnd() == b"answer"
