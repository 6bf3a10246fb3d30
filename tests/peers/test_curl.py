"""curl as the client: how it is used by hand, and what it makes of an answer that breaks off."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.peers.conftest import StartProxy
from tests.support.bulk import Server, drain, feed, readHead
from tests.support.process import Child, ProxyProcess, waitFor
from tests.support.programs import needs, program, run

pytestmark = needs("curl")

GIBIBYTE = 1 << 30
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def answering(answer: bytes) -> Callable[[socket.socket], None]:
    """Answers every request without a body with these bytes."""

    def serve(connection: socket.socket) -> None:
        while True:
            readHead(connection)
            connection.sendall(answer)

    return serve


def plain(body: bytes, *fields: bytes) -> bytes:
    """A response."""
    return b"\r\n".join([b"HTTP/1.1 200 OK", b"Content-Length: %d" % len(body), *fields, b"", body])


def taking(connection: socket.socket) -> None:
    """Takes uploads, after a 100 where one is expected, and tells their size."""
    while True:
        head, rest = readHead(connection)
        found = re.search(rb"(?i)^content-length: (\d+)", head, re.MULTILINE)
        assert found is not None, head
        if re.search(rb"(?i)^expect: 100-continue", head, re.MULTILINE):
            connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        drain(connection, int(found[1]) - rest)
        connection.sendall(plain(found[1]))


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    """An upstream for all tests."""
    with Server(taking) as made:
        yield made


@pytest.fixture(scope="module")
def proxyBefore(server: Server, startModuleProxy: StartProxy) -> ProxyProcess:
    """A proxy for all tests."""
    return startModuleProxy(server.url)


@pytest.fixture
def upstream(server: Server) -> Server:
    """An upstream that a test may use as it likes."""
    server.use(taking)
    return server


@pytest.fixture
def proxy(proxyBefore: ProxyProcess) -> ProxyProcess:
    """A proxy before it, with nothing in its log."""
    proxyBefore.forgetLog()
    return proxyBefore


@pytest.fixture
def gibibyte(tmp_path: Path) -> Path:
    """A file of that size that takes no space."""
    path = tmp_path / "gibibyte"
    with path.open("wb") as file:
        file.truncate(GIBIBYTE)
    return path


@pytest.mark.slow
def test_uploadOfAGibibyteLeavesMemoryFlat(upstream: Server, proxy: ProxyProcess, gibibyte: Path) -> None:
    upstream.use(taking)
    run("curl", "-sS", f"{proxy.url}/warm", "--data-binary", "x")
    before = proxy.startPeak()
    done = run("curl", "-sS", "-T", gibibyte, f"{proxy.url}/upload")
    assert (done.returncode, done.stdout) == (0, b"%d" % GIBIBYTE), done
    grown = proxy.peak - before
    assert grown < 2 << 20, f"grew by {grown >> 10} KiB"
    assert upstream.errors == []
    assert proxy.log == []


def test_expectContinueGoesEndToEnd(upstream: Server, proxy: ProxyProcess, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100000)
    upstream.use(taking)
    started = time.monotonic()
    done = run("curl", "-sSv", "-H", "Expect: 100-continue", "-T", tmp_path / "file", f"{proxy.url}/")
    assert (done.returncode, done.stdout) == (0, b"100000"), done
    assert done.stderr.count(b"< HTTP/1.1 100 Continue") == 1
    assert time.monotonic() - started < 0.9, "curl waited for its own timeout of a second"


def test_refusalInsteadOfContinueSavesTheUpload(upstream: Server, proxy: ProxyProcess, gibibyte: Path) -> None:
    seen: list[int] = []

    def refuse(connection: socket.socket) -> None:
        _, rest = readHead(connection)
        connection.sendall(b"HTTP/1.1 413 Too Much\r\nContent-Length: 2\r\n\r\nno")
        seen.append(rest)
        while piece := connection.recv(65536):
            seen.append(len(piece))

    upstream.use(refuse)
    done = run("curl", "-sS", "-w", "%{http_code} %{size_upload}", "-T", gibibyte, f"{proxy.url}/")
    assert (done.returncode, done.stdout) == (0, b"no413 0"), done
    waitFor(lambda: seen, "nothing was asked")
    assert sum(seen) == 0


def test_http10GetsAPlainBody(upstream: Server, proxy: ProxyProcess) -> None:
    upstream.use(answering(CHUNKED + b"4\r\nold \r\n6\r\nschool\r\n0\r\n\r\n"))
    done = run("curl", "-sSi", "--http1.0", f"{proxy.url}/")
    head, _, body = done.stdout.partition(b"\r\n\r\n")
    assert (done.returncode, body) == (0, b"old school"), done
    assert b"chunked" not in head.lower()


def test_rawShowsTheChunksAsTheyCame(upstream: Server, proxy: ProxyProcess) -> None:
    def serve(connection: socket.socket) -> None:
        readHead(connection)
        connection.sendall(CHUNKED)
        for piece in (b"5\r\nfirst\r\n", b"6\r\nsecond\r\n", b"0\r\nX-Sum: 11\r\n\r\n"):
            time.sleep(0.05)
            connection.sendall(piece)

    upstream.use(serve)
    done = run("curl", "-sS", "--raw", f"{proxy.url}/")
    assert done.stdout.startswith(b"5\r\nfirst\r\n6\r\nsecond\r\n0\r\n"), done


def test_eventsComeAsTheyAreSent(upstream: Server, proxy: ProxyProcess) -> None:
    go = threading.Semaphore(0)

    def serve(connection: socket.socket) -> None:
        readHead(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for number in range(3):
            assert go.acquire(timeout=10)
            connection.sendall(b"data: %d\n\n" % number)
        connection.shutdown(socket.SHUT_WR)

    upstream.use(serve)
    curl = program("curl")
    assert curl is not None
    with subprocess.Popen([curl, "-sSN", f"{proxy.url}/events"], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        for number in range(3):
            go.release()
            assert client.stdout.readline() == b"data: %d\n" % number
            assert client.stdout.readline() == b"\n"
        assert client.wait(10) == 0


def test_slowDownloadArrivesWhole(upstream: Server, proxy: ProxyProcess) -> None:
    size = 3 << 20

    def serve(connection: socket.socket) -> None:
        readHead(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        feed(connection, size)

    upstream.use(serve)
    done = run("curl", "-sS", "--limit-rate", "2M", "-o", os.devnull, "-w", "%{size_download}", f"{proxy.url}/")
    assert (done.returncode, done.stdout) == (0, b"%d" % size), done


def test_connectionIsUsedAgain(upstream: Server, proxy: ProxyProcess) -> None:
    upstream.use(answering(plain(b"hello")))
    done = run("curl", "-sSv", *[f"{proxy.url}/{number}" for number in range(5)])
    assert done.stdout == b"hello" * 5
    assert done.stderr.count(b"Re-using existing connection") == 4, done.stderr


def test_pathsAreSentAsTheyAre(upstream: Server, proxy: ProxyProcess) -> None:
    seen: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        while True:
            seen.append(readHead(connection)[0].split(b" ")[1])
            connection.sendall(plain(b""))

    upstream.use(serve)
    for path in ("/a/../b", "/a%2Fb%2e%2E//c", "/?a=b%26c&d;e=%zz"):
        run("curl", "-sS", "-g", "--path-as-is", f"{proxy.url}{path}")
    assert seen == [b"/a/../b", b"/a%2Fb%2e%2E//c", b"/?a=b%26c&d;e=%zz"]


def test_headHasItsLengthAndNoBody(upstream: Server, proxy: ProxyProcess) -> None:
    upstream.use(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n"))
    done = run("curl", "-sSI", f"{proxy.url}/1", f"{proxy.url}/2", limit=10)
    assert (done.returncode, done.stdout.count(b"Content-Length: 12345")) == (0, 2), done


def test_offerOfHTTP2IsNotTakenUp(upstream: Server, proxy: ProxyProcess) -> None:
    seen: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        seen.append(readHead(connection)[0].lower())
        connection.sendall(plain(b"one"))

    upstream.use(serve)
    done = run("curl", "-sS", "--http2", "-w", " %{http_version}", f"{proxy.url}/")
    assert (done.returncode, done.stdout) == (0, b"one 1.1"), done
    assert b"upgrade" not in seen[0] and b"http2-settings" not in seen[0]


def test_nobodyListensIs502(startProxy: StartProxy) -> None:
    proxy = startProxy("http://127.0.0.1:9")
    done = run("curl", "-sS", "-w", " %{http_code}", f"{proxy.url}/x")
    assert done.returncode == 0
    assert done.stdout.endswith(b" 502")
    proxy.logged("GET /x from 127.0.0.1", "502 connect_refused", "upstream http://127.0.0.1:9")


@pytest.fixture
def endless() -> Iterator[tuple[Server, threading.Event]]:
    """An upstream whose answer does not end, and what is set when its client is gone."""
    gone = threading.Event()

    def serve(connection: socket.socket) -> None:
        readHead(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (GIBIBYTE << 10))
        try:
            feed(connection, GIBIBYTE << 10)
        except OSError:
            gone.set()

    with Server(serve) as server:
        yield server, gone


def test_clientKilledInMidDownloadStopsTheUpstream(
    startProxy: StartProxy, endless: tuple[Server, threading.Event], tmp_path: Path
) -> None:
    upstream, gone = endless
    proxy = startProxy(upstream.url)
    curl = program("curl")
    assert curl is not None
    with Child(tmp_path, "curl", curl, "-sS", "--limit-rate", "10M", f"{proxy.url}/big") as client:
        waitFor(lambda: client.output.stat().st_size > 1 << 20, "nothing came")
        assert not gone.is_set()
        client.process.send_signal(signal.SIGKILL)
    assert gone.wait(2.0), "the upstream still sends"
    proxy.logged("GET /big from 127.0.0.1", "200 client_closed", f"upstream {upstream.url}")
    assert len(proxy.log) == 1, proxy.log


UPSTREAM = """
import socket, sys, time
head = {head!r}
with socket.create_server(("127.0.0.1", 0)) as server:
    print("port", server.getsockname()[1], flush=True)
    connection, _ = server.accept()
    connection.recv(65536)
    connection.sendall(head)
    time.sleep(60)
"""


@pytest.mark.parametrize(
    ("head", "option", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nhalf", "--http1.1", 18, b"half"),
        (CHUNKED + b"4\r\nhalf\r\n", "--http1.1", 18, b"half"),
        (CHUNKED + b"4\r\nhalf\r\n", "--http1.0", 56, b"half"),
        (b"HTTP/1.1 200 OK\r\nContent-Le", "--http1.1", 0, b"The server closed the connection too early."),
    ],
    ids=["length", "chunked", "http 1.0", "in the head"],
)
def test_upstreamKilledInMidAnswerIsAnError(
    startProxy: StartProxy, tmp_path: Path, head: bytes, option: str, status: int, body: bytes
) -> None:
    with Child(tmp_path, "upstream", sys.executable, "-c", UPSTREAM.format(head=head)) as upstream:
        port = upstream.waitFor(r"^port (\d+)$")[1]
        proxy = startProxy(f"http://127.0.0.1:{port}")
        curl = program("curl")
        assert curl is not None
        with Child(tmp_path, "curl", curl, "-sSN", option, f"{proxy.url}/part") as client:
            if status:
                client.waitFor("half")
            else:
                time.sleep(0.3)
            upstream.process.send_signal(signal.SIGKILL)
            assert client.process.wait(10) == status, client.said
            assert body in client.output.read_bytes()
    proxy.logged("GET /part from 127.0.0.1", "200 upstream_closed" if status else "502 upstream_closed", f":{port}")
    assert len(proxy.log) == 1, proxy.log


def test_demoAnswersFromBothOfItsUpstreams(startProxy: StartProxy) -> None:
    proxy = startProxy(options=("--demo",))
    done = run("curl", "-sS", *[f"{proxy.url}/{number}" for number in range(4)])
    assert done.returncode == 0, done
    hosts = re.findall(r"^sample upstream on http://(127\.0\.0\.1:\d+)/$", proxy.said, re.MULTILINE)
    assert len(hosts) == 2
    answers = {run("curl", "-sS", f"{proxy.url}/").stdout for _ in range(4)}
    assert len(answers) > 1, "both give the same"
    assert proxy.log == []
