"""Health checks take upstreams out of a pool and bring them back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.health.checking import HealthChecks
from twistproxy.interfaces import IHealthCheck
from twistproxy.messages import Health, Upstream
from twistproxy.settings import Settings
from twistproxy.upstream.group import UpstreamGroup


@implementer(IHealthCheck)
class Check:
    """Says of each upstream what the test wants it to."""

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
        service = HealthChecks(self.clock, self.group, checks or (self.check,), Settings())
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

    def test_stoppingCancelsWhatRuns(self) -> None:
        cancelled: list[object] = []
        self.check.says[self.one.key] = lambda: Deferred(cancelled.append)
        service = self.start()
        service.stopService()
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.one.state, "up")
