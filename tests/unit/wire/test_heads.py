"""Tests of L{twistproxy.wire.heads}: what a parsed head tells. What is refused is in tests/conformance."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.errors import (
    BAD_REQUEST,
    HEAD_TOO_LARGE,
    RESPONSE_HEAD_TOO_LARGE,
    TARGET_TOO_LONG,
    UPSTREAM_PROTOCOL,
    VERSION_NOT_SUPPORTED,
    ProxyError,
)
from twistproxy.messages import headerItem
from twistproxy.settings import Settings
from twistproxy.wire.guard import CHUNKED, UNTIL_CLOSE
from twistproxy.wire.heads import (
    HeadMemory,
    RequestHead,
    ResponseHead,
    encodeHead,
    parseRequestHead,
    parseResponseHead,
    refusePartialRequestHead,
    refusePartialResponseHead,
)

SETTINGS = Settings()


def request(fields: bytes = b"", line: bytes = b"GET / HTTP/1.1", host: bytes = b"Host: a\r\n") -> RequestHead:
    return parseRequestHead(line + b"\r\n" + host + fields + b"\r\n", SETTINGS)


def response(fields: bytes = b"", line: bytes = b"HTTP/1.1 200 OK", toHead: bool = False) -> ResponseHead:
    return parseResponseHead(line + b"\r\n" + fields + b"\r\n", SETTINGS, toHead)


class RequestHeadTests(SynchronousTestCase):
    def test_everyPartIsTold(self) -> None:
        head = request(b"X-Foo:  a b\t \r\nx-foo:\r\n", b"BREW /pot?milk HTTP/1.1")
        self.assertEqual((head.method, head.target, head.minor), (b"BREW", b"/pot?milk", 1))
        self.assertEqual((head.authority, head.scheme), (None, None))
        self.assertEqual(head.items, [(b"host", b"Host", b"a"), (b"x-foo", b"X-Foo", b"a b"), (b"x-foo", b"x-foo", b"")])
        self.assertEqual(head.length, 0)

    def test_absoluteFormBecomesOriginForm(self) -> None:
        head = request(line=b"GET https://A:443/b HTTP/1.1")
        self.assertEqual((head.target, head.authority, head.scheme), (b"/b", b"A:443", "https"))

    def test_connectKeepsItsTarget(self) -> None:
        head = request(b"Upgrade: x\r\nConnection: upgrade\r\n", b"CONNECT b:443 HTTP/1.1")
        self.assertEqual((head.method, head.target, head.authority), (b"CONNECT", b"b:443", b"b:443"))

    def test_lengthIsThatOfTheBody(self) -> None:
        self.assertEqual(request(b"Content-Length: 5\r\n").length, 5)
        self.assertEqual(request(b"Transfer-Encoding: chunked\r\n").length, CHUNKED)

    def test_keepAliveFollowsVersionAndConnection(self) -> None:
        for minor, connection, expected in (
            (1, None, True),
            (1, b"close", False),
            (1, b"X, Close", False),
            (1, b"keep-alive, close", False),
            (1, b"keep-alive", True),
            (1, b"", True),
            (0, None, False),
            (0, b"Keep-Alive", True),
            (0, b"close", False),
            (0, b"x", False),
        ):
            fields = b"" if connection is None else b"Connection: " + connection + b"\r\n"
            head = request(fields, b"GET / HTTP/1.%d" % minor)
            self.assertEqual(head.keepAlive, expected, (minor, connection))

    def test_connectionOptionsAreLowerCaseOverAllLines(self) -> None:
        self.assertEqual(request(b"Connection: X-A,\r\nconnection: Te\r\n").connection, (b"x-a", b"te"))
        self.assertEqual(request().connection, ())

    def test_upgradeCountsOnlyWhenConnectionNamesIt(self) -> None:
        self.assertEqual(request(b"Upgrade: websocket\r\n").upgrade, ())
        self.assertEqual(list(request(b"Upgrade: a, b\r\nUpgrade: c\r\nConnection: Upgrade\r\n").upgrade), [b"a, b", b"c"])
        self.assertEqual(request(b"Connection: upgrade\r\n").upgrade, ())

    def test_http10CannotUpgrade(self) -> None:
        self.assertEqual(request(b"Upgrade: a\r\nConnection: upgrade\r\n", b"GET / HTTP/1.0").upgrade, ())

    def test_expectsContinueOnlyBeforeABodyAndIn11(self) -> None:
        expect = b"Expect: 100-Continue\r\n"
        self.assertTrue(request(expect + b"Content-Length: 1\r\n").expectsContinue)
        self.assertTrue(request(expect + b"Transfer-Encoding: chunked\r\n").expectsContinue)
        self.assertFalse(request(expect).expectsContinue)
        self.assertFalse(request(b"Content-Length: 1\r\n").expectsContinue)
        self.assertFalse(request(b"Expect: x\r\nContent-Length: 1\r\n").expectsContinue)
        self.assertFalse(request(expect + b"Content-Length: 1\r\n", b"POST / HTTP/1.0").expectsContinue)

    def test_teIsMentioned(self) -> None:
        self.assertTrue(request(b"te: trailers\r\n").mentionsTe)
        self.assertFalse(request().mentionsTe)

    def test_http10NeedsNoHost(self) -> None:
        self.assertEqual(request(line=b"GET / HTTP/1.0", host=b"").items, [])

    def assertRefused(self, kind: object, block: bytes, settings: Settings = SETTINGS) -> None:
        self.assertIs(self.assertRaises(ProxyError, parseRequestHead, block, settings).kind, kind)

    def test_targetHasALimit(self) -> None:
        settings = Settings(maxTargetBytes=10)
        parseRequestHead(b"GET /234567890 HTTP/1.0\r\n\r\n", settings)
        self.assertRefused(TARGET_TOO_LONG, b"GET /2345678901 HTTP/1.0\r\n\r\n", settings)
        self.assertRefused(TARGET_TOO_LONG, b"GET /" + b"a" * 600 + b" HTTP/1.0\r\n\r\n", settings)

    def test_methodHasALimitToo(self) -> None:
        self.assertRefused(TARGET_TOO_LONG, b"G" * 600 + b" / HTTP/1.0\r\n\r\n", Settings(maxTargetBytes=10))

    def test_aLineEndInATargetIsWorseThanItsLength(self) -> None:
        settings = Settings(maxTargetBytes=10)
        self.assertRefused(BAD_REQUEST, b"GET /2345678\n01 HTTP/1.0\r\n\r\n", settings)
        self.assertRefused(BAD_REQUEST, b"GET /\r" + b"a" * 600 + b" HTTP/1.0\r\n\r\n", settings)

    def test_headHasALimit(self) -> None:
        block = b"GET / HTTP/1.0\r\nX: 0123456789\r\n\r\n"
        parseRequestHead(block, Settings(maxHeadBytes=len(block)))
        self.assertRefused(HEAD_TOO_LARGE, block, Settings(maxHeadBytes=len(block) - 1))

    def test_fieldsHaveALimitOfNumber(self) -> None:
        block = b"GET / HTTP/1.0\r\nX: a\r\nX: a\r\n\r\n"
        parseRequestHead(block, Settings(maxHeaderCount=2))
        self.assertRefused(HEAD_TOO_LARGE, block, Settings(maxHeaderCount=1))

    def test_eachFieldHasALimit(self) -> None:
        """Whatever is remembered: a head that comes again, and one whose lines are known."""
        memory = HeadMemory(16, frozenset())
        settings = Settings(maxFieldBytes=10)
        for target in (b"/", b"/", b"/", b"/b", b"/c"):
            start = b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n"
            parseRequestHead(start + b"X: 123456789\r\n\r\n", settings, memory)
            for long in (b"X: 1234567890", b"XX: 123456789"):
                error = self.assertRaises(ProxyError, parseRequestHead, start + long + b"\r\n\r\n", settings, memory)
                self.assertIs(error.kind, HEAD_TOO_LARGE)
        self.assertRefused(HEAD_TOO_LARGE, b"GET / HTTP/1.1\r\nHost: a\r\nX: 1234567890\r\n\r\n", settings)

    def test_whatLlhttpRefusesIsBad(self) -> None:
        self.assertRefused(BAD_REQUEST, b"GET / HTTP/1.1\r\nHost : a\r\n\r\n")


class PartialRequestHeadTests(SynchronousTestCase):
    """A head is refused as soon as it cannot become good any more."""

    def test_whatMayBecomeGoodIsNotRefused(self) -> None:
        block = b"GET /a HTTP/1.1\r\nHost: a\r\nX: b\r\n\r"
        for end in range(len(block) + 1):
            refusePartialRequestHead(block[:end], SETTINGS)
            refusePartialRequestHead(bytearray(block[:end]), SETTINGS, max(0, end - 1))

    def assertRefused(self, kind: object, head: bytes, known: int = 0, settings: Settings = SETTINGS) -> None:
        for each in (head, bytearray(head)):
            self.assertIs(self.assertRaises(ProxyError, refusePartialRequestHead, each, settings, known).kind, kind)

    def test_bareLineEndsAreRefused(self) -> None:
        for head in (b"\n", b"GET /\n", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nA: b\n", b"GET / HTTP/1.1\rA"):
            self.assertRefused(BAD_REQUEST, head)
            self.assertRefused(BAD_REQUEST, head, len(head) - 1)
        self.assertRefused(BAD_REQUEST, b"GET / HTTP/1.1\r\r\n")
        self.assertRefused(BAD_REQUEST, b"GET / HTTP/1.1\r\nA: b\rB", 21)

    def test_requestLineIsCheckedOnceItIsThere(self) -> None:
        self.assertRefused(VERSION_NOT_SUPPORTED, b"GET / HTTP/2.0\r\n")
        self.assertRefused(VERSION_NOT_SUPPORTED, b"GET / HTTP/2.0\r\n", 15)
        self.assertRefused(BAD_REQUEST, b"GET /\r\nHost")
        self.assertRefused(TARGET_TOO_LONG, b"GET /1234 HTTP/1.1\r\n", settings=Settings(maxTargetBytes=4))

    def test_requestLineIsCheckedOnlyOnce(self) -> None:
        refusePartialRequestHead(b"GET / HTTP/2.0\r\nA", SETTINGS, 16)

    def test_requestLineHasALimit(self) -> None:
        refusePartialRequestHead(b"G" * (8192 + 512), SETTINGS)
        self.assertRefused(TARGET_TOO_LONG, b"G" * (8192 + 513))
        self.assertRefused(TARGET_TOO_LONG, b"G" * 101, settings=Settings(maxHeadBytes=100))

    def test_headHasALimit(self) -> None:
        start = b"GET / HTTP/1.1\r\n"
        refusePartialRequestHead(start + b"a" * 84, Settings(maxHeadBytes=100))
        self.assertRefused(HEAD_TOO_LARGE, start + b"a" * 85, settings=Settings(maxHeadBytes=100))

    def test_whatComesFirstIsTold(self) -> None:
        settings = Settings(maxHeadBytes=1000, maxTargetBytes=100)
        start = b"GET / HTTP/1.1\r\n"
        self.assertRefused(BAD_REQUEST, b"GET /\n HTTP/2.0\r\n" + b"a" * 2000, settings=settings)
        self.assertRefused(VERSION_NOT_SUPPORTED, b"GET / HTTP/2.0\r\nA\n" + b"a" * 2000, settings=settings)
        self.assertRefused(BAD_REQUEST, start + b"\n" + b"a" * 2000, settings=settings)
        self.assertRefused(HEAD_TOO_LARGE, start + b"a" * 2000 + b"\n", settings=settings)
        self.assertRefused(TARGET_TOO_LONG, b"a" * 700 + b"\n", settings=settings)


class ResponseHeadTests(SynchronousTestCase):
    def test_everyPartIsTold(self) -> None:
        head = response(b"Content-Length: 5\r\nX: a \r\n", b"HTTP/1.1 404 Not here")
        self.assertEqual((head.code, head.phrase, head.minor, head.length), (404, b"Not here", 1, 5))
        self.assertEqual(head.items, [(b"content-length", b"Content-Length", b"5"), (b"x", b"X", b"a")])
        self.assertEqual((head.connection, head.upgrade, head.upgradeNamed, head.keepAlive), ((), (), False, True))

    def test_lengthIsThatOfTheBody(self) -> None:
        self.assertEqual(response().length, UNTIL_CLOSE)
        self.assertEqual(response(b"Transfer-Encoding: chunked\r\n").length, CHUNKED)
        self.assertEqual(response(b"Content-Length: 5\r\n", toHead=True).length, 0)
        for code in (100, 101, 103, 204, 304):
            self.assertEqual(response(b"Content-Length: 5\r\n", b"HTTP/1.1 %d x" % code).length, 0)

    def test_keepAliveFollowsVersionConnectionAndLength(self) -> None:
        length = b"Content-Length: 0\r\n"
        for fields, minor, expected in (
            (length, 1, True),
            (length + b"Connection: Close\r\n", 1, False),
            (length + b"Connection: x\r\n", 1, True),
            (length, 0, False),
            (length + b"Connection: keep-alive\r\n", 0, True),
            (length + b"Connection: keep-alive, close\r\n", 0, False),
            (b"Connection: keep-alive\r\n", 1, False),
        ):
            self.assertEqual(response(fields, b"HTTP/1.%d 200 OK" % minor).keepAlive, expected, (fields, minor))

    def test_connectionIsNotUsedAgainAfterA204ThatAnnouncesABody(self) -> None:
        for fields, expected in (
            (b"", True),
            (b"Content-Length: 0\r\n", True),
            (b"Content-Length: 2\r\n", False),
            (b"Transfer-Encoding: chunked\r\n", False),
        ):
            self.assertEqual(response(fields, b"HTTP/1.1 204 x").keepAlive, expected, fields)

    def test_switchIsReadWithAndWithoutUpgrade(self) -> None:
        head = response(b"Upgrade: websocket\r\nConnection: Upgrade\r\n", b"HTTP/1.1 101 Switching Protocols")
        self.assertEqual(
            (head.code, head.phrase, head.upgrade, head.upgradeNamed), (101, b"Switching Protocols", [b"websocket"], True)
        )
        head = response(b"Upgrade: websocket\r\n", b"HTTP/1.1 101 x")
        self.assertEqual((head.code, head.upgrade, head.upgradeNamed), (101, [b"websocket"], False))
        self.assertEqual(response(line=b"HTTP/1.1 101").code, 101)

    def assertRefused(self, block: bytes, settings: Settings = SETTINGS) -> None:
        self.assertIs(self.assertRaises(ProxyError, parseResponseHead, block, settings, False).kind, UPSTREAM_PROTOCOL)

    def assertTooLarge(self, block: bytes, settings: Settings) -> None:
        memory = HeadMemory(16, frozenset())
        for known in (None, memory, memory, memory):
            error = self.assertRaises(ProxyError, parseResponseHead, block, settings, False, known)
            self.assertIs(error.kind, RESPONSE_HEAD_TOO_LARGE)

    def test_malformedSwitchIsRefused(self) -> None:
        self.assertRefused(b"HTTP/1.1 1015 x\r\n\r\n")
        self.assertRefused(b"HTTP/1.1 101x\r\n\r\n")
        self.assertRefused(b"HTTP/1.1 101 x\r\nA : b\r\n\r\n")

    def test_headHasALimit(self) -> None:
        block = b"HTTP/1.1 200 OK\r\nX: a\r\n\r\n"
        parseResponseHead(block, Settings(maxResponseHeadBytes=len(block)), False)
        self.assertTooLarge(block, Settings(maxResponseHeadBytes=len(block) - 1))

    def test_fieldsHaveALimitOfNumber(self) -> None:
        block = b"HTTP/1.1 200 OK\r\nX: a\r\nX: a\r\n\r\n"
        parseResponseHead(block, Settings(maxResponseHeaderCount=2), False)
        self.assertTooLarge(block, Settings(maxResponseHeaderCount=1))

    def test_eachFieldHasALimit(self) -> None:
        block = b"HTTP/1.1 200 OK\r\nX: 123456789\r\n\r\n"
        for _ in range(3):
            parseResponseHead(block, Settings(maxResponseFieldBytes=10), False)
            self.assertTooLarge(block, Settings(maxResponseFieldBytes=9))

    def test_versionIs10Or11(self) -> None:
        for version in (b"HTTP/1.2", b"HTTP/2.0", b"http/1.1", b"ICY/1.0 "):
            self.assertRefused(version + b" 200 OK\r\n\r\n")

    def test_statusIsOne(self) -> None:
        self.assertRefused(b"HTTP/1.1 099 x\r\n\r\n")

    def test_phraseHasNoControlCharacters(self) -> None:
        self.assertRefused(b"HTTP/1.1 200 O\x00K\r\n\r\n")
        self.assertRefused(b"HTTP/1.1 101 O\x7fK\r\n\r\n")


class PartialResponseHeadTests(SynchronousTestCase):
    def test_whatMayBecomeGoodIsNotRefused(self) -> None:
        for block in (b"HTTP/1.1 200 OK\r\nX: b\r\n\r", b"HTTP/1.0 200\r\n"):
            for end in range(len(block) + 1):
                refusePartialResponseHead(block[:end], SETTINGS)
                refusePartialResponseHead(bytearray(block[:end]), SETTINGS, max(0, end - 1))

    def test_otherProtocolsAreRefusedAtOnce(self) -> None:
        for start in (b"S", b"HTTP/2", b"HTTP/1.2", b"\x15\x03", b"<html>", b"HTTP/1.1\r"):
            error = self.assertRaises(ProxyError, refusePartialResponseHead, start, SETTINGS)
            self.assertIs(error.kind, UPSTREAM_PROTOCOL)

    def test_bareLfIsRefused(self) -> None:
        head = b"HTTP/1.1 200 OK\n"
        self.assertRaises(ProxyError, refusePartialResponseHead, head, SETTINGS)
        self.assertRaises(ProxyError, refusePartialResponseHead, head, SETTINGS, len(head) - 1)

    def test_headHasALimit(self) -> None:
        settings = Settings(maxResponseHeadBytes=20)
        refusePartialResponseHead(b"HTTP/1.1 200 OK 7890", settings, 19)
        self.assertRaises(ProxyError, refusePartialResponseHead, b"HTTP/1.1 200 OK 78901", settings, 20)


class EncodingTests(SynchronousTestCase):
    def test_namesAreWrittenAsTheyAre(self) -> None:
        items = [headerItem("X-a", "1"), headerItem("x-A", "")]
        self.assertEqual(encodeHead(b"HTTP/1.1 200 OK\r\n", items), b"HTTP/1.1 200 OK\r\nX-a: 1\r\nx-A: \r\n\r\n")
        self.assertEqual(encodeHead(b"GET / HTTP/1.1\r\n", []), b"GET / HTTP/1.1\r\n\r\n")
