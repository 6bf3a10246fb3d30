"""One scenario: all proxies beside each other, measured in turn, round after round."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from comparison.loads import LoadFailed
from comparison.processes import Launcher, ProcessFailed, Running, freePort
from comparison.proxies import CERTIFICATE, KEY, Proxy, nginxCommand
from comparison.scenarios import PEERS, Scenario

WARM_UP: Final = 1
"""Seconds of load before the first figure: imports, pools and caches are not what is compared."""


@dataclass
class Row:
    """What one proxy did in one scenario.

    @ivar values: a figure for each round.
    @ivar remarks: on some of them, or why there is none.
    """

    values: list[float] = field(default_factory=list)
    remarks: list[str] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Of the rounds; 0 without one."""
        return statistics.median(self.values) if self.values else 0.0

    @property
    def spread(self) -> float:
        """How far the rounds are apart, as a part of their median."""
        return (max(self.values) - min(self.values)) / self.median if self.median else 0.0


@dataclass(frozen=True)
class Cores:
    """Which core does what.

    @ivar proxy: runs the proxy that is measured; the others are idle meanwhile.
    @ivar load: runs the load and the upstream.
    """

    proxy: int
    load: int


class Bench:
    """Measures scenarios.

    @ivar folder: for configurations and logs; nginx, which gives up root, has to be able to read there.
    """

    def __init__(self, folder: Path, cores: Cores, rounds: int, seconds: int) -> None:
        self.folder = folder
        self.cores = cores
        self.rounds = rounds
        self.seconds = seconds
        files = folder / "files"
        files.mkdir()
        (files / "page").write_bytes(b"<p>hello</p>\n" * 79)
        (files / "mib").write_bytes(os.urandom(1 << 20))
        makeCertificate(folder)

    def run(self, scenario: Scenario, proxies: Sequence[Proxy]) -> dict[str, Row]:
        """Measure all proxies.

        @return: a row for each, by name.
        @raise ProcessFailed: when there is no upstream.
        """
        rows = {proxy.name: Row() for proxy in proxies}
        able = []
        for proxy in proxies:
            if scenario.isUpgraded and not proxy.canUpgrade:
                rows[proxy.name].remarks.append("relays no upgrades")
            elif scenario.isSecure and proxy.secureCommand is None:
                rows[proxy.name].remarks.append("is not measured with TLS")
            else:
                able.append(proxy)
        with Launcher(self.folder) as launcher:
            upstream = self._startUpstream(launcher, scenario)
            if scenario.isFresh:
                self._runFresh(scenario, able, rows, upstream)
            else:
                self._runBeside(launcher, scenario, able, rows, upstream)
        return rows

    def _runBeside(
        self, launcher: Launcher, scenario: Scenario, proxies: Sequence[Proxy], rows: dict[str, Row], upstream: int
    ) -> None:
        """All run at the same time, one of them with work to do."""
        started = {}
        for proxy in proxies:
            try:
                started[proxy.name] = running = self._startProxy(launcher, proxy, upstream, scenario)
                scenario.measure(running, WARM_UP)
            except (ProcessFailed, LoadFailed) as error:
                started.pop(proxy.name, None)
                rows[proxy.name].remarks.append(str(error))
        for turn in range(self.rounds):
            for name, running in started.items():
                self._measure(scenario, running, rows[name], turn)

    def _runFresh(self, scenario: Scenario, proxies: Sequence[Proxy], rows: dict[str, Row], upstream: int) -> None:
        """Each is started for each figure."""
        for turn in range(self.rounds):
            for proxy in proxies:
                with Launcher(self.folder) as launcher:
                    try:
                        running = self._startProxy(launcher, proxy, upstream, scenario)
                    except ProcessFailed as error:
                        rows[proxy.name].remarks.append(str(error))
                    else:
                        self._measure(scenario, running, rows[proxy.name], turn)

    def _measure(self, scenario: Scenario, running: Running, row: Row, turn: int) -> None:
        if sys.stderr.isatty():
            print(f"\r\033[K{scenario.name}: round {turn + 1} of {self.rounds}, {running.name}\r", end="", file=sys.stderr)
        try:
            figure = scenario.measure(running, self.seconds)
            running.check()
        except (ProcessFailed, LoadFailed, OSError) as error:
            row.remarks.append(str(error))
            return
        row.values.append(figure.value)
        if figure.remark:
            row.remarks.append(figure.remark)

    def _startUpstream(self, launcher: Launcher, scenario: Scenario) -> int:
        port = freePort()
        if scenario.isUpgraded:
            command = [sys.executable, str(PEERS / "echo.py"), str(port)]
        else:
            command = nginxCommand("upstream.nginx.conf", self.folder, PORT=port, SINK_PORT=freePort())
        launcher.start("upstream", command, port, self.cores.load)
        return port

    def _startProxy(self, launcher: Launcher, proxy: Proxy, upstream: int, scenario: Scenario) -> Running:
        port = freePort()
        command = proxy.secureCommand if scenario.isSecure and proxy.secureCommand is not None else proxy.command
        return launcher.start(proxy.name, command(self.folder, port, upstream), port, self.cores.proxy)


def makeCertificate(folder: Path) -> None:
    """A key on P-256 and a certificate that nobody has to believe."""
    key, certificate = folder / KEY, folder / CERTIFICATE
    made = subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-keyout", str(key), "-out", str(certificate)],
        capture_output=True,
    )  # fmt: skip
    if made.returncode == 0:
        (folder / "both.pem").write_bytes(certificate.read_bytes() + key.read_bytes())
        for each in (key, folder / "both.pem"):
            each.chmod(0o644)  # nginx and HAProxy may have given up root
