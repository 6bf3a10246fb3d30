"""A pool of upstreams as the configuration names it: its members, who of them may be asked now, and its balancer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from twisted.logger import Logger

from twistproxy.interfaces import IBalancer
from twistproxy.messages import Outcome, Upstream

_log = Logger(namespace="twistproxy.error")


UP: Final = "up"
"""The state of an upstream that gets requests."""


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


class UpstreamGroup:
    """The members of one pool.

    @ivar name: as configured; C{"default"} for the command line's.
    @ivar report: tells the balancer how an attempt ended; None when it says by C{ignoresOutcomes} that it would not listen.
    @ivar candidates: who may be asked for a request that asked nobody yet.
    """

    def __init__(self, name: str, balancer: IBalancer, upstreams: Sequence[Upstream] = ()) -> None:
        self.name = name
        self.balancer = balancer
        self.members: tuple[Upstream, ...] = ()
        self.candidates = Candidates(())
        self.report = None if getattr(balancer, "ignoresOutcomes", False) else self._report
        self._backups = Candidates(())
        if upstreams:
            self.setMembers(upstreams)

    def __repr__(self) -> str:
        return f"<UpstreamGroup {self.name} {[each.key for each in self.members]}>"

    def setMembers(self, upstreams: Sequence[Upstream]) -> None:
        """The members from now on. Those that stay keep what is known about them."""
        known = {each.key: each for each in self.members}
        members: list[Upstream] = []
        for each in upstreams:
            kept = known.get(each.key, each)
            if kept is not each:
                kept.weight, kept.metadata, kept.backup = each.weight, each.metadata, each.backup
            members.append(kept)
        self.members = tuple(members)
        self._choose()
        try:
            self.balancer.upstreamsChanged(self.members)
        except Exception:
            _log.failure("The balancer of pool {pool} failed in upstreamsChanged", pool=self.name)

    def mark(self, upstream: Upstream, state: str) -> None:
        """Say how a member is: C{"up"}, or why it gets no requests."""
        wasUp, upstream.state = upstream.state == UP, state
        if wasUp != (state == UP):
            self._choose()

    def _choose(self) -> None:
        """Who may be asked: members that are up; backups when no others are."""
        up = [each for each in self.members if each.state == UP]
        primaries = [each for each in up if not each.backup]
        self.candidates = Candidates(primaries or up)
        self._backups = Candidates(each for each in up if each.backup) if primaries else Candidates(())

    def without(self, tried: Sequence[Upstream]) -> Candidates:
        """Who may still be asked: members not tried, backups once all others were."""
        left = [each for each in self.candidates if each not in tried]
        return Candidates(left or [each for each in self._backups if each not in tried])

    def _report(self, upstream: Upstream, outcome: Outcome) -> None:
        """Tell the balancer how an attempt ended."""
        try:
            self.balancer.report(upstream, outcome)
        except Exception:
            _log.failure("The balancer of pool {pool} failed in report", pool=self.name)
