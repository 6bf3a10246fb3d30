"""L{twistproxy.middleware.mirror}: what is copied, and that nobody else notices."""

from __future__ import annotations

import weakref
from typing import Any, ClassVar

from zope.interface import implementer

from tests.unit.builtin import asked
from tests.unit.mirroring.support import MirrorTestCase
from tests.unit.support import uncollected
from twistproxy.headeredits import OwnHeaders
from twistproxy.interfaces import IBalancer, IDirector
from twistproxy.messages import InboundRequest, OutboundRequest
from twistproxy.middleware.mirror import Mirror
from twistproxy.mirroring import sending
from twistproxy.testing import FakeUpstream, ProxyHarness

BIG = 300_000
"""Bytes of a body that no socket takes at once."""


class TestCopies(MirrorTestCase):
    """What a copy is."""

    def assertSame(self, harness: ProxyHarness, *but: str) -> None:
        """The copy is what the upstream got, apart from these headers."""
        sent, copy = harness.upstream.requests[-1], self.copies[-1]
        self.assertEqual((copy.start, copy.body, copy.isComplete, copy.isChunked), (sent.start, sent.body, True, sent.isChunked))
        self.assertEqual(copy.trailers.items, sent.trailers.items)
        lines = [[item for item in each.headers.items if item[1].decode() not in but] for each in (copy, sent)]
        self.assertEqual(sorted(lines[0]), sorted(lines[1]))

    def test_theSameRequest(self) -> None:
        harness = self.harness()
        headers = {"Cookie": "sid=1", "Connection": "X-Hop", "X-Hop": "1", "X-Forwarded-For": "9.9.9.9"}
        answer = harness.get("/a%2Fb?c=%20", headers)
        self.assertEqual((answer.status, answer.body), (200, b"hello"))
        self.assertSame(harness)
        self.assertEqual(self.copies[0].headers.get("X-Forwarded-For"), "203.0.113.9")
        self.assertFalse(self.copies[0].headers.hasHeader("X-Hop"))
        self.assertCounts(sent=1, answered={"2xx": 1}, agreed=1)

    def test_bodies(self) -> None:
        harness = self.harness()
        for method, headers, body in [
            ("POST", {}, b"body"),
            ("POST", {}, b""),
            ("PUT", {}, [b"one", b"two"]),
            ("PUT", {}, []),
            ("POST", {}, b"x" * BIG),
            ("POST", {"TE": "trailers", "Connection": "TE"}, [b"x" * BIG, b"y"]),
            ("DELETE", {}, b"unusual"),
            ("GET", {}, b""),
            ("HEAD", {}, b""),
            ("OPTIONS", {}, b""),
        ]:
            harness.request(method, "/", headers, body)
            self.assertSame(harness)
        self.assertEqual(len(self.copies), 10)
        self.assertEqual((self.mirror.allowance.held, len(self.shadow.peers)), (0, 1))

    def test_trailers(self) -> None:
        harness = self.harness()
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
        harness.client.raw(head + b"3\r\nabc\r\n")
        self.assertEqual(self.copies, [])
        harness.client.raw(b"0\r\nX-Sum: 7\r\n\r\n")
        self.assertSame(harness)
        self.assertEqual(self.copies[0].trailers.get("X-Sum"), "7")
        self.assertEqual(self.copies[0].headers.get("Trailer"), "X-Sum")

    def test_trailersThatNoClientMaySay(self) -> None:
        """As the upstream does not get them."""

        @implementer(IDirector)
        class Director:
            def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> None:
                OwnHeaders(["X-User"]).take(inbound)

        harness = self.harness(director=Director())
        head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        harness.client.raw(head + b"0\r\nX-User: root\r\nX-Sum: 7\r\n\r\n")
        self.assertSame(harness)
        self.assertFalse(self.copies[0].trailers.hasHeader("X-User"))

    def test_whatTheClientWaitsFor(self) -> None:
        """The copy is sent when all is here: nobody need be asked whether a body is wanted."""
        harness = self.harness(upstream=FakeUpstream().inform(100).respond(200))
        came = harness.client.raw(b"POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n")
        self.assertIn(b"HTTP/1.1 100", came)
        harness.client.raw(b"body")
        self.assertSame(harness, "Expect")
        self.assertEqual(harness.upstream.requests[0].headers.get("Expect"), "100-continue")
        self.assertFalse(self.copies[0].headers.hasHeader("Expect"))

    def test_asDirectorsLeftIt(self) -> None:
        """Also what comes after the mirror: its copy is of what the upstream got."""

        @implementer(IDirector)
        class Director:
            def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> None:
                outbound.headers.setRawHeaders("X-Tenant", ["blue"])
                outbound.headers.setRawHeaders("Content-Length", ["999"])
                outbound.host = "tenant.example"
                outbound.path = b"/tenant" + outbound.path
                outbound.method = b"PUT"

        harness = self.harness(director=[Director(), "strip-prefix:/tenant/api"])
        harness.post("/api/x", b"body")
        self.assertSame(harness)
        copy = self.copies[0]
        self.assertEqual((copy.method, copy.target, copy.headers.get("Host")), (b"PUT", b"/x", "tenant.example"))
        self.assertEqual(copy.headers.get("Content-Length"), "4")

    def test_aBodyThatADirectorMade(self) -> None:
        @implementer(IDirector)
        class Director:
            async def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> None:
                if inbound.path == b"/read":
                    await inbound.body.read(100)
                else:
                    outbound.body = b"another one"

        harness = self.harness(director=Director())
        for path, body in (("/read", b"body"), ("/read", [b"bo", b"dy"]), ("/other", b"body"), ("/other", b"")):
            harness.post(path, body)
            self.assertSame(harness)
        self.assertEqual([each.body for each in self.copies], [b"body", b"body", b"another one", b"another one"])
        self.assertEqual(self.mirror.allowance.held, 0)

    def test_itsOwnHeaders(self) -> None:
        harness = self.harness("set=X-Copy=yes,host=shadow.example:remove=Authorization,X-Secret-*")
        harness.get("/", {"Authorization": "Basic x", "X-Secret-A": "1", "X-Copy": "no"})
        self.assertEqual(
            [self.copies[0].headers.get(name) for name in ("X-Copy", "Host", "Authorization", "X-Secret-A")],
            ["yes", "shadow.example", None, None],
        )
        sent = harness.upstream.requests[0].headers
        self.assertEqual([sent.get(name) for name in ("X-Copy", "Host", "Authorization")], ["no", "app.example", "Basic x"])

    def test_onlyItsMethods(self) -> None:
        harness = self.harness("methods=GET,PUT")
        for method in ("GET", "POST", "PUT", "DELETE"):
            harness.request(method, "/")
        self.assertEqual([each.method for each in self.copies], [b"GET", b"PUT"])

    def test_upgradesAreNotCopied(self) -> None:
        harness = self.harness("share=50%", upstream=FakeUpstream().upgrade())
        tunnel = harness.websocket()
        self.assertEqual(tunnel.send(b"ping"), b"ping")
        self.assertEqual((self.copies, self.mirror.snapshot()["dropped"]), ([], {}))
        self.assertTrue(self.mirror._mayBeCopied(asked(b"/", (b"Upgrade", b"h2c"))))
        self.assertFalse(self.mirror._mayBeCopied(asked(b"/", (b"Upgrade", b"h2c, websocket"))))
        self.assertFalse(self.mirror._mayBeCopied(asked(b"a:1", method=b"CONNECT")))

    def test_aShare(self) -> None:
        harness = self.harness("share=25%")
        for number in range(8):
            harness.get(f"/{number}")
        self.assertEqual([each.target for each in self.copies], [b"/0", b"/4"])

    def test_twoMirrors(self) -> None:
        other = FakeUpstream()
        harness = self.harness(inside="mirror:pool=other:max-body=3", pools={"other": other})
        for body in ([b"a", b"b"], [b"long", b"er"], b"abc"):
            harness.post("/", body)
        self.assertEqual([each.body for each in self.copies], [b"ab", b"longer", b"abc"])
        self.assertEqual([each.body for each in other.requests], [b"ab", b"abc"])
        self.assertEqual([each.body for each in harness.upstream.requests], [b"ab", b"longer", b"abc"])

    def test_inAProgram(self) -> None:
        """Without a configuration behind it."""
        shadow = FakeUpstream()
        with ProxyHarness(middleware=Mirror("shadow"), pools={"shadow": shadow}) as harness:
            harness.get("/")
        self.assertEqual(len(shadow.requests), 1)


class TestPrimary(MirrorTestCase):
    """The original is answered as if there were no mirror."""

    shadows: ClassVar[dict[str, Any]] = {
        "answers": lambda: FakeUpstream(),
        "stalls": lambda: FakeUpstream().stall(),
        "reads nothing": lambda: FakeUpstream().stall(reading=False),
        "resets": lambda: FakeUpstream().resetAfter(0),
        "breaks off": lambda: FakeUpstream().closeMidChunk(),
        "nonsense": lambda: FakeUpstream().raw(b"nonsense\r\n\r\n", close=True),
        "an answer without end": lambda: FakeUpstream().events(["x" * 100] * 1000, 1),
        "switches": lambda: FakeUpstream().raw(b"HTTP/1.1 101 Fine\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\nab"),
        "1xx without end": lambda: FakeUpstream().raw(b"HTTP/1.1 103 x\r\n\r\n" * 1000),
        "refuses": lambda: FakeUpstream(),
        "vanishes": lambda: FakeUpstream(),
    }

    reasons: ClassVar[dict[str, set[str]]] = {
        "stalls": {"upstream_timeout"},
        "reads nothing": {"upstream_timeout"},
        "resets": {"upstream_reset"},
        "breaks off": {"upstream_closed"},
        "nonsense": {"upstream_protocol_error"},
        "an answer without end": {"upstream_timeout"},
        "switches": {"upstream_protocol_error"},
        "1xx without end": {"upstream_protocol_error"},
        "refuses": {"connect_refused"},
        "vanishes": {"connect_timeout"},
    }

    def test_whateverTheShadowDoes(self) -> None:
        """Each exchange takes what it takes without a mirror: no time at all; and is over, memory included, in bounded time."""
        bodies: list[Any] = [b"", b"body", b"x" * BIG, [b"x" * BIG, b"y" * BIG], b"z" * BIG]
        for name, make in self.shadows.items():
            harness = self.harness(shadow=make())
            if name == "refuses":
                self.shadow.refuse()
            elif name == "vanishes":
                self.shadow.vanish()
            before = harness.network.seconds()
            for body in bodies:
                answer = harness.post("/", body)
                self.assertEqual((answer.status, answer.body, answer.isComplete), (200, b"hello", True), name)
            self.assertEqual(harness.network.seconds(), before)
            sent = [each.body for each in harness.upstream.requests]
            self.assertEqual(sent, [b"".join(each) if isinstance(each, list) else each for each in bodies], name)
            self.assertEqual(harness.engine.inFlight, 0)
            harness.advance(12.5)
            self.assertEqual((self.mirror.inFlight, self.mirror.allowance.held, len(harness.engine.errands)), (0, 0, 0), name)
            (upstream,) = harness.engine.groups["shadow"].members
            self.assertEqual(upstream.inFlight, 0, name)
            self.assertEqual(self.mirror.sent, len(bodies), name)
            self.assertEqual(self.mirror.answered.total() + self.mirror.failed.total(), len(bodies), name)
            self.assertEqual(set(self.mirror.failed), self.reasons.get(name, set()), name)

    def test_aSlowOriginal(self) -> None:
        """The mirror's buffers are not what its own reading follows: backpressure is between client and upstream alone."""
        harness = self.harness("max-body=10MiB", upstream=FakeUpstream().stall(reading=False))
        size = 4 << 20
        harness.client.raw(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size + b"x" * size)
        self.assertLess(self.mirror.allowance.held, 1 << 20)
        self.assertGreater(self.mirror.allowance.held, 0)
        harness.upstream.peers[0].abort()
        harness.pump()
        self.assertCounts(dropped={"incomplete": 1})

    def test_theAnswerIsNotTouched(self) -> None:
        """Sticky cookies, backups and the like of the one are nothing to the other."""
        harness = self.harness(
            inside="fallback:pool=other:on=502-504", shadow=FakeUpstream(503), pools={"other": FakeUpstream(body=b"backup")}
        )
        answer = harness.get("/")
        self.assertEqual((answer.status, answer.body), (200, b"hello"))
        self.assertEqual(harness.pools["other"][0].requests, [], "the copy has no backup")
        self.assertCounts(sent=1, answered={"5xx": 1})

    def test_stateIsNotShared(self) -> None:
        harness = self.harness(balancer="sticky-cookie", upstreams=[FakeUpstream(), FakeUpstream()])
        seen: list[InboundRequest] = []
        group = harness.engine.groups["shadow"]

        @implementer(IBalancer)
        class Noting:
            def pick(self, request: InboundRequest, candidates: Any) -> Any:
                seen.append(request)
                request.state["mine"] = True
                return candidates[0]

            def report(self, upstream: Any, outcome: Any) -> None:
                pass

            def upstreamsChanged(self, upstreams: Any) -> None:
                pass

        group.balancer = Noting()
        kept: list[InboundRequest] = []
        around = self.mirror.around
        self.patch(self.mirror, "around", lambda request, proceed: (kept.append(request), around(request, proceed))[1])
        answer = harness.get("/")
        self.assertEqual(len(answer.headers.getRawHeaders("Set-Cookie")), 1)
        (original,), (copy,) = kept, seen
        self.assertEqual((copy.id, copy.client, copy.target), (original.id, original.client, original.target))
        self.assertNotIn("mine", original.state)

    def test_withOthers(self) -> None:
        """Outside and inside of other middleware, whatever that does to bodies and time."""
        others = [
            "bandwidth-limit:upload=1KiB", "bandwidth-limit:rate=1KiB", "chaos:latency=1s:seed=1", "compress:min-size=1",
            "concurrency-limit:max=1", "circuit-breaker", "fallback:sorry:stale=1m", "statistics", "request-id",
            "mirror:pool=other",
        ]  # fmt: skip
        for other in others:
            for middleware in (["mirror:pool=shadow", other], [other, "mirror:pool=shadow"]):
                shadow, upstream = FakeUpstream(), FakeUpstream(200, {"Content-Type": "text/plain"}, b"y" * 3000)
                pools = {"shadow": shadow, "other": FakeUpstream()}
                harness = self.proxyHarness(middleware=middleware, pools=pools, upstream=upstream)
                for body in ([b"x" * 1000] * 3, b""):
                    answer = harness.request("PUT", "/", {"Accept-Encoding": "gzip"}, body)
                    harness.advance(9)
                    self.assertEqual((answer.status, answer.isComplete), (200, True), middleware)
                self.assertEqual([each.body for each in shadow.requests], [b"x" * 3000, b""], middleware)
                self.assertEqual([each.body for each in upstream.requests], [b"x" * 3000, b""], middleware)

    def test_aSlowedUpload(self) -> None:
        """The mirror has it as soon as it came in, and the upstream when its turn comes: the copy waits for that."""
        harness = self.harness(inside="bandwidth-limit:upload=1KiB:burst=1KiB")
        answer = harness.post("/", b"x" * 4096)
        harness.advance(2)
        self.assertEqual((answer.status, self.copies, self.mirror.allowance.held), (0, [], 4096))
        harness.advance(2)
        self.assertEqual((answer.status, [len(each.body) for each in self.copies]), (200, [4096]))

    def test_pipelined(self) -> None:
        harness = self.harness(shadow=FakeUpstream().stall())
        harness.client.raw(b"GET /1 HTTP/1.1\r\nHost: a\r\n\r\nGET /2 HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual([each.body for each in harness.client.answers], [b"hello", b"hello"])
        self.assertEqual([each.target for each in self.copies], [b"/1", b"/2"])
        harness.advance(12)

    def test_itBeginsAfterTheAnswer(self) -> None:
        """The copy waits until the upstream has answered, not for the end of the answer."""
        harness = self.harness(upstream=FakeUpstream().wait(3).events(["a", "b"], 5))
        answer = harness.get("/")
        self.assertEqual(self.copies, [])
        harness.advance(3)
        self.assertEqual((len(self.copies), answer.status, answer.isComplete), (1, 200, False))
        harness.advance(10)
        self.assertEqual((len(self.copies), answer.isComplete), (1, True))

    def test_nothingIsKept(self) -> None:
        """Original and copy are freed when they are over, without the garbage collector."""
        kept: list[Any] = []
        init = sending.Copy.__init__

        def watched(made: sending.Copy, *arguments: Any) -> None:
            kept.append(weakref.ref(made))
            init(made, *arguments)

        self.patch(sending.Copy, "__init__", watched)
        harness = self.harness()
        with uncollected():
            for _ in range(3):
                harness.post("/", [b"a", b"b"])
                harness.get("/")
            left = [reference() for reference in kept if reference() is not None]
            self.assertEqual((len(kept), len(left)), (6, 0))
