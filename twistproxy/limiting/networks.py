"""What of an address stands for a client."""

from __future__ import annotations

from functools import lru_cache
from ipaddress import IPv6Address


@lru_cache(maxsize=4096)
def clientNetwork(host: str) -> bytes:
    """An IPv4 address, or the /64 network of an IPv6 address: each customer has at least that (RFC 6177)."""
    if ":" not in host:
        return host.encode()
    return IPv6Address(host.partition("%")[0]).packed[:8]
