"""Which route a request takes."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from attrs import frozen
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.errors import BAD_REQUEST, ProxyError
from twistproxy.messages import Address, FrozenHeaders, Headers, InboundRequest
from twistproxy.routing import HeaderMatch, RouteMatch, Router, hostName, segmentsOf, unreachable


@frozen
class Asked:
    """What routing looks at."""

    path: bytes = b"/"
    host: str = "example.com"
    method: bytes = b"GET"
    headers: Any = Headers()  # noqa: RUF009 - never changed


class RouterTests(SynchronousTestCase):
    def check(self, routes: dict[str, RouteMatch], *cases: tuple[Asked, str | None]) -> None:
        """Each request takes the route of that name, in whatever order the routes are."""
        pairs = list(routes.items())
        for order in (pairs, pairs[::-1]):
            router = Router((match, name) for name, match in order)
            for asked, wanted in cases:
                self.assertEqual(router.route(asked), wanted, asked)

    def test_nothing(self) -> None:
        self.check({}, (Asked(), None))

    def test_everything(self) -> None:
        self.check({"all": RouteMatch()}, (Asked(), "all"), (Asked(b"*", "", b"OPTIONS"), "all"))
        self.check({"all": RouteMatch(path=b"/")}, (Asked(b"/x"), "all"))

    def test_longestPrefixBySegment(self) -> None:
        self.check(
            {
                "root": RouteMatch(),
                "a": RouteMatch(path=b"/a"),
                "ab": RouteMatch(path=b"/a/b/"),
                "abcd": RouteMatch(path=b"/a/b/c/d"),
            },
            (Asked(b"/"), "root"),
            (Asked(b"/a"), "a"),
            (Asked(b"/a/"), "a"),
            (Asked(b"/ab"), "root"),
            (Asked(b"/a/bc"), "a"),
            (Asked(b"/a/b"), "ab"),
            (Asked(b"/a/b/c"), "ab"),
            (Asked(b"/a/b/c/d/e?x"), "abcd"),
        )

    def test_noSpellingOfAPathSlipsBy(self) -> None:
        admin = {"admin": RouteMatch(path=b"/admin"), "rest": RouteMatch()}
        for path in (b"/%61dmin", b"//admin", b"/./admin/", b"/x/../admin/y", b"/x/%2e%2E/admin", b"/%2e/admin", b"/../admin"):
            self.check(admin, (Asked(path), "admin"))
        for path in (b"/Admin", b"/admin/..", b"/...", b"/.admin", b"/x%2fadmin", b"/x;y/admin;z", b"/x\\y"):
            self.check(admin, (Asked(path), "rest"))

    def test_whatAnApplicationMayReadAsAnotherRoute(self) -> None:
        """WSGI decodes an escaped slash, Java's servers leave out parameters, Microsoft's take a backslash for a slash."""
        matches = {"admin": RouteMatch(path=b"/admin"), "open": RouteMatch(path=b"/open"), "rest": RouteMatch()}
        router = Router((match, name) for name, match in matches.items())
        for path in (
            b"/admin%2Fx", b"/%2fadmin", b"/x/..%2fadmin", b"/admin;a=b/x", b"/x/..;/admin", b"/admin%5cx", b"/x\\..\\admin",
            b"/admin;x", b"/admin/..%2Fopen",
            b"/open/..;/admin", b"/open/..%2Fadmin/..;/../open/x", b"/open/%2e%2e%2fadmin", b"/;/admin%2f",
        ):  # fmt: skip
            error = self.assertRaises(ProxyError, router.route, Asked(path))
            self.assertIs(error.kind, BAD_REQUEST, path)
        for path, name in (
            (b"/admin/x%2fy", "admin"), (b"/open/a;b=c", "open"), (b"/open/%5c", "open"), (b"/x/a%2f..%2fb", "rest"),
        ):  # fmt: skip
            self.assertEqual(router.route(Asked(path)), name)

    def test_pathsThatTakeLong(self) -> None:
        """Each reading of a path takes as long as the path."""
        router = Router([(RouteMatch(path=b"/admin"), "admin"), (RouteMatch(), "rest")])
        self.assertEqual(router.route(Asked(b"/a;b" * 64)), "rest")
        for path in (b"/a;b" * 65, b"/%2f%5c" * 33):
            self.assertRaises(ProxyError, router.route, Asked(path))
        self.assertEqual(Router([(RouteMatch(), "all")]).route(Asked(b"/;" * 4000)), "all")

    def test_whoeverHasRoutesForSuchSpellingsMeansThem(self) -> None:
        self.check(
            {"escaped": RouteMatch(path=b"/a%2fb"), "a": RouteMatch(path=b"/a")},
            (Asked(b"/a%2Fb"), "escaped"), (Asked(b"/a/b"), "a"), (Asked(b"/a%2Fc"), None),
        )  # fmt: skip
        self.check(
            {"session": RouteMatch(pathRegex=re.compile(";jsessionid=")), "rest": RouteMatch()},
            (Asked(b"/a;jsessionid=1"), "session"), (Asked(b"/a;b"), "rest"),
        )  # fmt: skip
        php = Router([(RouteMatch(pathRegex=re.compile(r"^/php/.*\.php$")), "php"), (RouteMatch(), "rest")])
        self.assertRaises(ProxyError, php.route, Asked(b"/php\\x.php"))

    def test_escapesOfOtherCharactersDifferInCaseOnly(self) -> None:
        self.check({"a": RouteMatch(path=b"/%c3%a9")}, (Asked(b"/%C3%A9/x"), "a"), (Asked(b"/%C3%A8"), None))

    def test_hostBeforePath(self) -> None:
        self.check(
            {
                "any": RouteMatch(path=b"/a/b/c"),
                "wild": RouteMatch(hosts=("*.example.com",), path=b"/a"),
                "wilder": RouteMatch(hosts=("*.eu.example.com",)),
                "exact": RouteMatch(hosts=("www.example.com", "web.example.com"), path=b"/a"),
            },
            (Asked(b"/a/b/c", "www.example.com"), "exact"),
            (Asked(b"/a/b/c", "WEB.Example.com.:8080"), "exact"),
            (Asked(b"/a/b/c", "x.example.com"), "wild"),
            (Asked(b"/a/b/c", "x.eu.example.com"), "wilder"),
            (Asked(b"/a/b/c", "a.b.example.com"), "wild"),
            (Asked(b"/a/b/c", "example.com"), "any"),
            (Asked(b"/b", "x.eu.example.com"), "wilder"),
            (Asked(b"/b", "www.example.com"), None),
        )

    def test_lessExactHostWhereThePathOfTheMoreExactDoesNotMatch(self) -> None:
        routes = {"host": RouteMatch(hosts=("a.example",), path=b"/x"), "any": RouteMatch()}
        self.check(routes, (Asked(b"/y", "a.example"), "any"), (Asked(b"/x", "a.example"), "host"))

    def test_methodsAndHeaders(self) -> None:
        canary = HeaderMatch(b"x-canary", b"yes")
        self.check(
            {
                "plain": RouteMatch(path=b"/a"),
                "header": RouteMatch(path=b"/a", headers=(canary,)),
                "headers": RouteMatch(path=b"/a", headers=(canary, HeaderMatch(b"x-user"))),
                "post": RouteMatch(path=b"/a", methods=(b"POST", b"PUT")),
                "regex": RouteMatch(path=b"/a", pathRegex=re.compile(r"\.php$")),
                "root": RouteMatch(methods=(b"GET",), headers=(canary,)),
            },
            (Asked(b"/a"), "plain"),
            (Asked(b"/a", headers=Headers({"X-Canary": "yes"})), "header"),
            (Asked(b"/a", headers=Headers({"X-Canary": ["no", "yes"], "X-User": "1"})), "headers"),
            (Asked(b"/a", headers=Headers({"X-User": "1"})), "plain"),
            (Asked(b"/a", method=b"PUT", headers=Headers({"X-Canary": "yes"})), "post"),
            (Asked(b"/a/b.php", method=b"POST"), "regex"),
            (Asked(b"/a", method=b"post"), "plain"),
            (Asked(b"/b", headers=Headers({"X-Canary": "yes"})), "root"),
            (Asked(b"/b"), None),
        )

    def test_absentHeader(self) -> None:
        routes = {"anonymous": RouteMatch(headers=(HeaderMatch(b"authorization", absent=True),))}
        self.check(routes, (Asked(), "anonymous"), (Asked(headers=Headers({"Authorization": "x"})), None))

    def test_regexSeesTheNormalPath(self) -> None:
        routes = {"a": RouteMatch(pathRegex=re.compile(r"^/a/$"))}
        self.check(routes, (Asked(b"//%61/"), "a"), (Asked(b"/a"), None), (Asked(b"/a/b"), None))

    def test_firstOfEquals(self) -> None:
        router = Router([(RouteMatch(path=b"/a"), 1), (RouteMatch(path=b"/a/"), 2)])
        self.assertEqual(router.route(Asked(b"/a")), 1)

    def test_unreachable(self) -> None:
        one, two = RouteMatch(hosts=("a", "b"), methods=(b"GET",)), RouteMatch(hosts=("b", "a"), methods=(b"GET",))
        self.assertEqual(unreachable([one, RouteMatch(), two, RouteMatch(path=b"/")]), {2: 0, 3: 1})
        self.assertEqual(unreachable([one, RouteMatch(path=b"/x"), RouteMatch()]), {})

    def test_inboundRequestsCanBeRouted(self) -> None:
        client = Address("127.0.0.1", 1)
        headers = FrozenHeaders(Headers({"Host": "example.com:80"}).items)
        request = InboundRequest(b"GET", b"/a/b?c", headers, client, client, "http")
        router = Router([(RouteMatch(hosts=("example.com",), path=b"/a"), "a"), (RouteMatch(), "rest")])
        self.assertEqual(router.route(request), "a")

    def test_hostNames(self) -> None:
        for host, name in [
            ("Example.COM", "example.com"),
            ("example.com:8080", "example.com"),
            ("example.com.", "example.com"),
            ("[::1]:80", "[::1]"),
            ("[::1]", "[::1]"),
            ("", ""),
            (":80", ":80"),
        ]:
            self.assertEqual(hostName(host), name)


SEGMENTS = st.sampled_from([b"a", b"b", b"%61", b"..", b".", b"", b"c"])
PATHS = st.lists(SEGMENTS, max_size=4).map(lambda segments: b"/" + b"/".join(segments))
HOSTS = st.sampled_from(["a.example", "*.example", "*.b.example", "x.b.example"])
MATCHES = st.builds(
    RouteMatch,
    hosts=st.lists(HOSTS, max_size=2, unique=True).map(tuple),
    path=PATHS,
    pathRegex=st.sampled_from([None, None, re.compile("a$"), re.compile("^/b")]),
    methods=st.sampled_from([(), (), (b"GET",), (b"POST", b"PUT")]),
    headers=st.sampled_from([(), (), (HeaderMatch(b"x"),), (HeaderMatch(b"x", b"1"), HeaderMatch(b"y", absent=True))]),
)
ASKED = st.builds(
    Asked,
    path=PATHS,
    host=st.sampled_from(["a.example", "x.b.example", "y.b.example:8080", "other"]),
    method=st.sampled_from([b"GET", b"POST"]),
    headers=st.sampled_from([Headers(), Headers({"X": "1"}), Headers({"x": "2", "Y": "1"})]),
)


def byTheBook(matches: Sequence[RouteMatch], asked: Asked) -> int | None:
    """The order as the module's text has it: try all routes, most exact first."""
    path = segmentsOf(asked.path)
    host = hostName(asked.host)

    def hostRank(match: RouteMatch) -> tuple[int, int] | None:
        ranks = [(0, 0)] if host in match.hosts else []
        ranks += [(1, -each.count(".")) for each in match.hosts if each.startswith("*.") and host.endswith(each[1:])]
        return min(ranks) if ranks else None if match.hosts else (2, 0)

    ranked = []
    for i, match in enumerate(matches):
        rank = hostRank(match)
        prefix = segmentsOf(match.path)
        if rank is not None and path[: len(prefix)] == prefix and match.matchesRest(asked, path):
            more = (match.pathRegex is None, not match.methods, -len(match.headers))
            ranked.append((rank, -len(prefix), more, i))
    return min(ranked)[-1] if ranked else None


class OrderTests(SynchronousTestCase):
    @given(st.lists(MATCHES, max_size=8), ASKED)
    def test_treeAgreesWithTheDocumentedOrder(self, matches: list[RouteMatch], asked: Asked) -> None:
        router = Router((match, i) for i, match in enumerate(matches))
        self.assertEqual(router.route(asked), byTheBook(matches, asked))

    @given(PATHS)
    def test_normalFormIsStable(self, path: bytes) -> None:
        segments = segmentsOf(path)
        self.assertEqual(segmentsOf(b"/" + b"/".join(segments)), segments)
