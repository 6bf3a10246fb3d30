"""Processes on chosen cores, and what they have used of them so far. Linux only: all figures are /proc's."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType

START_LIMIT = 20.0
"""Seconds in which a server has to listen."""

STOP_LIMIT = 5.0
"""Seconds that a process gets to end by itself."""

_TICKS = os.sysconf("SC_CLK_TCK")
_OWN_AND_REAPED = slice(11, 15)  # utime, stime, cutime and cstime of /proc/PID/stat, counted behind the name


class ProcessFailed(Exception):
    """A server did not come up, or ended; the text has the end of its log."""


def freePort() -> int:
    """A port of 127.0.0.1 that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Running:
    """A server and whatever it started.

    @ivar port: where it listens, on 127.0.0.1.
    """

    def __init__(self, name: str, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.name = name
        self.port = port
        self._process = process
        self._log = log

    def cpuSeconds(self) -> float:
        """CPU time, user and system, of the process, its descendants and those of them that have ended."""
        total = 0
        for pid in self._tree():
            stat = _read(pid, "stat").rpartition(")")[2].split()
            total += sum(map(int, stat[_OWN_AND_REAPED]))
        return total / _TICKS

    def memory(self) -> int:
        """Memory of the process and its descendants in KiB; what they share is counted once."""
        lines = [line.split() for pid in self._tree() for line in _read(pid, "smaps_rollup").splitlines()]
        return sum(int(words[1]) for words in lines if words[0] == "Pss:")

    def awaitListening(self) -> None:
        """Wait until it accepts connections.

        @raise ProcessFailed: when it ends instead, or takes too long.
        """
        end = time.monotonic() + START_LIMIT
        while True:
            self.check()
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                if time.monotonic() > end:
                    raise ProcessFailed(f"{self.name} does not listen{self._said()}") from None
                time.sleep(0.05)

    def check(self) -> None:
        """@raise ProcessFailed: when it has ended."""
        status = self._process.poll()
        if status is not None:
            raise ProcessFailed(f"{self.name} ended with status {status}{self._said()}")

    def interrupt(self) -> None:
        """Ask it to end."""
        self._signal(signal.SIGTERM)

    def awaitEnd(self) -> None:
        """Wait for its end, and enforce it when that takes too long."""
        try:
            self._process.wait(STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            pass

    def _tree(self) -> Iterator[int]:
        found = [self._process.pid]
        for pid in found:  # grows while it is gone through
            for thread in _list(pid, "task"):
                found += map(int, _read(pid, f"task/{thread}/children").split())
            yield pid

    def _said(self) -> str:
        text = self._log.read_text(errors="replace")[-2000:].strip()
        return f"; it said:\n{text}" if text else ""


class Launcher:
    """Starts servers, and stops them when its C{with} block ends.

    @ivar folder: where they run and log.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._running: list[Running] = []

    def __enter__(self) -> Launcher:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for running in self._running:
            running.interrupt()
        for running in self._running:
            running.awaitEnd()

    def start(self, name: str, command: Sequence[str], port: int, core: int) -> Running:
        """Start a server on a core, and wait until it listens.

        @raise ProcessFailed: when it does not.
        """
        log = self.folder / f"{name}.{port}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                ["taskset", "--cpu-list", str(core), *command],
                cwd=self.folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                process_group=0,  # not a session: with sched_autogroup each would get a share of a busy core to itself
            )
        running = Running(name, process, port, log)
        self._running.append(running)
        running.awaitListening()
        return running


def _read(pid: int, what: str) -> str:
    """A file of /proc; nothing of a process that is gone."""
    try:
        return Path(f"/proc/{pid}/{what}").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return ""


def _list(pid: int, what: str) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/{what}")
    except (FileNotFoundError, ProcessLookupError):
        return []
