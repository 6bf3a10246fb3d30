"""The twenty-five edge cases that naive proxies get wrong, by their numbers in reference/edge-cases.md."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.unit.support import (
    OK,
    SWITCHED,
    WEBSOCKET,
    Client,
    Message,
    ProxyTestCase,
    answer,
    chunked,
    director,
    get,
    head,
    middleware,
    modifier,
    post,
)
from twistproxy.forwarding import joinPath, joinQuery
from twistproxy.messages import OutboundRequest, Response
from twistproxy.testing import RawPeer
from twistproxy.tunnels import tunnel


class TestHeadersSentOn(ProxyTestCase):
    def test_01_aClientCannotDeleteWhatADirectorAdds(self) -> None:
        def direct(inbound: object, outbound: OutboundRequest) -> None:
            outbound.headers.setRawHeaders("X-User", ["alice"])

        self.proxy(OK, directors=[director(direct)])
        self.ask(get(b"/", b"X-User: mallory", b"Connection: X-User"))
        self.assertEqual(self.origin.request.all(b"x-user"), [b"alice"])

    def test_01_norWhatTheProxyAdds(self) -> None:
        self.proxy(OK)
        self.ask(get(b"/", b"Connection: Host, X-Forwarded-For, X-Real-IP, X-Forwarded-Host, X-Forwarded-Proto"))
        request = self.origin.request
        self.assertEqual(request.get(b"host"), b"app.example")
        self.assertEqual((request.get(b"x-forwarded-for"), request.get(b"x-real-ip")), (b"203.0.113.9", b"203.0.113.9"))
        self.assertEqual((request.get(b"x-forwarded-host"), request.get(b"x-forwarded-proto")), (b"app.example", b"http"))

    def test_01_norTheFraming(self) -> None:
        self.proxy(OK)
        self.ask(post(b"body", b"Connection: Content-Length"))
        self.ask(get(b"/", b"Transfer-Encoding: chunked", b"Connection: Transfer-Encoding", method=b"PUT") + chunked(b"body"))
        self.assertEqual([request.body for request in self.origin.requests], [b"body", b"body"])

    def test_02_whoTheClientSaysItIs(self) -> None:
        self.proxy(OK)
        plain = [b"X-Forwarded-" + each for each in (b"For", b"Host", b"Proto", b"Prefix", b"Port", b"Server")]
        names = [*plain, b"Forwarded", b"X-Real-Ip", b"X_Forwarded_For", b"X-Forwarded_For", b"x_real_ip", b"X_Forwarded-Proto"]
        self.ask(get(b"/", *(name + b": spoofed" for name in names)))
        self.assertNotIn(b"spoofed", self.origin.received)
        self.assertEqual(self.origin.request.get(b"x-forwarded-for"), b"203.0.113.9")

    def test_03_anEmptyFirstConnectionLine(self) -> None:
        lines = (b"Connection: ", b"Connection: X-Some", b"X-Some: 1")
        self.proxy(answer(b"", *lines))
        client = self.ask(get(b"/", *lines))
        for message in (self.origin.request, client.answer()):
            self.assertEqual(message.all(b"connection") + message.all(b"x-some"), [])

    def test_04_teTokensOverSeveralLines(self) -> None:
        self.proxy(OK)
        client = self.ask(get(b"/", b"Te: foo", b"Te: bar, trailers", b"Connection: close, TE"))
        client = self.ask(get(b"/", b"TE: trailers;q=0.5", b"Connection: TE"))
        client.send(get(b"/", b"TE: gzip", b"Connection: TE"))
        client.send(get(b"/", b"Te: TRAILERS"))
        self.assertEqual([request.all(b"te") for request in self.origin.requests], [[b"trailers"], [], [], [b"trailers"]])

    def test_05_trailersIsNotTrailer(self) -> None:
        self.proxy(
            head(b"Trailers: kept", b"Trailer: X-Announced", b"Transfer-Encoding: chunked")
            + chunked(b"a", trailers=[b"X-Announced: 1", b"X-Unannounced: 2"])
        )
        response = self.answerTo(get())
        self.assertEqual((response.get(b"trailers"), response.get(b"trailer")), (b"kept", b"X-Announced"))
        self.assertEqual(response.trailers, [(b"X-Announced", b"1"), (b"X-Unannounced", b"2")])

    def test_05_trailersThatNeverEnd(self) -> None:
        self.proxy(head(b"Transfer-Encoding: chunked") + b"1\r\na\r\n0\r\nX-Announced: 1\r\n", settings={"upstreamTimeout": 5})
        client = self.ask(get())
        self.assertFalse(client.isEnded)
        self.seconds(8)
        self.assertTrue(client.isEnded)
        self.assertNotIn(b"0\r\n\r\n", client.received)
        self.assertEqual(self.accessLog.lines, [(200, "upstream_timeout")])

    def test_05_trailersThatAreTooLong(self) -> None:
        self.proxy(head(b"Transfer-Encoding: chunked") + b"0\r\nX: " + b"x" * 20000)
        client = self.ask(get())
        self.assertTrue(client.isEnded)
        self.assertEqual(self.accessLog.lines, [(200, "upstream_protocol_error")])


class TestAnswersOnTheirWay(ProxyTestCase):
    def test_06_eachInformationalAnswerHasItsOwnHeaders(self) -> None:
        self.proxy(None)
        client = self.ask(get())
        hints = head(b"Link: a", b"Link: b", status=b"103 Early Hints")
        self.send(self.origin.peer, hints)
        self.assertEqual(client.take(), hints)
        processing = head(b"Link: c", status=b"102 Processing")
        self.send(
            self.origin.peer, head(b"Link: c", b"Connection: X-Hop", b"X-Hop: 1", b"Keep-Alive: 3", status=b"102 Processing")
        )
        self.assertEqual(client.take(), processing)
        self.send(self.origin.peer, OK)
        self.assertEqual(client.take(), OK)

    def test_06_whatMiddlewareAddsIsInTheFinalAnswer(self) -> None:
        async def around(request: object, proceed: Callable[[], Any]) -> Response:
            response: Response = await proceed()
            response.headers.addRawHeader("X-Outer", "1")
            return response

        self.proxy(head(b"Link: a", status=b"103 Early Hints") + OK, middleware=[middleware(around)])
        first, last = self.ask(get()).answers()
        self.assertEqual((first.code, first.all(b"x-outer")), (103, []))
        self.assertEqual((last.code, last.all(b"x-outer")), (200, [b"1"]))

    def test_06_anHTTP10ClientGetsNone(self) -> None:
        self.proxy(head(status=b"103 Early Hints") + OK)
        self.assertEqual(self.answerTo(get(version=b"1.0")).code, 200)

    def test_06_aFloodOfThem(self) -> None:
        self.proxy(head(status=b"103 Early Hints") * 100 + OK)
        client = self.ask(get())
        self.assertEqual([each.code for each in client.answers()], [103] * 32 + [502])

    def test_07_theHeadComesBeforeTheFirstByte(self) -> None:
        for lines in (
            [b"Content-Length: 5"],
            [b"Transfer-Encoding: chunked"],
            [b"Content-Type: text/event-stream;charset=utf-8"],
        ):
            self.proxy(head(*lines))
            self.assertTrue(self.ask(get()).received.startswith(b"HTTP/1.1 200 OK\r\n"))
            self.tearDown()
            self.setUp()

    def truncated(self, *lines: bytes, body: bytes, version: bytes = b"1.1", **options: Any) -> Client:
        def answered(peer: RawPeer, request: Message) -> None:
            peer.send(head(*lines) + body)
            peer.close()

        self.proxy(answered, **options)
        client = self.ask(get(version=version))
        self.assertIn(b"12345", client.received)
        self.assertEqual(self.accessLog.lines, [(200, "upstream_closed")])
        self.assertEqual(self.outcomes(), [("upstream_closed", 200)])
        return client

    def test_08_aTruncatedLength(self) -> None:
        client = self.truncated(b"Content-Length: 10", body=b"12345")
        self.assertTrue(client.isEnded)
        self.assertTrue(client.received.endswith(b"\r\n\r\n12345"))

    def test_08_aTruncatedChunk(self) -> None:
        client = self.truncated(b"Transfer-Encoding: chunked", body=b"a\r\n12345")
        self.assertTrue(client.isEnded)
        self.assertTrue(client.received.endswith(b"5\r\n12345\r\n"))

    def test_08_noLastChunk(self) -> None:
        client = self.truncated(b"Transfer-Encoding: chunked", body=b"5\r\n12345\r\n")
        self.assertTrue(client.isEnded)
        self.assertTrue(client.received.endswith(b"5\r\n12345\r\n"))

    def test_08_toAnHTTP10Client(self) -> None:
        client = self.truncated(b"Transfer-Encoding: chunked", body=b"5\r\n12345\r\n", version=b"1.0")
        self.seconds(2)
        self.assertTrue(client.wasReset, "its end must not look like a good one")

    def test_08_aLengthToAnHTTP10Client(self) -> None:
        client = self.truncated(b"Content-Length: 10", body=b"12345", version=b"1.0")
        self.assertTrue(client.isEnded)

    def test_08_withModifiers(self) -> None:
        client = self.truncated(b"Content-Length: 10", body=b"12345", modifiers=[modifier(lambda request, response: None)])
        self.assertTrue(client.isEnded)

    def test_08_aResetInTheMiddle(self) -> None:
        def answered(peer: RawPeer, request: Message) -> None:
            peer.send(head() + b"12345")

        self.proxy(answered)
        client = self.ask(get(version=b"1.0"))
        self.origin.peer.abort()
        self.seconds(2)
        self.assertTrue(client.wasReset)
        self.assertTrue(client.received.endswith(b"12345"))
        self.assertEqual(self.accessLog.lines, [(200, "upstream_reset")])

    def test_08_anAnswerUntilTheCloseIsComplete(self) -> None:
        def answered(peer: RawPeer, request: Message) -> None:
            peer.send(head() + b"12345")
            peer.close()

        self.proxy(answered)
        response = self.answerTo(get())
        self.assertEqual((response.get(b"transfer-encoding"), response.body), (b"chunked", b"12345"))
        self.assertEqual(self.accessLog.lines, [(200, "")])

    # 9: see test_aborts.py, phase by phase.

    def test_09_theClientLeaves(self) -> None:
        self.proxy(None, OK)
        client = self.ask(get())
        client.abort()
        self.checkNothingRuns()
        self.assertIsNotNone(self.origin.peer.closed)
        self.assertEqual(self.accessLog.lines, [(499, "client_closed")])
        self.assertEqual(self.outcomes(), [("client_closed", 0)])
        self.assertEqual(self.origins[1].peers, [])


class TestTries(ProxyTestCase):
    # 10 and 11: more in test_retries.py.

    def test_10_aRefusedConnectionCostsNoBody(self) -> None:
        self.proxy(OK, OK)
        self.network.failConnections("10.0.0.1:80")
        for method in (b"POST", b"LOCK", b"PATCH"):
            self.assertEqual(self.answerTo(post(b"body" * 1000, method=method)).code, 200)
        self.assertEqual([request.body for request in self.origins[1].requests], [b"body" * 1000] * 3)

    def test_10_aBodyThatWasSentIsNotSentAgain(self) -> None:
        """Unless it is idempotent, and all of it was kept."""
        self.proxy(lambda peer, request: peer.abort(), OK, settings={"maxReplayBytes": 10})
        for method, body, code in (
            (b"POST", b"body", 502),
            (b"PATCH", b"body", 502),
            (b"LOCK", b"body", 502),
            (b"PUT", b"too long a body", 502),
            (b"PUT", b"body", 200),
        ):
            client = self.ask(post(body, method=method))
            self.network.advance(0.25)
            self.assertEqual(client.answer(method).code, code)
            self.balancer.balancer._turns.clear()
        self.assertEqual([request.body for request in self.origins[1].requests], [b"body"])

    def test_10_headerChangesAreNotMadeTwice(self) -> None:
        def direct(inbound: object, outbound: OutboundRequest) -> None:
            outbound.headers.addRawHeader("X-Added", "1")

        self.proxy(OK, OK, urls=["http://10.0.0.1/base", "http://10.0.0.2/base"], directors=[director(direct)])
        self.network.failConnections("10.0.0.1:80")
        self.ask(get(b"/x"))
        self.assertEqual(self.origins[1].request.all(b"x-added"), [b"1"])
        self.assertEqual(self.origins[1].request.target, b"/base/x")

    def test_11_aStaleConnection(self) -> None:
        self.proxy([OK, lambda peer, request: peer.abort(), OK])
        client = self.ask(get(b"/1"))
        client.send(get(b"/2"))
        self.assertEqual([each.code for each in client.answers()], [200, 200])
        self.assertEqual([request.target for request in self.origin.requests], [b"/1", b"/2", b"/2"])
        self.assertEqual([peer.received.count(b"GET ") for peer in self.origin.peers], [2, 1])
        self.assertEqual(self.outcomes(), [("", 200), ("", 200)])

    def test_11_aStaleConnectionAndAPost(self) -> None:
        self.proxy([OK, lambda peer, request: peer.abort(), OK])
        client = self.ask(get(b"/1"))
        client.send(post(b"body"))
        self.assertEqual([each.code for each in client.answers()], [200, 502])

    def test_12_theUpstreamsOwnErrorGoesThrough(self) -> None:
        self.proxy(OK, answer(b"busy", b"Retry-After: 7", status=b"503 Service Unavailable"))
        self.network.failConnections("10.0.0.1:80")
        response = self.answerTo(get())
        self.assertEqual((response.code, response.get(b"retry-after"), response.body), (503, b"7", b"busy"))

    def test_12_noneAnswered(self) -> None:
        self.proxy(OK, OK)
        self.network.failConnections("10.0.0.1:80")
        self.network.failConnections("10.0.0.2:80")
        self.assertEqual(self.answerTo(get()).code, 502)

    def test_12_theLastWasTooSlow(self) -> None:
        self.proxy(OK, OK, settings={"connectTimeout": 3})
        self.network.failConnections("10.0.0.1:80")
        self.network.blackHole("10.0.0.2:80")
        client = self.ask(get())
        self.seconds(4)
        self.assertEqual(client.answer().code, 504)

    def test_12_nobodyCouldBeAsked(self) -> None:
        self.proxy()
        self.reverseProxy.setUpstreams([])  # type: ignore[union-attr]
        self.assertEqual(self.answerTo(get()).code, 503)


class TestUpgrades(ProxyTestCase):
    def switch(self, response: bytes = SWITCHED, **options: Any) -> Client:
        def answered(peer: RawPeer, request: Message) -> None:
            self.origin.isHTTP = False
            peer.send(response)

        self.proxy(answered, **options)
        return self.ask(get(b"/", *WEBSOCKET))

    def test_13_anotherProtocolThanAskedFor(self) -> None:
        client = self.switch(SWITCHED.replace(b"websocket", b"foo"))
        self.assertEqual(client.answer().code, 502)
        self.assertIsNotNone(self.origin.peer.closed)

    def test_13_aSwitchThatNobodyAskedFor(self) -> None:
        for lines in ((), WEBSOCKET[1:], (b"Connection: Upgrade",)):
            self.proxy(SWITCHED)
            self.assertEqual(self.answerTo(get(b"/", *lines)).code, 502)
            self.assertIsNotNone(self.origin.peer.closed)
            self.tearDown()
            self.setUp()

    def test_13_tokensHaveNoCase(self) -> None:
        client = self.switch(SWITCHED.replace(b"Upgrade: websocket", b"upgrade: WebSocket"))
        self.assertEqual(client.answers()[0].code, 101)

    def test_13_onlyPrintableTokens(self) -> None:
        self.proxy(SWITCHED)
        self.assertEqual(self.answerTo(get(b"/", b"Connection: Upgrade", b"Upgrade: web\xfcsocket")).code, 400)

    def test_13_aSwitchWithoutConnectionUpgrade(self) -> None:
        lacking = SWITCHED.replace(b"Connection: Upgrade\r\n", b"")
        self.assertEqual(self.switch(lacking).answer().code, 502)
        self.tearDown()
        self.setUp()
        self.assertEqual(self.switch(lacking, settings={"lenientUpgrade": True}).answers()[0].code, 101)

    def test_14_bytesGluedToTheSwitch(self) -> None:
        client = self.switch(SWITCHED + b"first frame")
        self.assertEqual(client.received, SWITCHED.replace(b"Connection: Upgrade\r\nUpgrade: websocket\r\n", b"").replace(
            b"\r\n\r\n", b"\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n") + b"first frame")  # fmt: skip

    def test_14_bytesGluedToTheRequestWaitForTheSwitch(self) -> None:
        self.proxy(None)
        client = self.ask(get(b"/", *WEBSOCKET) + b"early frame")
        self.assertTrue(self.origin.peer.take().endswith(b"\r\n\r\n"), "nothing before the 101")
        client.send(b", another")
        self.assertEqual(self.origin.peer.take(), b"")
        self.origin.isHTTP = False
        self.send(self.origin.peer, SWITCHED)
        self.assertEqual(self.origin.peer.take(), b"early frame, another")
        client.send(b", a third")
        self.assertEqual(self.origin.peer.take(), b", a third")

    def test_14_bytesGluedToARequestThatIsNotSwitched(self) -> None:
        self.proxy([OK, OK])
        client = self.ask(get(b"/1", *WEBSOCKET) + get(b"/2"))
        self.assertEqual([each.code for each in client.answers()], [200, 200])
        self.assertEqual([request.target for request in self.origin.requests], [b"/1", b"/2"])

    def test_15_halfCloseByTheClient(self) -> None:
        client = self.switch()
        client.take()
        client.send(b"question")
        client.halfClose()
        self.assertTrue(self.origin.peer.received.endswith(b"question") and self.origin.peer.eof)
        self.send(self.origin.peer, b"answer")
        self.origin.peer.close()
        self.network.pump()
        self.assertEqual(client.take(), b"answer")
        self.assertTrue(client.raw.eof)
        self.checkNothingRuns()

    def test_15_halfCloseByTheUpstream(self) -> None:
        client = self.switch()
        client.take()
        self.origin.peer.take()
        self.origin.peer.halfClose()
        self.network.pump()
        self.assertTrue(client.raw.eof)
        client.send(b"more")
        self.assertEqual(self.origin.peer.take(), b"more")
        client.raw.close()
        self.network.pump()
        self.checkNothingRuns()

    def test_16_aSideThatCannotHalfClose(self) -> None:
        self.patch(tunnel, "canHalfClose", lambda transport: False)
        client = self.switch()
        client.send(b"last words")
        client.halfClose()
        self.assertTrue(self.origin.peer.received.endswith(b"last words") and self.origin.peer.eof)
        self.assertTrue(client.isEnded)

    def test_17_noHTTPAfterTheSwitch(self) -> None:
        for hurt in (lambda: self.origin.peer.abort(), lambda: self.origin.peer.close(), lambda: self.seconds(4000)):
            client = self.switch()
            client.take()
            self.origin.peer.take()
            hurt()
            self.network.pump()
            self.assertEqual((client.take(), self.origin.peer.take()), (b"", b""))
            self.assertTrue(client.isEnded)
            self.tearDown()
            self.setUp()

    def test_18_h2cIsNotAskedFor(self) -> None:
        self.proxy(OK)
        lines = (b"Connection: Upgrade, HTTP2-Settings", b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA")
        for upgrade in (b"Upgrade: h2c", b"Upgrade: H2C", b"Upgrade: , h2c,"):
            client = self.ask(get(b"/", *lines, upgrade))
            self.assertEqual(client.answer().code, 200)
        for request in self.origin.requests:
            for name in (b"connection", b"upgrade", b"http2-settings"):
                self.assertEqual(request.all(name), [], name)

    def test_18_h2cBesideAnother(self) -> None:
        self.proxy(OK)
        self.ask(get(b"/", b"Connection: Upgrade", b"Upgrade: h2c, foo"))
        self.assertEqual(self.origin.request.get(b"upgrade"), b"foo")

    def test_18_h2cThatIsGrantedAnyway(self) -> None:
        self.proxy(SWITCHED.replace(b"websocket", b"h2c"))
        client = self.ask(get(b"/", b"Connection: Upgrade", b"Upgrade: h2c"))
        self.assertEqual(client.answer().code, 502)

    def test_18_h2cWithABodyIsAPlainRequest(self) -> None:
        self.proxy(OK)
        self.assertEqual(self.answerTo(post(b"body", b"Connection: Upgrade", b"Upgrade: h2c")).code, 200)
        self.assertEqual(self.origin.request.body, b"body")

    def test_19_anUpgradeWithABody(self) -> None:
        self.proxy(SWITCHED)
        self.assertEqual(self.answerTo(post(b"x" * 50, *WEBSOCKET)).code, 400)
        self.assertEqual(
            self.answerTo(get(b"/", b"Transfer-Encoding: chunked", *WEBSOCKET, method=b"POST") + chunked(b"x")).code, 400
        )
        self.assertEqual(self.origin.peers, [])

    def test_19_aWebSocketWithoutItsHeaders(self) -> None:
        self.proxy(SWITCHED)
        self.assertEqual(self.answerTo(get(b"/", *WEBSOCKET[:-1])).code, 400)
        self.assertEqual(self.origin.peers, [])

    def test_19_aSwitchWithoutAccept(self) -> None:
        self.assertEqual(self.switch(SWITCHED.replace(b"Sec-WebSocket-Accept: x\r\n", b"")).answer().code, 502)


class TestFraming(ProxyTestCase):
    def test_20_conflicts(self) -> None:
        self.proxy(OK)
        for lines, code in (
            ((b"Content-Length: 3", b"Transfer-Encoding: chunked"), 400),
            ((b"Transfer-Encoding: chunked, chunked",), 400),
            ((b"Transfer-Encoding: chunked, gzip",), 400),
            ((b"Transfer-Encoding: gzip, chunked",), 501),
            ((b"Content-Length: 3", b"Content-Length: 3"), 400),
            ((b"Content-Length: 3, 3",), 400),
            ((b"Content-Length: +3",), 400),
        ):
            client = self.ask(get(b"/", *lines, method=b"POST") + chunked(b"abc"))
            self.assertEqual((client.answer().code, client.isEnded), (code, True), lines)
        client = self.ask(get(b"/", b"Transfer-Encoding: chunked", version=b"1.0") + chunked(b"abc"))
        self.assertEqual((client.answer().code, client.isEnded), (400, True))
        self.assertEqual(self.origin.peers, [])

    def test_20_conflictsOfTheUpstream(self) -> None:
        for response in (
            head(b"Content-Length: 3", b"Transfer-Encoding: chunked") + chunked(b"abc"),
            head(b"Transfer-Encoding: gzip, chunked") + chunked(b"abc"),
            head(b"Content-Length: 3", b"Content-Length: 4") + b"abc",
            head(b"Transfer-Encoding: chunked", version=b"1.0") + chunked(b"abc"),
        ):
            self.proxy(response)
            self.assertEqual(self.answerTo(get()).code, 502)
            self.assertIsNotNone(self.origin.peer.closed)
            self.assertEqual(self.outcomes(), [("upstream_protocol_error", 0)])
            self.tearDown()
            self.setUp()

    def test_21_aGetUpstreamForAHead(self) -> None:
        def direct(inbound: object, outbound: OutboundRequest) -> None:
            outbound.method = b"GET"

        self.proxy(answer(b"hello"), directors=[director(direct)])
        client = self.ask(get(method=b"HEAD") + get(b"/2"))
        first, second = client.answers(b"HEAD", b"GET")
        self.assertEqual((first.get(b"content-length"), first.body), (b"5", b""))
        self.assertEqual(second.body, b"hello")

    def test_21_aHeadUpstreamForAGet(self) -> None:
        def direct(inbound: object, outbound: OutboundRequest) -> None:
            outbound.method = b"HEAD"

        self.proxy(head(b"Content-Length: 5"), directors=[director(direct)])
        client = self.ask(get() + get())
        self.assertEqual([(each.get(b"content-length"), each.body) for each in client.answers()], [(b"0", b"")] * 2)

    def test_21_headKeepsItsLength(self) -> None:
        self.proxy(head(b"Content-Length: 5"))
        client = self.ask(get(method=b"HEAD") * 2)
        self.assertEqual([each.get(b"content-length") for each in client.answers(b"HEAD", b"HEAD")], [b"5", b"5"])
        self.assertEqual(len(self.origin.peers), 1)

    def test_21_answersWithoutABody(self) -> None:
        for status in (b"204 No Content", b"304 Not Modified"):
            self.proxy([head(b"ETag: x", status=status), OK])
            client = self.ask(get() + get())
            first, second = client.answers()
            self.assertEqual((first.code, first.body, second.body), (int(status[:3]), b"", b"ok"))
            self.assertEqual(first.all(b"transfer-encoding") + first.all(b"content-length"), [])
            self.tearDown()
            self.setUp()

    def test_21_aNoContentThatHasContent(self) -> None:
        self.proxy([head(b"Content-Length: 5", status=b"204 No Content") + b"extra", OK])
        client = self.ask(get() + get())
        self.assertEqual([each.code for each in client.answers()], [204, 200])
        self.assertEqual(len(self.origin.peers), 2, "what follows the 204 must not be the next answer")

    def test_21_aHeadAnswerWithABody(self) -> None:
        self.proxy([answer(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"), OK])
        client = self.ask(get(method=b"HEAD") + get())
        self.assertEqual([each.body for each in client.answers(b"HEAD", b"GET")], [b"", b"ok"])
        self.assertEqual(len(self.origin.peers), 2)


class TestTargets(ProxyTestCase):
    def test_22_pathsAreBytes(self) -> None:
        self.assertEqual(joinPath(b"/a%2Fb%2F", b"/c"), b"/a%2Fb%2F/c")
        self.assertEqual(joinPath(b"/a%2Fb/", b"/c%2Fd"), b"/a%2Fb/c%2Fd")
        self.assertEqual(joinQuery(b"x=1", b"y=2"), b"x=1&y=2")
        self.proxy(OK, urls=["http://10.0.0.1/a%2Fb/?x=1"])
        self.ask(get(b"//c%2fd/%7E~/../%zz?y=2?&=%"))
        self.assertEqual(self.origin.request.target, b"/a%2Fb//c%2fd/%7E~/../%zz?x=1&y=2?&=%")

    def test_23_queriesAreRaw(self) -> None:
        self.proxy(OK)
        for query in (b"", b"a=1&a=2;b=3", b"a=1&a=%zz&b=3", b"a=%zz", b"&" * 7000, b"b&a"):
            self.ask(get(b"/?" + query))
            self.assertEqual(self.origin.requests[-1].target, b"/?" + query)

    def test_24_theTargetNeverChoosesWhereToGo(self) -> None:
        self.proxy(OK)
        self.assertEqual(self.answerTo(get(b"http://evil/", host=b"good")).code, 400)
        self.assertEqual(self.answerTo(get(b"http://10.0.0.9/x?y", host=b"10.0.0.9")).code, 200)
        self.assertEqual((self.origin.request.target, self.origin.request.get(b"host")), (b"/x?y", b"10.0.0.9"))

    def test_24_defaultPorts(self) -> None:
        self.proxy(OK)
        for target, host, code in (
            (b"http://hostname:80/", b"hostname", 200),
            (b"http://hostname/", b"hostname:80", 200),
            (b"http://HostName/", b"hostname", 200),
            (b"http://hostname:81/", b"hostname", 400),
            (b"https://hostname/", b"hostname:80", 400),
        ):
            self.assertEqual(self.answerTo(get(target, host=host)).code, code, target)

    def test_24_badTargets(self) -> None:
        self.proxy(OK)
        for line in (b"CONNECT host HTTP/1.1", b"GET * HTTP/1.1", b"GET foo HTTP/1.1"):
            self.assertEqual(self.answerTo(line + b"\r\nHost: host\r\n\r\n").code, 400)


class TestEarlyAnswers(ProxyTestCase):
    def test_25_anAnswerDuringTheUpload(self) -> None:
        self.proxy(None)
        refusal = answer(b"too large", status=b"413 Content Too Large")
        self.origin.onHead = lambda peer: peer.send(refusal)
        client = self.ask(get(b"/", b"Content-Length: 1000000", method=b"POST") + b"x" * 1000)
        response = client.answer()
        self.assertEqual((response.code, response.body, response.get(b"connection")), (413, b"too large", b"close"))
        self.assertEqual(self.accessLog.lines, [(413, "")])
        self.assertEqual(self.outcomes(), [("", 413)])
        self.assertIsNotNone(self.origin.peer.closed, "its request was not complete: it can't be used again")
        client.send(b"x" * 1000)
        self.assertTrue(client.raw.isOpen, "the rest is dropped for a while, so that the answer is not lost")
        client.halfClose()
        self.assertIsNone(client.raw.transport.peer, "the proxy's side is closed")

    def test_25_anAnswerAndTheRestOfTheUpload(self) -> None:
        self.proxy(None)
        self.origin.onHead = lambda peer: peer.send(OK)
        client = self.ask(get(b"/", b"Content-Length: 1000000", method=b"POST"))
        for _ in range(20):
            client.raw.send(b"x" * 20000)
        self.network.pump()
        self.assertEqual(client.received.split(b"\r\n")[0], b"HTTP/1.1 200 OK")
        self.assertIsNotNone(client.raw.closed, "it sends more than is dropped")

    def test_25_theFinalAnswerInsteadOf100(self) -> None:
        self.proxy(None)
        self.origin.onHead = lambda peer: peer.send(answer(b"", status=b"417 Expectation Failed"))
        client = self.ask(get(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"PUT"))
        self.assertEqual([each.code for each in client.answers()], [417])
        self.assertIn(b"\r\nExpect: 100-continue\r\n", self.origin.received)

    def test_25_the100IsTheUpstreams(self) -> None:
        self.proxy(OK)
        self.origin.onHead = lambda peer: peer.send(head(b"X-From: origin", status=b"100 Continue"))
        client = self.ask(get(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"PUT"))
        self.assertEqual(client.take(), head(b"X-From: origin", status=b"100 Continue"))
        client.send(b"hello")
        self.assertEqual(client.take(), OK)
        self.assertEqual(self.origin.request.body, b"hello")
