"""
The world of L{tests.unit.testing.scenarios} that is in memory.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import ClientFactory, Factory

from tests.unit.testing.scenarios import World
from twistproxy.testing import MemoryNetwork


class MemoryWorld(World):
    """A L{MemoryNetwork} of its own."""

    def __init__(self, isUNIX: bool) -> None:
        self.isUNIX = isUNIX
        self.network = MemoryNetwork()

    def listen(self, factory: Factory) -> Any:
        if self.isUNIX:
            return self.network.listenUNIX("/run/socket", factory)
        return self.network.listenTCP(8000, factory, interface="127.0.0.1")

    def connect(self, factory: ClientFactory) -> Any:
        if self.isUNIX:
            return self.network.connectUNIX("/run/socket", factory)
        return self.network.connectTCP("127.0.0.1", 8000, factory)

    async def settle(self) -> None:
        self.network.pump()
