"""Who is asked again, after what, and with which body: stale connections, refused ones, and what is never sent twice."""

from __future__ import annotations

from socket import SHUT_WR
from typing import Any

from tests.unit.support import OK, Message, ProxyTestCase, answer, chunked, director, get, head, post
from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.messages import OutboundRequest
from twistproxy.testing import RawPeer

KEY = b"Idempotency-Key: 1"


def gone(peer: RawPeer, request: Message) -> None:
    """The upstream had just closed the connection."""
    peer.abort()


def closed(peer: RawPeer, request: Message) -> None:
    """The same, without a reset."""
    peer.close()


class TestStaleConnections(ProxyTestCase):
    """Edge-case 11."""

    def again(self, data: bytes, *scripts: Any, **options: Any) -> Message:
        """The answer to a request on a connection that served before."""
        self.proxy([OK, *scripts], **options)
        client = self.ask(get(b"/first"))
        client.send(data)
        method = data.split(b" ")[0]
        return client.answers(b"GET", method)[-1]

    def test_methods(self) -> None:
        for end in (gone, closed):
            for method, code in (
                (b"GET", 200),
                (b"HEAD", 200),
                (b"OPTIONS", 200),
                (b"TRACE", 200),
                (b"DELETE", 502),
                (b"PUT", 502),
            ):
                script = head(b"Content-Length: 2") + (b"" if method == b"HEAD" else b"ok")
                self.assertEqual(self.again(get(b"/2", method=method), end, script).code, code, method)
                self.assertEqual(len(self.origin.requests), 3 if code == 200 else 2)
                self.assertEqual(len(self.origin.peers), 2 if code == 200 else 1)
                self.tearDown()
                self.setUp()

    def test_itIsNotTheUpstreamsFault(self) -> None:
        """One pick, one report of a success."""
        self.assertEqual(self.again(get(), gone, OK).code, 200)
        self.assertEqual(self.outcomes(), [("", 200), ("", 200)])
        self.assertEqual(self.accessLog.lines, [(200, "")] * 2)
        self.assertEqual([each.attempts for each in self.accessLog.exchanges], [1, 1])
        self.assertFalse(self.balancer.outcomes[1].reused)

    def test_onlyOnce(self) -> None:
        self.assertEqual(self.again(get(), gone, gone, OK).code, 502)
        self.assertEqual(len(self.origin.requests), 3)

    def test_onlyOnAConnectionThatServedBefore(self) -> None:
        self.proxy([gone, OK])
        self.assertEqual(self.answerTo(get()).code, 502)
        self.assertEqual(self.outcomes(), [("upstream_reset", 0)])

    def test_onlyOnAFreshConnection(self) -> None:
        """Other idle connections are no better."""
        self.proxy([None, None])
        clients = [self.ask(get()) for _ in range(2)]
        for peer in self.origin.peers:
            peer.send(OK)
        self.network.pump()
        self.origin.script = [gone, OK]
        self.assertEqual(clients[0].send(get()).answers()[1].code, 200)
        self.assertEqual(len(self.origin.peers), 3)

    def test_notOnceAByteCame(self) -> None:
        def half(peer: RawPeer, request: Message) -> None:
            peer.send(b"H")
            peer.close()

        self.assertEqual(self.again(get(), half, OK).code, 502)
        self.assertEqual(len(self.origin.requests), 2)

    def test_notAfterAnInformationalAnswer(self) -> None:
        def half(peer: RawPeer, request: Message) -> None:
            peer.send(head(status=b"103 Early Hints"))
            peer.close()

        self.assertEqual(self.again(get(), half, OK).code, 502)
        self.assertEqual(len(self.origin.requests), 2)

    def test_aBodyThatIsKept(self) -> None:
        for data in (post(b"body", KEY), get(b"/", b"Transfer-Encoding: chunked", KEY, method=b"POST") + chunked(b"bo", b"dy")):
            self.assertEqual(self.again(data, gone, OK).code, 200)
            self.assertEqual([request.body for request in self.origin.requests[1:]], [b"body"] * 2)
            self.tearDown()
            self.setUp()

    def test_xIdempotencyKey(self) -> None:
        self.assertEqual(self.again(post(b"body", b"X-Idempotency-Key: 1"), gone, OK).code, 200)

    def test_trailersAreKept(self) -> None:
        data = get(b"/", b"Transfer-Encoding: chunked", KEY, method=b"POST") + chunked(b"body", trailers=[b"X-T: 1"])
        self.assertEqual(self.again(data, gone, OK).code, 200)
        self.assertEqual([request.trailers for request in self.origin.requests[1:]], [[(b"X-T", b"1")]] * 2)

    def test_aGetWithABody(self) -> None:
        self.assertEqual(self.again(post(b"body", method=b"GET"), gone, OK).code, 200)
        self.assertEqual([request.body for request in self.origin.requests[1:]], [b"body"] * 2)

    def test_aBodyThatADirectorAssigned(self) -> None:
        def direct(inbound: object, outbound: OutboundRequest) -> None:
            outbound.body = b"assigned"

        self.assertEqual(self.again(post(b"body", KEY), gone, OK, directors=[director(direct)]).code, 200)
        self.assertEqual([request.body for request in self.origin.requests[1:]], [b"assigned"] * 2)
        self.assertEqual(self.balancer.outcomes[1].bytesIn, 8)

    def test_aBodyThatADirectorAssignedToAPost(self) -> None:
        def direct(inbound: object, outbound: OutboundRequest) -> None:
            outbound.body = b"assigned"

        self.assertEqual(self.again(post(b"body"), gone, OK, directors=[director(direct)]).code, 502)

    def test_aBodyThatIsNotThereYet(self) -> None:
        """What came is sent again, and what comes after it goes on behind."""
        self.proxy([OK])
        client = self.ask(get())
        client.send(post(b"0123456789", KEY)[:-5])
        self.origin.peer.abort()
        self.network.pump()
        client.send(b"56789")
        self.assertEqual(self.origin.requests[1].body, b"0123456789")
        self.assertEqual(len(self.origin.peers), 2)

    def test_aBodyThatComesWhileItIsConnected(self) -> None:
        """What comes while there is no connection waits, however much it is."""
        for size in (1000, 50000, 500000):
            body = bytes(range(256)) * (size // 256)
            self.proxy([OK, None], settings={"maxReplayBytes": 20000})
            client = self.ask(get())
            client.send(post(body, KEY)[: -len(body) + 500])
            self.network.blackHole("10.0.0.1:80")
            self.origin.peer.abort()
            self.network.pump()
            client.send(body[500:])
            self.network.heal("10.0.0.1:80")
            self.seconds(11)  # the connection attempt fails
            self.assertEqual(client.answers(b"GET", b"POST")[-1].code, 504)
            self.tearDown()
            self.setUp()

    def test_aBodyThatComesWhileItQueues(self) -> None:
        for size in (1000, 50000, 500000):
            body = bytes(range(256)) * (size // 256)
            self.proxy(None, settings={"maxReplayBytes": 20000, "maxConnectionsPerUpstream": 1})
            client = self.ask(get())
            other = self.client()
            self.send(self.origin.peer, OK)
            client.send(post(body, KEY)[: -len(body) + 500])
            other.send(get(b"/other"))  # gets the next connection
            self.origin.peer.abort()
            self.network.pump()
            client.send(body[500:])
            self.origin.peers[-1].send(OK)
            self.network.pump()
            self.assertEqual(other.received, OK)
            self.origin.script = OK
            self.assertEqual(self.origin.requests[-1].body, body, size)
            self.origin.peers[-1].send(OK)
            self.network.pump()
            self.assertEqual([each.code for each in client.answers()], [200, 200])
            self.tearDown()
            self.setUp()

    def test_anUploadThatWasPaused(self) -> None:
        """It goes on when there is a new connection."""
        self.network.socketBuffer = 1000
        self.proxy([OK, OK], settings={"maxReplayBytes": 1 << 20})
        client = self.ask(get())
        self.origin.peer.pause()
        body = b"x" * 300000
        client.send(post(body, KEY))
        self.assertGreater(client.raw.transport.buffered, 10000, "it is paused")
        self.origin.peer.abort()
        self.network.pump()
        self.assertEqual(self.origin.requests[-1].body, body)
        self.assertEqual(client.answers(b"GET", b"POST")[-1].code, 200)

    def test_theClientLeavesMeanwhile(self) -> None:
        self.proxy([OK])
        client = self.ask(get())
        self.network.blackHole("10.0.0.1:80")
        self.origin.script = [gone]
        client.send(get())
        self.assertEqual(self.upstream.inFlight, 1)
        client.abort()
        self.checkNothingRuns()
        self.assertEqual(self.outcomes(), [("", 200), ("client_closed", 0)])

    def test_noConnectionTheSecondTime(self) -> None:
        self.proxy([OK, gone])
        client = self.ask(get())
        self.network.failConnections("10.0.0.1:80")
        client.send(get())
        self.assertEqual(client.answers()[1].code, 502)

    def test_aStaleConnectionThatIsNoticed(self) -> None:
        """One that was closed while it was idle is not used at all."""
        self.proxy([OK, OK])
        client = self.ask(get())
        self.origin.peer.close()
        self.network.pump()
        self.assertEqual(client.send(post(b"body")).answers(b"GET", b"POST")[1].code, 200)

    def test_anEndThatTheReactorHasYetToTell(self) -> None:
        """It came in the same turn as a request that could not be sent again, and is told after that."""
        for lines in ((), (KEY,)):
            for end in (lambda kernel: kernel.shutdown(SHUT_WR), lambda kernel: kernel.close(), lambda kernel: kernel.send(b"?")):
                self.proxy([OK, OK])
                client = self.ask(get())
                client.raw.transport.end.send(post(b"body", *lines))
                end(self.origin.peer.transport.end)
                self.network.pump()
                self.assertEqual(client.answers(b"GET", b"POST")[1].code, 200)
                self.assertEqual([peer.received.count(b" HTTP/1.1") for peer in self.origin.peers], [1, 1])
                self.tearDown()
                self.setUp()

    def test_endsUnderALimit(self) -> None:
        """The place of a connection that has ended is free, for the one in its stead."""
        self.proxy([OK, OK], settings={"maxConnectionsPerUpstream": 1})
        client = self.ask(get())
        client.raw.transport.end.send(post(b"body"))
        self.origin.peer.transport.end.shutdown(SHUT_WR)
        self.network.pump()
        self.assertEqual(client.answers(b"GET", b"POST")[1].code, 200)


class TestOtherUpstreams(ProxyTestCase):
    """Edge-case 10."""

    def refuse(self, *numbers: int) -> None:
        for number in numbers:
            self.network.failConnections(f"10.0.0.{number}:80")

    def test_eachIsAskedOnce(self) -> None:
        self.proxy(OK, OK, OK)
        self.refuse(1, 2, 3)
        self.assertEqual(self.answerTo(get()).code, 502)
        self.assertEqual(sorted(each.key for each in self.balancer.picks), [each.key for each in self.reverseProxy.upstreams])  # type: ignore[union-attr]
        self.assertEqual(self.outcomes(), [("connect_refused", 0)] * 3)
        self.assertEqual(self.accessLog.exchanges[0].attempts, 3)

    def test_backupsComeLast(self) -> None:
        from twistproxy.messages import Upstream

        urls = [Upstream("http://10.0.0.1"), Upstream("http://10.0.0.2", backup=True), Upstream("http://10.0.0.3")]
        self.proxy(OK, answer(b"backup"), OK, urls=urls)
        for _ in range(4):
            self.assertEqual(self.answerTo(get()).body, b"ok")
        self.refuse(1, 3)
        for origin in (self.origins[0], self.origins[2]):
            for peer in origin.peers:
                peer.close()
        self.network.pump()
        self.assertEqual(self.answerTo(get()).body, b"backup")

    def test_theBodyIsWhole(self) -> None:
        body = bytes(range(256)) * 1000
        for data in (post(body), get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + chunked(body[:1000], body[1000:])):
            self.proxy(OK, OK)
            self.refuse(1)
            self.assertEqual(self.answerTo(data).code, 200)
            self.assertEqual(self.origins[1].request.body, body)
            self.tearDown()
            self.setUp()

    def test_theBodyIsNotReadBefore(self) -> None:
        """Not more of it than is held anyway."""
        self.proxy(OK, OK, settings={"connectTimeout": 3})
        self.network.blackHole("10.0.0.1:80")
        client = self.ask(post(b"x" * 3000000))
        self.assertGreater(client.raw.transport.buffered, 2500000)
        self.seconds(3)
        self.assertEqual(client.answer(b"POST").code, 200)

    def test_anAnswerIsFinal(self) -> None:
        for status in (b"500 Oops", b"502 Bad Gateway", b"503 Busy", b"504 Slow"):
            self.proxy(answer(b"no", status=status), OK)
            self.assertEqual(self.answerTo(get()).code, int(status[:3]))
            self.assertEqual(self.origins[1].requests, [])
            self.tearDown()
            self.setUp()

    def test_whatWasSentIsSentAgainIfThatDoesNoHarm(self) -> None:
        """To another upstream, after a short while."""
        for end in (gone, closed):
            for data, code in (
                (get(), 200),
                (get(method=b"DELETE"), 200),
                (get(method=b"POST"), 502),
                (get(b"/", KEY, method=b"POST"), 200),
                (get(method=b"BREW"), 502),
            ):
                self.proxy(end, OK)
                client = self.ask(data)
                self.network.advance(0.025)
                self.assertEqual(client.answer().code, code, data)
                self.assertEqual(len(self.origins[1].requests), code == 200)
                self.tearDown()
                self.setUp()

    def test_notOnceAnAnswerBegan(self) -> None:
        def half(peer: RawPeer, request: Message) -> None:
            peer.send(head(b"Content-Length: 10") + b"half")
            peer.close()

        self.proxy(half, OK)
        client = self.ask(get())
        self.network.advance(1)
        self.assertTrue(client.received.endswith(b"half"))
        self.assertEqual(self.origins[1].requests, [])

    def test_anotherPickWhenTheBalancerWillNot(self) -> None:
        """The error is that of who was asked last."""

        class Once(RoundRobin):
            def pick(self, request: Any, candidates: Any) -> Any:
                return candidates[0] if len(candidates) == 2 else None

        self.proxy(OK, OK, balancer=Once())
        self.refuse(1)
        self.assertEqual(self.answerTo(get()).code, 502)
        self.assertEqual(self.accessLog.lines, [(502, "connect_refused")])

    def test_afterAFullQueue(self) -> None:
        """Nothing was sent; but it is this proxy that is busy, not one upstream that is down."""
        self.proxy(None, None, settings={"maxConnectionsPerUpstream": 1, "maxQueuedRequests": 0})
        self.ask(get())
        self.ask(get())
        self.assertEqual(self.answerTo(get()).code, 503)
