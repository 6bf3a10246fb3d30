"""ReverseProxyResource: how it is made, and which path is asked for."""

from __future__ import annotations

from typing import Any

from twisted.web import proxy
from twisted.web.resource import Resource
from twisted.web.static import Data

from tests.unit.server.support import STREAMING, Echo, TreeTestCase
from tests.unit.support import (
    OK,
    ProxyTestCase,
    get,
)
from twistproxy.server.resource import ReverseProxyResource


class TestConstruction(ProxyTestCase):
    def test_itIsTwistedsOwnInConstructorAndKind(self) -> None:
        made = ReverseProxyResource("app.example", 8080, b"/base", self.network)
        self.assertIsInstance(made, proxy.ReverseProxyResource)
        self.assertEqual((made.host, made.port, made.path, made.reactor), ("app.example", 8080, b"/base", self.network))
        self.assertEqual([each.url for each in made.proxy.upstreams], ["http://app.example:8080"])

    def test_thePathMayBeText(self) -> None:
        self.assertEqual(ReverseProxyResource("h", 80, "", self.network).path, b"")
        self.assertEqual(ReverseProxyResource("h", 80, "/a%20b", self.network).path, b"/a%20b")

    def test_theHostMayBeAnIPv6Address(self) -> None:
        made = ReverseProxyResource("::1", 81, b"", self.network)
        self.assertEqual([each.key for each in made.proxy.upstreams], ["http://[::1]:81"])

    def test_whatIsNoBasePathIsRefused(self) -> None:
        for path in (b"base", b"/a?b", b"/a b", b"/a#b", b"/\xe9", "/\xe9"):
            with self.assertRaises(ValueError):
                ReverseProxyResource("h", 80, path, self.network)

    def test_whatIsNoHostIsRefused(self) -> None:
        for host in ("http://h", "h/path", "", "h h"):
            with self.assertRaises(ValueError):
                ReverseProxyResource(host, 80, b"", self.network)

    def test_aURL(self) -> None:
        cases = {
            "http://h": (b"", "http://h"),
            "http://h/": (b"", "http://h"),
            "https://h:444/base/": (b"/base", "https://h:444"),
            "http://[::1]:9/a/b?c=d": (b"/a/b", "http://[::1]:9?c=d"),
            "unix:/run/app.sock": (b"", "unix:/run/app.sock"),
            "unix:/run/app.sock:/base?x": (b"/base", "unix:/run/app.sock?x"),
        }
        for url, (path, upstream) in cases.items():
            made = ReverseProxyResource.forURL(url, reactor=self.network)
            self.assertEqual((made.path, [each.url for each in made.proxy.upstreams]), (path, [upstream]), url)

    def test_severalURLs(self) -> None:
        made = ReverseProxyResource.forURL("http://a/x", "http://b/x/", reactor=self.network)
        self.assertEqual((made.path, [each.url for each in made.proxy.upstreams]), (b"/x", ["http://a", "http://b"]))
        with self.assertRaises(ValueError):
            ReverseProxyResource.forURL("http://a/x", "http://b/y", reactor=self.network)

    def test_aChildIsAProxyOfItsKindWithTheSegmentAppended(self) -> None:
        class Mine(ReverseProxyResource):
            pass

        class Request:
            path = b"/a%2Fb/c"
            postpath = [b"c"]

        parent = Mine("h", 80, b"/base", self.network)
        parent.putChild(b"own", Resource())
        child = parent.getChild(b"a/b", Request())
        self.assertIsInstance(child, Mine)
        self.assertEqual((child.path, child.children), (b"/base/a%2Fb", {}))
        self.assertIs(child.proxy, parent.proxy)

    def test_aSegmentOfARewrittenPathIsEncodedAnew(self) -> None:
        class Request:
            path = b"/elsewhere"
            postpath: list[bytes] = []

        parent = ReverseProxyResource("h", 80, b"", self.network)
        self.assertEqual(parent.getChild(b"a b/c", Request()).path, b"/a%20b%2Fc")


class Paths:
    """What is asked of the upstream."""

    def asked(self: Any, target: bytes) -> bytes:
        self.proxy(OK)
        self.assertEqual(self.answerTo(get(target)).code, 200)
        return bytes(self.origin.request.target)

    def test_thePlaceItself(self: Any) -> None:
        self.assertEqual(self.asked(b"/api"), b"/base")

    def test_thePlaceItselfWithASlash(self: Any) -> None:
        self.assertEqual(self.asked(b"/api/"), b"/base/")

    def test_belowIt(self: Any) -> None:
        self.assertEqual(self.asked(b"/api/x/y.html"), b"/base/x/y.html")

    def test_theBytesOfThePathStayAsTheyAre(self: Any) -> None:
        self.assertEqual(self.asked(b"/api/%41b%2Fc%2fd//e;f=g,h/%20/~@:!$&'()*+=/./../%C3%A9/"),
                         b"/base/%41b%2Fc%2fd//e;f=g,h/%20/~@:!$&'()*+=/./../%C3%A9/")  # fmt: skip

    def test_theQueryStaysAsItIs(self: Any) -> None:
        self.assertEqual(self.asked(b"/api/x?a=%20&b=c+d?e&"), b"/base/x?a=%20&b=c+d?e&")

    def test_anEmptyQueryStays(self: Any) -> None:
        self.assertEqual(self.asked(b"/api?"), b"/base?")

    def test_theSegmentOfItsPlaceMayBeEncoded(self: Any) -> None:
        self.assertEqual(self.asked(b"/%61pi/x"), b"/base/x")

    def test_aChildPutBelowItComesFirst(self: Any) -> None:
        self.proxy(OK)
        self.resource.putChild(b"here", Data(b"here", "text/plain"))
        self.assertEqual(self.answerTo(get(b"/api/here")).body, b"here")
        self.assertEqual(self.answerTo(get(b"/api/there/here")).body, b"ok")
        self.assertEqual(self.origin.request.target, b"/base/there/here")

    def test_othersInTheTreeAreServedAsEver(self: Any) -> None:
        self.proxy(OK)
        told = self.answerTo(get(b"/static"))
        self.assertEqual((told.body, told.get(b"content-type")), (b"static", b"text/plain"))
        self.assertTrue(told.get(b"server").startswith(b"TwistedWeb/"))
        self.assertEqual(self.answerTo(get(b"/nowhere")).code, 404)

    def test_oneConnectionServesProxyAndOthers(self: Any) -> None:
        self.proxy(Echo())
        client = self.ask(get(b"/api/1") + get(b"/static") + get(b"/api/2", b"Content-Length: 3") + b"abc" + get(b"/static"))
        self.assertEqual(
            [each.body for each in client.answers()], [b"GET /base/1 ", b"static", b"GET /base/2 abc", b"static"]
        )


class TestPathsOfAStockSite(Paths, TreeTestCase):
    pass


class TestPathsOfAStreamingSite(Paths, TreeTestCase):
    makeSite = staticmethod(STREAMING)
