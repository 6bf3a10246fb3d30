"""By what limits tell requests apart."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import blake2b
from typing import Final

from twistproxy.keys import Key, keyFrom
from twistproxy.limiting.networks import clientNetwork
from twistproxy.loader.building import loadName
from twistproxy.messages import InboundRequest

_LONGEST: Final = 64
"""Bytes of a value that is remembered as it is; a hash stands for a longer one, for clients may send long ones without end."""


def limitKey(text: str) -> Callable[[InboundRequest], bytes]:
    """What makes the key by which requests are limited: that of L{keyFrom}, C{route} for one and the same, C{connection}, or
    a function.

    @raise ValueError: with a sentence for the person who wrote it.
    """
    if text == "route":
        return lambda request: b"route"
    if text == "client":
        return lambda request: clientNetwork(request.client.host)
    if text == "connection":
        return lambda request: request.connectionKey
    if "." in text and ":" not in text:
        key: Key = loadName(text)
    else:
        key = keyFrom(text, "route", "connection")

    def keyOf(request: InboundRequest) -> bytes:
        value = key(request)
        if not value:
            return clientNetwork(request.client.host)
        return b"=" + value if len(value) <= _LONGEST else b"#" + blake2b(value, digest_size=16).digest()

    return keyOf
