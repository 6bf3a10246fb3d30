"""The kinds of work that proxies are compared by."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from comparison.heads import BROWSER
from comparison.loads import Work, bulk, idleConnections, messages, wrk
from comparison.processes import Running

PEERS: Final = Path(__file__).resolve().parent.parent / "peers"
CLIENTS: Final = 64
"""Connections that send small requests or messages."""

STREAMS: Final = 8
"""Connections that carry long bodies."""

BULK: Final = 1 << 30
"""Bytes that go through one upgraded connection; an eighth of that to warm up."""

IDLE: Final = 2000
"""Connections that are held idle: enough for what else happens in a process not to matter."""

SETTLE: Final = 0.5
"""Seconds until a process has done what it does after its connections have come."""


@dataclass(frozen=True)
class Figure:
    """One measurement.

    @ivar value: in the scenario's unit.
    @ivar remark: what a reader should know about it.
    """

    value: float
    remark: str = ""


Measure = Callable[[Running, int], Figure]
"""Measures a proxy for so many seconds."""


@dataclass(frozen=True)
class Scenario:
    """A kind of work.

    @ivar summary: what is done.
    @ivar unit: of its figures.
    @ivar isUpgraded: whether it needs the upstream that switches protocols.
    @ivar isSecure: whether clients speak TLS.
    @ivar isFresh: whether each figure needs a process that has done nothing before.
    @ivar lessIsBetter: of its figures.
    """

    name: str
    summary: str
    unit: str
    measure: Measure
    isUpgraded: bool = False
    isSecure: bool = False
    isFresh: bool = False
    lessIsBetter: bool = False


def _perCpuSecond(load: Callable[[str, int], Work]) -> Measure:
    """What a load gets done for each second of the proxy's CPU time."""

    def measure(proxy: Running, seconds: int) -> Figure:
        before = proxy.cpuSeconds()
        work = load(f"127.0.0.1:{proxy.port}", seconds)
        used = proxy.cpuSeconds() - before
        return Figure(work.amount / used if used else 0.0, work.remark)

    return measure


def _messages(proxy: Running, seconds: int) -> Figure:
    return _perCpuSecond(lambda at, seconds: messages(proxy.port, CLIENTS, seconds))(proxy, seconds)


def _bulk(proxy: Running, seconds: int) -> Figure:
    return _perCpuSecond(lambda at, seconds: bulk(proxy.port, BULK if seconds > 1 else BULK >> 3))(proxy, seconds)


def _idle(proxy: Running, seconds: int) -> Figure:
    """KiB by which a process grows for each connection, the first few apart: those bring in what all need."""
    with idleConnections(proxy.port, 20):
        time.sleep(SETTLE)
        before = proxy.memory()
        with idleConnections(proxy.port, IDLE):
            time.sleep(2 * SETTLE)
            return Figure((proxy.memory() - before) / IDLE)


SCENARIOS: Final = {
    each.name: each
    for each in (
        Scenario(
            "small", f"GET of 12 bytes, {CLIENTS} kept connections", "requests per CPU second",
            _perCpuSecond(lambda at, seconds: wrk(f"http://{at}/", CLIENTS, seconds)),
        ),
        Scenario(
            "browser", f"GET of 1 KiB with a browser's headers, {CLIENTS} kept connections", "requests per CPU second",
            _perCpuSecond(lambda at, seconds: wrk(f"http://{at}/page", CLIENTS, seconds, BROWSER)),
        ),
        Scenario(
            "mixed", f"GET of 100 bytes, no two heads alike, {CLIENTS} kept connections", "requests per CPU second",
            _perCpuSecond(lambda at, seconds: wrk(f"http://{at}/", CLIENTS, seconds, script=PEERS / "mixed.lua")),
        ),
        Scenario(
            "churn", f"GET of 12 bytes, a connection for each, {CLIENTS} at a time", "requests per CPU second",
            _perCpuSecond(lambda at, seconds: wrk(f"http://{at}/", CLIENTS, seconds, [("Connection", "close")])),
        ),
        Scenario(
            "tls", f"GET of 12 bytes over TLS, {CLIENTS} kept connections", "requests per CPU second",
            _perCpuSecond(lambda at, seconds: wrk(f"https://{at}/", CLIENTS, seconds)), isSecure=True,
        ),
        Scenario(
            "down", f"GET of 1 MiB, {STREAMS} kept connections", "MiB per CPU second",
            _perCpuSecond(lambda at, seconds: wrk(f"http://{at}/mib", STREAMS, seconds)),
        ),
        Scenario(
            "up", f"POST of 1 MiB, {STREAMS} kept connections", "MiB per CPU second",
            _perCpuSecond(lambda at, seconds: wrk(f"http://{at}/upload", STREAMS, seconds, script=PEERS / "upload.lua")),
        ),
        Scenario(
            "ws", f"messages of 64 bytes there and back, {CLIENTS} upgraded connections", "messages per CPU second",
            _messages, isUpgraded=True,
        ),
        Scenario(
            "bulk", f"{BULK >> 20} MiB through one upgraded connection", "MiB per CPU second", _bulk, isUpgraded=True,
        ),
        Scenario(
            "idle", f"memory for each of {IDLE} idle connections", "KiB per connection",
            _idle, isFresh=True, lessIsBetter=True,
        ),
    )
}  # fmt: skip
"""All of them, by name, in the order in which they are shown."""
