"""Bodies at a pace and faults on purpose, over real sockets."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.support.bulk import Server, connect, readHead
from tests.support.process import ProxyProcess

SIZE = 300_000
ASK = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def _serve(connection: socket.socket) -> None:
    while True:
        readHead(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % SIZE + bytes(SIZE))


@pytest.fixture(params=["default", "uvloop"])
def reactorName(request: pytest.FixtureRequest) -> str:
    """As C{twist --reactor} takes it."""
    if request.param == "uvloop":
        pytest.importorskip("uvloop")
    name: str = request.param
    return name


def test_aSlowedBodyArrivesWhole(tmp_path: Path, reactorName: str) -> None:
    options = ("--middleware", "bandwidth-limit:rate=1MiB:burst=0")
    with (
        Server(_serve) as upstream,
        ProxyProcess(tmp_path, upstream.url, reactor=reactorName, options=options) as proxy,
        connect(proxy.port) as client,
    ):
        for _ in range(2):
            client.sendall(ASK)
            _, size = readHead(client)
            assert size < SIZE, "nothing was slowed"
            while size < SIZE:
                size += len(client.recv(SIZE))
            assert size == SIZE


def _take(connection: socket.socket) -> None:
    while True:
        head, size = readHead(connection)
        while size < SIZE and not head.startswith(b"HEAD"):
            size += len(connection.recv(SIZE))
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


def test_aSlowedUploadArrivesWhole(tmp_path: Path, reactorName: str) -> None:
    options = ("--middleware", "bandwidth-limit:upload=2MiB:burst=0")
    with (
        Server(_take) as upstream,
        ProxyProcess(tmp_path, upstream.url, reactor=reactorName, options=options) as proxy,
        connect(proxy.port) as client,
    ):
        for _ in range(2):
            client.sendall(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % SIZE + bytes(SIZE))
            head, _ = readHead(client)
            assert head.startswith(b"HTTP/1.1 200"), head


def _switch(connection: socket.socket) -> None:
    readHead(connection)
    connection.sendall(b"HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" + bytes(SIZE))
    connection.shutdown(socket.SHUT_WR)


def test_aSlowedTunnelEndsBehindAll(tmp_path: Path, reactorName: str) -> None:
    options = ("--middleware", "bandwidth-limit:rate=2MiB:burst=0")
    with (
        Server(_switch) as upstream,
        ProxyProcess(tmp_path, upstream.url, reactor=reactorName, options=options) as proxy,
        connect(proxy.port) as client,
    ):
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n")
        _, size = readHead(client)
        assert size < SIZE, "nothing was slowed"
        while piece := client.recv(SIZE):
            size += len(piece)
        assert size == SIZE


def test_theSameSeedTheSameRun(tmp_path: Path) -> None:
    runs = []
    for _ in range(2):
        options = ("--middleware", "chaos:status=500:share=30%:seed=7", "--middleware", "chaos:timeout=1ms:share=20%:seed=8")
        with Server(_take) as upstream, ProxyProcess(tmp_path, upstream.url, options=options) as proxy:
            found = []
            for _ in range(40):
                with connect(proxy.port) as client:
                    client.sendall(ASK.replace(b"GET", b"HEAD"))
                    found.append(client.recv(100)[9:12])
            runs.append(found)
    assert runs[0] == runs[1]
    assert {b"", b"200", b"500"} == set(runs[0])


def test_aResetIsAReset(tmp_path: Path, reactorName: str) -> None:
    options = ("--middleware", "chaos:reset=0s:seed=1")
    with (
        Server(_serve) as upstream,
        ProxyProcess(tmp_path, upstream.url, reactor=reactorName, options=options) as proxy,
        connect(proxy.port) as client,
    ):
        client.sendall(ASK)
        with pytest.raises(ConnectionResetError):
            client.recv(1)
