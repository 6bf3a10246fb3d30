"""After a 101: bytes both ways in order, half-close, backpressure, idleness, and every manner of ending."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import ISSLTransport
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.unit.support import OK, SWITCHED, WEBSOCKET, Client, Message, ProxyTestCase, get, modifier, never
from twistproxy.errors import ProxyError
from twistproxy.exchange.upgrade import checkUpgradeAnswer, checkUpgradeRequest
from twistproxy.messages import Response
from twistproxy.settings import Settings
from twistproxy.testing import RawPeer
from twistproxy.tunnels import tunnel
from twistproxy.tunnels.tunnel import canHalfClose
from twistproxy.wire.http1 import RequestReader, ResponseHead, ResponseReader


class TunnelTestCase(ProxyTestCase):
    def open(self, behind: bytes = b"", glued: bytes = b"", **options: Any) -> Client:
        """A client with a tunnel to the origin.

        @param behind: what it sends behind its request.
        @param glued: what the origin sends behind its 101.
        """

        def switch(peer: RawPeer, request: Message) -> None:
            self.origin.isHTTP = False
            peer.send(SWITCHED + glued)

        self.proxy(switch, **options)
        self.web = self.ask(get(b"/", *WEBSOCKET) + behind)
        self.assertIn(b"101 Switching", self.web.received)
        if not glued:
            self.web.take()
        if not behind:
            self.origin.peer.take()
        return self.web

    @property
    def peer(self) -> RawPeer:
        return self.origin.peer

    def over(self, code: int = 101, reason: str = "") -> None:
        """Nothing of the tunnel is left."""
        self.checkNothingRuns()
        self.assertEqual(self.engine.channels, set())
        self.assertEqual([pool.total for pool in self.engine.pools], [0])
        self.assertEqual(self.accessLog.lines, [(code, reason)])
        self.assertEqual(self.outcomes(), [(reason, code)])


class TestBytes(TunnelTestCase):
    def test_bothWays(self) -> None:
        client = self.open()
        for at in range(5):
            client.send(b"up %d" % at)
            self.assertEqual(self.peer.take(), b"up %d" % at)
            self.send(self.peer, b"down %d" % at)
            self.assertEqual(client.take(), b"down %d" % at)
        client.abort()
        self.assertEqual((self.balancer.outcomes[0].bytesIn, self.balancer.outcomes[0].bytesOut), (20, 30))
        self.assertEqual(self.accessLog.exchanges[0].bytesOut, 30)

    def test_bytesThatLookLikeHTTP(self) -> None:
        client = self.open()
        client.send(get())
        self.assertEqual(self.peer.take(), get())
        self.send(self.peer, OK + OK)
        self.assertEqual(client.take(), OK + OK)

    def test_theHeads(self) -> None:
        client = self.open()
        self.assertEqual(self.origin.request.all(b"connection"), [b"Upgrade"])
        self.assertEqual(self.origin.request.all(b"upgrade"), [b"websocket"])
        self.assertEqual(self.origin.request.get(b"sec-websocket-key"), b"a2V5")
        self.assertEqual(
            client.received,
            b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
        )

    def test_hopByHopInThe101(self) -> None:
        """What its Connection names beside Upgrade is not passed on."""
        self.proxy(SWITCHED.replace(b"Connection: Upgrade", b"Connection: Upgrade, X-Hop\r\nX-Hop: 1\r\nKeep-Alive: 5"))
        client = self.ask(get(b"/", *WEBSOCKET))
        self.assertNotIn(b"X-Hop", client.received)
        self.assertNotIn(b"Keep-Alive", client.received)

    def test_gluedToBoth(self) -> None:
        client = self.open(behind=b"early", glued=b"first")
        self.assertTrue(client.received.endswith(b"\r\n\r\nfirst"))
        self.assertTrue(self.peer.received.endswith(b"\r\n\r\nearly"))

    def test_aLotBehindTheRequest(self) -> None:
        """More than is read ahead comes too, in order, once the switch is made."""
        self.proxy(None, settings={"maxPipelinedBytes": 1000})
        frames = bytes(range(256)) * 2000
        client = self.ask(get(b"/", *WEBSOCKET))
        client.send(frames)
        self.assertTrue(self.peer.received.endswith(b"\r\n\r\n"))
        self.assertGreater(client.raw.transport.buffered, len(frames) - (200 << 10))
        self.origin.isHTTP = False
        self.send(self.peer, SWITCHED)
        self.assertEqual(self.peer.received.partition(b"\r\n\r\n")[2], frames)

    def test_otherProtocols(self) -> None:
        for wanted, given in ((b"foo", b"foo"), (b"foo, bar/2", b"bar/2"), (b"IRC/6.9", b"irc/6.9")):
            self.proxy(b"HTTP/1.1 101 Yes\r\nConnection: upgrade\r\nUpgrade: " + given + b"\r\n\r\n")
            client = self.ask(get(b"/", b"Connection: upgrade", b"Upgrade: " + wanted))
            self.assertEqual(self.origin.request.get(b"upgrade"), wanted)
            self.assertIn(b"HTTP/1.1 101 Yes\r\nConnection: Upgrade\r\nUpgrade: " + given, client.received)
            self.tearDown()
            self.setUp()

    def test_onAConnectionThatServedBefore(self) -> None:
        def switch(peer: RawPeer, request: Message) -> None:
            self.origin.isHTTP = False
            peer.send(SWITCHED)

        self.proxy([OK, switch])
        client = self.ask(get())
        client.take()
        client.send(get(b"/", *WEBSOCKET))
        client.take()
        self.peer.take()
        client.send(b"up")
        self.assertEqual(self.peer.take(), b"up")

    def test_http10CannotUpgrade(self) -> None:
        self.proxy(OK)
        self.ask(get(b"/", *WEBSOCKET, version=b"1.0"))
        self.assertEqual(self.origin.request.all(b"upgrade"), [])


class TestHalfClose(TunnelTestCase):
    def test_theClientFirst(self) -> None:
        client = self.open()
        client.send(b"last")
        client.halfClose()
        self.assertEqual((self.peer.take(), self.peer.eof), (b"last", True))
        self.send(self.peer, b"x" * 1000000)
        self.assertEqual(client.take(), b"x" * 1000000)
        self.peer.close()
        self.network.pump()
        self.assertTrue(client.raw.eof)
        self.over()

    def test_theUpstreamFirst(self) -> None:
        client = self.open()
        self.peer.send(b"last")
        self.peer.halfClose()
        self.network.pump()
        self.assertEqual((client.take(), client.raw.eof), (b"last", True))
        client.send(b"x" * 1000000)
        self.assertEqual(self.peer.take(), b"x" * 1000000)
        client.raw.close()
        self.network.pump()
        self.assertTrue(self.peer.eof)
        self.over()

    def test_bothAtOnce(self) -> None:
        client = self.open()
        client.raw.send(b"up")
        client.raw.halfClose()
        self.peer.send(b"down")
        self.peer.halfClose()
        self.network.pump()
        self.assertEqual((client.take(), self.peer.take()), (b"down", b"up"))
        self.over()

    def test_behindTheRequest(self) -> None:
        """A client that half-closes before the switch has left, as anywhere."""
        self.proxy(None)
        client = self.ask(get(b"/", *WEBSOCKET) + b"early")
        client.halfClose()
        self.checkNothingRuns()
        self.assertEqual(self.accessLog.lines, [(499, "client_closed")])

    def test_behindThe101(self) -> None:
        def switch(peer: RawPeer, request: Message) -> None:
            self.origin.isHTTP = False
            peer.send(SWITCHED + b"only")
            peer.halfClose()

        self.proxy(switch)
        client = self.ask(get(b"/", *WEBSOCKET))
        self.assertTrue(client.received.endswith(b"\r\n\r\nonly") and client.raw.eof)
        client.send(b"still")
        self.assertTrue(self.peer.received.endswith(b"still"))

    def test_whereItCannotBe(self) -> None:
        """The end of one direction ends both, once what came is written."""
        self.patch(tunnel, "canHalfClose", lambda transport: False)
        for first in ("client", "upstream"):
            client = self.open()
            client.raw.send(b"up")
            self.peer.send(b"down")
            if first == "client":
                client.halfClose()
            else:
                self.peer.halfClose()
            self.network.pump()
            self.assertEqual((client.take(), self.peer.take()), (b"down", b"up"))
            self.assertTrue(client.raw.eof and self.peer.eof)
            self.over()
            self.tearDown()
            self.setUp()

    def test_canHalfClose(self) -> None:
        self.open()
        (channel,) = self.engine.channels
        self.assertTrue(canHalfClose(channel.transport))  # type: ignore[attr-defined]

        @implementer(ISSLTransport)
        class TLS:
            def loseWriteConnection(self) -> None:
                """Of the connection below."""

        self.assertFalse(canHalfClose(TLS()))
        self.assertFalse(canHalfClose(object()))


class TestEnds(TunnelTestCase):
    def test_closes(self) -> None:
        for end in (lambda: self.web.raw.close(), lambda: self.peer.close()):
            client = self.open()
            client.raw.send(b"up")
            self.peer.send(b"down")
            self.network.pump()
            end()
            self.network.pump()
            self.assertEqual((client.take(), self.peer.take()), (b"down", b"up"))
            self.assertTrue(self.web.isEnded and (self.peer.eof or self.peer.closed is not None))
            for raw in (self.web.raw, self.peer):
                raw.close()
            self.network.pump()
            self.over()
            self.tearDown()
            self.setUp()

    def test_resets(self) -> None:
        client = self.open()
        client.abort()
        self.assertIsNotNone(self.peer.closed)
        self.over()
        self.tearDown()
        self.setUp()
        client = self.open()
        self.peer.abort()
        self.network.pump()
        self.assertIsNotNone(client.raw.closed)
        self.over()

    def test_idle(self) -> None:
        for half in (None, "client", "upstream"):
            client = self.open(settings={"tunnelIdleTimeout": 5})
            if half == "client":
                client.halfClose()
            elif half == "upstream":
                self.peer.halfClose()
                self.network.pump()
            self.seconds(7)
            self.over()
            self.tearDown()
            self.setUp()

    def test_bothEndedAndOneTakesNothing(self) -> None:
        """What is not taken is not kept for ever."""
        client = self.open(settings={"tunnelIdleTimeout": 5})
        client.raw.pause()
        self.send(self.peer, b"x" * 100000)
        client.halfClose()
        self.peer.close()
        self.network.pump()
        self.seconds(20)
        self.over()

    def test_oneIsGoneAndTheOtherTakesNothing(self) -> None:
        self.patch(tunnel, "canHalfClose", lambda transport: False)
        client = self.open(settings={"tunnelIdleTimeout": 5})
        client.raw.pause()
        self.send(self.peer, b"x" * 100000)
        self.peer.close()
        self.seconds(20)
        self.over()

    def test_aStop(self) -> None:
        client = self.open(settings={"drainTimeout": 5})
        assert self.reverseProxy is not None
        stopping = self.reverseProxy.stopService()
        self.seconds(4)
        client.send(b"still")
        self.assertEqual(self.peer.take(), b"still")
        self.assertNoResult(stopping)
        self.seconds(2)
        self.successResultOf(stopping)
        self.network.pump()
        self.assertTrue(client.isEnded)
        self.over()

    def test_membersThatGo(self) -> None:
        """A tunnel to an upstream that is wanted no more goes on."""
        client = self.open()
        assert self.reverseProxy is not None
        self.reverseProxy.setUpstreams(["http://10.0.0.9"])
        self.network.pump()
        client.send(b"still")
        self.assertEqual(self.peer.take(), b"still")


class TestBackpressure(TunnelTestCase):
    def check(self, reader: RawPeer, writer: RawPeer) -> None:
        data = bytes(range(256)) * 16384
        before = len(reader.received)
        reader.pause()
        self.send(writer, data)
        self.assertGreater(writer.transport.buffered, len(data) - (400 << 10))
        held = [each for each in self.network.connections if each not in (reader.transport, writer.transport)]
        self.assertLess(sum(each.maxBuffered for each in held), 512 << 10)
        reader.resume()
        self.network.pump()
        self.assertEqual(reader.received[before:], data)

    def test_towardsTheClient(self) -> None:
        self.open()
        self.check(self.web.raw, self.peer)

    def test_towardsTheUpstream(self) -> None:
        self.open()
        self.check(self.peer, self.web.raw)

    def test_bothAtOnce(self) -> None:
        client = self.open()
        data = bytes(range(256)) * 8192
        for reader in (client.raw, self.peer):
            reader.pause()
        client.raw.send(data)
        self.peer.send(data)
        self.network.pump()
        for reader in (client.raw, self.peer):
            reader.resume()
        self.network.pump()
        self.assertEqual((client.take(), self.peer.take()), (data, data))

    def test_afterAHalfClose(self) -> None:
        self.open()
        self.web.halfClose()
        self.check(self.web.raw, self.peer)
        self.peer.close()
        self.network.pump()
        self.over()

    def test_whenTheClientTakesNothingBeforeTheSwitch(self) -> None:
        """Buffers that are full when the tunnel begins stay bounded."""
        frames = bytes(range(256)) * 16384
        waiting = never()

        def switch(peer: RawPeer, request: Message) -> None:
            self.origin.isHTTP = False
            peer.send(SWITCHED + frames)

        self.proxy(switch, modifiers=[modifier(lambda request, response: waiting)])
        client = self.client()
        client.raw.pause()
        client.send(get(b"/", *WEBSOCKET))
        waiting.callback(None)
        self.network.pump()
        self.assertGreater(self.peer.transport.buffered, len(frames) - (400 << 10))
        client.raw.resume()
        self.network.pump()
        self.assertEqual(client.received.partition(b"\r\n\r\n")[2], frames)


class TestRules(SynchronousTestCase):
    """L{twistproxy.exchange.upgrade}, which is pure."""

    def wanted(self, *lines: bytes, method: bytes = b"GET") -> bytes:
        reader = RequestReader(Settings())
        reader.receiveData(get(b"/", *lines, method=method))
        return checkUpgradeRequest(reader.nextEvent())  # type: ignore[arg-type]

    def answered(self, *lines: bytes) -> ResponseHead:
        reader = ResponseReader(Settings())
        reader.expectResponse(False)
        reader.receiveData(b"\r\n".join((b"HTTP/1.1 101 Switching Protocols", *lines, b"", b"")))
        head = reader.nextEvent()
        assert isinstance(head, ResponseHead)
        return head

    def test_requests(self) -> None:
        for lines, want in (
            ((b"Connection: Upgrade", b"Upgrade: foo"), b"foo"),
            ((b"Connection: keep-alive, upgrade", b"Upgrade: foo", b"Upgrade: bar"), b"foo, bar"),
            ((b"Connection: Upgrade", b"Upgrade: h2c"), b""),
            ((b"Connection: Upgrade", b"Upgrade: foo, H2C , bar"), b"foo, bar"),
            ((b"Connection: Upgrade", b"Upgrade:"), b""),
            (WEBSOCKET, b"websocket"),
        ):
            self.assertEqual(self.wanted(*lines), want)

    def test_refusedRequests(self) -> None:
        for lines in (
            (b"Connection: Upgrade", b"Upgrade: foo", b"Content-Length: 1"),
            (b"Connection: Upgrade", b"Upgrade: foo", b"Transfer-Encoding: chunked"),
            (b"Connection: Upgrade", b"Upgrade: f\xf6\xf6"),
            (b"Connection: Upgrade", b"Upgrade: WebSocket"),
        ):
            error = self.assertRaises(ProxyError, self.wanted, *lines)
            self.assertEqual(error.kind.status, 400)

    def test_answers(self) -> None:
        upgrade = b"Connection: Upgrade"
        accept = b"Sec-WebSocket-Accept: x"
        for wanted, lines, want in (
            (b"foo", (upgrade, b"Upgrade: foo"), b"foo"),
            (b"foo", (b"Connection: close, UPGRADE", b"Upgrade: FOO"), b"FOO"),
            (b"foo, bar", (upgrade, b"Upgrade: bar"), b"bar"),
            (b"websocket", (upgrade, b"Upgrade: websocket", accept), b"websocket"),
        ):
            self.assertEqual(checkUpgradeAnswer(wanted, self.answered(*lines), False), want)
        for wanted, lines in (
            (b"", (upgrade, b"Upgrade: foo")),
            (b"foo", (upgrade, b"Upgrade: bar")),
            (b"foo", (upgrade,)),
            (b"foo, bar", (upgrade, b"Upgrade: foo, bar")),
            (b"foo", (b"Upgrade: foo",)),
            (b"websocket", (upgrade, b"Upgrade: websocket")),
        ):
            error = self.assertRaises(ProxyError, checkUpgradeAnswer, wanted, self.answered(*lines), False)
            self.assertEqual(error.kind.status, 502)
        self.assertEqual(checkUpgradeAnswer(b"foo", self.answered(b"Upgrade: foo"), True), b"foo")


class TestPlugins(TunnelTestCase):
    def test_aModifierMayNotChangeTheProtocol(self) -> None:
        def modify(request: object, response: Response) -> None:
            response.headers.setRawHeaders("Upgrade", ["evil"])
            response.headers.setRawHeaders("Connection", ["close"])
            response.headers.setRawHeaders("Content-Length", ["5"])

        client = self.open(modifiers=[modifier(modify)])
        self.assertIn(b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n", client.received)
        self.assertNotIn(b"evil", client.received)
