"""Any upstream, in proportion to the weights."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from random import Random

from zope.interface import implementer

from twistproxy.interfaces import IBalancer
from twistproxy.messages import InboundRequest, Outcome, Upstream


@implementer(IBalancer)
class RandomChoice:
    """Pick at random, each upstream as often as its weight says."""

    __slots__ = ("_candidates", "_random", "_sums")

    ignoresOutcomes = True

    def __init__(self, seed: int | None = None) -> None:
        """
        @param seed: makes the picks repeatable, for tests.
        """
        self._random = Random(seed).random
        self._candidates: Sequence[Upstream] = ()
        self._sums: list[int] = []

    def pick(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Upstream | None:
        """Any of them."""
        return self.choose(candidates)

    def choose(self, candidates: Sequence[Upstream]) -> Upstream | None:
        """Any of them, for other balancers that are at a loss."""
        if candidates is not self._candidates:
            self._candidates = candidates
            self._sums = list(accumulate(each.weight for each in candidates))
        if not candidates:
            return None
        total = self._sums[-1]
        if not total:  # all weights are zero: then none is heavier than another
            return candidates[int(self._random() * len(candidates))]
        return candidates[bisect_right(self._sums, int(self._random() * total))]

    def report(self, upstream: Upstream, outcome: Outcome) -> None:
        """Nothing is learnt."""

    def upstreamsChanged(self, upstreams: Sequence[Upstream]) -> None:
        """Nothing is kept of them."""
