"""A worker as its supervisor sees it: a child process, lines to it and from it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IDelayedCall
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger, eventFromJSON, globalLogPublisher
from twisted.python.failure import Failure

from twistproxy.logs.terminal import terminal
from twistproxy.workers.connection import FROM_SUPERVISOR, TO_SUPERVISOR
from twistproxy.workers.lines import Lines, Task, decode, encode

_log: Final = Logger()

LAST_WORDS: Final = 1.0
"""Seconds for the output of a process that has ended."""

FIRST_INHERITED: Final = 5
"""From this number on a worker has its sockets."""


class Owner(Protocol):
    """The supervisor."""

    def workerSaid(self, worker: WorkerProcess, said: Mapping[str, Any]) -> None:
        """It said something."""

    def workerEnded(self, worker: WorkerProcess, how: str) -> None:
        """Its process is gone, and all it said is told."""


class WorkerProcess(ProcessProtocol):
    """One process.

    @ivar number: the worker's, from 1; a process that replaces another has the same.
    @ivar isReady: whether it serves.
    @ivar isStopping: whether it is told to end, or said that it does.
    @ivar unanswered: how often it was asked in vain whether it lives.
    """

    transport: Any
    isReady = False
    isStopping = False
    unanswered = 0
    _reactor: Any = None
    _ending: IDelayedCall | None = None
    _hasEnded = False

    def __init__(self, owner: Owner, number: int) -> None:
        self.number = number
        self._owner = owner
        self._lines: Final = {1: Lines(), 2: Lines(), TO_SUPERVISOR: Lines()}

    def __repr__(self) -> str:
        return f"<WorkerProcess {self.number}>"

    def start(self, reactor: Any, task: Task, descriptors: Mapping[int, int]) -> None:
        """Start the process.

        @param descriptors: what it inherits, by the number that the task calls it.
        @raise OSError: when no process can be had.
        """
        self._reactor = reactor
        path = os.pathsep.join(each for each in sys.path if each)
        with open(os.devnull, "rb") as nothing:
            reactor.spawnProcess(
                self,
                sys.executable,
                # -P: the working directory is on the path if it is on ours, and where it is on ours.
                [sys.executable, "-P", "-m", "twistproxy.workers.worker", str(self.number)],
                env={**os.environ, "PYTHONPATH": path},
                childFDs={0: nothing.fileno(), 1: "r", 2: "r", FROM_SUPERVISOR: "w", TO_SUPERVISOR: "r", **descriptors},
            )
        self.transport.writeToChild(FROM_SUPERVISOR, task.encode())

    def say(self, kind: str, **fields: Any) -> None:
        """Tell it something."""
        self.send(encode(kind, **fields))

    def send(self, line: bytes) -> None:
        """Tell it what is a line already."""
        self.transport.writeToChild(FROM_SUPERVISOR, line)

    def stop(self) -> None:
        """Have it drain and end."""
        self.isStopping = True
        self.say("stop")

    def kill(self) -> None:
        """End it at once."""
        try:
            self.transport.signalProcess("KILL")
        except Exception:  # it has ended by itself
            _log.debug("Worker {number} was gone already", number=self.number)

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """It printed something, or said something."""
        self.unanswered = 0
        for line in self._lines[childFD].receive(data):
            self._take(childFD, line)

    def childConnectionLost(self, childFD: int) -> None:
        """It can say no more here; a last line may have no end."""
        if childFD in (1, 2) and (rest := self._lines[childFD].rest):
            self._take(childFD, rest)

    def _take(self, descriptor: int, line: bytes) -> None:
        """Output goes to ours, line by line: those of several workers do not run into each other."""
        if descriptor == TO_SUPERVISOR:
            said = decode(line)
            if said["is"] == "log":
                self._relay(said["event"])
            elif said["is"] == "lost":
                _log.warn("{count} events of worker {number} were too many to be logged", count=said["count"], number=self.number)
            else:
                self._owner.workerSaid(self, said)
        else:
            self._print(line.decode(errors="replace"), isError=descriptor == 2)

    def _print(self, text: str, *, isError: bool) -> None:
        if isError:
            print(f"worker {self.number}: {text}", file=terminal("stderr"), flush=True)
        else:
            print(text, file=terminal("stdout"), flush=True)

    def _relay(self, text: str) -> None:
        """Log what a worker logged, under its name."""
        event = eventFromJSON(text)
        system = event.get("log_system") or f"{event.get('log_namespace', '-')}#{getattr(event.get('log_level'), 'name', '')}"
        event["log_system"] = f"worker {self.number}{f', {system}' if system != '-' else ''}"
        event["worker"] = self.number
        globalLogPublisher(event)

    def processExited(self, reason: Failure) -> None:
        """It is gone, but what it has said may still come, even for ever: from what it has started and left."""
        self._ending = self._reactor.callLater(LAST_WORDS, self._ended, reason)

    def processEnded(self, reason: Failure) -> None:
        """It is gone, and has said everything."""
        self._ended(reason)

    def _ended(self, reason: Failure) -> None:
        if self._hasEnded:
            return
        self._hasEnded = True
        if self._ending is not None and self._ending.active():
            self._ending.cancel()
        value: Any = reason.value
        signal, code = getattr(value, "signal", None), getattr(value, "exitCode", None)
        self._owner.workerEnded(self, f"by signal {signal}" if signal is not None else f"with status {code or 0}")
