"""A client's connection: what keeps it open and what closes it, refusals, early answers, draining."""

from __future__ import annotations

from typing import Any

from tests.unit.support import (
    OK,
    WEBSOCKET,
    Message,
    ProxyTestCase,
    answer,
    chunked,
    director,
    errorHandler,
    get,
    head,
    modifier,
    post,
)
from twistproxy.messages import InboundRequest, Response
from twistproxy.proxy import ProxyFactory
from twistproxy.testing import RawPeer


class TestStayingOpen(ProxyTestCase):
    def stays(self, data: bytes, script: Any = OK, **options: Any) -> bool:
        """Whether the client's connection stays open after an answer, which says the same."""
        self.proxy(script, **options)
        client = self.ask(data)
        (response,) = client.answers(data.split(b" ")[0])
        connection = response.get(b"connection")
        stays = not client.isEnded
        if b"HTTP/1.0" in data:
            self.assertEqual(connection, b"keep-alive" if stays else b"close")
        else:
            self.assertEqual(connection, None if stays else b"close")
        if stays:
            client.send(get(b"/again"))
            self.assertEqual(len(client.answers(data.split(b" ")[0])), 2)
        self.tearDown()
        self.setUp()
        return stays

    def test_http11(self) -> None:
        self.assertTrue(self.stays(get()))
        self.assertTrue(self.stays(get(b"/", b"Connection: keep-alive")))
        self.assertTrue(self.stays(post(b"body")))
        self.assertTrue(self.stays(get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + chunked(b"x")))
        self.assertTrue(self.stays(get(method=b"HEAD"), [head(b"Content-Length: 3"), OK]))
        self.assertTrue(self.stays(get(), [head(b"Transfer-Encoding: chunked") + chunked(b"x"), OK]))
        self.assertTrue(self.stays(get(), [head(status=b"204 No Content"), OK]))
        self.assertFalse(self.stays(get(b"/", b"Connection: close")))
        self.assertFalse(self.stays(get(b"/", b"Connection: x, Close")))

    def test_http10(self) -> None:
        self.assertFalse(self.stays(get(version=b"1.0")))
        self.assertTrue(self.stays(get(b"/", b"Connection: keep-alive", version=b"1.0")))
        self.assertFalse(self.stays(get(b"/", b"Connection: keep-alive, close", version=b"1.0")))
        self.assertFalse(
            self.stays(get(b"/", b"Connection: keep-alive", version=b"1.0"), head(b"Transfer-Encoding: chunked") + chunked(b"x"))
        )
        keeping = get(b"/", b"Connection: keep-alive", method=b"HEAD", version=b"1.0")
        self.assertTrue(self.stays(keeping, [head(b"Transfer-Encoding: chunked"), OK]))

    def test_whatTheUpstreamSaysDoesNotMatter(self) -> None:
        self.assertTrue(self.stays(get(), [answer(b"x", b"Connection: close"), OK]))
        self.assertTrue(self.stays(get(), lambda peer, request: (peer.send(head() + b"x"), peer.close())))

    def test_failuresOfUpstreams(self) -> None:
        self.assertTrue(self.stays(get(), [b"nonsense\r\n\r\n", OK]))
        self.assertTrue(self.stays(get(), [lambda peer, request: peer.close(), OK]))

    def test_whatPluginsAnswer(self) -> None:
        self.assertTrue(self.stays(get(), directors=[director(lambda inbound, outbound: Response(200))]))
        self.assertTrue(self.stays(get(), modifiers=[modifier(lambda request, response: Response(200))]))

    def test_refusalsThatHaveReadTheirRequest(self) -> None:
        self.assertTrue(self.stays(post(b"body", *WEBSOCKET)))

    def test_anAnswerBeforeTheRequestsEnd(self) -> None:
        self.assertFalse(self.stays(post(b"x" * 10)[:-1], directors=[director(lambda inbound, outbound: Response(200))]))

    def test_aRequestFromBehindTheClose(self) -> None:
        """What comes behind the last request is not looked at."""
        self.proxy(OK)
        client = self.ask(get(b"/1", b"Connection: close") + get(b"/2") + b"nonsense")
        self.assertEqual(len(client.answers()), 1)
        self.assertEqual([request.target for request in self.origin.requests], [b"/1"])


class TestRefusals(ProxyTestCase):
    def test_theyClose(self) -> None:
        self.proxy(OK)
        for data, code in (
            (b"nonsense\r\n\r\n", 400),
            (b"GET / HTTP/1.1\r\n\r\n", 400),
            (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
            (b"GET /\r\n", 400),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
            (get(b"/", b"Transfer-Encoding: gzip, chunked", method=b"POST"), 501),
        ):
            client = self.ask(data)
            response = client.answer()
            self.assertEqual((response.code, response.get(b"connection"), client.isEnded), (code, b"close", True), data)
            self.assertEqual(response.get(b"content-type"), b"text/plain; charset=utf-8")
        self.assertEqual(self.origin.peers, [])
        self.assertEqual(self.accessLog.lines, [], "there was no request")

    def test_afterGoodOnes(self) -> None:
        """In order: the good one is answered first."""
        self.proxy(None)
        client = self.ask(get(b"/1") + b"nonsense\r\n\r\n")
        self.assertEqual(client.received, b"")
        self.send(self.origin.peer, OK)
        self.assertEqual([each.code for each in client.answers()], [200, 400])
        self.assertTrue(client.isEnded)

    def test_aMalformedBodyInTheFirstSegment(self) -> None:
        """No upstream sees any of it."""
        self.proxy(OK)
        client = self.ask(get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + b"5\r\nhello\r\nx\r\n")
        self.assertEqual((client.answer(b"POST").code, client.isEnded), (400, True))
        self.assertEqual(self.origin.peers, [])
        self.assertEqual(self.accessLog.lines, [(400, "client_protocol_error")])

    def test_aMalformedBodyLater(self) -> None:
        """The upstream's connection is cut: it must not take what it has for the whole."""
        self.proxy(OK)
        client = self.ask(get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + b"5\r\nhello\r\n")
        self.assertTrue(self.origin.peer.isOpen)
        client.send(b"x\r\n")
        self.assertEqual((client.answer(b"POST").code, client.isEnded), (400, True))
        self.assertIsNotNone(self.origin.peer.closed)
        self.assertNotIn(b"0\r\n\r\n", self.origin.received)
        self.assertEqual(self.outcomes(), [("client_protocol_error", 0)])

    def test_aMalformedBodyDuringTheAnswer(self) -> None:
        """The answer breaks off."""
        self.proxy(None)
        self.origin.onHead = lambda peer: peer.send(head(b"Content-Length: 100") + b"begin")
        client = self.ask(get(b"/", b"Transfer-Encoding: chunked", method=b"POST"))
        client.send(b"x\r\n")
        self.assertTrue(client.isEnded)
        self.assertTrue(client.received.endswith(b"\r\n\r\nbegin"))
        self.assertEqual(self.accessLog.lines, [(200, "client_protocol_error")])

    def test_theClientStillSends(self) -> None:
        """The refusal reaches it: the connection is not reset under it."""
        self.proxy(OK)
        client = self.client()
        client.raw.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n" + b"x" * 50000)
        self.network.pump()
        self.assertEqual(client.answer(b"POST").code, 400)
        self.assertIsNone(client.raw.closed)
        client.send(b"x" * 50000)
        self.assertTrue(client.raw.isOpen)

    def test_anEndInTheMiddle(self) -> None:
        self.proxy(OK)
        for data in (b"", b"\r\n", b"GET", get()[:-2]):
            client = self.ask(data)
            client.halfClose()
            self.assertEqual((client.received, client.isEnded), (b"", True))
        self.assertEqual(self.engine.channels, set())


class TestMethods(ProxyTestCase):
    def test_anyToken(self) -> None:
        self.proxy(OK)
        for method in (b"QUERY", b"PROPFIND", b"get", b"X-Y", b"PRI", b"!#$%&'*+-.^_`|~"):
            self.assertEqual(self.answerTo(get(method=method)).code, 200)
            self.assertEqual(self.origin.requests[-1].start, method + b" / HTTP/1.1")

    def test_optionsOfTheServer(self) -> None:
        self.proxy(OK, urls=["http://10.0.0.1/base"])
        self.assertEqual(self.answerTo(get(b"*", method=b"OPTIONS")).code, 200)
        self.assertEqual(self.origin.request.start, b"OPTIONS * HTTP/1.1")

    def test_hostOfHTTP10(self) -> None:
        self.proxy(OK)
        self.assertEqual(self.answerTo(b"GET /x HTTP/1.0\r\n\r\n").code, 200)
        self.assertEqual(self.origin.request.get(b"host"), b"10.0.0.1")
        self.assertEqual(self.origin.request.all(b"x-forwarded-host"), [])

    def test_spellingIsKept(self) -> None:
        """Case and order of names, both ways."""
        lines = (b"x-lower: 1", b"X-UPPER: 2", b"x-Mixed: 3", b"X-UPPER: 4")
        self.proxy(answer(b"", *lines))
        client = self.ask(get(b"/", *lines))
        wire = b"\r\n".join(lines)
        self.assertIn(wire, self.origin.received)
        self.assertIn(wire, client.received)

    def test_nothingIsInvented(self) -> None:
        self.proxy(answer(b"x"))
        client = self.ask(get())
        for name in (b"user-agent", b"accept-encoding", b"accept", b"via", b"forwarded", b"connection", b"date"):
            self.assertEqual(self.origin.request.all(name), [], name)
        self.assertEqual(client.received, answer(b"x"))

    def test_via(self) -> None:
        for options in ({}, {"modifiers": [modifier(lambda request, response: None)]}):
            self.proxy(answer(b"x", b"Via: 1.1 inner"), settings={"via": "edge", "forwarded": True}, **options)
            response = self.answerTo(get(b"/", b"Via: 1.0 outer", b"Forwarded: for=evil"))
            self.assertEqual(self.origin.request.all(b"via"), [b"1.0 outer", b"1.1 edge"])
            self.assertEqual(self.origin.request.all(b"forwarded"), [b'for=203.0.113.9;host="app.example";proto=http'])
            self.assertEqual(response.all(b"via"), [b"1.1 inner", b"1.1 edge"])
            self.tearDown()
            self.setUp()


class TestDraining(ProxyTestCase):
    def stop(self) -> Any:
        assert self.reverseProxy is not None
        stopping = self.reverseProxy.stopService()
        self.network.pump()
        return stopping

    def test_idleConnectionsClose(self) -> None:
        self.proxy(OK)
        client = self.ask(get())
        self.successResultOf(self.stop())
        self.assertTrue(client.raw.eof)

    def test_theLastAnswerSaysSo(self) -> None:
        self.proxy(None)
        client = self.ask(get() + get())
        stopping = self.stop()
        self.assertNoResult(stopping)
        self.send(self.origin.peer, OK)
        self.assertEqual(client.answers()[0].get(b"connection"), b"close")
        self.assertTrue(client.isEnded)
        client.raw.close()
        self.network.pump()
        self.successResultOf(stopping)
        self.assertEqual(len(self.origin.requests), 1)

    def test_anAnswerThatWasBegun(self) -> None:
        self.proxy(head(b"Content-Length: 2"))
        client = self.ask(get())
        stopping = self.stop()
        self.send(self.origin.peer, b"ok")
        self.assertEqual(client.answer().body, b"ok")
        self.assertTrue(client.isEnded)
        self.successResultOf(stopping)

    def test_aCancelledStop(self) -> None:
        """Whoever does not want to wait cuts what is left."""
        self.proxy(None)
        client = self.ask(get())
        quiet = self.engine.drain()
        quiet.cancel()
        self.network.pump()
        self.assertTrue(client.isEnded)
        self.failureResultOf(quiet)
        self.checkNothingRuns()

    def test_aStart(self) -> None:
        self.proxy(OK)
        self.successResultOf(self.stop())
        assert self.reverseProxy is not None
        self.reverseProxy.startService()
        client = self.ask(get())
        self.assertEqual(client.answer().get(b"connection"), None)
        self.assertFalse(client.isEnded)


class TestFactory(ProxyTestCase):
    def test_withoutAService(self) -> None:
        """A factory that an endpoint listens with keeps its own time."""
        proxy = self.proxy(OK, settings={"headTimeout": 5})
        self.successResultOf(proxy.stopService())
        self.port.stopListening()
        self.network.pump()
        factory = ProxyFactory(self.engine)
        self.engine.isDraining = False
        self.port = self.network.listenTCP(8080, factory, interface="10.1.0.1")
        self.assertEqual(self.ask(get()).received, OK)
        idle = self.client()
        self.seconds(8)
        self.assertTrue(idle.isEnded)

    def test_aBadURL(self) -> None:
        for url in ("10.0.0.1", "ftp://10.0.0.1", "http://", "http://a:99999", "http://user:pw@a"):
            with self.assertRaises(ValueError):
                self.proxy(urls=[url])

    def test_upstreamsAsTheyAre(self) -> None:
        proxy = self.proxy(OK, urls=["http://10.0.0.1:80/", "unix:/run/x"])
        self.assertEqual([each.key for each in proxy.upstreams], ["http://10.0.0.1", "unix:/run/x"])

    def test_errorHandlersOfWhatHasNoRoute(self) -> None:
        """CONNECT is answered before there is a route."""
        self.proxy(OK, errorHandlers=[errorHandler(lambda request, error: Response(418))])
        self.assertEqual(self.answerTo(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n").code, 418)

    def test_noRoute(self) -> None:
        def routeFor(request: InboundRequest) -> None:
            return None

        self.proxy(OK)
        self.engine.routeFor = routeFor
        self.assertEqual(self.answerTo(get()).code, 404)
        self.assertEqual(self.accessLog.lines, [(404, "no_route")])

    def test_anAccessLogThatFails(self) -> None:
        class Failing:
            def log(self, record: object) -> None:
                raise ValueError

        self.proxy(OK)
        self.engine.accessLogs = (Failing(), self.accessLog)
        self.assertEqual(self.answerTo(get()).code, 200)
        self.assertEqual((self.engine.accessLogErrors, self.accessLog.lines), (1, [(200, "")]))


class TestErrorPages(ProxyTestCase):
    def page(self, *lines: bytes, method: bytes = b"GET") -> Message:
        if self.reverseProxy is None:
            self.proxy(OK)
            self.network.failConnections("10.0.0.1:80")
        return self.answerTo(get(b"/", *lines, method=method))

    def test_types(self) -> None:
        for accept, want in (
            (b"", b"text/plain; charset=utf-8"),
            (b"*/*", b"text/plain; charset=utf-8"),
            (b"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", b"text/html; charset=utf-8"),
            (b"application/json", b"application/problem+json"),
            (b"application/problem+json, text/html;q=0.1", b"application/problem+json"),
            (b"image/png", b"text/plain; charset=utf-8"),
            (b"text/html;q=0, text/plain", b"text/plain; charset=utf-8"),
        ):
            response = self.page(b"Accept: " + accept)
            self.assertEqual((response.code, response.get(b"content-type")), (502, want), accept)

    def test_whatTheySay(self) -> None:
        import json

        said = json.loads(self.page(b"Accept: application/json").body)
        self.assertEqual((said["status"], said["title"], said["reason"]), (502, "Bad Gateway", "connect_refused"))
        self.assertEqual(said["requestId"], self.accessLog.exchanges[-1].inbound.id)
        self.assertIn(said["detail"].encode(), self.page().body)
        for body in (self.page().body, self.page(b"Accept: text/html").body):
            self.assertNotIn(b"10.0.0.1", body)
            self.assertIn(self.accessLog.exchanges[-1].inbound.id[:8].encode(), body)

    def test_head(self) -> None:
        response = self.page(method=b"HEAD")
        self.assertEqual((response.code, response.body), (502, b""))
        self.assertGreater(int(response.get(b"content-length") or b"0"), 20)

    def test_retryAfter(self) -> None:
        self.proxy()
        response = self.answerTo(get())
        self.assertEqual((response.code, response.get(b"retry-after")), (503, b"1"))
        self.assertEqual(response.get(b"cache-control"), b"no-store")


class TestStatusMap(ProxyTestCase):
    """Row 14 of the features: who gets which status."""

    def fails(self, script: Any, code: int, reason: str, data: bytes = b"", after: float = 0, **options: Any) -> None:
        self.proxy(script, **options)
        client = self.ask(data or get())
        if after:
            self.seconds(after)
        self.assertEqual(client.answer((data or get()).split(b" ")[0]).code, code)
        self.assertEqual(self.accessLog.lines, [(code, reason)])
        self.tearDown()
        self.setUp()

    def test_upstreams(self) -> None:
        self.fails(lambda peer, request: peer.close(), 502, "upstream_closed")
        self.fails(lambda peer, request: peer.abort(), 502, "upstream_reset")
        self.fails(b"SSH-2.0-OpenSSH\r\n", 502, "upstream_protocol_error")
        self.fails(b"HTTP/2.0 200 OK\r\n\r\n", 502, "upstream_protocol_error")
        self.fails(b"HTTP/1.1 99 X\r\n\r\n", 502, "upstream_protocol_error")
        self.fails(None, 504, "upstream_timeout", after=70)

    def test_connections(self) -> None:
        self.network.failConnections("10.0.0.1:80")
        self.fails(OK, 502, "connect_refused")
        self.network.blackHole("10.0.0.1:80")
        self.fails(OK, 504, "connect_timeout", after=12)
        self.fails(OK, 502, "dns_failure", urls=["http://no.such.host"])
        self.fails(OK, 502, "connect_refused", urls=["unix:/no/such/socket"])

    def test_clients(self) -> None:
        self.fails(OK, 405, "method_not_allowed", b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
        self.fails(OK, 400, "client_protocol_error", post(b"x", *WEBSOCKET))
        self.fails(OK, 408, "client_timeout", post(b"x" * 10)[:-1], after=33)

    def test_anUpstreamsOwn(self) -> None:
        for status in (b"400 A", b"404 B", b"429 C", b"499 D", b"500 E", b"502 F", b"503 G", b"504 H", b"599 I"):
            self.fails(answer(b"", status=status), int(status[:3]), "")

    def test_ofAnUpstreamThatClosesIdle(self) -> None:
        """A close without an answer to be had is nobody's fault: the next request gets a new connection."""

        def closing(peer: RawPeer, request: Message) -> None:
            peer.send(OK)
            peer.close()

        self.proxy(closing)
        for _ in range(3):
            self.assertEqual(self.answerTo(post(b"x")).code, 200)
