"""Pairs of connected stream sockets in memory: the kernel's share of a connection.

A L{MemorySocket} has the methods of C{socket.socket} that Twisted's own TCP transport calls, so the transport
above it is the real one and only the kernel is imitated. What is imitated is Linux on the loopback interface:
a bounded receive queue for each direction, end of file, resets, and where a UNIX socket differs from TCP.
There is no time and no scheduling here.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from errno import ECONNRESET, ENOTCONN, EOPNOTSUPP, EPIPE, EWOULDBLOCK
from os import strerror
from socket import IPPROTO_TCP, MSG_PEEK, SHUT_WR, SO_LINGER, SOL_SOCKET
from typing import Any

from twisted.internet.address import IPv6Address, UNIXAddress

from twistproxy.testing.addresses import Address

_TCP_INFO = 11  # Linux's; other systems have no such name
_NO_LINGER = struct.pack("ii", 1, 0)


class MemorySocket:
    """One end of a connection in memory.

    Errors are the C{OSError}s of Linux: C{EWOULDBLOCK} when there is nothing to read or no room,
    C{ECONNRESET} and C{EPIPE} after a reset.
    """

    peer: MemorySocket
    """The other end."""

    unread: bytearray
    """What has arrived at this end and was not read: the receive queue, at most C{capacity} bytes."""

    sent: int
    """The bytes taken by C{send} so far."""

    received: int
    """The bytes given by C{recv} so far."""

    isShut: bool
    """Whether C{shutdown} was called on this end."""

    closed: bool
    """Whether C{close} was called on this end."""

    def __init__(
        self,
        local: Address,
        remote: Address,
        capacity: int,
        segment: Callable[[], int | None],
        resetDropsUnread: Callable[[], bool],
    ) -> None:
        """
        @param capacity: the bytes that this end holds unread before its peer cannot send more.
        @param segment: tells how many bytes the next C{recv} may return at most; L{None} for no limit.
        @param resetDropsUnread: tells whether a reset discards what has arrived and was not read.
        """
        self.local = local
        self.remote = remote
        self.capacity = capacity
        self.peer = self
        self.unread = bytearray()
        self.sent = 0
        self.received = 0
        self.isShut = False
        self.closed = False
        self._segment = segment
        self._resetDropsUnread = resetDropsUnread
        self._isUNIX = isinstance(remote, UNIXAddress)
        self._options: dict[tuple[int, int], int | bytes] = {}
        self._writingShut = False
        self._readingShut = False
        self._ended = False
        self._reset = False
        self._error = 0

    # What the kernel tells a poll.

    @property
    def readable(self) -> bool:
        """Whether C{recv} would return or raise something other than C{EWOULDBLOCK}: C{EPOLLIN}."""
        return bool(self.unread or self._ended or self._readingShut or self._reset or self._error)

    @property
    def writable(self) -> bool:
        """Whether a writer would be woken: C{EPOLLOUT}. Linux waits until a third of the buffer is free."""
        if self._writingShut or self._reset or self._error or self.peer.closed:
            return True
        free = self.peer.capacity - len(self.peer.unread)
        return 0 < free >= len(self.peer.unread) / 2

    @property
    def hungUp(self) -> bool:
        """Whether a poll would tell of a hang-up or an error even if nobody asked: C{EPOLLHUP} or
        C{EPOLLERR}."""
        bothShut = self._writingShut and (self._ended or self._readingShut)
        return bothShut or self._reset or bool(self._error)

    # The methods of socket.socket.

    def send(self, data: bytes | memoryview) -> int:
        """Hand as much of C{data} to the peer's queue as there is room for, and return how much."""
        if not self._isUNIX:
            self._raiseError()
        if self._writingShut or self._reset:
            raise _error(EPIPE)
        if self.peer.closed:
            # The kernel takes the bytes, and the answer of a host that no longer knows the connection is a
            # reset.
            self._receiveReset()
            self.sent += len(data)
            return len(data)
        count = min(len(data), self.peer.capacity - len(self.peer.unread))
        if count <= 0:
            raise _error(EWOULDBLOCK)
        self.peer.unread += data[:count]
        self.sent += count
        return count

    def recv(self, size: int, flags: int = 0) -> bytes:
        """Take up to C{size} bytes, or one segment if that is less; C{b""} at the end.

        @param flags: C{MSG_PEEK}, or none.
        """
        if self.unread:
            if flags & MSG_PEEK:
                return bytes(self.unread[:size])
            limit = self._segment()
            count = size if limit is None else min(size, limit)
            data = bytes(self.unread[:count])
            del self.unread[:count]
            self.received += len(data)
            return data
        if self._isUNIX:
            self._raiseError()
        if self._ended or self._readingShut:
            return b""
        self._raiseError()
        if self._reset:
            return b""
        raise _error(EWOULDBLOCK)

    def shutdown(self, how: int) -> None:
        """Close the writing half (C{SHUT_WR}) or both halves (C{SHUT_RDWR}); the peer reads an end of
        file."""
        self.isShut = True
        isOver = not self._isUNIX and self._writingShut and self._ended
        if isOver or self._reset or self.closed:
            raise _error(ENOTCONN)
        self._shutWriting()
        if how != SHUT_WR:
            self._readingShut = True
            if self._isUNIX:
                self.peer._writingShut = True

    def close(self) -> None:
        """Close both halves at once.

        A reset instead of an end of file goes to the peer of a TCP socket that lingers for no time or was not
        read to the end; the peer of a UNIX socket learns of unread bytes only.
        """
        if self.closed:
            return
        self.closed = True
        unread = bool(self.unread)
        self.unread.clear()
        if self._isUNIX:
            self._shutWriting()
            self.peer._writingShut = True
            if unread and not self.peer.closed:
                self.peer._error = ECONNRESET
        elif unread or self._options.get((SOL_SOCKET, SO_LINGER)) == _NO_LINGER:
            self.peer._receiveReset()
        else:
            self._shutWriting()

    def reset(self) -> None:
        """Close, and let the peer's end report a reset, as a kernel does for a connection that nobody
        accepted."""
        self._options[SOL_SOCKET, SO_LINGER] = _NO_LINGER
        self.close()
        if self._isUNIX:
            self.peer._error = ECONNRESET

    def setsockopt(self, level: int, name: int, value: int | bytes) -> None:
        """Keep an option; only a linger of no time has an effect."""
        self._options[level, name] = value

    def getsockopt(self, level: int, name: int, size: int = 0) -> int | bytes:
        """The value that was set, or 0; of C{TCP_INFO} what counts the acknowledged bytes, here those that the peer has read."""
        if (level, name) == (IPPROTO_TCP, _TCP_INFO):
            if self._isUNIX:
                raise OSError(EOPNOTSUPP, strerror(EOPNOTSUPP))
            return struct.pack("=120xQ", self.peer.received)[:size]
        return self._options.get((level, name), 0)

    def setblocking(self, flag: bool) -> None:
        """Do nothing: no method of this class waits."""

    def fileno(self) -> int:
        """Always -1: there is no file descriptor, so C{os.splice} and C{os.sendfile} cannot be used."""
        return -1

    def getsockname(self) -> Any:
        """The address of this end, in the form of C{socket.getsockname}."""
        return _socketName(self.local)

    def getpeername(self) -> Any:
        """The address of the other end, in the form of C{socket.getpeername}."""
        return _socketName(self.remote)

    def _shutWriting(self) -> None:
        self._writingShut = True
        if not self.peer.closed and not self.peer._reset:
            self.peer._ended = True

    def _receiveReset(self) -> None:
        if self.closed or self._reset or (self._ended and self._writingShut):
            return
        self._reset = True
        self._error = EPIPE if self._ended else ECONNRESET
        if self._resetDropsUnread():
            self.unread.clear()

    def _raiseError(self) -> None:
        if self._error:
            number, self._error = self._error, 0
            raise _error(number)


def socketPair(
    client: Address,
    server: Address,
    capacity: int,
    segment: Callable[[], int | None],
    resetDropsUnread: Callable[[], bool],
) -> tuple[MemorySocket, MemorySocket]:
    """Two connected sockets, the client's and the server's; the parameters are those of L{MemorySocket}."""
    ours = MemorySocket(client, server, capacity, segment, resetDropsUnread)
    theirs = MemorySocket(server, client, capacity, segment, resetDropsUnread)
    ours.peer, theirs.peer = theirs, ours
    return ours, theirs


def _error(number: int) -> OSError:
    return OSError(number, strerror(number))


def _socketName(address: Address) -> Any:
    if isinstance(address, UNIXAddress):
        return address.name or b""
    if isinstance(address, IPv6Address):
        return (address.host, address.port, address.flowInfo, address.scopeID)
    return (address.host, address.port)
