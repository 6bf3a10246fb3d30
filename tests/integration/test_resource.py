"""The proxy as a resource of twisted.web, on real sockets: under a stock Site, and under the one that streams."""

from __future__ import annotations

import hashlib
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import pytest_twisted

from tests.integration import test_places
from tests.integration.test_memory import GIBIBYTE, NOISE, serve
from tests.integration.test_upgrades import ASK, SWITCH
from tests.support.bulk import Server, connect, feed, readHead
from tests.support.dialogue import Peer, Upstream, settled
from tests.support.messages import CHUNKED, LAST_CHUNK, chunk, request, response
from tests.support.process import Child, ProxyProcess

if TYPE_CHECKING:
    from tests.support.network import LiveProxy, Network

Serve = Callable[..., Awaitable["LiveProxy"]]
certificate = test_places.certificate

BROKEN = {"length": b"Content-Length: 100\r\n\r\npart", "chunked": CHUNKED + b"\r\n\r\n" + chunk(b"part")}
"""How an answer may begin that breaks off."""


@pytest.fixture(params=["stock", "streaming"])
def kind(request: pytest.FixtureRequest) -> str:
    """Which Site it is."""
    name: str = request.param
    return name


@pytest_twisted.async_yield_fixture
async def serveSite(network: Network) -> AsyncIterator[Serve]:
    """Puts a proxy at the root of a Site that listens."""
    from twisted.internet import reactor
    from twisted.internet.endpoints import TCP4ServerEndpoint
    from twisted.web.server import Site

    from tests.support.network import LiveProxy
    from twistproxy.server.resource import ReverseProxyResource, site
    from twistproxy.settings import Settings

    running: list[LiveProxy] = []

    async def serve(kind: str, *upstreams: Upstream | str, endpoint: Any = None, clock: Any = None, **settings: Any) -> LiveProxy:
        urls = [each if isinstance(each, str) else each.url for each in upstreams]
        resource = ReverseProxyResource.forURL(*urls, reactor=clock or reactor, settings=Settings(**settings))
        factory = (Site if kind == "stock" else site)(resource)
        listening = await (endpoint or TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")).listen(factory)
        live = LiveProxy(network, resource.proxy, listening)
        running.append(live)
        return live

    yield serve
    for live in running:
        await live.port.stopListening()
        await live.proxy.stopService()


async def chain(network: Network, serveSite: Serve, kind: str, **settings: Any) -> tuple[Peer, Upstream]:
    """A client connected to a Site, and the upstream behind it."""
    upstream = await network.upstream()
    return await (await serveSite(kind, upstream, **settings)).connect(), upstream


@pytest_twisted.ensureDeferred
async def test_repeatedFieldsPassBothWays(network: Network, serveSite: Serve, kind: str) -> None:
    client, upstream = await chain(network, serveSite, kind)
    client.write(request(b"/a%2Fb//?c=%20", b"X-Many: 1", b"X-Many: 2"))
    server, asked = await upstream.request()
    assert asked.head.line == b"GET /a%2Fb//?c=%20 HTTP/1.1"
    assert asked.head.all(b"x-many") == [b"1", b"2"]
    server.write(response(b"ok", b"Set-Cookie: a=1", b"Set-Cookie: b=2"))
    answer = await client.readMessage()
    assert answer.head.all(b"set-cookie") == [b"a=1", b"b=2"]
    assert {name.lower() for name, _ in answer.head.fields} == {b"set-cookie", b"content-length"}


@pytest_twisted.ensureDeferred
async def test_answersWithoutABodyKeepTheConnection(network: Network, serveSite: Serve, kind: str) -> None:
    client, upstream = await chain(network, serveSite, kind)
    client.write(request(b"/1", method=b"HEAD"))
    server, _ = await upstream.request()
    server.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    assert (await client.readHead()).get(b"content-length") == b"1000"
    client.write(request(b"/2"))
    await server.readMessage()
    server.write(b"HTTP/1.1 304 Not Modified\r\nETag: x\r\nContent-Length: 1000\r\n\r\n")
    assert (await client.readHead()).code == 304
    client.write(request(b"/3"))
    await server.readMessage()
    server.write(response(b"ok"))
    assert (await client.readMessage()).body == b"ok"
    assert len(upstream.connections) == 1


@pytest_twisted.ensureDeferred
async def test_chunkedUploadIsFramedOnce(network: Network, serveSite: Serve, kind: str) -> None:
    client, upstream = await chain(network, serveSite, kind)
    upload = request(b"/", CHUNKED, method=b"POST") + chunk(b"GET /smuggled HTTP/1.1\r\n\r\n") + chunk(b"x") + LAST_CHUNK
    await client.dribble(upload + request(b"/second"), 40)
    server, asked = await upstream.request()
    assert asked.body == b"GET /smuggled HTTP/1.1\r\n\r\nx"
    assert (asked.head.get(b"content-length") is None) != (asked.head.get(b"transfer-encoding") is None)
    server.write(response(b"first"))
    assert (await server.readMessage()).head.line == b"GET /second HTTP/1.1"
    server.write(response(b"second"))
    assert (await client.readMessage()).body == b"first"
    assert (await client.readMessage()).body == b"second"


@pytest_twisted.ensureDeferred
async def test_bodiesPassUnchanged(network: Network, serveSite: Serve, kind: str) -> None:
    client, upstream = await chain(network, serveSite, kind)

    async def echo(peer: Peer) -> None:
        while True:
            asked = await peer.readMessage()
            peer.write(b"HTTP/1.1 200 OK\r\n", CHUNKED, b"\r\n\r\n", chunk(asked.body), LAST_CHUNK)

    upstream.handle(echo)
    body = b"".join(hashlib.sha256(b"%d" % number).digest() for number in range(100_000))
    client.write(request(b"/", method=b"PUT", body=body))
    assert (await client.readMessage()).body == body
    client.write(request(b"/", CHUNKED, method=b"PUT"), chunk(body), chunk(body), LAST_CHUNK)
    assert (await client.readMessage()).body == body + body


@pytest_twisted.ensureDeferred
async def test_earlyAnswerReachesAClientThatStillSends(network: Network, serveSite: Serve) -> None:
    client, upstream = await chain(network, serveSite, "streaming")
    client.write(request(b"/", b"Content-Length: 100000000", method=b"POST"), b"x" * 100_000)
    server = await upstream.accept()
    await server.readHead()
    server.write(response(b"enough", status=b"413 Content Too Large"))
    answer = await client.readMessage()
    assert (answer.code, answer.body, answer.head.get(b"connection")) == (413, b"enough", b"close")
    await client.ended()
    client.write(b"x" * 10_000)
    client.close()
    await server.gone()


@pytest.mark.parametrize("how", ["close", "abort"])
@pytest.mark.parametrize("framing", BROKEN)
@pytest_twisted.ensureDeferred
async def test_upstreamKilledInMidAnswerIsNoCleanEnd(
    network: Network, serveSite: Serve, kind: str, framing: str, how: str
) -> None:
    client, upstream = await chain(network, serveSite, kind)
    client.write(request())
    server, _ = await upstream.request()
    server.write(b"HTTP/1.1 200 OK\r\n" + BROKEN[framing])
    await client.readHead()
    assert b"part" in await client.readUntil(b"part")
    getattr(server, how)()
    rest = await client.readToEnd()
    assert rest.strip() == b"", "no last chunk"
    await network.logged("GET / from 127.0.0.1", "200 upstream_", upstream.url)


@pytest.mark.parametrize("how", ["close", "abort", "finish"])
@pytest.mark.parametrize("answered", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\npart"], ids=["waiting", "reading"])
@pytest_twisted.ensureDeferred
async def test_clientThatLeavesCancelsTheUpstream(
    network: Network, serveSite: Serve, kind: str, answered: bytes, how: str
) -> None:
    client, upstream = await chain(network, serveSite, kind)
    client.write(request())
    server, _ = await upstream.request()
    if answered:
        server.write(answered)
        await client.readUntil(b"part")
    getattr(client, how)()
    await server.gone()
    await network.logged("GET / from 127.0.0.1", "client_closed")


@pytest_twisted.ensureDeferred
async def test_clientThatLeavesInMidUploadCancelsTheUpstream(network: Network, serveSite: Serve) -> None:
    client, upstream = await chain(network, serveSite, "streaming")
    client.write(request(b"/", CHUNKED, method=b"POST") + chunk(b"part"))
    server = await upstream.accept()
    await server.readHead()
    assert await server.readChunk() == b"part"
    client.abort()
    await server.gone()
    await network.logged("POST / from 127.0.0.1", "499 client_closed")


@pytest_twisted.ensureDeferred
async def test_tunnelKeepsWhatIsGluedAndHalfCloses(network: Network, serveSite: Serve, kind: str) -> None:
    client, upstream = await chain(network, serveSite, kind)
    client.write(ASK, b"from the client")
    server, _ = await upstream.request()
    server.write(SWITCH, b"from the server")
    assert (await client.readHead()).code == 101
    assert await client.read(15) == b"from the server"
    assert await server.read(15) == b"from the client"
    data = bytes(range(256)) * 20_000
    client.write(data)
    server.write(data)
    assert await server.read(len(data)) == data
    assert await client.read(len(data)) == data
    client.finish()
    await server.ended()
    server.write(b"last words")
    server.finish()
    assert await client.readToEnd() == b"last words"
    assert network.log == []


@pytest_twisted.ensureDeferred
async def test_stalledClientStopsTheUpstream(network: Network, serveSite: Serve, kind: str) -> None:
    from twisted.internet import reactor

    client, upstream = await chain(network, serveSite, kind)
    client.write(request())
    server, _ = await upstream.request()
    client.pause()
    server.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (64 << 20))
    pouring = server.pour(b"x" * 65536, 1024)
    await settled(reactor, lambda: pouring.poured)
    assert not pouring.done, "somebody holds 64 MiB"
    client.resume()
    await client.readHead()
    await client.until(lambda: client.total > 64 << 20, 30.0)


@pytest_twisted.ensureDeferred
async def test_stalledUpstreamStopsTheClient(network: Network, serveSite: Serve) -> None:
    from twisted.internet import reactor

    client, upstream = await chain(network, serveSite, "streaming")
    client.write(request(b"/", b"Content-Length: %d" % (64 << 20), method=b"POST"))
    server = await upstream.accept()
    server.pause()
    pouring = client.pour(b"x" * 65536, 1024)
    await settled(reactor, lambda: pouring.poured)
    assert not pouring.done, "somebody holds 64 MiB"
    server.resume()
    await server.readHead()
    await server.until(lambda: server.total > 64 << 20, 30.0)
    server.write(response(b"all"))
    assert (await client.readMessage()).body == b"all"


@pytest_twisted.ensureDeferred
async def test_statusesOfFailures(network: Network, serveSite: Serve, kind: str) -> None:
    client, upstream = await chain(network, serveSite, kind)
    client.write(request())
    server, _ = await upstream.request()
    server.abort()
    assert (await client.readMessage()).code == 502
    await network.logged("502 upstream_reset")
    client.write(request())
    server, _ = await upstream.request()
    server.write(b"nonsense\r\n\r\n")
    assert (await client.readMessage()).code == 502
    await network.logged("502 upstream_protocol_error")
    await upstream.stop()
    client.write(request())
    assert (await client.readMessage()).code == 502
    await network.logged("502 connect_refused")


@pytest_twisted.ensureDeferred
async def test_upstreamThatDoesNotAnswerIs504(network: Network, serveSite: Serve, kind: str, hurried: Any) -> None:
    client, upstream = await chain(network, serveSite, kind, clock=hurried, upstreamHeadTimeout=2.0)
    client.write(request())
    await upstream.request()
    assert (await client.readMessage()).code == 504
    await network.logged("504 upstream_timeout")


@pytest_twisted.ensureDeferred
async def test_smuggledRequestsAreRefused(network: Network, serveSite: Serve, kind: str) -> None:
    upstream = await network.upstream()
    proxy = await serveSite(kind, upstream)
    for fields in ([b"Transfer-Encoding: identity"], [b"Host: other"], [b"Transfer-Encoding: identity", b"Content-Length: 40"]):
        client = await proxy.connect()
        client.write(request(b"/", *fields, method=b"POST"), request(b"/smuggled"))
        assert (await client.readMessage()).code == 400
        await client.ended()
        await network.logged("refused: 400")
    assert upstream.connections == []


@pytest_twisted.ensureDeferred
async def test_unixUpstream(network: Network, serveSite: Serve, kind: str, tmp_path: Path) -> None:
    from twisted.internet import reactor
    from twisted.internet.endpoints import UNIXServerEndpoint

    upstream = await network.upstream(UNIXServerEndpoint(reactor, str(tmp_path / "app.sock")))
    client = await (await serveSite(kind, upstream.url + ":/base")).connect()
    client.write(request(b"/x"))
    server, asked = await upstream.request()
    assert asked.head.line == b"GET /base/x HTTP/1.1"
    server.write(response(b"ok"))
    assert (await client.readMessage()).body == b"ok"


class TestTLS:
    """A Site behind TLS, which has no half-close in Twisted."""

    async def chain(self, network: Network, serveSite: Serve, kind: str, certificate: Any) -> tuple[Peer, Upstream]:
        from twisted.internet import reactor, ssl
        from twisted.internet.endpoints import SSL4ClientEndpoint, SSL4ServerEndpoint

        upstream = await network.upstream()
        endpoint = SSL4ServerEndpoint(reactor, 0, certificate.options(), interface="127.0.0.1")
        live = await serveSite(kind, upstream, endpoint=endpoint)
        trusting = ssl.optionsForClientTLS("localhost", trustRoot=ssl.Certificate(certificate.original))
        port = live.port.getHost().port
        return await network.client(SSL4ClientEndpoint(reactor, "127.0.0.1", port, trusting)), upstream

    @pytest_twisted.ensureDeferred
    async def test_exchangesAndATunnel(self, network: Network, serveSite: Serve, kind: str, certificate: Any) -> None:
        client, upstream = await self.chain(network, serveSite, kind, certificate)
        body = b"x" * 1_000_000
        client.write(request(b"/", CHUNKED, method=b"POST"), chunk(body), LAST_CHUNK)
        server, asked = await upstream.request()
        assert (asked.body, asked.head.get(b"x-forwarded-proto")) == (body, b"https")
        server.write(response(body))
        assert (await client.readMessage()).body == body
        client.write(ASK, b"from the client")
        await server.readMessage()
        server.write(SWITCH, b"from the server")
        assert (await client.readHead()).code == 101
        assert await client.read(15) == b"from the server"
        assert await server.read(15) == b"from the client"
        client.write(body)
        assert await server.read(len(body)) == body
        client.close()
        await server.ended()

    @pytest_twisted.ensureDeferred
    async def test_earlyAnswer(self, network: Network, serveSite: Serve, certificate: Any) -> None:
        client, upstream = await self.chain(network, serveSite, "streaming", certificate)
        client.write(request(b"/", b"Content-Length: 100000000", method=b"POST"), b"x" * 1000)
        server = await upstream.accept()
        await server.readHead()
        server.write(response(b"enough", status=b"413 Content Too Large"))
        assert (await client.readMessage()).code == 413
        await client.ended()


PROGRAM = """
import sys
from twisted.internet import reactor
from twistproxy.server.resource import ReverseProxyResource, site
port = reactor.listenTCP(0, site(ReverseProxyResource.forURL(sys.argv[1])), interface="127.0.0.1")
print(f"listening on {port.getHost().port}", flush=True)
reactor.run()
"""


class SiteProcess(ProxyProcess):
    """A process with a streaming Site."""

    def __init__(self, directory: Path, upstream: str) -> None:
        Child.__init__(self, directory, "site", sys.executable, "-c", PROGRAM, upstream)
        self.port = int(self.waitFor(r"^listening on (\d+)$")[1])

    def __enter__(self) -> SiteProcess:
        return self


def upload(port: int, size: int) -> None:
    """Post so many bytes; the upstream tells whether they all came."""
    with connect(port) as client:
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        time.sleep(0.1)
        feed(client, size, chunked=True)
        head, _ = readHead(client)
        assert head.startswith(b"HTTP/1.1 200 "), head


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux's /proc")
def test_gibibyteUploadedLeavesMemoryFlat(tmp_path: Path) -> None:
    with Server(serve) as upstream, SiteProcess(tmp_path, upstream.url) as site:
        upload(site.port, 8 << 20)
        before = site.startPeak()
        upload(site.port, GIBIBYTE)
        grown = site.peak - before
        assert grown < NOISE, f"grew by {grown >> 10} KiB at its peak"
