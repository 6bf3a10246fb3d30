"""HAProxy's agent protocol, as HAProxy itself understands it: the same agents, asked by both."""

from __future__ import annotations

import csv
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.process import Child, waitFor
from tests.support.programs import needs, program

pytestmark = needs("haproxy")

SEQUENCES = [
    ["up"],
    ["down #disk full"],  # the manual has no space there, which HAProxy 2.6 itself does not understand
    ["down", "75%"],
    ["down", "ready"],
    ["drain", "up"],
    ["drain", "ready"],
    ["maint", "up"],
    ["maint", "ready"],
    ["maint", "drain", "75%"],
    ["up 50% maxconn:30"],
    ["0%"],
    ["0%", "up"],
    ["0%", "40%"],
    ["stopped", "up 25%"],
    ["failed #x", "up,ready\t80%"],
    ["down # up"],
    ["nonsense", "another 5 words"],
    ["drain", "down", "up"],
    ["up drain"],
    ["ready drain"],
    ["down", "up", "maxconn:7"],
]

"""What agents say, one answer after the other."""

STATES = {"no check": "up", "DOWN (agent)": "down", "DRAIN (agent)": "draining", "MAINT": "maintenance"}
"""HAProxy's words, and ours."""


class Agent:
    """Says one line to each who connects, the last one from then on.

    @ivar asked: how often it was asked.
    """

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.asked = 0
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                connection, _ = self._server.accept()
            except OSError:
                return
            with connection:
                connection.sendall(self._lines[min(self.asked, len(self._lines) - 1)].encode() + b"\n")
                self.asked += 1

    def close(self) -> None:
        self._server.close()


@pytest.fixture
def agents() -> Iterator[list[Agent]]:
    made = [Agent(lines) for lines in SEQUENCES]
    yield made
    for each in made:
        each.close()


def haproxyStates(directory: Path, agents: list[Agent]) -> list[tuple[str, int, str]]:
    """What HAProxy says of each server in the end: status, weight and limit of connections."""
    stats = directory / "stats.sock"
    servers = "".join(
        f"    server s{i} 127.0.0.1:9 weight 100 maxconn 1000 agent-check agent-port {each.port} agent-inter 50ms\n"
        for i, each in enumerate(agents)
    )
    (directory / "haproxy.cfg").write_text(
        f"global\n    stats socket {stats}\n"
        "defaults\n    mode http\n    timeout connect 1s\n    timeout client 1s\n    timeout server 1s\n"
        f"backend all\n{servers}"
    )
    name = program("haproxy")
    assert name is not None
    with Child(directory, "haproxy", name, "-db", "-f", directory / "haproxy.cfg"):
        waitFor(lambda: all(each.asked > len(lines) + 2 for each, lines in zip(agents, SEQUENCES, strict=True)), "not asked")
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(stats))
            connection.sendall(b"show stat\n")
            time.sleep(0.1)
            text = connection.makefile().read()
    rows = [row for row in csv.DictReader(text.lstrip("# ").splitlines()) if row["svname"].startswith("s")]
    return [(row["status"], int(row["weight"]), row["slim"]) for row in rows]


def ourState(lines: list[str]) -> tuple[str, int, str]:
    """What we make of the same lines."""
    from twistproxy.balancers.roundrobin import RoundRobin
    from twistproxy.health.agent import readAgent
    from twistproxy.messages import Upstream
    from twistproxy.upstream.group import UpstreamGroup
    from twistproxy.upstream.standing import Active

    upstream = Upstream("http://127.0.0.1:9", 100, maxConnections=1000)
    group = UpstreamGroup("all", RoundRobin(), [upstream])
    group.checkedBy(upstream, {"agent": Active.UNCHECKED})
    for line in [*lines, *lines[-1:] * 3]:
        group.checked(upstream, "agent", readAgent(line.encode()))
    (status,) = group.status()
    return status.state.partition(":")[0], round(status.weight * status.share), str(status.maxConnections)


def test_asHAProxyUnderstandsIt(tmp_path: Path, agents: list[Agent]) -> None:
    theirs = haproxyStates(tmp_path, agents)
    for lines, (status, weight, limit) in zip(SEQUENCES, theirs, strict=True):
        state = "draining" if weight == 0 else STATES[status]
        assert ourState(lines) == (state, weight, limit), (lines, status)
