"""Bodies of any size over plain sockets, generated and counted but never stored, and where their bytes are meanwhile."""

from __future__ import annotations

import select
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

BLOCK = memoryview(bytes(range(256)) * 4096)
"""A mebibyte."""

LIMIT = 60.0


def readHead(sock: socket.socket) -> tuple[bytes, int]:
    """A head without its blank line, and how many bytes behind it came with it."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = sock.recv(65536)
        assert piece, data
        data += piece
    head, _, rest = data.partition(b"\r\n\r\n")
    return head, len(rest)


def feed(sock: socket.socket, size: int, chunked: bool = False) -> None:
    """Send C{size} bytes, in chunks of 64 KiB where asked for."""
    if not chunked:
        while size:
            size -= sock.send(BLOCK[: min(size, len(BLOCK))])
        return
    piece = b"10000\r\n" + bytes(BLOCK[:65536]) + b"\r\n"
    assert size % 65536 == 0
    for _ in range(size // 65536):
        sock.sendall(piece)
    sock.sendall(b"0\r\n\r\n")


def drain(sock: socket.socket, size: int) -> None:
    """Receive so many bytes."""
    buffer = bytearray(1 << 20)
    while size:
        count = sock.recv_into(buffer, min(size, len(buffer)))
        assert count, f"{size} bytes are missing"
        size -= count


def drainChunks(sock: socket.socket) -> int:
    """Receive a chunked body; how much data it had."""
    stream = sock.makefile("rb", 1 << 20)
    total = 0
    while size := int(stream.readline(), 16):
        total += size
        left = size + 2
        while left:
            piece = stream.read(min(left, 1 << 20))
            assert piece, "the body breaks off"
            left -= len(piece)
    assert stream.readline() == b"\r\n"
    return total


class Stuffing:
    """Sends to somebody who does not read, until nothing more is taken.

    @ivar sent: bytes that the kernel took, those before included.
    """

    def __init__(self, sock: socket.socket, before: int) -> None:
        self.sock = sock
        self.sent = before
        sock.setblocking(False)

    def stuff(self) -> bool:
        """Send what is taken now; whether it was anything."""
        before = self.sent
        try:
            while True:
                self.sent += self.sock.send(BLOCK)
        except BlockingIOError:
            return self.sent != before


def stuffAll(each: list[Stuffing], quiet: float = 1.0) -> None:
    """Until none takes anything for C{quiet} seconds."""
    deadline = time.monotonic() + quiet
    while time.monotonic() < deadline:
        if any([one.stuff() for one in each]):
            deadline = time.monotonic() + quiet
        select.select([], [one.sock for one in each], [], 0.05)


class Queues:
    """What is in the kernel's buffers of every IPv4 connection now, from C{/proc/net/tcp}."""

    def __init__(self) -> None:
        self._queues: dict[tuple[str, str], tuple[int, int]] = {}
        for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
            _, local, remote, _, queues, *_ = line.split()
            sending, _, receiving = queues.partition(":")
            self._queues[local, remote] = int(sending, 16), int(receiving, 16)

    @staticmethod
    def _shown(address: Any) -> str:
        host, port = address
        return f"{int.from_bytes(socket.inet_aton(host), 'little'):08X}:{port:04X}"

    def behind(self, sock: socket.socket) -> int:
        """Bytes sent on a socket that the process at its other end did not read yet, kept by either kernel buffer."""
        local, remote = self._shown(sock.getsockname()), self._shown(sock.getpeername())
        return self._queues[local, remote][0] + self._queues[remote, local][1]

    def before(self, sock: socket.socket) -> int:
        """The same for what was sent to a socket and not yet read from it."""
        local, remote = self._shown(sock.getsockname()), self._shown(sock.getpeername())
        return self._queues[remote, local][0] + self._queues[local, remote][1]


class Server:
    """Serves each connection with a thread of its own.

    @ivar port: where it listens, on 127.0.0.1.
    @ivar errors: what went wrong in its threads.
    """

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self.errors: list[BaseException] = []
        self._connections: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def use(self, serve: Callable[[socket.socket], None]) -> None:
        """Serve in another manner from now on; connections that are open are closed, and a proxy has noticed that."""
        self._serve = serve
        if self._connections:
            self._close()
            time.sleep(0.05)

    def _close(self) -> None:
        connections, self._connections = self._connections, []
        for each in connections:
            try:
                each.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass  # the other side was faster
            each.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(LIMIT)
            self._connections.append(connection)
            threading.Thread(target=self._run, args=(connection,), daemon=True).start()

    def _run(self, connection: socket.socket) -> None:
        try:
            self._serve(connection)
        except BaseException as error:
            self.errors.append(error)


def connect(port: int) -> socket.socket:
    """A client's socket."""
    return socket.create_connection(("127.0.0.1", port), timeout=LIMIT)
