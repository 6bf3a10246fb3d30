"""By what limits tell requests apart."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from ipaddress import IPv6Address

from twistproxy.keys import Key, keyFrom
from twistproxy.loader.building import loadName
from twistproxy.messages import InboundRequest


def limitKey(text: str) -> Callable[[InboundRequest], bytes]:
    """What makes the key by which requests are limited: that of L{keyFrom}, C{route} for one and the same, or a function.

    @raise ValueError: with a sentence for the person who wrote it.
    """
    if text == "route":
        return lambda request: b"route"
    if text == "client":
        return lambda request: clientNetwork(request.client.host)
    if "." in text and ":" not in text:
        key: Key = loadName(text)
    else:
        key = keyFrom(text)

    def keyOf(request: InboundRequest) -> bytes:
        value = key(request)
        return b"=" + value if value else clientNetwork(request.client.host)

    return keyOf


@lru_cache(maxsize=4096)
def clientNetwork(host: str) -> bytes:
    """An IPv4 address, or the /64 network of an IPv6 address: each customer has at least that (RFC 6177)."""
    if ":" not in host:
        return host.encode()
    return IPv6Address(host.partition("%")[0]).packed[:8]
