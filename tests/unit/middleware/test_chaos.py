"""L{twistproxy.middleware.chaos}: faults on purpose."""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.unit.builtin import PluginTestCase, built
from twistproxy.interfaces import IAccessLog, IMiddleware
from twistproxy.testing import FakeUpstream, ProxyHarness, ProxyTestMixin

SHAPES = "data-latency, limit-data, bandwidth, slicer or slow-close"


@implementer(IAccessLog)
class Lines:
    """An access log that keeps what it is told."""

    def __init__(self, lines: list[Any]) -> None:
        self.log = lines.append


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
        self.assertEqual((client.isEnded, client.wasReset, client.received), (True, False, b""))
        self.assertEqual((len(harness.upstream.requests), harness.engine.inFlight), (0, 0))

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

    def test_whatTheAccessLogSays(self) -> None:
        for options, code in (("timeout=1s", 444), ("reset=1s", 444), ("limit-data=3", 200)):
            lines: list[Any] = []
            harness = self.harness(options, accessLog=Lines(lines))
            harness.get()
            harness.advance(1)
            (line,) = lines
            self.assertEqual((line.status, line.reason), (code, "fault_injected"))


class TestDataLatency(ProxyTestMixin, SynchronousTestCase):
    def harness(self, options: str, upstream: FakeUpstream) -> ProxyHarness:
        return self.proxyHarness(upstream=upstream, middleware=f"chaos:{options}:seed=1")

    def test_eachPiece(self) -> None:
        harness = self.harness("data-latency=3s", FakeUpstream().events(["a", "b"], every=1))
        answer = harness.get()
        self.assertEqual((answer.status, answer.body), (200, b""))
        found = []
        for _ in range(5):
            harness.advance(1)
            found.append(len(answer.body))
        self.assertEqual(found, [0, 0, 0, 9, 18])
        self.assertTrue(answer.isComplete)

    def test_jitterKeepsTheOrder(self) -> None:
        events = [str(number) for number in range(40)]
        harness = self.harness("data-latency=1s:data-jitter=1s", FakeUpstream().events(events, every=0.1))
        answer = harness.get()
        sizes = []
        for _ in range(60):
            harness.advance(0.1)
            sizes.append(len(answer.body))
        self.assertEqual(answer.body, b"".join(b"data: %d\n\n" % number for number in range(40)))
        self.assertTrue(answer.isComplete)
        self.assertLess(len(set(sizes)), 39, "none caught up with another")

    def test_theEndOfNothing(self) -> None:
        harness = self.harness("data-latency=1s", FakeUpstream(body=b""))
        answer = harness.get()
        self.assertEqual((answer.status, answer.isComplete), (200, True))
        harness.advance(1)
        self.assertEqual((harness.get().status, len(harness.clients)), (200, 1))

    def test_aClientThatLeaves(self) -> None:
        harness = self.harness("data-latency=20s:stream=both", FakeUpstream())
        harness.post("/", b"x")
        harness.advance(21)
        harness.client.abort()
        harness.advance(1)
        self.assertEqual((harness.engine.inFlight, len(harness.upstream.requests)), (0, 1))


class TestUploads(ProxyTestMixin, SynchronousTestCase):
    def harness(self, options: str, stream: str = "upstream") -> ProxyHarness:
        return self.proxyHarness(middleware=f"chaos:{options}:seed=1:stream={stream}")

    def sizes(self, options: str, *pauses: float, stream: str = "upstream") -> list[int]:
        """What of ten bytes has come to the upstream."""
        harness = self.harness(options, stream)
        answer = harness.post("/", b"0123456789")
        (request,) = harness.upstream.requests
        found = [len(request.body)]
        for each in pauses:
            harness.advance(each)
            found.append(len(request.body))
        harness.advance(30)
        self.assertEqual((request.body, answer.status, answer.body), (b"0123456789", 200, b"hello"))
        return found

    def test_bandwidth(self) -> None:
        self.assertEqual(self.sizes("bandwidth=5", 1.01, 1.01), [0, 5, 10])

    def test_slicer(self) -> None:
        self.assertEqual(self.sizes("slicer=4:slicer-delay=1s", 1, 1), [4, 8, 10])

    def test_dataLatency(self) -> None:
        self.assertEqual(self.sizes("data-latency=2s", 1.9, 0.2), [0, 0, 10])

    def test_slowClose(self) -> None:
        self.assertEqual(self.sizes("slow-close=5s"), [10])

    def test_both(self) -> None:
        self.assertEqual(self.sizes("bandwidth=5", 1.01, stream="both"), [0, 5])

    def test_notTheOther(self) -> None:
        self.assertEqual(self.sizes("bandwidth=5", stream="downstream"), [10])

    def test_limitData(self) -> None:
        harness = self.harness("limit-data=4")
        client = harness.client
        answer = harness.post("/", b"0123456789")
        self.assertEqual((client.received, client.isEnded, answer.isComplete), (b"", True, False))
        (request,) = harness.upstream.requests
        self.assertEqual((request.isComplete, harness.upstream.peers[0].closed is not None), (False, True))
        self.assertEqual(harness.engine.inFlight, 0)
        self.assertEqual(self.sizes("limit-data=10"), [10])

    def test_limitDataOfChunks(self) -> None:
        harness = self.harness("limit-data=4")
        client = harness.client
        harness.post("/", [b"01234", b"56789"])
        self.assertEqual((client.isEnded, harness.upstream.requests[0].body), (True, b"0123"))


class TestTunnels(ProxyTestMixin, SynchronousTestCase):
    def tunnel(self, options: str) -> Any:
        self.harness = self.proxyHarness(upstream=FakeUpstream().upgrade(), middleware=f"chaos:{options}:seed=1")
        return self.harness.websocket("/")

    def times(self, options: str, data: bytes = b"0123456789") -> list[int]:
        """How much of what it echoes is there after each second."""
        tunnel = self.tunnel(options)
        tunnel.send(data)
        found = []
        for _ in range(5):
            self.harness.advance(1.001)
            found.append(len(tunnel.received))
        return found

    def test_eachFault(self) -> None:
        for stream in ("downstream", "upstream"):
            for options, found in (
                ("bandwidth=3", [3, 6, 9, 10, 10]),
                ("slicer=3:slicer-delay=1s", [6, 9, 10, 10, 10]),
                ("data-latency=2500ms", [0, 0, 10, 10, 10]),
                ("slow-close=3s", [10, 10, 10, 10, 10]),
            ):
                self.assertEqual(self.times(f"{options}:stream={stream}"), found, (stream, options))

    def test_both(self) -> None:
        self.assertEqual(self.times("data-latency=1s:stream=both"), [0, 10, 10, 10, 10])

    def test_limitDataClosesIt(self) -> None:
        tunnel = self.tunnel("limit-data=4:stream=upstream")
        tunnel.send(b"0123456789")
        self.assertEqual((tunnel.isOpen, self.harness.upstream.peers[0].received[-6:]), (False, b"\r\n0123"))
        tunnel = self.tunnel("limit-data=4")
        tunnel.send(b"123")
        self.assertTrue(tunnel.isOpen)
        tunnel.send(b"456")
        self.assertEqual((tunnel.received, tunnel.isOpen), (b"1234", False))

    def test_slowClose(self) -> None:
        tunnel = self.tunnel("slow-close=3s:stream=upstream")
        tunnel.send(b"last")
        tunnel.halfClose()
        self.harness.advance(2.9)
        self.assertTrue(tunnel.isOpen)
        self.assertFalse(self.harness.upstream.peers[0].eof)
        self.harness.advance(0.2)
        self.assertTrue(self.harness.upstream.peers[0].eof)


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
            ("share=1%", f"name a fault: latency, status, timeout, reset, {SHAPES}"),
            ("latency=1s:stream=both", f"stream is for {SHAPES}"),
            ("data-latency=1s:data-jitter=2s", "data-jitter is no more than data-latency"),
            ("status=600", "status is 200 to 599"),
            ("latency=1s:jitter=2s", "jitter is no more than latency"),
            ("slicer=5:slicer-variation=5", "slicer-variation is less than slicer"),
            ("slicer-delay=1s", "slicer-delay needs slicer"),
            ("timeout=1s:reset=1s", "timeout and reset: choose one"),
            ("latency=20s:jitter=10s", "30s is not less than the setting hook-timeout, 30s"),
        ):
            self.refuses(f"chaos:{options}", f"chaos: {problem}")
