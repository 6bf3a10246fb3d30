"""L{twistproxy.middleware.mirror}: what is not copied, what is dropped, and what is told of it."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.logger import capturedLogs, formatEvent
from zope.interface import implementer

from tests.unit.builtin import PluginTestCase, asked
from tests.unit.mirroring.support import MirrorTestCase
from tests.unit.server.support import STREAMING, ResourceTestCase
from tests.unit.support import OK, chunked, get, post
from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.interfaces import IDirector, IMiddleware
from twistproxy.messages import InboundRequest, OutboundRequest, Response, Upstream
from twistproxy.middleware.mirror import Mirror
from twistproxy.mirroring.comparing import Answered
from twistproxy.testing import FakeUpstream
from twistproxy.upstream.group import UpstreamGroup

BIG = 300_000
"""Bytes of a body that no socket takes at once."""


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

    def test_nobodyThereForABodyThatADirectorMade(self) -> None:
        @implementer(IDirector)
        class Director:
            def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> None:
                outbound.body = b"another"

        harness = self.harness(director=Director())
        harness.upstream.refuse()
        self.assertEqual(harness.post("/", b"body").status, 502)
        self.assertEqual(([each.body for each in self.copies], self.mirror.allowance.held), ([b"another"], 0))

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

    def test_tooLongByItsOwnWord(self) -> None:
        """Nothing of it is kept in the first place."""
        harness = self.harness("max-body=10")
        harness.client.raw(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nbody")
        self.assertCounts(dropped={"too_long": 1})

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

    def test_aFaultOfOurs(self) -> None:
        """The original does not suffer from what goes wrong with its copy."""

        class Broken:
            def apply(self, headers: Any) -> None:
                raise ZeroDivisionError("ours")

        harness = self.harness(raiseErrors=False)
        self.patch(self.mirror, "_edits", Broken())
        for body in (b"", b"body", [b"one", b"two"]):
            answer = harness.post("/", body)
            self.assertEqual((answer.status, answer.body), (200, b"hello"))
        self.assertEqual([str(each) for each in harness.errors], ["ours"] * 3)
        harness.errors.clear()
        self.assertCounts(dropped={"internal": 3})

    def test_aCopyIsTriedOnce(self) -> None:
        """Nobody waits for it: a request more for the one that is well is not worth a storm of them."""
        second = FakeUpstream()
        harness = self.harness(shadow=[FakeUpstream(), second])
        harness.pools["shadow"][0].refuse()
        with capturedLogs() as logged:
            for _ in range(4):
                harness.get("/")
        self.assertCounts(sent=4, answered={"2xx": 2}, failed={"connect_refused": 2}, agreed=2)
        self.assertEqual((len(second.requests), len(logged)), (2, 1))

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


class TestStorm(MirrorTestCase):
    """Clients, upstreams and shadows of all moods."""

    def moody(self, random: Random) -> FakeUpstream:
        upstream = FakeUpstream()
        for mood in random.choices(range(10), k=40):
            if mood == 0:
                upstream.stall(reading=random.random() < 0.5)
            elif mood == 1:
                upstream.resetAfter(random.choice([0, 5, 40]))
            elif mood == 2:
                upstream.closeMidChunk()
            elif mood == 3:
                upstream.wait(random.random() * 4).respond(200, {}, b"x" * random.choice([0, 100_000]))
            elif mood == 4:
                upstream.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcdef")
            else:
                upstream.respond(random.choice([200, 404, 503]), {}, b"hello")
        return upstream

    def storm(self, seed: int) -> None:
        random = Random(seed)
        limits = random.choice(["max-body=1000", "max-memory=1KiB", "max-pending=2", "max-answer=10", "max-memory=300KiB"])
        other = self.moody(random)
        harness = self.harness(
            f"timeout=3s:{limits}", [self.moody(random) for _ in range(2)], inside=["fallback:pool=other:on=503"],
            pools={"other": other}, upstreams=[self.moody(random) for _ in range(2)],
            settings={"max-connections-per-upstream": random.choice([0, 2]), "upstream-timeout": "5s", "queue-timeout": "2s"},
        )  # fmt: skip
        bodies: dict[bytes, bytes] = {}
        for number in range(60):
            mood, target = random.random(), b"/%d" % number
            if mood < 0.7:
                body: Any = random.choice([b"", b"x" * 5, [b"a" * 400, b"b" * 400], b"z" * 150_000, [b"q" * 50_000] * 3])
                bodies[target] = b"".join(body) if isinstance(body, list) else body
                harness.connect()
                harness.request(random.choice(["GET", "POST", "PUT", "HEAD"]), target, {}, body)
            elif mood < 0.8:
                some = b"x" * random.randrange(900)
                harness.connect().raw(b"POST %b HTTP/1.1\r\nHost: a\r\nContent-Length: 900\r\n\r\n%b" % (target, some))
            elif mood < 0.9:
                random.choice(harness.clients or [harness.connect()]).abort()
            else:
                harness.advance(random.random() * 3)
        copies = [each for upstream in harness.pools["shadow"] for each in upstream.requests]
        # A kept connection that turns out to be dead has safe methods sent again, as those of originals.
        unsafe = [each.target for each in copies if each.method in (b"POST", b"PUT")]
        self.assertEqual(len(set(unsafe)), len(unsafe), "one was copied twice")
        for each in copies:
            # What is not complete is what a shadow did not read.
            self.assertTrue(bodies[each.target].startswith(each.body), each.target)
            self.assertTrue(not each.isComplete or each.body == bodies[each.target], each.target)
        for client in harness.clients:
            client.peer.abort()
        harness.advance(30)
        self.assertEqual((self.mirror.inFlight, self.mirror.allowance.held, len(harness.engine.errands)), (0, 0, 0))
        self.assertEqual(self.mirror.sent, self.mirror.answered.total() + self.mirror.failed.total())
        self.assertEqual([each.inFlight for each in harness.engine.groups["shadow"].members], [0, 0])

    def test_storms(self) -> None:
        for seed in range(8):
            self.storm(seed)


class TestStopping(MirrorTestCase):
    def test_copiesAreWaitedFor(self) -> None:
        """Whether their clients are there or not."""
        for isThere in (False, True):
            harness = self.harness(shadow=FakeUpstream().wait(3).respond(200))
            harness.get("/")
            if not isThere:
                harness.client.abort()
            done: list[object] = []
            harness.engine.drain().addCallback(done.append)
            harness.advance(2)
            self.assertEqual((done, self.mirror.inFlight, len(harness.engine.channels)), ([], 1, 0))
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


class TestReloading(MirrorTestCase):
    def test_aPoolThatLeaves(self) -> None:
        """What is under way there comes to its end, and nothing else begins."""
        harness = self.harness(shadow=FakeUpstream().wait(2).respond(200))
        harness.get("/1")
        engine = harness.engine
        engine.replace({"default": engine.groups["default"]}, engine.routeFor, ())
        harness.get("/2")
        harness.advance(2)
        self.assertCounts(sent=1, answered={"2xx": 1}, agreed=1, dropped={"no_healthy_upstream": 1})
        self.assertIsNot(self.shadow.peers[0].closed, None, "its connection is not kept")


class InASite:
    """In a site of twisted.web."""

    def test_bodies(self: Any) -> None:
        shadow = self.serve("10.0.1.1:80", OK)
        mirror = Mirror("shadow", maxBody=100)
        group = UpstreamGroup("shadow", RoundRobin(), [Upstream("http://10.0.1.1")])
        self.proxy(OK, middleware=[mirror])
        self.engine.groups["shadow"] = group
        chunks = get(b"/3", b"Transfer-Encoding: chunked", method=b"POST") + chunked(b"one", b"two")
        for data in (get(b"/1"), post(b"body"), chunks, post(b"x" * 101)):
            self.assertEqual(self.answerTo(data).code, 200)
        self.assertEqual([each.body for each in shadow.requests], [b"", b"body", b"onetwo"])
        self.assertEqual([each.target for each in shadow.requests], [each.target for each in self.origin.requests[:3]])
        self.assertEqual((mirror.answered, mirror.dropped, mirror.allowance.held), ({"2xx": 3}, {"too_long": 1}, 0))


class TestInAStockSite(InASite, ResourceTestCase):
    pass


class TestInAStreamingSite(InASite, ResourceTestCase):
    makeSite = staticmethod(STREAMING)


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


