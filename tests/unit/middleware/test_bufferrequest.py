"""L{twistproxy.middleware.bufferrequest}: an upstream is asked when all of the request's body is there."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.unit.builtin import PluginTestCase, built
from tests.unit.support import OK, Client, ProxyTestCase, chunked, get, post
from twistproxy.interfaces import IMiddleware

CHUNKED = get(b"/", b"Transfer-Encoding: chunked", b"Trailer: X-Sum", method=b"POST")


class TestBufferRequest(ProxyTestCase):
    def buffering(self, options: str = "", *scripts: Any, settings: Any = None) -> Any:
        buffer = built(IMiddleware, f"buffer-request{options}")
        self.proxy(*(scripts or [OK]), middleware=[buffer], settings=settings)
        return buffer

    def code(self, client: Client) -> int:
        return client.answer(b"POST").code

    def test_chunksGetALength(self) -> None:
        buffer = self.buffering()
        client = self.ask(CHUNKED + b"5\r\nhello\r\n")
        self.assertEqual((self.origin.peers, buffer.held), ([], 5))
        client.send(b"6\r\n world\r\n0\r\nX-Sum: 1\r\n\r\n")
        self.assertEqual(self.code(client), 200)
        (request,) = self.origin.requests
        self.assertEqual((request.body, request.get(b"content-length"), request.trailers), (b"hello world", b"11", []))
        for gone in (b"transfer-encoding", b"trailer"):
            self.assertIsNone(request.get(gone))
        self.assertEqual((buffer.held, buffer.bodies, buffer.refused), (0, 1, 0))

    def test_aKnownLengthIsHeldToo(self) -> None:
        """So that a slow sender costs the upstream nothing."""
        buffer = self.buffering()
        data = post(b"x" * 100)
        client = self.ask(data[:-1])
        self.assertEqual((self.origin.peers, buffer.held), ([], 99))
        client.send(data[-1:])
        self.assertEqual((self.code(client), self.origin.requests[0].body), (200, b"x" * 100))

    def test_onlyChunked(self) -> None:
        self.buffering(":only=chunked:max=10")
        self.ask(post(b"x" * 100)[:-1])
        self.assertEqual(len(self.origin.peers), 1)
        self.ask(CHUNKED + b"5\r\nhello\r\n")
        self.assertEqual(len(self.origin.peers), 1)

    def test_withoutABody(self) -> None:
        buffer = self.buffering()
        self.assertEqual(self.answerTo(get()).code, 200)
        self.assertEqual(self.answerTo(get(method=b"POST")).code, 200)
        self.assertEqual(self.answerTo(post(b"")).code, 200)
        self.assertEqual(self.origin.requests[2].get(b"content-length"), b"0")
        self.assertEqual(buffer.bodies, 0)
        self.assertEqual(self.answerTo(CHUNKED + chunked(), b"POST").code, 200)
        self.assertEqual((self.origin.requests[3].get(b"content-length"), buffer.bodies), (b"0", 1))

    def test_theProxySays100(self) -> None:
        self.buffering()
        client = self.ask(get(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"POST"))
        self.assertEqual((client.take(), self.origin.peers), (b"HTTP/1.1 100 Continue\r\n\r\n", []))
        client.send(b"hello")
        self.assertEqual([each.code for each in client.answers(b"POST")], [100, 200])
        self.assertIsNone(self.origin.requests[0].get(b"expect"))

    def test_tooLong(self) -> None:
        buffer = self.buffering(":max=10")
        self.assertEqual(self.code(self.ask(post(b"x" * 10))), 200)
        said = get(b"/", b"Content-Length: 11", b"Expect: 100-continue", method=b"POST")
        self.assertEqual(self.code(self.ask(said)), 413)
        client = self.ask(CHUNKED + b"a\r\n" + b"x" * 10 + b"\r\n")
        client.send(b"1\r\nx\r\n")
        self.assertEqual(self.code(client), 413)
        self.assertEqual(self.accessLog.lines[1:], [(413, "body_too_large")] * 2)
        self.assertEqual((len(self.origin.requests), buffer.refused, buffer.held), (1, 2, 0))

    def test_tooLongToBeHeldIsStreamed(self) -> None:
        buffer = self.buffering(":max=10:over=stream")
        client = self.ask(CHUNKED + b"8\r\n" + b"x" * 8 + b"\r\n")
        self.assertEqual(self.origin.peers, [])
        client.send(b"8\r\n" + b"y" * 8 + b"\r\n")
        self.assertIn(b"x" * 8, self.origin.received)
        self.assertIn(b"y" * 8, self.origin.received)
        client.send(chunked(b"z"))
        self.assertEqual((self.code(client), self.origin.requests[0].body), (200, b"x" * 8 + b"y" * 8 + b"z"))
        self.ask(get(b"/", b"Content-Length: 11", method=b"POST") + b"x")
        self.assertTrue(self.origin.received.endswith(b"\r\n\r\nx"))
        self.assertEqual((buffer.refused, buffer.held), (0, 0))

    def test_allTogether(self) -> None:
        buffer = self.buffering(":max=10:total=25:retry-after=2s")
        waiting = [self.ask(CHUNKED + b"a\r\n" + b"x" * 10 + b"\r\n") for _ in range(2)]
        client = self.ask(CHUNKED + b"5\r\n" + b"x" * 5 + b"\r\n")
        self.assertEqual(buffer.held, 25)
        client.send(b"1\r\nx\r\n")
        refusal = client.answer(b"POST")
        self.assertEqual((refusal.code, refusal.get(b"retry-after"), buffer.held), (503, b"2", 20))
        self.assertEqual(self.accessLog.lines, [(503, "buffers_full")])
        waiting[0].abort()
        self.assertEqual(buffer.held, 10)
        waiting[1].send(b"0\r\n\r\n")
        self.assertEqual((self.code(waiting[1]), buffer.held), (200, 0))

    def test_whatIsTooMuchTogetherIsStreamed(self) -> None:
        self.buffering(":max=10:total=15:over=stream")
        self.ask(CHUNKED + b"a\r\n" + b"x" * 10 + b"\r\n")
        client = self.ask(CHUNKED + chunked(b"y" * 6))
        self.assertEqual((self.code(client), self.origin.requests[0].body), (200, b"y" * 6))

    def test_itIsHeldUntilTheEnd(self) -> None:
        """It may be sent once more."""
        buffer = self.buffering("", None)
        client = self.ask(post(b"x" * 100))
        self.assertEqual((len(self.origin.requests), buffer.held), (1, 100))
        self.origin.peer.send(OK)
        self.network.pump()
        self.assertEqual((self.code(client), buffer.held), (200, 0))

    def test_sentToAnotherAfterAFailure(self) -> None:
        """However long it is."""
        self.buffering("", lambda peer, request: peer.abort(), OK, settings={"maxReplayBytes": 10})
        client = self.ask(get(b"/", b"Transfer-Encoding: chunked", method=b"PUT") + chunked(b"x" * 100))
        self.seconds(1)
        self.assertEqual((client.answer(b"PUT").code, self.origins[1].requests[0].body), (200, b"x" * 100))

    def test_aSlowSenderHasItsTime(self) -> None:
        """Longer than a plugin has; but no less is asked of it than ever."""
        buffer = self.buffering(settings={"hookTimeout": 5, "bodyTimeout": 10, "minBodyRate": 1})
        client = self.ask(get(b"/", b"Content-Length: 100", method=b"POST"))
        for _ in range(9):
            self.seconds(8)
            client.send(b"x" * 11)
        self.assertEqual(buffer.held, 99)
        client.send(b"x")
        self.assertEqual(self.code(client), 200)
        client = self.ask(get(b"/", b"Content-Length: 100", method=b"POST") + b"x")
        self.seconds(15)
        self.assertEqual((self.code(client), buffer.held), (408, 0))

    def test_aSlowPluginHasNone(self) -> None:
        """Only the time in which a body comes does not count."""
        waiting: list[Any] = []

        class Slow:
            async def around(self, request: Any, proceed: Any) -> Any:
                await request.body.read(100)
                waiting.append(Deferred())
                await waiting[0]

        self.proxy(OK, middleware=[Slow()], settings={"hookTimeout": 5, "bodyTimeout": 60})
        client = self.ask(get(b"/", b"Content-Length: 1", method=b"POST"))
        self.seconds(12)
        client.send(b"x")
        self.assertEqual(client.received, b"")
        self.seconds(12)
        self.assertEqual(self.code(client), 500)
        self.flushLoggedErrors()

    def test_aLongOneComesInAtOnce(self) -> None:
        """Reading is not paused above what is held of a body that streams."""
        self.buffering(":max=2MiB")
        client = self.ask(post(b"x" * (1 << 20)))
        self.assertEqual((self.code(client), len(self.origin.requests[0].body)), (200, 1 << 20))


class TestOptions(PluginTestCase):
    interface = IMiddleware

    def test_mistakes(self) -> None:
        self.refuses("buffer-request:max=0", "buffer-request: max is 1 or more")
        self.refuses("buffer-request:max=2MiB:total=1MiB", "buffer-request: total is 2MiB, the max of one body, or more")
