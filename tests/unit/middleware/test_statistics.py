"""L{twistproxy.middleware.statistics}: what came through, in a proxy."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from tests.unit.builtin import built
from tests.unit.support import OK, SWITCHED, WEBSOCKET, ProxyTestCase, get, post
from twistproxy.interfaces import IMiddleware
from twistproxy.logs.accesslog import recordOf
from twistproxy.messages import Upstream
from twistproxy.statistics.figures import OTHERS


class TestStatistics(ProxyTestCase):
    def counted(self, script: Any, written: str = "statistics:name=here") -> Any:
        statistics = built(IMiddleware, written, reactor=Clock())
        self.proxy(script, middleware=[statistics])
        statistics._seconds = self.network.seconds
        return statistics

    def test_answersAndFailures(self) -> None:
        statistics = self.counted(OK)
        client = self.ask(get())
        client.send(post(b"body"))
        found = statistics.snapshot()
        self.assertEqual((found["name"], found["requests"], found["inFlight"]), ("here", 2, 0))
        self.assertEqual((found["statuses"], found["bytesIn"], found["bytesOut"]), ({200: 2}, 4, 4))
        [upstream] = found["upstreams"].values()
        self.assertEqual((upstream["requests"], upstream["failures"]), (2, {}))

    def test_whatIsUnderWay(self) -> None:
        statistics = self.counted(b"")
        client = self.ask(get())
        self.assertEqual((statistics.figures.inFlight, statistics.figures.all.requests), (1, 0))
        client.abort()
        self.assertEqual((statistics.figures.inFlight, statistics.snapshot()["failures"]), (0, {"client_closed": 1}))
        self.assertEqual(statistics.snapshot()["statuses"], {499: 1})

    def test_manyUpstreams(self) -> None:
        """Those that are gone make room for those that are there."""
        statistics = built(IMiddleware, "statistics", reactor=Clock())
        staying = Upstream("http://staying")
        for number in range(3000):
            statistics.figures.of(Upstream(f"http://u{number}")).requests += 1
            statistics.figures.of(staying).requests += 1
        self.assertEqual(len(statistics.figures.upstreams), 1001)
        self.assertEqual(statistics.figures.upstreams["http://staying"].requests, 3000)
        self.assertIn("http://u2999", statistics.figures.upstreams)
        self.assertEqual(statistics.figures.upstreams[OTHERS].requests, 2001)
        self.assertEqual(sum(each.requests for each in statistics.figures.upstreams.values()), 6000)
        self.assertEqual(len(statistics.snapshot()["upstreams"]), 1001)
        self.assertNotIn("http://u0", statistics.figures._members)

    def test_triesThatFailed(self) -> None:
        """Clients did not see them; who looks for a bad upstream has to."""
        statistics = built(IMiddleware, "statistics", reactor=Clock())
        self.proxy(OK, OK, urls=["http://10.0.0.9", "http://10.0.0.1"], middleware=[statistics])
        for _ in range(2):
            self.assertEqual(self.answerTo(get()).code, 200)
        found = statistics.snapshot()
        self.assertEqual((found["requests"], found["statuses"], found["failures"]), (2, {200: 2}, {}))
        upstreams = {key: (each["requests"], each["statuses"], each["failures"]) for key, each in found["upstreams"].items()}
        refused = upstreams.pop("http://10.0.0.9")
        self.assertEqual(refused, (1, {}, {"connect_refused": 1}))
        self.assertEqual(upstreams, {"http://10.0.0.1": (2, {200: 2}, {})})

    def test_tunnels(self) -> None:
        """How long they last is no latency; what went through them counts."""
        statistics = self.counted(lambda peer, request: (self.origin.raw.add(peer), peer.send(SWITCHED)))
        client = self.ask(get(b"/", *WEBSOCKET))
        client.send(b"12345")
        self.send(self.origin.peer, b"123")
        self.assertEqual((statistics.figures.inFlight, self.upstream.inFlight), (1, 1))
        self.seconds(1000)
        client.abort()
        [record] = [recordOf(each, 0.0) for each in self.accessLog.exchanges]
        self.assertEqual((record.bytesIn, record.bytesOut), (5, 3))
        found = statistics.snapshot()
        [upstream] = found["upstreams"].values()
        for each in (found, upstream):
            self.assertEqual((each["inFlight"], each["requests"], each["statuses"]), (0, 1, {101: 1}))
            self.assertEqual((each["tunnels"], each["bytesIn"], each["bytesOut"]), (1, 5, 3))
            self.assertLess(each["latency"]["longest"], 1.0)

    def test_upstreamsThatWork(self) -> None:
        statistics = self.counted([OK, None])
        client = self.ask(get())
        client.send(get())
        [upstream] = statistics.snapshot()["upstreams"].values()
        self.assertEqual((upstream["inFlight"], upstream["requests"]), (1, 1))
        self.seconds(5)
        client.abort()
        [upstream] = statistics.snapshot()["upstreams"].values()
        self.assertEqual((upstream["inFlight"], upstream["failures"]), (0, {"client_closed": 1}))
        self.assertEqual((upstream["latency"]["count"], upstream["statuses"]), (1, {200: 1}))

    def test_oneWritesLinesAfterAReload(self) -> None:
        clock = Clock()
        before, after = (built(IMiddleware, "statistics:name=here:log=10s", reactor=clock) for _ in range(2))
        before.startService()
        before.figures.inFlight = 1
        after.takeOver(before)
        after.startService()
        with capturedLogs() as logged:
            clock.advance(10)
        self.assertEqual(len(logged), 1)
        for each in (before, after):
            each.stopService()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_aLineNowAndThen(self) -> None:
        clock = Clock()
        statistics = built(IMiddleware, "statistics:name=here:log=10s", reactor=clock)
        statistics.startService()
        with capturedLogs() as logged:
            clock.advance(10)
            statistics.figures.all.add(12.0, 502, "upstream_reset", 0.5, 0, 0)
            clock.advance(10)
            clock.advance(10)
            statistics.stopService()
            statistics.figures.all.add(12.0, 200, "", 0.5, 0, 0)
            clock.advance(10)
        self.assertEqual(
            [formatEvent(each) for each in logged],
            ["here: 1 requests in 10 s, 0 under way; of all 1: 1 failed, half within 0.500 s, 99 % within 0.500 s"],
        )
        self.assertEqual(clock.getDelayedCalls(), [])
