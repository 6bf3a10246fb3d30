"""L{twistproxy.middleware.statistics}: what came through, in a proxy."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from tests.unit.builtin import built
from tests.unit.support import OK, ProxyTestCase, get, post
from twistproxy.interfaces import IMiddleware
from twistproxy.middleware.statistics import OTHERS


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
        self.assertEqual((statistics.inFlight, statistics.all.requests), (1, 0))
        client.abort()
        self.assertEqual((statistics.inFlight, statistics.snapshot()["failures"]), (0, {"client_closed": 1}))
        self.assertEqual(statistics.snapshot()["statuses"], {499: 1})

    def test_manyUpstreams(self) -> None:
        statistics = built(IMiddleware, "statistics", reactor=Clock())
        for number in range(1500):
            statistics._upstream(f"http://u{number}").requests += 1
        self.assertEqual(len(statistics.upstreams), 1001)
        self.assertEqual(statistics.upstreams[OTHERS].requests, 500)

    def test_aLineNowAndThen(self) -> None:
        clock = Clock()
        statistics = built(IMiddleware, "statistics:name=here:log=10s", reactor=clock)
        statistics.startService()
        with capturedLogs() as logged:
            clock.advance(10)
            statistics.all.add(12.0, 502, "upstream_reset", 0.5, 0, 0)
            clock.advance(10)
            clock.advance(10)
            statistics.stopService()
            statistics.all.add(12.0, 200, "", 0.5, 0, 0)
            clock.advance(10)
        self.assertEqual(
            [formatEvent(each) for each in logged],
            ["here: 1 requests in 10 s, 0 under way; of all 1: 1 failed, half within 0.500 s, 99 % within 0.500 s"],
        )
        self.assertEqual(clock.getDelayedCalls(), [])
