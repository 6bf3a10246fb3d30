"""L{twistproxy.caching.stale}, as C{fallback:stale=} has it: what is kept, what is given, and to whom."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from zope.interface import implementer

from tests.unit.builtin import answered, asked, built
from tests.unit.caching.support import BREAKER, STALE, StaleTestCase
from twistproxy.caching.rules import Terms
from twistproxy.caching.stale import KeptAnswer, StaleAnswers
from twistproxy.errors import AUTH_UNAVAILABLE, FORBIDDEN, ProxyError
from twistproxy.exchange.standin import StandIn
from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest, Response
from twistproxy.testing import FakeUpstream, MemoryNetwork, ProxyHarness


class TestAnswers(StaleTestCase):
    """What an earlier answer looks like."""

    def test_headers(self) -> None:
        lines = [
            ("Date", "Sun, 06 Nov 1994 08:49:37 GMT"), ("Content-Type", "text/x"), ("ETag", '"1"'), ("Age", "7"),
            ("Cache-Control", "max-age=20"), ("X-Mine", "a"), ("X-Mine", "b"), ("Keep-Alive", "timeout=5"),
            ("Connection", "x-hop"), ("X-Hop", "1"), ("Warning", '110 - "old"'), ("Cache-Status", "Origin; hit"),
        ]  # fmt: skip
        self.proxy(FakeUpstream(headers=lines, body=b"good"))
        self.get()
        self.breaks()
        self.harness.advance(30)
        answer = self.get()
        self.assertEqual(answer.body, b"good")
        seen = sorted((name.lower(), value) for _, name, value in answer.headers.items)
        self.assertEqual(
            seen,
            [
                (b"age", b"37"),
                (b"cache-control", b"max-age=20"),
                (b"cache-status", b"Origin; hit"),
                (b"cache-status", b"twistproxy; hit; ttl=-17; detail=connect_refused"),
                (b"content-length", b"4"),
                (b"content-type", b"text/x"),
                (b"date", b"Sun, 06 Nov 1994 08:49:37 GMT"),
                (b"etag", b'"1"'),
                (b"x-mine", b"a"),
                (b"x-mine", b"b"),
            ],
        )

    def test_tooOld(self) -> None:
        self.proxy()
        self.get()
        self.breaks()
        self.harness.advance(599)
        self.assertStale(self.get())
        self.harness.advance(2)
        self.assertBroken(self.get())

    def test_asOldAsTheUpstreamSays(self) -> None:
        self.proxy(FakeUpstream(headers={"Cache-Control": "max-age=10, stale-if-error=10"}, body=b"good"))
        self.get()
        self.breaks()
        self.harness.advance(19)
        self.assertStale(self.get())
        self.harness.advance(2)
        self.assertBroken(self.get())

    def test_head(self) -> None:
        """Answered from a GET's; one of its own is never kept."""
        self.proxy()
        self.harness.request("HEAD", "/other")
        self.get()
        self.breaks()
        answer = self.harness.request("HEAD", "/")
        self.assertStale(answer, b"")
        self.assertEqual(answer.headers.get("Content-Length"), "4")
        self.assertBroken(self.get("/other"))

    def test_notModified(self) -> None:
        self.proxy(FakeUpstream(headers={"ETag": '"1"', "Content-Type": "text/x", "Vary": "X"}, body=b"good"))
        self.get()
        self.breaks()
        answer = self.get(If_None_Match='W/"1"')
        self.assertStale(answer, b"", 304)
        self.assertEqual((answer.headers.get("ETag"), answer.headers.get("Vary")), ('"1"', "X"))
        self.assertFalse(answer.headers.hasHeader("Content-Type"))
        self.assertStale(self.get(If_None_Match='"2"'))
        self.assertStale(self.get(Range="bytes=0-1"))

    def test_aRedirect(self) -> None:
        self.proxy(FakeUpstream(301, {"Location": "/new"}, b"moved"))
        self.get()
        self.breaks()
        answer = self.get()
        self.assertStale(answer, b"moved", 301)
        self.assertEqual(answer.headers.get("Location"), "/new")

    def test_chunked(self) -> None:
        self.proxy(FakeUpstream(body=[b"one", b"two"]))
        self.assertTrue(self.get().isChunked)
        self.breaks()
        answer = self.get()
        self.assertStale(answer, b"onetwo")
        self.assertEqual(answer.headers.get("Content-Length"), "6")

    def test_whileItIsKeptNothingIsChanged(self) -> None:
        """Length and tag stay as the upstream said."""
        self.proxy(FakeUpstream(headers={"ETag": '"1"'}, body=b"good"))
        answer = self.get()
        self.assertEqual((answer.headers.get("ETag"), answer.headers.get("Content-Length")), ('"1"', "4"))

    def test_itIsAnsweredAgainAfterwards(self) -> None:
        self.proxy(FakeUpstream().respond(200, body=b"one").respond(503).respond(200, body=b"two").respond(503))
        bodies = []
        for _ in range(4):
            bodies.append(self.get().body)
            self.harness.advance(1)
        self.assertEqual(bodies, [b"one", b"one", b"two", b"two"])

    def test_oftenAskedIsNotOftenKept(self) -> None:
        """Once a second is enough."""
        self.proxy(FakeUpstream(headers={"Vary": "X"}, body=b"good"))
        for second, kept in ((0, 2), (0.9, 2), (0.1, 4)):
            self.harness.advance(second)
            for value in "abab":
                self.get(X=value)
            self.assertEqual(self.figures["kept"], kept)


class TestConfirmed(StaleTestCase):
    """A 304 to a client makes what is kept as good as new."""

    def confirmed(self, tag: str, later: dict[str, str], **asked: str) -> None:
        """An answer, and 400 seconds later a 304 to somebody; then nothing."""
        upstream = FakeUpstream().respond(200, {"ETag": '"1"', "X": "old", "Content-Type": "a/b"}, b"good")
        self.proxy(upstream.respond(304, {"ETag": tag, **later}))
        self.get()
        self.harness.advance(400)
        self.assertEqual(self.get(If_None_Match=tag, **asked).status, 304)
        self.breaks()

    def test_itIsNewAgain(self) -> None:
        self.confirmed('"1"', {"X": "new"})
        self.harness.advance(400)
        answer = self.get()
        self.assertStale(answer)
        wanted = {"X": "new", "Content-Type": "a/b", "Age": "400", "ETag": '"1"'}
        self.assertEqual({name: answer.headers.get(name) for name in wanted}, wanted)
        self.harness.advance(201)
        self.assertBroken(self.get())

    def test_anotherOne(self) -> None:
        self.confirmed('"2"', {})
        self.harness.advance(201)
        self.assertBroken(self.get())

    def test_whatItSaysNowCounts(self) -> None:
        self.confirmed('"1"', {"Cache-Control": "no-store"})
        self.assertBroken(self.get())

    def test_ofAnother(self) -> None:
        """Whoever would not get it says nothing about it."""
        self.confirmed('"1"', {"Cache-Control": "no-store"}, Cookie="x")
        self.assertStale(self.get())

    def test_ofAnotherVariant(self) -> None:
        """A tag tells the variants of one URL apart only as far as the upstream takes care."""
        upstream = FakeUpstream().respond(200, {"ETag": '"1"', "Vary": "X"}, b"good")
        self.proxy(upstream.respond(304, {"ETag": '"1"', "Cache-Control": "no-store"}))
        self.get(X="a")
        self.get(X="b", If_None_Match='"1"')
        self.breaks()
        self.assertStale(self.get(X="a"))


class TestSize(StaleTestCase):
    def test_bodiesAndHeadersCount(self) -> None:
        for headers, body in (({}, b"x" * 2000), ({"X": "x" * 2000}, b"")):
            self.proxy(FakeUpstream(headers=headers, body=body), STALE + ":stale-size=10000:stale-body=4000")
            for at in range(10):
                self.get(f"/{at}")
            figures = self.figures
            self.assertEqual((figures["entries"], figures["evicted"]), (3, 7))
            self.assertTrue(9000 < figures["bytes"] < 10000, figures)

    def test_howOldItWasCountsToo(self) -> None:
        terms = Terms(age=30, lifetime=0, limit=100, isShared=False, vary=())
        kept = KeptAnswer(("http", "a", b"/"), ((), (), ()), 200, [], terms, 1000, b"")
        self.assertEqual((kept.until, kept.age(1010)), (1070, 40))


class TestWhatIsNotKept(StaleTestCase):
    def notKept(self, why: str, upstream: FakeUpstream, middleware: str = STALE, **headers: str) -> None:
        self.proxy(upstream, middleware)
        self.get(**headers)
        self.breaks()
        self.assertBroken(self.get(**headers))
        self.assertEqual((self.figures["entries"], self.figures["copying"]), (0, 0))
        self.assertEqual(self.figures["passed"], {why: 1} if why else {})

    def test_byTheRules(self) -> None:
        for why, name, value in (
            ("no-store", "Cache-Control", "no-store"),
            ("private", "Cache-Control", "private"),
            ("set-cookie", "Set-Cookie", "a=b"),
            ("vary", "Vary", "*"),
            ("stream", "Content-Type", "text/event-stream"),
        ):
            self.notKept(why, FakeUpstream(headers={name: value}, body=b"x"))

    def test_bySize(self) -> None:
        self.notKept("size", FakeUpstream(body=b"x" * 101), STALE + ":stale-body=100")
        self.notKept("", FakeUpstream(body=[b"x" * 60, b"x" * 60]), STALE + ":stale-body=100")

    def test_noAnswerOfAPlugins(self) -> None:
        self.proxy(director=lambda inbound, outbound: Response(200, (), b"mine"))
        self.get()
        self.assertEqual(self.figures["kept"], 0)

    def test_endsWithTheConnection(self) -> None:
        """It may have been cut off."""
        self.notKept("length", FakeUpstream().raw(b"HTTP/1.1 200 OK\r\n\r\nhalf", close=True))

    def test_brokenOff(self) -> None:
        self.notKept("", FakeUpstream(body=b"good" * 20).closeAfter(60))
        self.notKept("", FakeUpstream().closeMidChunk())

    def test_theClientLeft(self) -> None:
        self.proxy(FakeUpstream().raw(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf"))
        self.get()
        self.assertEqual(self.figures["copying"], 4)
        self.harness.clients[-1].peer.abort()
        self.harness.pump()
        self.assertEqual((self.figures["copying"], self.figures["entries"]), (0, 0))

    def test_otherMethods(self) -> None:
        self.proxy()
        for method in ("POST", "PUT", "OPTIONS", "REPORT"):
            self.harness.request(method, "/")
        self.breaks()
        self.assertBroken(self.get())
        self.get()
        for method in ("POST", "OPTIONS", "REPORT"):
            self.assertBroken(self.harness.request(method, "/"))

    def test_aBodyAsksForSomething(self) -> None:
        """As searches do."""
        self.proxy()
        self.harness.request("GET", "/", body=b"query")
        self.assertEqual(self.figures["entries"], 0)
        self.get()
        self.breaks()
        self.assertBroken(self.harness.request("GET", "/", body=b"query"))
        self.assertStale(self.get())

    def test_aDirectorHasChangedTheMethod(self) -> None:
        def toPost(inbound: InboundRequest, outbound: Any) -> None:
            outbound.method = b"POST"

        self.proxy(director=toPost)
        self.get()
        self.breaks()
        self.assertBroken(self.get())

    def test_whatWasChangedAfterwards(self) -> None:
        """What passes is another body then, and the one that was here is gone."""

        @implementer(IMiddleware)
        class Twice:
            async def around(self, request: InboundRequest, proceed: Any) -> Response:
                response: Response = await proceed()
                response.body = 2 * await response.body.read(100)
                return response

        self.proxy(None, [STALE, Twice()])
        self.assertEqual(self.get().body, b"goodgood")
        self.breaks()
        self.assertStale(self.get(), b"goodgood")
        network = ProxyHarness(upstream=FakeUpstream(), middleware=[Twice(), STALE])
        self.addCleanup(network.close)
        self.assertEqual(network.get("/").body, b"hellohello")
        network.upstream.refuse()
        network.upstream.peers[0].close()
        network.pump()
        self.assertEqual(network.get("/").status, 502)


class TestForWhom(StaleTestCase):
    """Nobody gets what may be somebody else's."""

    def test_credentials(self) -> None:
        self.proxy()
        for name in ("Authorization", "Cookie"):
            self.get(**{name: "mine"})
            self.assertEqual(self.figures["kept"], 0)
        self.get()
        self.breaks()
        for name in ("Authorization", "Cookie"):
            self.assertBroken(self.get(**{name: "mine"}))
        self.assertStale(self.get())

    def test_whatIsPublicIsForAll(self) -> None:
        self.proxy(FakeUpstream(headers={"Cache-Control": "public"}, body=b"good"))
        self.get(Authorization="mine")
        self.breaks()
        for headers in ({}, {"Authorization": "yours"}, {"Cookie": "a"}):
            self.assertStale(self.get(**headers))

    def test_cookiesMayTellNothing(self) -> None:
        self.proxy(None, STALE + ":stale-cookies=yes")
        self.get(Cookie="a")
        self.breaks()
        self.assertStale(self.get(Cookie="b"))
        self.assertStale(self.get())
        self.assertBroken(self.get(Authorization="x"))

    def test_users(self) -> None:
        """However somebody has proved who they are."""

        @implementer(IMiddleware)
        class Login:
            def around(self, request: InboundRequest, proceed: Any) -> Any:
                request.state["twistproxy.user"] = "ann"
                return proceed()

        self.proxy(None, [STALE, Login()])
        self.get()
        self.assertEqual(self.figures["passed"], {"credentials": 1})

    def test_certificates(self) -> None:
        """A client that showed one is known by it."""
        request = asked()
        request._connection = SimpleNamespace(certificate=SimpleNamespace(certificate=object()))  # type: ignore[assignment]
        request.standIn = StandIn()
        request.standIn.asked = "pool"
        kept = StaleAnswers(600, 1000000, 1000, 10, lambda: 0.0)
        kept.answered(request, answered(), 0.0)
        self.assertEqual(kept.passed, {"credentials": 1})

    def test_vary(self) -> None:
        self.proxy(FakeUpstream(headers={"Vary": "Accept-Language, X-Team"}, body=b"good"))
        self.get(X_Team="a")
        self.breaks()
        self.assertStale(self.get(X_Team="a", X_Other="x"))
        for headers in ({}, {"X_Team": "b"}, {"X_Team": "a", "Accept_Language": "de"}):
            self.assertBroken(self.get(**headers))

    def test_varyOfWhatDirectorsWrite(self) -> None:
        """The upstream speaks of the request that it got."""

        def tenant(inbound: InboundRequest, outbound: Any) -> None:
            outbound.headers.setRawHeaders("X-Tenant", [inbound.headers.get("X-Key", "none")])

        self.proxy(FakeUpstream(headers={"Vary": "X-Tenant"}, body=b"good"), director=tenant)
        self.get(X_Key="a")
        self.breaks()
        self.assertStale(self.get(X_Key="a"))
        self.assertBroken(self.get(X_Key="b"))

    def test_staleVary(self) -> None:
        self.proxy(None, STALE + ":stale-vary=X-Key")
        self.get(X_Key="a")
        self.breaks()
        self.assertStale(self.get(X_Key="a"))
        self.assertBroken(self.get(X_Key="b"))
        self.assertBroken(self.get())

    def test_tenantsByPool(self) -> None:
        """Where directors send tenants to pools of their own, nothing is said by Vary."""

        def tenant(inbound: InboundRequest, outbound: Any) -> Any:
            return inbound.headers.get("X-Team")

        other = FakeUpstream(body=b"other")
        self.proxy(None, [STALE, BREAKER], pools={"other": other}, director=tenant)
        self.get()
        self.breaks()
        other.refuse()
        self.assertStale(self.get())
        self.assertBroken(self.get(X_Team="other"), 503)

    def test_tenantsByPath(self) -> None:
        def tenant(inbound: InboundRequest, outbound: Any) -> None:
            outbound.path = b"/" + inbound.headers.get(b"x-team", b"none")

        self.proxy(director=tenant)
        self.get(X_Team="a")
        self.breaks()
        self.assertStale(self.get(X_Team="a"))
        self.assertBroken(self.get(X_Team="b"))

    def test_tenantsByHost(self) -> None:
        def tenant(inbound: InboundRequest, outbound: Any) -> None:
            outbound.host = inbound.headers.get("x-team", "none")

        self.proxy(director=tenant)
        self.get(X_Team="a")
        self.breaks()
        self.assertStale(self.get(X_Team="A"))
        self.assertBroken(self.get(X_Team="b"))

    def test_whatAProxyBeforeUsSaysOfTheAddress(self) -> None:
        """Applications make links, and choose tenants, by it, and say nothing of that by Vary."""
        self.proxy(settings={"trusted-proxies": "203.0.113.0/24"})
        one = {"X_Forwarded_Host": "one.example", "X_Forwarded_Prefix": "/a", "X_Forwarded_For": "10.0.0.1"}
        self.get(**one)
        self.breaks()
        self.assertStale(self.get(**{**one, "X_Forwarded_For": "10.0.0.2"}))
        for name, value in (("Host", "two.example"), ("Prefix", "/b"), ("Port", "8443"), ("Proto", "https")):
            self.assertBroken(self.get(**{**one, f"X_Forwarded_{name}": value}))

    def test_forwarded(self) -> None:
        """The same in RFC 7239's words."""
        words = {"trusted-proxies": "203.0.113.0/24", "read-forwarded": "yes", "forwarded": "yes", "x-forwarded": "no"}
        self.proxy(settings=words)
        self.get(Forwarded="for=10.0.0.1;host=one.example")
        self.breaks()
        self.assertStale(self.get(Forwarded='for="[2001:db8::1]";host=one.example'))
        self.assertBroken(self.get(Forwarded="for=10.0.0.1;host=two.example"))

    def test_hostsAndTargets(self) -> None:
        self.proxy()
        self.get("/?a=1", Host="one.example")
        self.breaks()
        self.assertStale(self.get("/?a=1", Host="ONE.example"))
        for path, host in (("/?a=2", "one.example"), ("/", "one.example"), ("/?a=1", "two.example")):
            self.assertBroken(self.get(path, Host=host))

    def test_whoMayNotPass(self) -> None:
        """What says so is asked, though the breaker before it is open; and where it cannot be asked, nobody gets anything."""

        @implementer(IMiddleware)
        class Door:
            kind = None

            def around(self, request: InboundRequest, proceed: Any) -> Any:
                if self.kind is not None:
                    raise ProxyError(self.kind)
                return proceed()

        door = Door()
        self.proxy(FakeUpstream().respond(200, body=b"good").respond(502), [STALE, BREAKER, door])
        for _ in range(4):
            self.assertEqual(self.get().body, b"good")
        for kind in (FORBIDDEN, AUTH_UNAVAILABLE):
            door.kind = kind  # type: ignore[assignment]
            self.assertBroken(self.get(), kind.status)
        door.kind = None
        self.assertStale(self.get())

    def test_routesHaveTheirOwn(self) -> None:
        """As each place of a plugin has."""
        one, other = (
            built(IMiddleware, STALE, reactor=MemoryNetwork()),
            built(IMiddleware, STALE, reactor=MemoryNetwork()),
        )
        self.assertIsNot(one.stale.store, other.stale.store)

    def test_whoeverWantsNoneGetsNone(self) -> None:
        self.proxy()
        self.get()
        self.breaks()
        for value in ("no-cache", "no-store", "max-stale=0"):
            self.harness.advance(1)
            self.assertBroken(self.get(Cache_Control=value))
        self.assertStale(self.get(Cache_Control="max-age=0"))

    def test_aChangeMakesItUntrue(self) -> None:
        """RFC 9111 section 4.4."""
        for method, status, isForgotten in (
            ("POST", 200, True),
            ("DELETE", 204, True),
            ("PURGE", 302, True),
            ("PUT", 409, False),
        ):
            self.proxy(FakeUpstream().respond(200, body=b"good").respond(status))
            self.get()
            self.harness.request(method, "/")
            self.breaks()
            (self.assertBroken if isForgotten else self.assertStale)(self.get())
