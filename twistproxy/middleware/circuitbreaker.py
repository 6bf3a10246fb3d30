"""A pause for what only fails: of a route as middleware, of each upstream as a passive check."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any, Final

from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.errors import CIRCUIT_OPEN, CLIENT_CLOSED, Fault, ProxyError
from twistproxy.interfaces import IMiddleware, IPassiveCheck
from twistproxy.limiting.breaker import Breaker, Policy, State
from twistproxy.messages import InboundRequest, Outcome, Response
from twistproxy.plugin import Duration, Share
from twistproxy.upstream.evidence import Evidence, evidenceOf

_log: Final = Logger(namespace="twistproxy.error")
_NEVER: Final = float("inf")


@implementer(IMiddleware, IPassiveCheck)
class CircuitBreaker:
    """Stop asking what fails too often, as circuit-breaker:errors=50%:volume=20:open=10s; clients get a 503 with Retry-After.

    As middleware it watches all that is inside of it: a route. As a passive check it watches each upstream by itself, which
    then gets no requests for as long. Failures are those of upstreams: no answer, too late, broken, 5xx; and answers slower
    than C{latency}. After C{open} one request is let through; when that goes well, more and more over C{recovery}.

    @ivar breaker: that of the route: its C{state}, how often it has C{opened} and the C{cause}.
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
        @param latency: an answer whose head takes longer counts as a failure, and so does a client that left after that time
            without one; 0: none does.
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
        self._place = str(getattr(context, "place", "") or "circuit-breaker")
        self._seconds: Callable[[], float] = context.reactor.seconds
        self.breaker = Breaker(self._policy)

    # A route.

    def takeOver(self, before: CircuitBreaker) -> None:
        """At a reload: what fails goes on failing."""
        self.breaker = before.breaker

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        now, breaker, standIn = self._seconds(), self.breaker, request.standIn
        if standIn is not None and standIn.refusal is not None:
            return proceed()  # another breaker, outside of this, lets no upstream be asked
        if breaker.state is not State.CLOSED:
            wait = self._admit(now)
            if wait:
                open = ProxyError(CIRCUIT_OPEN, f"circuit-breaker: {breaker.state.value}", [("Retry-After", str(ceil(wait)))])
                if standIn is None:
                    raise open
                standIn.refusal = open
                return proceed()
        # How long a client takes to send a long body is not the upstream's doing.
        latest = now + self._latency if self._latency and request.body.ended else _NEVER
        told = (request, now, latest)
        return proceed().addCallbacks(self._answered, self._failed, told, {}, told, {})

    def _admit(self, now: float) -> float:
        """L{Breaker.admit} of one that is not closed."""
        wait = self.breaker.admit(now)
        if self.breaker.state is State.CLOSED:
            _log.info("The circuit breaker at {place} is closed again", place=self._place)
        return wait

    def _answered(self, response: Response, request: InboundRequest, began: float, latest: float) -> Response:
        if self._isInsteadOf(request, began):
            return response
        if response.upstream is None:
            self.breaker.release(began)
            return response
        now = self._seconds()
        isBad = response.code >= 500 or now > latest
        if not isBad:
            request.whenFinished(partial(self._finished, began))
        self._record(now, isBad, began)
        return response

    def _failed(self, failure: Failure, request: InboundRequest, began: float, latest: float) -> Failure:
        if not self._isInsteadOf(request, began):
            error = failure.value
            hasLeft = error.kind is CLIENT_CLOSED if isinstance(error, ProxyError) else failure.check(CancelledError)
            if hasLeft and self._seconds() > latest:
                self._record(self._seconds(), True, began)  # somebody lost patience with it
            else:
                self._recordFailure(error, began)
        return failure

    def _isInsteadOf(self, request: InboundRequest, began: float) -> bool:
        """Whether this is of the pool that C{fallback} asks instead; if so, what those had to tell who are watched here counts,
        unless they were not asked at all, as a breaker within this wanted it."""
        standIn = request.standIn
        if standIn is None or standIn.insteadOf is None:
            return False
        if isinstance(standIn.insteadOf, int):
            self._record(self._seconds(), standIn.insteadOf >= 500, began)
        else:
            self._recordFailure(standIn.insteadOf, began)
        return True

    def _recordFailure(self, error: object, began: float) -> None:
        if isinstance(error, ProxyError) and error.kind.fault is Fault.UPSTREAM:
            self._record(self._seconds(), True, began)
        else:
            self.breaker.release(began)

    def _finished(self, began: float, ended: Any) -> None:
        """An answer that had begun well is over."""
        error = ended.error
        if error is not None and error.kind.fault is Fault.UPSTREAM:
            before = self.breaker.opened
            self.breaker.spoil(self._seconds(), began)
            self._tell(before)

    def _record(self, now: float, failed: bool, began: float) -> None:
        before = self.breaker.opened
        self.breaker.record(now, failed, began)
        self._tell(before)

    def _tell(self, before: int) -> None:
        """@param before: how often it had opened."""
        if self.breaker.opened != before:
            failures, total = self.breaker.cause
            _log.error(
                "The circuit breaker at {place} opened for {seconds:g} s: {failures} of {total} failed",
                place=self._place, seconds=self._policy.open, failures=failures, total=total,
            )  # fmt: skip

    # An upstream.

    def judge(self, outcome: Outcome, memory: dict[str, Any], now: float) -> float:
        """L{IPassiveCheck.judge}."""
        breaker: Breaker | None = memory.get("breaker")
        if breaker is None:
            breaker = memory["breaker"] = Breaker(Policy(self._policy.errors, self._policy.volume, self._policy.window, 0.0, 0.0))
        slow = 0 < self._latency < (outcome.firstByteTime or 0.0)
        before, began = breaker.opened, now - outcome.duration
        breaker.admit(began)
        breaker.record(now, slow or evidenceOf(outcome) is not Evidence.GOOD, began)
        return self._policy.open if breaker.opened != before else 0.0
