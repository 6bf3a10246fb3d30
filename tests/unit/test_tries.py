"""Several tries of one request: what is sent again, how long it may take, how often, and what is told about it."""

from __future__ import annotations

import json
import weakref
from typing import Any

from zope.interface import implementer

from tests.unit.support import OK, SWITCHED, WEBSOCKET, ProxyTestCase, answer, chunked, director, get, head, post, uncollected
from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.errors import TLS_FAILURE, ProxyError
from twistproxy.exchange import exchange
from twistproxy.exchange.retrying import RetryRule
from twistproxy.interfaces import IExplainingBalancer
from twistproxy.logs.accesslog import Recording, jsonLine, recordOf
from twistproxy.messages import OutboundRequest, Upstream
from twistproxy.settings import Settings
from twistproxy.testing import RawPeer
from twistproxy.upstream.group import Administrative, UpstreamGroup
from twistproxy.upstream.pool import ConnectionPool, Ticket

BUSY = answer(b"busy", status=b"503 Service Unavailable")
KEY = b"Idempotency-Key: 1"


def gone(peer: RawPeer, request: object) -> None:
    """The connection breaks."""
    peer.abort()


class TriesTestCase(ProxyTestCase):
    def told(self, number: int = -1) -> list[dict[str, Any]]:
        """The tries of an exchange, as the access log has them."""
        record = recordOf(self.accessLog.exchanges[number], self.network.seconds())
        tries: list[dict[str, Any]] = json.loads(jsonLine(record))["tries"]
        return tries

    def short(self) -> list[tuple[str, int, str, str, str]]:
        """The same, without what is measured: where, status, reason, decision, why."""
        names = ("upstream", "status", "reason", "decision", "because")
        return [tuple(each[name] for name in names) for each in self.told()]  # type: ignore[misc]


class TestSendingAgain(TriesTestCase):
    def test_aBodyThatWasKept(self) -> None:
        body = bytes(range(256)) * 100
        data = get(b"/", b"Transfer-Encoding: chunked", method=b"PUT") + chunked(body[:9], body[9:], trailers=[b"X-T: 1"])
        for request in (post(body, method=b"PUT"), data):
            self.proxy(gone, OK)
            client = self.ask(request)
            self.network.advance(0.025)
            self.assertEqual(client.answer(b"PUT").code, 200)
            self.assertEqual(self.origins[1].request.body, body)
            self.assertEqual(self.origins[1].request.trailers, self.origin.request.trailers)
            self.assertEqual([each.bytesIn for each in self.balancer.outcomes], [len(body)] * 2)
            self.tearDown()
            self.setUp()

    def test_aBodyThatIsNotThereYet(self) -> None:
        """The first upstream goes in the middle of an upload: what came is sent to the next, and the rest behind it."""
        self.proxy(None, OK)
        client = self.ask(post(b"0123456789", method=b"PUT")[:-5])
        self.origin.peer.abort()
        self.network.pump()
        client.send(b"567")
        self.network.advance(0.025)
        client.send(b"89")
        self.assertEqual(self.origins[1].request.body, b"0123456789")
        self.assertEqual(client.answer(b"PUT").code, 200)

    def test_aBodyThatIsTooLong(self) -> None:
        self.proxy(gone, OK, settings={"maxReplayBytes": 1000})
        client = self.ask(post(b"x" * 1001, method=b"PUT"))
        self.network.advance(1)
        self.assertEqual(client.answer(b"PUT").code, 502)
        self.assertEqual(self.short()[0][3:], ("give up", "upstream_reset, but its body was not kept, or not all of it"))

    def test_aBodyThatADirectorReadOrAssigned(self) -> None:
        async def read(inbound: Any, outbound: OutboundRequest) -> None:
            await inbound.body.read(10_000_000)

        def assign(inbound: Any, outbound: OutboundRequest) -> None:
            outbound.body = b"y" * 5000

        for direct, sent in ((read, b"x" * 5000), (assign, b"y" * 5000)):
            self.proxy(gone, OK, directors=[director(direct)], settings={"maxReplayBytes": 1000})
            client = self.ask(post(b"x" * 5000, method=b"PUT"))
            self.network.advance(0.025)
            self.assertEqual(client.answer(b"PUT").code, 200)
            self.assertEqual(self.origins[1].request.body, sent)
            self.tearDown()
            self.setUp()

    def test_nothingIsKeptOfWhatMayNotBeSentTwice(self) -> None:
        self.proxy(None)
        self.ask(post(b"0123456789")[:-5])
        (channel,) = self.engine.channels
        self.assertFalse(channel._exchange._asking._body.isKept)  # type: ignore[attr-defined]

    def test_byStatus(self) -> None:
        self.proxy(BUSY, OK, retryPolicy=RetryRule("503"))
        client = self.ask(post(b"body", method=b"PUT"))
        self.network.advance(0.025)
        self.assertEqual((client.answer(b"PUT").code, self.origins[1].request.body), (200, b"body"))
        self.assertEqual(
            self.short(),
            [("http://10.0.0.1", 503, "", "retry", "status 503"), ("http://10.0.0.2", 200, "", "commit", "")],
        )

    def test_byStatusInTheMiddleOfAnUpload(self) -> None:
        self.proxy(None, OK, retryPolicy=RetryRule("503"))
        client = self.ask(post(b"0123456789", method=b"PUT")[:-5])
        self.send(self.origin.peer, BUSY)
        self.network.advance(0.025)
        client.send(b"56789")
        self.assertEqual((client.answer(b"PUT").code, self.origins[1].request.body), (200, b"0123456789"))

    def test_byStatusOnlyWhatMayBe(self) -> None:
        self.proxy(BUSY, OK, retryPolicy=RetryRule("503"))
        client = self.ask(post(b"body"))
        self.assertEqual((client.answer(b"POST").code, client.answer(b"POST").body), (503, b"busy"))
        self.assertEqual(self.short()[0][3:], ("commit", "status 503, but POST may not be sent twice"))

    def test_aPostIfThePolicySaysSo(self) -> None:
        self.proxy(BUSY, OK, retryPolicy=RetryRule("503", "any"))
        client = self.ask(post(b"body"))
        self.network.advance(0.025)
        self.assertEqual((client.answer(b"POST").code, self.origins[1].request.body), (200, b"body"))

    def test_theLastAnswerIsTheAnswer(self) -> None:
        """Edge-case 12."""
        self.proxy(BUSY, BUSY, retryPolicy=RetryRule("503"))
        client = self.ask(get())
        self.network.advance(0.25)
        self.assertEqual((client.answer().code, client.answer().body), (503, b"busy"))
        self.assertEqual(self.short()[1][3:], ("commit", "status 503, but no other upstream is left"))

    def test_aPolicyThatSeesNoAnswersCostsNone(self) -> None:
        self.proxy(OK, retryPolicy=RetryRule("connect"))
        self.assertFalse(self.engine.routeFor(None).touchesResponses)  # type: ignore[arg-type,union-attr]
        self.assertEqual(self.answerTo(get()).code, 200)

    def test_aClientThatLeavesDuringTheWait(self) -> None:
        self.proxy(gone, OK, retryPolicy=RetryRule("reset", backoff=100, maxBackoff=100))
        self.ask(get()).abort()
        self.network.pump()
        self.assertEqual(self.accessLog.lines, [(499, "client_closed")])
        self.checkNothingRuns()

    def test_aDirectorsChoiceIsFinal(self) -> None:
        choose = director(lambda inbound, outbound: Upstream("http://10.0.0.1"))
        self.proxy(gone, OK, directors=[choose])
        self.assertEqual(self.answerTo(get()).code, 502)
        self.assertEqual(self.short()[0][4], "upstream_reset, but a director chose the upstream")


    def test_manyThatFailAtOnce(self) -> None:
        """As for want of a certificate: none of their failures comes within that of another."""

        def refuse(pool: ConnectionPool, ticket: Ticket) -> None:
            waiter = ticket.waiter
            pool.total -= 1
            assert waiter is not None
            waiter.connectionFailed(ProxyError(TLS_FAILURE, "no certificate"))

        self.patch(ConnectionPool, "open", refuse)
        self.proxy(urls=[f"http://10.0.{at // 250}.{at % 250}" for at in range(1000)])
        self.assertEqual(self.answerTo(get()).code, 502)
        self.assertEqual(self.accessLog.exchanges[0].attempts, 1000)


class TestTime(TriesTestCase):
    def test_eachTry(self) -> None:
        self.proxy(None, OK, settings={"tryTimeout": 0.5})
        client = self.ask(get())
        self.network.advance(0.49)
        self.assertEqual(client.received, b"")
        self.network.advance(0.02)
        self.network.advance(0.025)
        self.assertEqual(client.answer().code, 200)
        self.assertEqual([each[2:4] for each in self.short()], [("try_timeout", "retry"), ("", "")])
        self.assertTrue(self.origin.peer.closed is not None or self.origin.peer.eof)

    def test_eachTryToConnect(self) -> None:
        self.proxy(OK, OK, settings={"tryTimeout": 0.5})
        self.network.blackHole("10.0.0.1:80")
        client = self.ask(post(b"body", method=b"PUT"))
        self.network.advance(0.5)
        self.network.advance(0.025)
        self.assertEqual(client.answer(b"PUT").code, 200)

    def test_aTryThatTakesTooLongIsNotRepeatedIfThatMayDoHarm(self) -> None:
        self.proxy(None, OK, settings={"tryTimeout": 0.5})
        client = self.ask(post(b"body"))
        self.network.advance(0.5)
        self.assertEqual(client.answer(b"POST").code, 504)
        self.assertEqual(self.short()[0][3:], ("give up", "try_timeout, but POST may not be sent twice"))

    def test_theAnswersBodyMayTakeLonger(self) -> None:
        for script in (head(b"Content-Length: 4"), head(b"Content-Length: 4", status=b"101 x")):
            self.proxy(script, settings={"tryTimeout": 0.5, "triesTimeout": 1})
            client = self.ask(get())
            self.network.advance(3)
            self.send(self.origin.peer, b"late")
            self.assertTrue(client.received.endswith(b"late") or b" 502 " in client.received)
            self.tearDown()
            self.setUp()

    def test_allTriesTogether(self) -> None:
        self.proxy(None, None, None, settings={"tryTimeout": 0.5, "triesTimeout": 0.8})
        client = self.ask(get())
        self.network.advance(0.5)
        self.network.advance(0.025)
        self.assertEqual(client.received, b"")
        self.network.advance(0.28)
        self.assertEqual(client.answer().code, 504)
        self.assertEqual(sum(len(origin.requests) for origin in self.origins), 2)
        self.assertEqual(self.short()[1][2:], ("try_timeout", "give up", "try_timeout, but tries-timeout has passed"))

    def test_theQueueIsPartOfIt(self) -> None:
        self.proxy(None, settings={"triesTimeout": 2, "maxConnectionsPerUpstream": 1, "upstreamHeadTimeout": 60})
        first = self.ask(get())
        second = self.ask(get())
        self.seconds(4)
        self.assertEqual((first.answer().code, second.answer().code), (504, 504))
        self.assertEqual(len(self.origin.requests), 1)

    def test_roundTrippers(self) -> None:
        from twisted.internet.defer import Deferred

        from tests.unit.test_policies import Tripper

        self.proxy(OK, roundTripper=Tripper(Deferred()), settings={"tryTimeout": 0.5})
        client = self.ask(get())
        self.network.advance(0.5)
        self.assertEqual(client.answer().code, 504)


class TestBudget(TriesTestCase):
    def test_aStorm(self) -> None:
        """All upstreams break every connection: so many requests are sent a second time, and no more."""
        settings = {"retryBudget": 20, "retryBudgetMin": 1}
        self.proxy(gone, gone, retryPolicy=RetryRule("reset", backoff=0), settings=settings)
        self.assertEqual({self.answerTo(get()).code for _ in range(100)}, {502})
        sent = sum(len(origin.requests) for origin in self.origins)
        self.assertEqual(sent, 100 + 10 + 99 * 20 // 100, "the first one earns nothing: it is only counted from")
        self.assertEqual(self.short()[0][4], "upstream_reset, but the retry budget is used up")
        self.assertEqual(self.engine.groups["default"].asked, 100)

    def test_allThatRunsAtOneThatIsKilled(self) -> None:
        self.proxy(None, OK)
        clients = [self.ask(get()) for _ in range(40)]
        for peer in self.origin.peers:
            peer.abort()
        self.network.failConnections("10.0.0.1:80")
        self.network.pump()
        self.network.advance(0.025)
        self.assertEqual({client.answer().code for client in clients}, {200})

    def test_failedConnectionsAreFree(self) -> None:
        self.proxy(OK, OK, settings={"retryBudget": 0, "retryBudgetMin": 0})
        self.network.failConnections("10.0.0.1:80")
        self.assertEqual({self.answerTo(get()).code for _ in range(20)}, {200})


class TestRoom(TriesTestCase):
    """max-conns of upstreams: whoever has room first."""

    def limited(self, *limits: int, **settings: Any) -> None:
        urls = [Upstream(f"http://10.0.0.{at}", maxConnections=limit) for at, limit in enumerate(limits, 1)]
        self.proxy(*[None] * len(limits), urls=urls, settings=settings)

    def targets(self, number: int) -> list[bytes]:
        return [request.target for request in self.origins[number - 1].requests]

    def test_whoIsFullIsNoCandidate(self) -> None:
        self.limited(1, 3)
        for at in range(4):
            self.ask(get(b"/%d" % at))
        self.assertEqual((self.targets(1), self.targets(2)), ([b"/0"], [b"/1", b"/2", b"/3"]))
        self.assertEqual([len(each) for each in self.balancer.candidates], [2, 1, 1, 1])

    def test_anotherHostBecomesFree(self) -> None:
        self.limited(1, 1)
        for at in range(4):
            self.ask(get(b"/%d" % at))
        self.send(self.origins[1].peer, OK)
        self.send(self.origins[1].peer, OK)
        self.assertEqual((self.targets(1), self.targets(2)), ([b"/0"], [b"/1", b"/2", b"/3"]))
        self.assertEqual(len(self.balancer.picks), 4, "one for each, at its turn")

    def test_aMemberThatIsNew(self) -> None:
        self.limited(1)
        self.ask(get(b"/0"))
        client = self.ask(get(b"/1"))
        self.serve("10.0.0.2:80", OK)
        assert self.reverseProxy is not None
        self.reverseProxy.setUpstreams([Upstream("http://10.0.0.1", maxConnections=1), "http://10.0.0.2"])
        self.network.pump()
        self.assertEqual(client.received, OK)

    def test_nobodyIsLeft(self) -> None:
        """Who waits for upstreams that all went down learns it."""
        self.limited(1)
        self.ask(get(b"/0"))
        client = self.ask(get(b"/1"))
        assert self.reverseProxy is not None
        self.reverseProxy.setUpstreams([])
        self.network.pump()
        self.assertEqual(client.answer().code, 503)
        self.assertEqual(self.accessLog.lines, [(503, "no_healthy_upstream")])

    def test_tunnelsCount(self) -> None:
        self.limited(1, 1)
        self.origin.script = SWITCHED
        self.ask(get(b"/", *WEBSOCKET))
        for at in range(3):
            self.ask(get(b"/%d" % at))
        for _ in range(3):
            self.send(self.origins[1].peer, OK)
        self.assertEqual(self.targets(2), [b"/0", b"/1", b"/2"])
        client = self.ask(get(b"/3"))
        self.send(self.origins[1].peer, b"")
        self.assertEqual(len(self.origin.peers), 1)
        self.assertEqual(self.targets(2)[-1], b"/3")
        del client

    def test_aTunnelThatEnds(self) -> None:
        self.limited(1)
        self.origin.script = [SWITCHED, OK]
        tunnel = self.ask(get(b"/", *WEBSOCKET))
        client = self.ask(get())
        self.assertEqual(client.received, b"")
        tunnel.abort()
        self.network.pump()
        self.assertEqual(client.received, OK)

    def test_aDirectorsChoice(self) -> None:
        """It waits for that one, though there is room elsewhere."""
        choose = director(lambda inbound, outbound: Upstream("http://10.0.0.1"))
        self.proxy(None, None, urls=[Upstream("http://10.0.0.1", maxConnections=1), "http://10.0.0.2"], directors=[choose])
        first, second = self.ask(get()), self.ask(get())
        self.assertEqual(self.origins[1].requests, [])
        self.send(self.origin.peer, OK)
        self.send(self.origin.peer, OK)
        self.assertEqual((first.received, second.received), (OK, OK))

    def test_backupsAreNotForFullOnes(self) -> None:
        """They are for those that are down."""
        self.proxy(None, OK, urls=[Upstream("http://10.0.0.1", maxConnections=1), Upstream("http://10.0.0.2", backup=True)])
        clients = [self.ask(get()) for _ in range(2)]
        self.assertEqual((self.origins[1].requests, len(self.engine.pools.room)), ([], 1))
        self.send(self.origin.peer, OK)
        self.send(self.origin.peer, OK)
        self.assertEqual([client.received for client in clients], [OK, OK])

    def test_aLongLine(self) -> None:
        self.limited(1, maxQueuedRequests=5000)
        clients = [self.ask(get(b"/%d" % at)) for at in range(150)]
        self.origin.script = OK
        self.send(self.origin.peer, OK)
        self.assertEqual({client.received for client in clients}, {OK})
        self.assertEqual(self.targets(1), [b"/%d" % at for at in range(150)])

    def test_aRetryWaitsToo(self) -> None:
        self.limited(0, 1)
        self.origin.script = gone
        self.ask(get(b"/1"))
        self.network.advance(0.025)
        client = self.ask(get(b"/2"))
        self.network.advance(0.025)
        self.assertEqual(self.targets(2), [b"/1"])
        self.send(self.origins[1].peer, OK)
        self.send(self.origins[1].peer, OK)
        self.assertEqual(client.received, OK)

    def test_howLongItWaited(self) -> None:
        self.limited(1)
        self.ask(get(b"/0"))
        self.ask(get(b"/1"))
        self.network.advance(2)
        self.send(self.origin.peer, OK)
        self.network.advance(1)
        self.send(self.origin.peer, OK)
        (only,) = self.told()
        self.assertEqual((only["started"], only["waited"], only["firstByte"], only["reused"]), (2, 2, 1, True))

    def test_aPoolThatOtherPoolsShare(self) -> None:
        """The limit is the server's, whichever pool it is asked by."""
        other = UpstreamGroup("other", RoundRobin(), [Upstream("http://10.0.0.1", maxConnections=1)])
        choose = director(lambda inbound, outbound: "other" if inbound.target == b"/other" else None)
        urls = [Upstream("http://10.0.0.1", maxConnections=1)]
        self.proxy(None, urls=urls, directors=[choose], pools={"other": other})
        for target in (b"/1", b"/other", b"/2"):
            self.ask(get(target))
        self.assertEqual(self.targets(1), [b"/1"])
        self.send(self.origin.peer, OK)
        self.send(self.origin.peer, OK)
        self.assertEqual(self.targets(1), [b"/1", b"/other", b"/2"])


class TestReloads(TriesTestCase):
    def test_aPoolWhoseUpstreamsAllLeft(self) -> None:
        """Whoever is left to be asked then is one of the pool that has its name now."""
        self.proxy(None, OK, OK, urls=["http://10.0.0.1", "http://10.0.0.2"])
        client = self.ask(get(b"/"))
        before = self.engine.groups["default"]
        left = [Upstream("http://10.0.0.3")]
        after = UpstreamGroup.configured("default", RoundRobin(), left, Settings(), self.network.seconds, (), before.table)
        self.engine.replace({"default": after}, self.engine.routeFor, ())
        self.origin.peer.abort()
        self.network.advance(0.025)
        self.assertEqual((client.answer().code, self.origins[2].request.target), (200, b"/"))

    def test_andOneThatHasNobodyEither(self) -> None:
        self.proxy(None, urls=["http://10.0.0.1"])
        client = self.ask(get(b"/"))
        before = self.engine.groups["default"]
        after = UpstreamGroup.configured("default", RoundRobin(), [], Settings(), self.network.seconds, (), before.table)
        self.engine.replace({"default": after}, self.engine.routeFor, ())
        self.origin.peer.abort()
        self.network.advance(0.025)
        self.assertEqual(client.answer().code, 502)


@implementer(IExplainingBalancer)
class Scored(RoundRobin):
    """Tells scores."""

    ignoresOutcomes = False

    def scores(self, request: Any, candidates: Any) -> Any:
        return {each: float(at) for at, each in enumerate(candidates)}


class Nowhere:
    """An access log."""

    def log(self, record: Any) -> None:
        jsonLine(record)


class First(Scored):
    """Picks the first."""

    def pick(self, request: Any, candidates: Any) -> Any:
        return candidates[0]


class TestRecords(TriesTestCase):
    def test_oneTry(self) -> None:
        self.proxy(OK)
        self.answerTo(get())
        self.assertEqual(
            self.told(),
            [
                {
                    "upstream": "http://10.0.0.1",
                    "started": 0,
                    "waited": 0,
                    "connect": 0,
                    "firstByte": 0,
                    "duration": 0,
                    "status": 200,
                    "reason": "",
                    "reused": False,
                    "decision": "",
                    "because": "",
                }
            ],
        )

    def test_severalTries(self) -> None:
        self.proxy(OK, gone, OK, balancer=First())
        self.network.failConnections("10.0.0.1:80")
        self.ask(get())
        self.network.advance(0.075)
        self.assertEqual(
            self.short(),
            [
                ("http://10.0.0.1", 0, "connect_refused", "retry", "connect_refused"),
                ("http://10.0.0.2", 0, "upstream_reset", "retry", "upstream_reset"),
                ("http://10.0.0.3", 200, "", "", ""),
            ],
        )

    def test_noneLeft(self) -> None:
        self.proxy(OK)
        self.network.failConnections("10.0.0.1:80")
        self.answerTo(get())
        self.assertEqual(self.short()[0][3:], ("give up", "connect_refused, but no other upstream is left"))

    def test_aClientThatLeft(self) -> None:
        self.proxy(None)
        self.ask(get()).abort()
        self.network.pump()
        self.assertEqual(self.short(), [("http://10.0.0.1", 0, "client_closed", "", "")])

    def test_aTunnel(self) -> None:
        self.proxy(SWITCHED)
        client = self.ask(get(b"/", *WEBSOCKET))
        self.network.advance(3)
        client.abort()
        self.network.pump()
        (only,) = self.told()
        self.assertEqual((only["status"], only["duration"]), (101, 3))

    def test_withoutAccessLogNothingIsRecorded(self) -> None:
        """But the error log knows why it was not retried."""
        self.proxy(gone, OK)
        self.engine.accessLogs = ()
        self.assertEqual(self.answerTo(post(b"x")).code, 502)

    def test_explanations(self) -> None:
        first = First()
        urls: list[Any] = [
            Upstream("http://10.0.0.1", maxConnections=1),
            "http://10.0.0.2",
            Upstream("http://10.0.0.3", backup=True),
            "http://10.0.0.4",
        ]
        self.proxy(None, gone, OK, OK, urls=urls, balancer=first, settings={"explain": True})
        group = self.engine.groups["default"]
        group.balancer = first
        group.administer(group.members[3], Administrative.DOWN, "no answer")
        self.ask(get(b"/1"))
        client = self.ask(get(b"/2"))
        self.network.advance(0.025)
        self.send(self.origin.peer, OK)
        self.send(self.origin.peer, OK)
        self.assertEqual(client.received, OK)
        before, after = self.told()
        self.assertEqual(
            before["choice"],
            {
                "pool": "default",
                "balancer": "First",
                "candidates": {"http://10.0.0.2": 0},
                "leftOut": {
                    "http://10.0.0.1": "full",
                    "http://10.0.0.3": "in reserve",
                    "http://10.0.0.4": "maintenance: no answer",
                },
            },
        )
        self.assertEqual(after["choice"]["leftOut"]["http://10.0.0.2"], "tried")
        self.assertEqual((after["upstream"], after["choice"]["candidates"]), ("http://10.0.0.1", {"http://10.0.0.1": 0}))

    def test_explanationsAreOffByDefault(self) -> None:
        self.proxy(OK, balancer=Scored())
        self.engine.groups["default"].balancer = self.balancer.balancer
        self.balancer.balancer.scores = None
        self.assertEqual(self.answerTo(get()).code, 200)
        self.assertNotIn("choice", self.told()[0])

    def test_whyThereIsNobody(self) -> None:
        self.proxy(OK, OK)
        group = self.engine.groups["default"]
        group.administer(group.members[0], Administrative.DOWN, "repairs")
        self.network.failConnections("10.0.0.2:80")
        self.assertEqual(self.answerTo(get()).code, 502)
        group.administer(group.members[1], Administrative.DOWN)
        self.assertEqual(self.answerTo(get()).code, 503)
        error = self.accessLog.exchanges[1].error
        assert error is not None
        self.assertEqual(
            error.detail,
            "nobody is left in pool default: http://10.0.0.1 (maintenance: repairs), "
            "http://10.0.0.2 (maintenance: by the operator)",
        )

    def test_aDirectorsChoiceIsExplained(self) -> None:
        choose = director(lambda inbound, outbound: Upstream("http://10.0.0.1"))
        self.proxy(OK, directors=[choose], settings={"explain": True})
        self.assertEqual(self.answerTo(get()).code, 200)
        want = {"pool": "", "balancer": "a director", "candidates": {"http://10.0.0.1": None}, "leftOut": {}}
        self.assertEqual(self.told()[0]["choice"], want)

    def test_explanationsAreShort(self) -> None:
        urls = [Upstream(f"http://10.0.{at}.1", backup=at > 128) for at in range(256)]
        self.serve("10.0.0.1:80", OK)
        self.proxy(urls=urls, balancer=First(), settings={"explain": True})
        self.assertEqual(self.answerTo(get()).code, 200)
        choice = self.told()[0]["choice"]
        self.assertEqual((len(choice["candidates"]), len(choice["leftOut"])), (100, 100))

    def test_nothingIsKept(self) -> None:
        """An exchange of several tries is freed at once, without the garbage collector."""
        kept: list[Any] = []
        init = exchange.Exchange.__init__

        def watched(self: exchange.Exchange, *arguments: Any) -> None:
            kept.append(weakref.ref(self))
            init(self, *arguments)

        self.patch(exchange.Exchange, "__init__", watched)
        for scripts, options in (
            ((gone, OK), {}),
            ((BUSY, OK), {"retryPolicy": RetryRule("503")}),
            ((gone, gone), {}),
            ((None, OK), {"settings": {"tryTimeout": 0.5}}),
            ((OK, OK), {"settings": {"tryTimeout": 0.5, "triesTimeout": 0.7, "explain": True}}),
            ((OK, OK), {"settings": {"maxConnectionsPerUpstream": 1}}),
        ):
            self.proxy(*scripts, **options)  # type: ignore[arg-type]
            self.engine.accessLogs = (Recording(Nowhere(), self.network),)
            with uncollected():
                clients = [self.ask(post(b"body", method=b"PUT")) for _ in range(3)]
                self.network.advance(0.6)
                self.network.advance(0.3)
                self.assertTrue(all(client.received for client in clients))
                left = [reference() for reference in kept if reference() is not None]
                self.assertEqual(left, [], options)
            kept.clear()
            self.tearDown()
            self.setUp()

    def test_scoresThatFail(self) -> None:
        broken = Scored()
        broken.scores = lambda *arguments: 1 / 0  # type: ignore[method-assign]
        self.proxy(OK, balancer=broken, settings={"explain": True})
        self.engine.groups["default"].balancer = broken
        self.assertEqual(self.answerTo(get()).code, 200)
        self.assertEqual(self.told()[0]["choice"]["candidates"], {"http://10.0.0.1": None})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
