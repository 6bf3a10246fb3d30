"""What connections are asked for, and what they have from their port."""

from __future__ import annotations

import socket
import sys
from typing import Any

from twisted.internet.interfaces import ITCPTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from twistproxy.transports.tcp import tune


class Socket:
    """Remembers what it was set to; a UNIX socket knows nothing of TCP."""

    def __init__(self, isTCP: bool = True) -> None:
        self.options: list[int] = []
        self.isTCP = isTCP

    def setsockopt(self, level: int, option: int, value: int) -> None:
        if not self.isTCP and level == socket.IPPROTO_TCP:
            raise OSError
        self.options.append(option)


class Port:
    backlog: int | None = 2

    def __init__(self, isTCP: bool = True) -> None:
        self.socket = Socket(isTCP)
        self.sessionno = 0


@implementer(ITCPTransport)
class Transport:  # type: ignore[misc] # only what is asked for here
    def __init__(self, port: Any, number: int) -> None:
        self.server = port
        self.sessionno = number
        self.handle = Socket()
        self.told: list[tuple[str, bool]] = []

    def setTcpNoDelay(self, enabled: bool) -> None:
        self.told.append(("nodelay", enabled))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        self.told.append(("keepalive", enabled))

    def getHandle(self) -> Socket:
        return self.handle


class TestTune(SynchronousTestCase):
    if sys.platform != "linux":
        skip = "what a port's connections have from it is known of Linux only"

    def tuned(self, port: Any, keepAlive: float = 30.0, number: int | None = None) -> Transport:
        """The next connection of a port."""
        transport = Transport(port, port.sessionno if number is None else number)
        port.sessionno += number is None
        tune(transport, keepAlive)
        return transport

    def test_thoseThatMayHaveWaitedBeforeAreAsked(self) -> None:
        port = Port()
        port.sessionno = 5
        told = [len(self.tuned(port).told) for _ in range(6)]
        self.assertEqual(told, [2, 2, 2, 2, 0, 0])  # the first, and a queue of two holds three
        wanted = [socket.TCP_NODELAY, socket.SO_KEEPALIVE, socket.TCP_KEEPIDLE, socket.TCP_KEEPINTVL]
        self.assertEqual(port.socket.options, wanted)

    def test_withoutProbes(self) -> None:
        port = Port()
        told = [self.tuned(port, 0.0).told for _ in range(5)]
        self.assertEqual(told, [[("nodelay", True)]] * 4 + [[]])
        self.assertEqual(port.socket.options, [socket.TCP_NODELAY, socket.SO_KEEPALIVE])

    def test_anotherInterval(self) -> None:
        """What the settings say may change at any time."""
        port = Port()
        for _ in range(5):
            self.tuned(port)
        self.assertEqual([len(self.tuned(port, 60.0).told) for _ in range(5)], [2, 2, 2, 2, 0])

    def test_aPortWithoutABacklogHasTheLongest(self) -> None:
        port = Port()
        port.backlog = None
        self.tuned(port)
        self.assertEqual(len(self.tuned(port, number=socket.SOMAXCONN + 1).told), 2)
        self.assertEqual(len(self.tuned(port, number=socket.SOMAXCONN + 2).told), 0)

    def test_aPortThatIsNotTCP(self) -> None:
        port = Port(isTCP=False)
        self.assertEqual([len(self.tuned(port).told) for _ in range(5)], [2] * 5)

    def test_aConnectionOfNoPort(self) -> None:
        transport = Transport(None, 0)
        tune(transport, 30.0)
        self.assertEqual(transport.told, [("nodelay", True), ("keepalive", True)])
