"""The same upstream for the same key, and few keys that move when an upstream comes or goes.

Every upstream has points on a ring, C{crc32(replica number + key of the upstream)}; a request goes to the
first point at or after C{crc32(its key)}. An upstream that is down is passed over, so that only its own keys
move.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from zlib import crc32

from zope.interface import implementer

from twistproxy.balancers.randomchoice import RandomChoice
from twistproxy.interfaces import IBalancer
from twistproxy.messages import InboundRequest, Outcome, Upstream
from twistproxy.suggest import didYouMean

Key = Callable[[InboundRequest], bytes | None]
"""Gives the key of a request; None when it has none."""


@implementer(IBalancer)
class ConsistentHash:
    """Pick the same upstream for the same key; requests without a key go anywhere."""

    ignoresOutcomes = True

    def __init__(self, key: str = "client", replicas: int = 160) -> None:
        """
        @param key: C{client} for the client's address, C{header:NAME}, C{cookie:NAME}, C{query:NAME} or
            C{path}.
        @param replicas: points of an upstream of weight 1 on the ring; more spread keys more evenly.
        """
        if replicas < 1:
            raise ValueError("replicas is 1 or more")
        self._key = keyFrom(key)
        self._replicas = replicas
        self._anywhere = RandomChoice()
        self._points: list[int] = []
        self._owners: list[Upstream] = []

    def pick(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Upstream | None:
        """The owner of the key's point on the ring."""
        if not candidates:
            return None
        key = self._key(request)
        if not key:
            return self._anywhere.choose(candidates)
        start = bisect_left(self._points, crc32(key))
        owners = self._owners
        for i in range(start, start + len(owners)):
            owner = owners[i % len(owners)]
            if owner in candidates:
                return owner
        return self._anywhere.choose(candidates)

    def report(self, upstream: Upstream, outcome: Outcome) -> None:
        """Nothing is learnt."""

    def upstreamsChanged(self, upstreams: Sequence[Upstream]) -> None:
        """Make a new ring."""
        ring: dict[int, Upstream] = {}
        for upstream in upstreams:
            for replica in range(self._replicas * upstream.weight):
                # Where two points fall together the first stays, whatever the order: keys must not move for it.
                point = crc32(f"{replica}{upstream.key}".encode())
                other = ring.get(point)
                if other is None or upstream.key < other.key:
                    ring[point] = upstream
        self._points = sorted(ring)
        self._owners = [ring[point] for point in self._points]


def keyFrom(text: str) -> Key:
    """What makes the key of a request, from the text of the option.

    @raise ValueError: with a sentence for the person who wrote it.
    """
    kind, _, name = text.partition(":")
    if kind in _NAMELESS and not name:
        return _NAMELESS[kind]
    if kind in _NAMED and name:
        return _NAMED[kind](name.encode())
    if kind in _NAMED:
        raise ValueError(f"key: {kind} needs a name, as in {kind}\\:NAME")
    known = ", ".join([*_NAMELESS, *(f"{each}:NAME" for each in _NAMED)])
    raise ValueError(f"key: {text!r} is none of {known}{didYouMean(kind, [*_NAMELESS, *_NAMED])}")


def _client(request: InboundRequest) -> bytes | None:
    return request.client.host.encode()


def _path(request: InboundRequest) -> bytes | None:
    return request.path


def _header(name: bytes) -> Key:
    def key(request: InboundRequest) -> bytes | None:
        value: bytes | None = request.headers.get(name)
        return value

    return key


def _cookie(name: bytes) -> Key:
    def key(request: InboundRequest) -> bytes | None:
        for line in request.headers.getRawHeaders(b"cookie", ()):
            for pair in line.split(b";"):
                found, _, value = pair.strip().partition(b"=")
                if found == name:
                    return bytes(value)
        return None

    return key


def _query(name: bytes) -> Key:
    def key(request: InboundRequest) -> bytes | None:
        for pair in (request.query or b"").split(b"&"):
            found, _, value = pair.partition(b"=")
            if found == name:
                return value
        return None

    return key


_NAMELESS = {"client": _client, "path": _path}
_NAMED = {"header": _header, "cookie": _cookie, "query": _query}
