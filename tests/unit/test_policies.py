"""Retry policies and round trippers: consulted where they are given, held to what is possible."""

from __future__ import annotations

from typing import Any

from attrs import evolve
from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from tests.unit.support import OK, ProxyTestCase, answer, get, post
from twistproxy.engine import Route
from twistproxy.errors import CONNECT_REFUSED, ProxyError
from twistproxy.interfaces import IRetryPolicy, IRoundTripper
from twistproxy.messages import Attempt, Commit, GiveUp, InboundRequest, OutboundRequest, Response, Retry, Upstream

BUSY = answer(b"busy", status=b"503 Service Unavailable")


@implementer(IRetryPolicy)
class Policy:
    """Decides as the test says, and notes what about."""

    def __init__(self, *decisions: Any) -> None:
        self.decisions = list(decisions)
        self.attempts: list[Attempt] = []

    def decide(self, attempt: Attempt) -> Any:
        self.attempts.append(attempt)
        decision = self.decisions.pop(0)
        if isinstance(decision, Exception):
            raise decision
        return decision


@implementer(IRoundTripper)
class Tripper:
    """Gives what the test says."""

    def __init__(self, result: Any) -> None:
        self.result = result
        self.asked: list[tuple[bytes, str]] = []

    def roundTrip(self, outbound: OutboundRequest, upstream: Upstream) -> Any:
        self.asked.append((outbound.target, upstream.key))
        if isinstance(self.result, Exception):
            raise self.result
        return self.result


@implementer(IRoundTripper)
class Slow:
    """Answers when the test says so.

    @ivar waiting: those that it has not answered.
    @ivar cancelled: how many were not wanted any more.
    """

    def __init__(self) -> None:
        self.waiting: list[Deferred[Response]] = []
        self.cancelled = 0

    def roundTrip(self, outbound: OutboundRequest, upstream: Upstream) -> Deferred[Response]:
        made: Deferred[Response] = Deferred(self._cancel)
        self.waiting.append(made)
        return made

    def _cancel(self, trip: Deferred[Response]) -> None:
        self.cancelled += 1
        self.waiting.remove(trip)

    def ends(self, result: Response | Exception) -> None:
        """The oldest is answered, or fails."""
        trip = self.waiting.pop(0)
        if isinstance(result, Exception):
            trip.errback(result)
        else:
            trip.callback(result)


class TestRetryPolicies(ProxyTestCase):
    def ends(self, policy: Policy, *scripts: Any, data: bytes = b"") -> tuple[int, bytes]:
        self.proxy(*scripts, retryPolicy=policy)
        message = self.answerTo(data or get())
        return message.code, message.body

    def test_anotherUpstreamAfterAStatus(self) -> None:
        policy = Policy(Retry(), Commit())
        self.assertEqual(self.ends(policy, BUSY, OK), (200, b"ok"))
        seen = [(each.number, each.sent, each.replayable) for each in policy.attempts]
        self.assertEqual(seen, [(1, True, True), (2, True, True)])
        first = policy.attempts[0].response
        assert first is not None
        self.assertEqual(first.code, 503)

    def test_theLastAnswerIsBetterThanNone(self) -> None:
        """Edge-case 12."""
        self.assertEqual(self.ends(Policy(Retry(), Retry()), BUSY, BUSY), (503, b"busy"))
        self.assertEqual(self.outcomes(), [("", 503), ("", 503)])

    def test_committing(self) -> None:
        self.assertEqual(self.ends(Policy(Commit()), BUSY, OK), (503, b"busy"))

    def test_givingUpAnAnswer(self) -> None:
        self.assertEqual(self.ends(Policy(GiveUp()), OK)[0], 502)

    def test_afterADelay(self) -> None:
        self.proxy(BUSY, OK, retryPolicy=Policy(Retry(3.0), Commit()))
        client = self.ask(get())
        self.assertEqual(client.answers(), [])
        self.network.advance(3)
        self.assertEqual(client.answer().code, 200)

    def test_aClientThatLeavesDuringTheDelay(self) -> None:
        self.proxy(BUSY, OK, retryPolicy=Policy(Retry(30.0)))
        self.ask(get()).abort()
        self.network.pump()
        self.assertEqual(self.accessLog.lines, [(499, "client_closed")])

    def test_aBodyThatIsGoneIsNotSentAgain(self) -> None:
        policy = Policy(Retry())
        self.assertEqual(self.ends(policy, BUSY, OK, data=post(b"body")), (503, b"busy"))
        self.assertFalse(policy.attempts[0].replayable)

    def test_whatRaisesTakesWhatThereIs(self) -> None:
        self.assertEqual(self.ends(Policy(ValueError("oops")), BUSY, OK), (503, b"busy"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_whatReturnsNonsenseTakesWhatThereIs(self) -> None:
        self.assertEqual(self.ends(Policy("retry"), BUSY, OK), (503, b"busy"))


class TestRoundTrippers(ProxyTestCase):
    def code(self, result: Any, **options: Any) -> int:
        self.tripper = Tripper(result)
        self.proxy(OK, roundTripper=self.tripper, **options)
        return self.answerTo(get(b"/a?b")).code

    def test_itAnswersInThePlaceOfTheUpstream(self) -> None:
        self.tripper = Tripper(Response(203, {"X-From": "elsewhere"}, b"other"))
        self.proxy(OK, roundTripper=self.tripper)
        message = self.answerTo(get(b"/a?b"))
        self.assertEqual((message.code, message.body, message.all(b"x-from")), (203, b"other", [b"elsewhere"]))
        self.assertEqual(self.tripper.asked, [(b"/a?b", "http://10.0.0.1")])
        self.assertEqual(self.origin.peers, [])
        self.assertEqual(self.outcomes(), [("", 203)])

    def test_aDeferredAnswer(self) -> None:
        later: Deferred[Response] = Deferred()
        self.proxy(OK, roundTripper=Tripper(later))
        client = self.ask(get())
        self.network.advance(3)
        later.callback(Response(200, (), b"late"))
        self.network.pump()
        self.assertEqual(client.answer().body, b"late")

    def test_whatRaisesIsAnUpstreamThatFailed(self) -> None:
        self.assertEqual(self.code(ValueError("oops")), 502)

    def test_whatFailsLaterIsAnUpstreamThatFailed(self) -> None:
        self.assertEqual(self.code(fail(ValueError("oops"))), 502)

    def test_whatReturnsNonsenseIsAnUpstreamThatFailed(self) -> None:
        self.assertEqual(self.code("nonsense"), 502)

    def test_aRefusedConnectionMayBeFollowedByAnother(self) -> None:
        tripper = Tripper(ProxyError(CONNECT_REFUSED))
        self.proxy(OK, OK, roundTripper=tripper)
        self.assertEqual(self.answerTo(get()).code, 502)
        self.assertEqual([each for _, each in tripper.asked], ["http://10.0.0.1", "http://10.0.0.2"])

    def test_whatTakesTooLong(self) -> None:
        self.proxy(OK, roundTripper=Tripper(Deferred()))
        client = self.ask(get())
        self.network.advance(61)
        self.assertEqual(client.answer().code, 504)

    def test_aClientThatLeavesCancelsIt(self) -> None:
        cancelled: list[object] = []
        self.proxy(OK, roundTripper=Tripper(Deferred(cancelled.append)))
        self.ask(get()).abort()
        self.network.pump()
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.outcomes(), [("client_closed", 0)])


class TestLimits(ProxyTestCase):
    """C{max-conns} is for round trips as for connections: what waits for an answer has a place."""

    def setUp(self) -> None:
        super().setUp()
        self.tripper = Slow()

    def limited(self, **options: Any) -> None:
        self.proxy(OK, settings={"maxConnectionsPerUpstream": 2, "queueTimeout": 5.0}, roundTripper=self.tripper, **options)

    def state(self) -> tuple[int, int, int]:
        """Places, round trips under way, and who waits."""
        (pool,) = self.engine.pools
        return pool.total, len(self.tripper.waiting), len(self.engine.pools.room)

    def test_othersWait(self) -> None:
        self.limited()
        clients = [self.ask(get()) for _ in range(4)]
        self.assertEqual(self.state(), (2, 2, 2))
        for index, result in enumerate((Response(200), ValueError("no"), Response(200), Response(200))):
            self.tripper.ends(result)
            self.network.pump()
            self.assertEqual(clients[index].answer().code, 502 if index == 1 else 200)
            self.assertEqual(self.state(), (min(2, 3 - index), min(2, 3 - index), max(0, 1 - index)))

    def test_whoLeavesMakesRoom(self) -> None:
        self.limited()
        clients = [self.ask(get()) for _ in range(3)]
        clients[0].abort()
        self.assertEqual(self.state(), (2, 2, 0))
        self.assertEqual(self.tripper.cancelled, 1)

    def test_whoWaitsInVain(self) -> None:
        self.limited()
        late = [self.ask(get()) for _ in range(3)][-1]
        self.seconds(7)
        self.assertEqual(late.answer().code, 503)
        self.assertEqual(self.accessLog.lines, [(503, "queue_timeout")])

    def test_withConnectionsOfOtherRoutes(self) -> None:
        """One limit for both; an idle connection makes room."""
        self.limited()
        routeFor = self.engine.routeFor

        def route(inbound: InboundRequest) -> Route | None:
            found = routeFor(inbound)
            return evolve(found, roundTripper=None) if found is not None and inbound.target == b"/plain" else found

        self.engine.routeFor = route
        self.assertEqual(self.answerTo(get(b"/plain")).code, 200)
        self.assertEqual(self.state(), (1, 0, 0))
        self.ask(get())
        self.ask(get())
        self.assertEqual(self.state(), (2, 2, 0))
        third = self.ask(get(b"/plain"))
        self.assertEqual(self.state(), (2, 2, 1))
        self.tripper.ends(Response(200))
        self.network.pump()
        self.assertEqual(third.answer().code, 200)
