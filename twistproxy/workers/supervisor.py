"""The parent of all workers: binds once, hands on the sockets, starts again what ends, and serves nobody itself."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.commandline import CommandLine, loadConfiguration
from twistproxy.config import Configuration, buildPlugins
from twistproxy.errors import ConfigurationError
from twistproxy.logs.errorlog import ErrorLog
from twistproxy.logs.terminal import stopWith, terminal
from twistproxy.runsecret import runSecret
from twistproxy.service import listenAt, shownURL
from twistproxy.workers.backoff import Backoff
from twistproxy.workers.binding import BindingReactor, BoundPort, Nobody
from twistproxy.workers.counters import Counters, merge
from twistproxy.workers.lines import Port, Task, encode
from twistproxy.workers.process import FIRST_INHERITED, WorkerProcess

_log: Final = Logger()

GRACE: Final = 5.0
"""Seconds that a worker has to end, beyond those that its exchanges have."""

LOOKS: Final = 6
"""How often a worker is asked whether it lives before it is held to hang."""

_MOST_RESULTS: Final = 50_000
_COUNT_TIMEOUT: Final = 2.0


class Supervisor(Service):
    """All workers of one proxy.

    @ivar ports: the addresses that are bound, in the order of the configuration.
    """

    def __init__(self, reactor: Any, configuration: Configuration, words: CommandLine, reactorName: str = "") -> None:
        """
        @param words: the command line that the configuration is from: workers read it again.
        @param reactorName: for the workers, as C{twist --reactor} takes it; empty for the default.
        """
        self._reactor = reactor
        self._configuration = configuration
        self._words = words
        self._reactorName = reactorName
        self._errorLog = ErrorLog(configuration.errorLog)
        self._workers: dict[int, WorkerProcess] = {}
        self._backoffs = {number: Backoff() for number in range(1, configuration.workers + 1)}
        self._restarts: dict[int, IDelayedCall] = {}
        self._lent: dict[int, int] = {}  # who ended, and who takes its connections
        self._prober = 0
        self._results: dict[tuple[str, str, str], tuple[Mapping[str, Any], int]] = {}
        self._wasReady: set[int] = set()
        self._look: IDelayedCall | None = None
        self._isAnnounced = False
        self._isStopping = False
        self._allEnded: Deferred[None] | None = None
        self._counting: dict[int, tuple[set[int], list[Counters], Deferred[Counters]]] = {}
        self._countings = 0
        self._ended: list[Counters] = []
        self.ports: list[list[BoundPort]] = []

    # Starting.

    def startService(self) -> None:
        """Bind everything, then start the workers.

        @raise SystemExit: when an endpoint can't be had, after a line that says which and why.
        """
        super().startService()  # type: ignore[no-untyped-call]
        self._errorLog.open()
        for listener in self._configuration.listeners:
            binding = BindingReactor(self._reactor, self._configuration.workers)
            problems: list[Failure] = []
            try:
                maybeDeferred(listenAt, binding, listener.endpoint, Nobody()).addErrback(problems.append)
            finally:
                self.ports.append(binding.bound)
            if problems:
                print(f"{listener.endpoint}: {problems[0].getErrorMessage()}", file=terminal("stderr"), flush=True)
                self._unbind()
                raise SystemExit(1)
            if not binding.bound:
                print(f"{listener.endpoint}: this endpoint cannot be shared by workers", file=terminal("stderr"), flush=True)
                self._unbind()
                raise SystemExit(1)
        self._reactor.callWhenRunning(self._startAll)
        self._lookLater()

    def _startAll(self) -> None:
        for number in self._backoffs:
            self._start(number)

    def _start(self, number: int) -> None:
        """Start a worker, or its successor."""
        self._restarts.pop(number, None)
        if self._isStopping:
            return
        descriptors: dict[int, int] = {}

        def handedOn(sock: Any) -> int:
            theirs = FIRST_INHERITED + len(descriptors)
            descriptors[theirs] = sock.fileno()
            return theirs

        listeners = tuple(
            tuple(Port(port.family, tuple(handedOn(each) for each in port.sockets)) for port in ports) for ports in self.ports
        )
        task = Task(
            number, self._configuration.workers, self._reactorName, self._words, listeners, runSecret().hex(),
            os.environ.get("PYTHONPATH"),
        )  # fmt: skip
        worker = WorkerProcess(self, number)
        try:
            worker.start(self._reactor, task, descriptors)
        except OSError as error:
            _log.error("Worker {number} cannot be started: {error}", number=number, error=error)
            self._startLater(number)
            return
        self._workers[number] = worker

    def _lookLater(self) -> None:
        timeout = self._configuration.settings.workerTimeout
        if timeout:
            self._look = self._reactor.callLater(timeout / LOOKS, self._lookAtAll)

    def _lookAtAll(self) -> None:
        """Ask those that serve whether they live. What counts is what was asked, not the time: that may jump."""
        for worker in self._serving():
            if worker.unanswered >= LOOKS:
                _log.error("Worker {number} hangs, and is killed", number=worker.number)
                worker.kill()
            else:
                worker.unanswered += 1
                worker.say("count", number=0)
        self._lookLater()

    def _startLater(self, number: int) -> None:
        delay = self._backoffs[number].ended(self._reactor.seconds())
        self._restarts[number] = self._reactor.callLater(delay, self._start, number)

    def reload(self) -> None:
        """Have all workers read the configuration file again, if there is nothing wrong with it."""
        try:
            buildPlugins(loadConfiguration(self._words, lambda warning: None), self._reactor)
        except ConfigurationError as error:
            for problem in error.problems:
                _log.error("reload: nothing changes: {problem}", problem=problem)
                print(problem, file=terminal("stderr"), flush=True)
            return
        for worker in self._workers.values():
            worker.say("reload")

    # From the workers.

    def workerSaid(self, worker: WorkerProcess, said: Mapping[str, Any]) -> None:
        """One said something."""
        kind = said["is"]
        if kind == "ready":
            self._ready(worker)
        elif kind == "stopping":
            worker.isStopping = True
            worker.isReady = False
            self._ended.append({**said["counters"], "inFlight": 0, "clients": 0, "upstreams": {}})
            self._elect()
            self._lend(worker.number)
        elif kind == "checked":
            self._checked(worker, said)
        elif kind == "counted":
            self._counted(worker.number, said)

    def _ready(self, worker: WorkerProcess) -> None:
        """It serves."""
        number = worker.number
        worker.isReady = True
        self._wasReady.add(number)
        self._backoffs[number].wasReady(self._reactor.seconds())
        lender = self._workers.get(self._lent.pop(number, 0))
        if lender is not None:
            lender.say("return", worker=number)
        for orphan in set(self._backoffs).difference(self._lent, (each.number for each in self._serving())):
            if orphan in self._wasReady:
                self._lend(orphan)
        for result, times in self._results.values():
            for _ in range(times):
                worker.send(encode(**_again(result)))
        self._elect()
        if not self._isAnnounced and len(self._wasReady) == len(self._backoffs):
            self._isAnnounced = True
            for listener, ports in zip(self._configuration.listeners, self.ports, strict=True):
                print(f"listening on {shownURL(ports[0].getHost(), listener.isSecure)}", file=terminal("stdout"), flush=True)
            _log.info("{count} workers serve", count=len(self._backoffs))

    def _serving(self) -> list[WorkerProcess]:
        return [each for each in self._workers.values() if each.isReady]

    def _lend(self, number: int) -> None:
        """Have another worker take the connections that the kernel gives to one that ended, until that one is back."""
        serving = self._serving()
        if serving and not self._isStopping:
            taker = min(serving, key=lambda each: (list(self._lent.values()).count(each.number), each.number))
            self._lent[number] = taker.number
            taker.say("lend", worker=number)

    def _elect(self) -> None:
        """One of those that serve runs the health checks for all."""
        serving = self._serving()
        if not self._configuration.settings.sharedHealthChecks:
            for each in serving:
                each.say("probe", on=True)
            return
        if self._prober not in [each.number for each in serving]:
            self._prober = min((each.number for each in serving), default=0)
        for each in serving:
            each.say("probe", on=each.number == self._prober)

    def _checked(self, worker: WorkerProcess, said: Mapping[str, Any]) -> None:
        """A health check has a result: tell the others, and those that come."""
        if not self._configuration.settings.sharedHealthChecks or worker.number != self._prober:
            return
        key = (said["pool"], said["upstream"], said["check"])
        before, times = self._results.pop(key, (None, 0))
        isSame = before is not None and before["health"]["ok"] == said["health"]["ok"]
        self._results[key] = (said, min(times + 1, max(said["rise"], said["fall"])) if isSame else 1)
        if len(self._results) > _MOST_RESULTS:
            del self._results[next(iter(self._results))]
        line = encode(**_again(said))
        for each in self._serving():
            if each is not worker and each.unanswered <= 1:  # one that hangs would have them wait for it in our memory
                each.send(line)

    def workerEnded(self, worker: WorkerProcess, how: str) -> None:
        """Its process is gone."""
        number = worker.number
        del self._workers[number]
        wasStopping = worker.isStopping
        worker.isReady = False
        self._counted(number, {})
        if self._isStopping:
            if not self._workers and self._allEnded is not None:
                ended, self._allEnded = self._allEnded, None
                ended.callback(None)
            return
        if not self._isAnnounced:
            self._refuse(number, how)
            return
        (_log.info if wasStopping else _log.error)("Worker {number} ended {how}; another follows", number=number, how=how)
        for orphan in [each for each, taker in self._lent.items() if taker == number]:
            del self._lent[orphan]
            self._lend(orphan)
        if not wasStopping:
            self._lend(number)
        self._elect()
        self._startLater(number)

    def _refuse(self, number: int, how: str) -> None:
        """A worker could not even begin: it has said why, and another one would fare no better."""
        print(f"worker {number} ended {how} before it served", file=terminal("stderr"), flush=True)
        stopWith(self._reactor, 1)

    # Counters.

    def counters(self) -> Deferred[Counters]:
        """What all workers counted, added up, with those that have ended."""
        self._countings += 1
        asked = {each.number for each in self._serving()}
        result: Deferred[Counters] = Deferred()
        if not asked:
            return succeed(merge(self._ended))
        number = self._countings
        self._counting[number] = (asked, [], result)
        for each in self._serving():
            each.say("count", number=number)
        result.addTimeout(_COUNT_TIMEOUT, self._reactor)
        return result.addBoth(self._countingDone, number)

    def _counted(self, worker: int, said: Mapping[str, Any]) -> None:
        """A worker has answered, or will not."""
        for number, (asked, counters, result) in list(self._counting.items()):
            if said and said["number"] != number:
                continue
            if worker in asked:
                asked.discard(worker)
                if said:
                    counters.append(said["counters"])
            if not asked and not result.called:
                result.callback(None)  # type: ignore[arg-type]

    def _countingDone(self, result: object, number: int) -> Counters:
        _, counters, _ = self._counting.pop(number)
        return merge([*self._ended, *counters])

    # Ending.

    def stopService(self) -> Deferred[Any]:
        """Have all workers drain and end; kill those that do not.

        @return: fires when all are gone.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        self._isStopping = True
        if self._look is not None and self._look.active():
            self._look.cancel()
        for each in self._restarts.values():
            each.cancel()
        self._restarts = {}
        unbinding = self._unbind()
        if not self._workers:
            return unbinding.addBoth(self._stopped)
        for worker in list(self._workers.values()):
            worker.stop()
        ended: Deferred[Any] = Deferred()
        self._allEnded = ended
        limit = self._configuration.settings.drainTimeout + GRACE
        killing = self._reactor.callLater(limit, self._killAll)

        def done(_: object) -> Any:
            if killing.active():
                killing.cancel()
            return unbinding

        return ended.addCallback(done).addBoth(self._stopped)

    def _unbind(self) -> Deferred[Any]:
        """Close our sockets: nobody can connect once the workers have closed theirs."""
        ports, self.ports = self.ports, []
        return DeferredList([maybeDeferred(port.stopListening) for several in ports for port in several])

    def _killAll(self) -> None:
        for each in self._workers.values():
            _log.error("Worker {number} does not end, and is killed", number=each.number)
            each.kill()

    def _stopped(self, result: object) -> None:
        total = merge(self._ended)
        if total:
            _log.info("The workers served {exchanges} exchanges", exchanges=total["exchanges"])
        self._errorLog.close()


def _again(said: Mapping[str, Any]) -> dict[str, Any]:
    """What a worker said, to be said to others."""
    return {"kind": said["is"], **{name: value for name, value in said.items() if name != "is"}}


def reactorNameOf(reactor: Any, types: Callable[[], Any]) -> str:
    """As C{twist --reactor} calls this reactor; empty when nothing does.

    @param types: gives the reactors that there are, L{twisted.application.reactors.getReactorTypes}.
    """
    module = type(reactor).__module__
    named = {str(getattr(each, "moduleName", "")): str(each.shortName) for each in types()}
    if module in named:
        return named[module]
    for name, shortName in named.items():  # the class may be in a module beside that of its C{install}
        package = name.rpartition(".")[0]
        if package and package != "twisted.internet" and module.startswith(f"{package}."):
            return shortName
    return ""
