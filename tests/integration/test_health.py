"""Upstreams that are processes, killed and drained and started again, while clients ask."""

from __future__ import annotations

import re
import sys
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest_twisted
from twisted.internet.defer import gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import LoopingCall, deferLater

from tests.support import backend
from tests.support.process import Child

if TYPE_CHECKING:
    from tests.support.network import LiveProxy, Network

CLIENTS = 20
EVERY = 0.1
"""Seconds between two requests of a client: together they ask 200 times a second."""

ANSWER = re.compile(rb"HTTP/1\.1 (\d+) [^\r]*\r\n(?:[^\r]+\r\n)*\r\n(\w+)\Z")


class Backend:
    """An upstream of a fixed port, whose process comes and goes."""

    def __init__(self, directory: Path, name: str, delay: float = 0.02) -> None:
        """@param delay: seconds until it answers."""
        self._directory = directory
        self._delay = delay
        self.name = name
        self._starts = 0
        self._port = 0
        self._child: Child | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    async def start(self, network: Network) -> None:
        self._starts += 1
        words = (sys.executable, backend.__file__, str(self._port), self.name, str(self._delay))
        self._child = child = Child(self._directory, f"{self.name}{self._starts}", *words)
        await network.until(lambda: "listens" in child.said, f"{self.name} does not start")
        self._port = int(child.said.split()[0])

    def kill(self) -> None:
        """SIGKILL."""
        if self._child is not None:
            self._child.kill()
            self._child = None


class Getter(Protocol):
    """A client that asks again and again."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._received = b""
        self._isWaiting = False

    def ask(self) -> None:
        if self._isWaiting:
            return  # it is late: then it asks the next time
        self._isWaiting = True
        self._load.asked += 1
        self.transport.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        found = ANSWER.match(self._received)
        if found:
            self._received = b""
            self._isWaiting = False
            self._load.answered(int(found[1]), found[2].decode())

    def connectionLost(self, reason: Any = None) -> None:
        if self._isWaiting:
            self._load.failures.append(f"cut off: {self._received!r}")


class Load:
    """200 requests a second.

    @ivar asked: how many so far.
    @ivar failures: what was answered in place of a 200.
    @ivar names: which upstreams answered, how often.
    """

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        self._getters: list[Getter] = []
        self._loops: list[LoopingCall] = []
        self.asked = 0
        self.failures: list[str] = []
        self.names: Counter[str] = Counter()

    async def start(self, proxy: LiveProxy) -> None:
        endpoint = TCP4ClientEndpoint(self._clock, "127.0.0.1", proxy.address.port)
        self._getters = await gatherResults([connectProtocol(endpoint, Getter(self)) for _ in range(CLIENTS)])
        for getter in self._getters:
            loop = LoopingCall(getter.ask)
            loop.clock = self._clock
            loop.start(EVERY)
            self._loops.append(loop)
            await deferLater(self._clock, EVERY / CLIENTS)

    def answered(self, code: int, name: str) -> None:
        if code == 200:
            self.names[name] += 1
        else:
            self.failures.append(f"{code} {name}")

    async def answering(self, seconds: float) -> set[str]:
        """Who answers in that time; what was on its way before does not count."""
        await deferLater(self._clock, 0.1)
        self.names.clear()
        await deferLater(self._clock, seconds)
        return set(self.names)

    async def stop(self) -> None:
        for loop in self._loops:
            loop.stop()
        await deferLater(self._clock, 0.5)
        for getter in self._getters:
            getter.transport.loseConnection()


@pytest_twisted.ensureDeferred
async def test_killedDrainedAndStartedAgainCostsNoRequest(network: Network, tmp_path: Path) -> None:
    from twisted.internet import reactor

    from twistproxy.config import BuildContext
    from twistproxy.health.maxfails import MaxFails
    from twistproxy.health.tcp import TCPCheck
    from twistproxy.upstream.group import Administrative

    backends = [Backend(tmp_path, name) for name in ("one", "two", "three")]
    load = Load(reactor)
    try:
        for each in backends:
            await each.start(network)
        check = TCPCheck(BuildContext(reactor), interval=0.2, fall=1, rise=1)
        proxy = await network.proxy(*(each.url for each in backends), health=[check], passive=[MaxFails()])
        one, two, _ = proxy.proxy.upstreams
        await load.start(proxy)
        assert await load.answering(0.2) == {"one", "two", "three"}

        backends[0].kill()
        await network.until(lambda: one.state.startswith("down: "), "it is not seen that one was killed")
        assert await load.answering(0.2) == {"two", "three"}

        proxy.proxy.administer(two, Administrative.DRAIN)
        await network.until(lambda: not two.inFlight, "two does not run out")
        assert await load.answering(0.2) == {"three"}

        await backends[0].start(network)
        await network.until(lambda: one.state == "up", "it is not seen that one is back")
        assert await load.answering(0.2) == {"one", "three"}

        proxy.proxy.administer(two, Administrative.READY)
        assert await load.answering(0.2) == {"one", "two", "three"}

        backends[1].kill()
        await network.until(lambda: two.state.startswith(("down: ", "ejected: ")), "it is not seen that two was killed")
        assert await load.answering(0.2) == {"one", "three"}
    finally:
        await load.stop()
        for each in backends:
            each.kill()
        network.log.clear()
    assert load.failures == []
    assert load.asked > 300
