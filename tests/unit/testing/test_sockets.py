"""
Tests for the in-memory sockets by themselves.

tests/integration/test_memory_sockets.py compares them with the kernel's.
"""

from __future__ import annotations

from errno import ECONNRESET, ENOTCONN, EPIPE, EWOULDBLOCK
from socket import SHUT_WR, SO_KEEPALIVE, SOL_SOCKET

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.testing import Address, MemorySocket
from twistproxy.testing.sockets import socketPair

HERE = IPv4Address("TCP", "127.0.0.1", 50000)
THERE = IPv4Address("TCP", "127.0.0.1", 80)


def pair(client: Address = HERE, server: Address = THERE) -> tuple[MemorySocket, MemorySocket]:
    return socketPair(client, server, 9, lambda: 4, lambda: False)


class TestSockets(SynchronousTestCase):
    def assertFails(self, number: int, function: object, *args: object) -> None:
        self.assertEqual(self.assertRaises(OSError, function, *args).errno, number)

    def test_bytesUpToTheCapacityAndInSegments(self) -> None:
        ours, theirs = pair()
        self.assertEqual(ours.send(memoryview(b"abcdefghijkl")), 9)
        self.assertFails(EWOULDBLOCK, ours.send, b"jkl")
        self.assertEqual([theirs.recv(3), theirs.recv(9), theirs.recv(9)], [b"abc", b"defg", b"hi"])
        self.assertFails(EWOULDBLOCK, theirs.recv, 9)
        self.assertEqual((ours.sent, theirs.received, ours.received), (9, 9, 0))

    def test_aWriterIsWokenWhenAThirdIsFree(self) -> None:
        ours, theirs = pair()
        ours.send(b"abcdefghi")
        woken = []
        for _ in range(4):
            woken.append(ours.writable)
            theirs.recv(1)
        self.assertEqual(woken, [False, False, False, True])

    def test_resetAfterTheData(self) -> None:
        ours, theirs = pair()
        ours.send(b"a")
        ours.reset()
        ours.close()
        self.assertEqual((theirs.recv(9), theirs.hungUp), (b"a", True))
        self.assertFails(ECONNRESET, theirs.recv, 9)
        self.assertEqual(theirs.recv(9), b"")
        self.assertFails(EPIPE, theirs.send, b"x")
        self.assertFails(ENOTCONN, theirs.shutdown, SHUT_WR)

    def test_names(self) -> None:
        for client, server, names in [
            (HERE, THERE, [("127.0.0.1", 50000), ("127.0.0.1", 80)]),
            (UNIXAddress(None), UNIXAddress("/run/x"), [b"", b"/run/x"]),
            (IPv6Address("TCP", "::1", 5), IPv6Address("TCP", "::1", 6), [("::1", 5, 0, 0), ("::1", 6, 0, 0)]),
        ]:
            ours, theirs = pair(client, server)
            self.assertEqual([ours.getsockname(), ours.getpeername()], names)
            self.assertEqual([theirs.getpeername(), theirs.getsockname()], names)

    def test_options(self) -> None:
        ours, _ = pair()
        self.assertEqual(ours.getsockopt(SOL_SOCKET, SO_KEEPALIVE), 0)
        ours.setsockopt(SOL_SOCKET, SO_KEEPALIVE, 1)
        self.assertEqual(ours.getsockopt(SOL_SOCKET, SO_KEEPALIVE), 1)
