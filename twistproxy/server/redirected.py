"""Where a connection went before the kernel redirected it to us: Linux's C{SO_ORIGINAL_DST}."""

from __future__ import annotations

import socket
import struct
from typing import Any, Final

from twistproxy.messages import Destination

_SO_ORIGINAL_DST: Final = 80
"""Of C{linux/netfilter_ipv4.h}, and C{IP6T_SO_ORIGINAL_DST} of C{netfilter_ipv6/ip6_tables.h}."""

_LEVELS: Final = {socket.AF_INET: (socket.SOL_IP, 16), socket.AF_INET6: (socket.IPPROTO_IPV6, 28)}


def parseAddress(raw: bytes) -> tuple[str, int] | None:
    """Host and port of a C{sockaddr_in} or C{sockaddr_in6}; None for another family."""
    family = int.from_bytes(raw[:2], _BYTE_ORDER)
    port = int(struct.unpack_from("!H", raw, 2)[0])
    if family == socket.AF_INET and len(raw) >= 8:
        return socket.inet_ntop(socket.AF_INET, raw[4:8]), port
    if family == socket.AF_INET6 and len(raw) >= 24:
        return socket.inet_ntop(socket.AF_INET6, raw[8:24]).removeprefix("::ffff:"), port
    return None


_BYTE_ORDER: Final = "little" if struct.pack("=H", 1) == b"\x01\x00" else "big"


def originalDestination(transport: Any) -> Destination | None:
    """Where the client of a transport wanted to connect to; None when that was here, so that nothing was redirected."""
    transport = getattr(transport, "transport", transport)  # TLS has the connection below it
    host = transport.getHost()
    try:
        handle = transport.getHandle()
        level, size = _LEVELS[handle.family]
        if handle.family == socket.AF_INET6 and "." in getattr(host, "host", ""):
            level, size = _LEVELS[socket.AF_INET]  # IPv4 on a socket for both
        found = parseAddress(handle.getsockopt(level, _SO_ORIGINAL_DST, size))
    except (AttributeError, KeyError, OSError, TypeError, struct.error):
        return None  # no socket, another family, or a kernel that redirected nothing
    if found is None or found == (host.host.partition("%")[0].removeprefix("::ffff:"), host.port):
        return None
    return Destination("http", *found)
