"""C{twist revproxy} as a process of its own, as users run it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType

TWIST = Path(sys.executable).with_name("twist")
LIMIT = 20.0
"""Seconds within which a process starts, or ends."""


def waitFor(holds: object, what: str, limit: float = LIMIT) -> None:
    """Wait until C{holds()}, with looks at short intervals."""
    assert callable(holds)
    deadline = time.monotonic() + limit
    while not holds():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


class Child:
    """A process with its output in a file; killed at the end of its C{with} block, with all that it started."""

    def __init__(self, directory: Path, name: str, *command: str | Path, user: str | None = None) -> None:
        self.output = directory / f"{name}.out"
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [str(each) for each in command],
                cwd=directory,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
            )

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.kill()

    @property
    def said(self) -> str:
        """All of its output."""
        return self.output.read_text(errors="replace")

    def waitFor(self, pattern: str) -> re.Match[str]:
        """Wait for something that it prints."""
        deadline = time.monotonic() + LIMIT
        while True:
            found = re.search(pattern, self.said, re.MULTILINE)
            if found:
                return found
            assert self.process.poll() is None, f"it ended with {self.process.returncode}: {self.said}"
            assert time.monotonic() < deadline, f"{pattern} was not printed: {self.said}"
            time.sleep(0.02)

    def kill(self) -> None:
        """End it at once."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait(LIMIT)


class ProxyProcess(Child):
    """A proxy.

    @ivar url: where it listens, without a slash at the end.
    @ivar port: its number.
    """

    def __init__(self, directory: Path, *upstreams: str, reactor: str = "", options: tuple[str, ...] = ()) -> None:
        """
        @param directory: for its output.
        @param reactor: as C{twist --reactor} takes it; empty for the default.
        @param options: of C{twist revproxy}.
        """
        self._errorLog = directory / "proxy.log"
        self._forgotten = 0
        words = [f"--reactor={reactor}"] if reactor else []
        words += ["revproxy", "--listen", "tcp:0:interface=127.0.0.1", "--error-log", str(self._errorLog)]
        words += [word for each in upstreams for word in ("--upstream", each)]
        super().__init__(directory, "proxy", TWIST, *words, *options)
        try:
            found = self.waitFor(r"^listening on (http://127\.0\.0\.1:(\d+))/$")
        except BaseException:
            self.kill()
            raise
        self.url, self.port = found[1], int(found[2])

    def __enter__(self) -> ProxyProcess:
        return self

    @property
    def log(self) -> list[str]:
        """The lines of its error log since L{forgetLog}."""
        return self._errorLog.read_text().splitlines()[self._forgotten :] if self._errorLog.exists() else []

    def forgetLog(self) -> None:
        """What is in the log now is nobody's business any more."""
        self._forgotten += len(self.log)

    def logged(self, *words: str, limit: float = 5.0) -> str:
        """Wait for the one line in the error log that has all of these words."""
        found: list[str] = []

        def look() -> bool:
            found[:] = [line for line in self.log if all(word in line for word in words)]
            return bool(found)

        waitFor(look, f"no line with {words} in {self.log}", limit)
        assert len(found) == 1, found
        return found[0]

    def _status(self, name: str) -> int:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(rf"^{name}:\s*(\d+) kB$", status, re.MULTILINE)
        assert found is not None, status
        return int(found[1]) << 10

    @property
    def memory(self) -> int:
        """Resident bytes."""
        return self._status("VmRSS")

    @property
    def peak(self) -> int:
        """Most resident bytes since L{startPeak}."""
        return self._status("VmHWM")

    def startPeak(self) -> int:
        """Measure the peak from now on; what it is now."""
        Path(f"/proc/{self.process.pid}/clear_refs").write_text("5")
        return self.peak

    @property
    def cpu(self) -> float:
        """Seconds of processor time used so far."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
