"""One upstream after the other."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from twistproxy.interfaces import IBalancer
from twistproxy.messages import InboundRequest, Outcome, Upstream


@implementer(IBalancer)
class RoundRobin:
    """Pick one upstream after the other; weights do not matter.

    It counts picks and takes what is left after a division by the number of candidates, so that an upstream
    that is down leaves its share to all others and not to its neighbour alone.
    """

    __slots__ = ("_picks",)

    ignoresOutcomes = True

    def __init__(self) -> None:
        self._picks = -1

    def pick(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Upstream | None:
        """The next."""
        if not candidates:
            return None
        self._picks += 1
        return candidates[self._picks % len(candidates)]

    def report(self, upstream: Upstream, outcome: Outcome) -> None:
        """Nothing is learnt."""

    def upstreamsChanged(self, upstreams: Sequence[Upstream]) -> None:
        """Nothing is kept of them."""
