"""slowhttptest's attacks: hundreds of slow clients are cut off in time, and others served meanwhile."""

from __future__ import annotations

import re
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.peers.conftest import StartProxy
from tests.support.bulk import Server, drain, feed, readHead
from tests.support.process import ProxyProcess, waitFor
from tests.support.programs import needs, program, run

pytestmark = needs("slowhttptest", "curl")

SETTINGS = ("head-timeout=1s", "body-timeout=1s", "send-timeout=1s", "linger-timeout=1s", "keep-alive-timeout=1s")

ATTACKS = {
    "slow headers": ("/", "-H", "-c", "300", "-r", "300"),
    "slow bodies": ("/", "-B", "-c", "300", "-r", "300", "-s", "100000"),
    "slow readers": ("/big", "-X", "-c", "60", "-r", "60", "-w", "1000", "-y", "2000", "-n", "5", "-z", "32"),
}


def serve(connection: socket.socket) -> None:
    """Answer requests, each after its end; what /big has is more than any buffer takes."""
    while True:
        head, rest = readHead(connection)
        if found := re.search(rb"(?i)^content-length: (\d+)", head, re.MULTILINE):
            drain(connection, int(found[1]) - rest)
        size = 8 << 20 if b" /big " in head else 5
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        feed(connection, size)


@pytest.fixture(scope="module")
def proxy(startModuleProxy: StartProxy) -> Iterator[ProxyProcess]:
    """A proxy of little patience."""
    with Server(serve) as upstream:
        yield startModuleProxy(upstream.url, settings=SETTINGS)


def openConnections(proxy: ProxyProcess) -> int:
    """How many connections clients have with it."""
    mine = f"0100007F:{proxy.port:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()]
    return sum(1 for row in rows if row[1] == mine and row[3] == "01")


@pytest.mark.slow
@pytest.mark.parametrize("attack", ATTACKS)
def test_slowClientsAreCutOffAndOthersServed(proxy: ProxyProcess, attack: str) -> None:
    attacker = program("slowhttptest")
    assert attacker is not None
    path, *words = ATTACKS[attack]
    words += ["-i", "1", "-x", "8", "-l", "20", "-p", "5", "-u", f"{proxy.url}{path}"]
    answers: list[bytes] = []
    numbers = [0]

    def isOver() -> bool:
        done = run("curl", "-sS", "-m", "5", "-w", " %{http_code}", f"{proxy.url}/")
        answers.append(done.stdout[-4:])
        numbers.append(openConnections(proxy))
        return max(numbers) >= 50 and numbers[-1] == 0

    with subprocess.Popen([attacker, *words], stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as running:
        try:
            waitFor(isOver, "connections of the attack are open", 15)
        finally:
            running.kill()
        assert running.stdout is not None
        said = re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", running.stdout.read().decode(errors="replace"))
    assert set(answers) == {b" 200"}
    assert not re.search(r"service available:\s*NO", said), said
