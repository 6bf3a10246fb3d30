"""Runs the health checks of a pool. What their results mean for an upstream is said in L{twistproxy.upstream.standing}.

All members are checked, those that sources found and those that are down or drained too; each check of each member runs
on its own, not before its last run is over.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectBindError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.health.schedule import Pace, firstDelay
from twistproxy.hooks import asDeferred, isPending, nameOf
from twistproxy.messages import Health, Upstream
from twistproxy.settings import Settings
from twistproxy.upstream.group import UpstreamGroup
from twistproxy.upstream.standing import Active

_LONGEST_DETAIL: Final = 200
_log: Final = Logger(namespace="twistproxy.health")


class _Probe:
    """One check of one upstream, again and again."""

    def __init__(self, checks: HealthChecks, name: str, check: Any, pace: Pace, upstream: Upstream) -> None:
        self._checks = checks
        self._name = name
        self._check = check
        self._pace = pace
        self._upstream = upstream
        self._started = 0.0
        self._running: Deferred[Any] | None = None
        self._next: IDelayedCall | None = None

    def begin(self, delay: float) -> None:
        """Run for the first time."""
        if delay > 0:
            self._next = self._checks.reactor.callLater(delay, self._run)
        else:
            self._run()

    def stop(self) -> None:
        """Run no more; what runs is cancelled, and its result is nothing."""
        pending, self._next = self._next, None
        if pending is not None:
            pending.cancel()
        running, self._running = self._running, None
        if running is not None:
            running.cancel()

    def _run(self) -> None:
        self._next = None
        reactor = self._checks.reactor
        self._started = reactor.seconds()
        try:
            result = self._check.check(self._upstream)
        except Exception:
            result = Failure()
        if isPending(result):
            self._running = running = asDeferred(result)
            running.addTimeout(self._pace.timeout, reactor)
            running.addBoth(self._ended, running)
        else:
            self._tell(result)

    def _ended(self, result: Any, running: Deferred[Any]) -> None:
        if self._running is running:
            self._running = None
            self._tell(result)
        # else it was stopped

    def _tell(self, result: Any) -> None:
        reactor = self._checks.reactor
        now = reactor.seconds()
        health = healthOf(result, now - self._started, self._pace.timeout)
        isDown = self._checks.checked(self._upstream, self._name, health, self._pace)
        self._next = reactor.callLater(self._pace.next(self._started, now, self._checks.random(), isDown), self._run)


def healthOf(result: Any, latency: float, timeout: float) -> Health:
    """What a check returned, or its failure, as a L{Health}.

    What is the proxy's own fault tells nothing about an upstream: no descriptor or port was left for the check, or the proxy
    had no time itself, as a process that was stopped, so that a timeout fires late and nothing was read before it.

    @param latency: of the check, in seconds, where it does not say so itself.
    @param timeout: of the check, in seconds.
    """
    isInconclusive = False
    if isinstance(result, Health):
        return result
    if not isinstance(result, Failure):
        detail = f"check returned a {type(result).__name__}, not a Health"
    elif result.check(TimeoutError, CancelledError):
        detail = "it took too long"
        isInconclusive = latency > timeout + max(1.0, timeout / 2)
    else:
        detail = result.getErrorMessage() or type(result.value).__name__
        isInconclusive = result.check(ConnectBindError) is not None
    return Health(False, " ".join(detail.split())[:_LONGEST_DETAIL], latency, isInconclusive=isInconclusive)


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
        self._probes: dict[str, list[_Probe]] = {}
        self._unobserve: Callable[[], None] | None = None
        self._waiting: list[Deferred[None]] = []

    @property
    def isReady(self) -> bool:
        """Whether no upstream waits for its first check any more, of those checks that it has to wait for."""
        standings = [self.group.standing(each) for each in self.group.members]
        waitedFor = [name for name, _, pace in self._checks if pace.initial is Active.DOWN]
        checked = [each.checks for each in standings if each is not None]
        return all(name in records and records[name].runs for records in checked for name in waitedFor)

    def whenReady(self) -> Deferred[None]:
        """Fires when L{isReady}; the results have to be told to L{checked}, not to the group."""
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        self._tellReady()
        return waiting

    def _tellReady(self) -> None:
        if self._waiting and self.isReady:
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
        self._tellReady()
        return isDown

    def probe(self, isProbing: bool) -> None:
        """Run the checks here from now on, or don't. What is known stays."""
        if isProbing == self.isProbing:
            return
        self.isProbing = isProbing
        if not self.running:
            return
        for probe in [each for several in self._probes.values() for each in several]:
            probe.stop()
        self._probes = {}
        self._membersChanged()

    def stopService(self) -> None:
        """Check no more. What is known stays."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._unobserve is not None:
            self._unobserve()
            self._unobserve = None
        probes, self._probes = self._probes, {}
        for each in (probe for several in probes.values() for probe in several):
            each.stop()

    def _membersChanged(self) -> None:
        """Check those that came, and no longer those that left."""
        members = {each.key: each for each in self.group.members}
        for key in [each for each in self._probes if each not in members]:
            for probe in self._probes.pop(key):
                probe.stop()
        came = [each for each in members.values() if each.key not in self._probes]
        initial = {name: pace.initial for name, _, pace in self._checks}
        for upstream in came:
            self.group.checkedBy(upstream, initial)
            checks = self._checks if self.isProbing else ()
            self._probes[upstream.key] = [_Probe(self, name, check, pace, upstream) for name, check, pace in checks]
        for at, upstream in enumerate(came):
            for probe, (_, _, pace) in zip(self._probes.get(upstream.key, ()), self._checks, strict=False):
                probe.begin(firstDelay(at, len(came), pace.interval))
        self._tellReady()


def _isTwice(check: Any, checks: Sequence[Any]) -> bool:
    """Whether another check has the same name."""
    return sum(nameOf(each) == nameOf(check) for each in checks) > 1
