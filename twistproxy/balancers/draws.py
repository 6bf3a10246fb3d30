"""Two distinct upstreams at random, each as likely as its weight says: what the balancers of two choices begin with."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from random import Random

from twistproxy.messages import Upstream


class Draws:
    """Draws from candidates; what it works out about them is kept as long as they are the same object."""

    __slots__ = ("_candidates", "_isEven", "_random", "_sums")

    def __init__(self, seed: int | None = None) -> None:
        """@param seed: makes the draws repeatable, for tests."""
        self._random = Random(seed).random
        self._candidates: Sequence[Upstream] = ()
        self._isEven = True
        self._sums: list[int] = []

    def _prepare(self, candidates: Sequence[Upstream]) -> None:
        self._candidates = candidates
        self._isEven = len({each.weight for each in candidates}) == 1
        self._sums = [] if self._isEven else list(accumulate(each.weight for each in candidates))

    def one(self, candidates: Sequence[Upstream]) -> Upstream:
        """One of them, by weight; of equal weights, zero too, all are as likely. There is at least one."""
        if candidates is not self._candidates:
            self._prepare(candidates)
        if self._isEven:
            return candidates[int(self._random() * len(candidates))]
        return candidates[bisect_right(self._sums, int(self._random() * self._sums[-1]))]

    def two(self, candidates: Sequence[Upstream]) -> tuple[Upstream, Upstream]:
        """Two different ones; the first is drawn as by L{one}. Where only one has any weight, it is both."""
        if candidates is not self._candidates:
            self._prepare(candidates)
        count = len(candidates)
        if count == 1:
            return candidates[0], candidates[0]
        random = self._random
        if self._isEven:
            first = int(random() * count)
            second = int(random() * (count - 1))
            return candidates[first], candidates[second + (second >= first)]
        sums = self._sums
        first = bisect_right(sums, int(random() * sums[-1]))
        below = sums[first - 1] if first else 0
        weight = sums[first] - below
        rest = sums[-1] - weight
        if not rest:
            return candidates[first], candidates[first]
        # A number among the weights of the others: those above the first's own are moved up by it.
        at = int(random() * rest)
        return candidates[first], candidates[bisect_right(sums, at + weight if at >= below else at)]
