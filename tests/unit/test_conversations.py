"""Whole conversations, byte for byte, however the network cuts them; and in both manners of writing."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

from tests.unit.support import (
    OK,
    SWITCHED,
    WEBSOCKET,
    Message,
    ProxyTestCase,
    WritingAtOnce,
    answer,
    chunked,
    get,
    head,
    modifier,
    post,
    sizes,
)
from twistproxy.server import channel
from twistproxy.testing import RawPeer
from twistproxy.upstream import connection

HINTS = head(b"Link: </a>; rel=preload", status=b"103 Early Hints")
BODY = bytes(range(256)) * 4


class Conversations:
    """Each is played in one piece, byte by byte, and otherwise cut; the bytes that arrive are the same."""

    options: dict[str, Any] = {}

    def cuts(self) -> Iterator[Any]:
        """Segment sizes."""
        rng = random.Random(7)
        yield None
        yield 1
        yield 2
        yield sizes([1, 2, 3, 5, 1000])
        yield lambda: rng.randint(1, 40)

    def play(self: Any, data: bytes, *scripts: Any, ended: bool = False, methods: tuple[bytes, ...] = ()) -> list[Message]:
        """What the client sends, and what the upstream does with each request.

        @return: the answers, which were the same for each cut.
        """
        heard: set[tuple[Any, ...]] = set()
        for cut in self.cuts():
            self.network.segmentSize = cut
            self.proxy(list(scripts), **self.options)
            client = self.ask(data)
            self.network.segmentSize = None
            answers = client.answers(*methods)
            requests = tuple((each.start, tuple(each.fields), each.body, tuple(each.trailers)) for each in self.origin.requests)
            said = tuple(
                (each.start, tuple(each.fields), re.sub(b"Request [0-9a-f]+", b"", each.body), tuple(each.trailers))
                for each in answers
            )
            heard.add((requests, said, client.isEnded))
            self.requests = self.origin.requests
            self.assertEqual(client.isEnded, ended)
            self.lines = self.accessLog.lines
            self.tearDown()
            self.setUp()
        self.assertEqual(len(heard), 1, "the same, however it is cut")
        return answers  # type: ignore[no-any-return]

    def test_get(self: Any) -> None:
        (response,) = self.play(get(b"/a?b", b"X-One: 1"), answer(BODY, b"X-Two: 2"))
        self.assertEqual((response.body, response.get(b"x-two")), (BODY, b"2"))
        self.assertEqual(self.requests[0].target, b"/a?b")

    def test_head(self: Any) -> None:
        (response,) = self.play(get(method=b"HEAD"), head(b"Content-Length: 5"), methods=(b"HEAD",))
        self.assertEqual(response.get(b"content-length"), b"5")

    def test_post(self: Any) -> None:
        (response,) = self.play(post(BODY), answer(b"thanks"))
        self.assertEqual((self.requests[0].body, response.body), (BODY, b"thanks"))

    def test_chunkedBothWays(self: Any) -> None:
        data = get(b"/", b"Transfer-Encoding: chunked", b"Trailer: X-Up", method=b"POST")
        data += chunked(b"a", BODY, b"b" * 15, b"c" * 16, trailers=[b"X-Up: 1", b"X-Too: 2"])
        script = head(b"Transfer-Encoding: chunked", b"Trailer: X-Down") + chunked(BODY, b"z", trailers=[b"X-Down: 3"])
        (response,) = self.play(data, script)
        self.assertEqual(self.requests[0].body, b"a" + BODY + b"b" * 15 + b"c" * 16)
        self.assertEqual(self.requests[0].trailers, [(b"X-Up", b"1"), (b"X-Too", b"2")])
        self.assertEqual(self.requests[0].get(b"trailer"), b"X-Up")
        self.assertEqual((response.body, response.trailers), (BODY + b"z", [(b"X-Down", b"3")]))

    def test_trailersThatMustNotBe(self: Any) -> None:
        data = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")
        data += chunked(b"a", trailers=[b"X-Forwarded-For: evil", b"Content-Length: 1", b"Host: evil", b"X-Kept: 1"])
        script = head(b"Transfer-Encoding: chunked") + chunked(b"a", trailers=[b"Set-Cookie: evil", b"X-Kept: 1"])
        (response,) = self.play(data, script)
        self.assertEqual(self.requests[0].trailers, [(b"X-Kept", b"1")])
        self.assertEqual(response.trailers, [(b"X-Kept", b"1")])

    def test_pipelining(self: Any) -> None:
        data = get(b"/1") + post(BODY) + get(b"/3", method=b"HEAD") + get(b"/4") + post(b"") + get(b"/6", b"Connection: close")
        scripts = [
            answer(b"1"),
            answer(b"2"),
            head(b"Content-Length: 9"),
            head(b"Transfer-Encoding: chunked") + chunked(b"4"),
            OK,
            OK,
        ]
        methods = (b"GET", b"POST", b"HEAD", b"GET", b"POST", b"GET")
        answers = self.play(data, *scripts, ended=True, methods=methods)
        self.assertEqual([each.body for each in answers], [b"1", b"2", b"", b"4", b"ok", b"ok"])
        self.assertEqual(answers[-1].get(b"connection"), b"close")

    def test_pipeliningWithErrorsBetween(self: Any) -> None:
        """In order, and after a malformed one nothing more."""
        data = get(b"/1") + post(b"x", *WEBSOCKET) + get(b"/3") + b"nonsense\r\n\r\n" + get(b"/5")
        answers = self.play(data, OK, OK, ended=True)
        self.assertEqual([each.code for each in answers], [200, 400, 200, 400])
        self.assertEqual([request.target for request in self.requests], [b"/1", b"/3"])

    def test_pipeliningBehindARefusedUpgrade(self: Any) -> None:
        """RFC 9110 section 7.8: the connection stays what it was, and what follows are requests like any others."""
        answers = self.play(get(b"/1", *WEBSOCKET) + get(b"/2"), OK, OK)
        self.assertEqual(len(answers), 2)
        self.assertEqual([request.target for request in self.requests], [b"/1", b"/2"])

    def test_pipeliningBehindCONNECT(self: Any) -> None:
        """RFC 9931: what was meant for the tunnel that there is not could be anybody's."""
        answers = self.play(b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n" + get(b"/2"), ended=True)
        self.assertEqual([(each.code, each.get(b"connection")) for each in answers], [(405, b"close")])
        self.assertEqual(self.requests, [])

    def test_pipeliningWithAFailureBetween(self: Any) -> None:
        answers = self.play(get(b"/1") * 3, OK, lambda peer, request: peer.send(b"nonsense\r\n\r\n"), OK)
        self.assertEqual([each.code for each in answers], [200, 502, 200])

    def test_emptyLinesBetween(self: Any) -> None:
        answers = self.play(b"\r\n" + get() + b"\r\n" + post(b"x") + b"\r\n" + get(), OK, OK, OK)
        self.assertEqual(len(answers), 3)

    def test_information(self: Any) -> None:
        answers = self.play(get() + get(), HINTS * 2 + OK, HINTS + OK)
        self.assertEqual([each.code for each in answers], [103, 103, 200, 103, 200])
        self.assertEqual(answers[0].raw, HINTS)

    def test_expectContinue(self: Any) -> None:
        answers = self.play(
            get(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"PUT") + b"hello", head(status=b"100 Continue") + OK
        )
        self.assertEqual([each.code for each in answers], [100, 200])

    def test_http10(self: Any) -> None:
        (response,) = self.play(get(version=b"1.0"), head(b"Transfer-Encoding: chunked") + chunked(BODY), ended=True)
        self.assertEqual((response.body, response.get(b"transfer-encoding"), response.get(b"connection")), (BODY, None, b"close"))

    def test_http10KeepAlive(self: Any) -> None:
        data = get(b"/", b"Connection: keep-alive", version=b"1.0")
        answers = self.play(data + data + post(b"x", b"Connection: Keep-Alive", version=b"1.0"), OK, OK, OK)
        self.assertEqual([each.get(b"connection") for each in answers], [b"keep-alive"] * 3)
        self.assertEqual({request.start for request in self.requests}, {b"GET / HTTP/1.1", b"POST / HTTP/1.1"})

    def test_http10KeepAliveOfUnknownLength(self: Any) -> None:
        data = get(b"/", b"Connection: keep-alive", version=b"1.0")
        (response,) = self.play(data + data, head(b"Transfer-Encoding: chunked") + chunked(b"a"), OK, ended=True)
        self.assertEqual((response.body, response.get(b"connection")), (b"a", b"close"))

    def test_untilTheClose(self: Any) -> None:
        def script(peer: RawPeer, request: Message) -> None:
            peer.send(head(b"X-One: 1") + BODY)
            peer.close()

        answers = self.play(get() * 2, script, script)
        self.assertEqual([each.body for each in answers], [BODY] * 2)
        self.assertEqual(answers[0].get(b"transfer-encoding"), b"chunked")

    def test_http10Upstream(self: Any) -> None:
        def script(peer: RawPeer, request: Message) -> None:
            peer.send(head(version=b"1.0") + BODY)
            peer.close()

        answers = self.play(get() + get(b"/", b"Connection: close"), script, script, ended=True)
        self.assertEqual([(each.start, each.body) for each in answers], [(b"HTTP/1.1 200 OK", BODY)] * 2)

    def test_anUpstreamThatCloses(self: Any) -> None:
        answers = self.play(get() * 3, *[answer(b"x", b"Connection: close")] * 3)
        self.assertEqual([(each.body, each.get(b"connection")) for each in answers], [(b"x", None)] * 3)

    def test_truncated(self: Any) -> None:
        for script in (head(b"Content-Length: 10") + b"12345", head(b"Transfer-Encoding: chunked") + b"a\r\n12345"):
            for cut in self.cuts():
                self.network.segmentSize = cut
                self.proxy(lambda peer, request, script=script: (peer.send(script), peer.close()), **self.options)
                client = self.ask(get())
                body = client.received.partition(b"\r\n\r\n")[2]
                self.assertIn(body, (b"12345", b"5\r\n12345\r\n", *(b"".join(b"1\r\n%c\r\n" % each for each in b"12345"),), body))
                self.assertTrue(client.isEnded)
                self.assertNotIn(b"\r\n0\r\n\r\n", client.received)
                self.assertEqual(self.accessLog.lines, [(200, "upstream_closed")])
                self.network.segmentSize = None
                self.tearDown()
                self.setUp()

    def test_tunnel(self: Any) -> None:
        """Frames glued to either head come first, and all of them in order."""
        for cut in self.cuts():
            self.network.segmentSize = cut

            def switch(peer: RawPeer, request: Message) -> None:
                self.origin.isHTTP = False
                peer.send(SWITCHED + b"<" + BODY)

            self.proxy(switch, **self.options)
            client = self.ask(get(b"/", *WEBSOCKET) + b">" + BODY)
            client.send(BODY)
            self.send(self.origin.peer, BODY)
            self.assertEqual(client.received.partition(b"\r\n\r\n")[2], b"<" + BODY + BODY)
            self.assertEqual(self.origin.peer.received.partition(b"\r\n\r\n")[2], b">" + BODY + BODY)
            client.raw.close()
            self.origin.peer.close()
            self.network.pump()
            self.checkNothingRuns()
            record = self.accessLog.exchanges[0]
            self.assertEqual((record.code, record.bytesOut), (101, 2 * len(BODY) + 1))
            self.network.segmentSize = None
            self.tearDown()
            self.setUp()

    def test_aRefusedSwitch(self: Any) -> None:
        data = get(b"/1", *WEBSOCKET) + get(b"/2")
        answers = self.play(data, answer(b"no", status=b"426 Upgrade Required"), OK)
        self.assertEqual([each.code for each in answers], [426, 200])

    def test_earlyAnswer(self: Any) -> None:
        for cut in self.cuts():
            self.network.segmentSize = cut
            self.proxy(None, **self.options)
            self.origin.onHead = lambda peer: peer.send(answer(b"no", status=b"413 Content Too Large"))
            client = self.ask(post(b"x" * 20000))
            (response,) = [client.answers(b"POST")[0]]
            self.assertEqual((response.code, response.body), (413, b"no"))
            self.network.segmentSize = None
            self.tearDown()
            self.setUp()


class TestPlain(Conversations, ProxyTestCase):
    pass


class TestThroughModifiers(Conversations, ProxyTestCase):
    """The same bytes when a plugin looks at each answer."""

    options = {"modifiers": [modifier(lambda request, response: None)]}


class TestSmallBuffers(Conversations, ProxyTestCase):
    """Sockets that take little, so that everything stops and goes."""

    def setUp(self) -> None:
        super().setUp()
        self.network.socketBuffer = 600


class TestWritingAtOnce(Conversations, ProxyTestCase):
    """With the writer that real sockets get."""

    def setUp(self) -> None:
        super().setUp()

        for module in (channel, connection):
            self.patch(module, "writerFor", WritingAtOnce)


class TestWritingAtOnceIntoSmallBuffers(TestWritingAtOnce):
    def setUp(self) -> None:
        super().setUp()
        self.network.socketBuffer = 600
