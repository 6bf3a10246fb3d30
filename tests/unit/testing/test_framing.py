"""How the kit takes messages apart; and puts them together."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.testing import composing
from twistproxy.testing.framing import Malformed
from twistproxy.testing.reading import AnswerReader, RequestReader
from twistproxy.testing.recorded import Answer, RecordedRequest


class RequestTests(SynchronousTestCase):
    def read(self, data: bytes, segment: int = 1 << 20) -> list[RecordedRequest]:
        """What C{data} has of requests, delivered in pieces."""
        found: list[RecordedRequest] = []
        self.ended: list[RecordedRequest] = []
        self.reader = RequestReader(found.append, self.ended.append)
        for at in range(0, len(data), segment):
            self.reader.receive(data[at : at + segment])
        return found

    def test_takesSeveralApartWhateverTheSegments(self) -> None:
        data = (
            b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Y:  z \r\n\r\n"
            b"POST /p HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"
            b"PUT /q HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n3;a=b\r\nabc\r\n2\r\nde\r\n0\r\nT: 1\r\n\r\n"
        )
        for segment in (1, 2, 3, 7, 1000):
            get, post, put = self.read(data, segment)
            self.assertEqual(self.ended, [get, post, put])
            self.assertEqual((get.method, get.target, get.version), (b"GET", b"/a?b=c", b"1.1"))
            self.assertEqual((get.path, get.query), (b"/a", b"b=c"))
            self.assertEqual(get.headers.get("x-y"), "z")
            self.assertEqual((post.body, post.isChunked), (b"hello", False))
            self.assertEqual((put.body, put.isChunked, put.trailers.get("t"), put.version), (b"abcde", True, "1", b"1.0"))
            self.assertEqual(get.raw + post.raw + put.raw, data)

    def test_aBodyGrowsWhileItComes(self) -> None:
        [request] = self.read(b"POST / HTTP/1.1\r\nContent-Length: 10\r\n\r\nhalf")
        self.assertEqual((request.body, request.isComplete, self.ended), (b"half", False, []))
        self.assertIn("not complete", repr(request))
        self.reader.receive(b" of it")
        self.assertEqual((request.body, request.isComplete), (b"half of it", True))

    def test_whatIsNoRequestIsAProblem(self) -> None:
        for data in (
            b"GET /\r\n\r\n",
            b"GET  / HTTP/1.1\r\n\r\n",
            b"GET / HTTP/1.1\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost : a\r\n\r\n",
            b"GET / HTTP/1.1\r\nA: b\r\n c\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc",
        ):
            self.read(data)
            self.assertIsInstance(self.reader.problem, Malformed, data)
            self.reader.receive(b"GET / HTTP/1.1\r\n\r\n")


class AnswerTests(SynchronousTestCase):
    def read(self, data: bytes, *methods: bytes, end: bool = False) -> list[Answer]:
        answers = [Answer(method) for method in methods]
        waiting = list(answers)
        self.reader = AnswerReader(lambda: waiting.pop(0))
        for at in range(len(data)):
            self.reader.receive(data[at : at + 1])
        if end:
            self.reader.end()
        return answers

    def test_framingDependsOnTheRequestAndTheStatus(self) -> None:
        data = (
            b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\n\r\n"
            b"HTTP/1.1 204 No Content\r\n\r\n"
            b"HTTP/1.1 200 All right\r\nContent-Length: 2\r\n\r\nok"
        )
        head, cached, nothing, last = self.read(data, b"HEAD", b"GET", b"GET", b"GET")
        self.assertEqual([each.status for each in (head, cached, nothing, last)], [200, 304, 204, 200])
        self.assertEqual((last.body, last.phrase, last.text, last.version), (b"ok", b"All right", "ok", b"1.1"))
        self.assertTrue(all(each.isComplete for each in (head, cached, nothing, last)))

    def test_informationalAnswersBelongToTheFinalOne(self) -> None:
        [final] = self.read(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early\r\nLink: a\r\n\r\nHTTP/1.1 204 No\r\n\r\n", b"GET")
        self.assertEqual([each.status for each in final.informational], [100, 103])
        self.assertEqual(final.informational[1].headers.get("link"), "a")
        self.assertEqual(final.status, 204)

    def test_aBodyUntilTheEndIsCompleteWhenTheConnectionIsClosed(self) -> None:
        data = b"HTTP/1.0 200 OK\r\n\r\nuntil the end"
        [answer] = self.read(data, b"GET")
        self.assertFalse(answer.isComplete)
        [answer] = self.read(data, b"GET", end=True)
        self.assertEqual((answer.body, answer.isComplete), (b"until the end", True))

    def test_a101IsFollowedByATunnel(self) -> None:
        [answer] = self.read(b"HTTP/1.1 101 Switching Protocols\r\n\r\nGET / HTTP/1.1\r\n\r\n", b"GET")
        self.assertEqual((answer.status, answer.isComplete), (101, True))
        self.assertEqual((bytes(self.reader.rest), self.reader.isTunnel), (b"GET / HTTP/1.1\r\n\r\n", True))

    def test_statusIsZeroWithoutAHead(self) -> None:
        self.assertEqual(Answer().status, 0)

    def test_whatIsNoAnswerIsAProblem(self) -> None:
        for data in (b"hello\r\n\r\n", b"HTTP/1.1 20 OK\r\n\r\n", b"HTTP/1.1 200\r\n\r\n", b"HTTP/2.0 200 OK\r\n\r\n"):
            self.read(data, b"GET")
            self.assertIsInstance(self.reader.problem, Malformed, data)


class ComposingTests(SynchronousTestCase):
    def test_requests(self) -> None:
        self.assertEqual(composing.request("GET", "/", {"Host": "a"}), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(composing.request("POST", "/", ()), b"POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(composing.request(b"GET", b"/", (), "é"), b"GET / HTTP/1.1\r\nContent-Length: 2\r\n\r\n\xc3\xa9")
        self.assertEqual(
            composing.request("POST", "/", (), [b"a", b"", b"bc"]),
            b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        )

    def test_framingThatIsSaidIsKept(self) -> None:
        self.assertEqual(
            composing.request("POST", "/", {"Content-Length": "9"}, b"ab"), b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\nab"
        )

    def test_answers(self) -> None:
        self.assertEqual(composing.answer(200, (), b"hi"), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
        self.assertEqual(composing.answer(200, (), b"hi", toHead=True), b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
        self.assertEqual(composing.answer(304, {"ETag": "a"}, b"hi"), b"HTTP/1.1 304 Not Modified\r\nETag: a\r\n\r\n")
        self.assertEqual(composing.answer(103), b"HTTP/1.1 103 Early Hints\r\n\r\n")
        self.assertEqual(composing.answer(299, (), b""), b"HTTP/1.1 299 Unknown\r\nContent-Length: 0\r\n\r\n")
        self.assertEqual(
            composing.answer(200, (), b"hi", {"T": "1"}),
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nT: 1\r\n\r\n",
        )
