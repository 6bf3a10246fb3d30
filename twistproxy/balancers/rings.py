"""Rings of hash values: every upstream has points on it, and a key belongs to the first point at or after its own. Pure."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Final
from zlib import crc32

from twistproxy.messages import Upstream

MOST_POINTS: Final = 1 << 19
"""Points on one ring, 8 bytes each. Where weights and replicas would make more, all upstreams get fewer in proportion."""

_PORT: Final = re.compile(r"(.*):([0-9]*)\Z", re.DOTALL)
_LOW: Final = 0xFFFFFFFF

Points = Callable[[Upstream, int], "array[int]"]
"""Makes so many points of an upstream."""


def ketamaPoints(upstream: Upstream, count: int) -> array[int]:
    """The points that nginx's C{hash ... consistent} and Cache::Memcached::Fast give a server of this address.

    Each is the CRC-32 of host, a zero byte, port and the point before. Host and port are what the URL says; one
    without a port has none in the hash, as in nginx.
    """
    base = crc32(serverName(upstream))
    points = array("I", bytes(4 * count))
    point = 0
    for at in range(count):
        points[at] = point = crc32(point.to_bytes(4, "little"), base)
    return points


def serverName(upstream: Upstream) -> bytes:
    """What a ring in the way of nginx knows an upstream by: C{host NUL port}, for a socket C{path NUL}.

    A base path, which nginx's servers don't have, follows, so that upstreams that differ in nothing else differ.
    """
    location = upstream.location
    tail = location.basePath.strip(b"/") + (b"" if location.baseQuery is None else b"?" + location.baseQuery)
    if location.socketPath:
        return location.socketPath.encode(errors="surrogateescape") + b"\0" + tail
    authority = re.split(r"[/?]", upstream.url.partition("://")[2], maxsplit=1)[0].lower()
    found = _PORT.match(authority)
    host, port = found.groups() if found else (authority, "")
    return host.encode() + b"\0" + port.encode() + tail


def replicaPoints(upstream: Upstream, count: int) -> array[int]:
    """The points of the textbook's ring: the CRC-32 of replica number and address."""
    key = upstream.key
    return array("I", [crc32(f"{replica}{key}".encode()) for replica in range(count)])


class Ring:
    """Points in their order, and whose they are.

    @ivar owners: all upstreams that have points.
    """

    __slots__ = ("_points", "owners")

    def __init__(self, shares: Mapping[Upstream, array[int]]) -> None:
        """
        @param shares: the points of each.
        """
        # By key, and the order of equal points with it: a ring is the same in whatever order upstreams are named.
        self.owners: Sequence[Upstream] = sorted((each for each in shares if shares[each]), key=lambda each: each.key)
        self._points = array("Q", sorted([point << 32 | at for at, each in enumerate(self.owners) for point in shares[each]]))

    def __len__(self) -> int:
        return len(self._points)

    def first(self, value: int) -> Upstream:
        """The owner of the first point at or after C{value}, which is less than 2**32. There are points."""
        points = self._points
        at = bisect_left(points, value << 32)
        return self.owners[points[at if at < len(points) else 0] & _LOW]

    def walk(self, value: int) -> Iterator[Upstream]:
        """Each owner once, in the order in which the ring comes by them from C{value} on."""
        points, owners = self._points, self.owners
        start = bisect_left(points, value << 32)
        seen: set[int] = set()
        for at in chain(range(start, len(points)), range(start)):
            owner = points[at] & _LOW
            if owner not in seen:
                seen.add(owner)
                yield owners[owner]
                if len(seen) == len(owners):
                    return


def shareOut(
    upstreams: Iterable[Upstream], replicas: int, make: Points, known: Mapping[Upstream, array[int]]
) -> dict[Upstream, array[int]]:
    """The points of each upstream, in order, as many for each unit of its weight as C{replicas} says.

    @param known: points that were made before; kept where their number is right.
    """
    members = list(upstreams)
    total = replicas * sum(each.weight for each in members)
    made: dict[Upstream, array[int]] = {}
    for each in members:
        count = replicas * each.weight
        if total > MOST_POINTS and count:
            count = max(1, count * MOST_POINTS // total)
        before = known.get(each)
        # In order, since sorting runs that are sorted takes a third of the time: a ring is made again for each that comes.
        made[each] = before if before is not None and len(before) == count else array("I", sorted(make(each, count)))
    return made
