"""Limits that several proxies share, in a real Redis that is killed and comes back.

SHARED_SECONDS=20 in the environment looks at a shared limit for longer.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from itertools import chain
from pathlib import Path

import pytest

from tests.peers.conftest import StartProxy
from tests.support.load import NamedServer, fetch
from tests.support.process import Child, ProxyProcess, waitFor
from tests.support.programs import freePort, program

pytestmark = pytest.mark.skipif(program("redis-server") is None, reason="not installed: redis-server")


class RedisServer:
    """A server that may be stopped and started again, at its port, without its data."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: Child | None = None
        self._starts = 0
        self.port = freePort()

    def start(self) -> None:
        """Have it running."""
        self._starts += 1
        self._process = Child(
            self._directory, f"redis{self._starts}", program("redis-server") or "", "--port", str(self.port),
            "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
        )  # fmt: skip
        self._process.waitFor("Ready to accept connections")

    def kill(self) -> None:
        """SIGKILL, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process = None


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[RedisServer]:
    made = RedisServer(tmp_path)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def upstream() -> Iterator[str]:
    with NamedServer() as server:
        yield f"http://{server.address}"


def limit(redis: RedisServer, rate: str, *options: str) -> tuple[str, ...]:
    """The options of a proxy."""
    return ("--middleware", ":".join([f"rate-limit:{rate}", f"redis=127.0.0.1\\:{redis.port}", *options]))


def codes(ports: list[int], seconds: float, each: float = 0.005) -> Counter[int]:
    """What requests to all of these in turn were answered with."""
    found: Counter[int] = Counter()
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for port in ports:
            found[fetch(port)[0]] += 1
        time.sleep(each)
    return found


def manyCodes(ports: list[int], seconds: float) -> Counter[int]:
    """The same over kept connections, two to each, at the same time: far more requests than the limits here let through."""

    def ask(port: int) -> list[int]:
        connection = HTTPConnection("127.0.0.1", port, timeout=20)
        found = []
        while time.monotonic() < end:
            connection.request("GET", "/")
            response = connection.getresponse()
            response.read()
            found.append(response.status)
            time.sleep(0.005)
        connection.close()
        return found

    end = time.monotonic() + seconds
    with ThreadPoolExecutor() as pool:
        return Counter(chain.from_iterable(pool.map(ask, ports * 2)))


def test_twoProxiesShareOneLimit(redis: RedisServer, upstream: str, startProxy: StartProxy) -> None:
    proxies = [startProxy(upstream, options=limit(redis, "rate=50:burst=5")) for _ in range(2)]
    ports = [proxy.port for proxy in proxies]
    manyCodes(ports, 0.5)  # both are connected, and the burst is used up
    started = time.monotonic()
    found = manyCodes(ports, float(os.environ.get("SHARED_SECONDS", "3")))
    wanted = (time.monotonic() - started) * 50
    print(f"{found[200]} of {found.total()} passed; {wanted:.1f} may")
    assert found.keys() == {200, 429}
    assert abs(found[200] - wanted) <= 0.02 * wanted, (found, wanted)


def test_redisIsKilledAndComesBack(redis: RedisServer, upstream: str, startProxy: StartProxy) -> None:
    proxies = {
        name: startProxy(upstream, options=limit(redis, "rate=3:burst=1", f"fail={name}")) for name in ("open", "closed", "local")
    }
    for proxy in proxies.values():
        waitFor(lambda: codes([proxy.port], 0.3, 0)[429], "it never limited")  # noqa: B023 - called at once
        proxy.forgetLog()
    redis.kill()
    found = {name: codes([proxy.port], 1) for name, proxy in proxies.items()}
    assert found["open"].keys() <= {200, 429}
    assert found["open"][200] > 6
    assert found["closed"].keys() <= {503, 429}
    assert found["closed"][503] > 6
    assert found["local"].keys() == {200, 429}
    for proxy in proxies.values():
        assert "does not answer" in proxy.logged("Redis at")
        proxy.forgetLog()
    redis.start()
    for proxy in proxies.values():

        def isBack(proxy: ProxyProcess = proxy) -> bool:
            return bool(codes([proxy.port], 0.3, 0)[429]) and "answers again" in "".join(proxy.log)

        waitFor(isBack, "it never came back")
