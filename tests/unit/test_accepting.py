"""L{twistproxy.accepting}: so many connections, and the others wait."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.support import OK, Client, ProxyTestCase, get
from twistproxy.accepting import Accepting


class Port:
    """Writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def pauseProducing(self) -> None:
        self.told.append("pause")

    def resumeProducing(self) -> None:
        self.told.append("resume")


class TestAccepting(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.port = Port()

    def accepting(self, limit: int) -> Accepting:
        made = Accepting(limit, self.clock.seconds)
        made.watch([self.port, object()])
        return made

    def test_fullAndNotFull(self) -> None:
        accepting = self.accepting(2)
        accepting.connections.add("a")
        self.assertEqual(self.port.told, [])
        accepting.connections.add("b")
        accepting.connections.add("c")  # was being accepted
        self.assertEqual((self.port.told, accepting.isFull), (["pause"], True))
        accepting.connections.discard("c")
        self.assertEqual(self.port.told, ["pause"])
        accepting.connections.discard("a")
        accepting.connections.discard("a")
        self.assertEqual((self.port.told, accepting.isFull), (["pause", "resume"], False))

    def test_noLimit(self) -> None:
        accepting = self.accepting(0)
        accepting.connections.update(range(1000))
        accepting.connections.add("a")
        self.assertEqual((self.port.told, type(accepting.connections)), ([], set))

    def test_portsThatComeLater(self) -> None:
        accepting = self.accepting(1)
        accepting.connections.add("a")
        later = Port()
        accepting.watch([later])
        self.assertEqual(later.told, ["pause"])
        accepting.connections.discard("a")
        self.assertEqual(later.told, ["pause", "resume"])

    def test_closedPortsAreLeftAlone(self) -> None:
        accepting = self.accepting(1)
        accepting.connections.add("a")
        accepting.forget([self.port])
        accepting.connections.discard("a")
        self.assertEqual(self.port.told, ["pause"])

    def test_toldNowAndThen(self) -> None:
        accepting = self.accepting(1)
        with capturedLogs() as events:
            for _ in range(13):
                accepting.connections.add("a")
                accepting.connections.discard("a")
                self.clock.advance(10)
        told = [formatEvent(each) for each in events]
        self.assertEqual(told, ["max-connections: there are 1; others wait until one is closed"] * 3)


class TestInAProxy(ProxyTestCase):
    def start(self, limit: int) -> None:
        self.proxy(OK, settings={"maxConnections": limit})
        self.engine.accepting.watch([self.port])

    def asking(self) -> Client:
        client: Client = self.client()
        client.send(get())
        return client

    def test_othersWait(self) -> None:
        self.start(2)
        first, second, third = (self.asking() for _ in range(3))
        self.assertEqual([len(each.answers()) for each in (first, second, third)], [1, 1, 0])
        self.assertEqual(len(self.engine.channels), 2)
        first.abort()
        self.network.pump()
        self.assertEqual(third.answer().code, 200)
        self.assertEqual(len(self.engine.channels), 2)

    def test_theIdleMakeRoom(self) -> None:
        self.start(1)
        self.asking()
        waiting: Any = self.asking()
        self.assertEqual(waiting.received, b"")
        self.network.advance(80)  # keep-alive-timeout
        self.assertEqual(waiting.answer().code, 200)
