"""L{twistproxy.middleware.chaos}: faults on purpose."""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import PluginTestCase, built
from twistproxy.interfaces import IMiddleware
from twistproxy.testing import FakeUpstream, ProxyHarness, ProxyTestMixin


class TestFaults(ProxyTestMixin, SynchronousTestCase):
    def harness(self, options: str, body: Any = b"hello", **more: Any) -> ProxyHarness:
        upstream = FakeUpstream().respond(200, {}, body)
        return self.proxyHarness(upstream=upstream, middleware=f"chaos:{options}:seed=1", **more)

    def test_latency(self) -> None:
        harness = self.harness("latency=2s")
        answer = harness.get()
        harness.advance(1.9)
        self.assertEqual((answer.isComplete, len(harness.upstream.requests)), (False, 0))
        harness.advance(0.2)
        self.assertEqual((answer.status, answer.body), (200, b"hello"))

    def test_status(self) -> None:
        harness = self.harness("status=500")
        self.assertEqual((harness.get().status, len(harness.upstream.requests)), (500, 0))

    def test_latencyBeforeStatus(self) -> None:
        harness = self.harness("latency=1s:status=503")
        answer = harness.get()
        self.assertEqual(answer.status, 0)
        harness.advance(1)
        self.assertEqual(answer.status, 503)

    def test_timeout(self) -> None:
        harness = self.harness("timeout=5s")
        harness.get()
        harness.advance(4.9)
        self.assertFalse(harness.client.isEnded)
        client = harness.client
        harness.advance(0.2)
        self.assertEqual((client.wasReset, client.received, len(harness.upstream.requests)), (True, b"", 0))
        self.assertEqual(harness.engine.inFlight, 0)

    def test_resetLosesTheAnswer(self) -> None:
        harness = self.harness("reset=0s")
        client = harness.client
        harness.get()
        harness.advance(0)
        self.assertEqual((client.wasReset, client.received, len(harness.upstream.requests)), (True, b"", 1))
        self.assertEqual(harness.engine.inFlight, 0)

    def test_resetLosesAFailureToo(self) -> None:
        harness = self.harness("reset=1s")
        harness.upstream.refuse()
        client = harness.client
        harness.get()
        harness.advance(1)
        self.assertEqual((client.wasReset, client.received), (True, b""))

    def test_aClientThatLeavesFirst(self) -> None:
        for options in ("latency=5s", "timeout=5s", "reset=5s", "bandwidth=1", "slow-close=5s"):
            harness = self.harness(options)
            harness.get()
            harness.client.abort()
            harness.advance(20)
            self.assertEqual(harness.engine.inFlight, 0, options)

    def test_limitData(self) -> None:
        harness = self.harness("limit-data=3")
        client = harness.client
        answer = harness.get()
        self.assertEqual((answer.status, answer.body, answer.isComplete, client.isEnded), (200, b"hel", False, True))

    def test_limitDataOfChunks(self) -> None:
        harness = self.harness("limit-data=7", [b"hello", b"world"])
        answer = harness.get()
        self.assertEqual((answer.body, answer.isComplete), (b"hellowo", False))

    def test_limitDataOfAShortAnswer(self) -> None:
        harness = self.harness("limit-data=5")
        self.assertEqual((harness.get().isComplete, harness.get().body), (True, b"hello"))
        self.assertEqual(len(harness.clients), 1)

    def test_bandwidth(self) -> None:
        harness = self.harness("bandwidth=1000", b"x" * 2000)
        answer = harness.get()
        harness.advance(1.01)
        self.assertTrue(950 <= len(answer.body) <= 1010)
        harness.advance(1)
        self.assertTrue(answer.isComplete)

    def test_slicer(self) -> None:
        harness = self.harness("slicer=2:slicer-delay=1s")
        answer = harness.get()
        sizes = [len(answer.body)]
        for _ in range(2):
            harness.advance(1)
            sizes.append(len(answer.body))
        self.assertEqual((sizes, answer.isComplete), ([2, 4, 5], True))

    def test_slowClose(self) -> None:
        harness = self.harness("slow-close=3s", [b"hello"])
        answer = harness.get()
        self.assertEqual((answer.body, answer.isComplete), (b"hello", False))
        harness.advance(3)
        self.assertTrue(answer.isComplete)

    def test_severalAtOnce(self) -> None:
        harness = self.harness("latency=1s:slicer=2:slicer-delay=1s:limit-data=4")
        answer = harness.get()
        harness.advance(1)
        self.assertEqual(answer.body, b"he")
        harness.advance(5)
        self.assertEqual((answer.body, answer.isComplete), (b"hell", False))

    def test_otherMiddlewareSeesTheFault(self) -> None:
        harness = self.proxyHarness(middleware=["chaos:status=404:seed=1", "statistics"])
        self.assertEqual(harness.get().status, 404)

    def test_whatTheLogSays(self) -> None:
        with capturedLogs() as events:
            self.harness("limit-data=3").get()
        self.assertIn("fault_injected: chaos limit-data 3", "\n".join(formatEvent(each) for each in events))


class TestRepeatable(ProxyTestMixin, SynchronousTestCase):
    def fates(self, pause: float, options: str = "status=500:share=30%:seed=7") -> list[int]:
        harness = self.proxyHarness(upstream=FakeUpstream().wait(pause).respond(200), middleware=f"chaos:{options}")
        found = []
        for _ in range(40):
            answer = harness.get()
            harness.advance(pause)
            found.append(answer.status)
        return found

    def test_whateverTheTiming(self) -> None:
        found = self.fates(0.0)
        self.assertEqual(found, self.fates(3.0))
        self.assertTrue(5 <= found.count(500) <= 20, found)
        self.assertNotEqual(found, self.fates(0.0, "status=500:share=30%:seed=8"))

    def test_theSeedIsTold(self) -> None:
        with capturedLogs() as events:
            chaos = built(IMiddleware, "chaos:status=500")
        self.assertIn(f"chaos has the seed {chaos.seed}", formatEvent(events[-1]))


class TestOptions(PluginTestCase):
    interface = IMiddleware

    def test_mistakes(self) -> None:
        for options, problem in (
            ("share=1%", "name a fault: latency, status, timeout, reset, limit-data, bandwidth, slicer or slow-close"),
            ("status=600", "status is 200 to 599"),
            ("latency=1s:jitter=2s", "jitter is no more than latency"),
            ("slicer=5:slicer-variation=5", "slicer-variation is less than slicer"),
            ("slicer-delay=1s", "slicer-delay needs slicer"),
            ("timeout=1s:reset=1s", "timeout and reset: choose one"),
            ("latency=20s:jitter=10s", "30s is not less than the setting hook-timeout, 30s"),
        ):
            self.refuses(f"chaos:{options}", f"chaos: {problem}")
