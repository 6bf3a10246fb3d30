"""L{twistproxy.errorhandlers.fallback} as middleware. As an error handler: C{tests/unit/errorhandlers/test_answers.py}."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import fail
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.unit.builtin import MiddlewareTestCase, answered, built, items
from tests.unit.support import ProxyTestCase, get
from twistproxy.errors import CIRCUIT_OPEN, CLIENT_CLOSED, CONNECT_REFUSED, NO_ROUTE, ConfigurationError, ErrorKind, ProxyError
from twistproxy.interfaces import IBalancer, IMiddleware
from twistproxy.messages import InboundRequest
from twistproxy.testing import FakeUpstream, ProxyHarness


class TestFallback(MiddlewareTestCase):
    def fails(self, kind: ErrorKind, *headers: tuple[str, str]) -> None:
        self.proceed = lambda: fail(ProxyError(kind, "secret", headers))  # type: ignore[method-assign,assignment,return-value]

    def test_insteadOfAFailure(self) -> None:
        self.fails(CONNECT_REFUSED)
        with capturedLogs() as logged:
            response = self.around("fallback:[]:status=200:content-type=application/json:on=502,504")
        self.assertEqual((response.code, response.body.contents), (200, b"[]"))
        self.assertEqual(items(response.headers), [(b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store")])
        self.assertEqual([(each["reason"], each["detail"]) for each in logged], [("connect_refused", ": secret")])

    def test_insteadOfAnAnswer(self) -> None:
        self.answer = answered(503, (b"X-Secret", b"yes"), body=b"stack trace")
        with capturedLogs() as logged:
            response = self.around("fallback:later")
        self.assertEqual((response.code, response.body.contents, response.upstream), (503, b"later", None))
        self.assertEqual([(each["reason"], each["by"]) for each in logged], [("status-503", "fallback")])
        self.assertFalse(response.headers.hasHeader("X-Secret"))

    def test_othersPass(self) -> None:
        for code in (200, 404, 501):
            self.answer = answered(code)
            self.assertIs(self.around("fallback:later:on=502-504"), self.answer)
        self.fails(NO_ROUTE)
        self.assertIs(self.around("fallback:later"), NO_ROUTE)

    def test_whoLeftGetsNothing(self) -> None:
        self.fails(CLIENT_CLOSED)
        self.assertIs(self.around("fallback:later:on=4xx"), CLIENT_CLOSED)

    def test_otherExceptionsPass(self) -> None:
        self.proceed = lambda: fail(ValueError("ours"))  # type: ignore[method-assign,assignment,return-value]
        self.assertRaises(ValueError, self.around, "fallback:later")

    def test_whatTheFailureAsksForStaysWithItsStatus(self) -> None:
        self.fails(CIRCUIT_OPEN, ("Retry-After", "9"))
        self.assertEqual(self.around("fallback:later").headers.get("Retry-After"), "9")
        self.assertFalse(self.around("fallback:[]:status=200").headers.hasHeader("Retry-After"))


class TestInPlace(ProxyTestCase):
    def test_anAnswerIsReplacedAndTheNextRequestIsRight(self) -> None:
        bad = b"HTTP/1.1 500 Oh no\r\nContent-Length: 5\r\n\r\ntrace"
        self.proxy(bad, middleware=[built(IMiddleware, "fallback:later:on=500:status=203")])
        for _ in range(2):
            message = self.answerTo(get())
            self.assertEqual((message.code, message.body), (203, b"later"))
        self.origin.script = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        self.assertEqual(self.answerTo(get()).body, b"ok")

    def test_nobodyThere(self) -> None:
        self.proxy(urls=["http://10.0.0.9"], middleware=[built(IMiddleware, "fallback:[]:status=200")])
        message = self.answerTo(get())
        self.assertEqual((message.code, message.body), (200, b"[]"))
        self.flushLoggedErrors()


class TestPool(SynchronousTestCase):
    """Another pool is asked once when all of the first have failed."""

    written = "fallback:pool=other:on=502-504"

    def harness(self, first: FakeUpstream, other: FakeUpstream, written: str = "", **options: Any) -> ProxyHarness:
        harness = ProxyHarness(upstream=first, pools={"other": other}, middleware=written or self.written, **options)
        self.addCleanup(harness.close)
        self.other = other
        return harness

    def other_(self) -> FakeUpstream:
        return FakeUpstream(body=b"other")

    def test_nobodyThere(self) -> None:
        harness = self.harness(FakeUpstream(), self.other_())
        harness.upstream.refuse()
        for method in ("GET", "POST"):
            answer = harness.request(method, "/", body=b"" if method == "GET" else b"data")
            self.assertEqual((answer.status, answer.body), (200, b"other"))
        self.assertEqual([each.body for each in self.other.requests], [b"", b"data"])

    def test_anAnswerWithTheStatus(self) -> None:
        harness = self.harness(FakeUpstream().respond(503, body=b"down"), self.other_())
        answer = harness.get("/")
        self.assertEqual((answer.status, answer.body), (200, b"other"))
        self.assertEqual(harness.get("/").body, b"other")

    def test_othersPass(self) -> None:
        harness = self.harness(FakeUpstream().respond(500, body=b"broken"), self.other_())
        self.assertEqual(harness.get("/").body, b"broken")
        self.assertEqual(self.other.requests, [])

    def test_theBodyIsSentAgain(self) -> None:
        harness = self.harness(FakeUpstream().respond(503), self.other_())
        self.assertEqual(harness.request("PUT", "/", body=[b"one", b"two"]).body, b"other")
        self.assertEqual([each.body for each in self.other.requests], [b"onetwo"])

    def test_nothingIsDoneTwice(self) -> None:
        harness = self.harness(FakeUpstream().respond(503, body=b"down"), self.other_())
        self.assertEqual(harness.post("/", b"pay").body, b"down")
        self.assertEqual(self.other.requests, [])

    def test_aBodyTooLongToKeep(self) -> None:
        harness = self.harness(FakeUpstream().respond(503, body=b"down"), self.other_(), settings={"max-replay-bytes": "4"})
        self.assertEqual(harness.request("PUT", "/", body=b"too long").body, b"down")
        self.assertEqual(self.other.requests, [])

    def test_theOtherFails(self) -> None:
        """It is asked once, and then there is nobody, or the answer that was written down."""
        for written, want in ((self.written, b"other"), (self.written + ":body=sorry:status=200", b"sorry")):
            other = FakeUpstream().respond(503, body=b"other")
            harness = self.harness(FakeUpstream().respond(503, body=b"down"), other, written)
            self.assertEqual(harness.get("/").body, want)
            self.assertEqual(len(other.requests), 1)

    def test_theOtherIsNotThere(self) -> None:
        harness = self.harness(FakeUpstream(), self.other_(), self.written + ":body=sorry:status=200")
        harness.upstream.refuse()
        self.other.refuse()
        self.assertEqual(harness.get("/").body, b"sorry")

    def test_afterRetriesInTheFirst(self) -> None:
        first = [FakeUpstream(), FakeUpstream().resetAfter(0)]
        other = self.other_()
        with ProxyHarness(upstreams=first, pools={"other": other}, middleware=self.written) as harness:
            first[0].refuse()
            for _ in range(2):
                answer = harness.get("/")
                harness.advance(1)
                self.assertEqual(answer.body, b"other")
        self.assertEqual(len(other.requests), 2)

    def busy(self, **settings: Any) -> ProxyHarness:
        """A proxy whose one upstream has as much as it may have."""
        settings["maxConnectionsPerUpstream"] = 1
        harness = self.harness(FakeUpstream().stall(), self.other_(), settings=settings)
        harness.get("/")
        harness.connect()
        return harness

    def test_nobodyHasRoom(self) -> None:
        """Who waited in vain, or cannot even wait."""
        harness = self.busy(queueTimeout=2.0)
        answer = harness.get("/")
        harness.advance(4)
        self.assertEqual(answer.body, b"other")
        harness = self.busy(maxQueuedRequests=0)
        self.assertEqual(harness.get("/").body, b"other")

    def test_theBalancerWantsNone(self) -> None:
        @implementer(IBalancer)
        class Nobody:
            ignoresOutcomes = True

            def pick(self, request: InboundRequest, candidates: Any) -> None:
                return None

            def report(self, upstream: Any, outcome: Any) -> None:
                pass

            def upstreamsChanged(self, upstreams: Any) -> None:
                pass

        harness = self.harness(FakeUpstream(), self.other_(), balancer=Nobody())
        self.assertEqual(harness.post("/", b"data").body, b"other")

    def test_mistakes(self) -> None:
        error = self.assertRaises(ConfigurationError, built, IMiddleware, "fallback:pool=othr", pools=("other",))
        self.assertEqual(error.problems, ("here: fallback: there is no pool 'othr'; did you mean 'other'?",))
