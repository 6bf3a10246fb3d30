"""Tests of L{twistproxy.wire.guard}: each rule by itself. Whole requests are in tests/conformance."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.errors import BAD_REQUEST, CODING_NOT_IMPLEMENTED, UPSTREAM_PROTOCOL, VERSION_NOT_SUPPORTED, ErrorKind, ProxyError
from twistproxy.messages import headerItem
from twistproxy.wire.guard import (
    CHUNKED,
    UNTIL_CLOSE,
    checkConnectTarget,
    checkHost,
    hasLineEnd,
    normaliseTarget,
    requestLength,
    responseLength,
    single,
    splitRequestLine,
    tokens,
)


class GuardTestCase(SynchronousTestCase):
    """What all the rules share."""

    def assertRefused(self, kind: ErrorKind, function: Callable[..., Any], *arguments: Any) -> None:
        error = self.assertRaises(ProxyError, function, *arguments)
        self.assertIs(error.kind, kind, (arguments, error.detail))
        self.assertTrue(error.detail)


class RequestLineTests(GuardTestCase):
    def test_methodTargetAndMinorVersionAreTold(self) -> None:
        self.assertEqual(splitRequestLine(b"GET /a?b HTTP/1.1"), (b"GET", b"/a?b", 1))
        self.assertEqual(splitRequestLine(b"brew * HTTP/1.0"), (b"brew", b"*", 0))

    def test_partsAreSeparatedByOneSpace(self) -> None:
        for line in (b"", b"GET", b"GET /", b"GET  / HTTP/1.1", b"GET / HTTP/1.1 ", b"GET /a b HTTP/1.1", b"GET\t/\tHTTP/1.1"):
            self.assertRefused(BAD_REQUEST, splitRequestLine, line)

    def test_methodIsAToken(self) -> None:
        for method in (b"", b"G@T", b"G\x00", b"\xc9", b"GET\n"):
            self.assertRefused(BAD_REQUEST, splitRequestLine, method + b" / HTTP/1.1")

    def test_otherVersionsAreNotSupported(self) -> None:
        for version in (b"HTTP/0.9", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/9.9"):
            self.assertRefused(VERSION_NOT_SUPPORTED, splitRequestLine, b"GET / " + version)

    def test_malformedVersionsAreBad(self) -> None:
        for version in (b"", b"HTTP", b"HTTP/1.1\r", b"HTTP/1.1\n", b"HTTP/2", b"HTTP/1.11", b"http/2.0", b"HTTP/1,2"):
            self.assertRefused(BAD_REQUEST, splitRequestLine, b"GET / " + version)

    def test_aLineEndInsideIsWorseThanTheVersion(self) -> None:
        self.assertRefused(BAD_REQUEST, splitRequestLine, b"GET /\n HTTP/2.0")
        self.assertRefused(BAD_REQUEST, splitRequestLine, b"GET /\r HTTP/2.0")

    def test_lineEndsAreFound(self) -> None:
        self.assertEqual([hasLineEnd(text) for text in (b"", b"a\tb", b"a\r", b"\nb")], [False, False, True, True])


class TargetTests(GuardTestCase):
    def test_originFormIsKeptAsItIs(self) -> None:
        for target in (b"/", b"//a", b"/%2F/../?a=%zz&b?c"):
            self.assertEqual(normaliseTarget(b"GET", target), (target, None, None))

    def test_asteriskIsForOptions(self) -> None:
        self.assertEqual(normaliseTarget(b"OPTIONS", b"*"), (b"*", None, None))
        self.assertRefused(BAD_REQUEST, normaliseTarget, b"GET", b"*")
        self.assertRefused(BAD_REQUEST, normaliseTarget, b"options", b"*")

    def test_absoluteFormIsTakenApart(self) -> None:
        self.assertEqual(normaliseTarget(b"GET", b"http://a:8/b?c"), (b"/b?c", b"a:8", "http"))
        self.assertEqual(normaliseTarget(b"GET", b"HTTPS://A"), (b"/", b"A", "https"))
        self.assertEqual(normaliseTarget(b"GET", b"http://a?b/c"), (b"/?b/c", b"a", "http"))

    def test_absoluteFormOfOptionsWithoutAPathIsAnAsterisk(self) -> None:
        self.assertEqual(normaliseTarget(b"OPTIONS", b"http://a"), (b"*", b"a", "http"))
        self.assertEqual(normaliseTarget(b"OPTIONS", b"http://a/"), (b"/", b"a", "http"))

    def test_fragmentsAreRefused(self) -> None:
        for target in (b"/a#b", b"/#", b"http://a/#b", b"http://a#b", b"/?#"):
            self.assertRefused(BAD_REQUEST, normaliseTarget, b"GET", target)

    def test_anythingElseIsRefused(self) -> None:
        for target in (
            b"",
            b"a",
            b"a:80",
            b"?",
            b"http:/a",
            b"ftp://a/",
            b"http://",
            b"http:///",
            b"http://u@a/",
            b"http://a b/",
        ):
            self.assertRefused(BAD_REQUEST, normaliseTarget, b"GET", target)

    def test_connectHasHostAndPort(self) -> None:
        for target in (b"a:1", b"127.0.0.1:443", b"[::1]:65535", b"a-b_c.d:080"):
            checkConnectTarget(target)
        for target in (b"", b"a", b":80", b"a:", b"a:x", b"a:65536", b"a:443/", b"http://a:1", b"[]:1", b"u@a:1", b"a:1\n"):
            self.assertRefused(BAD_REQUEST, checkConnectTarget, target)


class HostTests(GuardTestCase):
    def test_wellFormedHostsAreAccepted(self) -> None:
        for host in (b"", b"a", b"a:", b"a:80", b"A.b-c_d~.", b"1.2.3.4:5", b"[::1]", b"[::ffff:1.2.3.4]:80", b"a%20b", b"a,b"):
            checkHost([host], 1, None, None)

    def test_malformedHostsAreRefused(self) -> None:
        for host in (
            b" ",
            b"a b",
            b"u@a",
            b"a/",
            b"a?",
            b"a#",
            b"a\\",
            b"a:b",
            b"a:1:2",
            b":80",
            b":",
            b"a:100000",
            b"a%",
            b"a%zz",
            b"[]",
            b"[a",
            b"[a]",
            b"a]",
            b"[::1]a",
            b"[::1%]",
            b"\xff",
            b"a\n",
            b"a\x00",
            b'"a"',
            b"<a>",
            b"a|b",
            b"a^b",
            b"a`b",
            b"{a}",
        ):
            self.assertRefused(BAD_REQUEST, checkHost, [host], 1, None, None)  # fmt: skip

    def test_longHostsAreCheckedToo(self) -> None:
        checkHost([b"a" * 100], 1, None, None)
        self.assertRefused(BAD_REQUEST, checkHost, [b"a" * 100 + b" "], 1, None, None)

    def test_checkingAHostTakesLinearTime(self) -> None:
        self.assertRefused(BAD_REQUEST, checkHost, [b"%aa" * 20_000 + b"!a" * 10_000 + b" "], 1, None, None)

    def test_thereIsExactlyOne(self) -> None:
        self.assertRefused(BAD_REQUEST, checkHost, [], 1, None, None)
        self.assertRefused(BAD_REQUEST, checkHost, [b"a", b"a"], 1, None, None)
        self.assertRefused(BAD_REQUEST, checkHost, [b"a", b"a"], 0, None, None)

    def test_http10NeedsNone(self) -> None:
        checkHost([], 0, None, None)
        checkHost([], 0, b"a", "http")

    def test_agreesWithTheTargetUpToTheDefaultPort(self) -> None:
        for host, authority, scheme in (
            (b"a", b"a", "http"),
            (b"A", b"a:80", "http"),
            (b"a:80", b"a:", "http"),
            (b"a", b"a:443", "https"),
            (b"[::1]:443", b"[::1]", "https"),
        ):
            checkHost([host], 1, authority, scheme)

    def test_disagreementIsRefused(self) -> None:
        for host, authority, scheme in (
            (b"a", b"b", "http"),
            (b"a", b"a:81", "http"),
            (b"a", b"a:443", "http"),
            (b"a:80", b"a", "https"),
            (b"", b"a", "http"),
        ):
            self.assertRefused(BAD_REQUEST, checkHost, [host], 1, authority, scheme)


class LengthTests(GuardTestCase):
    def test_withoutFramingARequestHasNoBody(self) -> None:
        self.assertEqual(requestLength([], [], 1), 0)

    def test_contentLengthIsDigits(self) -> None:
        self.assertEqual(requestLength([b"12"], [], 1), 12)
        self.assertEqual(requestLength([b"9" * 18], [], 0), 10**18 - 1)
        for length in (b"", b"+1", b"-1", b"0x1", b"1 1", b"1,1", b"1_0", b"\xb2", b"9" * 19, b"1\n", b"1.0"):
            self.assertRefused(BAD_REQUEST, requestLength, [length], [], 1)
            self.assertRefused(UPSTREAM_PROTOCOL, responseLength, [length], [], 1, True)

    def test_severalContentLengthsAreRefused(self) -> None:
        self.assertRefused(BAD_REQUEST, requestLength, [b"1", b"1"], [], 1)
        self.assertRefused(UPSTREAM_PROTOCOL, responseLength, [b"1", b"1"], [], 1, True)

    def test_chunkedStandsAlone(self) -> None:
        self.assertEqual(requestLength([], [b"CHUNKED"], 1), CHUNKED)
        self.assertRefused(BAD_REQUEST, requestLength, [b"1"], [b"chunked"], 1)
        self.assertRefused(BAD_REQUEST, requestLength, [], [b"chunked"], 0)

    def test_anotherCodingBeforeChunkedIsNotImplemented(self) -> None:
        for codings in ([b"gzip, chunked"], [b"gzip", b"chunked"], [b"a,b ,\tchunked"]):
            self.assertRefused(CODING_NOT_IMPLEMENTED, requestLength, [], codings, 1)

    def test_anyOtherCodingIsRefused(self) -> None:
        for codings in (
            [b""],
            [b"gzip"],
            [b"chunked, gzip"],
            [b"chunked, chunked"],
            [b"chunked", b"chunked"],
            [b"gzip, chunked, chunked"],
            [b", chunked"],
            [b"chunked,"],
            [b"\x0bchunked"],
            [b"chunked;q=1"],
            [b'"chunked"'],
            [b"g p, chunked"],
        ):
            self.assertRefused(BAD_REQUEST, requestLength, [], codings, 1)  # fmt: skip
            self.assertRefused(UPSTREAM_PROTOCOL, responseLength, [], codings, 1, True)

    def test_responseWithoutFramingLastsUntilTheClose(self) -> None:
        self.assertEqual(responseLength([], [], 1, True), UNTIL_CLOSE)
        self.assertEqual(responseLength([b"0"], [], 1, True), 0)
        self.assertEqual(responseLength([b"7"], [], 0, True), 7)
        self.assertEqual(responseLength([], [b"chunked"], 1, True), CHUNKED)

    def test_conflictsOfAResponseAreRefused(self) -> None:
        self.assertRefused(UPSTREAM_PROTOCOL, responseLength, [b"1"], [b"chunked"], 1, True)
        self.assertRefused(UPSTREAM_PROTOCOL, responseLength, [], [b"chunked"], 0, True)
        self.assertRefused(UPSTREAM_PROTOCOL, responseLength, [b"1"], [b"chunked"], 1, False)

    def test_responseThatNeverHasABodyHasNoLength(self) -> None:
        for lengths, codings in (([], []), ([b"5"], []), ([], [b"chunked"])):
            self.assertEqual(responseLength(lengths, codings, 1, False), 0)


class ListTests(SynchronousTestCase):
    def test_elementsAreLowerCaseAndNeverEmpty(self) -> None:
        self.assertEqual(tokens([b" Close "]), (b"close",))
        self.assertEqual(tokens([b""]), ())
        self.assertEqual(tokens([b"", b"A,, b\t,", b" C"]), (b"a", b"b", b"c"))

    def test_allValuesOfOneFieldAreFound(self) -> None:
        items = [headerItem("A", "1"), headerItem("b", "2"), headerItem("a", "3")]
        self.assertEqual(single(items, b"a"), [b"1", b"3"])
