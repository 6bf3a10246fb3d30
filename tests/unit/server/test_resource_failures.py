"""What a ReverseProxyResource refuses, what fails, who leaves, and how its clock and its service end."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.util import DeferredResource

from tests.unit.server.support import STREAMING, ResourceTestCase
from tests.unit.support import (
    OK,
    Message,
    chunked,
    director,
    get,
    head,
    never,
    post,
)
from twistproxy.server import webstream
from twistproxy.testing import RawPeer


class Failures:
    def test_statusesOfFailures(self: Any) -> None:
        def close(peer: RawPeer, request: Message) -> None:
            peer.close()

        cases: list[tuple[Any, int, str]] = [
            (close, 502, "upstream_closed"),
            (lambda peer, request: peer.abort(), 502, "upstream_reset"),
            (b"garbage\r\n\r\n", 502, "upstream_protocol_error"),
            (head(b"Content-Length: 1", b"Transfer-Encoding: chunked"), 502, "upstream_protocol_error"),
        ]
        self.proxy([script for script, _, _ in cases])
        for _, code, reason in cases:
            told = self.answerTo(get(b"/", b"Accept: application/json"))
            self.assertEqual((told.code, told.get(b"content-type")), (code, b"application/problem+json"))
            self.assertIn(reason.encode(), told.body)
            self.assertNotIn(b"10.0.0.1", told.raw)

    def test_nobodyListens(self: Any) -> None:
        self.proxy(urls=["http://10.0.0.9"])
        self.assertEqual(self.answerTo(get()).code, 502)

    def test_nobodyAnswers(self: Any) -> None:
        self.proxy(None)
        client = self.ask(get())
        self.seconds(62)
        self.assertEqual(client.answer().code, 504)

    def test_aBrokenAnswerIsNoCleanEnd(self: Any) -> None:
        for start in (head(b"Content-Length: 100"), head(b"Transfer-Encoding: chunked") + b"2\r\n"):
            self.proxy(lambda peer, request, start=start: (peer.send(start + b"he"), peer.close()))
            client = self.ask(get())
            self.assertTrue(client.isEnded)
            with self.assertRaises(AssertionError):
                client.answer()
            self.assertTrue(client.received.endswith(b"he") or client.received.endswith(b"he\r\n"))
            self.assertEqual(self.accessLog.lines, [(200, "upstream_closed")])
            self.tearDown()
            self.setUp()

    def test_aBrokenAnswerToHTTP10EndsInAReset(self: Any) -> None:
        self.proxy(head(b"Transfer-Encoding: chunked") + b"2\r\nhe\r\n")
        client = self.ask(get(version=b"1.0"))
        self.assertTrue(client.received.endswith(b"he"))
        self.origin.peer.abort()
        self.network.pump()
        self.assertTrue(client.wasReset)

    def test_aClientThatLeavesCancelsItsRequest(self: Any) -> None:
        for answered in (b"", head(b"Content-Length: 100") + b"he"):
            for leave in ("abort", "halfClose"):
                self.proxy(answered)
                client = self.ask(get())
                getattr(client, leave)()
                self.assertIsNotNone(self.origin.peer.closed)
                self.assertEqual(self.accessLog.lines, [(200 if answered else 499, "client_closed")])
                self.checkNothingRuns()
                self.tearDown()
                self.setUp()

    def test_aClientThatLeavesCancelsAConnectionAttempt(self: Any) -> None:
        self.proxy(OK)
        self.network.blackHole("10.0.0.1")
        client = self.ask(get())
        client.abort()
        self.assertEqual(self.accessLog.lines, [(499, "client_closed")])

    def test_aClientThatLeavesCancelsAPlugin(self: Any) -> None:
        cancelled: list[Any] = []
        self.proxy(OK, directors=[director(lambda *_: never(cancelled))])
        self.ask(get()).abort()
        self.assertEqual(len(cancelled), 1)

    def test_aClientThatLeftBeforeTheResourceWasAsked(self: Any) -> None:
        waiting: Deferred[Any] = Deferred()
        self.plant = lambda: DeferredResource(waiting)
        self.proxy(OK)
        self.ask(get()).abort()
        waiting.callback(self.resource)
        self.assertEqual(self.origin.peers, [])

    def test_whatTwistedWebLetsThroughIsRefused(self: Any) -> None:
        host, more = b"Host: a\r\n", b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
        bad = {
            b"GET /\x7f HTTP/1.1\r\n" + host,
            b"GET /\x80 HTTP/1.1\r\n" + host,
            b"GET /a#b HTTP/1.1\r\n" + host,
            b"GET / HTTP/1.1\r\n",
            b"GET / HTTP/1.1\r\n" + host + host,
            b"GET / HTTP/1.1\r\nHost: a b\r\n",
            b"GET / HTTP/1.1\r\nHost: a/b\r\n",
            b"GET / HTTP/1.1\r\nTransfer-Encoding: identity\r\n" + host,
            b"GET / HTTP/1.1\r\nTransfer-Encoding: identity\r\nContent-Length: %d\r\n" % len(more) + host,
            b"GET / HTTP/1.1\r\nContent-Length: 0\r\nTransfer-Encoding: identity\r\n" + host,
            b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n" + host + b"\r\n0\r\n",
            b"GET / HTTP/1.1\r\nX-Bad: a\x01b\r\n" + host,
            b"GET / HTTP/1.1\r\nX-Bad: a\x7fb\r\n" + host,
            b"GET http://b/ HTTP/1.1\r\n" + host,
            b"GET ftp://a/ HTTP/1.1\r\n" + host,
            b"GET x HTTP/1.1\r\n" + host,
        }
        self.proxy(OK)
        for each in bad:
            client = self.ask(each + b"\r\n" + more)
            self.assertEqual((client.answer().code, client.isEnded), (400, True), each)
            self.assertEqual(self.origin.received, b"", each)
            self.assertFalse(client.wasReset)

    def test_whatTwistedWebRefusesStaysRefused(self: Any) -> None:
        bad = [
            b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
            b"Content-Length: 1\r\nContent-Length: 1\r\n",
            b"Transfer-Encoding: gzip, chunked\r\n",
            b"Content-Length: +1\r\n",
            b"X : y\r\n",
        ]
        self.proxy(OK)
        for each in bad:
            client = self.ask(b"GET / HTTP/1.1\r\nHost: a\r\n" + each + b"\r\n")
            self.assertTrue(client.received.startswith(b"HTTP/1.1 400 "), each)
            self.assertTrue(client.isEnded)
        self.assertEqual(self.origin.peers, [])

    def test_CONNECTIsNotAllowed(self: Any) -> None:
        self.proxy(OK)
        self.assertEqual(self.answerTo(b"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n").code, 405)
        self.assertEqual(self.origin.peers, [])

    def test_limitsOfTheHead(self: Any) -> None:
        self.proxy(OK, settings={"maxHeaderCount": 10, "maxTargetBytes": 100})
        self.assertEqual(self.answerTo(get(b"/", *[b"X: y"] * 20)).code, 431)
        self.assertEqual(self.answerTo(get(b"/" + b"x" * 200)).code, 414)
        self.assertEqual(self.origin.peers, [])

    def test_aBodyThatIsTooLong(self: Any) -> None:
        self.proxy(OK, settings={"maxBodyBytes": 10})
        self.assertEqual(self.answerTo(post(b"x" * 11)).code, 413)
        self.assertEqual(self.answerTo(get(b"/", b"Transfer-Encoding: chunked", method=b"PUT") + chunked(b"x" * 11)).code, 413)
        self.assertEqual(self.origin.peers, [])
        self.assertEqual(self.answerTo(post(b"x" * 10)).code, 200)

    def test_theClockStopsWhenThereIsNothingToTime(self: Any) -> None:
        self.proxy(OK)
        client = self.ask(get())
        client.raw.close()
        self.seconds(100)
        self.port.stopListening()
        self.network.closePeers()
        self.network.assertClean()
        self.port = self.network.listenTCP(8080, self.site, interface="10.1.0.1")
        self.origins = [self.serve("10.0.0.1:80", OK)]
        self.assertEqual(self.answerTo(get()).code, 200)

    def test_aServiceLetsItsRequestsEnd(self: Any) -> None:
        proxy = self.proxy(None)
        proxy.startService()
        client = self.ask(get())
        stopped = proxy.stopService()
        self.network.pump()
        self.assertNoResult(stopped)
        self.send(self.origin.peer, OK)
        self.assertEqual(client.answer().get(b"connection"), b"close")
        self.successResultOf(stopped)
        self.assertTrue(client.isEnded)

    def test_aServiceCutsWhatDoesNotEnd(self: Any) -> None:
        proxy = self.proxy(None)
        proxy.startService()
        client = self.ask(get())
        stopped = proxy.stopService()
        self.seconds(11)
        self.successResultOf(stopped)
        self.assertTrue(client.isEnded)

class TestUnderAStockSite(Failures, ResourceTestCase):
    pass


class TestUnderAStreamingSite(Failures, ResourceTestCase):
    makeSite = staticmethod(STREAMING)

    def test_anUploadThatIsNotRead(self) -> None:
        """Its client may leave: the kernel is asked. When it is complete, it is read like any other."""
        self.patch(webstream, "hasLeft", lambda transport: transport.getHandle().peer.closed)
        self.proxy(None, settings={"maxConnectionsPerUpstream": 1})
        self.ask(get())
        waiting, complete = self.ask(post(b"x" * 150_000)), self.ask(post(b"x" * 100_000))
        self.seconds(5)
        self.assertEqual(self.engine.inFlight, 3)
        complete.abort()
        self.assertEqual(self.engine.inFlight, 2)
        waiting.abort()
        self.seconds(2)
        self.assertEqual((self.engine.inFlight, len(self.engine.pools.room)), (1, 0))
