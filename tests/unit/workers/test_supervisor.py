"""The supervisor, with processes that are not there."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from io import StringIO
from typing import Any

from attrs import evolve
from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ProcessDone, ProcessTerminated
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.commandline import CommandLine, configure
from twistproxy.loader.finder import findPlugins
from twistproxy.messages import Health
from twistproxy.workers import supervisor
from twistproxy.workers.lines import Task, encode, encodeHealth
from twistproxy.workers.process import WorkerProcess
from twistproxy.workers.supervisor import Supervisor, reactorNameOf


class Socket:
    """A descriptor with an address."""

    family = 2

    def __init__(self, number: int) -> None:
        self.number = number
        self.isOpen = True

    def fileno(self) -> int:
        return self.number

    def close(self) -> None:
        self.isOpen = False


class Bound:
    """A port with sockets."""

    family = 2

    def __init__(self, sockets: list[Socket]) -> None:
        self.sockets = sockets

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "127.0.0.1", 8080)

    def stopListening(self) -> None:
        for each in self.sockets:
            each.close()


class Process:
    """The transport of a worker's process."""

    def __init__(self, protocol: WorkerProcess, childFDs: dict[int, Any]) -> None:
        self.protocol = protocol
        self.childFDs = childFDs
        self.sent: list[dict[str, Any]] = []
        self.task: Task | None = None
        self.signals: list[str] = []
        self.isHeld = False
        protocol.transport = self

    def writeToChild(self, descriptor: int, data: bytes) -> None:
        for line in data.splitlines():
            if self.task is None:
                self.task = Task.decode(line)
            else:
                self.sent.append(json.loads(line))

    def signalProcess(self, name: str) -> None:
        self.signals.append(name)

    def says(self, kind: str, **fields: Any) -> None:
        self.protocol.childDataReceived(4, encode(kind, **fields))

    def ends(self, status: int | None = None, signal: int | None = None) -> None:
        reason: Exception = ProcessDone(0) if status == 0 else ProcessTerminated(status, signal)
        self.protocol.processExited(Failure(reason))
        if not self.isHeld:
            self.protocol.processEnded(Failure(reason))

    def taken(self) -> list[Any]:
        """What it was told since this was asked last, shortened."""
        told, self.sent = self.sent, []
        return [(each["is"], *(value for name, value in each.items() if name != "is")) for each in told]


class Reactor(Clock):
    """Time, and processes."""

    running = True

    def __init__(self) -> None:
        super().__init__()
        self.processes: list[Process] = []
        self.triggers: list[Any] = []
        self.stopped = 0
        self.problem: Exception | None = None

    def callWhenRunning(self, function: Any) -> None:
        function()

    def spawnProcess(self, protocol: WorkerProcess, *args: Any, childFDs: dict[int, Any], **options: Any) -> None:
        if self.problem is not None:
            raise self.problem
        self.processes.append(Process(protocol, childFDs))

    def addSystemEventTrigger(self, *args: Any) -> None:
        self.triggers.append(args)

    def stop(self) -> None:
        self.stopped += 1

    def latest(self, number: int) -> Process:
        return next(each for each in reversed(self.processes) if each.protocol.number == number)


class SupervisorCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = Reactor()
        self.out, self.err = StringIO(), StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)

    def made(self, workers: int = 3, **settings: Any) -> Supervisor:
        """A supervisor that was started."""
        words = CommandLine(upstreams=["http://a"], workers=str(workers), listeners=["tcp:8080"])
        configuration = configure(words, findPlugins())
        configuration = evolve(configuration, settings=configuration.settings.with_(**settings))
        numbers: Iterator[int] = iter(range(100, 200))

        class Binding:
            def __init__(self, reactor: Any, count: int) -> None:
                self.bound: list[Bound] = []
                self.count = count

            def listenTCP(self, *args: Any, **options: Any) -> Bound:
                self.bound.append(Bound([Socket(next(numbers)) for _ in range(self.count)]))
                return self.bound[-1]

        self.patch(supervisor, "BindingReactor", Binding)
        made = Supervisor(self.reactor, configuration, words)
        made.startService()
        return made

    def ready(self, *numbers: int) -> None:
        for number in numbers:
            self.reactor.latest(number).says("ready")


class StartTests(SupervisorCase):
    def test_eachWorkerGetsAllSockets(self) -> None:
        self.made(2)
        for number in (1, 2):
            process = self.reactor.latest(number)
            assert process.task is not None
            port = process.task.listeners[0][0]
            self.assertEqual([process.childFDs[each] for each in port.descriptors], [100, 101])
            self.assertEqual(process.childFDs[port.of(number)], 99 + number)

    def test_saysWhereWhenAllServe(self) -> None:
        self.made(2)
        self.ready(1)
        self.assertEqual(self.out.getvalue(), "")
        self.ready(2)
        self.assertEqual(self.out.getvalue(), "listening on http://127.0.0.1:8080/\n")

    def test_aTakenPort(self) -> None:
        class Taken:
            bound: tuple[()] = ()

            def __init__(self, *args: Any) -> None:
                pass

            def listenTCP(self, *args: Any, **options: Any) -> None:
                raise CannotListenError("any", 8080, OSError(98, "Address already in use"))

        words = CommandLine(upstreams=["http://a"], workers="2", listeners=["tcp:8080"])
        self.patch(supervisor, "BindingReactor", Taken)
        made = Supervisor(self.reactor, configure(words, findPlugins()), words)
        self.assertEqual(self.assertRaises(SystemExit, made.startService).code, 1)
        self.assertIn("tcp:8080: Couldn't listen on any:8080", self.err.getvalue())
        self.assertEqual(self.reactor.processes, [])

    def test_aWorkerThatCannotEvenBegin(self) -> None:
        """It has said why; the others would fare no better, and the exit status says so."""
        self.made(2)
        self.ready(1)
        self.reactor.latest(2).ends(1)
        self.assertEqual(self.reactor.stopped, 1)
        self.assertEqual([(*each[:2], each[3]) for each in self.reactor.triggers], [("after", "shutdown", 1)])
        self.assertEqual(self.err.getvalue(), "worker 2 ended with status 1 before it served\n")

    def test_noProcessToBeHad(self) -> None:
        self.reactor.problem = OSError(11, "no processes")
        self.made(1 + 1)
        self.assertEqual(len(self.flushLoggedErrors()), 0)
        self.reactor.problem = None
        self.reactor.advance(0)
        self.assertEqual([each.protocol.number for each in self.reactor.processes], [1, 2])


class EndTests(SupervisorCase):
    def test_anotherFollowsAtOnceThenLater(self) -> None:
        self.made(2)
        self.ready(1, 2)
        self.reactor.latest(1).ends(signal=9)
        self.reactor.advance(0)
        self.assertEqual(len(self.reactor.processes), 3)
        self.reactor.latest(1).ends(status=1)
        self.reactor.advance(0.4)
        self.assertEqual(len(self.reactor.processes), 3)
        self.reactor.advance(0.1)
        self.assertEqual(len(self.reactor.processes), 4)

    def test_anotherTakesItsConnectionsMeanwhile(self) -> None:
        self.made(3)
        self.ready(1, 2, 3)
        for process in self.reactor.processes:
            process.taken()
        self.reactor.latest(2).ends(signal=9)
        self.assertIn(("lend", 2), self.reactor.latest(1).taken())
        self.reactor.advance(0)
        self.ready(2)
        self.assertIn(("return", 2), self.reactor.latest(1).taken())

    def test_whoTookConnectionsEndsToo(self) -> None:
        self.made(3)
        self.ready(1, 2, 3)
        self.reactor.latest(2).ends(signal=9)
        self.reactor.latest(3).taken()
        self.reactor.latest(1).ends(signal=9)
        self.assertEqual([each for each in self.reactor.latest(3).taken() if each[0] == "lend"], [("lend", 2), ("lend", 1)])

    def test_allEndAndOneComesBack(self) -> None:
        self.made(3)
        self.ready(1, 2, 3)
        for number in (1, 2, 3):
            self.reactor.latest(number).ends(signal=9)
        self.reactor.advance(0)
        self.ready(2)
        self.assertEqual(sorted(each for each in self.reactor.latest(2).taken() if each[0] == "lend"), [("lend", 1), ("lend", 3)])
        self.ready(1, 3)
        self.assertEqual(
            sorted(each for each in self.reactor.latest(2).taken() if each[0] == "return"), [("return", 1), ("return", 3)]
        )

    def test_oneThatDrainsIsRelievedBeforeItEnds(self) -> None:
        self.made(2)
        self.ready(1, 2)
        self.reactor.latest(1).taken()
        self.reactor.latest(2).says("stopping", counters={"exchanges": 5})
        self.assertIn(("lend", 2), self.reactor.latest(1).taken())
        self.reactor.latest(2).ends(0)
        self.assertNotIn(("lend", 2), self.reactor.latest(1).taken())
        self.reactor.advance(0)
        self.assertEqual(len(self.reactor.processes), 3)


    def test_whatItStartedMayKeepItsOutputOpen(self) -> None:
        self.made(2)
        self.ready(1, 2)
        self.reactor.latest(1).isHeld = True
        self.reactor.latest(1).ends(signal=9)
        self.assertEqual(len(self.reactor.processes), 2)
        self.reactor.advance(1)
        self.reactor.advance(0)
        self.assertEqual(len(self.reactor.processes), 3)


class HangTests(SupervisorCase):
    def test_whoDoesNotAnswerIsKilled(self) -> None:
        self.made(2, workerTimeout=60.0)
        self.ready(1, 2)
        for _ in range(30):
            self.reactor.advance(10)
            self.reactor.latest(2).says("counted", number=0, counters={})
            if self.reactor.latest(1).signals:
                break
        self.assertEqual(self.reactor.seconds(), 70)
        self.assertEqual([self.reactor.latest(number).signals for number in (1, 2)], [["KILL"], []])

    def test_timeThatJumpsKillsNobody(self) -> None:
        self.made(2, workerTimeout=60.0)
        self.ready(1, 2)
        self.reactor.advance(86400)
        self.assertEqual([self.reactor.latest(number).signals for number in (1, 2)], [[], []])

    def test_orNever(self) -> None:
        self.made(2, workerTimeout=0.0)
        self.ready(1, 2)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class StopTests(SupervisorCase):
    def test_allDrain(self) -> None:
        made = self.made(2)
        self.ready(1, 2)
        sockets = [each for several in made.ports for port in several for each in port.sockets]
        stopping = made.stopService()
        self.assertFalse(any(each.isOpen for each in sockets))  # type: ignore[attr-defined]
        for number in (1, 2):
            self.assertEqual(self.reactor.latest(number).taken()[-1], ("stop",))
        self.reactor.latest(1).ends(0)
        self.assertNoResult(stopping)
        self.reactor.latest(2).ends(0)
        self.successResultOf(stopping)
        self.assertEqual((len(self.reactor.processes), self.reactor.getDelayedCalls()), (2, []))

    def test_whoDoesNotEndIsKilled(self) -> None:
        made = self.made(2, drainTimeout=7.0)
        self.ready(1, 2)
        stopping = made.stopService()
        self.reactor.latest(1).ends(0)
        self.reactor.advance(11.9)
        self.assertEqual(self.reactor.latest(2).signals, [])
        self.reactor.advance(0.2)
        self.assertEqual(self.reactor.latest(2).signals, ["KILL"])
        self.reactor.latest(2).ends(signal=9)
        self.successResultOf(stopping)

    def test_whileAWorkerWaitsToBeStarted(self) -> None:
        made = self.made(2)
        self.ready(1, 2)
        for _ in range(2):
            self.reactor.latest(1).ends(signal=9)
            self.reactor.advance(0)
        stopping = made.stopService()
        self.reactor.latest(2).ends(0)
        self.successResultOf(stopping)
        self.assertEqual(self.reactor.getDelayedCalls(), [])


class ProberTests(SupervisorCase):
    def probing(self) -> list[int]:
        found = []
        for number in (1, 2, 3):
            told = [each for each in self.reactor.latest(number).sent if each["is"] == "probe"]
            found += [number] if told and told[-1]["on"] else []
        return found

    def check(self, number: int, ok: bool = True) -> None:
        line = encodeHealth("default", "http://a", "tcp", Health(ok), 2, 3)
        self.reactor.latest(number).protocol.childDataReceived(4, line)

    def test_oneForAll(self) -> None:
        self.made(3)
        self.ready(2)
        self.assertEqual(self.probing(), [2])
        self.ready(1, 3)
        self.assertEqual(self.probing(), [2])
        self.reactor.latest(2).ends(signal=9)
        self.assertEqual([each for each in self.probing() if each != 2], [1])

    def test_eachItsOwn(self) -> None:
        self.made(3, sharedHealthChecks=False)
        self.ready(1, 2, 3)
        self.assertEqual(self.probing(), [1, 2, 3])
        self.check(1)
        self.assertNotIn("checked", [each["is"] for each in self.reactor.latest(2).sent])

    def test_resultsGoToTheOthers(self) -> None:
        self.made(3)
        self.ready(1, 2, 3)
        self.check(1, ok=False)
        told = [[each["health"]["ok"] for each in self.reactor.latest(n).sent if each["is"] == "checked"] for n in (1, 2, 3)]
        self.assertEqual(told, [[], [False], [False]])

    def test_whoComesLaterLearnsThem(self) -> None:
        """As often as a state needs: three failures in a row."""
        self.made(3)
        self.ready(1, 2, 3)
        for _ in range(5):
            self.check(1, ok=False)
        self.reactor.latest(3).ends(signal=9)
        self.reactor.advance(0)
        self.ready(3)
        told = [each["health"]["ok"] for each in self.reactor.latest(3).sent if each["is"] == "checked"]
        self.assertEqual(told, [False, False, False])

    def test_whoIsNotTheProberIsNotBelieved(self) -> None:
        self.made(3)
        self.ready(1, 2, 3)
        self.check(2)
        self.assertNotIn("checked", [each["is"] for each in self.reactor.latest(1).sent])


class CounterTests(SupervisorCase):
    def count(self, made: Supervisor) -> Deferred[Any]:
        return made.counters()

    def answer(self, number: int, **counters: Any) -> None:
        asked = next(each for each in reversed(self.reactor.latest(number).sent) if each["is"] == "count")
        self.reactor.latest(number).says("counted", number=asked["number"], counters=counters)

    def test_addedUpWithThoseThatEnded(self) -> None:
        made = self.made(2)
        self.ready(1, 2)
        self.reactor.latest(1).says("stopping", counters={"exchanges": 5, "inFlight": 1, "clients": 1, "upstreams": {"a": 1}})
        self.reactor.latest(1).ends(0)
        self.reactor.advance(0)
        self.ready(1)
        counting = self.count(made)
        self.answer(1, exchanges=1, inFlight=1, upstreams={"a": 1})
        self.assertNoResult(counting)
        self.answer(2, exchanges=10, inFlight=0, upstreams={"a": 0})
        self.assertEqual(
            self.successResultOf(counting), {"exchanges": 16, "inFlight": 1, "clients": 0, "upstreams": {"a": 1}}
        )

    def test_whoDoesNotAnswerIsNotWaitedFor(self) -> None:
        made = self.made(2)
        self.ready(1, 2)
        counting = self.count(made)
        self.answer(1, exchanges=1)
        self.reactor.advance(2)
        self.assertEqual(self.successResultOf(counting), {"exchanges": 1})

    def test_whoEndsIsNotWaitedFor(self) -> None:
        made = self.made(2)
        self.ready(1, 2)
        counting = self.count(made)
        self.answer(1, exchanges=1)
        self.reactor.latest(2).ends(signal=9)
        self.assertEqual(self.successResultOf(counting), {"exchanges": 1})


class OutputTests(SupervisorCase):
    def test_linesStayWhole(self) -> None:
        self.made(2)
        one, other = self.reactor.latest(1).protocol, self.reactor.latest(2).protocol
        one.childDataReceived(1, b"half")
        other.childDataReceived(1, b"whole\n")
        one.childDataReceived(1, b" and half\nend")
        one.childConnectionLost(1)
        self.assertEqual(self.out.getvalue(), "whole\nhalf and half\nend\n")
        other.childDataReceived(2, b"oh\n")
        self.assertEqual(self.err.getvalue(), "worker 2: oh\n")

    def test_eventsAreLoggedUnderTheWorkersName(self) -> None:
        from twisted.logger import Logger, LogLevel, eventAsJSON, globalLogPublisher

        seen: list[Any] = []
        events: list[Any] = []
        Logger(namespace="some.thing", observer=events.append).warn("{what} happened", what="it")  # type: ignore[arg-type]
        self.made(2)
        globalLogPublisher.addObserver(seen.append)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, seen.append)
        self.reactor.latest(2).says("log", event=eventAsJSON(events[0]))
        found = next(each for each in seen if each.get("log_namespace") == "some.thing")
        self.assertEqual((found["log_system"], found["worker"]), ("worker 2, some.thing#warn", 2))
        self.assertIs(found["log_level"], LogLevel.warn)


class ReactorNameTests(SynchronousTestCase):
    def test_asTwistCallsIt(self) -> None:
        class Installer:
            shortName = "mine"
            moduleName = __name__

        self.assertEqual(reactorNameOf(Reactor(), lambda: [Installer]), "mine")
        self.assertEqual(reactorNameOf(Clock(), lambda: [Installer]), "")
        Installer.moduleName = __name__.rpartition(".")[0] + ".command"
        self.assertEqual(reactorNameOf(Reactor(), lambda: [Installer]), "mine")
        Installer.moduleName = "twisted.internet.other"
        self.assertEqual(reactorNameOf(Clock(), lambda: [Installer]), "")
