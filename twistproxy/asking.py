"""Who is asked for one request: picks among the upstreams of a pool, one attempt after another, until one has answered.

It decides about attempts; what an answer is made into is the exchange's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from twistproxy.attempt import ResponseOwner, UpstreamAttempt
from twistproxy.errors import BALANCER_ERROR, NO_UPSTREAM, UPSTREAM_PROTOCOL, ErrorKind, ProxyError
from twistproxy.messages import Attempt, Commit, GiveUp, InboundRequest, OutboundRequest, Outcome, Response, Retry, Upstream
from twistproxy.retrying import consult, decide
from twistproxy.roundtrip import RoundTrip
from twistproxy.upstream.group import UpstreamGroup
from twistproxy.wire.http1 import RequestHead

if TYPE_CHECKING:
    from twistproxy.engine import Engine, Route



class Asker(ResponseOwner, Protocol):
    """The exchange for which upstreams are asked."""

    inbound: InboundRequest
    outbound: OutboundRequest
    upstream: Upstream | None
    attempts: int

    def fail(self, error: ProxyError) -> None:
        """Nobody answered, or nobody could be asked."""

    def hookFailed(self, plugin: Any, hook: str, kind: ErrorKind, failure: Failure) -> bool:
        """The balancer failed."""

    def roundTripped(self, response: Response) -> None:
        """A round tripper has the answer."""


class Asking:
    """The attempts of one exchange.

    @ivar attempt: the one under way.
    @ivar lastError: what the attempt before failed with.
    """

    attempt: UpstreamAttempt | RoundTrip | None = None
    lastError: ProxyError | None = None
    _group: UpstreamGroup | None = None  # None: a director chose the upstream, and there is no other to ask
    _tried: tuple[Upstream, ...] = ()
    _delay: Deferred[None] | None = None

    def __init__(self, engine: Engine, asker: Asker, route: Route, head: RequestHead, upgrade: bytes) -> None:
        """@param upgrade: the protocol to ask for; empty for none."""
        self._engine = engine
        self._asker = asker
        self._route = route
        self._head = head
        self._upgrade = upgrade

    def ask(self, group: UpstreamGroup | None) -> None:
        """Ask a member of C{group}."""
        if group is None:
            self._asker.fail(ProxyError(NO_UPSTREAM, "the route has no pool"))
            return
        self._group = group
        self._pick(group)

    def askOnly(self, upstream: Upstream) -> None:
        """Ask C{upstream} and nobody else."""
        self._try(upstream, None)

    def _pick(self, group: UpstreamGroup) -> None:
        """Choose among those that were not asked yet."""
        asker = self._asker
        candidates = group.without(self._tried) if self._tried or group.warming else group.candidates
        if not candidates and not candidates.draining:
            asker.fail(self.lastError or ProxyError(NO_UPSTREAM, f"pool {group.name} is empty"))
            return
        try:
            upstream = group.balancer.pick(asker.inbound, candidates)
        except Exception:
            asker.hookFailed(group.balancer, "pick", BALANCER_ERROR, Failure())
            return
        if upstream is None:
            asker.fail(self.lastError or ProxyError(NO_UPSTREAM, f"the balancer of pool {group.name} picked none"))
        elif not isinstance(upstream, Upstream) or not candidates.mayBePicked(upstream):
            wrong = TypeError(f"pick returned {upstream!r}, which is no candidate")
            asker.hookFailed(group.balancer, "pick", BALANCER_ERROR, Failure(wrong))
        else:
            if upstream in group.trials:
                group.picked(upstream)
            self._try(upstream, group.report)

    def _try(self, upstream: Upstream, report: Callable[[Upstream, Outcome], None] | None) -> None:
        """Ask C{upstream}."""
        engine, route, asker = self._engine, self._route, self._asker
        asker.attempts += 1
        asker.upstream = upstream
        settings = route.settings or engine.settings
        if route.roundTripper is not None:
            self.attempt = trip = RoundTrip(engine.reactor, self, settings.upstreamHeadTimeout, upstream, report)
            trip.begin(route.roundTripper, asker.outbound)
            return
        self.attempt = attempt = UpstreamAttempt(engine, asker, self, settings, self._head, asker.outbound, upstream, report)
        attempt.begin(self._upgrade)

    # From the attempt.

    def attemptFailed(self, error: ProxyError, sent: bool) -> None:
        """It came to nothing: ask another upstream, if that may help.

        @param sent: whether any of the request may have reached the upstream.
        """
        attempt, self.attempt = self.attempt, None
        if attempt is not None and attempt.code:
            # Its answer was taken: modifiers are at work on it, or the client has the head already.
            self._asker.fail(error)
            return
        decision = self._decide(error, None, sent)
        if isinstance(decision, Retry):
            self.lastError = error
            self._askAnother(decision)
        else:
            self._asker.fail(error)

    def roundTripped(self, response: Response) -> None:
        """A round tripper has the answer."""
        self.attempt = None
        response.upstream = self._asker.upstream
        self._asker.roundTripped(response)

    def _decide(self, error: ProxyError | None, response: Response | None, sent: bool) -> Retry | Commit | GiveUp:
        """What the rule for retries says about an attempt."""
        asker, route = self._asker, self._route
        upstream = asker.upstream
        assert upstream is not None
        limit = (route.settings or self._engine.settings).maxTries
        if self._group is None or (limit and asker.attempts >= limit):
            return GiveUp() if response is None else Commit()
        replayable = asker.outbound.body.contents is not None
        attempt = Attempt(asker.inbound, upstream, asker.attempts, error, response, sent, replayable)
        return decide(attempt) if route.retryPolicy is None else consult(route.retryPolicy, attempt)

    def _askAnother(self, decision: Retry) -> None:
        """Ask another upstream, now or after a delay."""
        group, upstream = self._group, self._asker.upstream
        assert group is not None and upstream is not None
        self._tried += (upstream,)
        if self.lastError is not None and group.without(self._tried):
            self._engine.attemptFailed(self._asker.inbound, upstream, self.lastError)
        if decision.delay <= 0:
            self._pick(group)
            return
        self._delay = deferLater(self._engine.reactor, decision.delay)
        self._delay.addCallbacks(lambda _: self._pick(group), lambda _: None)

    def isRefused(self, response: Response) -> bool:
        """Whether a configured policy wants another upstream's answer, or none, rather than this; if so, it is seen to."""
        if self._route.retryPolicy is None:
            return False
        decision = self._decide(None, response, True)
        if isinstance(decision, Commit):
            return False
        refusal = ProxyError(UPSTREAM_PROTOCOL, f"the retry policy refused a {response.code}")
        upstream = self._asker.upstream
        others = self._group.without((*self._tried, upstream)) if self._group is not None and upstream is not None else ()
        if isinstance(decision, Retry) and not others:
            return False  # edge-case 12: the last answer is better than none
        self.abandon("")
        if isinstance(decision, Retry):
            self.lastError = refusal
            self._askAnother(decision)
        else:
            self._asker.fail(refusal)
        return True

    # Ends.

    def abandon(self, reason: str) -> None:
        """Whatever upstreams still do is not wanted.

        @param reason: the word for the balancer; empty when the upstream did its part.
        """
        delay, self._delay = self._delay, None
        if delay is not None:
            delay.cancel()
        attempt, self.attempt = self.attempt, None
        if attempt is not None:
            attempt.abandon(reason)

    def pauseResponse(self) -> None:
        """Have the upstream send no more for now."""
        if self.attempt is not None and self.attempt.connection is not None:
            self.attempt.connection.pauseResponse()

    def resumeResponse(self) -> None:
        """Have it go on."""
        if self.attempt is not None and self.attempt.connection is not None:
            self.attempt.connection.resumeResponse()
