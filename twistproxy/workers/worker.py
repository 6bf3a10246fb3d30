"""One worker: a process that serves by sockets that its supervisor has bound. C{python -m twistproxy.workers.worker NUMBER}

It is told what to do by lines (L{twistproxy.workers.lines}), and ends when its supervisor says so, or is gone.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Mapping
from typing import Any

from attrs import evolve
from twisted.application.reactors import installReactor
from twisted.internet.stdio import StandardIO
from twisted.logger import ILogObserver, Logger, globalLogBeginner
from zope.interface import provider

from twistproxy.commandline import loadConfiguration
from twistproxy.config import buildPlugins
from twistproxy.errors import ConfigurationError
from twistproxy.health.checking import HealthChecks
from twistproxy.messages import Health, Upstream
from twistproxy.reloading import Reloader
from twistproxy.runsecret import setRunSecret
from twistproxy.service import ProxyService
from twistproxy.workers.connection import FROM_SUPERVISOR, TO_SUPERVISOR, SupervisorConnection
from twistproxy.workers.counters import countersOf
from twistproxy.workers.inheriting import InheritingReactor
from twistproxy.workers.lines import LONGEST, Task, decodeHealth, encodeHealth

_log = Logger()


def readTask(descriptor: int) -> Task:
    """The first line; nothing behind it is read."""
    line = bytearray()
    while not line.endswith(b"\n") and len(line) < LONGEST:
        piece = os.read(descriptor, 1)
        if not piece:
            raise SystemExit(1)  # the supervisor is gone
        line += piece
    return Task.decode(bytes(line))


class Worker:
    """What the service of a worker does in another way than one alone, and what the supervisor has it do."""

    service: ProxyService
    reloader: Reloader

    def __init__(self, reactor: Any, task: Task) -> None:
        self._reactor = reactor
        self._task = task
        self._checks: list[HealthChecks] = []
        self._isProber = False
        self._isGone = False
        self.connection = SupervisorConnection(self.received, self.supervisorLost)

    # For the service.

    def reactorFor(self, index: int, number: int | None = None) -> Any:
        """What the endpoint of a listener listens with.

        @param index: the listener's.
        @param number: of the worker whose sockets are meant; None: our own.
        """
        return InheritingReactor(self._reactor, self._task.listeners[index], number or self._task.number)

    def mayLend(self, index: int) -> bool:
        """Whether workers have sockets of their own for that listener."""
        return all(not each.isShared for each in self._task.listeners[index])

    def addChecks(self, checks: HealthChecks) -> None:
        """Health checks that may be run for other workers, or by one of them for us."""
        self._checks.append(checks)
        checks.isProbing = self._isProber
        checks.told = self._checked

    def removeChecks(self, checks: HealthChecks) -> None:
        """These are run no more."""
        self._checks.remove(checks)

    def listening(self) -> None:
        """It serves."""
        self.connection.say("ready")

    def stopping(self) -> None:
        """It takes no more connections."""
        self.connection.say("stopping", counters=countersOf(self.service.engine))
        for listener in self._task.listeners:
            for port in listener:
                for each in port.descriptors:
                    os.close(each)
        self._task = evolve(self._task, listeners=())

    def _checked(self, pool: str, upstream: Upstream, check: str, health: Health, rise: int, fall: int) -> None:
        """One of our checks has a result: the others want it too."""
        self.connection.offer(encodeHealth(pool, upstream.key, check, health, rise, fall))

    # From the supervisor.

    def received(self, said: Mapping[str, Any]) -> None:
        """It says something."""
        kind = said["is"]
        if kind == "stop":
            self._stop()
        elif kind == "lend":
            self.service.borrow(said["worker"])
        elif kind == "return":
            self.service.giveBack(said["worker"])
        elif kind == "reload":
            self.reloader.reload()
        elif kind == "probe":
            self._isProber = said["on"]
            for each in self._checks:
                each.probe(said["on"])
        elif kind == "checked":
            self._learn(said)
        elif kind == "count":
            self.connection.say("counted", number=said["number"], counters=countersOf(self.service.engine))

    def _learn(self, said: Mapping[str, Any]) -> None:
        """Another worker's check had a result."""
        group = self.service.engine.groups.get(said["pool"])
        members = () if group is None else group.members
        for each in members:
            if group is not None and each.key == said["upstream"]:
                group.checked(each, said["check"], decodeHealth(said), said["rise"], said["fall"])

    def supervisorLost(self) -> None:
        """Nobody would start us again, or tell us to end."""
        self._isGone = True
        self._stop()

    def _stop(self) -> None:
        if self._reactor.running and not self.service.isStopping:
            self._reactor.stop()


def _observer(connection: SupervisorConnection) -> Any:
    return provider(ILogObserver)(lambda event: connection.log(event))


def main() -> None:
    """Serve until the end."""
    for number in (signal.SIGINT, signal.SIGHUP):  # these reach all processes of a terminal: the supervisor tells us
        signal.signal(number, signal.SIG_IGN)
    task = readTask(FROM_SUPERVISOR)
    if task.pythonPath is None:
        os.environ.pop("PYTHONPATH", None)
    else:
        os.environ["PYTHONPATH"] = task.pythonPath  # what plugins start gets the path that the supervisor was given
    setRunSecret(bytes.fromhex(task.secret))
    if task.reactor:
        installReactor(task.reactor)
    from twisted.internet import reactor  # noqa: TID251 - this is the program

    worker = Worker(reactor, task)
    pipes: Any = StandardIO  # mypy takes it for that of Windows
    pipes(worker.connection, stdin=FROM_SUPERVISOR, stdout=TO_SUPERVISOR, reactor=reactor)
    globalLogBeginner.beginLoggingTo([_observer(worker.connection)], redirectStandardIO=False)
    anyReactor: Any = reactor
    try:
        configuration = loadConfiguration(task.words, lambda warning: None)
        service = ProxyService(reactor, configuration, buildPlugins(configuration, reactor), worker)
    except ConfigurationError as error:
        for each in error.problems:
            print(each, file=sys.stderr)
        raise SystemExit(1) from None
    worker.service = service
    worker.reloader = Reloader(reactor, service, configuration, lambda: loadConfiguration(task.words, lambda warning: None))
    service.startService()
    anyReactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    anyReactor.run()


if __name__ == "__main__":
    main()
