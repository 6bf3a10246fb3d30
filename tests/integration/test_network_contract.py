"""
The in-memory network against Twisted on real sockets: the same scenarios, and the same events expected of
both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import pytest_twisted
from twisted.internet import reactor
from twisted.internet.protocol import ClientFactory, Factory
from twisted.internet.task import deferLater

from tests.unit.testing.scenarios import SCENARIOS, World
from tests.unit.testing.worlds import MemoryWorld

PERIOD = 0.004

AT_ONCE = "its transports send at once what the kernel takes, so that less is ever too much"
LARGE = "uvloop reads up to 256,000 bytes at once"
NOT_ON_UVLOOP = {
    "abortingWhileReadingDeliversNoMore": LARGE,
    "losingWhileReadingDeliversNoMore": LARGE,
    "pausingWhileReadingLeavesTheRest": LARGE,
    "deliveriesAreAtMost64KiB": LARGE,
    "aStreamingProducerIsPausedOnEveryWriteAboveTheMark": AT_ONCE,
    "registeringAboveTheMarkDoesNotPauseButTheNextWriteDoes": AT_ONCE,
    "loseConnectionWaitsForThePausedProducer": AT_ONCE,
    "loseConnectionDoesNotWaitForAProducerThatIsNotPaused": AT_ONCE,
    "aPullProducerIsAskedAtOnceAndWhenAllIsWritten": "it is asked once more: what was written before it came may be sent",
    "addresses": "an address can be asked for after the loss, too",
    "socketOptions": "TCP_NODELAY is on from the beginning",
}
"""Scenarios in which the uvloop reactor is another world by design, and why."""


class SocketWorld(World):
    """The kernel's sockets and the reactor of this process."""

    def __init__(self, directory: Path | None) -> None:
        self.isUNIX = directory is not None
        self.path = str(directory and directory / "socket")
        self.ports: list[Any] = []
        self.connectors: list[Any] = []
        self.number = 0

    def listen(self, factory: Factory) -> Any:
        if self.isUNIX:
            port = reactor.listenUNIX(self.path, factory)
        else:
            port = reactor.listenTCP(self.number, factory, interface="127.0.0.1")
            self.number = port.getHost().port
        self.ports.append(port)
        return port

    def connect(self, factory: ClientFactory) -> Any:
        if self.isUNIX:
            connector = reactor.connectUNIX(self.path, factory)
        else:
            connector = reactor.connectTCP("127.0.0.1", self.number, factory)
        self.connectors.append(connector)
        return connector

    async def settle(self) -> None:
        before = None
        quiet = 0
        while quiet < 3:
            await deferLater(reactor, PERIOD, lambda: None)
            sides = [getattr(self, name, None) for name in ("client", "server")]
            now = [(len(side.events), len(side.received)) for side in sides if side is not None]
            quiet = quiet + 1 if now == before else 0
            before = now

    async def close(self) -> None:
        for connector in self.connectors:
            if connector.state == "connected":
                connector.transport.abortConnection()
        server = getattr(self, "server", None)
        if server is not None and server.transport is not None:
            server.transport.abortConnection()
        for port in self.ports:
            port.stopListening()
        await self.settle()


@pytest.mark.parametrize("kind", ["tcp", "unix"])
@pytest.mark.parametrize("name", SCENARIOS)
@pytest_twisted.ensureDeferred
async def test_realSocketsGiveTheSame(name: str, kind: str, tmp_path: Path) -> None:
    if name in NOT_ON_UVLOOP and type(reactor).__name__ == "UvloopReactor":
        pytest.skip(NOT_ON_UVLOOP[name])
    scenario, onTCP, onUNIX = SCENARIOS[name]
    real = SocketWorld(tmp_path if kind == "unix" else None)
    try:
        happened = await scenario(real)
    finally:
        await real.close()
    imitated = await scenario(MemoryWorld(isUNIX=kind == "unix"))
    assert happened == (onUNIX if kind == "unix" else onTCP)
    assert imitated == happened
