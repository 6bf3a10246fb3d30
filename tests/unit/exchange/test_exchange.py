"""Whole exchanges: what goes to the upstream, what comes back."""

from __future__ import annotations

from tests.unit.support import (
    OK,
    WEBSOCKET,
    Message,
    ProxyTestCase,
    answer,
    chunked,
    get,
    head,
    modifier,
    post,
)
from twistproxy.testing import RawPeer


class TestOneRequest(ProxyTestCase):
    def test_theUpstreamGetsTheRequestInOneSegment(self) -> None:
        self.proxy(OK)
        self.ask(get(b"/a?b", b"X-One: 1"))
        self.assertEqual(
            self.origin.received,
            b"GET /a?b HTTP/1.1\r\nHost: app.example\r\nX-One: 1\r\nX-Forwarded-For: 203.0.113.9\r\n"
            b"X-Real-IP: 203.0.113.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: app.example\r\n\r\n",
        )

    def test_theClientGetsTheAnswer(self) -> None:
        self.proxy(answer(b"hello", b"X-Two: 2"))
        self.assertEqual(self.ask(get()).received, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Two: 2\r\n\r\nhello")
        self.assertEqual(self.accessLog.lines, [(200, "")])
        self.assertEqual(self.outcomes(), [("", 200)])

    def test_headAndFirstBytesLeaveTogether(self) -> None:
        """In both directions: one delivery for each."""
        segments: list[bytes] = []
        self.proxy(None)
        self.origin.server.onData = lambda peer, data: segments.append(data)
        client = self.client()
        client.raw.onData = lambda peer, data: segments.append(data)
        client.send(post(b"body"))
        self.send(self.origin.peer, answer(b"hello"))
        self.assertEqual([data[:4] for data in segments], [b"POST", b"HTTP"])
        self.assertTrue(segments[0].endswith(b"\r\n\r\nbody") and segments[1].endswith(b"\r\n\r\nhello"))

    def test_severalUpstreamsTakeTurns(self) -> None:
        self.proxy(answer(b"1"), answer(b"2"), answer(b"3"))
        self.assertEqual([self.answerTo(get()).body for _ in range(6)], [b"1", b"2", b"3"] * 2)

    def test_manyClientsAtOnce(self) -> None:
        self.proxy(lambda peer, request: self.network.callLater(1, peer.send, answer(request.target)))
        clients = [self.ask(get(b"/%d" % at)) for at in range(50)]
        self.assertEqual(self.upstream.inFlight, 50)
        self.seconds(1)
        self.assertEqual([client.answer().body for client in clients], [b"/%d" % at for at in range(50)])

    def test_inFlight(self) -> None:
        seen: list[int] = []
        self.proxy(lambda peer, request: (seen.append(self.upstream.inFlight), peer.send(OK)))
        self.ask(get())
        self.assertEqual((seen, self.upstream.inFlight), ([1], 0))

    def test_bytesOut(self) -> None:
        """Of the body as the client got it, in whatever framing."""
        for script in (answer(b"x" * 1000), head(b"Transfer-Encoding: chunked") + chunked(b"x" * 400, b"y" * 600)):
            for options in ({}, {"modifiers": [modifier(lambda request, response: None)]}):
                self.proxy(script, **options)
                self.ask(get())
                self.assertEqual(self.accessLog.exchanges[0].bytesOut, 1000)
                self.assertEqual(self.balancer.outcomes[0].bytesOut, 1000)
                self.tearDown()
                self.setUp()

    def test_itsNameForPeople(self) -> None:
        self.proxy(OK)
        self.ask(get(b"/a?b"))
        self.assertEqual(repr(self.accessLog.exchanges[0]), "<Exchange <InboundRequest GET /a?b from 203.0.113.9:49152>>")


class TestUpgradeOverPooledConnections(ProxyTestCase):
    def test_aStaleConnection(self) -> None:
        """A WebSocket handshake is a GET: it may be repeated."""

        def gone(peer: RawPeer, request: Message) -> None:
            peer.abort()

        self.proxy([OK, gone, OK])
        client = self.ask(get())
        client.send(get(b"/", *WEBSOCKET))
        self.assertEqual([each.code for each in client.answers()], [200, 200])
        self.assertEqual([request.get(b"upgrade") for request in self.origin.requests[1:]], [b"websocket"] * 2)
