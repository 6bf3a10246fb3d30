"""When the service listens: at once, or when its sources of upstreams have told something."""

from __future__ import annotations

from io import StringIO
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import succeed
from twisted.internet.error import CannotListenError
from twisted.internet.testing import MemoryReactorClock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.support.certificates import issued, write, writeAuthority
from tests.unit.builtin import asked
from tests.unit.loader.temporary import temporaryDirectory
from twistproxy import service as module
from twistproxy.commandline import CommandLine, configure
from twistproxy.config import buildPlugins
from twistproxy.configfile import ConfigurationFile
from twistproxy.discovery.subject import Subject
from twistproxy.interfaces import IUpstreamSource
from twistproxy.loader.finder import findPlugins
from twistproxy.messages import Upstream
from twistproxy.middleware.statistics import Statistics
from twistproxy.service import ProxyService
from twistproxy.tls.config import UpstreamTLS
from twistproxy.tls.listening import SecureFactory


@implementer(IUpstreamSource)
class Late(Service):
    """A source that tells when the test says."""

    subject = Subject()

    def subscribe(self, observer: Any) -> Any:
        return self.subject.subscribe(observer)


class Reactor(MemoryReactorClock):
    """Listens where nobody else does."""

    taken: tuple[int, ...] = ()
    running = False

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

    def test_aPortThatIsTakenMeanwhileEndsTheProgramWithStatus1(self) -> None:
        service = self.start("tests.unit.test_service.Late")
        self.reactor.taken, self.reactor.running = (8081,), True
        triggers: list[tuple[Any, ...]] = []
        self.patch(self.reactor, "addSystemEventTrigger", lambda *args: triggers.append(args))
        self.patch(module, "terminal", lambda name: StringIO())
        stopped: list[bool] = []
        self.patch(self.reactor, "stop", lambda: stopped.append(True))
        Late.subject.tell([Upstream("http://10.0.0.1")])
        self.assertEqual([(*each[:2], *each[3:]) for each in triggers], [("after", "shutdown", 1)])
        self.assertEqual(stopped, [True])
        service.stopService()
        self.reactor.advance(60)

    def test_stoppedWhileItWaits(self) -> None:
        service = self.start("tests.unit.test_service.Late")
        self.stop(service)
        Late.subject.tell([Upstream("http://10.0.0.1")])
        self.reactor.advance(10)
        self.assertEqual((self.said, self.reactor.open), ([], []))


class TLSTests(SynchronousTestCase):
    """What the service makes of TLS in the configuration."""

    def setUp(self) -> None:
        self.patch(module, "_settleGarbage", lambda: None)
        self.directory = temporaryDirectory(self)
        self.cert, self.key = write(self.directory, issued("a.example"))
        self.ca = writeAuthority(self.directory)

    def start(self, text: str) -> ProxyService:
        path = self.directory / "proxy.toml"
        path.write_text(text)
        plugins = findPlugins()
        configuration = configure(CommandLine(), plugins, ConfigurationFile(str(path)))
        self.reactor = Reactor()
        self.service = ProxyService(self.reactor, configuration, buildPlugins(configuration, self.reactor))
        self.patch(self.service, "_say", lambda line: self.said.append(line))
        self.said: list[str] = []
        self.service.startService()
        self.addCleanup(self.stop)
        return self.service

    def stop(self) -> None:
        stopped = self.service.stopService()
        self.reactor.advance(20)
        self.successResultOf(stopped)

    def test_statistics(self) -> None:
        """Of routes whose statistics have the same name there is one sum."""
        self.start(
            'pools.a.upstreams = "http://10.0.0.1"\nlisteners = [{ endpoint = "tcp:8080" }]\n'
            '[[routes]]\nmiddleware = "statistics:name=shop"\n'
            '[[routes]]\nmatch = { path = "/a" }\nmiddleware = "statistics:name=shop"\n'
            '[[routes]]\nmatch = { path = "/b" }\nmiddleware = "statistics"\n'
        )
        counting = [each for each in self.service._generation.plugins if isinstance(each, Statistics)]
        for number, each in enumerate(counting, 1):
            for _ in range(number):
                each.figures.all.add(0.0, 200, "", 0.1, 0, 0)
        found = self.service.statistics()
        place = f"{self.directory / 'proxy.toml'}: routes[2].middleware[0]"
        self.assertEqual({name: each["requests"] for name, each in found.items()}, {"shop": 3, place: 3})

    def test_middlewareOfAllRoutes(self) -> None:
        """One object around that of each route."""
        self.start(
            'middleware = "statistics:name=all"\n'
            'pools.a.upstreams = "http://10.0.0.1"\nlisteners = [{ endpoint = "tcp:8080" }]\n'
            '[[routes]]\n[[routes]]\nmatch = { path = "/a" }\nmiddleware = ["statistics:name=a"]\n'
        )
        routes = [self.service.engine.routeFor(asked(target)) for target in (b"/", b"/a")]
        names = [[each.title for each in route.middleware] for route in routes if route is not None]
        self.assertEqual(names, [["all"], ["all", "a"]])
        self.assertEqual(len({id(route.middleware[0]) for route in routes if route is not None}), 1)

    def test_listeners(self) -> None:
        tls = f'tls = {{ cert = "{self.cert}", key = "{self.key}" }}'
        self.start(
            'pools.a.upstreams = "http://10.0.0.1"\n'
            f'[[listeners]]\nendpoint = "tcp:8443"\n{tls}\n[[listeners]]\nendpoint = "tcp:8444"\n{tls}\n'
            '[[listeners]]\nendpoint = "tcp:8080"\n'
        )
        first, second, plain = (each[1] for each in self.reactor.tcpServers)
        self.assertIs(first.store, second.store, "what says the same shares its certificates")
        self.assertNotIsInstance(plain, SecureFactory)
        self.assertEqual([each.partition("://")[0] for each in self.said], ["listening on https"] * 2 + ["listening on http"])

    def test_certificatesAreWatched(self) -> None:
        self.start(
            'pools.a.upstreams = "http://10.0.0.1"\n'
            f'[[listeners]]\nendpoint = "tls:8443:cert={self.cert}:key={self.key}"\n'
        )
        store = self.reactor.tcpServers[0][1].store
        write(self.directory, issued("a.example", "b.example"))
        self.reactor.advance(10)
        self.assertEqual(store.certificates[0].names, ("a.example", "b.example"))

    def test_certificatesAreReadAtAReload(self) -> None:
        listener = f"tls:8443:cert={self.cert}:key={self.key}"
        text = f'listeners = [{{ endpoint = "{listener}" }}]\npools.a.upstreams = "http://10.0.0.1"\n'
        service = self.start(text)
        store = self.reactor.tcpServers[0][1].store
        write(self.directory, issued("a.example", "c.example"))
        configuration = configure(CommandLine(), findPlugins(), ConfigurationFile(str(self.directory / "proxy.toml")))
        self.successResultOf(service.reload(configuration, buildPlugins(configuration, self.reactor)))
        self.assertEqual(store.certificates[0].names, ("a.example", "c.example"))

    def test_whatASourceFindsHasTheTLSOfItsPool(self) -> None:
        service = self.start(
            '[pools.a]\nupstreams = "list:10.0.0.1:format=https\\\\://%s"\n'
            f'tls = {{ server-name = "a.example", ca = "{self.ca}" }}\n'
        )
        (member,) = service.engine.groups["a"].members
        self.assertEqual(member.tls, UpstreamTLS("a.example", self.ca))

    def test_insecureUpstreamsAreNamedAtTheStart(self) -> None:
        with capturedLogs() as events:
            self.start('pools.a.upstreams = "https://10.0.0.1,insecure=yes"\n')
        lines = [formatEvent(each) for each in events]
        self.assertEqual([each for each in lines if "not verified" in each], [
            "The certificate of https://10.0.0.1 is not verified: anybody may pose as it"
        ])  # fmt: skip
