"""A pause for what only fails: of a route as middleware, of each upstream as a passive check."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any

from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.errors import CIRCUIT_OPEN, Fault, ProxyError
from twistproxy.interfaces import IMiddleware, IPassiveCheck
from twistproxy.limiting.breaker import Breaker, Policy, State
from twistproxy.messages import InboundRequest, Outcome, Response
from twistproxy.plugin import Duration, Share
from twistproxy.upstream.evidence import Evidence, evidenceOf

_log = Logger(namespace="twistproxy.error")


@implementer(IMiddleware, IPassiveCheck)
class CircuitBreaker:
    """Stop asking what fails too often, as circuit-breaker:errors=50%:volume=20:open=10s; clients get a 503 with Retry-After.

    As middleware it watches all that is inside of it: a route. As a passive check it watches each upstream by itself, which
    then gets no requests for as long. Failures are those of upstreams: no answer, too late, broken, 5xx; and answers slower
    than C{latency}. After C{open} one request is let through; when that goes well, more and more over C{recovery}.
    """

    hasTrial = True

    def __init__(
        self,
        errors: Share = 0.5,
        volume: int = 20,
        window: Duration = 10.0,
        open: Duration = 10.0,
        recovery: Duration = 10.0,
        latency: Duration = 0.0,
        context: Any = None,
    ) -> None:
        """
        @param errors: the share of failures in the window that opens it.
        @param volume: fewer outcomes in the window open nothing.
        @param window: how far back it looks.
        @param open: for so long nobody is let through.
        @param recovery: over this time more and more are let through again; as a passive check, see slow-start instead.
        @param latency: an answer whose head takes longer counts as a failure; 0: none does.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        if not 0 < errors <= 1:
            raise ValueError("errors is a share above 0%, up to 100%")
        if volume < 1:
            raise ValueError("volume is 1 or more")
        if window <= 0 or open <= 0:
            raise ValueError("window and open are more than 0")
        self._policy = Policy(errors, volume, window, open, recovery)
        self._latency = latency
        self._seconds: Callable[[], float] = context.reactor.seconds
        self.breaker = Breaker(self._policy)

    # A route.

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        now, standIn = self._seconds(), request.standIn
        if standIn is not None and standIn.refusal is not None:
            return proceed()  # another breaker, outside of this, lets no upstream be asked
        wait = self.breaker.admit(now)
        if wait:
            open = ProxyError(CIRCUIT_OPEN, f"circuit-breaker: {self.breaker.state.value}", [("Retry-After", str(ceil(wait)))])
            if standIn is None:
                raise open
            standIn.refusal = open
            return proceed()
        return proceed().addCallbacks(self._answered, self._failed, (now, request), {}, (request,), {})

    def _answered(self, response: Response, started: float, request: InboundRequest) -> Response:
        if not self._isInsteadOf(request) and response.upstream is not None:
            now = self._seconds()
            self._record(now, response.code >= 500 or self._isSlow(now - started))
        return response

    def _failed(self, failure: Failure, request: InboundRequest) -> Failure:
        if not self._isInsteadOf(request):
            self._recordFailure(failure.value)
        return failure

    def _isInsteadOf(self, request: InboundRequest) -> bool:
        """Whether this is of the pool that C{fallback} asks instead; if so, what those had to tell who are watched here counts,
        unless they were not asked at all, as a breaker within this wanted it."""
        standIn = request.standIn
        if standIn is None or standIn.insteadOf is None:
            return False
        if isinstance(standIn.insteadOf, int):
            self._record(self._seconds(), standIn.insteadOf >= 500)
        else:
            self._recordFailure(standIn.insteadOf)
        return True

    def _recordFailure(self, error: object) -> None:
        if isinstance(error, ProxyError) and error.kind.fault is Fault.UPSTREAM:
            self._record(self._seconds(), True)

    def _isSlow(self, seconds: float) -> bool:
        return 0 < self._latency < seconds

    def _record(self, now: float, failed: bool) -> None:
        before = self.breaker.state
        self.breaker.record(now, failed)
        if self.breaker.state is State.OPEN and before is not State.OPEN:
            _log.error("A circuit breaker opened for {seconds:g} s: too much fails", seconds=self._policy.open)

    # An upstream.

    def judge(self, outcome: Outcome, memory: dict[str, Any], now: float) -> float:
        """L{IPassiveCheck.judge}."""
        breaker: Breaker | None = memory.get("breaker")
        if breaker is None:
            breaker = memory["breaker"] = Breaker(Policy(self._policy.errors, self._policy.volume, self._policy.window, 0.0, 0.0))
        slow = outcome.firstByteTime is not None and self._isSlow(outcome.firstByteTime)
        breaker.admit(now)
        breaker.record(now, slow or evidenceOf(outcome) is not Evidence.GOOD)
        return self._policy.open if breaker.state is State.OPEN else 0.0
