"""Permissions, rate limit, degradation, circuit breaker and statistics as one chain; and each as people write it."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import MiddlewareTestCase, answered, asked, built
from tests.unit.loader.temporary import temporaryDirectory
from tests.unit.middleware.test_basicauth import APR1
from twistproxy.errors import CIRCUIT_OPEN, RATE_LIMITED, TOO_MANY_AT_ONCE
from twistproxy.interfaces import IMiddleware
from twistproxy.testing import FakeUpstream, ProxyTestMixin

CHAIN = [
    "statistics:name=all",
    "ip-filter:deny=192.0.2.0/24",
    "rate-limit:rate=1:burst=9",
    "fallback:sorry:on=502,503:status=200",
    "statistics:name=inside",
    "circuit-breaker:errors=50%:volume=4:open=10s:recovery=0s",
]


WRITTEN = [
    r"rate-limit:rate=50:burst=10:key=client",
    r"rate-limit:rate=50:key=header\:X-User",
    r"rate-limit:rate=50:key=cookie\:sid",
    r"rate-limit:rate=50:key=route",
    r"rate-limit:rate=50:burst=10:redis=127.0.0.1\:6379",
    r"concurrency-limit:max=5:key=client",
    r"bandwidth-limit:rate=1MiB",
    r"circuit-breaker:errors=50%:volume=20:open=10s",
    r"fallback:on=502,503,504:status=200:body=sorry",
    r"fallback:on=502,503,504:status=200:file=users",
    r"fallback:on=502,503,504:pool=static",
    r"ip-filter:allow=10.0.0.0/8,127.0.0.1:deny=10.1.0.0/16",
    r"basic-auth:file=users",
    r"jwt:algorithms=HS256:key=file\:users",
    r"forward-auth:url=http\://127.0.0.1\:9001/auth",
    r"statistics",
    r"compress",
    r"cors:https\://app.example.com",
    r"chaos:latency=200ms:share=10%:seed=1",
]


class TestWritten(SynchronousTestCase):
    def test_eachIsUnderstood(self) -> None:
        directory = temporaryDirectory(self)
        (directory / "users").write_text(f"alibabas:{APR1}\n")  # as long as a secret has to be
        for each in WRITTEN:
            built(IMiddleware, each, directory=str(directory), pools=("static",), reactor=Clock())


class TestReload(MiddlewareTestCase):
    """What the next object of the same words goes on with."""

    def two(self, written: str) -> tuple[Any, Any]:
        clock = Clock()
        before, after = (self.build(written, reactor=clock) for _ in range(2))
        return before, after

    def test_aBurstIsNotGivenAgain(self) -> None:
        before, after = self.two("rate-limit:rate=1:burst=1")
        for _ in range(2):
            self.assertIs(self.around(before), self.answer)
        after.takeOver(before)
        self.assertIs(self.around(after), RATE_LIMITED)
        self.assertEqual((after.allowed, after.refused), (2, 1))

    def test_whatIsUnderWayCountsUntilItEnds(self) -> None:
        before, after = self.two("concurrency-limit:max=1")
        request = asked()
        self.assertIs(self.around(before, request), self.answer)
        after.takeOver(before)
        self.assertIs(self.around(after), TOO_MANY_AT_ONCE)
        for each in request.finishers or ():
            each(None)
        self.assertIs(self.around(after), self.answer)

    def test_aBreakerStaysOpen(self) -> None:
        before, after = self.two("circuit-breaker:volume=1")
        self.answer = answered(500)
        self.around(before)
        after.takeOver(before)
        self.assertIs(self.around(after), CIRCUIT_OPEN)

    def test_bytesStayCounted(self) -> None:
        before, after = self.two("bandwidth-limit:rate=1000:upload=500")
        after.takeOver(before)
        self.assertEqual((after._down, after._up), (before._down, before._up))


class TestMany(ProxyTestMixin, SynchronousTestCase):
    def test_whatABreakerRefusesDoesNotFillTheLog(self) -> None:
        """Each of these would have had a line; the log gets a few, and how many there were."""
        middleware = ["fallback:sorry:status=200:on=503", "circuit-breaker:volume=1:open=1h"]
        harness = self.proxyHarness(upstream=FakeUpstream(500), middleware=middleware)
        harness.get("/")
        with capturedLogs() as logged:
            for _ in range(100):
                self.assertEqual(harness.get("/").status, 200)
            harness.advance(30)
        lines = [formatEvent(each) for each in logged if each["log_namespace"] == "twistproxy.error"]
        self.assertEqual(len([each for each in lines if "answered by fallback" in each]), 10)
        self.assertEqual(lines[10:], ["90 more: 503 circuit_open"])


class TestChain(ProxyTestMixin, SynchronousTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.upstream = FakeUpstream(body=b"well")
        self.harness = self.proxyHarness(upstream=self.upstream, middleware=CHAIN)

    def ask(self, count: int = 1, **options: Any) -> list[tuple[int, bytes]]:
        answers = [self.harness.get("/", **options) for _ in range(count)]
        return [(each.status, each.body if each.status == 200 else b"") for each in answers]

    def figures(self, name: str) -> dict[str, Any]:
        plugins = [self.harness.plugin("middleware", at) for at in range(len(CHAIN))]
        (found,) = [each for each in plugins if getattr(each, "title", "") == name]
        figures: dict[str, Any] = found.snapshot()
        return figures

    def test_eachDoesItsPart(self) -> None:
        self.assertEqual(self.ask(2), [(200, b"well")] * 2)
        self.assertEqual(self.ask(client="192.0.2.9"), [(403, b"")])  # takes nothing of anybody's rate
        self.upstream.respond(500)
        self.assertEqual(self.ask(2), [(500, b"")] * 2)  # half of four: the breaker opens
        self.upstream.respond(200, {}, b"well")
        asked = len(self.upstream.requests)
        with capturedLogs() as logged:
            self.assertEqual(self.ask(5), [(200, b"sorry")] * 5)
        self.assertEqual([each["reason"] for each in logged if "answered by" in each["log_format"]], ["circuit_open"] * 5)
        self.assertEqual(len(self.upstream.requests), asked, "it is left in peace")
        self.assertEqual(self.ask(2), [(200, b"sorry"), (429, b"")])
        self.harness.advance(10)
        self.assertEqual(self.ask(2), [(200, b"well")] * 2)

        outside, inside = self.figures("all"), self.figures("inside")
        self.assertEqual((outside["requests"], outside["statuses"]), (14, {200: 10, 403: 1, 429: 1, 500: 2}))
        self.assertEqual(outside["failures"], {"forbidden": 1, "rate_limited": 1})
        self.assertEqual((inside["requests"], inside["inFlight"], outside["inFlight"]), (12, 0, 0))
        (upstream,) = outside["upstreams"].values()
        self.assertEqual((upstream["requests"], upstream["statuses"]), (6, {200: 4, 500: 2}))
