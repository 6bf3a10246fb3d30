"""Every timeout and every limit of the settings: what it cuts off, and that it cuts off nothing else.

Deadlines are coarse: they pass between their time and two seconds later, never before.
"""

from __future__ import annotations

from typing import Any

from attrs import evolve

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
    never,
    post,
)
from twistproxy.engine import Route
from twistproxy.errors import BODY_TOO_LARGE, ProxyError
from twistproxy.messages import InboundRequest, Response, Upstream
from twistproxy.settings import Settings
from twistproxy.testing import RawPeer


class TimeoutTestCase(ProxyTestCase):
    def passes(self, seconds: float, client: Client, code: int | None = None) -> None:
        """Nothing happens for so many seconds; in the next two the client gets C{code}, or only the end."""
        before = client.received
        self.seconds(seconds)
        self.assertEqual((client.received, client.isEnded), (before, False), "too early")
        self.seconds(2)
        if code is None:
            self.assertEqual(client.received, before)
            self.assertTrue(client.isEnded, "too late")
        else:
            self.assertEqual(client.received[len(before) :].split(b" ")[1], b"%d" % code)


class TestClients(TimeoutTestCase):
    def test_aConnectionWithoutAByte(self) -> None:
        """headTimeout."""
        self.proxy(OK, settings={"headTimeout": 5})
        self.passes(5, self.client())
        self.assertEqual(self.engine.channels, set())

    def test_aHeadThatDoesNotEnd(self) -> None:
        """headTimeout: a byte now and then is no help."""
        self.proxy(OK, settings={"headTimeout": 5})
        client = self.client()
        for byte in b"GET ":
            client.send(bytes([byte]))
            self.seconds(1)
        client.send(b"/")
        self.passes(1, client, 408)
        self.assertTrue(client.isEnded)

    def test_aSecondHeadThatDoesNotEnd(self) -> None:
        self.proxy(OK, settings={"headTimeout": 5})
        client = self.ask(get())
        self.seconds(50)
        client.send(b"GET / HT")
        self.passes(5, client, 408)

    def test_anEmptyLineIsNoHead(self) -> None:
        self.proxy(OK, settings={"headTimeout": 5})
        self.passes(5, self.ask(b"\r\n"))

    def test_aHeadInTime(self) -> None:
        self.proxy(None, settings={"headTimeout": 5})
        client = self.client()
        for byte in get()[:-1]:
            client.send(bytes([byte]))
        self.seconds(4)
        client.send(b"\n")
        self.seconds(20)
        self.send(self.origin.peer, OK)
        self.assertEqual(client.received, OK)

    def test_keepAlive(self) -> None:
        """keepAliveTimeout."""
        self.proxy(OK, settings={"keepAliveTimeout": 5})
        client = self.ask(get())
        self.seconds(4)
        client.send(get())
        self.passes(5, client)
        self.assertEqual(len(client.answers()), 2)

    def test_keepAliveIsNotForAnExchange(self) -> None:
        self.proxy(None, settings={"keepAliveTimeout": 5, "headTimeout": 5})
        client = self.ask(get())
        self.seconds(50)
        self.send(self.origin.peer, OK)
        self.assertEqual(client.received, OK)

    def test_aPauseInTheBody(self) -> None:
        """bodyTimeout."""
        self.proxy(OK, settings={"bodyTimeout": 5, "minBodyRate": 0})
        client = self.ask(post(b"x" * 100)[:-90])
        self.passes(5, client, 408)
        self.assertTrue(client.isEnded)
        self.assertEqual(self.accessLog.lines, [(408, "client_timeout")])
        self.assertEqual(self.outcomes(), [("client_timeout", 0)])

    def test_aPauseInAChunkedBody(self) -> None:
        self.proxy(OK, settings={"bodyTimeout": 5, "minBodyRate": 0})
        client = self.ask(get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + b"1\r\nx\r\n")
        self.passes(5, client, 408)

    def test_aSlowBody(self) -> None:
        """minBodyRate: over bodyTimeout."""
        self.proxy(OK, settings={"bodyTimeout": 5, "minBodyRate": 10})
        client = self.ask(post(b"x" * 10000)[:-10000])
        for _ in range(20):
            self.seconds(1)
            client.send(b"x" * 12)
        self.assertEqual(client.received, b"")
        for _ in range(12):
            self.seconds(1)
            client.send(b"x" * 5)
        self.assertEqual(client.answer(b"POST").code, 408)

    def test_aSlowBodyAtAnyRate(self) -> None:
        self.proxy(OK, settings={"bodyTimeout": 5, "minBodyRate": 0})
        client = self.ask(post(b"x" * 50)[:-50])
        for _ in range(50):
            self.seconds(1)
            client.send(b"x")
        self.assertEqual(client.answer(b"POST").code, 200)

    def test_aBodyThatWaitsForTheUpstream(self) -> None:
        """It is not the client's fault."""
        self.proxy(OK, settings={"bodyTimeout": 5, "upstreamTimeout": 100})
        self.origin.server.onConnect = RawPeer.pause
        client = self.ask(post(b"x" * 1000000))
        self.seconds(50)
        self.assertEqual(client.received, b"")
        self.origin.peer.resume()
        self.network.pump()
        self.assertEqual(client.answer(b"POST").code, 200)

    def test_aBodyThatWaitsForAHook(self) -> None:
        waiting = never()
        self.proxy(OK, directors=[director(lambda inbound, outbound: waiting)], settings={"bodyTimeout": 5, "hookTimeout": 100})
        client = self.ask(post(b"x" * 1000000))
        self.seconds(50)
        self.assertEqual(client.received, b"")
        waiting.callback(None)
        self.network.pump()
        self.assertEqual(client.answer(b"POST").code, 200)

    def test_aClientThatTakesNothing(self) -> None:
        """sendTimeout."""
        self.proxy(answer(b"x" * 3000000), settings={"sendTimeout": 5})
        client = self.client()
        client.raw.pause()
        client.send(get())
        self.seconds(5)
        self.assertEqual(self.engine.inFlight, 1)
        self.seconds(2)
        self.checkNothingRuns()
        self.assertEqual(self.engine.channels, set())
        self.assertIsNotNone(self.origin.peer.closed)
        self.assertEqual(self.accessLog.lines, [(200, "client_closed")])

    def test_aClientThatTakesALittle(self) -> None:
        """Progress counts that only the kernel sees."""
        self.proxy(answer(b"x" * 600000), settings={"sendTimeout": 5})
        client = self.client()
        client.raw.pause()
        client.send(get())
        for _ in range(20):
            self.seconds(4)
            self.network.segmentSize = 4000
            client.raw.resume()
            for _ in range(3):
                self.network.turn()
            client.raw.pause()
            self.network.pump()
        self.assertEqual(self.engine.inFlight, 1)
        self.assertGreater(len(client.received), 100000)
        self.network.segmentSize = None
        client.raw.resume()
        self.network.pump()
        self.assertEqual(len(client.answer().body), 600000)

    def slowEnd(self, data: bytes) -> Client:
        """Everything was handed over; the client takes what is left slowly."""
        self.network.socketBuffer = 4000
        self.proxy(lambda peer, request: peer.send(answer(b"x" * 60000)), settings={"sendTimeout": 5, "lingerTimeout": 5})
        client = self.client()
        client.raw.pause()
        client.send(data)
        if b"Content-Length" in data:
            self.send(self.origin.peer, answer(b"x" * 60000))
        self.network.segmentSize = 500
        for _ in range(50):
            self.seconds(2)
            client.raw.resume()
            for _ in range(3):
                self.network.turn()
            client.raw.pause()
            self.network.pump()
        self.network.segmentSize = None
        client.raw.resume()
        self.network.pump()
        return client

    def test_aClientThatTakesTheEndSlowly(self) -> None:
        """Its connection is to be closed, but not before it has it all."""
        self.assertEqual(len(self.slowEnd(get(b"/", b"Connection: close")).answer().body), 60000)

    def test_aClientThatTakesAnEarlyAnswerSlowly(self) -> None:
        self.assertEqual(len(self.slowEnd(get(b"/", b"Content-Length: 10", method=b"POST")).answer().body), 60000)

    def test_aClientThatNeverTakesTheEnd(self) -> None:
        self.network.socketBuffer = 4000
        self.proxy(answer(b"x" * 60000), settings={"sendTimeout": 5})
        client = self.client()
        client.raw.pause()
        client.send(get(b"/", b"Connection: close"))
        self.checkNothingRuns()
        self.assertEqual(len(self.engine.channels), 1)
        self.seconds(7)
        self.assertEqual(self.engine.channels, set())

    def test_lingering(self) -> None:
        """lingerTimeout, after an answer before the request's end."""
        self.proxy(None, settings={"lingerTimeout": 5})
        self.origin.onHead = lambda peer: peer.send(OK)
        client = self.ask(post(b"x" * 100)[:-1])
        self.assertEqual(client.answer(b"POST").code, 200)
        self.assertTrue(client.raw.isOpen)
        self.seconds(5)
        self.assertEqual(len(self.engine.channels), 1)
        self.seconds(2)
        self.assertEqual(self.engine.channels, set())

    def test_lingeringLonger(self) -> None:
        """maxLingerBytes."""
        self.proxy(None, settings={"maxLingerBytes": 1000})
        self.origin.onHead = lambda peer: peer.send(OK)
        client = self.ask(post(b"x" * 10000)[:-9000])
        client.send(b"x" * 1000)
        self.assertEqual(len(self.engine.channels), 1)
        client.send(b"x")
        self.assertEqual(self.engine.channels, set())


class TestUpstreams(TimeoutTestCase):
    def test_connecting(self) -> None:
        """connectTimeout."""
        self.proxy(OK, settings={"connectTimeout": 5})
        self.network.blackHole("10.0.0.1:80")
        client = self.ask(get())
        self.seconds(4.9)
        self.assertEqual(client.received, b"")
        self.seconds(0.2)
        self.assertEqual(client.answer().code, 504)
        self.assertEqual((self.accessLog.lines, self.outcomes()), ([(504, "connect_timeout")], [("connect_timeout", 0)]))

    def test_connectingToTheNext(self) -> None:
        self.proxy(OK, OK, settings={"connectTimeout": 5})
        self.network.blackHole("10.0.0.1:80")
        client = self.ask(get())
        self.seconds(5)
        self.assertEqual(client.received, OK)

    def test_resolving(self) -> None:
        self.proxy(urls=["http://nowhere.example"])
        self.assertEqual(self.answerTo(get()).code, 502)
        self.assertEqual(self.accessLog.lines, [(502, "dns_failure")])

    def test_idle(self) -> None:
        """idleConnectionTimeout."""
        self.proxy(OK, settings={"idleConnectionTimeout": 5})
        client = self.ask(get())
        self.seconds(4)
        client.send(get())
        self.assertEqual(len(self.origin.peers), 1)
        self.seconds(5)
        self.assertFalse(self.origin.peer.eof)
        self.seconds(2)
        self.assertTrue(self.origin.peer.eof)

    def test_theHead(self) -> None:
        """upstreamHeadTimeout: from the end of the request."""
        self.proxy(None, settings={"upstreamHeadTimeout": 5})
        self.passes(5, self.ask(get()), 504)
        self.assertEqual((self.accessLog.lines, self.outcomes()), ([(504, "upstream_timeout")], [("upstream_timeout", 0)]))
        self.assertIsNotNone(self.origin.peer.closed)

    def test_theHeadAfterAnUpload(self) -> None:
        self.proxy(None, settings={"upstreamHeadTimeout": 5, "bodyTimeout": 100, "minBodyRate": 0})
        client = self.ask(post(b"xx")[:-2])
        self.seconds(50)
        client.send(b"x")
        self.seconds(50)
        client.send(b"x")
        self.passes(5, client, 504)

    def test_aHeadThatDoesNotEnd(self) -> None:
        """A byte now and then is no help."""
        self.proxy(None, settings={"upstreamHeadTimeout": 5})
        client = self.ask(get())
        for byte in b"HTT":
            self.send(self.origin.peer, bytes([byte]))
            self.seconds(1)
        self.passes(2, client, 504)

    def test_anInformationalAnswerIsNoHead(self) -> None:
        self.proxy(None, settings={"upstreamHeadTimeout": 5})
        client = self.ask(get())
        self.seconds(3)
        self.send(self.origin.peer, head(status=b"103 Early Hints"))
        self.passes(2, client, 504)

    def test_theHeadOnAConnectionThatServedBefore(self) -> None:
        """It is not tried again: the upstream may be at it."""
        self.proxy([OK], settings={"upstreamHeadTimeout": 5})
        client = self.ask(get())
        client.send(get())
        self.passes(5, client, 504)
        self.assertEqual(len(self.origin.requests), 2)

    def test_theBody(self) -> None:
        """upstreamTimeout: without progress."""
        self.proxy(head(b"Content-Length: 100"), settings={"upstreamTimeout": 5})
        client = self.ask(get())
        for _ in range(10):
            self.seconds(4)
            self.send(self.origin.peer, b"x")
        self.passes(5, client)
        self.assertEqual(self.accessLog.lines, [(200, "upstream_timeout")])
        self.assertEqual(self.outcomes(), [("upstream_timeout", 200)])

    def test_theBodyThatWaitsForTheClient(self) -> None:
        """It is not the upstream's fault."""
        self.proxy(answer(b"x" * 3000000), settings={"upstreamTimeout": 5, "sendTimeout": 100})
        client = self.client()
        client.raw.pause()
        client.send(get())
        self.seconds(50)
        self.assertEqual(self.engine.inFlight, 1)
        client.raw.resume()
        self.network.pump()
        self.assertEqual(len(client.answer().body), 3000000)

    def test_anUpstreamThatTakesNothing(self) -> None:
        """upstreamTimeout, while it reads."""
        self.proxy(None, settings={"upstreamTimeout": 5})
        self.origin.server.onConnect = RawPeer.pause
        client = self.ask(post(b"x" * 3000000))
        self.passes(5, client, 504)

    def test_expectContinue(self) -> None:
        """expectContinueTimeout: a client that waits for a 100 gets the proxy's."""
        self.proxy(OK, settings={"expectContinueTimeout": 1})
        client = self.ask(get(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"PUT"))
        self.assertEqual(client.take(), b"")
        self.seconds(3)
        self.assertEqual(client.take(), b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(b"hello")
        self.assertEqual(client.take(), OK)

    def test_expectContinueIsNotEarly(self) -> None:
        """The request comes right before the sweeper looks."""
        self.proxy(None, settings={"expectContinueTimeout": 1})
        self.network.advance(0.9)
        client = self.ask(get(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"PUT"))
        self.network.pump()
        for _ in range(9):
            self.network.advance(0.1)
            self.assertEqual(client.received, b"")
        for _ in range(11):
            self.network.advance(0.1)
        self.assertEqual(client.received, b"HTTP/1.1 100 Continue\r\n\r\n")

    def test_expectContinueOfOneWhoDoesNotWait(self) -> None:
        self.proxy(None)
        client = self.ask(get(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"PUT") + b"h")
        self.seconds(3)
        self.assertEqual(client.received, b"")

    def test_expectContinueAfterTheHead(self) -> None:
        """A 100 in the middle of the answer would be taken for a part of it."""
        self.proxy(None)
        self.origin.onHead = lambda peer: peer.send(head(b"Content-Length: 10") + b"hello")
        client = self.ask(get(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"PUT"))
        before = client.received
        self.seconds(5)
        self.assertEqual(client.received, before)

    def test_expectContinueOfHTTP10(self) -> None:
        self.proxy(None)
        client = self.ask(get(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"PUT", version=b"1.0"))
        self.seconds(5)
        self.assertEqual(client.received, b"")

    def test_aTunnel(self) -> None:
        """tunnelIdleTimeout."""
        self.proxy(lambda peer, request: peer.send(SWITCHED), settings={"tunnelIdleTimeout": 5})
        client = self.ask(get(b"/", *WEBSOCKET))
        self.origin.isHTTP = False
        for _ in range(5):
            self.seconds(4)
            client.send(b"x")
            self.seconds(4)
            self.send(self.origin.peer, b"x")
        self.passes(5, client)
        self.checkNothingRuns()
        self.assertIsNotNone(self.origin.peer.closed)

    def test_theQueue(self) -> None:
        """queueTimeout and maxConnectionsPerUpstream."""
        self.proxy(None, settings={"maxConnectionsPerUpstream": 1, "queueTimeout": 5})
        first = self.ask(get())
        self.passes(5, self.ask(get()), 503)
        self.assertEqual(self.accessLog.lines, [(503, "queue_timeout")])
        self.assertEqual(len(self.balancer.picks), 1, "who waits was not picked for yet")
        self.send(self.origin.peer, OK)
        self.assertEqual(first.received, OK)

    def test_aFullQueue(self) -> None:
        """maxQueuedRequests."""
        self.proxy(None, settings={"maxConnectionsPerUpstream": 1, "maxQueuedRequests": 2})
        for _ in range(3):
            self.ask(get())
        self.assertEqual(self.answerTo(get()).code, 503)
        self.assertEqual(self.accessLog.lines, [(503, "queue_full")])

    def test_noQueue(self) -> None:
        self.proxy(None, settings={"maxConnectionsPerUpstream": 1, "maxQueuedRequests": 0})
        self.ask(get())
        self.assertEqual(self.answerTo(get()).code, 503)

    def test_anUpstreamsOwnLimit(self) -> None:
        self.proxy(None, urls=[Upstream("http://10.0.0.1", maxConnections=2)], settings={"maxConnectionsPerUpstream": 1})
        for _ in range(3):
            self.ask(get())
        self.assertEqual(len(self.origin.peers), 2)


class TestSizes(ProxyTestCase):
    def code(self, data: bytes, **settings: Any) -> int:
        if self.reverseProxy is None:
            self.proxy(OK, settings=settings)
        client = self.ask(data)
        return client.answer(data.split(b" ")[0]).code

    def test_theHead(self) -> None:
        """maxHeadBytes."""
        data = get(b"/", b"X: " + b"x" * 900)
        self.assertEqual(self.code(data, maxHeadBytes=len(data)), 200)
        self.assertEqual(self.code(get(b"/", b"X: " + b"x" * 901)), 431)
        self.assertTrue(self.clients[-1].isEnded)
        self.assertEqual(self.code(b"GET / HTTP/1.1\r\nX: " + b"x" * 2000), 431)

    def test_fields(self) -> None:
        """maxHeaderCount, Host included."""
        self.assertEqual(self.code(get(b"/", *[b"X: x"] * 4), maxHeaderCount=5), 200)
        self.assertEqual(self.code(get(b"/", *[b"X: x"] * 5)), 431)

    def test_aField(self) -> None:
        """maxFieldBytes and maxResponseFieldBytes."""
        self.assertEqual(self.code(get(b"/", b"X: " + b"x" * 19), maxFieldBytes=20, maxResponseFieldBytes=20), 200)
        self.assertEqual(self.code(get(b"/", b"X: " + b"x" * 20)), 431)
        for size, code in ((19, 200), (20, 502)):
            self.origin.script = answer(b"", b"X: " + b"x" * size)
            self.assertEqual(self.code(get()), code)

    def test_theTarget(self) -> None:
        """maxTargetBytes."""
        self.assertEqual(self.code(get(b"/" + b"x" * 99), maxTargetBytes=100), 200)
        self.assertEqual(self.code(get(b"/" + b"x" * 100)), 414)

    def test_theBody(self) -> None:
        """maxBodyBytes."""
        long = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")
        self.assertEqual(self.code(post(b"x" * 100), maxBodyBytes=100), 200)
        self.assertEqual(self.code(post(b"x" * 101)[:-101]), 413)
        self.assertEqual(self.code(long + chunked(b"x" * 50, b"x" * 50)), 200)
        self.assertEqual(self.code(long + b"32\r\n" + b"x" * 50 + b"\r\n33\r\n" + b"x" * 51), 413)

    def test_theNextBodyIsCountedAnew(self) -> None:
        self.proxy(OK, settings={"maxBodyBytes": 100})
        one = get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + chunked(b"x" * 60)
        self.assertEqual([each.code for each in self.ask(one + one).answers(b"POST", b"POST")], [200, 200])

    def test_tooLongInsteadOfA100(self) -> None:
        """It is said at once, and nobody is asked."""
        self.proxy(OK, settings={"maxBodyBytes": 100})
        client = self.ask(get(b"/", b"Content-Length: 101", b"Expect: 100-continue", method=b"PUT"))
        self.assertEqual((client.answer(b"PUT").code, client.isEnded), (413, True))
        self.assertEqual((self.origin.peers, self.accessLog.lines), ([], [(413, "body_too_large")]))
        self.assertEqual(self.accessLog.exchanges[0].inbound.method, b"PUT")

    def test_theBodyOfARoute(self) -> None:
        """A route may take more than the others, and less."""
        proxy = self.proxy(OK, settings={"maxBodyBytes": 100})
        before = proxy.engine.routeFor

        def routeFor(request: InboundRequest) -> Route | None:
            route = before(request)
            most = {b"/much": 1000, b"/little": 10, b"/any": None}.get(request.path, 100)
            return None if route is None else evolve(route, settings=Settings(maxBodyBytes=most))

        self.engine.routeFor = routeFor
        for path, most in ((b"/much", 1000), (b"/little", 10), (b"/", 100)):
            for start, body in (
                (b"Content-Length: %d" % most, b"x" * most),
                (b"Transfer-Encoding: chunked", chunked(b"x" * most)),
            ):
                self.assertEqual(self.code(get(path, start, method=b"POST") + body), 200, path)
            self.assertEqual(self.code(get(path, b"Content-Length: %d" % (most + 1), method=b"POST")), 413, path)
            for body in (chunked(b"x" * (most + 1)), chunked(b"x" * most, b"x")):
                self.assertEqual(self.code(get(path, b"Transfer-Encoding: chunked", method=b"POST") + body), 413, path)
        self.assertEqual(self.code(get(b"/any", b"Content-Length: 2000", method=b"POST") + b"x" * 2000), 200)

    def test_aPluginThatReadsSaysItToo(self) -> None:
        """A body that outgrows the limit ends the reading of it."""
        ended: list[Any] = []

        class Reads:
            async def around(self, request: InboundRequest, proceed: Any) -> Response:
                try:
                    await request.body.read(10000)
                except ProxyError as error:
                    ended.append(error.kind)
                    raise
                raise AssertionError("it was not too long")

        self.proxy(OK, settings={"maxBodyBytes": 100}, middleware=[Reads()])
        client = self.ask(get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + b"32\r\n" + b"x" * 50 + b"\r\n")
        client.send(b"33\r\n" + b"x" * 51 + b"\r\n")
        self.assertEqual((client.answer(b"POST").code, ended), (413, [BODY_TOO_LARGE]))

    def test_theBodyInTheMiddle(self) -> None:
        self.proxy(None, settings={"maxBodyBytes": 100})
        client = self.ask(get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + b"32\r\n" + b"x" * 50 + b"\r\n")
        self.assertEqual(len(self.origin.peers), 1)
        client.send(b"33\r\n" + b"x" * 51)
        self.assertEqual((client.answer(b"POST").code, client.isEnded), (413, True))
        self.assertEqual((self.accessLog.lines, self.outcomes()), ([(413, "body_too_large")], [("body_too_large", 0)]))
        self.assertIsNotNone(self.origin.peer.closed)

    def test_theBodyAfterItsAnswerHasBegun(self) -> None:
        """The client has a head already: its connection is cut, and the upstream's too."""
        self.proxy(None, settings={"maxBodyBytes": 100})
        client = self.ask(get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + b"32\r\n" + b"x" * 50 + b"\r\n")
        self.send(self.origin.peer, head(b"Content-Length: 10") + b"begun")
        client.send(b"33\r\n" + b"x" * 51)
        self.assertTrue(client.received.endswith(b"\r\n\r\nbegun"))
        self.assertEqual((client.isEnded, self.accessLog.lines), (True, [(200, "body_too_large")]))
        self.assertIsNotNone(self.origin.peer.closed)

    def test_trailers(self) -> None:
        """maxTrailerBytes."""
        long = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")
        self.assertEqual(self.code(long + chunked(b"x", trailers=[b"X: " + b"x" * 95]), maxTrailerBytes=100), 200)
        self.assertEqual(self.code(long + chunked(b"x", trailers=[b"X: " + b"x" * 96])), 400)

    def test_anUpstreamsHead(self) -> None:
        """maxResponseHeadBytes."""
        short = head(b"X: " + b"x" * 100, b"Content-Length: 0")
        self.proxy([short, head(b"X: " + b"x" * 101, b"Content-Length: 0"), b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000],
                   settings={"maxResponseHeadBytes": len(short)})  # fmt: skip
        self.assertEqual([self.code(get()) for _ in range(3)], [200, 502, 502])
        self.assertEqual(self.accessLog.lines[1:], [(502, "response_head_too_large")] * 2)

    def test_anUpstreamsFields(self) -> None:
        """maxResponseHeaderCount."""
        self.proxy([answer(b"", *[b"X: x"] * 4), answer(b"", *[b"X: x"] * 5)], settings={"maxResponseHeaderCount": 5})
        self.assertEqual([self.code(get()), self.code(get())], [200, 502])

    def test_informationalAnswers(self) -> None:
        """maxInformational."""
        self.proxy(
            [head(status=b"103 Early Hints") * 2 + OK, head(status=b"103 Early Hints") * 3 + OK], settings={"maxInformational": 2}
        )
        self.assertEqual([each.code for each in self.ask(get()).answers()], [103, 103, 200])
        self.assertEqual([each.code for each in self.ask(get()).answers()], [103, 103, 502])

    def test_pipelining(self) -> None:
        """maxPipelinedBytes."""
        self.proxy(None, settings={"maxPipelinedBytes": 5000})
        client = self.ask(get())
        for _ in range(100):
            client.raw.send(get(b"/" + b"x" * 3000))
        self.network.pump()
        self.assertGreater(client.raw.transport.buffered, 100000)
        self.origin.script = OK
        self.send(self.origin.peer, OK)
        self.assertEqual(len(client.answers()), 101)
        self.assertEqual(client.raw.transport.buffered, 0)

    def test_pipeliningAnUpload(self) -> None:
        """Reading goes on for a body whose head was read ahead."""
        for limit in (1000, 5000, 65000):
            self.proxy([None, OK], settings={"maxPipelinedBytes": limit})
            client = self.ask(get())
            self.network.segmentSize = 700
            client.send(post(b"x" * 100000))
            self.send(self.origin.peer, OK)
            self.assertEqual([each.code for each in client.answers()], [200, 200], limit)
            self.tearDown()
            self.setUp()

    def test_replays(self) -> None:
        """maxReplayBytes: a longer body is not kept for a second time."""

        def gone(peer: RawPeer, request: Message) -> None:
            peer.abort()

        for size, code in ((100, 200), (101, 502)):
            self.proxy([OK, gone, OK], settings={"maxReplayBytes": 100})
            client = self.ask(get())
            client.send(post(b"x" * size, b"Idempotency-Key: 1"))
            self.assertEqual(client.answers()[1].code, code)
            self.tearDown()
            self.setUp()

    def test_tries(self) -> None:
        """maxTries."""
        for limit, asked in ((0, 4), (1, 1), (3, 3)):
            self.proxy(*[OK] * 4, settings={"maxTries": limit})
            for at in range(1, 5):
                self.network.failConnections(f"10.0.0.{at}:80")
            self.assertEqual(self.code(get()), 502)
            self.assertEqual(len(self.balancer.picks), asked)
            self.tearDown()
            self.setUp()

    def test_idleConnections(self) -> None:
        """maxIdlePerUpstream and maxIdleConnections."""
        for settings, left in (
            ({"maxIdlePerUpstream": 2}, [2, 2]),
            ({"maxIdleConnections": 4}, [3, 1]),
            ({"maxIdlePerUpstream": 0}, [0, 0]),
        ):
            self.proxy(None, None, settings=settings)
            for _ in range(6):
                self.ask(get())
            for origin in self.origins:
                for peer in origin.peers:
                    peer.send(OK)
                self.network.pump()
            self.assertEqual([pool.idle for pool in self.engine.pools], left, settings)
            self.assertEqual([sum(not peer.eof for peer in origin.peers) for origin in self.origins], left)
            self.tearDown()
            self.setUp()

    def test_drain(self) -> None:
        """drainTimeout."""
        proxy = self.proxy(None, settings={"drainTimeout": 5})
        client = self.ask(get())
        idle = self.client()
        stopping = proxy.stopService()
        self.network.pump()
        self.assertTrue(idle.isEnded)
        self.seconds(4.9)
        self.assertNoResult(stopping)
        self.seconds(0.2)
        self.successResultOf(stopping)
        self.network.pump()
        self.assertTrue(client.isEnded)
        self.assertEqual(self.accessLog.lines, [(499, "client_closed")])

    def test_drainWithAnEnd(self) -> None:
        proxy = self.proxy(None)
        client = self.ask(get())
        stopping = proxy.stopService()
        self.send(self.origin.peer, OK)
        self.successResultOf(stopping)
        self.assertEqual((client.answer().get(b"connection"), client.isEnded), (b"close", True))
