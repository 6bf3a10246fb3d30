"""The same upstream for the same key, and few keys that move when an upstream comes or goes: a ring of hash values."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from typing import Final, Literal
from zlib import crc32

from zope.interface import implementer

from twistproxy.balancers.boundedload import LoadBound
from twistproxy.balancers.randomchoice import RandomChoice
from twistproxy.balancers.rings import Points, Ring, ketamaPoints, replicaPoints, shareOut
from twistproxy.interfaces import IBalancer
from twistproxy.keys import keyFrom
from twistproxy.messages import InboundRequest, Outcome, Upstream

_POINTS: Final[dict[str, Points]] = {"ketama": ketamaPoints, "crc32": replicaPoints}
_FEW: Final = 4
"""With fewer than a quarter of the upstreams left, the ring of all would have long gaps: then they get one of their own."""


@implementer(IBalancer)
class ConsistentHash:
    """Pick the same upstream for the same key; requests without a key go anywhere.

    Every upstream has points on a ring, in proportion to its weight; a request goes to the first point at or after the
    CRC-32 of its key. An upstream that is down is passed over, so that only its own keys move. With the ring C{ketama} every
    key goes where nginx's C{hash KEY consistent} sends it, for the same servers and weights.
    """

    def __init__(
        self,
        key: str = "client",
        replicas: int = 160,
        ring: Literal["ketama", "crc32"] = "ketama",
        loadFactor: int = 0,
    ) -> None:
        """
        @param key: C{client} for the client's address without its port, C{header:NAME}, C{cookie:NAME}, C{query:NAME},
            C{path}, C{target} (path and query) or C{host}.
        @param replicas: points on the ring for each unit of weight; more spread keys more evenly.
        @param ring: where the points are: C{ketama} as in nginx; C{crc32} of replica number and upstream, as in textbooks.
        @param loadFactor: an upstream that has so many percent of its fair share of what is under way is passed over, as by
            HAProxy's hash-balance-factor; 125 to 200 is usual. 0: no bound.
        """
        if replicas < 1:
            raise ValueError("replicas is 1 or more")
        if loadFactor and loadFactor < 100:
            raise ValueError("load-factor is 100 (percent) or more, or 0 for no bound")
        self._key = keyFrom(key)
        self._replicas = replicas
        self._make = _POINTS[ring]
        self._bound = LoadBound(loadFactor) if loadFactor else None
        self.ignoresOutcomes = not loadFactor
        self._anywhere = RandomChoice()
        self._points: dict[Upstream, array[int]] = {}
        self._ring = Ring({})
        self._few: Sequence[Upstream] = ()
        self._fewRing = self._ring

    def pick(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Upstream | None:
        """The owner of the key's point on the ring, or the next one that may be asked."""
        if not candidates:
            return None
        key = self._key(request)
        ring = self._ring
        if len(candidates) * _FEW < len(ring.owners):
            ring = self._ringOf(candidates)
        picked: Upstream | None = None
        if key and len(ring):
            value = crc32(key)
            if self._bound is None:
                picked = ring.first(value)
                if picked not in candidates:
                    picked = next((each for each in ring.walk(value) if each in candidates), None)
            else:
                picked = self._withSlots(ring, value, self._bound, candidates)
        if picked is None:
            picked = self._anywhere.pick(request, candidates)
        if self._bound is not None and picked is not None:
            self._bound.began(picked)
        return picked

    def _withSlots(self, ring: Ring, value: int, bound: LoadBound, candidates: Sequence[Upstream]) -> Upstream | None:
        """The first that has a slot left; where none has, the first."""
        bound.among(candidates)
        home: Upstream | None = None
        for each in ring.walk(value):
            if each in candidates:
                if not bound.isFull(each):
                    return each
                home = home or each
        return home

    def _ringOf(self, candidates: Sequence[Upstream]) -> Ring:
        if candidates is not self._few:
            self._few = candidates
            self._fewRing = Ring({each: self._points[each] for each in candidates if each in self._points})
        return self._fewRing

    def report(self, upstream: Upstream, outcome: Outcome) -> None:
        """One fewer is under way there."""
        if self._bound is not None:
            self._bound.ended(upstream)

    def upstreamsChanged(self, upstreams: Sequence[Upstream]) -> None:
        """Make a new ring, if there are others or other weights."""
        points = shareOut(upstreams, self._replicas, self._make, self._points)
        if points != self._points:
            self._points = points
            self._ring = Ring(points)
        self._few = ()
