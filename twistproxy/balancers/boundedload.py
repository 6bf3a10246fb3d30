"""Hashing with a bound on the load, so that a popular key cannot drown its upstream.

Mirrokni, Thorup and Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016), in the integers of HAProxy's
C{hash-balance-factor}: an upstream whose slots are taken is passed over, and the key goes to the next on the ring.
"""

from __future__ import annotations

from collections.abc import Sequence

from twistproxy.messages import Upstream


def slots(underWay: int, factor: int, weight: int, before: int, whole: int) -> int:
    """How many requests an upstream may have under way before the one at hand is passed on, at least 1.

    @param underWay: requests at all upstreams, without the one at hand.
    @param factor: percent of a fair share.
    @param weight: of the upstream.
    @param before: the weights of those before it, added up: so what the division leaves is given out whole.
    @param whole: all weights.
    """
    total = ((underWay + 1) * factor + 99) // 100
    each, rest = divmod(total, whole)
    return max(1, weight * each + (before + weight) * rest // whole - before * rest // whole)


class LoadBound:
    """Counts what one balancer has under way, and says who has no slot left."""

    def __init__(self, factor: int) -> None:
        """
        @param factor: percent of a fair share, 100 or more.
        """
        self._factor = factor
        self._underWay: dict[str, int] = {}
        self._total = 0
        self._candidates: Sequence[Upstream] = ()
        self._before: dict[Upstream, int] = {}
        self._whole = 0

    def among(self, candidates: Sequence[Upstream]) -> None:
        """These share the load of the next pick."""
        if candidates is self._candidates:
            return
        self._candidates = candidates
        self._before = {}
        self._whole = 0
        for each in candidates:
            self._before[each] = self._whole
            self._whole += each.weight

    def isFull(self, upstream: Upstream) -> bool:
        """Whether all its slots are taken."""
        if not self._whole:
            return False
        before = self._before[upstream]
        limit = slots(self._total, self._factor, upstream.weight, before, self._whole)
        return self._underWay.get(upstream.key, 0) >= limit

    def began(self, upstream: Upstream) -> None:
        """One more is under way there."""
        self._underWay[upstream.key] = self._underWay.get(upstream.key, 0) + 1
        self._total += 1

    def ended(self, upstream: Upstream) -> None:
        """One fewer."""
        left = self._underWay.get(upstream.key, 0) - 1
        if left >= 0:
            self._total -= 1
        if left > 0:
            self._underWay[upstream.key] = left
        else:
            self._underWay.pop(upstream.key, None)
