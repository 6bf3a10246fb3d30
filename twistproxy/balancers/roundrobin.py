"""Round robin: each in its turn."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from twistproxy.interfaces import IBalancer
from twistproxy.messages import InboundRequest, Outcome, Upstream


@implementer(IBalancer)
class RoundRobin:
    """In the order of the configuration, wrapping."""

    def __init__(self) -> None:
        self._turn = -1

    def pick(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Upstream | None:
        """The next."""
        self._turn += 1
        return candidates[self._turn % len(candidates)]

    def report(self, upstream: Upstream, outcome: Outcome) -> None:
        """Round robin learns nothing."""

    def upstreamsChanged(self, upstreams: Sequence[Upstream]) -> None:
        """The turn goes on."""
