"""What is asked of every TCP connection, of clients and to upstreams alike."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.interfaces import ITCPTransport


def tune(transport: Any, keepAlive: float) -> None:
    """Have nothing wait for Nagle, and have the kernel ask whether a silent peer is still there. Others are left alone.

    @param keepAlive: seconds of silence before the first probe, and between two; 0: none.
    """
    if not ITCPTransport.providedBy(transport):
        return
    inherits = getattr(getattr(transport, "server", None), "inherits", None)  # of a port of twistproxy.reactor
    if inherits is not None and inherits(getattr(transport, "sessionno", 0), keepAlive):
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


def setProbes(handle: socket.socket, keepAlive: float) -> None:
    """Have a socket's kernel probe a silent peer.

    @param keepAlive: see L{tune}; not 0.
    @raise OSError: it cannot.
    """
    seconds = max(1, round(keepAlive))
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, seconds)
    handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, seconds)
