"""
The in-memory sockets against the kernel's, call by call: any calls, in any order, on both ends of a connection.

Sends are small, so that the sizes of the kernel's buffers do not matter.
"""

from __future__ import annotations

import contextlib
import fcntl
import select
import socket
import struct
import sys
import termios
import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address, UNIXAddress

from twistproxy.testing.sockets import MemorySocket, socketPair

NO_LINGER = struct.pack("ii", 1, 0)
DATA = b"ab"
CALLS = ["send", "recv", "finish", "close", "abort"]

steps = st.lists(st.tuples(st.integers(0, 1), st.sampled_from(CALLS)), max_size=12)


def kernelPair(family: int) -> tuple[socket.socket, socket.socket]:
    """Two connected sockets of the kernel."""
    if family == socket.AF_UNIX:
        return socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        return client, accepted


def memoryPair(family: int) -> tuple[MemorySocket, MemorySocket]:
    """Two connected sockets in memory."""
    address: Any = UNIXAddress("/run/x") if family == socket.AF_UNIX else IPv4Address("TCP", "127.0.0.1", 80)
    return socketPair(address, address, 65536, lambda: None, lambda: False)


def call(end: Any, name: str) -> object:
    """What a call gives: a value, or the number of the error."""
    try:
        if name == "send":
            return end.send(DATA)
        if name == "recv":
            return end.recv(3)
        if name == "finish":
            return end.shutdown(socket.SHUT_WR)
        if name == "abort":
            end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, NO_LINGER)
            return end.close()
        # As Twisted closes: both halves first.
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        return end.close()
    except OSError as error:
        return error.errno


def polled(end: Any) -> tuple[bool, bool, bool]:
    """What a poll tells of C{end}: readable, writable, hung up or in error."""
    if isinstance(end, MemorySocket):
        return end.readable, end.writable, end.hungUp
    poll = select.poll()
    poll.register(end, select.POLLIN | select.POLLOUT)
    flags = dict(poll.poll(0)).get(end.fileno(), 0)
    return bool(flags & select.POLLIN), bool(flags & select.POLLOUT), bool(flags & (select.POLLHUP | select.POLLERR))


def arrived(end: Any, count: int) -> bool:
    """Whether so many bytes can be read from one of the kernel's sockets."""
    unread = bytearray(4)
    fcntl.ioctl(end, termios.FIONREAD, unread)
    return int.from_bytes(unread, sys.byteorder) >= count


def story(pair: tuple[Any, Any], calls: list[tuple[int, str]]) -> list[object]:
    """What happens, call by call; a closed end is left alone, as by a transport."""
    told: list[object] = []
    isOpen = [True, True]
    unread = [0, 0]
    for end in pair:
        end.setblocking(False)
    try:
        for index, name in calls:
            if not isOpen[index]:
                continue
            result = call(pair[index], name)
            told.append((index, name, result))
            isOpen[index] = name not in ("close", "abort")
            if name == "send" and result == len(DATA) and isOpen[1 - index]:
                unread[1 - index] += len(DATA)
                # A busy kernel may deliver a moment later, even to itself.
                patience = 20
                while not isinstance(pair[0], MemorySocket) and not arrived(pair[1 - index], unread[1 - index]) and patience:
                    time.sleep(0.0005)
                    patience -= 1
            elif isinstance(result, bytes):
                unread[index] -= len(result)
            told.append([polled(end) for end, alive in zip(pair, isOpen, strict=True) if alive])
    finally:
        for end in pair:
            end.close()
    return told


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_UNIX], ids=["tcp", "unix"])
def test_theyTellTheSameStory(family: int) -> None:
    # A function of its own, for pytest-twisted runs the ones with C{given} in its reactor.
    @settings(max_examples=1000, deadline=None)
    @given(calls=steps)
    def check(calls: list[tuple[int, str]]) -> None:
        assert story(memoryPair(family), calls) == story(kernelPair(family), calls)

    check()
