"""The seams for plugins: what each hook may return, and what follows when it does something else."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

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
    never,
    post,
)
from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.errors import BAD_REQUEST, TOO_BUSY, ProxyError
from twistproxy.messages import InboundRequest, OutboundRequest, Outcome, Response, Upstream
from twistproxy.testing import RawPeer
from twistproxy.upstream.group import UpstreamGroup


class PluginError(Exception):
    """What a plugin raises."""


async def later(value: Any) -> Any:
    return value


def raiser(error: BaseException) -> Callable[..., Any]:
    def raising(*arguments: Any) -> Any:
        raise error

    return raising


class HookTestCase(ProxyTestCase):
    def code(self, data: bytes = b"") -> int:
        return self.answerTo(data or get()).code

    def logged(self, *kinds: type[Exception]) -> int:
        return len(self.flushLoggedErrors(*(kinds or (PluginError,))))

    def again(self) -> None:
        self.tearDown()
        self.setUp()


class TestDirectors(HookTestCase):
    def direct(self, result: Any, *others: Any, **options: Any) -> int:
        self.first = director(result if callable(result) else lambda inbound, outbound: result)
        self.proxy(OK, answer(b"second"), directors=[self.first, *others], **options)
        return self.code()

    def test_none(self) -> None:
        last = director(lambda inbound, outbound: None)
        for result in (None, succeed(None), later(None)):
            self.assertEqual(self.direct(result, last), 200)
            self.assertEqual(len(last.calls), 1)
            last.calls.clear()
            self.again()

    def test_theyGetBothRequests(self) -> None:
        self.direct(None)
        ((inbound, outbound),) = self.first.calls
        self.assertIsInstance(inbound, InboundRequest)
        self.assertIs(inbound.outbound, outbound)
        self.assertEqual((inbound.method, inbound.target, inbound.scheme, inbound.host), (b"GET", b"/", "http", "app.example"))
        self.assertEqual((str(inbound.client.host), inbound.state), ("203.0.113.9", {}))

    def test_anUpstream(self) -> None:
        for wrap in (lambda upstream: upstream, succeed, later):
            unasked = director(lambda inbound, outbound: None)
            code = self.direct(lambda inbound, outbound, wrap=wrap: wrap(self.upstream), unasked)
            self.assertEqual((code, unasked.calls, self.balancer.picks), (200, [], []))
            self.assertEqual(len(self.origin.requests), 1)
            self.again()

    def test_anUpstreamThatIsNotInThePool(self) -> None:
        self.serve("10.0.0.7:80", answer(b"seventh"))
        upstream = Upstream("http://10.0.0.7")
        self.watched.append(upstream)
        self.direct(upstream)
        self.assertEqual(self.clients[0].answer().body, b"seventh")

    def test_anUpstreamThatIsTheSameAsAMember(self) -> None:
        seen: list[int] = []
        self.proxy(lambda peer, request: (seen.append(self.upstream.inFlight), peer.send(OK)),
                   directors=[director(lambda inbound, outbound: Upstream("http://10.0.0.1"))])  # fmt: skip
        self.assertEqual((self.code(), seen), (200, [1]))

    def test_anUpstreamThatRefuses(self) -> None:
        """There is no other to ask."""
        self.first = director(lambda inbound, outbound: self.upstream)
        self.proxy(OK, OK, directors=[self.first])
        self.network.failConnections("10.0.0.1:80")
        self.assertEqual(self.code(), 502)
        self.assertEqual(self.origins[1].requests, [])

    def test_aPoolsName(self) -> None:
        other = UpstreamGroup("other", RoundRobin(), [Upstream("http://10.0.0.2")])
        self.watched += other.members
        for result in ("other", succeed("other"), later("other")):
            self.direct(result, pools={"other": other})
            self.assertEqual(self.clients[0].answer().body, b"second")
            self.again()

    def test_aResponse(self) -> None:
        for wrap in (lambda response: response, succeed, later):
            response = Response(201, {"X-Mine": "1"}, b"mine")
            self.assertEqual(self.direct(wrap(response)), 201)
            self.assertEqual(self.clients[0].received, b"HTTP/1.1 201 Created\r\nX-Mine: 1\r\nContent-Length: 4\r\n\r\nmine")
            self.assertEqual(self.origin.peers, [])
            self.assertEqual(self.accessLog.lines, [(201, "")])
            self.again()

    def test_aResponseToAnUpload(self) -> None:
        """The rest of it is not wanted."""
        self.proxy(OK, directors=[director(lambda inbound, outbound: Response(401))])
        client = self.ask(post(b"x" * 100000)[:-1])
        self.assertEqual((client.answer().code, client.answer().get(b"connection")), (401, b"close"))

    def test_responsesKeepTheConnection(self) -> None:
        self.proxy(OK, directors=[director(lambda inbound, outbound: Response(204))])
        client = self.ask(get() * 3 + post(b"body") * 2)
        self.assertEqual([each.code for each in client.answers()], [204] * 5)
        self.assertFalse(client.isEnded)

    def test_theWrongType(self) -> None:
        for result in (42, b"bytes", ["list"], object(), succeed({}), later(3.5)):
            self.assertEqual(self.direct(result), 500)
            self.assertEqual(self.logged(TypeError), 1)
            self.assertEqual(self.accessLog.lines, [(500, "plugin_error")])
            self.again()

    def test_aPoolThatIsNotThere(self) -> None:
        self.assertEqual((self.direct("nowhere"), self.logged(TypeError)), (500, 1))

    def test_raising(self) -> None:
        async def raising(inbound: object, outbound: object) -> None:
            raise PluginError()

        for direct in (raiser(PluginError()), raising, lambda inbound, outbound: fail(PluginError())):
            self.assertEqual((self.direct(direct), self.logged()), (500, 1))
            self.assertEqual(self.origin.peers, [])
            self.assertNotIn(b"PluginError", self.clients[0].received)
            self.again()

    def test_raisingAProxyError(self) -> None:
        """Its status is the answer's, and nobody's fault is logged with a traceback."""
        self.assertEqual(self.direct(raiser(ProxyError(BAD_REQUEST, "no"))), 400)

    def test_neverFiring(self) -> None:
        cancelled: list[Any] = []
        self.proxy(OK, directors=[director(lambda inbound, outbound: never(cancelled))], settings={"hookTimeout": 5})
        client = self.ask(get())
        self.seconds(4)
        self.assertEqual((client.received, cancelled), (b"", []))
        self.seconds(1)
        self.assertEqual((client.answer().code, len(cancelled)), (500, 1))
        self.assertEqual(self.accessLog.lines, [(500, "plugin_error")])
        self.flushLoggedErrors()

    def test_takingTime(self) -> None:
        waiting: Deferred[Any] = Deferred()
        self.proxy(OK, directors=[director(lambda inbound, outbound: waiting)])
        client = self.ask(get())
        self.assertEqual(self.origin.peers, [])
        waiting.callback(None)
        self.network.pump()
        self.assertEqual(client.received, OK)

    def test_firingAfterTheBodyTurnedOutMalformed(self) -> None:
        """The request was answered: nothing goes to an upstream any more."""
        cancelled: list[Any] = []
        waiting: Deferred[Any] = Deferred(cancelled.append)
        self.proxy(OK, directors=[director(lambda inbound, outbound: waiting)])
        client = self.ask(get(b"/", b"Transfer-Encoding: chunked", method=b"POST"))
        client.send(b"x\r\n")
        self.assertEqual(client.answer(b"POST").code, 400)
        self.assertEqual(len(cancelled), 1)
        if not waiting.called:
            waiting.callback(None)
        self.network.pump()
        self.assertEqual(self.origin.peers, [])

    def test_headersTheyMayNotSet(self) -> None:
        attempts: list[str] = []

        def direct(inbound: InboundRequest, outbound: OutboundRequest) -> None:
            for name, change in {
                "value": lambda: outbound.headers.setRawHeaders("X-A", ["a\r\nX-Evil: 1"]),
                "name": lambda: outbound.headers.addRawHeader("X-A: 1\r\nX-Evil", "1"),
                "bare name": lambda: outbound.headers.addRawHeader("X A", "1"),
                "nul": lambda: outbound.headers.addRawHeader("X-A", b"\0"),
                "method": lambda: setattr(outbound, "method", b"GET / HTTP/1.1\r\nX-Evil: 1\r\n\r\nGET"),
                "path": lambda: setattr(outbound, "path", b"/ HTTP/1.1\r\nX-Evil: 1\r\n\r\n"),
                "query": lambda: setattr(outbound, "query", b"a b"),
                "host": lambda: setattr(outbound, "host", "a\r\nX-Evil: 1"),
                "no list": lambda: outbound.headers.setRawHeaders("X-A", "value"),
            }.items():
                try:
                    change()
                except (ValueError, TypeError):
                    attempts.append(name)

        self.assertEqual(self.direct(direct), 200)
        self.assertEqual(len(attempts), 9, attempts)
        self.assertNotIn(b"Evil", self.origin.received)

    def test_framingTheyMayNotSet(self) -> None:
        def direct(inbound: InboundRequest, outbound: OutboundRequest) -> None:
            outbound.headers.setRawHeaders("Content-Length", ["3"])
            outbound.headers.setRawHeaders("Transfer-Encoding", ["chunked"])
            outbound.headers.setRawHeaders("Connection", ["close"])
            outbound.headers.setRawHeaders("Upgrade", ["foo"])

        self.assertEqual(self.direct(direct), 200)
        for name in (b"transfer-encoding", b"connection", b"upgrade"):
            self.assertEqual(self.origin.request.all(name), [], name)
        self.assertEqual(self.origin.request.get(b"content-length"), b"0")

    def test_theInboundRequestIsFrozen(self) -> None:
        def direct(inbound: Any, outbound: OutboundRequest) -> None:
            with self.assertRaises(AttributeError):
                inbound.headers.setRawHeaders("X-A", ["1"])
            with self.assertRaises(AttributeError):
                inbound.path = b"/other"

        self.assertEqual(self.direct(direct), 200)


class TestRequestBodies(HookTestCase):
    def read(self, limit: int, **options: Any) -> list[Any]:
        seen: list[Any] = []

        async def direct(inbound: InboundRequest, outbound: OutboundRequest) -> None:
            seen.append(await inbound.body.read(limit))

        self.proxy(OK, directors=[director(direct)], **options)
        return seen

    def test_read(self) -> None:
        seen = self.read(10)
        for data in (post(b"hello"), get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + chunked(b"he", b"llo"), get()):
            self.assertEqual(self.code(data), 200)
        self.assertEqual(seen, [b"hello", b"hello", b""])
        self.assertEqual([request.body for request in self.origin.requests], seen)
        self.assertEqual([request.get(b"content-length") for request in self.origin.requests], [b"5", b"5", None])

    def test_readPieceByPiece(self) -> None:
        seen = self.read(1 << 20)
        client = self.client()
        for piece in (post(b"x" * 200000)[:100], b"x" * 100000, b"x" * 100000):
            self.assertEqual(seen, [])
            client.send(piece)
        self.assertEqual([len(each) for each in seen], [200000])
        self.assertEqual(client.answer().code, 200)

    def test_aSlowSender(self) -> None:
        """The time in which a body comes is not the plugin's; that after it is."""
        seen: list[bytes] = []

        async def direct(inbound: InboundRequest, outbound: OutboundRequest) -> None:
            seen.append(await inbound.body.read(10))
            if inbound.path == b"/never":
                await never()

        self.proxy(OK, directors=[director(direct)], settings={"hookTimeout": 5, "bodyTimeout": 60})
        for path, code in ((b"/", 200), (b"/never", 500)):
            client = self.ask(get(path, b"Content-Length: 1", method=b"POST"))
            self.seconds(22)
            self.assertEqual(client.received, b"")
            client.send(b"x")
            self.seconds(12)
            self.assertEqual((client.answer(b"POST").code, seen.pop()), (code, b"x"))
        self.assertEqual([str(each.value) for each in self.flushLoggedErrors()], ["(5, 'Deferred')"])

    def test_tooLong(self) -> None:
        seen = self.read(10)
        for data in (post(b"x" * 11), get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + chunked(b"x" * 11)):
            self.assertEqual(self.code(data), 413)
        self.assertEqual((seen, self.origin.peers), ([], []))
        self.assertEqual(self.accessLog.lines, [(413, "body_too_large")] * 2)

    def test_expectContinue(self) -> None:
        """A client that waits for a 100 gets one, as nobody asks the upstream before."""
        seen = self.read(10)
        client = self.ask(get(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"POST"))
        self.assertEqual(client.take(), b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(b"hello")
        self.assertEqual((client.take(), seen), (OK, [b"hello"]))
        self.assertEqual(self.origin.request.body, b"hello")

    def test_expectContinueWhenNobodyReads(self) -> None:
        self.proxy(OK, directors=[director(lambda inbound, outbound: Response(401))])
        client = self.ask(get(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"POST"))
        self.assertEqual([each.code for each in client.answers()], [401])

    def test_malformed(self) -> None:
        seen = self.read(10)
        client = self.ask(get(b"/", b"Transfer-Encoding: chunked", method=b"POST"))
        client.send(b"5\r\nhelloX")
        self.assertEqual((client.answer(b"POST").code, client.isEnded, seen), (400, True, []))

    def test_assigned(self) -> None:
        def direct(inbound: InboundRequest, outbound: OutboundRequest) -> None:
            outbound.body = b"another"

        for data in (post(b"hello"), get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + chunked(b"hello"), get()):
            self.proxy(OK, directors=[director(direct)])
            self.assertEqual(self.code(data), 200)
            request = self.origin.request
            self.assertEqual((request.body, request.get(b"content-length")), (b"another", b"7"))
            self.assertEqual(self.balancer.outcomes[0].bytesIn, 7)
            self.again()

    def test_assignedBeforeItCame(self) -> None:
        """What the client still sends is dropped."""

        def direct(inbound: InboundRequest, outbound: OutboundRequest) -> None:
            outbound.body = b"another"

        self.proxy([OK, OK], directors=[director(direct)])
        client = self.ask(post(b"x" * 300000)[:-5])
        self.assertEqual(self.origin.requests[0].body, b"another")
        client.send(b"x" * 5)
        self.assertEqual(client.answers()[0].code, 200)

    def test_assignedNothing(self) -> None:
        def direct(inbound: InboundRequest, outbound: OutboundRequest) -> None:
            outbound.body = b""

        self.proxy(OK, directors=[director(direct)])
        self.code(post(b"hello"))
        self.assertEqual((self.origin.request.body, self.origin.request.get(b"content-length")), (b"", b"0"))

    def test_assignedTheWrongType(self) -> None:
        def direct(inbound: InboundRequest, outbound: Any) -> None:
            outbound.body = "text"

        self.proxy(OK, directors=[director(direct)])
        self.assertEqual((self.code(), self.logged(TypeError)), (500, 1))


class TestBalancers(HookTestCase):
    def pick(self, result: Any) -> int:
        class Balancer(RoundRobin):
            def pick(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Any:
                return result(candidates) if callable(result) else result

        self.proxy(OK, OK, balancer=Balancer())
        return self.code()

    def test_none(self) -> None:
        self.assertEqual(self.pick(None), 503)
        self.assertEqual(self.accessLog.lines, [(503, "no_healthy_upstream")])

    def test_noCandidate(self) -> None:
        for result in (Upstream("http://10.0.0.9"), "http://10.0.0.1", 1, [], succeed(None)):
            self.assertEqual((self.pick(result), self.logged(TypeError)), (503, 1))
            self.assertEqual(self.accessLog.lines, [(503, "plugin_error")])
            self.again()

    def test_raising(self) -> None:
        self.assertEqual((self.pick(raiser(PluginError())), self.logged()), (503, 1))

    def test_candidates(self) -> None:
        """The same object as long as nothing changes."""
        self.assertEqual(self.pick(lambda candidates: candidates[0]), 200)
        self.assertEqual(self.code(), 200)
        first, second = self.balancer.candidates
        self.assertIs(first, second)
        self.assertEqual(tuple(first), self.reverseProxy.upstreams)  # type: ignore[union-attr]
        self.assertEqual([tuple(each) for each in self.balancer.changes], [tuple(first)])

    def test_candidatesAreThoseNotTried(self) -> None:
        self.proxy(OK, OK, OK)
        for at in (1, 2):
            self.network.failConnections(f"10.0.0.{at}:80")
        for _ in range(3):
            self.assertEqual(self.code(), 200)
        for upstreams in self.balancer.candidates:
            self.assertIn(len(upstreams), (1, 2, 3))
        self.assertEqual(self.origins[2].requests.__len__(), 3)

    def test_reportThatRaises(self) -> None:
        class Balancer(RoundRobin):
            def report(self, upstream: Upstream, outcome: Outcome) -> None:
                raise PluginError()

        self.proxy(OK, balancer=Balancer())
        self.assertEqual((self.code(), self.logged()), (200, 1))

    def test_upstreamsChangedThatRaises(self) -> None:
        class Balancer(RoundRobin):
            def upstreamsChanged(self, upstreams: Sequence[Upstream]) -> None:
                raise PluginError()

        self.proxy(OK, balancer=Balancer())
        self.assertEqual((self.code(), self.logged()), (200, 1))

    def test_outcome(self) -> None:
        def answered(peer: RawPeer, request: Message) -> None:
            self.network.callLater(0.25, peer.send, head(b"Content-Length: 10") + b"hello")
            self.network.callLater(0.5, peer.send, b"world")

        self.proxy(answered)
        client = self.ask(post(b"body"))
        self.seconds(1)
        client.send(post(b"body"))
        self.seconds(1)
        first, second = self.balancer.outcomes
        self.assertEqual(
            first,
            Outcome(
                self.upstream, "", 200, connectTime=0.0, firstByteTime=0.25, duration=0.5, bytesIn=4, bytesOut=10, reused=False
            ),
        )
        self.assertEqual((second.reused, second.connectTime), (True, None))
        self.assertAlmostEqual(self.upstream.latency or 0, 0.25)


class TestModifiers(HookTestCase):
    upstreamAnswer: Any = answer(b"hello", b"X-One: 1", b"ETag: x")

    def modify(self, *functions: Callable[..., Any], script: Any = None, ask: bytes = b"", **options: Any) -> Message:
        self.proxy(script or self.upstreamAnswer, modifiers=[modifier(each) for each in functions], **options)
        return self.answerTo(ask or get())

    def test_none(self) -> None:
        for result in (None, succeed(None), later(None)):
            response = self.modify(lambda request, response, result=result: result)
            self.assertEqual(response.raw, self.upstreamAnswer)
            self.again()

    def test_whatTheyGet(self) -> None:
        def modify(request: InboundRequest, response: Response) -> None:
            self.assertEqual((request.target, response.code, response.phrase), (b"/", 200, b"OK"))
            self.assertEqual(response.headers.get("x-one"), "1")
            self.assertIs(response.upstream, self.upstream)

        self.assertEqual(self.modify(modify).code, 200)

    def test_changes(self) -> None:
        def first(request: InboundRequest, response: Response) -> None:
            response.code, response.phrase = 418, b"Teapot"
            response.headers.setRawHeaders("X-Added", ["1"])
            response.headers.removeHeader("X-One")

        async def second(request: InboundRequest, response: Response) -> None:
            response.headers.addRawHeader("X-Seen", str(response.code))

        response = self.modify(first, second)
        self.assertEqual(response.start, b"HTTP/1.1 418 Teapot")
        self.assertEqual((response.get(b"x-added"), response.get(b"x-one"), response.get(b"x-seen")), (b"1", None, b"418"))
        self.assertEqual(response.body, b"hello")

    def test_changedCodeHasItsPhrase(self) -> None:
        def modify(request: InboundRequest, response: Response) -> None:
            response.code, response.phrase = 404, b""

        self.assertEqual(self.modify(modify).start, b"HTTP/1.1 404 Not Found")

    def test_assignedBody(self) -> None:
        def modify(request: InboundRequest, response: Response) -> None:
            response.body = b"another body"

        for script in (
            self.upstreamAnswer,
            head(b"Transfer-Encoding: chunked") + chunked(b"hello"),
            head(b"Content-Length: 100"),
            lambda peer, request: (peer.send(head() + b"hello"), peer.close()),
        ):
            response = self.modify(modify, script=script)
            self.assertEqual((response.body, response.get(b"content-length")), (b"another body", b"12"))
            self.assertEqual(self.outcomes()[0][1], 200)
            self.again()

    def test_readBody(self) -> None:
        async def modify(request: InboundRequest, response: Response) -> None:
            body = await response.body.read(1000)
            response.body = body.upper()

        for script in (
            self.upstreamAnswer,
            head(b"Transfer-Encoding: chunked") + chunked(b"he", b"llo"),
            lambda peer, request: (peer.send(head() + b"hello"), peer.close()),
        ):
            self.assertEqual(self.modify(modify, script=script).body, b"HELLO")
            self.again()

    def test_readBodyAndLeaveIt(self) -> None:
        async def modify(request: InboundRequest, response: Response) -> None:
            self.assertEqual(await response.body.read(1000), b"hello")

        response = self.modify(modify)
        self.assertEqual((response.body, response.get(b"content-length")), (b"hello", b"5"))
        self.again()
        response = self.modify(modify, script=head(b"Transfer-Encoding: chunked") + chunked(b"he", b"llo"))
        self.assertEqual((response.body, response.get(b"content-length")), (b"hello", b"5"))

    def test_readTwice(self) -> None:
        async def modify(request: InboundRequest, response: Response) -> None:
            self.assertEqual(await response.body.read(1000), b"hello")

        self.assertEqual(self.modify(modify, modify).body, b"hello")

    def test_readTooMuch(self) -> None:
        async def modify(request: InboundRequest, response: Response) -> None:
            await response.body.read(4)

        for script in (self.upstreamAnswer, head(b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n"):
            self.assertEqual(self.modify(modify, script=script).code, 502)
            self.assertEqual(self.accessLog.lines, [(502, "response_too_large")])
            self.again()

    def test_readWhatBreaksOff(self) -> None:
        async def modify(request: InboundRequest, response: Response) -> None:
            await response.body.read(1000)

        def half(peer: RawPeer, request: Message) -> None:
            peer.send(head(b"Content-Length: 10") + b"hello")
            peer.close()

        self.proxy([half, OK], modifiers=[modifier(modify)])
        client = self.ask(get() + get())
        self.assertEqual([each.code for each in client.answers()], [502, 200])
        self.assertEqual(self.accessLog.lines, [(502, "upstream_closed"), (200, "")])

    def test_readWhatBreaksOffAndAnswerAllTheSame(self) -> None:
        async def modify(request: InboundRequest, response: Response) -> Response | None:
            try:
                await response.body.read(1000)
            except ProxyError:
                return Response(203, body=b"half")
            return None

        def half(peer: RawPeer, request: Message) -> None:
            peer.send(head(b"Content-Length: 10") + b"hello")
            peer.close()

        self.proxy([half, OK], modifiers=[modifier(modify)])
        client = self.ask(get() + get())
        self.assertEqual([each.code for each in client.answers()], [203, 200])

    def test_anotherResponse(self) -> None:
        for wrap in (lambda response: response, succeed, later):
            response = self.modify(lambda request, response, wrap=wrap: wrap(Response(203, {"X-Mine": "1"}, b"mine")))
            self.assertEqual((response.code, response.get(b"x-mine"), response.body), (203, b"1", b"mine"))
            self.assertIsNone(response.get(b"x-one"))
            self.again()

    def test_anotherResponseInPlaceOfALongOne(self) -> None:
        """The upstream's body is not read to its end."""
        response = self.modify(lambda request, response: Response(203), script=head(b"Content-Length: 1000000") + b"x" * 1000)
        self.assertEqual(response.code, 203)
        self.assertIsNotNone(self.origin.peer.closed)
        self.assertEqual(self.outcomes(), [("", 200)])

    def test_theNextSeesTheOtherResponse(self) -> None:
        def second(request: InboundRequest, response: Response) -> None:
            response.headers.addRawHeader("X-Code", str(response.code))

        self.assertEqual(self.modify(lambda request, response: Response(203), second).get(b"x-code"), b"203")

    def test_raising(self) -> None:
        async def raising(request: object, response: object) -> None:
            raise PluginError()

        for function in (raiser(PluginError()), raising, lambda request, response: fail(PluginError())):
            unasked: list[Any] = []
            response = self.modify(function, lambda request, response, unasked=unasked: unasked.append(1))
            self.assertEqual((response.code, self.logged(), unasked), (502, 1, []))
            self.assertEqual(self.accessLog.lines, [(502, "plugin_error")])
            self.again()

    def test_raisingEndsTheUpstreamsAnswer(self) -> None:
        self.assertEqual(self.modify(raiser(PluginError()), script=head(b"Content-Length: 1000") + b"x").code, 502)
        self.logged()
        self.assertIsNotNone(self.origin.peer.closed)
        self.assertEqual(self.outcomes(), [("plugin_error", 200)])

    def test_theWrongType(self) -> None:
        for result in (42, "text", b"", object(), succeed(1)):
            response = self.modify(lambda request, response, result=result: result)
            self.assertEqual((response.code, self.logged(TypeError)), (502, 1))
            self.again()

    def test_aSlowAnswerIsNotTheModifiersFault(self) -> None:
        """While it reads it, the limits on upstreams hold."""

        async def modify(request: InboundRequest, response: Response) -> None:
            response.body = (await response.body.read(10)).upper()

        self.proxy(None, modifiers=[modifier(modify)], settings={"hookTimeout": 5, "upstreamTimeout": 60})
        client = self.ask(get())
        self.send(self.origin.peer, answer(b"ok")[:-1])
        self.seconds(22)
        self.assertEqual(client.received, b"")
        self.send(self.origin.peer, b"k")
        self.assertEqual(client.answer().body, b"OK")

    def test_neverFiring(self) -> None:
        self.proxy(self.upstreamAnswer, modifiers=[modifier(lambda request, response: never())], settings={"hookTimeout": 5})
        client = self.ask(get())
        self.seconds(5)
        self.assertEqual(client.answer().code, 502)
        self.flushLoggedErrors()

    def test_takingTimeWithALongBody(self) -> None:
        """What comes meanwhile is held, but not much of it."""
        waiting: Deferred[None] = Deferred()
        body = bytes(range(256)) * 8192
        self.proxy(answer(body), modifiers=[modifier(lambda request, response: waiting)])
        client = self.ask(get())
        self.assertEqual(client.received, b"")
        self.assertGreater(self.origin.peer.transport.buffered, len(body) - (300 << 10))
        waiting.callback(None)
        self.network.pump()
        self.assertEqual(client.answer().body, body)

    def test_headersTheyMayNotSet(self) -> None:
        refused: list[str] = []

        def modify(request: InboundRequest, response: Any) -> None:
            for name, change in {
                "value": lambda: response.headers.setRawHeaders("X-A", ["a\r\nX-Evil: 1"]),
                "name": lambda: response.headers.addRawHeader("X-A\r\nX-Evil", "1"),
                "phrase": lambda: setattr(response, "phrase", b"OK\r\nX-Evil: 1"),
                "code": lambda: setattr(response, "code", 100),
                "own": lambda: Response(200, {"X-A": "\r\nX-Evil: 1"}),
            }.items():
                try:
                    change()
                except ValueError:
                    refused.append(name)

        self.assertNotIn(b"Evil", self.modify(modify).raw)
        self.assertEqual(len(refused), 5, refused)

    def test_framingTheyMayNotSet(self) -> None:
        def modify(request: InboundRequest, response: Response) -> None:
            response.headers.setRawHeaders("Content-Length", ["3"])
            response.headers.setRawHeaders("Transfer-Encoding", ["gzip, chunked"])
            response.headers.setRawHeaders("Connection", ["close"])
            response.headers.setRawHeaders("Trailer", ["X"])

        response = self.modify(modify)
        self.assertEqual((response.get(b"content-length"), response.body), (b"5", b"hello"))
        for name in (b"transfer-encoding", b"connection", b"trailer"):
            self.assertEqual(response.all(name), [], name)

    def test_trailersArePassedOn(self) -> None:
        script = head(b"Transfer-Encoding: chunked", b"Trailer: X-T") + chunked(b"hello", trailers=[b"X-T: 1"])
        response = self.modify(lambda request, response: None, script=script)
        self.assertEqual((response.get(b"trailer"), response.trailers), (b"X-T", [(b"X-T", b"1")]))

    def test_bodylessAnswers(self) -> None:
        """Reading gives nothing, and assigning changes nothing on the wire."""
        read: list[bytes] = []

        async def modify(request: InboundRequest, response: Response) -> None:
            read.append(await response.body.read(10))
            response.body = b"something"

        for ask, script, length in (
            (get(method=b"HEAD"), head(b"Content-Length: 5"), [b"5"]),
            (get(), head(status=b"204 No Content"), []),
            (get(), head(b"Content-Length: 5", status=b"304 Not Modified"), [b"5"]),
        ):
            self.proxy([script, OK], modifiers=[modifier(modify)])
            client = self.ask(ask + get())
            first, second = client.answers(ask.split(b" ")[0], b"GET")
            self.assertEqual((first.body, first.all(b"content-length")), (b"", length))
            self.assertEqual(second.body, b"something")
            self.again()
        self.assertEqual(read, [b"", b"ok"] * 3)

    def test_answersWithoutABodyKeepTheConnection(self) -> None:
        for ask, script in (
            (get(method=b"HEAD"), head(b"Content-Length: 5")),
            (get(), head(status=b"204 No Content")),
            (get(), head(status=b"304 Not Modified")),
            (get(), head(b"Content-Length: 0")),
        ):
            self.proxy(script, modifiers=[modifier(lambda request, response: None)])
            client = self.ask(ask).send(ask).send(ask)
            self.assertEqual(len(client.answers(*[ask.split(b" ")[0]] * 3)), 3)
            self.assertEqual(len(self.origin.peers), 1, ask)
            self.again()

    def test_aSwitch(self) -> None:
        def modify(request: InboundRequest, response: Response) -> None:
            self.assertEqual(response.code, 101)
            response.headers.addRawHeader("X-Added", "1")

        self.proxy(lambda peer, request: peer.send(SWITCHED + b"frame"), modifiers=[modifier(modify)])
        client = self.ask(get(b"/", *WEBSOCKET))
        self.assertIn(b"X-Added: 1\r\n", client.received)
        self.assertTrue(client.received.endswith(b"\r\n\r\nframe"))

    def test_aSwitchThatTakesTime(self) -> None:
        """What the upstream sends meanwhile is held, but not much of it; then it is the tunnel's."""
        waiting: Deferred[None] = Deferred()
        frames = bytes(range(256)) * 8192

        def switch(peer: RawPeer, request: Message) -> None:
            self.origin.isHTTP = False
            peer.send(SWITCHED + frames)

        self.proxy(switch, modifiers=[modifier(lambda request, response: waiting)])
        client = self.ask(get(b"/", *WEBSOCKET))
        self.assertEqual(client.received, b"")
        self.assertGreater(self.origin.peer.transport.buffered, len(frames) - (300 << 10))
        waiting.callback(None)
        self.network.pump()
        self.assertEqual(client.received.partition(b"\r\n\r\n")[2], frames)
        client.send(b"from the client")
        self.assertTrue(self.origin.peer.received.endswith(b"\r\n\r\nfrom the client"))

    def test_aSwitchRefused(self) -> None:
        for function in (lambda request, response: Response(403), raiser(PluginError())):
            self.proxy(SWITCHED, modifiers=[modifier(function)])
            client = self.ask(get(b"/", *WEBSOCKET))
            self.assertIn(client.answer().code, (403, 502))
            self.assertIsNotNone(self.origin.peer.closed)
            self.logged()
            self.again()

    def test_aSwitchTurnedIntoAnAnswer(self) -> None:
        def modify(request: InboundRequest, response: Response) -> None:
            response.code, response.phrase = 403, b""

        self.proxy(SWITCHED, modifiers=[modifier(modify)])
        self.assertEqual(self.answerTo(get(b"/", *WEBSOCKET)).code, 403)
        self.assertIsNotNone(self.origin.peer.closed)

    def test_anAnswerTurnedIntoASwitch(self) -> None:
        """Nobody may have a tunnel that the upstream did not open."""

        def modify(request: InboundRequest, response: Response) -> None:
            response.code = 101

        for script in (OK, head(status=b"204 No Content"), head(b"Content-Length: 0")):
            for ask in (get(), get(b"/", *WEBSOCKET)):
                self.proxy(script, modifiers=[modifier(modify)])
                self.assertEqual(self.answerTo(ask).code, 500)
                self.again()

    def test_aSwitchOfTheirOwn(self) -> None:
        self.assertEqual(self.modify(lambda request, response: Response(101), ask=get(b"/", *WEBSOCKET)).code, 500)

    def test_afterATry(self) -> None:
        """What a first upstream failed with is not what the exchange failed with."""
        self.proxy(OK, OK, modifiers=[modifier(lambda request, response: None)])
        self.network.failConnections("10.0.0.1:80")
        self.assertEqual(self.code(), 200)
        self.assertEqual(self.accessLog.lines, [(200, "")])


class Upper:
    """A body filter."""

    def data(self, chunk: bytes) -> bytes:
        return chunk.upper()

    def end(self) -> bytes:
        return b"!"


class Holding:
    """Gives nothing before the end."""

    def __init__(self) -> None:
        self.held = b""

    def data(self, chunk: bytes) -> bytes:
        self.held += chunk
        return b""

    def end(self) -> bytes:
        return b"<" + self.held + b">"


class TestBodyFilters(HookTestCase):
    def filtered(self, *filters: Any, script: Any = None, ask: bytes = b"") -> Any:
        def modify(request: InboundRequest, response: Response) -> None:
            for each in filters:
                response.filterBody(each)

        self.proxy(script or answer(b"hello", b"ETag: x", b"Digest: y"), modifiers=[modifier(modify)])
        return self.ask(ask or get())

    def test_one(self) -> None:
        response = self.filtered(Upper()).answer()
        self.assertEqual((response.body, response.get(b"transfer-encoding")), (b"HELLO!", b"chunked"))
        for name in (b"content-length", b"etag", b"digest"):
            self.assertEqual(response.all(name), [])

    def test_several(self) -> None:
        self.assertEqual(self.filtered(Upper(), Holding()).answer().body, b"<HELLO!>")
        self.again()
        self.assertEqual(self.filtered(Holding(), Upper()).answer().body, b"<HELLO>!")

    def test_pieceByPiece(self) -> None:
        client = self.filtered(Upper(), script=head(b"Content-Length: 6") + b"one")
        self.assertTrue(client.take().endswith(b"3\r\nONE\r\n"))
        self.send(self.origin.peer, b"two")
        self.assertEqual(client.take(), b"3\r\nTWO\r\n1\r\n!\r\n0\r\n\r\n")

    def test_withTrailers(self) -> None:
        script = head(b"Transfer-Encoding: chunked") + chunked(b"hello", trailers=[b"X-T: 1"])
        response = self.filtered(Upper(), script=script).answer()
        self.assertEqual((response.body, response.trailers), (b"HELLO!", [(b"X-T", b"1")]))

    def test_noBody(self) -> None:
        self.assertEqual(
            self.filtered(Upper(), script=head(b"Content-Length: 5"), ask=get(method=b"HEAD")).answer(b"HEAD").body, b""
        )

    def test_raising(self) -> None:
        class InData(Upper):
            def data(self, chunk: bytes) -> bytes:
                raise PluginError()

        class InEnd(Upper):
            def end(self) -> bytes:
                raise PluginError()

        class Wrong(Upper):
            def data(self, chunk: bytes) -> Any:
                return "text"

        for each in (InData, InEnd, Wrong):
            for script in (None, head(b"Content-Length: 5")):
                client = self.filtered(each(), script=script)
                if script:
                    self.send(self.origin.peer, b"hello")
                self.assertTrue(client.isEnded)
                self.assertNotIn(b"\r\n0\r\n\r\n", client.received)
                self.assertEqual(self.accessLog.lines, [(200, "plugin_error")])
                self.assertEqual(len(self.flushLoggedErrors(PluginError, TypeError)), 1)
                self.again()


class TestErrorHandlers(HookTestCase):
    def handle(self, *functions: Callable[..., Any], **options: Any) -> Message:
        self.proxy(OK, errorHandlers=[errorHandler(each) for each in functions], **options)
        self.network.failConnections("10.0.0.1:80")
        return self.answerTo(get())

    def test_aResponse(self) -> None:
        for wrap in (lambda response: response, succeed, later):
            response = self.handle(lambda request, error, wrap=wrap: wrap(Response(418, body=b"sorry")))
            self.assertEqual((response.code, response.body), (418, b"sorry"))
            self.assertEqual(self.accessLog.lines, [(418, "connect_refused")])
            self.again()

    def test_none(self) -> None:
        for result in (None, succeed(None), later(None)):
            self.assertEqual(self.handle(lambda request, error, result=result: result).code, 502)
            self.again()

    def test_theNext(self) -> None:
        self.assertEqual(self.handle(lambda request, error: None, lambda request, error: Response(418)).code, 418)

    def test_whatTheyGet(self) -> None:
        def handle(request: InboundRequest, error: ProxyError) -> None:
            self.assertEqual((request.target, error.kind.reason, error.kind.status), (b"/", "connect_refused", 502))

        self.assertEqual(self.handle(handle).code, 502)

    def test_raising(self) -> None:
        async def raising(request: object, error: object) -> None:
            raise PluginError()

        for function in (raiser(PluginError()), raising, lambda request, error: fail(PluginError())):
            self.assertEqual((self.handle(function, lambda request, error: Response(418)).code, self.logged()), (418, 1))
            self.again()

    def test_theWrongType(self) -> None:
        self.assertEqual((self.handle(lambda request, error: 42).code, self.logged(TypeError)), (502, 1))

    def test_neverFiring(self) -> None:
        self.proxy(OK, errorHandlers=[errorHandler(lambda request, error: never())], settings={"hookTimeout": 5})
        self.network.failConnections("10.0.0.1:80")
        client = self.ask(get())
        self.seconds(5)
        self.assertEqual(client.answer().code, 502)
        self.flushLoggedErrors()

    def test_ofWhatAClientDid(self) -> None:
        """They are asked for the errors of requests that got as far as a route, too."""
        seen: list[str] = []
        self.proxy(OK, errorHandlers=[errorHandler(lambda request, error: seen.append(error.kind.reason))])
        self.ask(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n")
        self.ask(post(b"x", *WEBSOCKET))
        client = self.ask(get(b"/", b"Transfer-Encoding: chunked", method=b"POST"))
        client.send(b"nonsense\r\n")
        self.assertEqual(seen, ["method_not_allowed", "client_protocol_error", "client_protocol_error"])

    def test_notAfterTheHead(self) -> None:
        """Nothing can be answered any more."""
        unasked = errorHandler(lambda request, error: Response(200))
        self.proxy(lambda peer, request: (peer.send(head(b"Content-Length: 9")), peer.close()), errorHandlers=[unasked])
        self.ask(get())
        self.assertEqual(unasked.calls, [])


class TestRemembered(HookTestCase):
    """Requests and answers of the very same bytes share what was parsed; what a plugin changes in one is not in the next."""

    def test_whatPluginsChange(self) -> None:
        turn = 0

        def direct(inbound: InboundRequest, outbound: OutboundRequest) -> None:
            if turn % 2:
                inbound.headers.items.append((b"x", b"X", b"1"))  # against the rules, and harmful to nobody else
                outbound.headers.setRawHeaders("X-Turn", [str(turn)])

        def modify(request: InboundRequest, response: Response) -> None:
            if turn % 2:
                response.headers.setRawHeaders("X-Turn", [str(turn)])
                response.headers.removeHeader("X-One")

        self.proxy(answer(b"hello", b"X-One: 1"), directors=[director(direct)], modifiers=[modifier(modify)])
        client = self.ask(get())
        for turn in range(1, 6):  # noqa: B007 - the hooks read it
            client.send(get())
        for at, (request, message) in enumerate(zip(self.origin.requests, client.answers(), strict=True)):
            wanted = str(at).encode() if at % 2 else None
            self.assertEqual((request.get(b"x-turn"), message.get(b"x-turn")), (wanted, wanted))
            self.assertEqual(message.get(b"x-one"), None if wanted else b"1")
            self.assertIsNone(request.get(b"x"))


class TestMiddleware(HookTestCase):
    def around(self, *functions: Callable[..., Any], script: Any = OK, ask: bytes = b"", **options: Any) -> Message:
        self.proxy(script, middleware=[middleware(each) for each in functions], **options)
        return self.answerTo(ask or get())

    @staticmethod
    async def through(request: InboundRequest, proceed: Callable[[], Any]) -> Response:
        response: Response = await proceed()
        return response

    def test_through(self) -> None:
        for function in (self.through, lambda request, proceed: proceed()):
            self.assertEqual(self.around(function).body, b"ok")
            self.assertEqual((self.accessLog.lines, self.outcomes()), ([(200, "")], [("", 200)]))
            self.again()

    def test_theHeadersOfAFailure(self) -> None:
        def refusing(request: InboundRequest, proceed: Callable[[], Any]) -> Response:
            raise ProxyError(TOO_BUSY, "", [("Retry-After", "7"), ("X-Why", "a"), ("X-Why", "b")])

        own = errorHandler(lambda request, error: Response(418, {"Retry-After": "3"}, b"tea"))
        for options, code in (({}, 503), ({"errorHandlers": [own]}, 418)):
            message = self.around(refusing, **options)
            self.assertEqual((message.code, message.all(b"retry-after"), message.all(b"x-why")), (code, [b"7"], [b"a", b"b"]))
            self.again()

    def test_whenFinished(self) -> None:
        ended: list[tuple[int, int]] = []

        def around(request: InboundRequest, proceed: Callable[[], Any]) -> Any:
            request.whenFinished(lambda record: ended.append((record.code, record.bytesOut)))
            request.whenFinished(lambda record: 1 / 0)
            request.whenFinished(lambda record: ended.append((record.code, record.bytesOut)))
            return proceed()

        self.assertEqual(self.around(around).body, b"ok")
        self.assertEqual(ended, [(200, 2), (200, 2)])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_aSlowAnswerIsNotItsFault(self) -> None:
        """While it reads it, the limits on upstreams hold."""

        async def around(request: InboundRequest, proceed: Callable[[], Any]) -> Response:
            response: Response = await proceed()
            response.body = (await response.body.read(10)).upper()
            return response

        self.proxy(None, middleware=[middleware(around)], settings={"hookTimeout": 5, "upstreamTimeout": 60})
        client = self.ask(get())
        self.send(self.origin.peer, answer(b"ok")[:-1])
        self.seconds(22)
        self.assertEqual(client.received, b"")
        self.send(self.origin.peer, b"k")
        self.assertEqual(client.answer().body, b"OK")

    def test_whenFinishedAfterTheClientLeft(self) -> None:
        ended: list[int] = []

        def around(request: InboundRequest, proceed: Callable[[], Any]) -> Any:
            request.whenFinished(lambda record: ended.append(record.code))
            return proceed()

        self.proxy(b"", middleware=[middleware(around)])
        client = self.ask(get())
        self.assertEqual(ended, [])
        client.abort()
        self.assertEqual(ended, [499])

    def test_aBodyOnItsWayCanBeReadNoMore(self) -> None:
        kept: list[Response] = []

        def keeps(request: InboundRequest, proceed: Callable[[], Any]) -> Any:
            return proceed().addCallback(lambda response: kept.append(response) or response)

        self.assertEqual(self.around(keeps).body, b"ok")
        self.assertIn("already on its way", str(self.failureResultOf(kept[0].body.read(100), RuntimeError).value))

    def test_theLengthOfAnUntouchedAnswerStandsWhereItStood(self) -> None:
        """Nothing of a head is written anew when nobody looked at it."""
        script: Any = answer(b"hello", b"X-One: 1")
        for options in ({}, {"modifiers": [modifier(lambda request, response: None)]}):
            self.proxy(script, middleware=[middleware(lambda request, proceed: proceed())], **options)
            self.assertEqual(self.answerTo(get()).raw, script)
            self.again()

    def test_inOrder(self) -> None:
        order: list[str] = []

        def named(name: str) -> Callable[..., Any]:
            async def around(request: InboundRequest, proceed: Callable[[], Any]) -> Response:
                order.append(name + " in")
                response: Response = await proceed()
                order.append(name + " out")
                return response

            return around

        self.around(
            named("a"), named("b"),
            directors=[director(lambda inbound, outbound: order.append("direct"))],
            modifiers=[modifier(lambda request, response: order.append("modify"))],
        )  # fmt: skip
        self.assertEqual(order, ["a in", "b in", "direct", "modify", "b out", "a out"])

    def test_itMayChangeWhatIsSentOn(self) -> None:
        async def around(request: InboundRequest, proceed: Callable[[], Any]) -> Response:
            request.outbound.headers.setRawHeaders("X-Added", ["1"])
            request.outbound.path = b"/other"
            response: Response = await proceed()
            return response

        self.around(around)
        self.assertEqual((self.origin.request.target, self.origin.request.get(b"x-added")), (b"/other", b"1"))

    def test_anAnswerOfItsOwn(self) -> None:
        for wrap in (lambda response: response, succeed, later):
            self.assertEqual(self.around(lambda request, proceed, wrap=wrap: wrap(Response(403))).code, 403)
            self.assertEqual(self.origin.peers, [])
            self.again()

    def test_anAnswerOfItsOwnAfterAll(self) -> None:
        async def around(request: InboundRequest, proceed: Callable[[], Any]) -> Response:
            await proceed()
            return Response(403)

        self.assertEqual(self.around(around, script=head(b"Content-Length: 1000") + b"x").code, 403)
        self.assertIsNotNone(self.origin.peer.closed)

    def test_anAnswerOfItsOwnMeanwhile(self) -> None:
        """It does not wait: what goes on behind it ends."""

        def around(request: InboundRequest, proceed: Callable[[], Any]) -> Response:
            proceed()
            return Response(403)

        self.assertEqual(self.around(around, script=None).code, 403)
        self.checkNothingRuns()
        self.again()
        waiting: Deferred[None] = Deferred()
        self.assertEqual(self.around(around, directors=[director(lambda inbound, outbound: waiting)]).code, 403)
        if not waiting.called:
            waiting.callback(None)
        self.network.pump()
        self.assertEqual(self.origin.peers, [])

    def test_patience(self) -> None:
        """Cancelling what proceed gave ends the attempt."""

        async def around(request: InboundRequest, proceed: Callable[[], Any]) -> Response:
            try:
                response: Response = await proceed().addTimeout(5, self.network)
            except Exception:
                return Response(504)
            return response

        self.proxy(None, middleware=[middleware(around)])
        client = self.ask(get())
        self.seconds(5)
        self.assertEqual(client.answer().code, 504)
        self.assertEqual(self.outcomes(), [("upstream_timeout", 0)])
        self.checkNothingRuns()

    def test_errorsInside(self) -> None:
        seen: list[str] = []

        async def around(request: InboundRequest, proceed: Callable[[], Any]) -> Response:
            try:
                response: Response = await proceed()
            except ProxyError as error:
                seen.append(error.kind.reason)
                raise
            return response

        self.proxy(OK, middleware=[middleware(around), middleware(around)])
        self.network.failConnections("10.0.0.1:80")
        self.assertEqual((self.code(), seen), (502, ["connect_refused"] * 2))

    def test_errorsInsideThatItAnswers(self) -> None:
        async def around(request: InboundRequest, proceed: Callable[[], Any]) -> Response:
            try:
                response: Response = await proceed()
            except ProxyError:
                return Response(200, body=b"from the cache")
            return response

        self.proxy(OK, middleware=[middleware(around)])
        self.network.failConnections("10.0.0.1:80")
        self.assertEqual(self.answerTo(get()).body, b"from the cache")

    def test_raising(self) -> None:
        async def before(request: object, proceed: object) -> None:
            raise PluginError()

        async def after(request: object, proceed: Callable[[], Any]) -> None:
            await proceed()
            raise PluginError()

        for function in (raiser(PluginError()), before, after):
            self.assertEqual((self.around(function).code, self.logged()), (500, 1))
            self.again()

    def test_theWrongType(self) -> None:
        for result in (None, 42, succeed("text")):
            self.assertEqual((self.around(lambda request, proceed, result=result: result).code, self.logged(TypeError)), (500, 1))
            self.again()

    def test_proceedOnce(self) -> None:
        async def around(request: object, proceed: Callable[[], Any]) -> Any:
            await proceed()
            return await proceed()

        self.assertEqual((self.around(around).code, self.logged(RuntimeError)), (500, 1))
        self.assertEqual(len(self.origin.requests), 1)

    def test_proceedTooLate(self) -> None:
        kept: list[Callable[[], Any]] = []

        def around(request: object, proceed: Callable[[], Any]) -> Response:
            kept.append(proceed)
            return Response(200)

        self.assertEqual(self.around(around).code, 200)
        self.failureResultOf(kept[0](), ProxyError)
        self.assertEqual(self.origin.peers, [])

    def test_readingTheAnswer(self) -> None:
        async def around(request: object, proceed: Callable[[], Any]) -> Response:
            response: Response = await proceed()
            response.body = (await response.body.read(100)).upper()
            return response

        self.assertEqual(self.around(around, script=head(b"Transfer-Encoding: chunked") + chunked(b"a", b"b")).body, b"AB")

    def test_theBodyIsMalformedMeanwhile(self) -> None:
        seen: list[str] = []

        async def around(request: object, proceed: Callable[[], Any]) -> Response:
            try:
                response: Response = await proceed()
            except ProxyError as error:
                seen.append(error.kind.reason)
                raise
            return response

        self.proxy(None, middleware=[middleware(around)])
        client = self.ask(get(b"/", b"Transfer-Encoding: chunked", method=b"POST"))
        client.send(b"nonsense\r\n")
        self.assertEqual((client.answer(b"POST").code, seen), (400, ["client_protocol_error"]))
        self.checkNothingRuns()
