"""Who is asked for one request: picks among the upstreams of a pool, one attempt after another, until one has answered.

It decides about attempts; what an answer is made into is the exchange's business.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from twistproxy.bodies.replay import Replay
from twistproxy.bodies.uploading import BodyOutlet
from twistproxy.errors import BALANCER_ERROR, NO_UPSTREAM, STATUS_REFUSED, TRY_TIMEOUT, ProxyError
from twistproxy.exchange.asker import Asker
from twistproxy.exchange.attempt import UpstreamAttempt
from twistproxy.exchange.explaining import explain, nobody
from twistproxy.exchange.requestbody import RequestBody
from twistproxy.exchange.retrying import consult, isIdempotent
from twistproxy.exchange.roundtrip import RoundTrip
from twistproxy.exchange.standin import StandIn
from twistproxy.messages import (
    Attempt,
    Choice,
    Commit,
    GiveUp,
    Outcome,
    Response,
    Retry,
    Try,
    Upstream,
)
from twistproxy.upstream.candidates import Candidates
from twistproxy.upstream.group import UpstreamGroup
from twistproxy.upstream.waiting import Place
from twistproxy.wire.http1 import RequestHead

if TYPE_CHECKING:
    from twistproxy.engine import Engine, Route

_WORDS: Final[dict[type, str]] = {Retry: "retry", Commit: "commit", GiveUp: "give up"}


class Asking:
    """The attempts of one exchange. It waits in a line while those whom it may ask are full.

    @ivar attempt: the one under way.
    @ivar lastError: what the attempt before failed with.
    """

    attempt: UpstreamAttempt | RoundTrip | None = None
    lastError: ProxyError | None = None
    _group: UpstreamGroup | None = None  # None: a director chose the upstream, and there is no other to ask
    _only: Upstream | None = None  # that one
    _tried: frozenset[Upstream] = frozenset()
    _delay: IDelayedCall | None = None
    _body: RequestBody | None = None
    _place: Place | None = None
    _joined = 0.0  # when it did
    _waited = 0.0  # seconds in the line, before the attempt under way
    _isPicking = False  # for another try
    _mayPick = False
    _choice: Choice | None = None
    _verdict = ("", "")  # what was decided about the attempt under way, and why

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
        standIn = self._asker.inbound.standIn
        if standIn is not None and self._isRefused(standIn, group.name):
            return
        group.asked += 1
        self._pick(group)

    def askOnly(self, upstream: Upstream) -> None:
        """Ask C{upstream} and nobody else."""
        self._only = upstream
        standIn = self._asker.inbound.standIn
        if standIn is not None and self._isRefused(standIn, upstream.key):
            return
        if self._asker.settings.explain:
            self._choice = Choice("", "a director", ((upstream.key, None),), ())
        if upstream.key in self._engine.pools.room.full:
            self._wait(upstream.key)
        else:
            self._try(upstream, None)

    def _candidates(self, group: UpstreamGroup) -> Candidates:
        """Who may still be asked, whether there is room or not."""
        return group.without(self._tried) if self._tried or group.warming else group.candidates

    def _successor(self, group: UpstreamGroup) -> UpstreamGroup | None:
        """The pool that has the name of this one since a reload, which is asked from now on; None for the same."""
        self._group = self._engine.groups.get(group.name, group)
        return None if self._group is group else self._group

    def _pick(self, group: UpstreamGroup) -> None:
        """Choose among those that were not asked yet, or wait until one of them has room."""
        asker, room = self._asker, self._engine.pools.room
        candidates = group.without(self._tried) if self._tried or group.warming else group.candidates
        if not candidates and not candidates.draining:
            successor = self._successor(group)
            if successor is not None:
                self._pick(successor)
                return
            self._fail(self.lastError or ProxyError(NO_UPSTREAM, nobody(group, self._tried)), asker.attempts > 0)
            return
        if room.full:
            anywhere, candidates = candidates, room.withRoom(candidates)
            if anywhere and not candidates:
                self._wait(group.name)
                return
        if asker.settings.explain:
            self._choice = explain(group, asker.inbound, candidates, self._tried, room.full)
        try:
            upstream = group.balancer.pick(asker.inbound, candidates)
        except Exception:
            asker.hookFailed(group.balancer, "pick", BALANCER_ERROR, Failure())
            return
        if upstream is None:
            none = self.lastError or ProxyError(NO_UPSTREAM, f"the balancer of pool {group.name} picked none")
            self._fail(none, asker.attempts > 0)
        elif not isinstance(upstream, Upstream) or not candidates.mayBePicked(upstream):
            wrong = TypeError(f"pick returned {upstream!r}, which is no candidate")
            asker.hookFailed(group.balancer, "pick", BALANCER_ERROR, Failure(wrong))
        else:
            if upstream in group.trials:
                group.picked(upstream)
            self._try(upstream, group.report)

    def _try(self, upstream: Upstream, report: Callable[[Upstream, Outcome], None] | None) -> None:
        """Ask C{upstream}, which has room."""
        engine, route, asker = self._engine, self._route, self._asker
        asker.attempts += 1
        asker.upstream = upstream
        settings = asker.settings
        if route.roundTripper is not None:
            longest = min(settings.tryTimeout or settings.upstreamHeadTimeout, settings.upstreamHeadTimeout)
            limit, pool = self._timeLeft(longest), engine.pools.of(upstream)
            self.attempt = trip = RoundTrip(engine.reactor, self, limit, upstream, pool, report)
            trip.begin(route.roundTripper, asker.outbound)
            return
        self.attempt = attempt = UpstreamAttempt(engine, asker, self, settings, self._head, asker.outbound, upstream, report)
        if settings.tryTimeout or settings.triesTimeout:
            attempt.limit(self._timeLeft(settings.tryTimeout))
        attempt.begin(self._upgrade)

    def _timeLeft(self, longest: float) -> float:
        """Seconds that something may take, as C{tries-timeout} says too.

        @param longest: by its own limit; 0 for none.
        """
        asker = self._asker
        if not asker.settings.triesTimeout:
            return longest
        left = max(0.001, asker.started + asker.settings.triesTimeout - self._engine.seconds())
        return min(longest, left) if longest else left

    def _isLate(self, delay: float = 0.0) -> bool:
        """Whether C{tries-timeout} will have passed after so many seconds."""
        asker = self._asker
        limit = asker.settings.triesTimeout
        return bool(limit) and self._engine.seconds() + delay >= asker.started + limit

    def bodyToSend(self) -> BodyOutlet | Replay:
        """Where an attempt gets the request's body from."""
        if self._body is None:
            self._body = RequestBody(self._asker, self._route.retryPolicy)
        return self._body.outlet()

    def _isBodyKept(self) -> bool:
        """Whether it can be sent again, once some of it was sent."""
        return self._asker.outbound.body.contents is not None or (self._body is not None and self._body.isKept)

    def holdBody(self) -> bool:
        """An attempt wants to send the request again: hold back what of its body comes until then."""
        if not self._isBodyKept():
            return False
        if self._body is not None:
            self._body.hold()
        return True

    def uploadPaused(self) -> None:
        """The upstream takes no more of the request for now."""
        (self._body or self._asker).uploadPaused()

    def uploadResumed(self) -> None:
        """It takes more."""
        (self._body or self._asker).uploadResumed()

    # In a line: twistproxy.upstream.waiting.Waiter.

    def _wait(self, name: str) -> None:
        """Wait for room.

        @param name: of the line.
        """
        engine = self._engine
        self._joined = engine.seconds()
        try:
            self._place = engine.pools.room.line(name).join(self, self._timeLeft(self._asker.settings.queueTimeout))
        except ProxyError as error:
            self._fail(error, self._asker.attempts > 0)

    def accepts(self, key: str) -> bool:
        """Whether the upstream of that key may be asked."""
        if self._group is None:
            return self._only is not None and self._only.key == key
        return self._engine.pools.room.isAmong(key, self._candidates(self._group))

    def mayGoOn(self) -> bool:
        """Whether there is room, or nobody left to wait for."""
        if self._group is None:
            return False
        candidates = self._candidates(self._group)
        return not candidates or bool(self._engine.pools.room.withRoom(candidates))

    def turnCame(self) -> None:
        """There is room."""
        self._place = None
        self._waited += self._engine.seconds() - self._joined
        if self._isLate():
            self._asker.fail(ProxyError(TRY_TIMEOUT, "tries-timeout passed while it waited"))
        elif self._group is not None:
            self._pick(self._group)
        elif self._only is not None:
            self._try(self._only, None)

    def waitedInVain(self, error: ProxyError) -> None:
        """There was none."""
        self._place = None
        self._fail(error, self._asker.attempts > 0)

    # From the attempt.

    def attemptEnded(self, outcome: Outcome) -> None:
        """It is over: note it for the record."""
        engine, asker = self._engine, self._asker
        if asker.inbound.watchers is not None:
            engine.tell(asker.inbound.watchers, outcome, asker.inbound)
        if engine.accessLogs:
            started = engine.seconds() - outcome.duration - asker.started
            tried = Try(outcome, started, self._waited, *self._verdict, self._choice)
            asker.tries += (tried,)
            self._waited, self._verdict = 0.0, ("", "")

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
            self._askAnother(decision, error)
        else:
            error.notRetried = decision.because
            self._fail(error, sent or self._asker.attempts > 1)

    def roundTripped(self, response: Response) -> None:
        """A round tripper has the answer."""
        self.attempt = None
        response.upstream = self._asker.upstream
        self._asker.roundTripped(response)

    def isRefused(self, response: Response) -> bool:
        """Whether a configured policy wants another upstream's answer, or none, rather than this; if so, it is seen to."""
        policy = self._route.retryPolicy
        if policy is None or not getattr(policy, "seesAnswers", True):
            return self._isForBackup(response)
        decision = self._decide(None, response, True)
        if isinstance(decision, Commit):
            return self._isForBackup(response)
        refusal = ProxyError(STATUS_REFUSED, f"the retry policy refused a {response.code}")
        attempt, self.attempt = self.attempt, None
        if attempt is not None:
            attempt.abandon("")
        if isinstance(decision, Retry):
            self._askAnother(decision, refusal)
        else:
            self._fail(refusal, True)
        return True

    # When all of a pool have failed: another pool, if the request has one.

    def _isRefused(self, standIn: StandIn, asked: str) -> bool:
        """Whether middleware wants those in their place rather than the upstreams; if so, it is seen to."""
        standIn.asked = asked
        if standIn.refusal is None:
            return False
        self._fail(standIn.refusal, False)
        return True

    def _fail(self, error: ProxyError, sent: bool) -> None:
        """Nobody has answered as is wanted.

        @param sent: whether any of the request may have reached an upstream.
        """
        backup = self._backup(error.kind.status, sent)
        if backup is None:
            self._asker.fail(error)
        else:
            self._askBackup(backup, error, error)

    def _isForBackup(self, response: Response) -> bool:
        """Whether the backup's answer is wanted rather than this; if so, it is asked."""
        if self._asker.inbound.standIn is None:
            return False
        backup = self._backup(response.code, True)
        if backup is None:
            return False
        attempt, self.attempt = self.attempt, None
        if attempt is not None:
            attempt.abandon("")
        refusal = ProxyError(STATUS_REFUSED, f"the backup is asked rather than to pass on a {response.code}")
        self._askBackup(backup, refusal, response.code)
        return True

    def _backup(self, status: int, sent: bool) -> UpstreamGroup | None:
        """The pool to ask now, if any: never a second time, and not where that could do something twice."""
        asker = self._asker
        standIn = asker.inbound.standIn
        if standIn is None or standIn.insteadOf is not None:
            return None
        group = self._engine.groups.get(standIn.pool)
        if group is None or group is self._group or status not in standIn.statuses or self._isLate():
            return None
        if sent and not (isIdempotent(asker.outbound) and self._isBodyKept()):
            return None
        return group if group.candidates else None

    def _askBackup(self, backup: UpstreamGroup, error: ProxyError, insteadOf: ProxyError | int) -> None:
        """
        @param error: what those who were asked have failed with.
        @param insteadOf: see L{StandIn}.
        """
        standIn, upstream = self._asker.inbound.standIn, self._asker.upstream
        assert standIn is not None
        standIn.insteadOf = insteadOf
        if upstream is not None and upstream not in self._tried:
            self._engine.attemptFailed(self._asker.inbound, upstream, error)
        self.lastError = error
        self._group, self._only, self._tried = backup, None, frozenset()
        backup.asked += 1
        if self._body is not None:
            self._body.hold()
        self._pickAgain()

    def _decide(self, error: ProxyError | None, response: Response | None, sent: bool) -> Retry | Commit | GiveUp:
        """What follows an attempt: what the policy says, as far as that is possible."""
        asker = self._asker
        upstream, outbound = asker.upstream, asker.outbound
        assert upstream is not None
        attempt = Attempt(
            asker.inbound, upstream, asker.attempts, error, response, sent, self._isBodyKept(), isIdempotent(outbound)
        )
        decision = consult(self._route.retryPolicy, attempt)
        if isinstance(decision, Retry):
            hindrance = self._hindrance(decision, upstream, sent)
            if hindrance:
                because = f"{decision.because}, but {hindrance}" if decision.because else hindrance
                decision = GiveUp(because) if response is None else Commit(because)
        self._note(decision)
        return decision

    def _hindrance(self, decision: Retry, upstream: Upstream, sent: bool) -> str:
        """What stands against another try; empty for nothing."""
        asker, group = self._asker, self._group
        limit = asker.settings.maxTries
        if group is None:
            return "a director chose the upstream"
        if limit and asker.attempts >= limit:
            return f"max-tries is {limit}"
        tried = self._tried | {upstream}
        if not group.without(tried):
            successor = self._successor(group)
            if successor is None or not successor.without(tried):
                return "no other upstream is left"
        if self._isLate(decision.delay):
            return "tries-timeout has passed"
        if sent and not self._engine.retryBudget.take(group.name, group.asked, self._engine.seconds()):
            return "the retry budget is used up"
        return ""

    def _note(self, decision: Retry | Commit | GiveUp) -> None:
        """Have the decision in the record of the attempt: that of the last one, when it has ended already."""
        verdict = (_WORDS[type(decision)], decision.because)
        asker = self._asker
        if self.attempt is not None:
            self._verdict = verdict
        elif asker.tries:
            *before, last = asker.tries
            asker.tries = (*before, last._replace(decision=verdict[0], because=verdict[1]))

    def _askAnother(self, decision: Retry, error: ProxyError) -> None:
        """Ask another upstream, now or after a delay.

        @param error: why the last one is not enough.
        """
        engine, upstream = self._engine, self._asker.upstream
        assert self._group is not None and upstream is not None
        self.lastError = error
        self._tried |= {upstream}
        engine.attemptFailed(self._asker.inbound, upstream, error)
        if self._body is not None:
            self._body.hold()
        if decision.delay <= 0:
            self._pickAgain()
        else:
            self._delay = engine.reactor.callLater(decision.delay, self._delayPassed)

    def _delayPassed(self) -> None:
        self._delay = None
        self._pickAgain()

    def _pickAgain(self) -> None:
        """Pick for another try. One that fails before its C{begin} is over must not be followed within it: the stack would
        grow with each."""
        self._mayPick = True
        if self._isPicking:
            return
        self._isPicking = True
        try:
            while self._mayPick:
                self._mayPick = False
                assert self._group is not None
                self._pick(self._group)
        finally:
            self._isPicking = False

    # Ends.

    def abandon(self, reason: str) -> None:
        """Whatever upstreams still do is not wanted.

        @param reason: the word for the balancer; empty when the upstream did its part.
        """
        delay, self._delay = self._delay, None
        if delay is not None:
            delay.cancel()
        place, self._place = self._place, None
        if place is not None:
            place.leave()
        attempt, self.attempt = self.attempt, None
        if attempt is not None:
            attempt.abandon(reason)
        if self._body is not None:
            self._body.close()

    def pauseResponse(self) -> None:
        """Have the upstream send no more for now."""
        if self.attempt is not None and self.attempt.connection is not None:
            self.attempt.connection.pauseResponse()

    def resumeResponse(self) -> None:
        """Have it go on."""
        if self.attempt is not None and self.attempt.connection is not None:
            self.attempt.connection.resumeResponse()
