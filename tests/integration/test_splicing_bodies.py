"""Long bodies that the kernel moves: they arrive byte for byte, and everything ends as it does through buffers."""

from __future__ import annotations

import hashlib
import socket
import sys
import zlib
from typing import Any

import pytest
import pytest_twisted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.error import ConnectionLost
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from tests.integration.test_splicing import NOISE, flows, read, steps, together
from tests.support.bulk import Server, connect
from tests.support.dialogue import Peer, Upstream, settled
from tests.support.messages import CHUNKED, chunk, request, response
from tests.support.network import Hurried, LiveProxy, Network

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="splice(2) is Linux's")

LENGTH = 32 << 20
PIECE = NOISE[: 1 << 16]
ALL = LENGTH >> 16
"""Pieces of a whole body."""

sizes = st.lists(
    st.tuples(*[st.sampled_from([0, 1, 5000, 262143, 262144, 300000, 1000001, 2500000])] * 2), min_size=1, max_size=5
)
"""Of requests and of their answers' bodies."""


def bodyOf(size: int) -> bytes:
    """A body that is no other body's beginning."""
    return NOISE[size % 97 :][:size]


def exactly(sock: socket.socket, size: int, buffer: bytearray) -> bytes:
    """So many bytes, of which some may be in C{buffer}."""
    while len(buffer) < size:
        piece = sock.recv(1 << 16)
        assert piece, "it ended too early"
        buffer += piece
    taken = bytes(buffer[:size])
    del buffer[:size]
    return taken


def message(sock: socket.socket, buffer: bytearray) -> tuple[bytes, bytes]:
    """A message with a Content-Length: its first line and its body."""
    while b"\r\n\r\n" not in buffer:
        piece = sock.recv(1 << 16)
        if not piece:
            return b"", b""
        buffer += piece
    head = exactly(sock, buffer.index(b"\r\n\r\n") + 4, buffer)
    fields = dict(line.lower().split(b": ") for line in head.split(b"\r\n")[1:-2])
    return head.split(b"\r\n")[0], exactly(sock, int(fields.get(b"content-length", b"0")), buffer)


@pytest_twisted.ensureDeferred
async def test_bodiesOfAnySizesFollowEachOther(network: Network) -> None:
    """Pipelined, in pieces of any size and with stalls: each is whole, and the next begins where it ends."""
    def serve(connection: socket.socket) -> None:
        buffer = bytearray()
        while True:
            line, body = message(connection, buffer)
            if not line:
                return
            size = int(line.split()[1][1:])
            digest = b"%d" % zlib.crc32(body)
            connection.sendall(b"HTTP/1.1 200 OK\r\nETag: %b\r\nContent-Length: %d\r\n\r\n" % (digest, size))
            connection.sendall(bodyOf(size))

    with Server(serve) as server:
        proxy = await network.proxy(server.url)

        @given(sizes, steps, steps)
        @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
        def mix(each: list[tuple[int, int]], writing: list[tuple[int, float]], reading: list[tuple[int, float]]) -> None:
            with connect(proxy.address.port) as client:
                heads = [b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (down, up) for up, down in each]
                stream = b"".join(head + bodyOf(up) for head, (up, _) in zip(heads, each, strict=True))

                def write() -> None:
                    at = 0
                    for size, _ in [*writing, (len(stream), 0.0)]:
                        client.sendall(stream[at : at + size])
                        at += size

                def check() -> None:
                    buffer = bytearray(read(client, reading, 1))
                    for up, down in each:
                        head = b""
                        while not head.endswith(b"\r\n\r\n"):
                            head += exactly(client, 1, buffer)
                        assert b"ETag: %d\r\n" % zlib.crc32(bodyOf(up)) in head
                        body = bytes(buffer[:down])
                        del buffer[:down]
                        body += read(client, reading, down - len(body))
                        assert hashlib.md5(body).digest() == hashlib.md5(bodyOf(down)).digest()

                together(write, check)

        await deferToThread(mix)
        await proxy.quiet()
        assert not server.errors
        assert flows(proxy), "nothing was spliced"
        assert network.log == []


class Log:
    """Keeps the numbers of what is logged; an exchange itself is not to be kept."""

    def __init__(self) -> None:
        self.lines: list[tuple[int, str, int]] = []

    def log(self, exchange: Any) -> None:
        self.lines.append((exchange.status, exchange.reason, exchange.bytesOut))


@pytest.fixture(params=[True, False], ids=["spliced", "buffered"])
def splice(request: pytest.FixtureRequest) -> bool:
    """Whether it is done: in both ways all must be the same."""
    made: bool = request.param
    return made


class Conversation:
    """A client and an upstream with a proxy between them."""

    def __init__(self, proxy: LiveProxy, client: Peer, upstream: Upstream, splice: bool, log: Log) -> None:
        self.proxy = proxy
        self.client = client
        self.upstream = upstream
        self.splice = splice
        self.log = log

    async def download(self, network: Network) -> Peer:
        """Have an answer begin; the upstream's end of its connection."""
        self.client.write(request())
        server, _ = await self.upstream.request()
        server.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LENGTH)
        return server

    async def upload(self, network: Network) -> Peer:
        """Have a request begin; the upstream's end of its connection."""
        self.client.write(request(b"/", b"Content-Length: %d" % LENGTH, method=b"POST"))
        server = await self.upstream.accept()
        await server.readHead()
        return server

    async def underWay(self, network: Network) -> None:
        """Wait until it goes the way it shall."""
        if self.splice:
            await network.until(lambda: flows(self.proxy), "nothing is spliced")
        else:
            await settled(reactor, lambda: self.client.total, quiet=0.05)
            assert not flows(self.proxy)


async def conversation(network: Network, splice: bool, **options: Any) -> Conversation:
    log = Log()
    upstream = await network.upstream()
    proxy = await network.proxy(upstream, splice=splice, accessLogs=[log], **options)
    return Conversation(proxy, await proxy.connect(), upstream, splice, log)


@pytest_twisted.ensureDeferred
async def test_afterTheBodyTheConnectionsServeOn(network: Network, splice: bool) -> None:
    talk = await conversation(network, splice)
    server = await talk.download(network)
    server.pour(PIECE, ALL)
    assert (await talk.client.readMessage()).body == PIECE * ALL
    server.transport.unregisterProducer()
    await talk.proxy.quiet()
    talk.client.write(request(b"/", b"Content-Length: %d" % LENGTH, method=b"POST"))
    head = await server.readHead()
    talk.client.pour(PIECE, ALL)
    body, _ = await server.readBody(head)
    assert body == PIECE * ALL
    server.write(response(b"ok"))
    assert (await talk.client.readMessage()).body == b"ok"
    await talk.proxy.quiet()
    assert len(talk.upstream.connections) == 1
    assert talk.log.lines == [(200, "", LENGTH), (200, "", 2)]
    assert bool(flows(talk.proxy)) == splice


@pytest.mark.parametrize("how", ["abort", "close"])
@pytest_twisted.ensureDeferred
async def test_clientThatLeavesInMidDownload(network: Network, splice: bool, how: str) -> None:
    talk = await conversation(network, splice)
    server = await talk.download(network)
    server.pour(PIECE, ALL - 1)
    await talk.underWay(network)
    getattr(talk.client, how)()
    await server.gone()
    await network.logged("200 client_closed")
    assert [line[:2] for line in talk.log.lines] == [(200, "client_closed")]


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize("how", ["abort", "close"])
@pytest_twisted.ensureDeferred
async def test_clientThatLeavesInMidUpload(network: Network, splice: bool, how: str, stopped: bool) -> None:
    talk = await conversation(network, splice)
    server = await talk.upload(network)
    talk.client.pour(PIECE, 40)
    await server.until(lambda: server.total > 20 << 16)
    if stopped:
        server.pause()
        await settled(reactor, lambda: server.total, quiet=0.05)
    else:
        await server.until(lambda: server.total >= 40 << 16)
    getattr(talk.client, how)()
    server.resume()
    assert (await server.gone()).check(ConnectionLost)
    await network.logged("499 client_closed")
    assert bool(flows(talk.proxy)) == splice


@pytest.mark.parametrize("stopped", [False, True])
@pytest.mark.parametrize(("how", "word"), [("abort", "upstream_reset"), ("close", "upstream_closed")])
@pytest_twisted.ensureDeferred
async def test_upstreamThatGoesInMidAnswer(network: Network, splice: bool, how: str, word: str, stopped: bool) -> None:
    """The client gets what there was, and no more; also one that did not read for a while."""
    talk = await conversation(network, splice)
    server = await talk.download(network)
    if stopped:
        talk.client.pause()
    pouring = server.pour(PIECE, 40)
    await talk.underWay(network)
    if stopped:
        await settled(reactor, lambda: pouring.poured, quiet=0.05)
    if not stopped:
        await talk.client.until(lambda: talk.client.total >= 40 << 16)
    getattr(server, how)()
    if stopped:
        await settled(reactor, lambda: server.reason, quiet=0.1)
        talk.client.resume()
    await talk.client.until(lambda: talk.client.inputEnded)
    head = await talk.client.readHead()
    assert head.code == 200
    got = bytes(talk.client.received)
    assert got == (PIECE * 40)[: len(got)]
    if how == "close" or not stopped:
        assert len(got) == 40 << 16
    line = await network.logged("200", word)
    assert "in the body" in line or "reset" in line
    await talk.proxy.quiet()


@pytest.mark.parametrize("how", ["abort", "close"])
@pytest_twisted.ensureDeferred
async def test_upstreamThatGoesInMidUpload(network: Network, splice: bool, how: str) -> None:
    talk = await conversation(network, splice)
    server = await talk.upload(network)
    talk.client.pour(PIECE, ALL)
    await server.until(lambda: server.total > 40 << 16)
    getattr(server, how)()
    answer = await talk.client.readMessage()
    assert (answer.code, answer.head.get(b"connection")) == (502, b"close")
    await network.logged("502 upstream_")
    assert bool(flows(talk.proxy)) == splice


@pytest_twisted.ensureDeferred
async def test_answerInMidUpload(network: Network, splice: bool) -> None:
    talk = await conversation(network, splice)
    server = await talk.upload(network)
    talk.client.pour(PIECE, 40)
    await server.until(lambda: server.total >= 40 << 16)
    server.write(response(b"enough", status=b"413 Too Long"))
    answer = await talk.client.readMessage()
    assert (answer.code, answer.body, answer.head.get(b"connection")) == (413, b"enough", b"close")
    await server.gone()
    await talk.client.ended()
    assert bool(flows(talk.proxy)) == splice


@pytest_twisted.ensureDeferred
async def test_answerInMidUploadThatIsNotRead(network: Network, splice: bool) -> None:
    talk = await conversation(network, splice)
    server = await talk.upload(network)
    server.pause()
    pouring = talk.client.pour(PIECE, ALL)
    await settled(reactor, lambda: pouring.poured, quiet=0.05)
    server.write(response(b"enough", status=b"413 Too Long"))
    await talk.client.until(lambda: b"enough" in talk.client.received)
    server.resume()
    await server.gone()


@pytest_twisted.ensureDeferred
async def test_bothDirectionsAtOnce(network: Network, splice: bool) -> None:
    talk = await conversation(network, splice)
    server = await talk.upload(network)
    talk.client.pour(PIECE, ALL - 1)
    await server.until(lambda: server.total > 40 << 16)
    server.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LENGTH)
    server.pour(PIECE, ALL - 1)
    await server.until(lambda: len(server.received) >= LENGTH - len(PIECE))
    await talk.client.until(lambda: talk.client.total > LENGTH - len(PIECE))
    assert bytes(server.received) == PIECE * (ALL - 1)
    talk.client.transport.unregisterProducer()
    server.transport.unregisterProducer()
    talk.client.write(PIECE)
    assert await server.read(LENGTH) == PIECE * ALL
    server.write(PIECE)
    answer = await talk.client.readMessage()
    assert answer.body == PIECE * ALL
    await talk.proxy.quiet()
    assert bool(flows(talk.proxy)) == splice


@pytest_twisted.ensureDeferred
async def test_clientThatTakesNothingIsCutOff(network: Network, hurried: Hurried, splice: bool) -> None:
    talk = await conversation(network, splice, clock=hurried, sendTimeout=2.0)
    server = await talk.download(network)
    talk.client.pause()
    server.pour(PIECE, ALL)
    assert (await server.gone()).check(ConnectionLost)
    await network.logged("200 client_closed", "took nothing")
    talk.client.resume()
    await talk.client.gone()


@pytest_twisted.ensureDeferred
async def test_aClientThatIsSlowIsNotTheUpstreamsFault(network: Network, hurried: Hurried, splice: bool) -> None:
    talk = await conversation(network, splice, clock=hurried, upstreamTimeout=1.5, sendTimeout=100.0)
    server = await talk.download(network)
    talk.client.pause()
    server.pour(PIECE, ALL)
    await deferLater(reactor, 0.6)  # six of its seconds
    talk.client.resume()
    assert (await talk.client.readMessage()).body == PIECE * ALL


@pytest_twisted.ensureDeferred
async def test_upstreamThatStopsInMidAnswerIsCutOff(network: Network, hurried: Hurried, splice: bool) -> None:
    talk = await conversation(network, splice, clock=hurried, upstreamTimeout=3.0)
    server = await talk.download(network)
    server.pour(PIECE, 40)
    await talk.underWay(network)
    await server.gone()
    await talk.client.until(lambda: talk.client.inputEnded)
    await network.logged("200 upstream_timeout", "the answer stopped")


@pytest_twisted.ensureDeferred
async def test_clientThatStopsInMidUploadIs408(network: Network, hurried: Hurried, splice: bool) -> None:
    talk = await conversation(network, splice, clock=hurried, bodyTimeout=2.0)
    server = await talk.upload(network)
    talk.client.pour(PIECE, 40)
    assert (await talk.client.readMessage()).code == 408
    await server.gone()
    await network.logged("408 client_timeout")
    assert bool(flows(talk.proxy)) == splice


@pytest_twisted.ensureDeferred
async def test_upstreamThatTakesNothingMoreOfARequestIs504(network: Network, hurried: Hurried, splice: bool) -> None:
    """And not the client's fault, however soon it would be blamed."""
    talk = await conversation(network, splice, clock=hurried, upstreamTimeout=2.0, bodyTimeout=0.5)
    server = await talk.upload(network)
    server.pause()
    talk.client.pour(PIECE, ALL)
    answer = await talk.client.readMessage()
    assert answer.code == 504
    await network.logged("504 upstream_timeout", "takes no more")
    server.resume()
    await server.gone()


@pytest_twisted.ensureDeferred
async def test_chunkedBodiesPassThroughBuffers(network: Network) -> None:
    talk = await conversation(network, True)
    talk.client.write(request())
    server, _ = await talk.upstream.request()
    server.write(b"HTTP/1.1 200 OK\r\n%b\r\n\r\n" % CHUNKED)
    server.pour(chunk(PIECE), 40)
    await talk.client.until(lambda: talk.client.total > 40 << 16)
    server.transport.unregisterProducer()
    server.write(b"0\r\n\r\n")
    assert (await talk.client.readMessage()).body == PIECE * 40
    assert not flows(talk.proxy)


@pytest_twisted.ensureDeferred
async def test_bodiesThatPluginsLookAtPassThroughBuffers(network: Network) -> None:
    class Filter:
        def data(self, data: bytes) -> bytes:
            return data.swapcase()

        def end(self) -> bytes:
            return b""

    class Modifier:
        def modify(self, request: Any, response: Any) -> None:
            response.filters.append(Filter())

    talk = await conversation(network, True, modifiers=[Modifier()])
    talk.client.write(request())
    server, _ = await talk.upstream.request()
    server.write(response(b"a" * (2 << 20)))
    assert (await talk.client.readMessage()).body == b"A" * (2 << 20)
    assert not flows(talk.proxy)


@pytest_twisted.ensureDeferred
async def test_overUnixSockets(network: Network, tmp_path: object) -> None:
    from twisted.internet.endpoints import UNIXServerEndpoint

    upstream = await network.upstream(UNIXServerEndpoint(reactor, f"{tmp_path}/socket"))
    proxy = await network.proxy(upstream)
    client = await proxy.connect()
    client.write(request())
    server, _ = await upstream.request()
    server.write(response(NOISE))
    assert (await client.readMessage()).body == NOISE
    assert flows(proxy)
