"""What is asked of every TCP connection, of clients and to upstreams alike."""

from __future__ import annotations

import socket
import sys
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from twisted.internet.interfaces import ITCPTransport


def tune(transport: Any, keepAlive: float) -> None:
    """Have nothing wait for Nagle, and have the kernel ask whether a silent peer is still there. Others are left alone.

    @param keepAlive: seconds of silence before the first probe, and between two; 0: none.
    """
    port = getattr(transport, "server", None)
    if port is not None and _inherits(port, transport.sessionno, keepAlive):
        return
    if not ITCPTransport.providedBy(transport):
        return
    transport.setTcpNoDelay(True)
    if not keepAlive:
        return
    transport.setTcpKeepAlive(True)
    try:
        below: Any = getattr(transport, "transport", transport)  # TLS has the connection below it
        setProbes(below.getHandle(), keepAlive)
    except (AttributeError, OSError):
        pass  # no socket of its own, or another system's: then it is the system's interval


def hasInput(transport: Any) -> bool:
    """Whether bytes, an end or an error wait in a connection's socket that the reactor has not told yet. A system call.

    Where the transport shows no socket that can be asked, the answer is no.
    """
    below: Any = getattr(transport, "transport", transport)
    try:
        below.getHandle().recv(1, socket.MSG_PEEK)
    except (BlockingIOError, AttributeError):
        return False
    except OSError:
        pass
    return True


class _Inheritance(NamedTuple):
    """What the connections of a port have from it.

    @ivar first: number of the first one that has.
    """

    keepAlive: float
    first: int


_inheritances: Final[WeakKeyDictionary[Any, _Inheritance]] = WeakKeyDictionary()


def _inherits(port: Any, number: int, keepAlive: float) -> bool:
    """Whether a connection needs nothing of L{tune}, because the kernel gave it what its port has, as Linux does: four
    system calls fewer for each.

    @param port: of Twisted's, or L{twistproxy.reactor}'s, that accepted it.
    @param number: the connection's C{sessionno}. Those that may have been in the port's queue before it had these options,
        don't have them.
    """
    known = _inheritances.get(port)
    if known is None or known.keepAlive != keepAlive:
        first = sys.maxsize
        if sys.platform == "linux":
            try:
                _give(port.socket, keepAlive)
                first = int(port.sessionno) + (port.backlog or socket.SOMAXCONN) + 1
            except (AttributeError, OSError):
                pass  # no TCP, or no socket
        _inheritances[port] = known = _Inheritance(keepAlive, first)
    return number >= known.first


def _give(listening: socket.socket, keepAlive: float) -> None:
    listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, True)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, bool(keepAlive))
    if keepAlive:
        setProbes(listening, keepAlive)


def setProbes(handle: socket.socket, keepAlive: float) -> None:
    """Have a socket's kernel probe a silent peer.

    @param keepAlive: see L{tune}; not 0.
    @raise OSError: it cannot.
    """
    seconds = max(1, round(keepAlive))
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds)
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, seconds)
