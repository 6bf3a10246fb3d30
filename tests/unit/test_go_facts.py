"""The facts that Go's C{net/http/httputil/reverseproxy_test.go} (1.27.3) checks, as cases of ours.

Each docstring names Go's test. What is not applicable, and why:

- TestReverseProxyGetPutBuffer: there is no buffer pool; bytes go from one transport to the other, see
  test_backpressure.py.
- TestReverseProxyFlushInterval, TestReverseProxyResponseControllerFlushInterval, TestSelectFlushInterval: every piece
  goes on at once, so there is no interval to choose. What those tests want to see is a case here all the same.
- TestNilBody, TestReverseProxy_NilBody, TestReverseProxy_AllocatedHeader: there is always a body and there are always
  headers; the cases check what such a request looks like upstream.
- BenchmarkServeHTTP: see benchmarks/.
"""

from __future__ import annotations

from tests.unit.support import (
    OK,
    SWITCHED,
    WEBSOCKET,
    Message,
    ProxyTestCase,
    answer,
    chunked,
    director,
    errorHandler,
    get,
    head,
    middleware,
    modifier,
    post,
)
from twistproxy.errors import UPSTREAM_CLOSED
from twistproxy.forwarding import joinPath, joinQuery
from twistproxy.messages import OutboundRequest, Response, Upstream
from twistproxy.testing import RawPeer


class TestHeaders(ProxyTestCase):
    def test_aWholeExchange(self) -> None:
        """TestReverseProxy."""
        self.proxy(
            head(
                b"X-Foo: bar", b"Trailers: not a special header field name", b"Trailer: X-Trailer", b"Keep-Alive: timeout=5",
                b"Proxy-Authenticate: Basic", b"X-Multi-Value: foo", b"X-Multi-Value: bar", b"Set-Cookie: flavor=chocolate",
                b"Transfer-Encoding: chunked", status=b"404 Not Found",
            ) + chunked(b"gone", trailers=[b"X-Trailer: trailer_value", b"X-Unannounced-Trailer: unannounced_value"])
        )  # fmt: skip
        client = self.ask(
            get(
                b"/", b"Connection: close, TE", b"Te: foo", b"Te: bar, trailers", b"Proxy-Connection: should be deleted",
                b"Upgrade: foo", host=b"some-name",
            )
        )  # fmt: skip
        request = self.origin.request
        self.assertEqual(request.get(b"te"), b"trailers")
        for name in (b"connection", b"proxy-connection", b"upgrade", b"transfer-encoding"):
            self.assertEqual(request.all(name), [], name)
        self.assertEqual(request.get(b"x-forwarded-for"), b"203.0.113.9")
        self.assertEqual(request.get(b"host"), b"some-name")
        response = client.answer()
        self.assertEqual(response.code, 404)
        self.assertEqual(response.get(b"x-foo"), b"bar")
        self.assertEqual(response.get(b"trailers"), b"not a special header field name")
        self.assertEqual(response.all(b"x-multi-value"), [b"foo", b"bar"])
        self.assertEqual(response.all(b"set-cookie"), [b"flavor=chocolate"])
        self.assertEqual(response.all(b"keep-alive") + response.all(b"proxy-authenticate"), [])
        self.assertEqual(response.get(b"trailer"), b"X-Trailer")
        self.assertEqual(response.body, b"gone")
        self.assertEqual(response.trailers, [(b"X-Trailer", b"trailer_value"), (b"X-Unannounced-Trailer", b"unannounced_value")])
        self.assertTrue(client.isEnded)

    def test_anUpstreamThatHangsUp(self) -> None:
        """TestReverseProxy, its last part."""
        self.proxy(lambda peer, request: peer.close())
        self.assertEqual(self.answerTo(get(b"/?mode=hangup")).code, 502)
        self.assertEqual(self.outcomes(), [("upstream_closed", 0)])

    def _nominated(self, *connection: bytes) -> None:
        marked = (b"X-Fake: fake", b"X-Some: some")
        self.proxy(answer(b"x", *connection, *marked), directors=[director(lambda inbound, outbound: None)])
        client = self.ask(get(b"/", *connection, *marked, b"X-Kept: 1"))
        for message in (self.origin.request, client.answer()):
            for name in (b"connection", b"upgrade", b"x-fake", b"x-some"):
                self.assertEqual(message.all(name), [], name)
        self.assertEqual(self.origin.request.get(b"x-kept"), b"1")
        inbound = self.accessLog.exchanges[0].inbound
        self.assertEqual(inbound.headers.get("X-Fake"), "fake")
        self.assertEqual(inbound.headers.getRawHeaders(b"connection"), [line.partition(b": ")[2] for line in connection])

    def test_whatConnectionNames(self) -> None:
        """TestReverseProxyStripHeadersPresentInConnection."""
        self._nominated(b"Connection: X-Fake", b"Connection: X-Some")

    def test_whatAnEmptyConnectionHides(self) -> None:
        """TestReverseProxyStripEmptyConnection."""
        self._nominated(b"Connection: ", b"Connection: X-Fake, X-Some")

    def test_forwardedForOfATrustedProxyIsKept(self) -> None:
        """TestXForwardedFor: here only for who is trusted."""
        from ipaddress import ip_network

        self.proxy(OK, settings={"trustedProxies": (ip_network("203.0.113.0/24"),)})
        self.ask(get(b"/", b"X-Forwarded-For: 198.51.100.7"))
        self.assertEqual(self.origin.request.get(b"x-forwarded-for"), b"198.51.100.7, 203.0.113.9")

    def test_aDirectorMayLeaveForwardedForOut(self) -> None:
        """TestXForwardedFor_Omit."""
        self.proxy(OK, directors=[director(lambda inbound, outbound: outbound.headers.removeHeader("X-Forwarded-For"))])
        self.ask(get(b"/", b"X-Forwarded-For: 198.51.100.7"))
        self.assertEqual(self.origin.request.all(b"x-forwarded-for"), [])

    def test_whatAClientSaysAboutItselfIsGone(self) -> None:
        """TestReverseProxyRewriteStripsForwarded."""
        seen: list[OutboundRequest] = []

        def direct(inbound: object, outbound: OutboundRequest) -> None:
            self.assertEqual(outbound.headers.get("X-Forwarded-For"), "203.0.113.9")
            for name in ("X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto"):
                outbound.headers.removeHeader(name)
            seen.append(outbound)

        self.proxy(OK, directors=[director(direct)])
        names = (b"Forwarded", b"X-Forwarded-For", b"X-Forwarded-Host", b"X-Forwarded-Proto")
        self.ask(get(b"/", *(name + b": spoof" for name in names)))
        self.assertEqual(len(seen), 1)
        for name in names:
            self.assertEqual(self.origin.request.all(name), [], name)

    def test_theUserAgentIsTheClients(self) -> None:
        """TestUserAgentHeader."""
        self.proxy(OK)
        client = self.ask(get(b"/", b"User-Agent: explicit UA"))
        client.send(get())
        self.assertEqual([request.all(b"user-agent") for request in self.origin.requests], [[b"explicit UA"], []])

    def test_directorsDoNotChangeWhatCameIn(self) -> None:
        """TestServeHTTPDeepCopy, TestClonesRequestHeaders."""

        def direct(inbound: object, outbound: OutboundRequest) -> None:
            outbound.path, outbound.query = b"/changed", b"c=d"
            outbound.headers.setRawHeaders("From-Director", ["1"])
            outbound.headers.removeHeader("X-One")

        self.proxy(OK, directors=[director(direct)])
        self.ask(get(b"/foo?a=b", b"X-One: 1"))
        self.assertEqual(self.origin.request.target, b"/changed?c=d")
        inbound = self.accessLog.exchanges[0].inbound
        self.assertEqual((inbound.target, inbound.path, inbound.query), (b"/foo?a=b", b"/foo", b"a=b"))
        self.assertFalse(inbound.headers.hasHeader("From-Director") or inbound.headers.hasHeader("X-Forwarded-For"))
        self.assertEqual(inbound.headers.get("X-One"), "1")
        self.assertEqual(self.origin.request.all(b"x-one"), [])

    def test_theUpstreamsOwnHost(self) -> None:
        """TestSetURL: Go's SetURL rewrites Host; here a director says so."""

        def direct(inbound: object, outbound: OutboundRequest) -> Upstream:
            outbound.host = "backend.example:8000"
            return self.upstream

        self.proxy(OK, directors=[director(direct)])
        self.ask(get())
        self.assertEqual(self.origin.request.get(b"host"), b"backend.example:8000")

    def test_aDirectorMayReplaceEverything(self) -> None:
        """TestReverseProxyRewriteReplacesOut."""

        def direct(inbound: object, outbound: OutboundRequest) -> None:
            outbound.method, outbound.path, outbound.query = b"PUT", b"/new", None
            for name, _ in list(outbound.headers.getAllRawHeaders()):
                outbound.headers.removeHeader(name)
            outbound.body = b"body"

        self.proxy(OK, directors=[director(direct)])
        self.ask(get(b"/old?x", b"X-One: 1"))
        self.assertEqual(self.origin.received, b"PUT /new HTTP/1.1\r\nHost: 10.0.0.1\r\nContent-Length: 4\r\n\r\nbody")


class TestTargets(ProxyTestCase):
    def _target(self, base: bytes, asked: bytes) -> bytes:
        if self.reverseProxy is not None:
            self.tearDown()
            self.setUp()
        self.proxy(OK, urls=["http://10.0.0.1" + base.decode()])
        self.ask(get(asked))
        return self.origin.request.target

    def test_queriesAreJoined(self) -> None:
        """TestReverseProxyQuery."""
        for base, asked, want in (
            (b"/", b"/", b"/"),
            (b"/?sta=tic", b"/?us=er", b"/?sta=tic&us=er"),
            (b"/", b"/?us=er", b"/?us=er"),
            (b"/?sta=tic", b"/", b"/?sta=tic"),
        ):
            self.assertEqual(self._target(base, asked), want)

    def test_oneSlash(self) -> None:
        """TestSingleJoinSlash; but a request's path is never empty, and an upstream without a path adds none."""
        for base, path, want in (
            (b"https:/", b"/favicon.ico", b"https:/favicon.ico"),
            (b"/base", b"/favicon.ico", b"/base/favicon.ico"),
            (b"/base/", b"favicon.ico", b"/base/favicon.ico"),
            (b"/base", b"favicon.ico", b"/base/favicon.ico"),
            (b"", b"/favicon.ico", b"/favicon.ico"),
            (b"/base", b"/", b"/base/"),
        ):
            self.assertEqual(joinPath(base, path), want)

    def test_encodedSlashes(self) -> None:
        """TestJoinURLPath: raw paths, bytes as they are."""
        for base, path, want in (
            (b"/a/b", b"/c", b"/a/b/c"),
            (b"/a%2Fb", b"/c", b"/a%2Fb/c"),
            (b"/a%2Fb%2F", b"/c", b"/a%2Fb%2F/c"),
            (b"/a%2Fb/", b"/c%2Fd", b"/a%2Fb/c%2Fd"),
        ):
            self.assertEqual(joinPath(base, path), want)
            self.assertEqual(self._target(base, path), want)

    def test_queriesGoOnAsTheyAre(self) -> None:
        """TestReverseProxyQueryParameterSmugglingDirectorDoesNotParseForm, ...RewritePreservesRawQuery: never parsed, so
        never cleaned."""
        for query in (b"a=1&a=2;b=3", b"a=1&a=%zz&b=3", b"a=%zz", b"&".join([b"a=1"] * 1000)):
            self.assertEqual(self._target(b"", b"/?" + query), b"/?" + query)
            self.assertEqual(joinQuery(None, query), query)

    def test_aDirectorMaySendWhatItHasRead(self) -> None:
        """TestReverseProxyQueryParameterSmugglingDirectorParsesForm, ...Rewrite: a director that decides on a parsed query
        assigns it, and the upstream sees the same."""
        from urllib.parse import parse_qsl, urlencode

        def direct(inbound: object, outbound: OutboundRequest) -> None:
            outbound.query = urlencode(parse_qsl((outbound.query or b"").decode())).encode()

        self.proxy(OK, directors=[director(direct)])
        self.ask(get(b"/?b=3&a=1&;"))
        self.assertEqual(self.origin.request.target, b"/?b=3&a=1")


class TestBodies(ProxyTestCase):
    def test_aPost(self) -> None:
        """TestReverseProxy_Post: a body of 1 MiB arrives as it was sent."""
        body = bytes(range(256)) * 4096
        self.proxy(OK)
        self.assertEqual(self.answerTo(post(body)).code, 200)
        self.assertEqual(self.origin.request.body, body)
        self.assertEqual(self.balancer.outcomes[0].bytesIn, len(body))

    def test_aRequestWithoutABody(self) -> None:
        """TestNilBody, TestReverseProxy_NilBody, TestReverseProxy_AllocatedHeader: no framing where there is no body."""
        self.proxy(OK)
        self.ask(get())
        request = self.origin.request
        self.assertEqual(request.all(b"content-length") + request.all(b"transfer-encoding"), [])

    def test_aRequestWithAnEmptyBody(self) -> None:
        """TestReverseProxy_NilBody, its second half: an error of the transport is a 502."""
        self.proxy(OK)
        self.network.failConnections("10.0.0.1:80")
        self.assertEqual(self.answerTo(post(b"")).code, 502)
        self.assertEqual(self.accessLog.lines, [(502, "connect_refused")])

    def test_aBodyArrivesWhole(self) -> None:
        """TestReverseProxyFlushInterval, TestReverseProxyResponseControllerFlushInterval, TestSelectFlushInterval: each
        piece of an answer is passed on when it comes, whatever its type and length are."""
        for lines in ([b"Content-Length: 6"], [b"Transfer-Encoding: chunked"], [b"Content-Type: text/event-stream"]):
            isChunked = b"chunked" in lines[0]
            self.proxy(head(*lines), modifiers=[modifier(lambda request, response: None)])
            client = self.ask(get())
            client.take()
            for piece in (b"hi", b"hih", b"o"):
                self.send(self.origin.peer, b"%x\r\n%b\r\n" % (len(piece), piece) if isChunked else piece)
                framed = piece if b"Length" in lines[0] else b"%x\r\n%b\r\n" % (len(piece), piece)
                self.assertEqual(client.take(), framed)
            self.tearDown()
            self.setUp()

    def test_headersComeBeforeTheBody(self) -> None:
        """TestReverseProxyFlushIntervalHeaders."""
        self.proxy(head(b"My-Header: x", b"Content-Length: 10"))
        self.assertEqual(self.ask(get()).received, head(b"My-Header: x", b"Content-Length: 10"))

    def test_unannouncedTrailers(self) -> None:
        """TestUnannouncedTrailer."""
        self.proxy(head(b"Transfer-Encoding: chunked"))
        client = self.ask(get())
        self.send(self.origin.peer, b"0\r\nX-Unannounced-Trailer: unannounced_value\r\n\r\n")
        self.assertEqual(client.answer().trailers, [(b"X-Unannounced-Trailer", b"unannounced_value")])

    def test_anAnswerThatIsTooShort(self) -> None:
        """TestReverseProxy_CopyBuffer, TestReverseProxy_PanicBodyError."""

        def half(peer: RawPeer, request: Message) -> None:
            peer.send(head(b"Content-Length: 10") + b"hello")
            peer.close()

        self.proxy(half)
        client = self.ask(get())
        self.assertEqual(client.received, head(b"Content-Length: 10") + b"hello")
        self.assertTrue(client.isEnded)
        self.assertEqual(self.accessLog.lines, [(200, UPSTREAM_CLOSED.reason)])

    def test_aBackendThatAbortsUploads(self) -> None:
        """TestReverseProxy_PanicClosesIncomingBody: twice ten clients at once."""
        self.proxy(None)
        self.origin.onHead = lambda peer: peer.abort()
        for _ in range(2):
            clients = [self.client() for _ in range(10)]
            for client in clients:
                client.raw.send(post(b"x" * (6 << 20)))
            self.network.pump()
            for client in clients:
                self.assertIn(b"HTTP/1.1 502 ", client.received)
        self.assertEqual(self.accessLog.lines, [(502, "upstream_reset")] * 20)


class TestHooks(ProxyTestCase):
    def test_modifiers(self) -> None:
        """TestReverseProxyModifyResponse."""

        def modify(request: object, response: Response) -> None:
            if response.headers.get("X-Hit-Mod") != "true":
                raise ValueError("tried to by-pass proxy")

        self.proxy([answer(b"", b"X-Hit-Mod: true"), answer(b"", b"X-Hit-Mod: false")], modifiers=[modifier(modify)])
        self.assertEqual(self.answerTo(get()).code, 200)
        self.assertEqual(self.answerTo(get()).code, 502)
        self.flushLoggedErrors(ValueError)

    def test_errorHandlers(self) -> None:
        """TestReverseProxyErrorHandler: its four cases."""

        def refuse(request: object, response: Response) -> None:
            raise ValueError("no")

        def change(request: object, response: Response) -> None:
            response.code += 1

        teapot = errorHandler(lambda request, error: Response(418))
        for modifiers, handlers, refused, want in (
            ([], [], True, 502),
            ([], [teapot], True, 418),
            ([change], [teapot], False, 346),
            ([refuse], [teapot], False, 418),
        ):
            self.proxy(answer(b"", status=b"345 X"), modifiers=[modifier(each) for each in modifiers], errorHandlers=handlers)
            if refused:
                self.network.failConnections("10.0.0.1:80")
            self.assertEqual(self.answerTo(get()).code, want)
            self.flushLoggedErrors(ValueError)
            self.tearDown()
            self.setUp()

    def test_aFailedModifierEndsTheUpstreamsBody(self) -> None:
        """TestModifyResponseClosesBody."""

        def refuse(request: object, response: Response) -> None:
            raise ValueError("no")

        self.proxy(head(b"Content-Length: 1000"), modifiers=[modifier(refuse)],
                   errorHandlers=[errorHandler(lambda request, error: Response(200, body=b"mine"))])  # fmt: skip
        self.assertEqual(self.answerTo(get()).body, b"mine")
        self.assertIsNotNone(self.origin.peer.closed)
        self.flushLoggedErrors(ValueError)

    def test_cancellation(self) -> None:
        """TestReverseProxyCancellation: the upstream notices at once."""
        self.proxy(None)
        client = self.ask(get())
        self.assertTrue(self.origin.peer.isOpen)
        client.abort()
        self.assertIsNotNone(self.origin.peer.closed)
        self.assertEqual(self.accessLog.lines, [(499, "client_closed")])
        self.assertEqual(client.received, b"")

    def test_connect(self) -> None:
        """TestReverseProxyCONNECT."""
        self.proxy(OK)
        self.assertEqual(self.answerTo(b"CONNECT app.example:443 HTTP/1.1\r\nHost: app.example:443\r\n\r\n").code, 405)
        self.assertEqual(self.origin.peers, [])


class TestInformation(ProxyTestCase):
    def test_1xx(self) -> None:
        """Test1xxResponses."""
        links = [b"Link: </style.css>; rel=preload; as=style", b"Link: </script.js>; rel=preload; as=script"]
        third = b"Link: </foo.js>; rel=preload; as=script"
        self.proxy(
            head(*links, status=b"103 Early Hints")
            + head(*links, third, status=b"102 Processing")
            + answer(b"Hello", *links, third)
        )
        answers = self.ask(get()).answers()
        self.assertEqual([(each.code, len(each.all(b"link"))) for each in answers], [(103, 2), (102, 3), (200, 3)])
        self.assertEqual(answers[-1].body, b"Hello")

    def test_nothingIsAddedAfterTheEnd(self) -> None:
        """Test1xxHeadersNotModifiedAfterRoundTrip: a late 1xx is a byte that nobody asked for."""
        self.proxy(OK)
        client = self.ask(get())
        self.send(self.origin.peer, head(b"X-Late: 1", status=b"103 Early Hints"))
        self.assertEqual(client.received, OK)
        self.assertFalse(self.origin.peer.isOpen and not self.origin.peer.eof)


class TestUpgrades(ProxyTestCase):
    def tunnel(self, **options: object) -> None:
        self.proxy(lambda peer, request: peer.send(SWITCHED), **options)
        self.web = self.ask(get(b"/", *WEBSOCKET))
        self.origin.isHTTP = False
        self.web.take()
        self.origin.peer.take()

    def test_webSocket(self) -> None:
        """TestReverseProxyWebSocket."""

        def modify(request: object, response: Response) -> None:
            response.headers.addRawHeader("X-Modified", "true")

        async def around(request: object, proceed: object) -> Response:
            response: Response = await proceed()  # type: ignore[operator]
            response.headers.addRawHeader("X-Header", "X-Value")
            return response

        upgraded = SWITCHED.replace(b"Upgrade: websocket", b"Upgrade: WebSOCKET")
        self.proxy(lambda peer, request: peer.send(upgraded), modifiers=[modifier(modify)], middleware=[middleware(around)])
        client = self.ask(get(b"/", *WEBSOCKET))
        self.origin.isHTTP = False
        request, response = self.origin.request, client.answers()[0]
        self.assertEqual((request.get(b"connection"), request.get(b"upgrade")), (b"Upgrade", b"websocket"))
        self.assertEqual((response.code, response.get(b"connection"), response.get(b"upgrade")), (101, b"Upgrade", b"WebSOCKET"))
        self.assertEqual((response.get(b"x-modified"), response.get(b"x-header")), (b"true", b"X-Value"))
        client.take()
        client.send(b"Hello\n")
        self.assertTrue(self.origin.peer.received.endswith(b"\r\n\r\nHello\n"))
        self.send(self.origin.peer, b'backend got "Hello"\n')
        self.assertEqual(client.take(), b'backend got "Hello"\n')

    def test_webSocketCancellation(self) -> None:
        """TestReverseProxyWebSocketCancellation."""
        self.tunnel()
        self.send(self.origin.peer, b"nope 1\n")
        self.web.abort()
        self.assertIsNotNone(self.origin.peer.closed)
        self.assertEqual(self.web.take(), b"nope 1\n")

    def test_halfClosedByTheUpstream(self) -> None:
        """TestReverseProxyWebSocketHalfTCP, server CloseWrite and client CloseRead."""
        self.tunnel()
        self.origin.peer.halfClose()
        self.network.pump()
        self.assertTrue(self.web.raw.eof)
        self.web.send(b"still")
        self.assertEqual(self.origin.peer.take(), b"still")

    def test_halfClosedByTheClient(self) -> None:
        """TestReverseProxyWebSocketHalfTCP, client CloseWrite and server CloseRead."""
        self.tunnel()
        self.web.halfClose()
        self.assertTrue(self.origin.peer.eof)
        self.send(self.origin.peer, b"still")
        self.assertEqual(self.web.take(), b"still")
        self.origin.peer.close()
        self.network.pump()
        self.checkNothingRuns()

    def test_aTunnelWithoutHalfClose(self) -> None:
        """TestReverseProxyUpgradeNoCloseWrite."""
        from twistproxy.tunnels import tunnel

        self.patch(tunnel, "canHalfClose", lambda transport: False)
        self.tunnel()
        self.web.halfClose()
        self.assertTrue(self.origin.peer.eof)
        self.origin.peer.close()
        self.network.pump()
        self.assertTrue(self.web.isEnded)
        self.checkNothingRuns()

    def test_errorsInTheTunnel(self) -> None:
        """TestReverseProxyHijackCopyError: nothing of HTTP is written after the switch."""
        self.tunnel()
        self.origin.peer.abort()
        self.network.pump()
        self.assertEqual(self.web.take(), b"")
        self.assertIsNotNone(self.web.raw.closed)
        self.assertEqual(self.accessLog.lines, [(101, "")])
