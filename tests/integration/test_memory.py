"""The proof that bodies stream: memory stays flat while a gibibyte passes, and while it does not.

The proxy is a process of its own, on Twisted's default reactor and on uvloop, whose transports are our own. What it holds
of an exchange is what one side gave to the kernel, less what is still in the kernel's buffers, less what the other side has
got or could get from them: exact, and blind to how the proxy or its reactor keep it.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.bulk import Queues, Server, Stuffing, connect, drain, drainChunks, feed, readHead, stuffAll
from tests.support.process import ProxyProcess, waitFor

GIBIBYTE = 1 << 30
BOUND = 512 << 10
"""Most bytes that the proxy may hold of one exchange."""

NOISE = 2 << 20
"""What the memory of a Python process may grow by for reasons of its own."""

EXCHANGES = 24

pytestmark = pytest.mark.skipif(not Path("/proc/net/tcp").exists(), reason="needs Linux's /proc")
needsUvloop = pytest.mark.skipif(find_spec("uvloop") is None, reason="needs uvloop")


@pytest.fixture(params=["default", pytest.param("uvloop", marks=needsUvloop)])
def reactorName(request: pytest.FixtureRequest) -> str:
    """As C{twist --reactor} takes it."""
    name: str = request.param
    return name


class Held:
    """Connections of upstreams, by the number in their request's target."""

    def __init__(self) -> None:
        self.sockets: dict[int, tuple[socket.socket, int]] = {}
        self.released = threading.Event()

    def serve(self, connection: socket.socket) -> None:
        """Take a request, and leave it at that."""
        head, rest = readHead(connection)
        self.sockets[int(head.split()[1][1:])] = connection, rest
        self.released.wait()


@pytest.fixture
def held() -> Iterator[Held]:
    """Upstreams that hold still."""
    made = Held()
    yield made
    made.released.set()


def warmUp(proxy: ProxyProcess, size: int = 8 << 20) -> None:
    """Have it import and allocate whatever a first exchange needs."""
    get(proxy, size)


def get(proxy: ProxyProcess, size: int) -> None:
    """Get so much."""
    with connect(proxy.port) as client:
        client.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % size)
        head, rest = readHead(client)
        assert head.startswith(b"HTTP/1.1 200 "), head
        drain(client, size - rest)


def serve(connection: socket.socket) -> None:
    """Answer GET /SIZE with so many bytes; take what is posted, and tell how much it was."""
    while True:
        head, rest = readHead(connection)
        if head.startswith(b"GET"):
            size = int(head.split()[1][1:])
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
            feed(connection, size)
        else:
            assert rest == 0, "the client sends its body after a pause"
            total = b"%d" % drainChunks(connection)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(total), total))


@pytest.mark.slow
@pytest.mark.parametrize("direction", ["down", "up"])
def test_gibibyteLeavesMemoryFlat(tmp_path: Path, reactorName: str, direction: str) -> None:
    with Server(serve) as upstream, ProxyProcess(tmp_path, upstream.url, reactor=reactorName) as proxy:
        warmUp(proxy)
        before = proxy.startPeak()
        if direction == "down":
            get(proxy, GIBIBYTE)
        else:
            with connect(proxy.port) as client:
                client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
                time.sleep(0.1)
                feed(client, GIBIBYTE, chunked=True)
                head, _ = readHead(client)
                assert head.startswith(b"HTTP/1.1 200 "), head
        grown = proxy.peak - before
        assert grown < NOISE, f"grew by {grown >> 10} KiB at its peak"
        assert proxy.log == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["body", "tunnel"])
def test_bothWaysAtOnceLeaveMemoryFlat(tmp_path: Path, kind: str) -> None:
    """Where the kernel moves it."""
    code, fields = b"200 OK\r\nContent-Length: %d", b"Content-Length: %d"
    if kind == "tunnel":
        fields = b"Connection: upgrade\r\nUpgrade: bulk\r\nX-Size: %d"
        code = b"101 Yes\r\n" + fields

    def both(sock: socket.socket, up: int, down: int) -> None:
        sending = threading.Thread(target=feed, args=(sock, up), daemon=True)
        sending.start()
        drain(sock, down)
        sending.join()

    def serve(connection: socket.socket) -> None:
        while True:  # until there is no other request
            head, rest = readHead(connection)
            size = int(head.split()[1][1:])
            connection.sendall(b"HTTP/1.1 " + code % size + b"\r\n\r\n")
            both(connection, size - 1, size - rest)
            connection.sendall(b"x")  # not before it has the whole request: an answer ends an exchange

    with Server(serve) as upstream, ProxyProcess(tmp_path, upstream.url) as proxy:
        for size in (8 << 20, GIBIBYTE // 4):
            before = proxy.startPeak()
            with connect(proxy.port) as client:
                client.sendall(b"POST /%d HTTP/1.1\r\nHost: a\r\n" % size + fields % size + b"\r\n\r\n")
                head, rest = readHead(client)
                assert head.startswith(b"HTTP/1.1 " + code[:3]), head
                both(client, size, size - rest)
        grown = proxy.peak - before
        assert grown < NOISE, f"grew by {grown >> 10} KiB at its peak"
        assert proxy.log == []


def check(proxy: ProxyProcess, before: int, holdings: dict[int, int]) -> None:
    """Whether all exchanges stay within their bounds."""
    for number, bytesHeld in holdings.items():
        assert 0 <= bytesHeld <= BOUND, f"exchange {number}: {bytesHeld} bytes are held"
    assert max(holdings.values()) > 0, "nothing was held: the measure does not measure"
    grown = proxy.memory - before
    assert grown < len(holdings) * BOUND, f"{len(holdings)} exchanges take {grown >> 10} KiB"


ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % GIBIBYTE,
    "chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n" % GIBIBYTE,
    "tunnel": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: bulk\r\n\r\n",
}


@pytest.mark.parametrize("kind", ANSWERS)
def test_clientsThatStopReadingCostLittle(tmp_path: Path, reactorName: str, held: Held, kind: str) -> None:
    upgrade = b"Connection: upgrade\r\nUpgrade: bulk\r\n" if kind == "tunnel" else b""
    with Server(held.serve) as upstream, ProxyProcess(tmp_path, upstream.url, reactor=reactorName) as proxy:
        clients = [connect(proxy.port) for _ in range(EXCHANGES)]
        for number, client in enumerate(clients):
            client.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n%b\r\n" % (number, upgrade))
        waitFor(lambda: len(held.sockets) == EXCHANGES, "not all requests came")
        before = proxy.memory
        stuffings = {}
        for number, (server, _) in held.sockets.items():
            server.sendall(ANSWERS[kind])
            stuffings[number] = Stuffing(server, len(ANSWERS[kind]))
        stuffAll(list(stuffings.values()))
        queues = Queues()
        assert all(each.sent > 100000 for each in stuffings.values())
        holdings = {
            number: each.sent - queues.behind(each.sock) - queues.before(clients[number]) for number, each in stuffings.items()
        }
        check(proxy, before, holdings)
        for client in clients:
            client.close()


def test_upstreamsThatStopReadingCostLittle(tmp_path: Path, reactorName: str, held: Held) -> None:
    with Server(held.serve) as upstream, ProxyProcess(tmp_path, upstream.url, reactor=reactorName) as proxy:
        clients = [connect(proxy.port) for _ in range(EXCHANGES)]
        for number, client in enumerate(clients):
            client.sendall(b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (number, GIBIBYTE))
        waitFor(lambda: len(held.sockets) == EXCHANGES, "not all requests came")
        before = proxy.memory
        stuffings = {number: Stuffing(client, 0) for number, client in enumerate(clients)}
        stuffAll(list(stuffings.values()))
        queues = Queues()
        assert all(each.sent > 100000 for each in stuffings.values())
        holdings = {}
        for number, each in stuffings.items():
            server, rest = held.sockets[number]
            holdings[number] = each.sent - queues.behind(each.sock) - queues.before(server) - rest
        check(proxy, before, holdings)
        for client in clients:
            client.close()


def test_uploadsThatWaitInTheQueueCostLittle(tmp_path: Path, reactorName: str, held: Held) -> None:
    options = ("--set", "max-connections-per-upstream=1")
    with (
        Server(held.serve) as upstream,
        ProxyProcess(tmp_path, upstream.url, reactor=reactorName, options=options) as proxy,
        connect(proxy.port) as first,
    ):
        first.sendall(b"GET /1000 HTTP/1.1\r\nHost: a\r\n\r\n")
        waitFor(lambda: held.sockets, "nothing was asked")
        clients = [connect(proxy.port) for _ in range(EXCHANGES)]
        before = proxy.memory
        stuffings = {}
        for number, client in enumerate(clients):
            head = b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (number, GIBIBYTE)
            client.sendall(head)
            stuffings[number] = Stuffing(client, len(head))
        stuffAll(list(stuffings.values()))
        queues = Queues()
        assert all(each.sent > 100000 for each in stuffings.values())
        check(proxy, before, {number: each.sent - queues.behind(each.sock) for number, each in stuffings.items()})
        assert len(held.sockets) == 1
        for client in clients:
            client.close()


def test_pipelinedRequestsThatWaitCostLittle(tmp_path: Path, reactorName: str, held: Held) -> None:
    with Server(held.serve) as upstream, ProxyProcess(tmp_path, upstream.url, reactor=reactorName) as proxy:
        clients = [connect(proxy.port) for _ in range(EXCHANGES)]
        for number, client in enumerate(clients):
            client.sendall(b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n" % number)
        waitFor(lambda: len(held.sockets) == EXCHANGES, "not all requests came")
        before = proxy.memory
        stuffings = {number: Stuffing(client, 0) for number, client in enumerate(clients)}
        stuffAll(list(stuffings.values()))
        queues = Queues()
        assert all(each.sent > 100000 for each in stuffings.values())
        check(proxy, before, {number: each.sent - queues.behind(each.sock) for number, each in stuffings.items()})
        for client in clients:
            client.close()
