"""SIGHUP: the configuration file is read again, and no request is lost."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.load import NamedServer, Traffic, fetch
from tests.support.process import ProxyProcess, waitFor


@pytest.fixture
def servers() -> Iterator[tuple[NamedServer, NamedServer]]:
    with NamedServer() as one, NamedServer() as two:
        yield one, two


def poolOf(*servers: NamedServer | str, more: str = "") -> str:
    urls = [each if isinstance(each, str) else f"http://{each.address}" for each in servers]
    return f"{more}\n[pools.app]\nupstreams = {urls}\n"


def test_poolsAndRoutesUnderTraffic(tmp_path: Path, servers: tuple[NamedServer, NamedServer]) -> None:
    one, two = servers
    file = tmp_path / "proxy.toml"
    file.write_text(poolOf(one))
    with ProxyProcess(tmp_path, options=("--config", str(file))) as proxy, Traffic(proxy.port) as traffic:

        def reload(text: str) -> None:
            file.write_text(text)
            proxy.forgetLog()
            proxy.process.send_signal(signal.SIGHUP)

        assert traffic.served() == {one.address}
        reload(poolOf(two))
        waitFor(lambda: traffic.served() == {two.address}, "the pool is what it was")
        proxy.logged("reload: done")

        reload(poolOf("htp://nonsense"))
        proxy.logged("reload: nothing changes:", "did you mean")
        assert traffic.served() == {two.address}

        reload(poolOf(one, two) + '[[routes]]\npool = "app"\ndirector = "static:new:path=/new"\n')
        waitFor(lambda: fetch(proxy.port, "/new") == (200, "new"), "the route is what it was")
        waitFor(lambda: traffic.served() == {one.address, two.address}, "the pool is what it was")

        reload(poolOf(one, more="settings = { max-target-bytes = 100 }"))
        proxy.logged("holds from the next start")
        waitFor(lambda: traffic.served() == {one.address}, "the pool is what it was")
    assert traffic.failures == []


def test_sourcesThatStayAreNotAskedAnewAndNewOnesAreWaitedFor(
    tmp_path: Path, servers: tuple[NamedServer, NamedServer]
) -> None:
    one, two = servers
    file, members = tmp_path / "proxy.toml", tmp_path / "members.txt"
    members.write_text(one.address)
    file.write_text(poolOf("file:members.txt"))
    with ProxyProcess(tmp_path, options=("--config", str(file))) as proxy, Traffic(proxy.port) as traffic:
        assert traffic.served() == {one.address}
        file.write_text(poolOf("file:members.txt", two))
        proxy.process.send_signal(signal.SIGHUP)
        waitFor(lambda: traffic.served() == {one.address, two.address}, "the pool is what it was")
        members.write_text("127.0.0.1:1")  # the source goes on
        waitFor(lambda: any("1 came, 1 went" in line for line in proxy.log), "the source ended")
        file.write_text(f'[pools.app]\nupstreams = [{{ use = "list", addresses = ["{one.address}"] }}]\n')
        proxy.process.send_signal(signal.SIGHUP)
        waitFor(lambda: traffic.served() == {one.address}, "the pool is what it was")
    assert traffic.failures == []


def test_aTunnelOutlivesIt(tmp_path: Path, servers: tuple[NamedServer, NamedServer]) -> None:
    file = tmp_path / "proxy.toml"
    with socket.create_server(("127.0.0.1", 0)) as listening:
        file.write_text(poolOf(f"http://127.0.0.1:{listening.getsockname()[1]}"))
        with ProxyProcess(tmp_path, options=("--config", str(file))) as proxy:
            client = socket.create_connection(("127.0.0.1", proxy.port), 10)
            client.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
            upstream, _ = listening.accept()
            upstream.settimeout(10)
            upstream.recv(65536)
            upstream.sendall(b"HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n")
            assert client.recv(65536).startswith(b"HTTP/1.1 101")
            file.write_text(poolOf(servers[0]))
            proxy.process.send_signal(signal.SIGHUP)
            waitFor(lambda: fetch(proxy.port)[0] == 200, "the pool is what it was")
            client.sendall(b"ping")
            assert upstream.recv(4) == b"ping"
            upstream.sendall(b"pong")
            assert client.recv(4) == b"pong"
            client.close()
            upstream.close()


def test_allWorkers(tmp_path: Path, servers: tuple[NamedServer, NamedServer]) -> None:
    one, two = servers
    file = tmp_path / "proxy.toml"
    file.write_text(poolOf(one, more="workers = 2"))
    with ProxyProcess(tmp_path, options=("--config", str(file))) as proxy, Traffic(proxy.port, clients=6) as traffic:
        assert traffic.served() == {one.address}
        file.write_text("nonsense")
        proxy.process.send_signal(signal.SIGHUP)
        waitFor(lambda: "reload: nothing changes" in proxy.said, "the mistake is not told")
        file.write_text(poolOf(two, more="workers = 2"))
        proxy.process.send_signal(signal.SIGHUP)
        waitFor(lambda: traffic.served(60) == {two.address}, "a worker has the pool that it had")
        assert len(proxy.log) >= 2
    assert traffic.failures == []
