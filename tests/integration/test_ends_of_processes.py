"""The end of C{twist revproxy}, and a start that comes to nothing: the same whatever reactor the tests run on."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

from tests.support.bulk import Server, connect, drain, readHead
from tests.support.process import TWIST, ProxyProcess


def test_terminatedProcessFinishesItsExchanges(tmp_path: Path) -> None:
    asked, go = threading.Event(), threading.Event()

    def serve(connection: socket.socket) -> None:
        readHead(connection)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst")
        asked.set()
        assert go.wait(10)
        connection.sendall(b"after")

    with Server(serve) as upstream, ProxyProcess(tmp_path, upstream.url) as proxy, connect(proxy.port) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert asked.wait(10)
        proxy.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        assert proxy.process.poll() is None
        refused = socket.socket()
        assert refused.connect_ex(("127.0.0.1", proxy.port)) != 0
        refused.close()
        go.set()
        head, rest = readHead(client)
        assert head.startswith(b"HTTP/1.1 200 ")
        drain(client, 10 - rest)
        assert client.recv(1) == b""
        client.close()
        assert proxy.process.wait(10) == -signal.SIGTERM  # as twist has it
        assert "Traceback" not in proxy.said
        assert proxy.log == []


def test_portThatIsTakenIsOneLineAndStatus1(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        words = ["revproxy", "--listen", f"tcp:{port}:interface=127.0.0.1", "--upstream", "http://127.0.0.1:9"]
        done = subprocess.run([TWIST, *words], cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode == 1
    assert str(port) in done.stderr and "Traceback" not in done.stderr + done.stdout
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
