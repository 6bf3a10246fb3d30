"""L{twistproxy.middleware.circuitbreaker}: a pause for what only fails."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from tests.unit.builtin import MiddlewareTestCase, answered, built
from twistproxy.errors import CLIENT_CLOSED, NO_UPSTREAM, UPSTREAM_TIMEOUT, ErrorKind, ProxyError
from twistproxy.interfaces import IPassiveCheck
from twistproxy.messages import Outcome, Upstream


class TestCircuitBreaker(MiddlewareTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.clock.advance(1000)
        self.breaker = self.build("circuit-breaker:errors=50%:volume=4:open=10s:recovery=0s:latency=2s", reactor=self.clock)

    def inside(self, what: int | ErrorKind, takes: float = 0.0, upstream: str | None = "http://u") -> Any:
        """What comes out when this is inside."""
        waiting: Deferred[Any] = Deferred()
        self.proceed = lambda: waiting  # type: ignore[method-assign,assignment]
        result = self.around(self.breaker)
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
        self.assertEqual(len([each for each in logged if "opened" in each["log_format"]]), 1)
        self.clock.advance(9.5)
        self.assertEqual(self.inside(200), 503)
        self.assertEqual(dict(self.error.headers), {"Retry-After": "1"})
        self.clock.advance(0.5)
        self.assertEqual([self.inside(200) for _ in range(3)], [200] * 3)

    def test_whatCounts(self) -> None:
        for what, takes, upstream, counts in (
            (502, 0, "http://u", True),
            (UPSTREAM_TIMEOUT, 0, None, True),
            (200, 3, "http://u", True),
            (200, 1, "http://u", False),
            (404, 0, "http://u", False),
            (500, 0, None, False),  # a plugin's
            (CLIENT_CLOSED, 0, None, False),
            (NO_UPSTREAM, 0, None, False),
        ):
            self.setUp()
            for _ in range(4):
                self.inside(what, takes, upstream)
            self.assertEqual(self.inside(200), 503 if counts else 200, f"{what} {takes} {upstream}")

    def test_aPluginThatFailsInside(self) -> None:
        self.proceed = lambda: fail(ValueError("inside"))  # type: ignore[method-assign,assignment,return-value]
        for _ in range(6):
            self.assertRaises(ValueError, self.around, self.breaker)

    def test_anUpstream(self) -> None:
        check = built(IPassiveCheck, "circuit-breaker:errors=50%:volume=4:open=10s:latency=2s", reactor=self.clock)
        upstream, memory = Upstream("http://u"), dict[str, Any]()

        def judge(now: float, code: int, error: str = "", head: float = 0.1) -> float:
            seconds: float = check.judge(Outcome(upstream, error, code, 0.0, head, head, 0, 0, False), memory, now)
            return seconds

        self.assertEqual([judge(1.0, code) for code in (500, 200, 200, 200, 500, 500)], [0, 0, 0, 0, 0, 10.0])
        self.assertEqual(judge(12.0, 500), 10.0)  # the trial
        self.assertEqual([judge(23.0, 200), judge(24.0, 500)], [0, 0])
        self.assertEqual([judge(25.0, 200, head=3.0) for _ in range(3)], [0, 0, 10.0])

    def test_mistakes(self) -> None:
        for written, problem in (
            ("circuit-breaker:errors=0", "errors is a share above 0%, up to 100%"),
            ("circuit-breaker:volume=0", "volume is 1 or more"),
            ("circuit-breaker:open=0s", "window and open are more than 0"),
        ):
            self.refuses(written, f"circuit-breaker: {problem}", reactor=self.clock)
        unknown = "'150%' is not a share (want one such as 50% or 0.5)"
        self.refuses("circuit-breaker:errors=150%", f"circuit-breaker: errors: {unknown}")
