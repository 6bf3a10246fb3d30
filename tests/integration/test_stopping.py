"""The end of a proxy: what is under way comes to its end, nothing new begins, and nobody waits for ever."""

from __future__ import annotations

import signal
import socket
import subprocess
import threading
import time
from pathlib import Path

import pytest_twisted
from twisted.internet.error import ConnectionDone, ConnectionRefusedError

from tests.support.bulk import Server, connect, drain, readHead
from tests.support.messages import request, response
from tests.support.network import Network
from tests.support.process import TWIST, ProxyProcess


@pytest_twisted.ensureDeferred
async def test_exchangeUnderWayIsFinished(network: Network) -> None:
    upstream = await network.upstream()
    live = await network.proxy(upstream)
    idle, busy = await live.connect(), await live.connect()
    idle.write(request())
    server, _ = await upstream.request()
    server.write(response())
    await idle.readMessage()
    busy.write(request(b"/", method=b"POST", body=b"x"), request(b"/never"))
    assert (await server.readMessage()).body == b"x"
    await live.stopListening()
    stopping = live.proxy.stopService()
    await idle.ended()
    assert not stopping.called
    server.write(response(b"done"))
    answer = await busy.readMessage()
    assert (answer.body, answer.head.get(b"connection")) == (b"done", b"close")
    await busy.ended()
    busy.close()
    await stopping
    assert len(upstream.connections) == 1
    await server.until(lambda: server.inputEnded)
    assert not server.received, "a pipelined request was begun"


@pytest_twisted.ensureDeferred
async def test_whatDoesNotEndIsCut(network: Network) -> None:
    upstream = await network.upstream()
    live = await network.proxy(upstream, drainTimeout=0.2)
    client = await live.connect()
    client.write(request())
    server, _ = await upstream.request()
    await live.proxy.stopService()
    await client.gone()
    await server.gone()


@pytest_twisted.ensureDeferred
async def test_newClientsAreNotAccepted(network: Network) -> None:
    live = await network.proxy(await network.upstream())
    await live.stopListening()
    try:
        await live.connect()
    except ConnectionRefusedError:
        pass
    else:
        raise AssertionError("it was accepted")


@pytest_twisted.ensureDeferred
async def test_upstreamThatIsRemovedEndsItsExchanges(network: Network) -> None:
    old, new = await network.upstream(), await network.upstream()
    new.answer(response(b"new"))
    live = await network.proxy(old)
    first, second = await live.connect(), await live.connect()
    first.write(request())
    server, _ = await old.request()
    live.proxy.setUpstreams([new.url])
    second.write(request())
    assert (await second.readMessage()).body == b"new"
    server.write(response(b"old"))
    assert (await first.readMessage()).body == b"old"
    await server.ended()
    server.close()
    assert (await server.gone()).check(ConnectionDone)
    first.write(request())
    assert (await first.readMessage()).body == b"new"


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
