"""Who of a pool may be asked: tiers of priority, backups, and what to do when nearly everybody is down. Pure.

Balancers never see any of it: they pick among L{Candidates}, all of one tier.

    1. The members of the lowest C{priority} (a number in their metadata; 0 without one) that has anyone who is up, as with
       the priorities of SRV records (RFC 2782). Members of the next tier come in when all of these were tried, or are down.
    2. Backups are the last tier, whatever their priority: as nginx's C{backup}.
    3. When fewer members than the panic threshold says are up, checks are not believed any more: everybody is asked but
       those that were taken out by hand. Envoy's panic mode, and as there the alternative is to drown the few that are left.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from twistproxy.messages import Upstream

UP: Final = "up"
"""The state of an upstream that gets requests."""

WITHDRAWN: Final = ("drain", "maintenance")
"""How the states begin in which somebody took an upstream out, whom panic does not overrule."""


class Candidates(tuple[Upstream, ...]):
    """An immutable sequence of upstreams with a fast C{in}; balancers may cache by its identity."""

    members: frozenset[Upstream]

    def __new__(cls, upstreams: Iterable[Upstream]) -> Candidates:
        """Of these, in this order."""
        made = super().__new__(cls, upstreams)
        made.members = frozenset(made)
        return made

    def __contains__(self, upstream: object) -> bool:
        return upstream in self.members


NOBODY: Final = Candidates(())


class Tiers:
    """Who may be asked, and in which order of tiers.

    @ivar first: for a request that asked nobody yet.
    @ivar isPanic: whether checks are not believed, since too few are up.
    """

    def __init__(self, members: Sequence[Upstream], panicThreshold: float = 0.0) -> None:
        """
        @param members: in the order of the configuration, as they are now.
        @param panicThreshold: a percentage; when fewer members than that are up there is panic. 0: never.
        """
        askable = [each for each in members if each.state == UP]
        self.isPanic = False
        if panicThreshold and len(askable) < len(members):
            willing = [each for each in members if not each.state.startswith(WITHDRAWN)]
            if len(askable) * 100 < panicThreshold * len(willing):
                askable, self.isPanic = willing, True
        tiers: dict[tuple[bool, int], list[Upstream]] = {}
        for each in askable:
            tiers.setdefault(tierOf(each), []).append(each)
        self._tiers = [Candidates(tiers[rank]) for rank in sorted(tiers)]
        self.first = self._tiers[0] if self._tiers else NOBODY

    def without(self, tried: Sequence[Upstream]) -> Candidates:
        """Who may still be asked: members of the first tier that were not tried, else of the next, and so on."""
        for tier in self._tiers:
            left = [each for each in tier if each not in tried]
            if left:
                return tier if len(left) == len(tier) else Candidates(left)
        return NOBODY


def tierOf(upstream: Upstream) -> tuple[bool, int]:
    """A rank: the smaller is asked first."""
    priority = upstream.metadata.get("priority", 0) if upstream.metadata else 0
    return upstream.backup, priority if isinstance(priority, int) else 0
