"""Shares of the requests for several pools."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import TYPE_CHECKING

from zope.interface import implementer

from twistproxy.interfaces import IDirector
from twistproxy.keys import keyFrom
from twistproxy.messages import InboundRequest, OutboundRequest
from twistproxy.text.suggest import didYouMean

if TYPE_CHECKING:
    from twistproxy.config import BuildContext


@implementer(IDirector)
class Split:
    """Split the requests over pools, each as many as its weight says: split:blue=9:green=1, or in a file
    { use = "split", blue = 9, green = 1 }.

    Without a key the shares are exact and evenly spread, as in smooth weighted round robin. With one, the same key
    always gets the same pool, and when a weight grows, no key leaves that pool but to one beside it.

    @param key: what a pool is chosen by: client for the client's address, header:NAME, cookie:NAME, query:NAME or path;
        within a plugin string cookie\\:NAME. Requests without it are shared out one by one.
    @param pools: a pool, and its weight.
    """

    def __init__(self, context: BuildContext | None = None, /, *, key: str = "", **pools: int) -> None:
        """@raise ValueError: when a pool is not there, or a weight no weight."""
        checkPools(context, pools)
        if any(weight < 0 for weight in pools.values()):
            raise ValueError("a weight is not negative")
        self._total = sum(pools.values())
        if not self._total:
            raise ValueError("needs pools with weights, as in split:blue=9:green=1")
        self._pools = [(name, weight) for name, weight in pools.items() if weight]
        self._current = [0] * len(self._pools)
        self._key = keyFrom(key) if key else None

    def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> str:
        """The pool whose share this request is."""
        key = self._key(inbound) if self._key is not None else None
        return self._next() if not key else self._of(key)

    def _next(self) -> str:
        current = self._current
        for at, (_, weight) in enumerate(self._pools):
            current[at] += weight
        best = current.index(max(current))
        current[best] -= self._total
        return self._pools[best][0]

    def _of(self, key: bytes) -> str:
        # Not crc32: the pool's own balancer may hash the same key by that, and would see the keys of one share only.
        left = int.from_bytes(blake2b(key, digest_size=8).digest()) * self._total >> 64
        for name, weight in self._pools:
            left -= weight
            if left < 0:
                return name
        raise AssertionError("a digest of 8 bytes has 64 bits")


def checkPools(context: BuildContext | None, names: Iterable[str]) -> None:
    """Look whether the configuration has these pools.

    @param context: None in a program, which knows its pools itself.
    @raise ValueError: when one is not there.
    """
    if context is not None:
        for name in names:
            if name not in context.pools:
                raise ValueError(f"there is no pool {name!r}{didYouMean(name, context.pools)}")
