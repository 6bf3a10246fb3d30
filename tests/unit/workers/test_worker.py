"""What a worker does when its supervisor says so."""

from __future__ import annotations

import json
import os
from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.commandline import CommandLine
from twistproxy.engine import Engine
from twistproxy.health.checking import HealthChecks
from twistproxy.interfaces import IHealthCheck
from twistproxy.messages import Health, Upstream
from twistproxy.settings import Settings
from twistproxy.upstream.group import UpstreamGroup
from twistproxy.workers.lines import Port, Task, encode, encodeHealth
from twistproxy.workers.worker import Worker, readTask


class Reactor(Clock):
    """Time, and whether it was stopped."""

    running = True
    stopped = 0

    def stop(self) -> None:
        self.stopped += 1


class Service:
    """What borrows and gives back."""

    isStopping = False

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.calls: list[Any] = []

    def borrow(self, number: int) -> None:
        self.calls.append(("borrow", number))

    def giveBack(self, number: int) -> None:
        self.calls.append(("giveBack", number))


@implementer(IHealthCheck)
class Check:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.isWell = True

    def check(self, upstream: Upstream) -> Health:
        self.asked += 1
        return Health(self.isWell, "" if self.isWell else "ill")


class WorkerTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        self.upstream = Upstream("http://a")
        settings = Settings(healthRise=1, healthFall=2)
        self.group = UpstreamGroup("web", RoundRobin(), [self.upstream, Upstream("http://b")])
        self.service = Service(Engine(self.reactor, settings, {"web": self.group}, lambda request: None))
        task = Task(1, 2, "", CommandLine(), ((Port(2, (5, 6)),), (Port(1, (7,)),)), "")
        self.worker = Worker(self.reactor, task)
        self.worker.service = self.service  # type: ignore[assignment]
        self.transport = StringTransport()
        self.worker.connection.makeConnection(self.transport)
        self.check = Check()
        self.checks = HealthChecks(self.reactor, self.group, [self.check], settings, random=lambda: 0.5)
        self.worker.addChecks(self.checks)
        self.checks.startService()
        self.addCleanup(self.checks.stopService)

    def tell(self, kind: str, **fields: Any) -> None:
        self.worker.connection.dataReceived(encode(kind, **fields))

    def said(self) -> list[Any]:
        lines = [json.loads(line) for line in self.transport.value().splitlines()]
        self.transport.clear()
        return lines

    def test_takesConnectionsOfAnother(self) -> None:
        self.tell("lend", worker=2)
        self.tell("return", worker=2)
        self.assertEqual(self.service.calls, [("borrow", 2), ("giveBack", 2)])
        self.assertEqual([self.worker.mayLend(at) for at in (0, 1)], [True, False])

    def test_checksOnlyWhenItIsToldTo(self) -> None:
        self.reactor.advance(20)
        self.assertEqual(self.check.asked, 0)
        self.tell("probe", on=True)
        self.reactor.advance(1)
        self.assertEqual(self.check.asked, 2)
        self.assertEqual([(each["is"], each["upstream"], each["pool"]) for each in self.said()],
                         [("checked", "http://a", "web"), ("checked", "http://b", "web")])  # fmt: skip
        self.tell("probe", on=False)
        self.reactor.advance(20)
        self.assertEqual(self.check.asked, 2)

    def test_learnsWhatAnotherFound(self) -> None:
        name = next(iter(self.group.standing(self.upstream).checks))  # type: ignore[union-attr]
        line = encodeHealth("web", "http://a", name, Health(False, "ill"), 1, 2)
        for expected in ("up", "down: ill"):
            self.worker.connection.dataReceived(line)
            self.assertEqual(self.upstream.state, expected)
        self.worker.connection.dataReceived(encodeHealth("gone", "http://a", name, Health(True), 1, 2))
        self.assertEqual((self.upstream.state, self.said()), ("down: ill", []))

    def test_whatItFoundItselfStaysWhenAnotherChecks(self) -> None:
        self.check.isWell = False
        self.tell("probe", on=True)
        for _ in range(4):
            self.reactor.advance(6)
        self.assertEqual(self.upstream.state, "down: ill")
        self.tell("probe", on=False)
        self.assertEqual(self.upstream.state, "down: ill")

    def test_counts(self) -> None:
        self.service.engine.exchanges = 7
        self.tell("count", number=3)
        (answer,) = self.said()
        self.assertEqual((answer["is"], answer["number"], answer["counters"]["exchanges"]), ("counted", 3, 7))

    def test_endsWhenItIsToldToOrItsSupervisorIsGone(self) -> None:
        self.tell("stop")
        self.assertEqual(self.reactor.stopped, 1)
        self.worker.connection.connectionLost()
        self.assertEqual(self.reactor.stopped, 2)
        self.service.isStopping = True
        self.tell("stop")
        self.assertEqual(self.reactor.stopped, 2)


class StoppingTests(SynchronousTestCase):
    def test_closesWhatItInherited(self) -> None:
        """Its own sockets and those of the others: the last who has one open keeps the port."""
        descriptors = os.pipe()
        reactor, transport = Reactor(), StringTransport()
        worker = Worker(reactor, Task(1, 2, "", CommandLine(), ((Port(2, descriptors),),), ""))
        worker.service = Service(Engine(reactor, Settings(), {}, lambda request: None))  # type: ignore[assignment]
        worker.connection.makeConnection(transport)
        worker.stopping()
        for each in descriptors:
            self.assertRaises(OSError, os.fstat, each)
        self.assertEqual(json.loads(transport.value())["is"], "stopping")


class TaskTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reading, self.writing = os.pipe()
        self.addCleanup(os.close, self.reading)

    def test_nothingBehindItsLineIsRead(self) -> None:
        task = Task(1, 2, "", CommandLine(), (), "ab")
        os.write(self.writing, task.encode() + encode("stop"))
        os.close(self.writing)
        self.assertEqual(readTask(self.reading), task)
        self.assertEqual(os.read(self.reading, 100), encode("stop"))

    def test_theSupervisorIsGoneAlready(self) -> None:
        os.write(self.writing, b"{")
        os.close(self.writing)
        self.assertRaises(SystemExit, readTask, self.reading)
