"""One upstream after the other."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from twistproxy.interfaces import IBalancer
from twistproxy.messages import InboundRequest, Outcome, Upstream


@implementer(IBalancer)
class RoundRobin:
    """Pick one upstream after the other; weights do not matter.

    There is a turn for each number of candidates: second tries, which have one candidate fewer, take turns of their own.
    So an upstream that is down leaves its share to all others, be it left out or found to be down each time; with one turn
    for all, second tries would use up the turns of whoever comes after it.
    """

    __slots__ = ("_turns",)

    ignoresOutcomes = True

    def __init__(self) -> None:
        self._turns: dict[int, int] = {}

    def pick(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Upstream | None:
        """The next."""
        count = len(candidates)
        if not count:
            return None
        turn = self._turns.get(count, 0)
        self._turns[count] = turn + 1 if turn + 1 < count else 0
        return candidates[turn]

    def report(self, upstream: Upstream, outcome: Outcome) -> None:
        """Nothing is learnt."""

    def upstreamsChanged(self, upstreams: Sequence[Upstream]) -> None:
        """Forget turns of numbers that there cannot be any more."""
        self._turns = {count: turn for count, turn in self._turns.items() if count <= len(upstreams)}
