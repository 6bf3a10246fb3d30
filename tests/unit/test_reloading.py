"""A configuration in the place of another, while the proxy serves."""

from __future__ import annotations

from io import StringIO
from typing import Any

from attrs import evolve
from twisted.application.service import Service
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.unit.test_service import Late, Reactor
from twistproxy import reloading
from twistproxy import service as module
from twistproxy.commandline import CommandLine, configure
from twistproxy.config import Configuration, buildPlugins
from twistproxy.discovery.subject import Subject
from twistproxy.errors import ConfigurationError
from twistproxy.interfaces import IDirector, IHealthCheck
from twistproxy.loader.finder import findPlugins
from twistproxy.messages import Health, Upstream
from twistproxy.middleware.statistics import Statistics
from twistproxy.reloading import Reloader, remainder
from twistproxy.service import ProxyService
from twistproxy.upstream.standing import Administrative

A, B = "http://10.0.0.1", "http://10.0.0.2"
LATE = "tests.unit.test_service.Late"
PLUGINS = findPlugins()


@implementer(IHealthCheck)
class Check:
    """Finds everything well, and counts."""

    made: list[Check] = []

    def __init__(self) -> None:
        self.made.append(self)
        self.checks = 0

    def check(self, upstream: Upstream) -> Health:
        self.checks += 1
        return Health(True)


@implementer(IDirector)
class Serving(Service):
    """A director that is a service."""

    made: list[Serving] = []

    def __init__(self) -> None:
        self.made.append(self)

    def direct(self, inbound: Any, outbound: Any) -> None:
        pass


def configured(*upstreams: str, **words: Any) -> Configuration:
    return configure(CommandLine(upstreams=[*upstreams], listeners=["tcp:8080"], **words), PLUGINS)


class _Reloading(SynchronousTestCase):
    """A service, and what changes it."""

    def setUp(self) -> None:
        Late.subject, Check.made, Serving.made = Subject(), [], []
        self.patch(module, "_settleGarbage", lambda: None)
        self.patch(ProxyService, "_say", lambda _, line: None)
        self.reactor = Reactor()

    def start(self, *upstreams: str, **words: Any) -> ProxyService:
        configuration = configured(*upstreams, **words)
        self.service = ProxyService(self.reactor, configuration, buildPlugins(configuration, self.reactor))
        self.service.startService()
        self.addCleanup(self.stop)
        return self.service

    def stop(self) -> None:
        stopping = self.service.stopService()
        self.reactor.advance(60)
        self.successResultOf(stopping)
        self.assertEqual([each for each in self.reactor.getDelayedCalls() if each.active()], [])

    def reload(self, *upstreams: str, **words: Any) -> Any:
        configuration = configured(*upstreams, **words)
        return self.service.reload(configuration, buildPlugins(configuration, self.reactor))

    def members(self) -> list[str]:
        return [each.key for each in self.service.engine.groups["default"].members]


class ReloadTests(_Reloading):
    def test_othersInThePlaceOfThoseBefore(self) -> None:
        self.start(A)
        self.successResultOf(self.reload(B))
        self.assertEqual(self.members(), [B])

    def test_statisticsKeepTheirName(self) -> None:
        """Two services of one name cannot have the same parent, and for a moment both are there."""
        self.start(A, middleware=["statistics:name=shop:log=1s"])
        self.successResultOf(self.reload(A, middleware=["statistics:name=shop:log=1s"]))
        self.assertEqual(list(self.service.statistics()), ["shop"])

    def test_statisticsGoOn(self) -> None:
        """While the route is written as before; what was under way then ends at the same place."""
        words = ["statistics:name=shop"]
        self.start(A, middleware=words)
        (before,) = [each for each in self.service._generation.plugins if isinstance(each, Statistics)]
        before.figures.inFlight = 1
        self.successResultOf(self.reload(B, middleware=words))
        before.figures.inFlight -= 1
        before.figures.all.add(0.0, 200, "", 0.1, 0, 0)
        found = self.service.statistics()["shop"]
        self.assertEqual((found["requests"], found["inFlight"]), (1, 0))
        self.successResultOf(self.reload(B, middleware=[*words, "request-id"]))
        self.assertEqual(self.service.statistics()["shop"]["requests"], 0)

    def test_whatIsKnownOfAnUpstreamStays(self) -> None:
        service = self.start(A)
        [known] = service.engine.groups["default"].members
        service.engine.administer(A, Administrative.DOWN, "by hand")
        self.successResultOf(self.reload(f"{A},weight=3", B))
        self.assertIs(service.engine.groups["default"].members[0], known)
        self.assertEqual((known.weight, known.state), (3, "maintenance: by hand"))
        self.assertEqual([each.key for each in service.engine.groups["default"].candidates], [B])

    def test_aNewSourceIsWaitedFor(self) -> None:
        self.start(A)
        waiting = self.reload(LATE)
        self.reactor.advance(2)
        self.assertEqual(self.members(), [A])
        Late.subject.tell([Upstream(B)])
        self.successResultOf(waiting)
        self.assertEqual(self.members(), [B])
        self.reactor.advance(1)
        Late.subject.tell([Upstream(A), Upstream(B)])
        self.assertEqual(self.members(), [A, B])

    def test_butNotForEver(self) -> None:
        self.start(A)
        waiting = self.reload(LATE, A)
        self.reactor.advance(5)
        self.successResultOf(waiting)
        self.assertEqual(self.members(), [A])

    def test_aSourceThatStaysGoesOn(self) -> None:
        Late.subject.tell([Upstream(A)])
        service = self.start(LATE)
        [source] = [each for each in service if type(each).__name__ == "Membership"]
        self.successResultOf(self.reload(LATE, B, balancer="random"))
        self.assertEqual(self.members(), [B, A])
        self.assertEqual([each for each in service if type(each).__name__ == "Membership"], [source])
        self.assertEqual(len(Late.subject._observers), 1)
        self.reactor.advance(1)
        Late.subject.tell([Upstream("http://10.0.0.3")])
        self.assertEqual(self.members(), [B, "http://10.0.0.3"])

    def test_aSourceThatLeftIsStopped(self) -> None:
        Late.subject.tell([Upstream(A)])
        self.start(LATE)
        self.successResultOf(self.reload(B))
        self.assertEqual(Late.subject._observers, [])

    def test_healthChecksAreThoseOfTheNewOne(self) -> None:
        self.start(A, health=["tests.unit.test_reloading.Check"])
        self.reactor.advance(6)
        self.successResultOf(self.reload(B, health=["tests.unit.test_reloading.Check"]))
        before, after = Check.made
        count = before.checks
        self.reactor.pump([1] * 20)
        self.assertEqual(before.checks, count)
        self.assertGreater(after.checks, 1)

    def test_whatRunningExchangesMayUseEndsLater(self) -> None:
        self.start(A, directors=["tests.unit.test_reloading.Serving"])
        self.successResultOf(self.reload(A, directors=["tests.unit.test_reloading.Serving"]))
        before, after = Serving.made
        self.assertTrue(before.running and after.running)
        self.reactor.advance(10)
        self.assertEqual((bool(before.running), bool(after.running)), (False, True))

    def test_stoppedWhileItWaits(self) -> None:
        self.start(A)
        self.reload(LATE)


class ReloaderTests(_Reloading):
    """The same service, reloaded by what reads the file."""

    def reloader(self, *results: Configuration | ConfigurationError) -> Reloader:
        left = [*results]

        def load() -> Configuration:
            result = left.pop(0)
            if isinstance(result, Exception):
                raise result
            return result

        self.patch(reloading, "terminal", lambda name: StringIO())
        return Reloader(self.reactor, self.service, configured(A), load)

    def test_mistakesChangeNothing(self) -> None:
        self.start(A)
        reloader = self.reloader(ConfigurationError("line one", "line two"), configured("file:nowhere.txt"), configured(B))
        with capturedLogs() as events:
            reloader.reload()
            reloader.reload()
            self.assertEqual(self.members(), [A])
            reloader.reload()
        self.assertEqual(self.members(), [B])
        lines = [formatEvent(each) for each in events if each["log_namespace"] == "twistproxy.error"]
        self.assertEqual(lines[:2], ["reload: nothing changes: line one", "reload: nothing changes: line two"])
        self.assertIn("nowhere.txt", lines[2])
        self.assertEqual(lines[3:], ["reload: done"])

    def test_oneAfterTheOther(self) -> None:
        self.start(A)
        reloader = self.reloader(configured(LATE), configured(B))
        for _ in range(3):
            reloader.reload()
        self.assertEqual(self.members(), [A])
        Late.subject.tell([Upstream("http://10.0.0.3")])
        self.assertEqual(self.members(), [B])

    def test_whatHoldsFromTheNextStartIsTold(self) -> None:
        self.assertEqual(remainder(configured(A)), remainder(configured(B, settings=["slow-start=3s", "max-tries=2"])))
        surrounded = evolve(configured(A), middleware=configured(A, middleware=["statistics"]).routes[0].middleware)
        self.assertEqual(remainder(configured(A)), remainder(surrounded))
        self.assertNotEqual(remainder(configured(A)), remainder(configured(A, settings=["max-target-bytes=100"])))
        self.assertNotEqual(remainder(configured(A)), remainder(configured(A, accessLogs=["-"])))

