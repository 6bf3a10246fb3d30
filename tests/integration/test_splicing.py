"""What the kernel moves for a proxy: any mix of sizes and stalls arrives byte for byte, and every end is an end."""

from __future__ import annotations

import random
import socket
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
import pytest_twisted
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet import reactor
from twisted.internet.error import ConnectionLost
from twisted.internet.threads import deferToThread

from tests.integration.test_upgrades import ASK, SWITCH, Tunnel, tunnelled
from tests.support.bulk import Server, connect, readHead
from tests.support.dialogue import Peer, settled
from tests.support.network import LiveProxy, Network

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="splice(2) is Linux's")

NOISE = random.Random(1).randbytes(1 << 22)
LIMIT = 10.0
PIECE, COUNT = NOISE[: 1 << 16], 800
"""50 MB: far more than the sockets on the way hold."""

steps = st.lists(
    st.tuples(st.sampled_from([1, 100, 5000, 70000, 300000, 800000]), st.sampled_from([0, 0, 0, 0.001, 0.02])),
    min_size=1, max_size=8,
)  # fmt: skip
"""What is sent, or read, and the seconds before the next."""


def send(sock: socket.socket, script: list[tuple[int, float]]) -> bytes:
    """Send as a script says; what was sent."""
    sent = 0
    for size, pause in script:
        sock.sendall(NOISE[sent : sent + size])
        sent += size
        time.sleep(pause)
    return NOISE[:sent]


def read(sock: socket.socket, script: list[tuple[int, float]], length: int = 1 << 62) -> bytes:
    """Read to the end, or so much; the first portions and pauses as a script says, the rest at once."""
    got = bytearray()
    for size, pause in [*script * 4, *[(1 << 16, 0.0)] * 10000]:
        piece = sock.recv(min(size, length - len(got)))
        if not piece:
            break
        got += piece
        time.sleep(pause)
    return bytes(got)


def together(*calls: Callable[[], Any]) -> list[Any]:
    """Run these at once; their results."""
    results: list[Any] = [None] * len(calls)

    def run(at: int) -> None:
        try:
            results[at] = calls[at]()
        except BaseException as error:
            results[at] = error

    threads = [threading.Thread(target=run, args=(at,), daemon=True) for at in range(len(calls))]
    for each in threads:
        each.start()
    for each in threads:
        each.join(LIMIT)
    for each in results:
        if isinstance(each, BaseException):
            raise each
    return results


def flows(proxy: LiveProxy) -> int:
    """How many pipes it has made."""
    return proxy.engine.splicer.pipes.made


@pytest_twisted.ensureDeferred
async def test_tunnelsMoveAnyMixBothWays(network: Network) -> None:
    script: list[list[tuple[int, float]]] = []
    arrived: list[bytes] = []

    def serve(connection: socket.socket) -> None:
        readHead(connection)
        connection.sendall(SWITCH)
        up, _, reading = script
        arrived.extend(together(lambda: finish(connection, up), lambda: read(connection, reading)))

    def finish(sock: socket.socket, sending: list[tuple[int, float]]) -> bytes:
        sent = send(sock, sending)
        sock.shutdown(socket.SHUT_WR)
        return sent

    with Server(serve) as server:
        proxy = await network.proxy(server.url)

        @given(steps, steps, steps)
        @settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
        def mix(up: list[tuple[int, float]], down: list[tuple[int, float]], reading: list[tuple[int, float]]) -> None:
            script[:], arrived[:] = [up, down, reading], []
            with connect(proxy.address.port) as client:
                client.sendall(ASK)
                head, rest = readHead(client)
                assert b" 101 " in head
                got, sent = together(lambda: read(client, reading), lambda: finish(client, down))
            wait = time.monotonic() + LIMIT
            while len(arrived) < 2 and not server.errors and time.monotonic() < wait:
                time.sleep(0.001)
            assert NOISE[:rest] + got == arrived[0]
            assert arrived[1] == sent

        await deferToThread(mix)
        await proxy.quiet()
        assert not server.errors
        assert flows(proxy), "nothing was spliced"


async def stuffed(network: Network, stopped: str, **options: Any) -> tuple[Tunnel, Peer, Peer]:
    """A tunnel in which nothing moves, because one side does not read what the other one sends."""
    tunnel = await tunnelled(network, **options)
    one, other = (tunnel.client, tunnel.server) if stopped == "client" else (tunnel.server, tunnel.client)
    one.pause()
    pouring = other.pour(PIECE, COUNT)
    await network.until(lambda: flows(tunnel.proxy), "nothing is spliced")
    await settled(reactor, lambda: pouring.poured, quiet=0.03)
    assert not pouring.done
    return tunnel, one, other


@pytest.mark.parametrize("stopped", ["client", "server"])
@pytest.mark.parametrize("killed", ["reader", "sender"])
@pytest_twisted.ensureDeferred
async def test_aResetOfOneSideResetsTheOther(network: Network, stopped: str, killed: str) -> None:
    tunnel, one, other = await stuffed(network, stopped)
    if killed == "reader":
        one.abort()
        assert (await other.gone()).check(ConnectionLost)
    else:
        other.abort()
        one.resume()
        assert (await one.gone()).check(ConnectionLost)
    await tunnel.proxy.quiet()


@pytest.mark.parametrize("stopped", ["client", "server"])
@pytest_twisted.ensureDeferred
async def test_whatOneSideSentBeforeItClosedArrives(network: Network, stopped: str) -> None:
    tunnel, one, other = await stuffed(network, stopped)
    one.resume()
    await one.until(lambda: one.total >= len(PIECE) * COUNT)
    other.write(b"last words")
    other.close()
    assert await one.readToEnd() == PIECE * COUNT + b"last words"
    one.write(b"x" * 10)
    one.close()
    await tunnel.proxy.quiet()


@pytest_twisted.ensureDeferred
async def test_bytesAreCounted(network: Network) -> None:
    records: list[Any] = []

    class Log:
        def log(self, exchange: Any) -> None:
            records.append(exchange)

    tunnel = await tunnelled(network, accessLogs=[Log()])
    tunnel.server.pour(PIECE, 40)
    await tunnel.client.until(lambda: tunnel.client.total >= 40 << 16)
    assert flows(tunnel.proxy)
    tunnel.client.close()
    tunnel.server.close()
    await tunnel.proxy.quiet()
    assert [each.bytesOut for each in records] == [40 << 16]


@pytest_twisted.ensureDeferred
async def test_aTunnelInWhichNothingMovesIsClosed(network: Network, hurried: object) -> None:
    tunnel, one, other = await stuffed(network, "client", clock=hurried, tunnelIdleTimeout=3.0)
    await other.gone()
    one.resume()
    await one.gone()
    await tunnel.proxy.quiet()


@pytest_twisted.ensureDeferred
async def test_itCanBeTurnedOff(network: Network) -> None:
    tunnel = await tunnelled(network, splice=False)
    tunnel.server.pour(PIECE, 40)
    await tunnel.client.until(lambda: tunnel.client.total >= 40 << 16)
    assert not flows(tunnel.proxy)


@pytest_twisted.ensureDeferred
async def test_withoutAnyPipeThereAreBuffers(network: Network) -> None:
    tunnel = await tunnelled(network)
    tunnel.proxy.engine.splicer.pipes._most = 0
    tunnel.server.pour(PIECE, 40)
    await tunnel.client.until(lambda: tunnel.client.total >= 40 << 16)
    assert bytes(tunnel.client.received) == PIECE * 40
    assert not flows(tunnel.proxy)
