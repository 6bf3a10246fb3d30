"""CONNECT: what the exchange makes of it, once a director has said where it goes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.unit.support import OK, ProxyTestCase, director, errorHandler, middleware, modifier
from twistproxy.errors import ProxyError
from twistproxy.messages import InboundRequest, Response, Upstream
from twistproxy.upstream.guard import Guard

CONNECT = b"CONNECT app.example:443 HTTP/1.1\r\nHost: app.example:443\r\n\r\n"
OPENED = b"HTTP/1.1 200 Connection established\r\n\r\n"


def guarded(url: str, permits: Any = lambda address: True) -> Upstream:
    made = Upstream(url)
    made.guard = Guard(permits)
    made.key = f"guarded {made.key}"
    return made


class TestConnect(ProxyTestCase):
    def tunnels(self, url: str = "http://10.0.0.1:443", **options: Any) -> None:
        self.target = guarded(url)
        self.watched.append(self.target)
        self.proxy(directors=[director(lambda inbound, outbound: self.target)], urls=[], **options)
        self.engine.acceptsConnect = True

    def serveRaw(self, address: str = "10.0.0.1:443") -> Any:
        origin = self.serve(address)
        origin.isHTTP = False
        return origin

    def test_aTunnel(self) -> None:
        origin = self.serveRaw()
        self.tunnels()
        client = self.ask(CONNECT)
        self.assertEqual(client.take(), OPENED)
        client.send(b"up")
        self.send(origin.peer, b"down")
        self.assertEqual((origin.peer.take(), client.take()), (b"up", b"down"))
        client.halfClose()
        self.send(origin.peer, b"last")
        self.assertEqual(client.take(), b"last")
        origin.peer.close()
        self.network.pump()
        self.assertTrue(client.isEnded)
        (line,) = self.accessLog.exchanges
        self.assertEqual((line.code, line.bytesOut, line.inbound.host), (200, 8, "app.example:443"))

    def test_bytesAtOnce(self) -> None:
        """Behind the request, and from a server that speaks first: nothing is sent before the target has answered."""
        origin = self.serveRaw()
        origin.server.onConnect = lambda peer: peer.send(b"220 hello")
        self.network.blackHole("10.0.0.2:443")
        self.tunnels("http://10.0.0.2:443")
        self.assertEqual(self.ask(CONNECT + b"early").take(), b"")
        self.target = guarded("http://10.0.0.1:443")
        client = self.ask(CONNECT + b"early")
        self.assertEqual(client.take(), OPENED + b"220 hello")
        self.assertEqual(origin.peer.take(), b"early")

    def test_http10(self) -> None:
        self.serveRaw()
        self.tunnels()
        self.assertEqual(self.ask(b"CONNECT app.example:443 HTTP/1.0\r\n\r\n").take(), OPENED)

    def test_failures(self) -> None:
        self.tunnels()
        for url, code in (("http://10.0.0.1:443", 502), ("http://nowhere.example", 502)):
            self.target = guarded(url)
            client = self.ask(CONNECT)
            self.seconds(1)
            message = client.answer()
            self.assertEqual((message.code, message.get(b"connection"), client.isEnded), (code, b"close", True))
        self.network.blackHole("10.0.0.2:443")
        self.target = guarded("http://10.0.0.2:443")
        client = self.ask(CONNECT)
        self.seconds(11)
        self.assertEqual(client.answer().code, 504)

    def test_guards(self) -> None:
        self.serveRaw()
        self.tunnels()
        self.network.hosts.update({"inner.example": "10.0.0.1", "both.example": ["10.0.0.1", "10.0.0.2"]})
        self.serveRaw("10.0.0.2:443")
        for url, code in (("http://10.0.0.1:443", 403), ("http://inner.example:443", 403), ("http://both.example:443", 200)):
            self.target = guarded(url, lambda address: address == "10.0.0.2")
            client = self.ask(CONNECT)
            self.seconds(1)
            self.assertTrue(client.received.startswith(b"HTTP/1.1 %d" % code), (url, client.received))
        self.assertEqual(self.accessLog.lines[:2], [(403, "destination_refused")] * 2)

    def test_onlyWhereItIsFor(self) -> None:
        """An upstream of the configuration is not one."""
        self.tunnels()
        self.target = Upstream("http://10.0.0.1:443")
        self.assertEqual(self.ask(CONNECT).answer().code, 405)
        self.engine.acceptsConnect = False
        self.target = guarded("http://10.0.0.1:443")
        self.assertEqual(self.ask(CONNECT).answer().code, 405)

    def test_notWithABody(self) -> None:
        self.tunnels()
        data = CONNECT.replace(b"\r\n\r\n", b"\r\nContent-Length: 2\r\n\r\nxx")
        self.assertEqual(self.ask(data).answer().code, 400)

    def test_plugins(self) -> None:
        origin = self.serveRaw()
        seen: list[Any] = []

        async def around(request: InboundRequest, proceed: Any) -> Response:
            response = await proceed()
            seen.append((request.method, request.target, response.code))
            return response  # type: ignore[no-any-return]

        def modify(request: InboundRequest, response: Response) -> None:
            response.headers.setRawHeaders("X-Seen", [b"yes"])
            response.headers.setRawHeaders("Content-Length", [b"5"])
            response.headers.setRawHeaders("Transfer-Encoding", [b"chunked"])

        self.tunnels(middleware=[middleware(around)], modifiers=[modifier(modify)])
        client = self.ask(CONNECT)
        self.assertEqual(client.take(), b"HTTP/1.1 200 Connection established\r\nX-Seen: yes\r\n\r\n")
        self.assertEqual(seen, [(b"CONNECT", b"app.example:443", 200)])
        client.send(b"up")
        self.assertEqual(origin.peer.take(), b"up")

    def test_refusalsByPlugins(self) -> None:
        origin = self.serveRaw()

        def refuse(request: InboundRequest, response: Response) -> Response:
            return Response(403, body=b"no")

        self.tunnels(modifiers=[modifier(refuse)])
        client = self.ask(CONNECT)
        message = client.answer()
        self.assertEqual((message.code, message.body), (403, b"no"))
        self.assertIsNotNone(origin.peer.closed)
        self.assertTrue(client.isEnded)

    def test_pluginsThatSayItIsOpen(self) -> None:
        """Nobody but a target opens a tunnel."""
        self.tunnels()
        self.target = Response(200, body=b"open!")  # type: ignore[assignment]
        self.watched.clear()
        self.assertEqual(self.ask(CONNECT).answer().code, 500)

    def test_theTargetLeavesBeforeItsTunnel(self) -> None:
        """While a plugin waits nothing is read there, so this shows when the tunnel begins: it ends at once."""
        origin = self.serveRaw()
        waiting: Deferred[None] = Deferred()

        async def around(request: InboundRequest, proceed: Any) -> Response:
            response: Response = await proceed()
            await waiting
            return response

        self.tunnels(middleware=[middleware(around)])
        client = self.ask(CONNECT + b"early")
        origin.peer.abort()
        self.network.pump()
        self.assertEqual((client.received, client.isEnded), (b"", False))
        waiting.callback(None)
        self.network.pump()
        self.assertTrue(client.isEnded)
        self.checkNothingRuns()

    def test_theClientLeaves(self) -> None:
        self.network.blackHole("10.0.0.1:443")
        self.tunnels()
        self.ask(CONNECT).abort()
        self.checkNothingRuns()
        self.assertEqual(self.accessLog.lines, [(499, "client_closed")])

    def test_answersInTurn(self) -> None:
        """A refused CONNECT does not end the connection, as clients that are asked for a password expect."""
        self.tunnels()
        self.target = Response(407, [("Proxy-Authenticate", "Basic")])  # type: ignore[assignment]
        self.watched.clear()
        client = self.ask(CONNECT)
        message = client.answer()
        self.assertEqual((message.code, message.get(b"proxy-authenticate")), (407, b"Basic"))
        self.serveRaw()
        self.target = guarded("http://10.0.0.1:443")
        client.take()
        client.send(CONNECT)
        self.assertEqual(client.take(), OPENED)

    def test_whatCameForTheTunnelIsNoRequest(self) -> None:
        """RFC 9931 section 8: whoever is behind the client may have written it; so neither does a later request count."""
        asked: list[bytes] = []

        def refuse(inbound: InboundRequest, outbound: Any) -> Response:
            asked.append(inbound.method)
            return Response(self.code, [("Proxy-Authenticate", "Basic")])

        self.proxy(directors=[director(refuse)], urls=[])
        self.engine.acceptsConnect = True
        smuggled = b"DELETE /all HTTP/1.1\r\nHost: a\r\n\r\n"
        for code, behind in ((407, smuggled), (401, smuggled[:9]), (403, smuggled), (503, b""), (302, b"")):
            self.code = code
            client = self.ask(CONNECT + behind)
            message = client.answer()
            self.assertEqual((message.code, message.get(b"connection"), client.isEnded), (code, b"close", True))
            client.send(smuggled)
        self.assertEqual(set(asked), {b"CONNECT"})

    def test_aRefusalWhileBytesCame(self) -> None:
        """The same when they come while the target is being connected to."""
        self.network.blackHole("10.0.0.1:443")
        self.tunnels()
        client = self.ask(CONNECT)
        client.send(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        self.seconds(11)
        self.assertEqual((client.answer().code, client.isEnded), (504, True))
        self.assertEqual(len(self.accessLog.lines), 1)

    def test_errorHandlers(self) -> None:
        def handle(request: InboundRequest, error: ProxyError) -> Response:
            return Response(418)

        self.tunnels(errorHandlers=[errorHandler(handle)])
        client = self.ask(CONNECT)
        self.assertEqual(client.answer().code, 418)


class TestAbsoluteTargets(ProxyTestCase):
    def test_whatPluginsSee(self) -> None:
        seen: list[InboundRequest] = []
        self.proxy(OK, directors=[director(lambda inbound, outbound: seen.append(inbound))])
        self.ask(b"GET http://app.example:81/x?y HTTP/1.1\r\nHost: app.example:81\r\n\r\n")
        self.ask(b"GET /x HTTP/1.1\r\nHost: app.example\r\n\r\n")
        first, second = seen
        assert first.destination is not None
        self.assertEqual((first.destination.host, first.destination.port, first.target), ("app.example", 81, b"/x?y"))
        self.assertEqual((second.destination, second.host), (None, "app.example"))
