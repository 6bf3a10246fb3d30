"""The same upstream for the same browser."""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.task import Clock

from tests.unit.balancers.picks import request, upstreams
from tests.unit.builtin import PluginTestCase
from twistproxy.balancers.stickycookie import StickyCookie
from twistproxy.commandline import CommandLine, configure
from twistproxy.config import buildPlugins
from twistproxy.configfile import ConfigurationFile
from twistproxy.interfaces import IBalancer
from twistproxy.loader.finder import findPlugins
from twistproxy.messages import Headers, InboundRequest, Response, Upstream
from twistproxy.service import makeEngine
from twistproxy.testing import FakeUpstream, ProxyHarness
from twistproxy.text.secret import Secret
from twistproxy.upstream.candidates import Candidates

ROUTES = """\
[pools.a]
upstreams = "http://a"
balancer = "sticky-cookie"
[pools.b]
upstreams = "http://b"
[[routes]]
match = { path = "/a" }
pool = "a"
modifier = "response-headers:remove=Server"
[[routes]]
match = { path = "/b" }
pool = "b"
[[routes]]
match = { path = "/c" }
pool = "b"
director = "split:a=1:b=1"
"""


class StickyCookieTests(PluginTestCase):
    interface = IBalancer

    def setUp(self) -> None:
        self.members = upstreams(1, 1, 1)

    def made(self, **options: Any) -> StickyCookie:
        balancer = StickyCookie(**options)
        balancer.upstreamsChanged(self.members)
        return balancer

    def cookie(self, balancer: StickyCookie, asked: InboundRequest, upstream: Upstream | None = None) -> str:
        """What the answer sets; empty for nothing."""
        picked = balancer.pick(asked, self.members)
        response = Response(200, Headers())
        response.upstream = upstream or picked
        balancer.modify(asked, response)
        value: str = response.headers.get("set-cookie", "")
        return value

    def test_theCookieLeadsBack(self) -> None:
        balancer = self.made()
        for _ in range(6):
            first = request()
            picked = balancer.pick(first, self.members)
            response = Response(200, Headers())
            response.upstream = picked
            balancer.modify(first, response)
            pair = response.headers.get("set-cookie", "").partition(";")[0]
            for _ in range(5):
                again = request(headers=[("Cookie", f"a=b; {pair}"), ("Cookie", "c=d")])
                self.assertIs(balancer.pick(again, self.members), picked)
                self.assertEqual(self.cookie(balancer, again), "")

    def test_theValueTellsNothing(self) -> None:
        values = {self.cookie(self.made(secret=Secret(secret)), request()) for secret in ("a", "b")}
        self.assertEqual(len(values), 2)
        for each in values:
            self.assertTrue(re.match(r"lb=[0-9a-f]{32}; Path=/; HttpOnly; SameSite=Lax\Z", each), each)

    def test_theSameSecretMakesTheSameCookies(self) -> None:
        self.assertEqual(*(self.cookie(self.made(secret=Secret("s")), request()) for _ in range(2)))

    def test_nonsenseIsNoCookie(self) -> None:
        balancer = self.made()
        for value in ("", "x", "a" * 5000, "\xff"):
            self.assertTrue(self.cookie(balancer, request(headers={"Cookie": f"lb={value}"})), value)

    def test_anotherWhenItsOwnIsDown(self) -> None:
        balancer = self.made()
        pair = self.cookie(balancer, request()).partition(";")[0]  # a's
        asked = request(headers={"Cookie": pair})
        picked = balancer.pick(asked, self.members[1:])
        self.assertIn(picked, self.members[1:])
        response = Response(200, Headers())
        response.upstream = picked
        balancer.modify(asked, response)
        self.assertNotIn(pair, response.headers.get("set-cookie"))

    def test_whoIsDrainingKeepsItsSessions(self) -> None:
        balancer = self.made()
        pair = self.cookie(balancer, request()).partition(";")[0]  # a's
        drained = Candidates(self.members[1:], draining=self.members[:1])
        self.assertIs(balancer.pick(request(headers={"Cookie": pair}), drained), self.members[0])
        self.assertIs(balancer.pick(request(headers={"Cookie": pair}), Candidates((), self.members[:1])), self.members[0])
        self.assertNotIn(self.members[0], [balancer.pick(request(), drained) for _ in range(5)])

    def test_noCookieForSomebodyElsesAnswer(self) -> None:
        """An answer of the proxy's own, or of another pool's upstream."""
        self.assertEqual(self.cookie(self.made(), request(), Upstream("http://elsewhere")), "")

    def test_attributes(self) -> None:
        balancer = self.made(cookie="sid", maxAge=3600.0, path="/app", domain="example.com", secure="yes", sameSite="strict")
        said = self.cookie(balancer, request()).partition("; ")[2]
        self.assertEqual(said, "Path=/app; Domain=example.com; Max-Age=3600; HttpOnly; SameSite=Strict; Secure")

    def test_secureWhereTheClientHasTls(self) -> None:
        for scheme, options, isSecure in (
            ("http", {}, False), ("https", {}, True), ("https", {"secure": "no"}, False), ("http", {"sameSite": "none"}, True),
        ):  # fmt: skip
            asked = request()
            asked._scheme = scheme
            self.assertEqual("; Secure" in self.cookie(self.made(**options), asked), isSecure, (scheme, options))

    def test_mistakes(self) -> None:
        self.refuses("sticky-cookie:cookie=a b", "sticky-cookie: cookie: 'a b' is not the name of a cookie")
        self.refuses("sticky-cookie:path=a;b", "sticky-cookie: path: 'a;b' cannot stand in a cookie")
        self.refuses(
            "sticky-cookie:same-site=none:secure=no",
            "sticky-cookie: same-site=none needs secure: browsers refuse such a cookie",
        )


class ProxyTests(PluginTestCase):
    """The whole way: a balancer that changes answers."""

    def cookieOf(self, answer: Any) -> str:
        value: str = answer.headers.get("set-cookie", "")
        return value.partition(";")[0]

    def test_followsTheCookieAndLeavesADeadUpstream(self) -> None:
        upstreams = [FakeUpstream(body=b"one"), FakeUpstream(body=b"two")]
        with ProxyHarness(upstreams=upstreams, balancer="sticky-cookie") as harness:
            first = harness.get("/")
            cookie = self.cookieOf(first)
            self.assertTrue(cookie.startswith("lb="))
            for _ in range(3):
                again = harness.get("/", headers={"Cookie": cookie})
                self.assertEqual((again.body, self.cookieOf(again)), (first.body, ""))
            home = upstreams[0] if first.body == b"one" else upstreams[1]
            home.refuse()
            home.peers[0].close()
            harness.pump()
            moved = harness.get("/", headers={"Cookie": cookie})
            self.assertNotEqual(moved.body, first.body)
            new = self.cookieOf(moved)
            self.assertTrue(new.startswith("lb=") and new != cookie)
            home.comeBack()
            self.assertEqual(harness.get("/", headers={"Cookie": new}).body, moved.body)

    def test_modifiersComeAfterIt(self) -> None:
        with ProxyHarness(balancer="sticky-cookie", modifier="response-headers:remove=Set-Cookie") as harness:
            self.assertEqual(self.cookieOf(harness.get("/")), "")


class RouteTests(PluginTestCase):
    """Which routes have a balancer that changes answers among their modifiers."""

    def test_thoseThatMayUseItsPool(self) -> None:
        path = self.mktemp()
        with open(path, "w", encoding="utf-8") as file:
            file.write(ROUTES)

        configuration = configure(CommandLine(), findPlugins(), ConfigurationFile(path))
        engine = makeEngine(Clock(), configuration, buildPlugins(configuration, Clock()), [])
        found = {}
        for target in (b"/a", b"/b", b"/c"):
            route = engine.routeFor(request(target))
            assert route is not None
            found[target] = [type(each).__name__ for each in route.modifiers]
        self.assertEqual(found, {b"/a": ["StickyCookie", "ResponseHeaders"], b"/b": [], b"/c": ["StickyCookie"]})
