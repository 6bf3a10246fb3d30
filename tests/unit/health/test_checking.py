"""Health checks take upstreams out of a pool and bring them back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectBindError, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.health.checking import HealthChecks
from twistproxy.health.probing import healthOf
from twistproxy.health.schedule import Pace, Schedule, firstDelay
from twistproxy.interfaces import IHealthCheck
from twistproxy.messages import Health, Upstream
from twistproxy.settings import Settings
from twistproxy.upstream.group import Administrative, UpstreamGroup


@implementer(IHealthCheck)
class Check:
    """Says of each upstream what the test wants it to."""

    schedule: Schedule | None = None

    def __init__(self) -> None:
        self.says: dict[str, Callable[[], Any]] = {}
        self.asked: list[str] = []

    def check(self, upstream: Upstream) -> Any:
        self.asked.append(upstream.key)
        return self.says.get(upstream.key, lambda: Health(True))()


def refuses() -> Health:
    return Health(False, "refused")


class HealthCheckTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.one, self.two = Upstream("http://10.0.0.1"), Upstream("http://10.0.0.2")
        self.group = UpstreamGroup("web", RoundRobin(), [self.one, self.two])
        self.check = Check()

    def start(self, *checks: Any) -> HealthChecks:
        service = HealthChecks(self.clock, self.group, checks or (self.check,), Settings(), lambda: 0.5)
        service.startService()
        self.addCleanup(self.clock.getDelayedCalls)
        self.addCleanup(service.stopService)
        return service

    def rounds(self, number: int) -> None:
        for _ in range(number):
            self.clock.advance(5)

    def test_allMembersAreCheckedAtOnceAndAgain(self) -> None:
        self.start()
        self.assertEqual(self.check.asked, [self.one.key, self.two.key])
        self.rounds(1)
        self.assertEqual(len(self.check.asked), 4)

    def test_itTakesThreeFailuresInARow(self) -> None:
        self.check.says[self.one.key] = refuses
        self.start()
        self.rounds(1)
        self.assertEqual(tuple(self.group.candidates), (self.one, self.two))
        self.rounds(1)
        self.assertEqual(tuple(self.group.candidates), (self.two,))
        self.assertEqual(self.one.state, "down: refused")

    def test_aGoodCheckBetweenStartsTheCountAnew(self) -> None:
        self.start()
        for says in (refuses, refuses, lambda: Health(True), refuses, refuses):
            self.check.says[self.one.key] = says
            self.rounds(1)
        self.assertEqual(self.one.state, "up")

    def test_itTakesTwoGoodOnesToComeBack(self) -> None:
        self.check.says[self.one.key] = refuses
        self.start()
        self.rounds(2)
        del self.check.says[self.one.key]
        self.rounds(1)
        self.assertNotIn(self.one, self.group.candidates)
        self.rounds(1)
        self.assertIn(self.one, self.group.candidates)
        self.assertEqual(self.one.state, "up")

    def test_whatRaisesOrReturnsNonsenseHasFailed(self) -> None:
        def raises() -> Health:
            raise OSError("unreachable")

        self.check.says[self.one.key] = raises
        self.check.says[self.two.key] = lambda: "well"
        self.start()
        self.rounds(2)
        self.assertEqual(tuple(self.group.candidates), ())
        self.assertEqual(self.one.state, "down: unreachable")
        self.assertIn("not a Health", self.two.state)

    def test_aCheckThatTakesTooLongHasFailedAndIsNotDoubled(self) -> None:
        self.check.says[self.one.key] = Deferred
        self.start()
        self.clock.advance(2)
        self.assertEqual(self.check.asked.count(self.one.key), 1)
        self.clock.pump([1.0] * 13)
        self.assertEqual(self.one.state, "down: it took too long")

    def test_allChecksHaveToPass(self) -> None:
        second = Check()
        second.says[self.two.key] = refuses
        self.start(self.check, second)
        self.rounds(2)
        self.assertEqual(tuple(self.group.candidates), (self.one,))

    def test_stateSurvivesASnapshot(self) -> None:
        self.check.says[self.one.key] = refuses
        self.start()
        self.rounds(2)
        self.group.setMembers([Upstream("http://10.0.0.1"), Upstream("http://10.0.0.2"), Upstream("http://10.0.0.3")])
        self.assertEqual([each.key for each in self.group.candidates], ["http://10.0.0.2", "http://10.0.0.3"])

    def test_backupsStandInWhenAllOthersAreDown(self) -> None:
        backup = Upstream("http://10.0.0.9", backup=True)
        self.group.setMembers([self.one, backup])
        self.check.says[self.one.key] = refuses
        self.start()
        self.assertEqual(tuple(self.group.candidates), (self.one,))
        self.rounds(2)
        self.assertEqual(tuple(self.group.candidates), (backup,))

    def test_oneThatIsFoundLaterIsCheckedAtOnce(self) -> None:
        self.start()
        self.clock.advance(2)
        self.group.setMembers([self.two, Upstream("http://10.0.0.3")])
        self.assertEqual(self.check.asked[2:], ["http://10.0.0.3"])
        self.rounds(1)
        self.assertEqual(self.check.asked[3:], [self.two.key, "http://10.0.0.3"])

    def test_whatIsDownOrDrainedIsCheckedToo(self) -> None:
        self.start()
        self.group.administer(self.one, Administrative.DOWN)
        self.rounds(1)
        self.assertEqual(self.check.asked[2:], [self.one.key, self.two.key])

    def test_aSlowCheckOfOneHoldsUpNoOther(self) -> None:
        self.check.says[self.one.key] = Deferred
        self.start()
        self.clock.pump([1.0] * 16)
        self.assertEqual(self.check.asked.count(self.two.key), 4)
        self.assertEqual(self.check.asked.count(self.one.key), 4)

    def test_aCheckThatOutlastsItsIntervalIsNotRunTwice(self) -> None:
        running: list[Deferred[Health]] = []

        def begin() -> Deferred[Health]:
            running.append(Deferred())
            return running[-1]

        self.check.says[self.one.key] = begin
        self.check.schedule = Schedule(interval=1.0, timeout=10.0)
        self.start()
        self.clock.pump([1.0] * 4)
        self.assertEqual(len(running), 1)
        running[0].callback(Health(True))
        self.clock.advance(0)
        self.assertEqual(len(running), 2)

    def test_aScheduleOfItsOwn(self) -> None:
        self.check.schedule = Schedule(interval=2.0, fall=1, rise=1, initial="down")
        self.check.says[self.one.key] = refuses
        self.start()
        self.assertEqual((self.one.state, self.two.state), ("down: refused", "up"))
        del self.check.says[self.one.key]
        self.clock.advance(2)
        self.assertEqual(self.one.state, "up")

    def test_anIntervalOfItsOwnForThoseThatAreDown(self) -> None:
        self.check.schedule = Schedule(interval=5.0, downInterval=1.0, fall=2, rise=2)
        self.check.says[self.one.key] = refuses
        self.start()
        times = []
        for second in range(1, 20):
            before = self.check.asked.count(self.one.key)
            self.clock.advance(1)
            if self.check.asked.count(self.one.key) > before:
                times.append(second)
            if second == 8:
                del self.check.says[self.one.key]
        self.assertEqual(times, [5, 6, 7, 8, 9, 10, 15])

    def test_waitingForTheFirstCheck(self) -> None:
        waiting: Deferred[Health] = Deferred()
        self.check.says[self.one.key] = lambda: waiting
        self.check.schedule = Schedule(initial="down")
        self.start()
        self.assertEqual(self.one.state, "down: not checked yet")
        waiting.callback(Health(True))
        self.assertEqual(self.one.state, "up")

    def test_readyOnceTheFirstChecksAreOver(self) -> None:
        first, second = Deferred[Health](), Deferred[Health]()
        self.check.says = {self.one.key: lambda: first, self.two.key: lambda: second}
        self.check.schedule = Schedule(initial="down")
        service = self.start()
        ready = service.whenReady()
        first.callback(Health(True))
        self.assertFalse(service.isReady)
        self.assertNoResult(ready)
        second.callback(Health(False))
        self.successResultOf(ready)
        self.assertTrue(service.isReady)
        self.successResultOf(service.whenReady())

    def test_thoseThatAreUpAtFirstAreReady(self) -> None:
        self.check.says[self.one.key] = Deferred
        self.assertTrue(self.start().isReady)

    def test_nobodyWaitsForEver(self) -> None:
        self.check.says[self.one.key] = Deferred
        self.check.schedule = Schedule(initial="down")
        ready = self.start().whenReady()
        ready.cancel()
        self.failureResultOf(ready, CancelledError)

    def test_soManyAtOnceAndTheOthersInTheirOrder(self) -> None:
        self.group.setMembers([Upstream(f"http://10.0.1.{each}") for each in range(5)])
        keys = [each.key for each in self.group.members]
        running: list[Deferred[Health]] = []

        def begin() -> Deferred[Health]:
            running.append(Deferred())
            return running[-1]

        self.check.says = {each: begin for each in keys[:-1]}
        service = HealthChecks(self.clock, self.group, [self.check], Settings(maxHealthChecks=2), lambda: 0.5)
        service.startService()
        self.addCleanup(service.stopService)
        self.assertEqual(self.check.asked, keys[:2])
        running[1].callback(Health(True))
        self.assertEqual(self.check.asked, keys[:3])
        self.group.setMembers(self.group.members[1:])  # the first leaves: its slot is free
        self.assertEqual(self.check.asked, keys[:4])
        running[2].callback(Health(True))
        running[3].callback(Health(True))
        self.assertEqual(self.check.asked, keys)
        self.clock.advance(5)
        self.assertEqual(len(self.check.asked), 7)

    def test_jitterStaysWithinATenth(self) -> None:
        pace = Pace.of(Schedule(interval=10.0), Settings())
        self.assertEqual([pace.next(100.0, 101.0, random) for random in (0.0, 0.5, 1.0)], [8.0, 9.0, 10.0])
        self.assertEqual(pace.next(100.0, 130.0, 0.5), 0.0)

    def test_manyAreNotAllCheckedInTheSameInstant(self) -> None:
        delays = [firstDelay(at, 10_000, 5.0) for at in range(10_000)]
        self.assertEqual(delays, sorted(delays))
        self.assertLess(delays[-1], 5.0)
        self.assertEqual(delays.count(0.0), 16)

    def test_aFailureThatSaysNothingIsNamed(self) -> None:
        self.assertEqual(healthOf(Failure(KeyError()), 0.5, 3.0), Health(False, "KeyError", 0.5))

    def test_whatIsTheProxysOwnFaultTellsNothing(self) -> None:
        noDescriptor = Failure(ConnectBindError(24, "Too many open files"))
        self.assertTrue(healthOf(noDescriptor, 0.0, 3.0).isInconclusive)
        self.assertFalse(healthOf(Failure(ConnectionRefusedError()), 0.0, 3.0).isInconclusive)
        late = [healthOf(Failure(TimeoutError()), each, 3.0).isInconclusive for each in (3.0, 3.5, 5.0)]
        self.assertEqual(late, [False, False, True])

    def test_aProxyThatWasStoppedDoesNotBlameItsUpstreams(self) -> None:
        self.check.says[self.one.key] = Deferred
        self.check.schedule = Schedule(fall=1)
        self.start()
        self.clock.advance(60)
        self.assertEqual(self.one.state, "up")
        self.clock.pump([1.0] * 4)
        self.assertEqual(self.one.state, "down: it took too long")

    def test_stoppingCancelsWhatRuns(self) -> None:
        cancelled: list[object] = []
        self.check.says[self.one.key] = lambda: Deferred(cancelled.append)
        service = self.start()
        service.stopService()
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.one.state, "up")
