"""What the kernel knows about a connection that our own buffers do not show."""

from __future__ import annotations

import select
import socket
import struct
from typing import Any, Final

_BYTES_ACKED: Final = 120
"""Where Linux's C{struct tcp_info} has C{tcpi_bytes_acked}, since 4.1."""


def ackedBytes(transport: Any) -> int | None:
    """How many bytes the peer of a TCP transport has acknowledged; None where that can't be known.

    A buffer in user space empties only when the kernel's is nearly empty too; a client that takes its answer slowly but
    steadily can look stuck for minutes from here.
    """
    try:
        handle = getattr(transport, "transport", transport).getHandle()  # TLS has the connection below it
        information = handle.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _BYTES_ACKED + 8)
        return int(struct.unpack_from("=Q", information, _BYTES_ACKED)[0])
    except (AttributeError, OSError, struct.error):
        return None


def hasLeft(transport: Any) -> bool:
    """Whether the peer of a transport has closed its half of the connection, or all of it, behind whatever was not read yet.

    Who does not read is told nothing of that. The kernel knows (C{POLLRDHUP} of poll(2), on Linux) as soon as the end has come
    in: not while the peer's system still has something to send first that we have no room for. Other systems tell of resets
    only. Where the transport shows no socket, the answer is no.
    """
    try:
        watch = select.poll()
        watch.register(getattr(transport, "transport", transport).getHandle(), getattr(select, "POLLRDHUP", 0))
        return bool(watch.poll(0))
    except (AttributeError, OSError, TypeError, ValueError):
        return False
