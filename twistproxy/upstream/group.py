"""A pool of upstreams as the configuration names it: its members, who of them may be asked now, and its balancer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from twisted.logger import Logger

from twistproxy.interfaces import IBalancer
from twistproxy.messages import Outcome, Upstream
from twistproxy.settings import Settings
from twistproxy.upstream.candidates import NOBODY, UP, Candidates, Tiers
from twistproxy.upstream.slowstart import SlowStart

_log = Logger(namespace="twistproxy.error")


class UpstreamGroup:
    """The members of one pool.

    @ivar name: as configured; C{"default"} for the command line's.
    @ivar report: tells the balancer how an attempt ended; None when it says by C{ignoresOutcomes} that it would not listen.
    @ivar candidates: who may be asked for a request that asked nobody yet.
    @ivar warming: upstreams that came back a short time ago, with the time; empty most of the time. While there are any,
        ask L{without} for each request.
    """

    def __init__(
        self,
        name: str,
        balancer: IBalancer,
        upstreams: Sequence[Upstream] = (),
        *,
        panicThreshold: float = 0.0,
        slowStart: SlowStart | None = None,
    ) -> None:
        """
        @param panicThreshold: a percentage of members; when fewer than that are up, all are asked. 0: never.
        @param slowStart: gives upstreams that came back their share little by little; None: at once.
        """
        self.name = name
        self.balancer = balancer
        self.members: tuple[Upstream, ...] = ()
        self.candidates: Candidates = NOBODY
        self.warming: Mapping[Upstream, float] = {} if slowStart is None else slowStart.since
        self.report = None if getattr(balancer, "ignoresOutcomes", False) else self._report
        self._panicThreshold = panicThreshold
        self._slowStart = slowStart
        self._tiers = Tiers(())
        self._hadMembers = False
        if upstreams:
            self.setMembers(upstreams)

    @classmethod
    def configured(
        cls,
        name: str,
        balancer: IBalancer,
        upstreams: Sequence[Upstream],
        settings: Settings,
        seconds: Callable[[], float],
    ) -> UpstreamGroup:
        """A pool to which C{settings} apply.

        @param seconds: the clock.
        """
        slowStart = SlowStart(settings.slowStart, seconds) if settings.slowStart else None
        return cls(name, balancer, upstreams, panicThreshold=settings.panicThreshold, slowStart=slowStart)

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
        left = set(self.members).difference(members)
        self.members = tuple(members)
        if self._slowStart is not None:
            for each in left:
                self._slowStart.end(each)
            if self._hadMembers:  # those of the start share all the load there is, from the start
                for each in members:
                    if each.key not in known and each.state == UP:
                        self._slowStart.begin(each)
        self._hadMembers = self._hadMembers or bool(members)
        self._choose()
        try:
            self.balancer.upstreamsChanged(self.members)
        except Exception:
            _log.failure("The balancer of pool {pool} failed in upstreamsChanged", pool=self.name)

    def mark(self, upstream: Upstream, state: str) -> None:
        """Say how a member is: C{"up"}, or why it gets no requests."""
        wasUp, upstream.state = upstream.state == UP, state
        isUp = state == UP
        if self._slowStart is not None and wasUp != isUp:
            if isUp:
                self._slowStart.begin(upstream)
            else:
                self._slowStart.end(upstream)
        if wasUp != isUp or not isUp:  # out by a check or by hand: panic makes a difference
            self._choose()

    def _choose(self) -> None:
        """Who may be asked now."""
        wasPanic = self._tiers.isPanic
        self._tiers = Tiers(self.members, self._panicThreshold)
        self.candidates = self._tiers.first
        if self._tiers.isPanic != wasPanic:
            if self._tiers.isPanic:
                _log.warn(
                    "Fewer than {threshold} % of pool {pool} are up: all are asked, whatever checks say",
                    threshold=self._panicThreshold, pool=self.name,
                )  # fmt: skip
            else:
                _log.info("Enough of pool {pool} are up again", pool=self.name)

    def without(self, tried: Sequence[Upstream]) -> Candidates:
        """Who may still be asked: those not tried, of the first tier that has any.

        @param tried: empty for a request that asked nobody yet: then upstreams that warm up are left out now and then.
        """
        if tried:
            return self._tiers.without(tried)
        return self.candidates if self._slowStart is None else self._slowStart.thin(self.candidates)

    def _report(self, upstream: Upstream, outcome: Outcome) -> None:
        """Tell the balancer how an attempt ended."""
        try:
            self.balancer.report(upstream, outcome)
        except Exception:
            _log.failure("The balancer of pool {pool} failed in report", pool=self.name)
