"""What the kernel knows about a connection that our own buffers do not show."""

from __future__ import annotations

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
