"""The less busy of two: nearly as good as the least busy of all, at a cost that does not grow.

Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing" (1996).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zope.interface import implementer

from twistproxy.balancers.draws import Draws
from twistproxy.interfaces import IExplainingBalancer
from twistproxy.messages import InboundRequest, Outcome, Upstream


@implementer(IExplainingBalancer)
class PowerOfTwoChoices:
    """Draw two different upstreams by weight, and pick the one with fewer exchanges under way for its weight.

    The two are always different: of two upstreams the busier never gets a pick. Equals go by the order of the draw, which is
    random.
    """

    __slots__ = ("_draws",)

    ignoresOutcomes = True

    def __init__(self, seed: int | None = None) -> None:
        """
        @param seed: makes the draws repeatable, for tests.
        """
        self._draws = Draws(seed)

    def pick(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Upstream | None:
        """The better of the two."""
        if not candidates:
            return None
        one, other = self._draws.two(candidates)
        # Fractions compared without dividing: a weight may be zero.
        return other if other.inFlight * (one.weight or 1) < one.inFlight * (other.weight or 1) else one

    def scores(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Mapping[Upstream, float]:
        """Exchanges under way for each unit of weight: the fewer the better."""
        return {each: each.inFlight / (each.weight or 1) for each in candidates}

    def report(self, upstream: Upstream, outcome: Outcome) -> None:
        """Nothing is learnt: upstreams count what is under way themselves."""

    def upstreamsChanged(self, upstreams: Sequence[Upstream]) -> None:
        """Nothing is kept of them."""
