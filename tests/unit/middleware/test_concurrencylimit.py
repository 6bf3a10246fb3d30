"""L{twistproxy.middleware.concurrencylimit}: so many requests at once."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import MiddlewareTestCase, asked
from twistproxy.messages import InboundRequest
from twistproxy.testing import FakeUpstream, ProxyHarness


class TestConcurrencyLimit(MiddlewareTestCase):
    def codes(self, limit: Any, *requests: InboundRequest) -> list[int]:
        found = [self.around(limit, each) for each in requests]
        return [getattr(each, "code", None) or each.status for each in found]

    def finish(self, request: InboundRequest) -> None:
        finishers, request.finishers = request.finishers or [], None
        for each in finishers:
            each(None)

    def test_tooManyAreRefused(self) -> None:
        limit = self.build("concurrency-limit:max=2:retry-after=3s")
        requests = [asked(peer=f"192.0.2.{n}") for n in range(3)]
        self.assertEqual(self.codes(limit, *requests), [200, 200, 503])
        self.assertEqual(self.error.headers, [("Retry-After", "3")])
        self.assertEqual(str(self.error), "too_many_at_once: concurrency-limit route")
        self.assertEqual((self.proceeded, limit.allowed, limit.refused), (2, 2, 1))

    def test_heldUntilTheExchangeIsOver(self) -> None:
        """The head of an answer is not its end."""
        limit = self.build("concurrency-limit:max=1")
        first, second, third = asked(), asked(), asked()
        self.assertEqual(self.codes(limit, first, second), [200, 503])
        self.finish(second)
        self.assertEqual(self.codes(limit, asked()), [503])
        self.finish(first)
        self.assertEqual(self.codes(limit, third), [200])

    def test_whoIsRefusedHoldsNothing(self) -> None:
        limit = self.build("concurrency-limit:max=1")
        refused = asked()
        self.codes(limit, asked(), refused)
        self.assertIs(refused.finishers, None)

    def test_clientsAreApart(self) -> None:
        limit = self.build("concurrency-limit:max=1:key=client")
        requests = [asked(peer=host) for host in ("192.0.2.1", "192.0.2.2", "192.0.2.1", "2001:db8:0:1::1", "2001:db8:0:1::2")]
        self.assertEqual(self.codes(limit, *requests), [200, 200, 429, 200, 429])
        self.assertEqual(len(limit.inFlight), 3)

    def test_nothingIsKeptOfThoseThatHaveNone(self) -> None:
        limit = self.build("concurrency-limit:max=2:key=header\\:X-User")
        requests = [asked(b"/", (b"X-User", user)) for user in (b"1", b"1", b"2")]
        self.codes(limit, *requests)
        self.finish(requests[0])
        self.assertEqual(limit.inFlight, {b"=1": 1, b"=2": 1})
        for each in requests[1:]:
            self.finish(each)
        self.assertEqual(limit.inFlight, {})

    def test_whoseFaultItIs(self) -> None:
        for key, code in (("route", 503), ("host", 503), ("path", 503), ("client", 429), ("cookie\\:sid", 429)):
            limit = self.build(f"concurrency-limit:max=1:key={key}")
            self.assertEqual(self.codes(limit, asked(), asked()), [200, code], key)

    def test_mistakes(self) -> None:
        self.refuses("concurrency-limit:max=0", "concurrency-limit: max is 1 or more")
        self.refuses("concurrency-limit:max=1:key=header", "concurrency-limit: key: header needs a name, as in header\\:NAME")


class TestInPlace(SynchronousTestCase):
    """However an exchange ends, its place is free again."""

    def harness(self, upstream: FakeUpstream) -> ProxyHarness:
        harness = ProxyHarness(upstream=upstream, middleware="concurrency-limit:max=1")
        self.addCleanup(harness.close)
        return harness

    def test_aBodyOnItsWay(self) -> None:
        harness = self.harness(FakeUpstream().events(["first", "second"], every=5))
        answer = harness.get("/")
        self.assertEqual(answer.status, 200)
        self.assertEqual(harness.get("/").status, 503)
        harness.advance(5)
        self.assertEqual(harness.get("/").status, 503)
        harness.advance(10)
        self.assertTrue(answer.isComplete)
        self.assertEqual(harness.plugin("middleware").inFlight, {})

    def test_aTunnel(self) -> None:
        harness = self.harness(FakeUpstream().upgrade())
        tunnel = harness.websocket("/")
        self.assertEqual(harness.get("/").status, 503)
        tunnel.close()
        self.assertEqual(harness.plugin("middleware").inFlight, {})

    def test_aClientThatLeaves(self) -> None:
        harness = self.harness(FakeUpstream().wait(60).respond(200))
        harness.get("/")
        self.assertEqual(harness.get("/other").status, 503)
        harness.clients[0].close()
        harness.pump()
        self.assertEqual(harness.plugin("middleware").inFlight, {})

    def test_aTimeoutAndAnotherTry(self) -> None:
        upstreams = [FakeUpstream().stall(), FakeUpstream().stall()]
        harness = ProxyHarness(
            upstreams=upstreams, middleware="concurrency-limit:max=1", retryPolicy="retry:on=timeout",
            settings={"tryTimeout": 2.0, "maxTries": 2},
        )  # fmt: skip
        self.addCleanup(harness.close)
        answer = harness.get("/")
        harness.advance(2.5)
        self.assertEqual([len(each.requests) for each in upstreams], [1, 1])
        self.assertEqual((harness.get("/").status, harness.plugin("middleware").inFlight), (503, {b"route": 1}))
        harness.advance(5)
        self.assertEqual((answer.status, harness.plugin("middleware").inFlight), (504, {}))

    def test_anUpstreamThatBreaks(self) -> None:
        harness = self.harness(FakeUpstream().resetAfter(1))
        self.assertEqual(harness.get("/").status, 502)
        self.assertEqual(harness.plugin("middleware").inFlight, {})
