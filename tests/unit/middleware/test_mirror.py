"""L{twistproxy.middleware.mirror}: what is copied, and that nobody else notices."""

from __future__ import annotations

import gc
import weakref
from typing import Any, ClassVar

from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.unit.builtin import PluginTestCase, asked
from twistproxy.interfaces import IBalancer, IDirector, IMiddleware
from twistproxy.messages import InboundRequest, OutboundRequest, Response
from twistproxy.middleware.mirror import Mirror
from twistproxy.mirroring import sending
from twistproxy.mirroring.comparing import Answered
from twistproxy.testing import FakeUpstream, ProxyHarness, ProxyTestMixin
from twistproxy.testing.recorded import RecordedRequest

BIG = 300_000
"""Bytes of a body that no socket takes at once."""


class MirrorTestCase(ProxyTestMixin, SynchronousTestCase):
    shadow: FakeUpstream
    mirror: Mirror

    def harness(
        self, options: str = "", shadow: FakeUpstream | None = None, *, inside: Any = (), **more: Any
    ) -> ProxyHarness:
        """@param inside: further middleware."""
        self.shadow = shadow or FakeUpstream(body=b"from the shadow")
        middleware = [f"mirror:pool=shadow{options and ':'}{options}", *([inside] if isinstance(inside, str) else inside)]
        pools = {"shadow": self.shadow, **more.pop("pools", {})}
        harness = self.proxyHarness(middleware=middleware, pools=pools, **more)
        self.mirror = harness.plugin("middleware")
        return harness

    @property
    def copies(self) -> list[RecordedRequest]:
        return self.shadow.requests

    def assertCounts(self, **counts: Any) -> None:
        """The figures; what is not named is 0."""
        found = {name: value for name, value in self.mirror.snapshot().items() if value and name != "pool"}
        self.assertEqual(found, counts)


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
            self.assertEqual(bool(self.mirror.failed), name != "answers", name)

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
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                harness.post("/", [b"a", b"b"])
                harness.get("/")
            left = [reference() for reference in kept if reference() is not None]
            self.assertEqual((len(kept), len(left)), (6, 0))
        finally:
            gc.enable()


class TestEndings(MirrorTestCase):
    """Which requests are copied that do not end well."""

    def test_nobodyThere(self) -> None:
        """They were meant for an upstream, and are copied: whole bodies that nobody took, too."""
        harness = self.harness()
        harness.upstream.refuse()
        for body in (b"", b"body", [b"one", b"two"]):
            self.assertEqual(harness.post("/", body).status, 502)
        self.assertEqual([each.body for each in self.copies], [b"", b"body", b"onetwo"])
        self.assertCounts(sent=3, answered={"2xx": 3})

    def test_theClientLeaves(self) -> None:
        """Before the answer: the request was complete, and its copy is sent."""
        harness = self.harness(upstream=FakeUpstream().stall())
        harness.post("/", b"body")
        self.assertEqual(self.copies, [])
        harness.client.abort()
        self.assertEqual([each.body for each in self.copies], [b"body"])

    def test_theClientLeavesMidway(self) -> None:
        """What is not complete is not copied."""
        harness = self.harness()
        harness.client.raw(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nbody")
        self.assertEqual(self.mirror.allowance.held, 4)
        harness.client.abort()
        self.assertEqual(self.copies, [])
        self.assertCounts(dropped={"incomplete": 1})

    def test_theClientLeavesAfterwards(self) -> None:
        harness = self.harness(shadow=FakeUpstream().wait(5).respond(200))
        harness.get("/")
        harness.client.abort()
        harness.advance(5)
        self.assertCounts(sent=1, answered={"2xx": 1}, agreed=1)

    def test_anEarlyAnswer(self) -> None:
        """The rest of the body came too late for it; of one that still comes, there is a copy."""
        head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n"
        harness = self.harness(upstream=FakeUpstream())
        harness.client.raw(head + b"body")
        harness.upstream.peers[0].send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel")
        harness.pump()
        self.assertEqual(self.copies, [])
        harness.client.raw(b" more")
        self.assertEqual([each.body for each in self.copies], [b"body more"])

    def test_answeredWithoutAnUpstream(self) -> None:
        harness = self.harness(inside="ip-filter:deny=203.0.113.9", director="redirect:/other")
        self.assertEqual(harness.get("/").status, 403)
        self.assertEqual(harness.get("/", client="203.0.113.8").status, 302)
        self.assertEqual(self.copies, [])
        self.assertCounts(dropped={"not_asked": 2})

    def test_refusedOutside(self) -> None:
        """What never comes to the mirror is not even of the share."""
        shadow = FakeUpstream()
        middleware = ["rate-limit:rate=0.01:burst=0", "mirror:pool=shadow:share=50%"]
        harness = self.proxyHarness(middleware=middleware, pools={"shadow": shadow})
        self.assertEqual([harness.get("/").status for _ in range(3)], [200, 429, 429])
        self.assertEqual(len(shadow.requests), 1)

    def test_retriesAreNotCopied(self) -> None:
        first, second = FakeUpstream().resetAfter(0), FakeUpstream(body=b"second")
        harness = self.harness(upstreams=[first, second])
        answer = harness.request("PUT", "/", body=[b"one", b"two"])
        harness.advance(1)
        self.assertEqual((answer.body, len(first.requests), len(second.requests)), (b"second", 1, 1))
        self.assertEqual([each.body for each in self.copies], [b"onetwo"])

    def test_aBackup(self) -> None:
        other = FakeUpstream(body=b"other")
        harness = self.harness(inside="fallback:pool=other:on=503", upstream=FakeUpstream(503), pools={"other": other})
        self.assertEqual(harness.request("PUT", "/", body=b"data").body, b"other")
        self.assertEqual([each.body for each in self.copies], [b"data"])

    def test_inAQueue(self) -> None:
        """A request that waits for its upstream in vain was not sent."""
        upstream = FakeUpstream().stall()
        harness = self.harness(upstream=upstream, settings={"max-connections-per-upstream": 1, "queue-timeout": "1s"})
        harness.get("/1")
        waiting = harness.get("/2")
        harness.advance(4)
        self.assertEqual(waiting.status, 503)
        self.assertEqual(self.mirror.dropped, {"not_asked": 1})


class TestLimits(MirrorTestCase):
    """What is dropped, counted, and told."""

    def test_tooLong(self) -> None:
        harness = self.harness("max-body=10")
        for body in (b"x" * 11, [b"x" * 6, b"y" * 5], b"x" * 10):
            self.assertEqual(harness.post("/", body).status, 200)
        self.assertEqual([each.body for each in self.copies], [b"x" * 10])
        self.assertCounts(sent=1, answered={"2xx": 1}, agreed=1, dropped={"too_long": 2})

    def test_tooLongAsADirectorMadeIt(self) -> None:
        @implementer(IDirector)
        class Director:
            def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> None:
                outbound.body = b"x" * 11

        harness = self.harness("max-body=10", director=Director())
        harness.get("/")
        self.assertCounts(dropped={"too_long": 1})

    def test_allTogether(self) -> None:
        """Bodies that are not sent yet count as well as those under way."""
        harness = self.harness("max-memory=10", shadow=FakeUpstream().stall())
        harness.client.raw(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n123456")
        slow = harness.client
        harness.connect()
        self.assertEqual(harness.post("/", b"12345").status, 200)
        self.assertEqual((self.mirror.dropped, self.mirror.allowance.held), ({"memory": 1}, 6))
        slow.raw(b"789")
        self.assertEqual((slow.answers[0].status, len(self.copies), self.mirror.allowance.held), (200, 1, 9))
        harness.post("/", b"12")
        self.assertEqual((self.mirror.dropped, self.mirror.allowance.held), ({"memory": 2}, 9))
        harness.advance(12)
        self.assertEqual(self.mirror.allowance.held, 0)

    def test_tooMany(self) -> None:
        harness = self.harness("max-pending=2", shadow=FakeUpstream().stall())
        for _ in range(5):
            self.assertEqual(harness.post("/", b"x").status, 200)
        self.assertCounts(inFlight=2, held=2, dropped={"busy": 3})
        harness.advance(12)
        self.assertCounts(sent=2, failed={"upstream_timeout": 2}, dropped={"busy": 3})
        harness.get("/")
        self.assertEqual(self.mirror.inFlight, 1)
        harness.advance(12)

    def test_aFullPool(self) -> None:
        harness = self.harness(shadow=FakeUpstream().stall(), settings={"max-connections-per-upstream": 2})
        for _ in range(5):
            self.assertEqual(harness.get("/").status, 200)
        self.assertCounts(inFlight=2, dropped={"queue_full": 3})
        harness.advance(12)

    def test_nobodyIsWell(self) -> None:
        harness = self.harness()
        harness.engine.groups["shadow"].setMembers([])
        harness.get("/")
        del harness.engine.groups["shadow"]
        harness.get("/")
        self.assertCounts(dropped={"no_healthy_upstream": 2})

    def test_longAnswers(self) -> None:
        """No more of an answer is read than wanted; the upstream has done its part."""
        harness = self.harness("max-answer=1KiB", shadow=FakeUpstream(404, body=b"x" * BIG))
        harness.get("/")
        self.assertCounts(sent=1, answered={"4xx": 1})
        self.assertIsNot(self.shadow.peers[0].closed, None)

    def test_outcomesAreThePools(self) -> None:
        """The mirror's balancer and checks learn what became of its copies."""
        harness = self.harness(shadow=FakeUpstream().stall())
        group = harness.engine.groups["shadow"]
        told: list[tuple[str, int]] = []
        self.patch(group, "report", lambda upstream, outcome: told.append((outcome.error, outcome.code)))
        harness.get("/")
        self.assertEqual((group.asked, group.members[0].inFlight), (1, 1))
        harness.advance(12)
        self.assertEqual((told, group.members[0].inFlight), ([("upstream_timeout", 0)], 0))
        self.assertEqual(harness.engine.groups["default"].members[0].inFlight, 0)

    def test_theLogTellsNowAndThen(self) -> None:
        harness = self.harness("max-body=1", shadow=FakeUpstream().resetAfter(0))
        with capturedLogs() as logged:
            for _ in range(3):
                harness.post("/", b"long")
                harness.get("/")
            harness.advance(11)
            harness.post("/", b"long")
        self.assertEqual([formatEvent(each) for each in logged], [
            "mirror: copies for pool shadow were lost: too_long 1",
            "mirror: copies for pool shadow were lost: too_long 3, upstream_reset 3",
        ])  # fmt: skip


class TestStopping(MirrorTestCase):
    def test_copiesAreWaitedFor(self) -> None:
        harness = self.harness(shadow=FakeUpstream().wait(3).respond(200))
        harness.get("/")
        harness.client.abort()
        done: list[object] = []
        harness.engine.drain().addCallback(done.append)
        harness.advance(2)
        self.assertEqual((done, self.mirror.inFlight), ([], 1))
        harness.advance(1)
        self.assertEqual((done, self.mirror.answered), ([None], {"2xx": 1}))

    def test_andCutAtTheLimit(self) -> None:
        harness = self.harness("timeout=60s", shadow=FakeUpstream().stall())
        harness.post("/", b"body")
        harness.client.abort()
        draining = harness.engine.drain()
        draining.addErrback(lambda failure: None)
        harness.advance(5)
        draining.cancel()
        self.assertCounts(sent=1, failed={"draining": 1})
        self.assertEqual(len(harness.engine.errands), 0)

    def test_whatDidNotBeginYet(self) -> None:
        harness = self.harness()
        copies: list[Any] = []
        around = self.mirror.around

        def stopped(request: InboundRequest, proceed: Any) -> Any:
            def cut(response: Response) -> Response:
                copies.extend(harness.engine.errands)
                for each in copies:
                    each.abort()
                return response

            return around(request, proceed).addCallback(cut)

        self.patch(self.mirror, "around", stopped)
        self.assertEqual(harness.get("/").status, 200)
        self.assertEqual((len(copies), self.copies), (1, []))
        self.assertCounts(dropped={"draining": 1})


compared: list[tuple[InboundRequest, Answered, Answered]] = []


def compare(request: InboundRequest, original: Answered, copy: Answered) -> None:
    compared.append((request, original, copy))
    if request.path == b"/raise":
        raise ValueError("ours")


class TestComparing(MirrorTestCase):
    def setUp(self) -> None:
        compared.clear()

    def test_both(self) -> None:
        shadow = FakeUpstream().wait(2).respond(404, {"X-Version": "2"}).resetAfter(0)
        harness = self.harness(f"compare={__name__}.compare", shadow, upstream=FakeUpstream(200, {"X-Version": "1"}).wait(1))
        for path in ("/a", "/b"):
            harness.get(path)
            harness.advance(4)
        (request, original, copy), (_, _, lost) = compared
        self.assertEqual((request.path, original.code, copy.code), (b"/a", 200, 404))
        assert original.headers is not None and copy.headers is not None
        self.assertEqual((original.headers.get("X-Version"), copy.headers.get("X-Version")), ("1", "2"))
        self.assertEqual((original.time, copy.time), (1, 2))
        self.assertEqual((lost.code, lost.headers, lost.time, lost.reason), (0, None, None, "upstream_reset"))
        self.assertCounts(sent=2, answered={"4xx": 1}, failed={"upstream_reset": 1})

    def test_itFails(self) -> None:
        harness = self.harness(f"compare={__name__}.compare", raiseErrors=False)
        self.assertEqual(harness.get("/raise").status, 200)
        self.assertEqual([str(each) for each in harness.errors], ["ours"])
        harness.errors.clear()
        self.assertCounts(sent=1, answered={"2xx": 1}, agreed=1)


class TestMistakes(PluginTestCase):
    interface = IMiddleware

    def test_mistakes(self) -> None:
        pools = ("default", "shadow")
        for options, problem in [
            ("pool=shadwo", "there is no pool 'shadwo'; did you mean 'shadow'?"),
            ("pool=shadow:max-pending=0", "max-pending is 1 or more"),
            ("pool=shadow:timeout=0s", "timeout is more than 0"),
            ("pool=shadow:key=client:seed=1", "key and seed: choose one"),
            ("pool=shadow:methods=G T", "methods: 'G T' is not a method"),
            ("pool=shadow:remove=Content-Length",
             "remove: Content-Length is the proxy's own: it frames the message or belongs to one connection"),
        ]:  # fmt: skip
            self.refuses(f"mirror:{options}", f"mirror: {problem}", pools=pools)

    def test_outsideOfAProxy(self) -> None:
        """A request that no proxy got is let through."""
        mirror = self.build("mirror:pool=shadow", pools=("shadow",))
        self.assertIs(mirror.around(asked(), lambda: "an answer"), "an answer")


