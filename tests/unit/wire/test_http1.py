"""Tests of L{twistproxy.wire.http1}: the readers, event by event."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.errors import BAD_REQUEST, UPSTREAM_CLOSED, UPSTREAM_PROTOCOL, ErrorKind, ProxyError
from twistproxy.settings import Settings
from twistproxy.wire.http1 import End, RequestHead, RequestReader, ResponseHead, ResponseReader

GET = b"GET /%d HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello"
CHUNKS = b"POST /%d HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"


def pull(reader: RequestReader | ResponseReader) -> list[object]:
    """All events that there are now: a head as its target or code, an end as its trailers' values."""
    found: list[object] = []
    while (event := reader.nextEvent()) is not None:
        if isinstance(event, RequestHead):
            found.append(event.target)
        elif isinstance(event, ResponseHead):
            found.append(event.code)
        elif isinstance(event, End):
            found.append([value for _, _, value in event.trailers])
        else:
            found.append(event)
    return found


class ReaderTestCase(SynchronousTestCase):
    """What the tests of both readers share."""

    reader: RequestReader | ResponseReader

    def feed(self, *pieces: bytes) -> list[object]:
        found = []
        for piece in pieces:
            self.reader.receiveData(piece)
            found += pull(self.reader)
        return found

    def assertFails(self, kind: ErrorKind, *pieces: bytes) -> None:
        self.assertIs(self.assertRaises(ProxyError, self.feed, *pieces).kind, kind)


class RequestReaderTests(ReaderTestCase):
    reader: RequestReader

    def setUp(self) -> None:
        self.reader = RequestReader(Settings())

    def test_requestWithoutABodyEndsAtOnce(self) -> None:
        self.assertEqual(self.feed(GET % 1), [b"/1", []])
        self.assertTrue(self.reader.isDone)

    def test_whatIsLeftOfABodyMayGoAnotherWay(self) -> None:
        self.assertEqual(self.reader.left, 0)
        self.assertEqual(self.feed((POST % 1)[:-5]), [b"/1"])
        self.assertEqual(self.reader.left, 5)
        self.reader.receiveData(b"he")
        self.assertEqual(self.reader.left, 0, "not while something is held")
        self.assertEqual(pull(self.reader), [b"he"])
        self.assertEqual(self.reader.left, 3)
        self.reader.skip(2)
        self.assertEqual((pull(self.reader), self.reader.left), ([], 1))
        self.reader.skip(1)
        self.assertEqual(pull(self.reader), [[]])
        self.reader.startNextMessage()
        self.assertEqual(self.feed(GET % 2), [b"/2", []])

    def test_nothingIsLeftOfAChunkedBody(self) -> None:
        self.feed(CHUNKS.partition(b"lo")[0] % 1)
        self.assertLessEqual(self.reader.left, 0)

    def test_bodyOfKnownLengthComesAsItArrives(self) -> None:
        data = POST % 1
        self.assertEqual(self.feed(data), [b"/1", b"hello", []])
        self.reader.startNextMessage()
        self.assertEqual(self.feed(data[:-2], data[-2:]), [b"/1", b"hel", b"lo", []])

    def test_bodyInChunksIsDecodedWithItsTrailers(self) -> None:
        data = CHUNKS % 1
        self.assertEqual(self.feed(data), [b"/1", b"hello", [b"1"]])
        self.reader.startNextMessage()
        self.assertEqual(b"".join(each for each in self.feed(*map(bytes, zip(data)))[1:-1] if isinstance(each, bytes)), b"hello")

    def test_aWholeSegmentOfBodyIsNotCopied(self) -> None:
        self.feed(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n")
        data = b"hello"
        self.reader.receiveData(data)
        self.assertIs(self.reader.nextEvent(), data)

    def test_nextRequestWaitsUntilItIsStarted(self) -> None:
        self.assertEqual(self.feed(GET % 1 + POST % 2 + CHUNKS % 3 + GET % 4), [b"/1", []])
        self.assertEqual(self.feed(GET % 5), [])
        found = []
        for _ in range(5):
            self.reader.startNextMessage()
            found.append(pull(self.reader))
        self.assertEqual(
            found, [[b"/2", b"hello", []], [b"/3", b"hello", [b"1"]], [b"/4", []], [b"/5", []], []]
        )  # fmt: skip

    def test_bodyMayWaitToBeRead(self) -> None:
        self.reader.receiveData(POST % 1 + GET % 2)
        self.assertIsInstance(self.reader.nextEvent(), RequestHead)
        self.reader.receiveData(GET % 3)
        self.reader.receiveData(GET % 4)
        self.assertEqual(self.reader.nextEvent(), b"hello")
        for expected in ([[]], [b"/2", []], [b"/3", []], [b"/4", []]):
            self.assertEqual(pull(self.reader), expected)
            self.reader.startNextMessage()

    def test_isInBodyBetweenHeadAndEnd(self) -> None:
        self.assertFalse(self.reader.isInBody)
        self.feed((POST % 1)[:-1])
        self.assertTrue(self.reader.isInBody)
        self.feed(b"o")
        self.assertFalse(self.reader.isInBody)
        self.reader.startNextMessage()
        self.assertFalse(self.reader.isInBody)

    def test_whatWasNotReadIsBuffered(self) -> None:
        self.feed(GET % 1 + b"GET")
        self.assertEqual(self.reader.buffered, 3)
        self.reader.receiveData(b" /")
        self.reader.receiveData(b"x")
        self.assertEqual(self.reader.buffered, 6)
        self.assertEqual(self.reader.takeBuffered(), b"GET /x")
        self.assertEqual((self.reader.buffered, self.reader.takeBuffered()), (0, b""))

    def test_takingWhatIsBufferedForgetsHowFarItWasRead(self) -> None:
        self.feed(b"GET / HTTP/1.1\r\nHost: a\r\n")
        self.reader.takeBuffered()
        self.assertEqual(self.feed(GET % 1), [b"/1", []])

    def test_oneEmptyLineBeforeARequestIsSkipped(self) -> None:
        for pieces in ([b"\r\n" + GET % 1], [b"\r", b"\n" + GET % 1], [b"\r\n", GET % 1], [b"\r", b"\n", GET % 1]):
            self.assertEqual(self.feed(*pieces), [b"/1", []])
            self.reader.startNextMessage()

    def test_emptyLineIsNotTheBeginningOfARequest(self) -> None:
        self.feed(b"\r\n")
        self.assertEqual(self.reader.buffered, 0)

    def test_moreEmptyLinesAreRefused(self) -> None:
        for pieces in (
            [b"\r\n\r\n"],
            [b"\r\n", b"\r\n"],
            [b"\r\n", b"\r"],
            [b"\r\n\r"],
            [b"\r\n\n"],
            [b"\n"],
            [b"\rG"],
            [b"\r\r"],
        ):
            self.setUp()
            self.assertFails(BAD_REQUEST, *pieces)

    def test_malformedChunkIsRefused(self) -> None:
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        self.assertFails(BAD_REQUEST, head + b"5\nhello")

    def test_contentBeforeAMalformedChunkComesFirst(self) -> None:
        self.reader.receiveData(b"POST /1 HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx")
        self.assertIsInstance(self.reader.nextEvent(), RequestHead)
        self.assertEqual(self.reader.nextEvent(), b"hello")
        self.assertRaises(ProxyError, self.reader.nextEvent)

    def test_faultsAtALimitAreTheSameHoweverTheyAreCut(self) -> None:
        settings = Settings(maxHeadBytes=60, maxTargetBytes=8)

        def reasonOf(pieces: list[bytes]) -> str:
            reader = RequestReader(settings)
            for piece in pieces:
                reader.receiveData(piece)
                try:
                    reader.nextEvent()
                except ProxyError as error:
                    return error.kind.reason
            return ""

        for start in (b"GET /", b"GET / HTTP/1.1\r\n", b"GET /456789 HTTP/1.1\r\n", b"GET / HTTP/2.0\r\n"):
            for fault in (b"", b"\n", b"\r", b"\r\n", b"\r\r\n", b"\r\n\r\n", b" HTTP/1.1\r\n\r\n"):
                for at in range(len(start), 65):
                    data = start.ljust(at, b"x") + fault + b"yy"
                    reasons = {reasonOf([data]), reasonOf([data[:at], data[at:]]), reasonOf([bytes([each]) for each in data])}
                    self.assertEqual(len(reasons), 1, (data, reasons))

    def test_idleReaderHoldsNothing(self) -> None:
        self.feed(CHUNKS % 1)
        self.reader.startNextMessage()
        self.feed(*map(bytes, zip(GET % 1)))
        self.reader.startNextMessage()
        self.assertEqual((self.reader._buffer, self.reader._chunks), (b"", None))

    def test_smallSegmentsAreNotCopiedAgainAndAgain(self) -> None:
        self.feed(b"GET / HTTP/1.1\r\n", b"H", b"o")
        self.assertIsInstance(self.reader._buffer, bytearray)
        grown = self.reader._buffer
        self.feed(b"st: ")
        self.assertIs(self.reader._buffer, grown)
        self.assertEqual(self.feed(b"a\r\n\r\n"), [b"/", []])


class ResponseReaderTests(ReaderTestCase):
    reader: ResponseReader

    def setUp(self) -> None:
        self.reader = ResponseReader(Settings())
        self.reader.expectResponse(False)

    def test_nothingIsReadUnlessAResponseIsExpected(self) -> None:
        self.reader = ResponseReader(Settings())
        self.assertEqual(self.feed(b"HTTP/1.1 200 OK\r\n\r\n"), [])
        self.assertTrue(self.reader.isDone)

    def test_bodyOfKnownLengthComesAsItArrives(self) -> None:
        self.assertEqual(self.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", b"lo", b"X"), [200, b"hel", b"lo", []])
        self.assertEqual(self.reader.buffered, 1)

    def test_bodyInChunksIsDecoded(self) -> None:
        self.assertEqual(
            self.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n1\r\nc\r\n0\r\n", b"X: 1\r\n\r\n"),
            [200, b"abc", [b"1"]],
        )

    def test_bodyUntilTheCloseEndsThere(self) -> None:
        self.assertEqual(self.feed(b"HTTP/1.1 200 OK\r\n\r\n", b"ab", b"c"), [200, b"ab", b"c"])
        self.assertFalse(self.reader.isDone)
        self.assertEqual(self.reader.connectionClosed().trailers, [])
        self.assertTrue(self.reader.isDone)

    def test_informationalHeadsComeBeforeTheFinalOne(self) -> None:
        self.assertEqual(
            self.feed(b"HTTP/1.1 100 C\r\n\r\nHTTP/1.1 103 E\r\nLink: x\r\n\r\n", b"HTTP/1.1 204 N\r\n\r\n"), [100, 103, 204, []]
        )

    def test_isInHeadUntilTheFinalOne(self) -> None:
        self.assertTrue(self.reader.isInHead)
        self.feed(b"HTTP/1.1 100 C\r\n\r\n")
        self.assertTrue(self.reader.isInHead)
        self.feed(b"HTTP/1.1 200 C\r\n\r\n")
        self.assertFalse(self.reader.isInHead)

    def test_nothingIsReadBehindASwitch(self) -> None:
        self.assertEqual(self.feed(b"HTTP/1.1 101 S\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nHTTP/1.1 200"), [101])
        self.assertTrue(self.reader.isDone)
        self.assertEqual(self.reader.takeBuffered(), b"HTTP/1.1 200")

    def test_answerToHeadHasNoBody(self) -> None:
        self.reader.expectResponse(True)
        self.assertEqual(self.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"), [200, []])
        self.reader.expectResponse(False)
        self.assertEqual(self.feed(b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx"), [200, b"x", []])

    def test_oneResponseFollowsAnother(self) -> None:
        for body in (b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n", b"Content-Length: 1\r\n\r\nx"):
            self.assertEqual(self.feed(b"HTTP/1.1 200 OK\r\n" + body), [200, b"x", []])
            self.reader.expectResponse(False)

    def test_truncatedBodyIsAnError(self) -> None:
        for framing in (b"Content-Length: 5\r\n\r\nhell", b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"):
            self.setUp()
            self.feed(b"HTTP/1.1 200 OK\r\n" + framing)
            self.assertIs(self.assertRaises(ProxyError, self.reader.connectionClosed).kind, UPSTREAM_CLOSED)

    def test_closeBeforeTheAnswerIsAnError(self) -> None:
        for start in (b"", b"HTTP/1.1 20", b"HTTP/1.1 100 C\r\n\r\n"):
            self.setUp()
            self.feed(start)
            self.assertIs(self.assertRaises(ProxyError, self.reader.connectionClosed).kind, UPSTREAM_CLOSED)

    def test_malformedChunkIsAnErrorBehindTheGoodOnes(self) -> None:
        self.reader.receiveData(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx")
        self.assertIsInstance(self.reader.nextEvent(), ResponseHead)
        self.assertEqual(self.reader.nextEvent(), b"hello")
        self.assertIs(self.assertRaises(ProxyError, self.reader.nextEvent).kind, UPSTREAM_PROTOCOL)

    def test_anotherProtocolIsAnErrorAtItsFirstByte(self) -> None:
        self.assertFails(UPSTREAM_PROTOCOL, b"S")

    def test_idleReaderHoldsNothing(self) -> None:
        self.feed(*map(bytes, zip(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\nX: a\r\n\r\n")))
        self.assertEqual((self.reader._buffer, self.reader._chunks), (b"", None))
