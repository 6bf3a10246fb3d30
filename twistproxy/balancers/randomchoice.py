"""Any upstream, in proportion to the weights."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from twistproxy.balancers.draws import Draws
from twistproxy.interfaces import IBalancer
from twistproxy.messages import InboundRequest, Outcome, Upstream


@implementer(IBalancer)
class RandomChoice:
    """Pick at random, each upstream as often as its weight says."""

    __slots__ = ("_draws",)

    ignoresOutcomes = True

    def __init__(self, seed: int | None = None) -> None:
        """
        @param seed: makes the picks repeatable, for tests.
        """
        self._draws = Draws(seed)

    def pick(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Upstream | None:
        """Any of them."""
        return self._draws.one(candidates) if candidates else None

    def report(self, upstream: Upstream, outcome: Outcome) -> None:
        """Nothing is learnt."""

    def upstreamsChanged(self, upstreams: Sequence[Upstream]) -> None:
        """Nothing is kept of them."""
