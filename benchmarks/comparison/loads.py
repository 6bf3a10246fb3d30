"""What is done to a proxy: requests by wrk, messages through upgraded connections, connections that are held idle.

All of it runs in this process or as its child, and so on the core that compare.py has pinned itself to.
"""

from __future__ import annotations

import asyncio
import re
import socket
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

MESSAGE = b"m" * 64
UPGRADE = (
    b"GET /ws HTTP/1.1\r\nHost: www.example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
IN_FLIGHT = 0.3
"""Seconds for the messages that are under way when the time is over."""


class LoadFailed(Exception):
    """A proxy did not do what was asked of it at all."""


@dataclass(frozen=True)
class Work:
    """What got done.

    @ivar amount: in the scenario's unit.
    @ivar remark: what a reader of the figure should know, such as errors.
    """

    amount: int
    remark: str = ""


def wrk(url: str, connections: int, seconds: int, headers: Sequence[tuple[str, str]] = (), script: Path | None = None) -> Work:
    """Requests as fast as they are answered.

    @return: how many were.
    @raise LoadFailed: when none was.
    """
    command = ["wrk", "--threads=1", f"--connections={connections}", f"--duration={seconds}s"]
    for name, value in headers:
        command += ["--header", f"{name}: {value}"]
    if script is not None:
        command += ["--script", str(script)]
    done = subprocess.run([*command, url], capture_output=True, text=True)
    found = re.search(r"(\d+) requests in", done.stdout)
    if found is None or found[1] == "0":
        raise LoadFailed(f"no answer at {url}: {done.stdout.strip()} {done.stderr.strip()}")
    return Work(int(found[1]), "; ".join(re.findall(r"Non-2xx.*|Socket errors.*", done.stdout)))


class _EchoClient(asyncio.Protocol):
    """Sends a message whenever the last one has come back."""

    def __init__(self, tally: _Tally) -> None:
        self._tally = tally
        self._head = b""
        self._missing = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(UPGRADE)

    def data_received(self, data: bytes) -> None:
        if self._missing:
            self._missing -= len(data)
            if not self._missing:
                self._tally.count += 1
                self._send()
            return
        self._head += data
        if b"\r\n\r\n" in self._head:
            if self._head.startswith(b"HTTP/1.1 101 "):
                self._send()
            else:
                self._tally.refused += 1
                self._transport.close()

    def _send(self) -> None:
        if not self._tally.isOver:
            self._missing = len(MESSAGE)
            self._transport.write(MESSAGE)


@dataclass
class _Tally:
    """What all clients have done."""

    count: int = 0
    refused: int = 0
    isOver: bool = False


async def _exchangeMessages(port: int, connections: int, seconds: float) -> _Tally:
    tally = _Tally()
    loop = asyncio.get_running_loop()
    made = [await loop.create_connection(lambda: _EchoClient(tally), "127.0.0.1", port) for _ in range(connections)]
    await asyncio.sleep(seconds)
    tally.isOver = True
    await asyncio.sleep(IN_FLIGHT)
    for transport, _ in made:
        transport.close()
    return tally


def messages(port: int, connections: int, seconds: float) -> Work:
    """Messages of 64 bytes through upgraded connections, the next one when the last has come back.

    @return: how many came back.
    @raise LoadFailed: when none did.
    """
    exchanging = _exchangeMessages(port, connections, seconds)
    try:
        import uvloop
    except ImportError:  # slower than some proxies, which then wake up for fewer messages at a time
        tally = asyncio.run(exchanging)
    else:
        tally = uvloop.run(exchanging)
    if not tally.count:
        raise LoadFailed(f"no message came back, {tally.refused} upgrades were refused")
    return Work(tally.count, f"{tally.refused} upgrades refused" if tally.refused else "")


def bulk(port: int, size: int) -> Work:
    """So many bytes through one upgraded connection, towards the client.

    @return: MiB that arrived.
    @raise LoadFailed: when the upgrade was refused.
    """
    with socket.create_connection(("127.0.0.1", port), 10) as client:
        client.settimeout(30)
        client.sendall(UPGRADE.replace(b"/ws", b"/bulk?%d" % size))
        received = b""
        while b"\r\n\r\n" not in received:
            piece = client.recv(65536)
            if not piece:
                break
            received += piece
        head, _, rest = received.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 101 "):
            raise LoadFailed(f"no upgrade: {head!r}")
        total, buffer = len(rest), bytearray(1 << 20)
        while count := client.recv_into(buffer):
            total += count
    return Work(total >> 20, "" if total == size else f"only {total} of {size} bytes arrived")


@contextmanager
def idleConnections(port: int, number: int) -> Iterator[None]:
    """Connections that have had one answer each, and are held open.

    @raise LoadFailed: when one closes too early.
    """
    with ExitStack() as held:
        for _ in range(number):
            client = held.enter_context(socket.create_connection(("127.0.0.1", port), 10))
            client.sendall(b"GET / HTTP/1.1\r\nHost: www.example.org\r\n\r\n")
            received = b""
            while not received.endswith(b"hello world\n"):
                data = client.recv(65536)
                if not data:
                    raise LoadFailed(f"a connection was closed after {received!r}")
                received += data
        yield
