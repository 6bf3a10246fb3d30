"""In turn, as often as the weights say and evenly spread: nginx's smooth weighted round robin.

Each pick adds to every candidate's current weight its effective one; the largest wins and pays the sum.
Weights 5, 1 and 1 give C{aabacaa}, not C{aaaaabc}. A failure lowers the effective weight by one, each pick
raises it again, so that an upstream in trouble gets less without being shut out.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from zope.interface import implementer

from twistproxy.errors import ALL_KINDS, Fault
from twistproxy.interfaces import IBalancer
from twistproxy.messages import InboundRequest, Outcome, Upstream

_FAILURES: Final = frozenset(each.reason for each in ALL_KINDS if each.fault is Fault.UPSTREAM)


class _Share:
    """The account of one upstream."""

    __slots__ = ("current", "effective", "weight")

    def __init__(self, weight: int) -> None:
        self.weight = self.effective = weight
        self.current = 0


@implementer(IBalancer)
class WeightedRoundRobin:
    """Pick in turn, each upstream as often as its weight says, spread evenly; fewer picks after failures."""

    def __init__(self) -> None:
        self._shares: dict[str, _Share] = {}
        self._candidates: Sequence[Upstream] = ()
        self._taking: list[tuple[_Share, Upstream]] = []

    def pick(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Upstream | None:
        """The one whose turn it is."""
        if candidates is not self._candidates:
            self._taking = [(self._shareOf(each), each) for each in candidates]
            self._candidates = candidates
        total = 0
        best: _Share | None = None
        picked: Upstream | None = None
        for share, upstream in self._taking:
            effective = share.effective
            share.current += effective
            total += effective
            if effective < share.weight:
                share.effective = effective + 1
            if best is None or share.current > best.current:
                best, picked = share, upstream
        if best is not None:
            best.current -= total
        return picked

    def _shareOf(self, upstream: Upstream) -> _Share:
        share = self._shares.get(upstream.key)
        if share is None or share.weight != upstream.weight:
            share = self._shares[upstream.key] = _Share(upstream.weight)
        return share

    def report(self, upstream: Upstream, outcome: Outcome) -> None:
        """Take one off the effective weight for a failure of the upstream's own."""
        if outcome.error in _FAILURES:
            share = self._shares.get(upstream.key)
            if share is not None and share.effective > 0:
                share.effective -= 1

    def upstreamsChanged(self, upstreams: Sequence[Upstream]) -> None:
        """Forget those that left; those that stay keep their accounts."""
        known = {each.key for each in upstreams}
        self._shares = {key: share for key, share in self._shares.items() if key in known}
        self._candidates, self._taking = (), []
