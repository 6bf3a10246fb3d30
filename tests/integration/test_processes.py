"""A proxy as a process, in want of what the system gives: it takes no processor time to wait, and runs out of
descriptors without harm."""

from __future__ import annotations

import resource
import socket
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.bulk import BLOCK, Server, Stuffing, connect, readHead, stuffAll
from tests.support.process import ProxyProcess, waitFor

pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs Linux's /proc")

UPGRADE = b"GET /%b HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"
SWITCH = b"HTTP/1.1 101 x\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n"


@pytest.fixture(params=["default", "asyncio"])
def reactorName(request: pytest.FixtureRequest) -> str:
    """As C{twist --reactor} takes it."""
    name: str = request.param
    return name


@pytest.fixture
def upstream(tmp_path: Path) -> Iterator[Server]:
    """An upstream that waits in as many ways."""
    never = threading.Event()

    def serve(connection: socket.socket) -> None:
        while True:
            head, _ = readHead(connection)
            name = head.split()[1]
            if name == b"/answer":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
            elif name == b"/endless":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1 << 40))
                connection.settimeout(30)
                while True:
                    connection.send(BLOCK)
            elif name == b"/tunnel":
                connection.sendall(SWITCH)
                never.wait()
            elif name == b"/finished":
                connection.sendall(SWITCH)
                connection.shutdown(socket.SHUT_WR)
                never.wait()
            else:  # no answer, and nothing more is read
                never.wait()

    with Server(serve) as server:
        yield server
        never.set()


def test_waitingTakesNoProcessorTime(tmp_path: Path, reactorName: str, upstream: Server) -> None:
    with ProxyProcess(tmp_path, upstream.url, reactor=reactorName) as proxy, ExitStack() as clients:

        def client(data: bytes) -> socket.socket:
            made = clients.enter_context(connect(proxy.port))
            made.sendall(data)
            return made

        client(b"")
        client(b"GET / HTTP/1.1\r\nHo")
        idle = client(b"GET /answer HTTP/1.1\r\nHost: a\r\n\r\n")
        readHead(idle)
        client(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n")
        client(b"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nhalf")
        client(b"GET /endless HTTP/1.1\r\nHost: a\r\n\r\n")
        upload = Stuffing(client(b"POST /nothing HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (1 << 40)), 0)
        pipelining = Stuffing(client(b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"), 0)
        for name in (b"tunnel", b"finished"):
            readHead(client(UPGRADE % name))
            finished = client(UPGRADE % name)
            readHead(finished)
            finished.shutdown(socket.SHUT_WR)
        stuffAll([upload, pipelining])
        time.sleep(0.2)
        before = proxy.cpu
        time.sleep(1.5)
        assert proxy.cpu - before <= 0.05
        again = connect(proxy.port)
        again.sendall(b"GET /answer HTTP/1.1\r\nHost: a\r\n\r\n")
        assert readHead(again)[0].startswith(b"HTTP/1.1 200 ")
        again.close()


def asked(client: socket.socket) -> bytes:
    """The status of an answer on a connection, which is closed then; C{b"none"} when there comes none."""
    with client:
        try:
            client.sendall(b"GET /answer HTTP/1.1\r\nHost: a\r\n\r\n")
            return readHead(client)[0].split()[1]
        except (AssertionError, ConnectionError):
            return b"none"


def test_noDescriptorsLeftIsAnErrorThatPasses(tmp_path: Path, upstream: Server) -> None:
    with ProxyProcess(tmp_path, upstream.url) as proxy:
        resource.prlimit(proxy.process.pid, resource.RLIMIT_NOFILE, (60, 60))
        clients = [connect(proxy.port) for _ in range(100)]
        answers = Counter(asked(client) for client in clients)
        assert set(answers) <= {b"200", b"503", b"none"}
        assert len(answers) > 1, "the limit was not met"
        waitFor(lambda: asked(connect(proxy.port)) == b"200", "it does not recover", 5)
        assert "Traceback" not in proxy.said
