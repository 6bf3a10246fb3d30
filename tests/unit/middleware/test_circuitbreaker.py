"""L{twistproxy.middleware.circuitbreaker}: a pause for what only fails."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from tests.unit.builtin import MiddlewareTestCase, answered, asked, built
from tests.unit.support import ProxyTestCase, get, head
from twistproxy.bodies.body import Body
from twistproxy.errors import CLIENT_CLOSED, NO_UPSTREAM, UPSTREAM_TIMEOUT, ErrorKind, ProxyError
from twistproxy.interfaces import IMiddleware, IPassiveCheck
from twistproxy.limiting.breaker import State
from twistproxy.messages import Outcome, Upstream


class TestCircuitBreaker(MiddlewareTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.clock.advance(1000)
        self.breaker = self.build("circuit-breaker:errors=50%:volume=4:open=10s:recovery=0s:latency=2s", reactor=self.clock)

    def inside(
        self, what: int | ErrorKind, takes: float = 0.0, upstream: str | None = "http://u", request: Any = None
    ) -> Any:
        """What comes out when this is inside."""
        waiting: Deferred[Any] = Deferred()
        self.proceed = lambda: waiting  # type: ignore[method-assign,assignment]
        result = self.around(self.breaker, request)
        if not isinstance(result, Deferred):
            return result.status
        found: list[Any] = []
        result.addErrback(lambda failure: failure.value.kind.status).addCallback(found.append)
        self.clock.advance(takes)
        if isinstance(what, int):
            waiting.callback(answered(what, upstream=upstream))
        else:
            waiting.errback(ProxyError(what))
        return getattr(found[0], "code", found[0])

    def test_itOpensAndCloses(self) -> None:
        with capturedLogs() as logged:
            self.assertEqual([self.inside(500) for _ in range(6)], [500] * 4 + [503] * 2)
        self.assertEqual(dict(self.error.headers), {"Retry-After": "10"})
        opened = [formatEvent(each) for each in logged if "opened" in each["log_format"]]
        self.assertEqual(opened, ["The circuit breaker at here opened for 10 s: 4 of 4 failed"])
        self.clock.advance(9.5)
        self.assertEqual(self.inside(200), 503)
        self.assertEqual(dict(self.error.headers), {"Retry-After": "1"})
        self.clock.advance(0.5)
        with capturedLogs() as logged:
            self.assertEqual([self.inside(200) for _ in range(3)], [200] * 3)
        self.assertEqual([formatEvent(each) for each in logged], ["The circuit breaker at here is closed again"])

    def test_whatCounts(self) -> None:
        for what, takes, upstream, counts in (
            (502, 0, "http://u", True),
            (UPSTREAM_TIMEOUT, 0, None, True),
            (200, 3, "http://u", True),
            (200, 1, "http://u", False),
            (404, 0, "http://u", False),
            (500, 0, None, False),  # a plugin's
            (CLIENT_CLOSED, 0, None, False),
            (CLIENT_CLOSED, 3, None, True),  # it lost its patience with what is too slow
            (NO_UPSTREAM, 0, None, False),
        ):
            self.setUp()
            for _ in range(4):
                self.inside(what, takes, upstream)
            self.assertEqual(self.inside(200), 503 if counts else 200, f"{what} {takes} {upstream}")

    def test_slowClientsAreNotSlowUpstreams(self) -> None:
        request = asked()
        request.body = Body()  # of which not all has come yet
        for _ in range(6):
            self.assertEqual(self.inside(200, 3, request=request), 200)
        self.assertIs(self.breaker.breaker.state, State.CLOSED)

    def test_whatCutsTheWaitingShort(self) -> None:
        """Middleware outside that waits no longer: that is slow as well."""
        for seconds, state in ((1, State.CLOSED), (3, State.OPEN)):
            for _ in range(4):
                self.isSlow, self.proceeding = True, Deferred()
                result = self.around(self.breaker)
                result.addErrback(lambda failure: failure.trap(CancelledError))
                self.clock.advance(seconds)
                result.cancel()
            self.assertIs(self.breaker.breaker.state, state)

    def test_aTrialWhoseClientLeaves(self) -> None:
        """The next one is the trial, without waiting."""
        self.assertEqual([self.inside(500) for _ in range(4)], [500] * 4)
        self.clock.advance(10)
        for _ in range(3):
            self.assertEqual(self.inside(CLIENT_CLOSED), 499)
        self.assertEqual(self.inside(200, upstream=None), 200)  # a plugin's answer tells nothing either
        self.assertEqual(self.inside(NO_UPSTREAM), 503)
        self.assertIs(self.breaker.breaker.state, State.HALF_OPEN)
        self.assertEqual([self.inside(200) for _ in range(2)], [200] * 2)
        self.assertIs(self.breaker.breaker.state, State.CLOSED)

    def test_aPluginThatFailsInside(self) -> None:
        self.proceed = lambda: fail(ValueError("inside"))  # type: ignore[method-assign,assignment,return-value]
        for _ in range(6):
            self.assertRaises(ValueError, self.around, self.breaker)

    def test_anUpstreamsStragglers(self) -> None:
        """What was asked before it opened says nothing more, nor opens it again."""
        check = built(IPassiveCheck, "circuit-breaker:volume=1:open=10s", reactor=self.clock)
        memory = dict[str, Any]()

        def judge(now: float, code: int, took: float) -> float:
            seconds: float = check.judge(Outcome(Upstream("http://u"), "", code, 0.0, took, took, 0, 0, False), memory, now)
            return seconds

        self.assertEqual(judge(100.0, 500, 1.0), 10.0)
        self.assertEqual([judge(111.0, 500, 20.0), judge(111.0, 200, 20.0)], [0.0, 0.0])
        self.assertEqual(judge(112.0, 500, 1.0), 10.0)

    def test_anUpstream(self) -> None:
        check = built(IPassiveCheck, "circuit-breaker:errors=50%:volume=4:open=10s:latency=2s", reactor=self.clock)
        upstream, memory = Upstream("http://u"), dict[str, Any]()

        def judge(now: float, code: int, error: str = "", head: float = 0.1) -> float:
            seconds: float = check.judge(Outcome(upstream, error, code, 0.0, head, head, 0, 0, False), memory, now)
            return seconds

        self.assertEqual([judge(1.0, code) for code in (500, 200, 200, 200, 500, 500)], [0, 0, 0, 0, 0, 10.0])
        self.assertEqual(judge(12.0, 500), 10.0)  # the trial
        self.assertEqual([judge(23.0, 200), judge(24.0, 500)], [0, 0])
        self.assertEqual([judge(27.0, 200, head=3.0) for _ in range(3)], [0, 0, 10.0])

    def test_mistakes(self) -> None:
        for written, problem in (
            ("circuit-breaker:errors=0", "errors is a share above 0%, up to 100%"),
            ("circuit-breaker:volume=0", "volume is 1 or more"),
            ("circuit-breaker:open=0s", "window and open are more than 0"),
        ):
            self.refuses(written, f"circuit-breaker: {problem}", reactor=self.clock)
        unknown = "'150%' is not a share (want one such as 50% or 0.5)"
        self.refuses("circuit-breaker:errors=150%", f"circuit-breaker: errors: {unknown}")


class TestInAProxy(ProxyTestCase):
    def test_answersThatBreakOff(self) -> None:
        """The head was a 200, which is all that middleware sees by itself."""
        breaker = built(IMiddleware, "circuit-breaker:volume=4", reactor=self.network)
        self.proxy(None, middleware=[breaker])
        for _ in range(4):
            client = self.ask(get())
            self.send(self.origin.peers[-1], head(b"Content-Length: 100") + b"not all of it")
            self.assertIn(b"200 OK", client.received)
            self.origin.peers[-1].abort()
            self.network.pump()
        self.assertEqual(self.answerTo(get()).code, 503)
        self.assertEqual(breaker.breaker.cause, (4, 4))
