"""A limit on connections, with real sockets: those beyond it wait in the kernel, and are served when there is room."""

from __future__ import annotations

import socket
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.bulk import Server, connect, readHead
from tests.support.process import ProxyProcess

ASK = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def _serve(connection: socket.socket) -> None:
    while True:
        readHead(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")


@pytest.mark.parametrize("reactorName", ["default", "uvloop"])
def test_othersWait(tmp_path: Path, reactorName: str) -> None:
    if reactorName == "uvloop":
        pytest.importorskip("uvloop")
    options = ("--set", "max-connections=2")
    with Server(_serve) as upstream, ProxyProcess(tmp_path, upstream.url, reactor=reactorName, options=options) as proxy:
        with ExitStack() as stack:
            clients = [stack.enter_context(connect(proxy.port)) for _ in range(2)]
            for each in clients:
                each.sendall(ASK)
                readHead(each)
            waiting = [stack.enter_context(connect(proxy.port)) for _ in range(2)]  # in the backlog
            for each in waiting:
                each.sendall(ASK)
                each.settimeout(0.3)
                with pytest.raises(TimeoutError):
                    each.recv(1)
                each.settimeout(10)
            for each, after in zip(clients, waiting, strict=True):
                each.close()
                head, _ = readHead(after)
                assert head.startswith(b"HTTP/1.1 200")
        proxy.logged("max-connections: there are 2")
