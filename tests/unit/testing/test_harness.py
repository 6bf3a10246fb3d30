"""The harness: a proxy with plugins, asked by a test."""

from __future__ import annotations

from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from twistproxy.errors import ConfigurationError
from twistproxy.interfaces import IAccessLog, IBalancer, IDirector, IErrorHandler, IMiddleware, IResponseModifier
from twistproxy.logs.accesslog import AccessRecord
from twistproxy.messages import Health, Response
from twistproxy.plugin import Plugin
from twistproxy.settings import Settings
from twistproxy.testing import FakeUpstream, Malformed, MemoryNetwork, PluginFault, ProxyHarness, ProxyTestMixin


@implementer(IDirector)
class Tagging:
    """Adds a header."""

    def __init__(self, name: str = "X-Tag", value: str = "yes") -> None:
        self.name, self.value = name, value

    def direct(self, inbound: Any, outbound: Any) -> None:
        """Add it."""
        outbound.headers.setRawHeaders(self.name, [self.value])


@implementer(IResponseModifier)
class Shouting:
    """Makes bodies loud."""

    async def modify(self, request: Any, response: Any) -> None:
        """Read and replace it."""
        response.body = (await response.body.read(1000)).upper()


@implementer(IMiddleware)
class Timing:
    """Tells how long it took."""

    def __init__(self, context: Any = None) -> None:
        self.context = context

    async def around(self, request: Any, proceed: Any) -> Any:
        """Tell."""
        response = await proceed()
        response.headers.setRawHeaders("X-Timed", ["yes"])
        return response


@implementer(IErrorHandler)
class Sorry:
    """Answers failures."""

    def handle(self, request: Any, error: Any) -> Response:
        """Answer."""
        return Response(error.kind.status, body=b"sorry")


@implementer(IBalancer)
class Last:
    """Picks the last."""

    def pick(self, request: Any, candidates: Any) -> Any:
        """The last."""
        return candidates[-1]

    def report(self, upstream: Any, outcome: Any) -> None:
        """Nothing."""

    def upstreamsChanged(self, upstreams: Any) -> None:
        """Nothing."""


@implementer(IAccessLog)
class Log:
    """Keeps records."""

    def __init__(self) -> None:
        self.records: list[AccessRecord] = []

    def log(self, record: AccessRecord) -> None:
        """Keep it."""
        self.records.append(record)


@implementer(IDirector)
class Ticking(Service):
    """Has a service of its own."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def direct(self, inbound: Any, outbound: Any) -> None:
        """Nothing."""

    def startService(self) -> None:
        self.calls.append("start")

    def stopService(self) -> Deferred[None] | None:  # type: ignore[override]
        self.calls.append("stop")
        return None


class PluginsTests(ProxyTestMixin, SynchronousTestCase):
    def test_withoutPluginsItIsAProxy(self) -> None:
        harness = self.proxyHarness(upstream=FakeUpstream(body=b"hi"))
        answer = harness.get("/x?y=1", {"X-A": "b"})
        self.assertEqual((answer.status, answer.body, answer.version), (200, b"hi", b"1.1"))
        [request] = harness.upstream.requests
        self.assertEqual((request.target, request.headers.get("host")), (b"/x?y=1", "app.example"))
        self.assertEqual((request.headers.get("x-a"), request.headers.get("x-forwarded-for")), ("b", "203.0.113.9"))

    def test_aPluginIsAnObjectAClassAStringATableAFactoryOrAFunction(self) -> None:
        spec = f"{__name__}.Tagging:value=by-string"
        for given, expected in (
            (Tagging(value="by-object"), "by-object"),
            (Tagging, "yes"),
            (spec, "by-string"),
            ({"use": f"{__name__}.Tagging", "value": "by-table"}, "by-table"),
            (Plugin("tagging", f"{__name__}.Tagging", IDirector), "yes"),
            (lambda inbound, outbound: outbound.headers.setRawHeaders("X-Tag", ["by-function"]), "by-function"),
            ([Tagging("X-Other"), spec], "by-string"),
        ):
            harness = self.proxyHarness(director=given)
            self.assertEqual(harness.get().status, 200)
            self.assertEqual(harness.upstream.requests[0].headers.get("x-tag"), expected)

    def test_builtInPluginsGoByTheirTags(self) -> None:
        harness = self.proxyHarness(balancer="random:seed=1", upstreams=[FakeUpstream(), FakeUpstream()])
        for _ in range(20):
            harness.get()
        self.assertTrue(all(each.requests for each in harness.upstreams))

    def test_allKindsTogether(self) -> None:
        log, last = Log(), Last()
        harness = self.proxyHarness(
            director=Tagging, modifier=Shouting, middleware=Timing, errorHandler=Sorry, balancer=last, accessLog=log,
            upstreams=[FakeUpstream(body=b"first"), FakeUpstream(body=b"last")],
        )  # fmt: skip
        answer = harness.get()
        self.assertEqual((answer.body, answer.headers.get("x-timed")), (b"LAST", "yes"))
        self.assertEqual(harness.upstreams[1].requests[0].headers.get("x-tag"), "yes")
        harness.upstreams[1].refuse()
        harness.upstreams[1].peers[0].close()
        harness.upstreams[0].resetAfter(0)
        self.assertEqual(harness.get().body, b"sorry")
        self.assertEqual([each.status for each in log.records], [200, 502])
        self.assertIs(harness.plugin("balancer"), last)

    def test_contextKnowsTheHarness(self) -> None:
        harness = self.proxyHarness(middleware=f"{__name__}.Timing", settings={"via": "me"}, pools={"b": FakeUpstream()})
        context = harness.plugin("middleware").context
        self.assertIs(context.reactor, harness.network)
        self.assertEqual((context.settings.via, context.pools), ("me", ("default", "b")))

    def test_directorsMayNameFurtherPools(self) -> None:
        harness = self.proxyHarness(director=lambda inbound, outbound: "b", pools={"b": FakeUpstream(body=b"of b")})
        self.assertEqual(harness.get().body, b"of b")
        self.assertEqual(len(harness.pools["b"][0].requests), 1)

    def test_mistakesAreThoseOfAConfiguration(self) -> None:
        for given, sentence in (
            ("rond-robin", "balancer: no IBalancer plugin is called 'rond-robin'; did you mean 'round-robin'?"),
            ("random:sed=1", "balancer: random: has no option 'sed'; did you mean 'seed'?"),
            (Tagging(), "does not say @implementer(IBalancer)"),
            (["random", "random:seed=x"], "balancer #2: random: seed: 'x' is not a whole number"),
        ):
            error = self.assertRaises(ConfigurationError, ProxyHarness, balancer=given)
            self.assertIn(sentence, str(error))

    def test_servicesAmongPluginsRun(self) -> None:
        director = Ticking()
        harness = self.proxyHarness(director=director)
        self.assertEqual(director.calls, ["start"])
        harness.close()
        self.assertEqual(director.calls, ["start", "stop"])

    def test_healthChecksTakeUpstreamsOut(self) -> None:
        sick: set[str] = set()
        harness = self.proxyHarness(
            health=lambda upstream: Health(upstream.key not in sick, "it coughs"),
            upstreams=[FakeUpstream(body=b"a"), FakeUpstream(body=b"b")],
            settings={"healthInterval": 5.0, "healthFall": 2},
        )
        sick.add(harness.upstreams[0].url)
        harness.advance(15)
        self.assertEqual({harness.get().body for _ in range(4)}, {b"b"})
        self.assertEqual(harness.members[0].state, "down: it coughs")

    def test_sourcesTellWhoIsThere(self) -> None:
        observers: list[Any] = []

        def subscribe(observer: Any) -> Any:
            observers.append(observer)
            return observers.clear

        harness = self.proxyHarness(source=subscribe)
        late = FakeUpstream(body=b"late")
        observers[0]([late.listen(harness.network, "10.9.0.1:80")])
        self.assertEqual({harness.get().body for _ in range(4)}, {b"hello", b"late"})
        harness.close()
        self.assertEqual(observers, [])

    def test_settingsInEitherSpelling(self) -> None:
        for settings in ({"hookTimeout": 2.0}, {"hook-timeout": "2s"}, Settings(hookTimeout=2.0)):
            harness = self.proxyHarness(director=lambda *_: Deferred(), settings=settings)
            answer = harness.get()
            harness.advance(1.9)
            self.assertEqual(answer.status, 0)
            harness.advance(1)
            self.assertEqual(answer.status, 500)
            harness.errors.clear()
        self.assertRaises(ValueError, ProxyHarness, settings={"hook-limit": 1})


class AskingTests(ProxyTestMixin, SynchronousTestCase):
    def test_requestsShareAConnectionAsABrowsersDo(self) -> None:
        harness = self.proxyHarness()
        harness.get()
        harness.get()
        self.assertEqual(len(harness.clients), 1)
        harness.upstream.stall()
        harness.get()
        harness.upstream.respond(200)
        harness.get()
        harness.get(client="198.51.100.7")
        self.assertEqual(len(harness.clients), 3)
        self.assertEqual(harness.upstream.requests[-1].headers.get("x-real-ip"), "198.51.100.7")

    def test_bodiesGoInOnePieceOrInChunks(self) -> None:
        harness = self.proxyHarness()
        harness.post("/", b"abc")
        harness.request("PUT", "/", (), [b"a", b"bc"])
        whole, chunked = harness.upstream.requests
        self.assertEqual((whole.body, whole.isChunked, chunked.body, chunked.isChunked), (b"abc", False, b"abc", True))

    def test_anAnswerGrows(self) -> None:
        harness = self.proxyHarness(upstream=FakeUpstream().inform(103, {"Link": "<a>"}).wait(3).respond(200, body=b"late"))
        answer = harness.get()
        self.assertEqual((answer.status, answer.isComplete), (0, False))
        self.assertEqual([each.headers.get("link") for each in answer.informational], ["<a>"])
        harness.advance(3)
        self.assertEqual((answer.status, answer.body, answer.isComplete), (200, b"late", True))

    def test_trailersComeThrough(self) -> None:
        harness = self.proxyHarness(upstream=FakeUpstream().respond(200, {"Trailer": "T"}, [b"a"], {"T": "1"}))
        self.assertEqual(harness.get(headers={"TE": "trailers"}).trailers.get("t"), "1")

    def test_bytesOfOnesOwn(self) -> None:
        harness = self.proxyHarness()
        said = harness.client.raw(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nHEAD / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(said.count(b"HTTP/1.1 200 OK"), 2)
        self.assertEqual([each.body for each in harness.client.answers], [b"hello", b""])
        self.assertIn(b"400 Bad Request", harness.client.raw(b"GET /\0\r\n\r\n"))
        self.assertTrue(harness.clients[0].isEnded)
        self.assertIsNot(harness.client, harness.clients[0])

    def test_whatIsNoRequestIsRefusedHere(self) -> None:
        harness = self.proxyHarness()
        self.assertRaises(Malformed, harness.get, "/a b")

    def test_websocket(self) -> None:
        harness = self.proxyHarness(upstream=FakeUpstream().upgrade(greeting=b"hey"))
        tunnel = harness.websocket("/chat")
        self.assertEqual((tunnel.answer.status, tunnel.isOpen, tunnel.take()), (101, True, b"hey"))
        self.assertEqual(tunnel.send(b"one"), b"one")
        self.assertEqual(tunnel.received, b"heyone")
        self.assertEqual(harness.upstream.requests[0].headers.get("upgrade"), "websocket")
        tunnel.halfClose()
        self.assertFalse(tunnel.isOpen)

    def test_otherUpgrades(self) -> None:
        harness = self.proxyHarness(upstream=FakeUpstream().upgrade("x-own"))
        self.assertEqual(harness.websocket(protocol="x-own").send(b"a"), b"a")
        self.assertFalse(harness.upstream.requests[0].headers.hasHeader("sec-websocket-key"))

    def test_anUpgradeThatIsRefused(self) -> None:
        tunnel = self.proxyHarness(upstream=FakeUpstream(403)).websocket()
        self.assertEqual((tunnel.answer.status, tunnel.isOpen), (403, False))

    def test_aStalledClientKeepsTheProxySmall(self) -> None:
        harness = self.proxyHarness(upstream=FakeUpstream(body=b"x" * 4_000_000))
        client = harness.stallClient()
        answer = harness.get()
        self.assertEqual(answer.status, 0)
        self.assertTrue(0 < harness.buffered < 300_000, harness.buffered)
        client.resume()
        self.assertEqual(len(answer.body), 4_000_000)
        client.abort()
        self.assertTrue(harness.buffered)

    def test_aTruncatedAnswer(self) -> None:
        answer = self.proxyHarness(upstream=FakeUpstream().closeMidChunk()).get()
        self.assertEqual((answer.status, answer.isTruncated), (200, True))

    def test_aNetworkOfOnesOwn(self) -> None:
        network = MemoryNetwork()
        network.segmentSize = 1
        harness = self.proxyHarness(network=network)
        self.assertEqual(harness.post("/", b"abc").status, 200)
        self.assertIs(harness.network, network)


def failing(*_: Any) -> Any:
    raise ZeroDivisionError("my fault")


class ErrorsTests(ProxyTestMixin, SynchronousTestCase):
    def test_closeRaisesWhatAPluginRaised(self) -> None:
        for kind, status in (("director", 500), ("modifier", 502), ("middleware", 500), ("balancer", 503)):
            harness = ProxyHarness(**{kind: failing})
            self.assertEqual(harness.get().status, status)
            error = self.assertRaises(ZeroDivisionError, harness.close)
            self.assertIn("failed", error.__notes__[0])
            self.flushLoggedErrors(ZeroDivisionError)

    def test_severalComeAsAGroup(self) -> None:
        harness = ProxyHarness(director=failing)
        harness.get()
        harness.get()
        error = self.assertRaises(BaseExceptionGroup, harness.close)
        self.assertEqual(len(error.exceptions), 2)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_whatATestExpectsItTakesAway(self) -> None:
        harness = self.proxyHarness(errorHandler=failing)
        harness.upstream.refuse()
        self.assertEqual(harness.get().status, 502)
        self.assertIsInstance(harness.errors.pop(), ZeroDivisionError)

    def test_wrongResultsAreErrors(self) -> None:
        harness = self.proxyHarness(director=lambda *_: 7)
        self.assertEqual(harness.get().status, 500)
        self.assertIn("direct returned a int", str(harness.errors.pop()))

    def test_soIsWhatIsOnlyComplainedOf(self) -> None:
        harness = self.proxyHarness(retryPolicy=lambda attempt: "again")
        harness.upstream.refuse()
        harness.get()
        self.assertIsInstance(harness.errors.pop(), PluginFault)

    def test_theCallOfATimerToo(self) -> None:
        def later(*_: Any) -> None:
            harness.network.callLater(1, failing)

        harness = self.proxyHarness(director=later)
        harness.get()
        harness.advance(1)
        self.assertEqual([type(each) for each in harness.errors], [ZeroDivisionError])
        harness.errors.clear()

    def test_theyCanBeLetGo(self) -> None:
        harness = self.proxyHarness(director=failing, raiseErrors=False)
        harness.get()

    def test_aWithStatementClosesTheHarness(self) -> None:
        with self.assertRaises(ZeroDivisionError), ProxyHarness(director=failing) as harness:
            harness.get()
        self.flushLoggedErrors(ZeroDivisionError)
        harness.close()

    def test_closeFindsWhatIsLeft(self) -> None:
        harness = ProxyHarness(director=lambda *_: harness.network.callLater(60, failing) and None)
        harness.get()
        error = self.assertRaises(AssertionError, harness.close)
        self.assertIn("failing", str(error))

    def test_closeFindsAServiceThatDoesNotStop(self) -> None:
        director = Ticking()
        director.stopService = lambda: Deferred()  # type: ignore[method-assign]
        error = self.assertRaises(AssertionError, ProxyHarness(director=director).close)
        self.assertIn("does not stop", str(error))

    def test_closeEndsWhatRuns(self) -> None:
        harness = self.proxyHarness(upstream=FakeUpstream().stall())
        harness.get()
        harness.connect()
        harness.close()
        self.assertEqual(repr(harness), "<ProxyHarness 2 clients, 0 exchanges>")

    def test_bytesThatAreNoHTTPAreToldAtOnce(self) -> None:
        harness = ProxyHarness()
        harness.upstream.problems.append(Malformed("this is no request"))
        self.assertRaises(Malformed, harness.get)
        self.assertRaises(Malformed, harness.close)
