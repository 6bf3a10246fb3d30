"""The upstream with the fewest exchanges under way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from zope.interface import implementer

from twistproxy.interfaces import IExplainingBalancer
from twistproxy.messages import InboundRequest, Outcome, Upstream


@implementer(IExplainingBalancer)
class LeastConnections:
    """Pick the upstream with the fewest exchanges under way, tunnels included, in proportion to its weight.

    Equals take turns, by weight and evenly spread: when nothing is under way this is weighted round robin, and never the
    first one only. A pick looks at all candidates; with thousands of them C{power-of-two-choices} is cheaper.
    """

    ignoresOutcomes = True

    def __init__(self) -> None:
        self._candidates: Sequence[Upstream] = ()
        self._isEven = True
        self._next: dict[int, int] = {}  # for each number of candidates: second tries take turns of their own
        self._turns: dict[str, int] = {}

    def pick(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Upstream | None:
        """The least busy; of several, the one whose turn it is."""
        if not candidates:
            return None
        if candidates is not self._candidates:
            self._candidates = candidates
            self._isEven = len({each.weight for each in candidates}) == 1
        if self._isEven:
            counts = [each.inFlight for each in candidates]
            return self._afterLast(candidates, counts, min(counts))
        # Weight 0 is no share at all: only where nobody has any it is as good as another, and that case is even.
        loads = [each.inFlight / each.weight if each.weight else float("inf") for each in candidates]
        least = min(loads)
        return self._inTurn([each for each, load in zip(candidates, loads, strict=True) if load == least])

    def scores(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Mapping[Upstream, float]:
        """Exchanges under way for each unit of weight: the fewer the better."""
        return {each: each.inFlight / (each.weight or 1) for each in candidates}

    def _afterLast(self, candidates: Sequence[Upstream], counts: list[int], least: int) -> Upstream:
        """The next with the least, after the one that was picked last."""
        count = len(counts)
        try:
            at = counts.index(least, self._next.get(count, 0))
        except ValueError:
            at = counts.index(least)
        self._next[count] = at + 1
        return candidates[at]

    def _inTurn(self, equals: Sequence[Upstream]) -> Upstream:
        """Smooth weighted round robin among those that are equally busy, as in nginx's least_conn."""
        if len(equals) == 1:
            return equals[0]
        turns = self._turns
        best, highest, total = equals[0], None, 0
        for upstream in equals:
            total += upstream.weight
            turns[upstream.key] = turn = turns.get(upstream.key, 0) + upstream.weight
            if highest is None or turn > highest:
                best, highest = upstream, turn
        turns[best.key] -= total
        return best

    def report(self, upstream: Upstream, outcome: Outcome) -> None:
        """Nothing is learnt: upstreams count what is under way themselves."""

    def upstreamsChanged(self, upstreams: Sequence[Upstream]) -> None:
        """Forget those that left."""
        known = {each.key for each in upstreams}
        self._turns = {key: turn for key, turn in self._turns.items() if key in known}
        self._next = {count: at for count, at in self._next.items() if count <= len(upstreams)}
        self._candidates = ()
