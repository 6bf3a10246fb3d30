"""The same upstream for the same key, by the highest score: rendezvous hashing, without a ring.

Thaler and Ravishankar, "Using Name-Based Mappings to Increase Hit Rates" (1998); for weights, Schindelhauer and Schomaker,
"Weighted Distributed Hash Tables" (2005): the score of an upstream is its weight by the negative logarithm of a number
between 0 and 1 that key and upstream make together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from math import log
from typing import Final

from zope.interface import implementer

from twistproxy.balancers.randomchoice import RandomChoice
from twistproxy.interfaces import IExplainingBalancer
from twistproxy.keys import keyFrom
from twistproxy.messages import InboundRequest, Outcome, Upstream

_MASK: Final = (1 << 64) - 1
_UNIT: Final = 2.0**52


def hash64(data: bytes) -> int:
    """64 bits of C{data} that are the same on every machine and in every version of Python."""
    return int.from_bytes(blake2b(data, digest_size=8).digest(), "big")


def mix(one: int, other: int) -> int:
    """64 bits of two hashes: their sum through the finaliser of SplitMix64."""
    mixed = (one + other) & _MASK
    mixed = (mixed ^ mixed >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    mixed = (mixed ^ mixed >> 27) * 0x94D049BB133111EB & _MASK
    return mixed ^ mixed >> 31


@implementer(IExplainingBalancer)
class Rendezvous:
    """Pick the same upstream for the same key, by the highest of scores; requests without a key go anywhere.

    Shares are exact by weight, where those of a ring are uneven by some percent; only the keys of an upstream that comes or
    goes move. Each pick makes a score for every candidate: for up to about a hundred upstreams.
    """

    ignoresOutcomes = True

    def __init__(self, key: str = "client") -> None:
        """
        @param key: C{client} for the client's address without its port, C{header:NAME}, C{cookie:NAME}, C{query:NAME},
            C{path}, C{target} (path and query) or C{host}.
        """
        self._key = keyFrom(key)
        self._anywhere = RandomChoice()
        self._candidates: Sequence[Upstream] = ()
        self._hashes: list[tuple[int, Upstream]] = []
        self._isEven = True

    def pick(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Upstream | None:
        """The one with the highest score."""
        if not candidates:
            return None
        key = self._key(request)
        if not key:
            return self._anywhere.pick(request, candidates)
        if candidates is not self._candidates:
            self._prepare(candidates)
        value = hash64(key)
        if self._isEven:  # without weights the logarithm changes nothing about the order
            return max([(mix(value, other), other, each) for other, each in self._hashes])[2]
        return max([(_score(mix(value, other), each.weight), other, each) for other, each in self._hashes])[2]

    def scores(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Mapping[Upstream, float]:
        """The scores for the request's key: the highest wins. None for a request without one."""
        key = self._key(request)
        if not key:
            return {}
        value = hash64(key)
        return {each: _score(mix(value, hash64(_name(each))), each.weight) for each in candidates}

    def _prepare(self, candidates: Sequence[Upstream]) -> None:
        self._candidates = candidates
        self._hashes = [(hash64(_name(each)), each) for each in candidates]
        self._isEven = len({each.weight for each in candidates}) == 1

    def report(self, upstream: Upstream, outcome: Outcome) -> None:
        """Nothing is learnt."""

    def upstreamsChanged(self, upstreams: Sequence[Upstream]) -> None:
        """Nothing is kept of them."""
        self._candidates = ()


def _name(upstream: Upstream) -> bytes:
    return upstream.key.encode(errors="surrogateescape")


def _score(mixed: int, weight: int) -> float:
    """Higher for a higher weight, on average in proportion."""
    return weight / -log(((mixed >> 12) + 0.5) / _UNIT)
