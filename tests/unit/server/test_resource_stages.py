"""Bodies at a pace and faults on purpose through a ReverseProxyResource."""

from __future__ import annotations

from typing import Any

from tests.unit.builtin import built
from tests.unit.server.support import STREAMING, ResourceTestCase
from tests.unit.support import OK, SWITCHED, WEBSOCKET, answer, get, post
from twistproxy.interfaces import IMiddleware


class Stages:
    def begin(self: Any, script: Any, options: str) -> None:
        self.proxy(script, middleware=[built(IMiddleware, options, reactor=self.network)])

    def test_bothWays(self: Any) -> None:
        self.begin(answer(b"x" * 100_000), "bandwidth-limit:rate=100000:upload=200000:burst=0")
        client = self.ask(post(b"u" * 400_000))
        self.seconds(1.001)
        self.assertLess(abs(self.origin.received.count(b"u") - 200_000), 10_000)
        self.seconds(1.001)
        self.assertEqual(len(self.origin.request.body), 400_000)
        self.seconds(1.1)
        self.assertEqual(len(client.answer(b"POST").body), 100_000)

    def test_tunnels(self: Any) -> None:
        self.begin(SWITCHED + b"d" * 100, "bandwidth-limit:rate=100:upload=50:burst=0")
        client = self.ask(get(b"/ws", *WEBSOCKET) + b"u" * 100)
        self.origin.isHTTP = False
        self.origin.peer.halfClose()
        self.seconds(0.95)
        self.assertFalse(client.isEnded)
        self.seconds(0.1)
        self.assertEqual((client.received.count(b"d" * 100), client.isEnded), (1, True))
        self.seconds(1)
        self.assertEqual(self.origin.received.count(b"u" * 100), 1)

    def test_noAnswer(self: Any) -> None:
        for options in ("timeout=1s", "reset=1s", "limit-data=2:stream=upstream"):
            self.begin(OK, f"chaos:{options}:seed=1")
            client = self.ask(post(b"body"))
            self.seconds(1)
            self.assertEqual((client.received, client.isEnded), (b"", True), options)
            self.checkNothingRuns()
            self.assertEqual(self.accessLog.lines, [(444, "fault_injected")])
            self.tearDown()
            self.setUp()


class TestUnderAStockSite(Stages, ResourceTestCase):
    pass


class TestUnderAStreamingSite(Stages, ResourceTestCase):
    makeSite = staticmethod(STREAMING)
