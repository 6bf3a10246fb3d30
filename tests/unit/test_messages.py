"""Tests of L{twistproxy.messages}."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers as TwistedHeaders

from twistproxy.bodies.body import EMPTY, Body
from twistproxy.messages import (
    Address,
    FrozenHeaders,
    Headers,
    InboundRequest,
    OutboundRequest,
    Response,
    Upstream,
    headerItem,
    isToken,
    splitTarget,
)

CLIENT = Address("192.0.2.1", 4000)
PEER = Address("2001:db8::1", 5000)


class HeaderItemTests(SynchronousTestCase):
    def test_lowerCaseNameNameAndValue(self) -> None:
        self.assertEqual(headerItem("X-Foo", "b\xe4r"), (b"x-foo", b"X-Foo", b"b\xc3\xa4r"))
        self.assertEqual(headerItem(b"X-Foo", b"b\xe4r"), (b"x-foo", b"X-Foo", b"b\xe4r"))

    def test_whitespaceAroundAValueIsNoPartOfIt(self) -> None:
        self.assertEqual(headerItem("a", " \t b c\t ")[2], b"b c")

    def test_namesThatAreNoTokensAreRefused(self) -> None:
        for name in ("", "a b", "a:", "a\r\n", "a\n", "\x00", '"a"', "a(", b"\xe4", "\xe4"):
            self.assertRaises(ValueError, headerItem, name, "x")

    def test_valuesThatCouldBreakTheFramingAreRefused(self) -> None:
        for value in ("a\r\nb: c", "a\n", "a\r", "\x00", "a\x0b", "a\x7f", b"a\x1b[0m"):
            self.assertRaises(ValueError, headerItem, "a", value)

    def test_valuesMayHaveTabsAndAnyHighByte(self) -> None:
        self.assertEqual(headerItem("a", b"x\ty\x80\xff")[2], b"x\ty\x80\xff")

    def test_tokensAreThoseOfRfc9110(self) -> None:
        allowed = {byte for byte in range(256) if isToken(bytes([byte]))}
        self.assertEqual(allowed, set(b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
        self.assertFalse(isToken(b"") or isToken(b"a\n"))


class HeadersTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.headers = Headers([("Host", "a"), ("X-Foo", "1"), (b"x-FOO", b"2"), ("Accept", "*/*")])

    def test_hasTheMethodsOfTwistedsHeaders(self) -> None:
        theirs = TwistedHeaders()
        for ours in (self.headers, theirs):
            ours.setRawHeaders("X-Foo", ["1", "2"])
            ours.addRawHeader(b"x-bar", b"3")
            ours.removeHeader("Host")
            ours.removeHeader("absent")
        self.headers.removeHeader("accept")
        for name in ("x-foo", b"X-FOO", "X-Bar", b"host", "absent"):
            self.assertEqual(self.headers.getRawHeaders(name), theirs.getRawHeaders(name))
            self.assertEqual(self.headers.hasHeader(name), theirs.hasHeader(name))
            self.assertEqual(self.headers.getRawHeaders(name, [name]), theirs.getRawHeaders(name, [name]))
        self.assertEqual(
            {name.lower(): values for name, values in self.headers.getAllRawHeaders()},
            {name.lower(): list(values) for name, values in theirs.getAllRawHeaders()},
        )

    def test_caseAndOrderAreKept(self) -> None:
        names = [name for _, name, _ in self.headers.items]
        self.assertEqual(names, [b"Host", b"X-Foo", b"x-FOO", b"Accept"])
        self.assertEqual(
            list(self.headers.getAllRawHeaders()), [(b"Host", [b"a"]), (b"X-Foo", [b"1", b"2"]), (b"Accept", [b"*/*"])]
        )

    def test_oneValueIsOfTheTypeOfTheName(self) -> None:
        self.assertEqual(self.headers.get("x-foo"), "1")
        self.assertEqual(self.headers.get(b"X-FOO"), b"1")
        self.assertIsNone(self.headers.get("absent"))
        self.assertEqual(self.headers.get("absent", "x"), "x")

    def test_valuesThatAreNotUtf8AreShownAllTheSame(self) -> None:
        self.assertEqual(Headers([("a", b"\xff")]).get("a"), "\ufffd")

    def test_settingKeepsThePlaceOfTheFirst(self) -> None:
        self.headers.setRawHeaders("x-foo", ["3", b"4"])
        self.assertEqual(
            [item[1:] for item in self.headers.items],
            [(b"Host", b"a"), (b"x-foo", b"3"), (b"x-foo", b"4"), (b"Accept", b"*/*")],
        )

    def test_settingNothingRemoves(self) -> None:
        self.headers.setRawHeaders("x-foo", [])
        self.assertEqual([item[0] for item in self.headers.items], [b"host", b"accept"])

    def test_settingOneStringIsASlip(self) -> None:
        self.assertRaises(TypeError, self.headers.setRawHeaders, "a", "bc")
        self.assertRaises(TypeError, self.headers.setRawHeaders, "a", b"bc")

    def test_refusedValuesChangeNothing(self) -> None:
        before = self.headers.copy()
        self.assertRaises(ValueError, self.headers.setRawHeaders, "x-foo", ["1", "\n"])
        self.assertRaises(ValueError, self.headers.addRawHeader, "x y", "1")
        self.assertEqual(self.headers, before)

    def test_removingLeavesTheListTheSame(self) -> None:
        items = self.headers.items
        self.headers.removeHeader("X-Foo")
        self.headers.setRawHeaders("Host", ["b"])
        self.assertIs(self.headers.items, items)

    def test_madeOfMappingsAndPairsAndHeaders(self) -> None:
        expected = Headers([("a", "1"), ("a", "2"), ("b", "3")])
        self.assertEqual(Headers({"a": ["1", "2"], "b": "3"}), expected)
        self.assertEqual(Headers({"a": ("1", b"2"), b"b": b"3"}), expected)
        self.assertEqual(Headers(expected), expected)
        self.assertEqual(Headers(), Headers([]))

    def test_copiesAreIndependent(self) -> None:
        for copy in (self.headers.copy(), Headers(self.headers), FrozenHeaders(list(self.headers.items)).copy()):
            copy.addRawHeader("New", "1")
            self.assertFalse(self.headers.hasHeader("new"))
            self.assertNotEqual(copy, self.headers)

    def test_frozenHeadersCannotBeChanged(self) -> None:
        frozen = FrozenHeaders(self.headers.items)
        for name in ("setRawHeaders", "addRawHeader", "removeHeader"):
            self.assertFalse(hasattr(frozen, name))

    def test_comparedByTheirLines(self) -> None:
        self.assertEqual(FrozenHeaders(self.headers.items), self.headers)
        self.assertNotEqual(self.headers, self.headers.items)
        self.assertRaises(TypeError, hash, self.headers)

    def test_shownForPeople(self) -> None:
        self.assertEqual(repr(Headers([("A", "1")])), "Headers([(b'A', b'1')])")


class AddressTests(SynchronousTestCase):
    def test_shownWithItsPort(self) -> None:
        self.assertEqual([str(CLIENT), str(PEER), str(Address())], ["192.0.2.1:4000", "[2001:db8::1]:5000", "unix"])


class InboundRequestTests(SynchronousTestCase):
    def make(self, target: bytes = b"/a/b?c=d?e", headers: Any = ()) -> InboundRequest:
        return InboundRequest(b"GET", target, FrozenHeaders(Headers(headers).items), CLIENT, PEER, "https")

    def test_targetIsPathAndQuery(self) -> None:
        for target, path, query in (
            (b"/a/b?c=d?e", b"/a/b", b"c=d?e"),
            (b"/a", b"/a", None),
            (b"/a?", b"/a", b""),
            (b"*", b"*", None),
        ):
            request = self.make(target)
            self.assertEqual((request.target, request.path, request.query), (target, path, query))
            self.assertEqual(splitTarget(target), (path, query))

    def test_hostIsTheHeader(self) -> None:
        self.assertEqual(self.make(headers=[("hOst", "a:80")]).host, "a:80")
        self.assertEqual(self.make().host, "")

    def test_nothingCanBeSet(self) -> None:
        request = self.make()
        for name in (
            "method",
            "target",
            "path",
            "query",
            "headers",
            "client",
            "peer",
            "scheme",
            "minor",
            "host",
            "state",
            "other",
        ):
            self.assertRaises(AttributeError, setattr, request, name, None)

    def test_everyPartIsTold(self) -> None:
        request = self.make(headers=[("a", "b")])
        self.assertEqual((request.method, request.client, request.peer, request.scheme), (b"GET", CLIENT, PEER, "https"))
        self.assertEqual((request.minor, request.headers), (1, Headers([("a", "b")])))
        self.assertIs(request.headers, request.headers)

    def test_stateIsItsOwn(self) -> None:
        one, other = self.make(), self.make()
        one.state["a"] = 1
        self.assertEqual((one.state, other.state), ({"a": 1}, {}))

    def test_idIsItsOwnAndStays(self) -> None:
        one, other = self.make(), self.make()
        self.assertEqual(one.id, one.id)
        self.assertNotEqual(one.id, other.id)

    def test_shownWithItsClient(self) -> None:
        self.assertEqual(repr(self.make()), "<InboundRequest GET /a/b?c=d?e from 192.0.2.1:4000>")


class OutboundRequestTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.stream = Body()
        self.request = OutboundRequest(b"GET", b"/a?b", Headers([("Host", "a")]), self.stream, CLIENT, "http")

    def test_pathAndQueryMakeTheTarget(self) -> None:
        request = self.request
        self.assertEqual((request.path, request.query, request.target), (b"/a", b"b", b"/a?b"))
        request.path = b"/c%2F{}"
        self.assertEqual(request.target, b"/c%2F{}?b")
        request.query = None
        self.assertEqual(request.target, b"/c%2F{}")
        request.query = b""
        self.assertEqual(request.target, b"/c%2F{}?")
        request.path = b"*"
        self.assertEqual(request.target, b"*?")

    def test_targetCannotBeSet(self) -> None:
        self.assertRaises(AttributeError, setattr, self.request, "target", b"/")

    def test_badPathsAreRefused(self) -> None:
        for path in (b"", b"a", b"/a b", b"/a\r\n", b"/a?b", b"/a#", b"/\xe4", b"/\x7f", b"/\t", b"**"):
            self.assertRaises(ValueError, setattr, self.request, "path", path)
        self.assertEqual(self.request.path, b"/a")

    def test_badQueriesAreRefused(self) -> None:
        for query in (b"a b", b"\n", b"#", b"\xe4", b"\x00"):
            self.assertRaises(ValueError, setattr, self.request, "query", query)
        self.assertEqual(self.request.query, b"b")

    def test_methodIsAToken(self) -> None:
        self.request.method = b"BREW"
        for method in (b"", b"A B", b"GET / HTTP/1.1\r\n"):
            self.assertRaises(ValueError, setattr, self.request, "method", method)
        self.assertEqual(self.request.method, b"BREW")

    def test_settingHostIsNoted(self) -> None:
        self.assertEqual((self.request.host, self.request.hostSet), ("a", False))
        self.request.host = "b:80"
        self.assertEqual((self.request.host, self.request.hostSet), ("b:80", True))
        self.assertEqual(self.request.headers.getRawHeaders("host"), ["b:80"])
        self.assertRaises(ValueError, setattr, self.request, "host", "b\r\nX: y")

    def test_headersAreThoseOfItsLines(self) -> None:
        self.request.headers.setRawHeaders("X", ["1"])
        self.assertIs(self.request.headers.items, self.request.items)
        self.assertEqual(self.request.items[-1], (b"x", b"X", b"1"))

    def test_assignedBytesReplaceTheBody(self) -> None:
        self.assertIs(self.request.body, self.stream)
        self.assertIsNone(self.request.replacedBody)
        self.request.body = b"new"  # type: ignore[assignment]
        self.assertEqual(self.request.body.contents, b"new")
        self.assertIs(self.request.replacedBody, self.request.body)
        self.assertRaises(TypeError, setattr, self.request, "body", "text")

    def test_shownForPeople(self) -> None:
        self.assertEqual(repr(self.request), "<OutboundRequest GET /a?b>")


class ResponseTests(SynchronousTestCase):
    def test_everyPartIsTold(self) -> None:
        response = Response(404, {"A": "b"}, b"gone", b"Not here")
        self.assertEqual((response.code, response.phrase, response.body.contents), (404, b"Not here", b"gone"))
        self.assertEqual((response.headers, response.upstream), (Headers([("A", "b")]), None))
        self.assertEqual(repr(response), "<Response 404>")

    def test_withoutABodyItIsEmpty(self) -> None:
        response = Response(200)
        self.assertIs(response.body, EMPTY)
        self.assertIsNone(response.replacedBody)

    def test_assignedBytesReplaceTheStream(self) -> None:
        response = Response(200)
        stream = response.stream = Body()
        self.assertIs(response.body, stream)
        response.body = b""  # type: ignore[assignment]
        self.assertEqual(response.body.contents, b"")
        self.assertIs(response.replacedBody, response.body)

    def test_statusIsAFinalOne(self) -> None:
        for code in (-1, 0, 99, 100, 102, 199, 1000):
            self.assertRaises(ValueError, Response, code)
            self.assertRaises(ValueError, setattr, Response(200), "code", code)
        for code in (101, 200, 599, 999):
            self.assertEqual(Response(code).code, code)

    def test_phraseCannotSplitTheResponse(self) -> None:
        for phrase in (b"OK\r\nSet-Cookie: a", b"\n", b"\x00", b"\x7f"):
            self.assertRaises(ValueError, Response, 200, phrase=phrase)
            self.assertRaises(ValueError, setattr, Response(200), "phrase", phrase)

    def test_headersOfItsOwnAreNotCopied(self) -> None:
        headers = Headers()
        self.assertIs(Response(200, headers).headers, headers)

    def test_frozenHeadersAreCopied(self) -> None:
        frozen = FrozenHeaders([headerItem("a", "b")])
        Response(200, frozen).headers.removeHeader("a")
        self.assertTrue(frozen.hasHeader("a"))

    def test_filtersAreInTheOrderOfTheirAdding(self) -> None:
        response = Response(200)
        response.filterBody("first")
        response.filterBody("second")
        self.assertEqual(response.filters, ["first", "second"])


class UpstreamTests(SynchronousTestCase):
    def test_keyIsTheNormalUrl(self) -> None:
        upstream = Upstream("HTTP://Example.org:80/", 3, {"zone": "a"}, backup=True, maxConnections=5)
        self.assertEqual((upstream.url, upstream.key), ("HTTP://Example.org:80/", "http://example.org"))
        self.assertEqual((upstream.weight, upstream.metadata, upstream.backup), (3, {"zone": "a"}, True))
        self.assertEqual((upstream.maxConnections, repr(upstream)), (5, "<Upstream http://example.org>"))

    def test_isUpAndIdleAtFirst(self) -> None:
        upstream = Upstream("unix:/run/a")
        self.assertEqual((upstream.inFlight, upstream.latency, upstream.state, upstream.metadata), (0, None, "up", {}))

    def test_mistakesAreRefused(self) -> None:
        self.assertRaises(ValueError, Upstream, "example.org")
        self.assertRaises(ValueError, Upstream, "http://a", -1)
