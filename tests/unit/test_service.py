"""When the service listens: at once, or when its sources of upstreams have told something."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import succeed
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from twistproxy import service as module
from twistproxy.commandline import CommandLine, configure
from twistproxy.config import buildPlugins
from twistproxy.discovery.subject import Subject
from twistproxy.interfaces import IUpstreamSource
from twistproxy.loader.finder import findPlugins
from twistproxy.messages import Upstream
from twistproxy.service import ProxyService


@implementer(IUpstreamSource)
class Late(Service):
    """A source that tells when the test says."""

    subject = Subject()

    def subscribe(self, observer: Any) -> Any:
        return self.subject.subscribe(observer)


class Reactor(MemoryReactorClock):
    """Listens where nobody else does."""

    taken: tuple[int, ...] = ()
    running = True

    def __init__(self) -> None:
        super().__init__()
        self.open: list[int] = []

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        if port in self.taken:
            raise CannotListenError(interface, port, OSError(98, "Address already in use"))
        made = super().listenTCP(port, factory, backlog, interface)
        self.open.append(port)

        def stopListening() -> Any:
            self.open.remove(port)
            return succeed(None)

        made.stopListening = stopListening
        return made


class ListeningTests(SynchronousTestCase):
    def setUp(self) -> None:
        Late.subject = Subject()
        self.patch(module, "_settleGarbage", lambda: None)
        self.said: list[str] = []
        self.patch(ProxyService, "_say", lambda _, line: self.said.append(line))
        self.reactor = Reactor()

    def start(self, *upstreams: str) -> ProxyService:
        words = CommandLine(upstreams=[*upstreams], listeners=["tcp:8080", "tcp:8081"])
        configuration = configure(words, findPlugins())
        service = ProxyService(self.reactor, configuration, buildPlugins(configuration, self.reactor))
        service.startService()
        return service

    def stop(self, service: ProxyService) -> None:
        stopping = service.stopService()
        self.reactor.advance(60)
        self.successResultOf(stopping)
        self.assertEqual(self.reactor.open, [])
        self.assertEqual([each for each in self.reactor.getDelayedCalls() if each.active()], [])

    def test_atOnceWithWrittenUpstreams(self) -> None:
        service = self.start("http://10.0.0.1")
        self.assertEqual((len(self.said), self.reactor.open), (2, [8080, 8081]))
        self.stop(service)

    def test_atOnceWithASourceThatKnows(self) -> None:
        service = self.start("list:10.0.0.1\\:80")
        self.assertEqual((len(self.said), self.reactor.open), (2, [8080, 8081]))
        self.stop(service)

    def test_afterTheFirstSnapshot(self) -> None:
        service = self.start("tests.unit.test_service.Late")
        self.assertEqual((self.said, self.reactor.open), ([], []))
        self.reactor.advance(2)
        Late.subject.tell([Upstream("http://10.0.0.1")])
        self.assertEqual((len(self.said), self.reactor.open), (2, [8080, 8081]))
        self.assertEqual([each.key for each in service.engine.groups["default"].members], ["http://10.0.0.1"])
        self.stop(service)

    def test_withoutAnyAfterAWhile(self) -> None:
        with capturedLogs() as events:
            service = self.start("tests.unit.test_service.Late")
            self.reactor.advance(4.9)
            self.assertEqual(self.said, [])
            self.reactor.advance(0.1)
        self.assertEqual((len(self.said), self.reactor.open), (2, [8080, 8081]))
        self.assertIn("no word of the upstreams of default within 5 s: listening", [formatEvent(each) for each in events])
        self.stop(service)

    def test_aPortThatCannotBeHadEndsTheStartAtOnceAllTheSame(self) -> None:
        self.reactor.taken = (8081,)
        self.assertRaises(SystemExit, self.start, "tests.unit.test_service.Late")

    def test_stoppedWhileItWaits(self) -> None:
        service = self.start("tests.unit.test_service.Late")
        self.stop(service)
        Late.subject.tell([Upstream("http://10.0.0.1")])
        self.reactor.advance(10)
        self.assertEqual((self.said, self.reactor.open), ([], []))
