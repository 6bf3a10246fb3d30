"""Runs the health checks of a pool. What their results mean for an upstream is said in L{twistproxy.upstream.standing}.

All members are checked, those that sources found and those that are down or drained too; each check of each member runs
on its own, not before its last run is over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from twistproxy.calling.hooks import nameOf
from twistproxy.health.probing import Probe, Slots
from twistproxy.health.schedule import Pace, firstDelay
from twistproxy.messages import Health, Upstream
from twistproxy.settings import Settings
from twistproxy.upstream.group import UpstreamGroup
from twistproxy.upstream.standing import Active

_log: Final = Logger(namespace="twistproxy.health")


class HealthChecks(Service):
    """The checks of one pool, while the service runs.

    @ivar reactor: keeps the time.
    @ivar group: the pool.
    @ivar random: gives numbers from 0 to 1, for the jitter.
    @ivar isProbing: whether checks are run here; else their results come from elsewhere. See L{probe}.
    @ivar told: is told of each result, with the pool's name before the arguments of L{UpstreamGroup.checked}; None: nobody is.
    """

    isProbing = True
    told: Callable[[str, Upstream, str, Health, int, int], object] | None = None

    def __init__(
        self,
        reactor: Any,
        group: UpstreamGroup,
        checks: Sequence[Any],
        settings: Settings,
        random: Callable[[], float] | None = None,
    ) -> None:
        """
        @param checks: L{twistproxy.interfaces.IHealthCheck}s; an upstream is as well as the worst of them says. One may have
            an attribute C{schedule}, a L{twistproxy.health.schedule.Schedule}.
        @param settings: for what a schedule leaves open.
        """
        self.reactor = reactor
        self.group = group
        self.random = random or Random().random
        self._checks = [
            (f"{nameOf(check)} #{i}" if _isTwice(check, checks) else nameOf(check), check,
             Pace.of(getattr(check, "schedule", None), settings))
            for i, check in enumerate(checks, 1)
        ]  # fmt: skip
        self._slots = Slots(settings.maxHealthChecks)
        self._waitedFor = [name for name, _, pace in self._checks if pace.initial is Active.DOWN]
        self._unchecked: set[str] = set()
        self._probes: dict[str, list[Probe]] = {}
        self._unobserve: Callable[[], None] | None = None
        self._waiting: list[Deferred[None]] = []

    @property
    def isReady(self) -> bool:
        """Whether no upstream waits for its first check any more, of those checks that it has to wait for."""
        return not self._unchecked

    def whenReady(self) -> Deferred[None]:
        """Fires when L{isReady}; the results have to be told to L{checked}, not to the group."""
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        self._tellReady()
        return waiting

    def _tellReady(self) -> None:
        if self._waiting and not self._unchecked:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)

    def startService(self) -> None:
        """Check now, and from now on."""
        super().startService()  # type: ignore[no-untyped-call]
        for name, _, pace in self._checks:
            _log.info(
                "Upstreams of pool {pool} are checked by {check} every {interval} s; new ones are {initial} at first",
                pool=self.group.name, check=name, interval=pace.interval,
                initial="down" if pace.initial is Active.DOWN else "up",
            )  # fmt: skip
        self._unobserve = self.group.observeMembers(self._membersChanged)
        self._membersChanged()

    def checked(self, upstream: Upstream, name: str, health: Health, pace: Pace) -> bool:
        """A check has ended.

        @return: whether it holds its upstream for down now.
        """
        isDown = self.group.checked(upstream, name, health, pace.rise, pace.fall) is Active.DOWN
        if self.told is not None:
            self.told(self.group.name, upstream, name, health, pace.rise, pace.fall)
        if self._unchecked and not self._isUnchecked(upstream):
            self._unchecked.discard(upstream.key)
            self._tellReady()
        return isDown

    def _isUnchecked(self, upstream: Upstream) -> bool:
        """Whether an upstream waits for a check."""
        standing = self.group.standing(upstream)
        records = standing.checks if standing is not None else {}
        return any(name in records and not records[name].runs for name in self._waitedFor)

    def probe(self, isProbing: bool) -> None:
        """Run the checks here from now on, or don't. What is known stays."""
        if isProbing == self.isProbing:
            return
        self.isProbing = isProbing
        if not self.running:
            return
        self._stopProbes(list(self._probes))
        self._membersChanged()

    def stopService(self) -> None:
        """Check no more. What is known stays."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._unobserve is not None:
            self._unobserve()
            self._unobserve = None
        self._stopProbes(list(self._probes))

    def _stopProbes(self, keys: Sequence[str]) -> None:
        """Check the upstreams of these keys no more."""
        probes = [probe for key in keys for probe in self._probes.pop(key)]
        for each in probes:
            self._slots.leave(each)  # first, or it would run as soon as another stops
        for each in probes:
            each.stop()

    def _membersChanged(self) -> None:
        """Check those that came, and no longer those that left."""
        members = {each.key: each for each in self.group.members}
        left = [each for each in self._probes if each not in members]
        self._unchecked.difference_update(left)
        self._stopProbes(left)
        came = [each for each in members.values() if each.key not in self._probes]
        initial = {name: pace.initial for name, _, pace in self._checks}
        for upstream in came:
            self.group.checkedBy(upstream, initial)
            if self._isUnchecked(upstream):
                self._unchecked.add(upstream.key)
            self._probes[upstream.key] = self._probesOf(upstream) if self.isProbing else []
        for at, upstream in enumerate(came):
            for probe, (_, _, pace) in zip(self._probes.get(upstream.key, ()), self._checks, strict=False):
                probe.begin(firstDelay(at, len(came), pace.interval))
        self._tellReady()

    def _probesOf(self, upstream: Upstream) -> list[Probe]:
        def teller(name: str, pace: Pace) -> Callable[[Health], bool]:
            return lambda health: self.checked(upstream, name, health, pace)

        return [
            Probe(self.reactor, self._slots, check, pace, upstream, self.random, teller(name, pace))
            for name, check, pace in self._checks
        ]


def _isTwice(check: Any, checks: Sequence[Any]) -> bool:
    """Whether another check has the same name."""
    return sum(nameOf(each) == nameOf(check) for each in checks) > 1
