"""A pool of upstreams as the configuration names it: its members, who of them may be asked now, and its balancer.

What is known of each member is its L{Standing}, in the pool's table. Here every event gets its time, and what follows is
shown: to balancers as candidates, to people as each upstream's state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final

from twisted.logger import Logger

from twistproxy.interfaces import IBalancer, IResponseModifier
from twistproxy.messages import Health, Outcome, Upstream
from twistproxy.settings import Settings
from twistproxy.sweep import NEVER, Sweeper
from twistproxy.upstream.candidates import Candidates, Tiers
from twistproxy.upstream.judging import Judging
from twistproxy.upstream.slowstart import SlowStart
from twistproxy.upstream.standing import Active, Administrative, Passive, Standing, Traffic
from twistproxy.upstream.status import UpstreamStatus, statusOf
from twistproxy.upstream.table import Entry, UpstreamTable

__all__ = ["Administrative", "Candidates", "UpstreamGroup"]

_log: Final = Logger(namespace="twistproxy.error")
_changes: Final = Logger(namespace="twistproxy.health")


def withBalancers(groups: Iterable[UpstreamGroup], modifiers: Iterable[Any]) -> tuple[Any, ...]:
    """A route's modifiers; before them those balancers that are modifiers too, as one that sets a cookie."""
    own = tuple(modifiers)
    balancers = (each.balancer for each in groups)
    return tuple(each for each in balancers if IResponseModifier.providedBy(each) and each not in own) + own


class UpstreamGroup:
    """The members of one pool.

    @ivar name: as configured; C{"default"} for the command line's.
    @ivar asked: requests so far.
    @ivar report: tells the balancer, and passive checks, how an attempt ended; None when the balancer says by
        C{ignoresOutcomes} that it would not listen, and nothing checks.
    @ivar trials: upstreams that get one request to see how they fare; tell L{picked} when one of them does. Mostly empty.
    @ivar members: all of them, in the order of the configuration, then of the sources.
    @ivar table: what is known of them; the next group of the same name takes it over at a reload.
    @ivar warming: upstreams that came back a short time ago, with the time; empty most of the time. While there are any,
        ask L{without} for each request.
    @ivar deadline: see L{twistproxy.sweep.Watched}: when the next ejection ends.
    """

    deadline = NEVER
    asked = 0

    def __init__(
        self,
        name: str,
        balancer: IBalancer,
        upstreams: Sequence[Upstream] = (),
        *,
        panicThreshold: float = 0.0,
        slowStart: SlowStart | None = None,
        passive: Sequence[Any] = (),
        table: UpstreamTable | None = None,
        seconds: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """
        @param panicThreshold: a percentage of members; when fewer than that are up, all are asked. 0: never.
        @param slowStart: gives upstreams that came back their share little by little; None: at once.
        @param passive: L{twistproxy.interfaces.IPassiveCheck}s.
        @param table: what another group of this name knew.
        @param seconds: the clock, until L{keepTime} gives another.
        """
        self.name = name
        self.balancer = balancer
        self.members: tuple[Upstream, ...] = ()
        self.table = table or UpstreamTable()
        self.table.wake = lambda when: self._wakeAt(min(when, self.deadline))
        self.trials: set[Upstream] = set()
        self._judging = Judging(name, passive, self.table)
        self._isBalancerDeaf = getattr(balancer, "ignoresOutcomes", False)
        self.report = None if self._isBalancerDeaf and not passive else self._report
        self._slowStart = slowStart or SlowStart(0.0, seconds)
        self.warming: Mapping[Upstream, float] = self._slowStart.since
        self._panicThreshold = panicThreshold
        self._tiers = Tiers(())
        self._version = self.table.version
        self._seconds = seconds
        self._sweeper: Sweeper | None = None
        self._observers: list[Callable[[], object]] = []
        if not passive:
            for entry in self.table.members:
                entry.standing.acquitted(seconds())
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
        passive: Sequence[Any] = (),
        table: UpstreamTable | None = None,
    ) -> UpstreamGroup:
        """A pool to which C{settings} apply.

        @param seconds: the clock.
        @param passive: L{twistproxy.interfaces.IPassiveCheck}s.
        @param table: what another group of this name knew.
        """
        return cls(
            name, balancer, upstreams, panicThreshold=settings.panicThreshold, seconds=seconds, passive=passive,
            slowStart=SlowStart(settings.slowStart, seconds), table=table,
        )  # fmt: skip

    def __repr__(self) -> str:
        return f"<UpstreamGroup {self.name} {[each.key for each in self.members]}>"

    def keepTime(self, sweeper: Sweeper, seconds: Callable[[], float]) -> None:
        """Live in the time of a proxy from now on. Without it ejections do not end by themselves."""
        if self._sweeper is not None:
            self._sweeper.forget(self)
        self._sweeper = sweeper
        self._seconds = seconds
        self._await()

    def retire(self) -> None:
        """Another group has its table now. What still ends here is noted there too."""
        if self._sweeper is not None:
            self._sweeper.forget(self)
            self._sweeper = None

    # Members.

    def setMembers(self, upstreams: Sequence[Upstream]) -> None:
        """The members from now on. Those that stay, and those that come back, keep what is known about them."""
        now = self._seconds()
        before = {each.upstream: each for each in self.table.members}
        entries = self.table.take(upstreams, now)
        self.members = tuple(each.upstream for each in entries)
        for entry in entries:
            if before.pop(entry.upstream, None) is None:
                self._thin(entry)
            entry.show()
        for upstream, entry in before.items():
            self._slowStart.end(upstream)
            entry.show()
        self._await()
        try:
            self.balancer.upstreamsChanged(self.members)
        except Exception:
            _log.failure("The balancer of pool {pool} failed in upstreamsChanged", pool=self.name)
        for observer in list(self._observers):
            observer()

    def observeMembers(self, observer: Callable[[], object]) -> Callable[[], None]:
        """Call C{observer} whenever the members have changed.

        @return: a callable that ends it.
        """
        self._observers.append(observer)
        return lambda: self._observers.remove(observer)

    def standing(self, upstream: Upstream) -> Standing | None:
        """What is known of an upstream; None of one that is not in this pool."""
        entry = self.table.get(upstream.key)
        return None if entry is None else entry.standing

    def status(self) -> tuple[UpstreamStatus, ...]:
        """What is known of each upstream: the members in their order, then those that are gone and still remembered."""
        now = self._seconds()
        return tuple(
            statusOf(self.name, each.upstream, each.standing, self._slowStart.share(each.upstream), now)
            for each in (*self.table.members, *self.table.gone)
        )

    # Who may be asked.

    @property
    def candidates(self) -> Candidates:
        """Who may be asked for a request that asked nobody yet; the same object until that changes."""
        if self._version != self.table.version:
            self._choose()
        return self._tiers.first

    def without(self, tried: Collection[Upstream]) -> Candidates:
        """Who may still be asked: those not tried, of the first tier that has any.

        @param tried: empty for a request that asked nobody yet: then upstreams that warm up are left out now and then.
        """
        if self._version != self.table.version:
            self._choose()
        return self._tiers.without(tried) if tried else self._slowStart.thin(self._tiers.first)

    def _choose(self) -> None:
        """Who may be asked now: at the first request after a change, for many may change together."""
        self._version = self.table.version
        wasPanic = self._tiers.isPanic
        trials = [each for each in self.table.members if each.standing.passive is Passive.TRIAL]
        tried = {each.upstream for each in trials if each.standing.isTried}
        self.trials = {each.upstream for each in trials} - tried
        self._tiers = Tiers(self.members, self._panicThreshold, tried)
        if self._tiers.isPanic != wasPanic:
            if self._tiers.isPanic:
                _log.warn(
                    "Fewer than {threshold} % of pool {pool} are up: all are asked, whatever checks say",
                    threshold=self._panicThreshold, pool=self.name,
                )  # fmt: skip
            else:
                _log.info("Enough of pool {pool} are up again", pool=self.name)

    # What a person wants.

    def administer(self, upstream: Upstream, administrative: Administrative, reason: str = "") -> None:
        """Have an upstream ready, drained or down. What runs there goes on, tunnels included.

        @param reason: for those who look at its state.
        @raise KeyError: when it is none of this pool.
        """
        entry = self.table.get(upstream.key)
        if entry is None:
            raise KeyError(upstream.key)
        self._changed(entry, entry.standing.administer(administrative, self._seconds(), reason))

    # What checks find.

    def checkedBy(self, upstream: Upstream, initial: Mapping[str, Active]) -> None:
        """These checks look at an upstream from now on, and no others.

        @param initial: what holds until the first result, by the check's name.
        """
        entry = self.table.get(upstream.key)
        if entry is not None and entry.standing.checks.keys() != initial.keys():
            self._changed(entry, entry.standing.checkedBy(initial, self._seconds()))

    def checked(self, upstream: Upstream, name: str, health: Health, rise: int = 1, fall: int = 1) -> Active:
        """A check of an upstream has ended.

        @param name: of the check, as L{checkedBy} got it.
        @param rise: good ones in a row that bring it back; C{fall} failed ones that take it out.
        @return: what follows from this check alone.
        """
        entry = self.table.get(upstream.key)
        if entry is None:
            return Active.UNCHECKED
        self._changed(entry, entry.standing.checked(name, health, self._seconds(), rise, fall))
        if health.share is not None:
            self._slowStart.advise(entry.upstream, entry.standing.advisedShare)
        record = entry.standing.checks.get(name)
        return Active.UNCHECKED if record is None else record.active

    # What the traffic shows.

    def picked(self, upstream: Upstream) -> None:
        """One of L{trials} gets its request now, and no other until it has ended, or lasts."""
        entry = self.table.get(upstream.key)
        if entry is not None:
            entry.standing.tried(self._seconds())
            self.table.version += 1
            self._await()

    def _report(self, upstream: Upstream, outcome: Outcome) -> None:
        """An attempt has ended."""
        if not self._isBalancerDeaf:
            try:
                self.balancer.report(upstream, outcome)
            except Exception:
                _log.failure("The balancer of pool {pool} failed in report", pool=self.name)
        if self._judging:
            entry = self.table.get(upstream.key)
            if entry is not None:
                if entry.standing.isTried:
                    self.table.version += 1  # the one request of its trial has ended: it may get another
                if self._judging.judge(entry, outcome, self._seconds()):
                    self._changed(entry, True)

    # What time does.

    def deadlinePassed(self) -> None:
        """An ejection is over, or a trial lasts."""
        now = self._seconds()
        for entry in self.table.members:
            standing = entry.standing
            if standing.wakesAt is not None:
                wasTried = standing.isTried
                self._changed(entry, standing.timePassed(now))
                self.table.version += wasTried is not standing.isTried
        self._await()

    def _await(self) -> None:
        """Be woken when the next ejection ends, or a trial has lasted."""
        ends = (each.standing.wakesAt for each in self.table.members)
        self._wakeAt(min((each for each in ends if each is not None), default=NEVER))

    def _wakeAt(self, deadline: float) -> None:
        self.deadline = deadline
        if self._sweeper is None:
            return
        if deadline == NEVER:
            self._sweeper.forget(self)
        else:
            self._sweeper.watch(self)

    # What follows.

    def _changed(self, entry: Entry, hasChanged: bool) -> None:
        """Something happened to an upstream.

        @param hasChanged: whether it gets other requests now than before.
        """
        before, standing = entry.upstream.state, entry.standing
        entry.show()
        if not hasChanged:
            return
        self.table.version += 1
        if standing.isPresent:
            self._thin(entry)
        if standing.ejectedUntil is not None:
            self.table.wake(standing.ejectedUntil)
        report = _changes.info if standing.verdict.traffic is Traffic.ALL else _changes.warn
        report(
            "{upstream} of pool {pool} is {state}; it was {before}",
            upstream=entry.upstream.key, pool=self.name, state=entry.upstream.state, before=before,
        )  # fmt: skip

    def _thin(self, entry: Entry) -> None:
        """Have a slow start begin or end."""
        self._slowStart.end(entry.upstream)
        if entry.standing.startsSlowly:
            self._slowStart.begin(entry.upstream)
        self._slowStart.advise(entry.upstream, entry.standing.advisedShare)
