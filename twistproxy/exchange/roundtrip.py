"""An attempt by an L{twistproxy.interfaces.IRoundTripper} in the place of HTTP/1.1 to an upstream."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, TimeoutError
from twisted.python.failure import Failure

from twistproxy.calling.hooks import describeFailure, isPending, nameOf, whenSettled
from twistproxy.errors import UPSTREAM_CLOSED, UPSTREAM_TIMEOUT, ProxyError
from twistproxy.messages import OutboundRequest, Outcome, Response, Upstream


class RoundTripOwner(Protocol):
    """The exchange that asks."""

    def attemptEnded(self, outcome: Outcome) -> None:
        """It is over."""

    def attemptFailed(self, error: ProxyError, sent: bool) -> None:
        """It came to nothing."""

    def roundTripped(self, response: Response) -> None:
        """Here is the answer."""


class Places(Protocol):
    """The connections to the upstream, which are limited."""

    def occupy(self) -> None:
        """Take the place of one."""

    def vacate(self) -> None:
        """Give it back."""


class RoundTrip:
    """One call of C{roundTrip}: what an exchange sees of an attempt.

    @ivar connection: None: there is none to pause or splice.
    """

    connection = None
    code = 0

    def __init__(
        self,
        reactor: Any,
        owner: RoundTripOwner,
        limit: float,
        upstream: Upstream,
        places: Places,
        report: Callable[[Upstream, Outcome], None] | None,
    ) -> None:
        """
        @param limit: seconds that it may take.
        @param places: where it needs one.
        """
        self._reactor = reactor
        self._owner = owner
        self._limit = limit
        self._report = report
        self._waiting: Deferred[Any] | None = None
        self._ended = False
        self._started: float = reactor.seconds()
        self.upstream = upstream
        upstream.inFlight += 1
        self._places = places
        places.occupy()

    def begin(self, tripper: Any, outbound: OutboundRequest) -> None:
        """Go."""
        try:
            result = tripper.roundTrip(outbound, self.upstream)
        except Exception:
            self._failed(tripper, Failure())
            return
        if not isPending(result):
            self._answered(tripper, result)
            return
        waiting = whenSettled(
            result,
            self._reactor,
            self._limit,
            lambda value: self._answered(tripper, value),
            lambda failure: self._failed(tripper, failure),
        )
        if not waiting.called:
            self._waiting = waiting

    def _answered(self, tripper: Any, response: Any) -> None:
        self._waiting = None
        if not isinstance(response, Response):
            self._failed(tripper, Failure(TypeError(f"roundTrip returned a {type(response).__name__}, not a Response")))
            return
        self.code = response.code
        self.end("")
        self._owner.roundTripped(response)

    def _failed(self, tripper: Any, failure: Failure) -> None:
        self._waiting = None
        error = failure.value
        if not isinstance(error, ProxyError):
            kind = UPSTREAM_TIMEOUT if failure.check(TimeoutError) else UPSTREAM_CLOSED
            error = ProxyError(kind, f"{nameOf(tripper)}.roundTrip: {describeFailure(failure)}")
        self.end(error.kind.reason)
        self._owner.attemptFailed(error, not error.kind.retryable)

    def abandon(self, reason: str) -> None:
        """Nobody wants the answer any more."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
        self.end(reason)

    def end(self, reason: str) -> None:
        """Note the end with the upstream, and tell the balancer; the first call counts."""
        if self._ended:
            return
        self._ended = True
        self.upstream.inFlight -= 1
        duration = self._reactor.seconds() - self._started
        outcome = Outcome(self.upstream, reason, self.code, None, duration, duration, 0, 0, False)
        if self._report is not None:
            self._report(self.upstream, outcome)
        self._owner.attemptEnded(outcome)
        self._places.vacate()
