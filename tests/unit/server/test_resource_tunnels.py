"""Upgrades through a ReverseProxyResource."""

from __future__ import annotations

from typing import Any

from tests.unit.server.support import STREAMING, ResourceTestCase
from tests.unit.support import (
    OK,
    SWITCHED,
    WEBSOCKET,
    get,
)

BIG = 3 << 20


class Tunnels:
    def test_aTunnelKeepsWhatIsGluedToEitherHead(self: Any) -> None:
        self.proxy(SWITCHED + b"early from the upstream")
        client = self.ask(get(b"/ws", *WEBSOCKET) + b"early from the client")
        start, _, rest = client.take().partition(b"\r\n\r\n")
        self.assertTrue(start.startswith(b"HTTP/1.1 101 Switching Protocols\r\n"))
        self.assertIn(b"\r\nSec-WebSocket-Accept: x", start)
        self.assertIn(b"\r\nUpgrade: websocket", start)
        self.assertEqual(rest, b"early from the upstream")
        self.assertTrue(self.origin.peer.received.endswith(b"\r\n\r\nearly from the client"))
        return client

    def test_aTunnelCarriesBothWays(self: Any) -> None:
        client = self.test_aTunnelKeepsWhatIsGluedToEitherHead()
        self.origin.isHTTP = False
        self.origin.peer.take()
        for data in (b"ping", b"x" * BIG):
            client.send(data)
            self.assertEqual(self.origin.peer.take(), data)
            self.send(self.origin.peer, data)
            self.assertEqual(client.take(), data)
        client.raw.close()
        self.network.pump()
        self.assertTrue(self.origin.peer.eof)
        self.origin.peer.close()
        self.network.pump()
        self.assertEqual(self.accessLog.lines, [(101, "")])
        self.assertEqual(self.log.getvalue().count('"GET /ws HTTP/1.1" 101 '), 1)

    def test_aTunnelIsHalfClosedEachWay(self: Any) -> None:
        client = self.test_aTunnelKeepsWhatIsGluedToEitherHead()
        self.origin.isHTTP = False
        client.halfClose()
        self.assertTrue(self.origin.peer.eof)
        self.assertFalse(client.isEnded)
        self.send(self.origin.peer, b"still")
        self.assertEqual(client.take(), b"still")
        self.origin.peer.close()
        self.network.pump()
        self.assertTrue(client.isEnded)
        self.assertFalse(client.wasReset)

    def test_aTunnelEndsWithItsUpstream(self: Any) -> None:
        client = self.test_aTunnelKeepsWhatIsGluedToEitherHead()
        self.origin.isHTTP = False
        self.origin.peer.abort()
        self.network.pump()
        self.assertTrue(client.wasReset)

    def test_aTunnelHasBackpressure(self: Any) -> None:
        client = self.test_aTunnelKeepsWhatIsGluedToEitherHead()
        self.origin.isHTTP = False
        client.raw.pause()
        self.send(self.origin.peer, b"x" * BIG)
        self.assertLess(self.network.maxBuffered(self.towards(client.raw)), 512 << 10)
        client.raw.resume()
        self.network.pump()
        self.assertEqual(len(client.take()), BIG)

    def test_anIdleTunnelIsClosed(self: Any) -> None:
        self.proxy(SWITCHED, settings={"tunnelIdleTimeout": 300.0})
        client = self.ask(get(b"/ws", *WEBSOCKET))
        self.seconds(290)
        self.assertFalse(client.isEnded)
        self.seconds(15)
        self.assertTrue(client.isEnded)

    def test_aTunnelThatNobodyAskedFor(self: Any) -> None:
        self.proxy(SWITCHED)
        self.assertEqual(self.answerTo(get()).code, 502)

    def test_anUpgradeThatIsNotMade(self: Any) -> None:
        self.proxy([OK, OK])
        client = self.ask(get(b"/ws", *WEBSOCKET) + get())
        self.assertEqual([each.code for each in client.answers()], [200, 200])

class TestUnderAStockSite(Tunnels, ResourceTestCase):
    pass


class TestUnderAStreamingSite(Tunnels, ResourceTestCase):
    makeSite = staticmethod(STREAMING)
