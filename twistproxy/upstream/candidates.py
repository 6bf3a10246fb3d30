"""Who of a pool may be asked: tiers of priority, backups, and what to do when nearly everybody is down. Pure.

Balancers never see any of it: they pick among L{Candidates}, all of one tier.

    1. The members of the lowest C{priority} (a number in their metadata; 0 without one) that has anyone who is up, as with
       the priorities of SRV records (RFC 2782). Members of the next tier come in when all of these were tried, or are down.
    2. Backups are the last tier, whatever their priority: as nginx's C{backup}.
    3. Those that the traffic showed to fail come behind all others: better they than nobody.
    4. When fewer members than the panic threshold says are up, checks are not believed any more: everybody is asked but
       those that were taken out by hand. Envoy's panic mode, and as there the alternative is to drown the few that are left.

What counts is the first word of an upstream's state, which L{twistproxy.upstream.standing.TABLE} gives it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Final

from twistproxy.messages import Upstream

UP: Final = "up"
"""The state of an upstream that gets requests."""

WITHDRAWN: Final = ("drain", "maintenance")
"""How the states begin in which somebody took an upstream out, whom panic does not overrule."""

TRIAL: Final = "trial"
"""The state of an upstream that gets one request, to see how it fares."""

EJECTED: Final = "ejected"
"""The state of one that failed too often."""

DRAINING: Final = "draining"
"""The state of one that takes the requests of its sessions only."""


class Candidates(tuple[Upstream, ...]):
    """An immutable sequence of upstreams with a fast C{in}; balancers may cache by its identity.

    @ivar members: the same as a set.
    @ivar draining: upstreams that a balancer may pick as well, for requests of sessions that they have.
    """

    members: frozenset[Upstream]
    draining: frozenset[Upstream]

    def __new__(cls, upstreams: Iterable[Upstream], draining: Iterable[Upstream] = ()) -> Candidates:
        """Of these, in this order."""
        made = super().__new__(cls, upstreams)
        made.members = frozenset(made)
        made.draining = frozenset(draining)
        return made

    def __contains__(self, upstream: object) -> bool:
        return upstream in self.members

    def mayBePicked(self, upstream: object) -> bool:
        """Whether it is one of these, or draining."""
        return upstream in self.members or upstream in self.draining


NOBODY: Final = Candidates(())


class Tiers:
    """Who may be asked, and in which order of tiers.

    @ivar first: for a request that asked nobody yet.
    @ivar isPanic: whether checks are not believed, since too few are up.
    """

    def __init__(
        self, members: Sequence[Upstream], panicThreshold: float = 0.0, tried: Collection[Upstream] = frozenset()
    ) -> None:
        """
        @param members: in the order of the configuration, as they are now.
        @param panicThreshold: a percentage; when fewer members than that are up there is panic. 0: never.
        @param tried: those whose trial is under way; they are asked for others when nobody else is left, as the ejected are.
        """
        others = [(each, each.state.partition(":")[0]) for each in members if each.state != UP]
        ejected = [each for each, state in others if state == EJECTED or (state == TRIAL and each in tried)]
        trials = {each for each, state in others if state == TRIAL}.difference(tried)
        askable = [each for each in members if each.state == UP or each in trials]
        self._draining = frozenset(each for each, state in others if state == DRAINING)
        self.isPanic = False
        if panicThreshold and len(askable) < len(members):
            willing = [each for each in members if not each.state.startswith(WITHDRAWN)]
            if len(askable) * 100 < panicThreshold * len(willing):
                askable, ejected, self.isPanic = willing, [], True
        self._tiers = [Candidates(each, self._draining) for each in (*_ranked(askable), *_ranked(ejected))]
        self.first = self._tiers[0] if self._tiers else Candidates((), self._draining) if self._draining else NOBODY

    def without(self, tried: Collection[Upstream]) -> Candidates:
        """Who may still be asked: members of the first tier that were not tried, else of the next, and so on."""
        draining = self._draining.difference(tried)
        for tier in self._tiers:
            left = [each for each in tier if each not in tried]
            if left:
                return tier if len(left) == len(tier) and draining == tier.draining else Candidates(left, draining)
        return NOBODY


def _ranked(upstreams: Iterable[Upstream]) -> list[list[Upstream]]:
    tiers: dict[tuple[bool, int], list[Upstream]] = {}
    for each in upstreams:
        tiers.setdefault(tierOf(each), []).append(each)
    return [tiers[rank] for rank in sorted(tiers)]


def tierOf(upstream: Upstream) -> tuple[bool, int]:
    """A rank: the smaller is asked first."""
    priority = upstream.metadata.get("priority", 0) if upstream.metadata else 0
    return upstream.backup, priority if isinstance(priority, int) else 0
