"""Copies of requests for another pool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final

from twisted.logger import Logger
from zope.interface import implementer

from twistproxy.bodies.body import Body
from twistproxy.directors.split import checkPools
from twistproxy.errors import INTERNAL
from twistproxy.forwarding import upgradeTokens
from twistproxy.headeredits import HeaderEdits, HeaderValues
from twistproxy.headers import isToken
from twistproxy.interfaces import IMiddleware
from twistproxy.keys import keyFrom
from twistproxy.loader.building import loadName
from twistproxy.messages import FrozenHeaders, InboundRequest
from twistproxy.mirroring.comparing import Answered, Compare
from twistproxy.mirroring.copying import copied
from twistproxy.mirroring.original import INCOMPLETE, NOT_ASKED, Original
from twistproxy.mirroring.sampling import ByChance, ByCount, ByKey, Sampler
from twistproxy.mirroring.sending import Copy, settingsForCopies
from twistproxy.mirroring.tee import TOO_LONG, Allowance
from twistproxy.settings import Settings
from twistproxy.text.units import Duration, Share, Size

_log: Final = Logger(namespace="twistproxy.mirror")
_NOT_OURS: Final = frozenset({NOT_ASKED, INCOMPLETE})
"""Reasons that lie with the original: nobody need look after the mirror for them."""

_LOG_INTERVAL: Final = 10.0
"""Seconds at least between two lines of the log about copies that were lost."""

BUSY: Final = "busy"
"""Why a copy is dropped: as many as may be are under way."""


@implementer(IMiddleware)
class Mirror:
    """Send a copy of requests to another pool too, as mirror:pool=shadow:share=10%, and drop what that answers.

    A copy is sent when the request was answered and all of its body is there; the client and the route's own pool never wait
    for it. When there are too many copies, or they are too large, or the other pool is full, copies are dropped, and counted.
    What is copied is the request that the upstream got, after all directors. Upgrades and CONNECT are not copied, nor what
    was answered without an upstream.

    @ivar inFlight: copies under way.
    @ivar sent: copies for which an upstream was asked.
    @ivar answered: how many of these were answered, by the class of the status, such as C{"2xx"}.
    @ivar failed: how many were not, by the reason.
    @ivar dropped: requests of the share that were not sent, by the reason.
    @ivar agreed: copies that were answered with the status of the original.
    @ivar allowance: what the bodies of copies may hold, and do.
    """

    def __init__(
        self,
        pool: str,
        *,
        share: Share = 1.0,
        key: str = "",
        seed: int | None = None,
        methods: Sequence[str] = (),
        set: HeaderValues | None = None,
        remove: Sequence[str] = (),
        maxBody: Size = 1 << 20,
        maxMemory: Size = 32 << 20,
        maxPending: int = 100,
        maxAnswer: Size = 10 << 20,
        timeout: Duration = 10.0,
        compare: str = "",
        context: Any = None,
    ) -> None:
        """
        @param pool: who gets the copies.
        @param share: of the requests that are copied, spread evenly: every tenth for 10%.
        @param key: all or none of the requests with the same key are copied: C{client}, C{header:NAME}, C{cookie:NAME},
            C{query:NAME}, C{host} or C{path}.
        @param seed: the requests of the share are drawn by chance, repeatably by this number.
        @param methods: of requests that are copied; by default all.
        @param set: NAME=VALUE, headers of copies in the place of others of that name; Host too.
        @param remove: headers that copies do not have, such as Authorization and Cookie; a star at the end of a name stands for
            anything.
        @param maxBody: most bytes of a request's body; one that has more is not copied.
        @param maxMemory: most bytes of the bodies of all copies that are made or under way.
        @param maxPending: most copies under way at once.
        @param maxAnswer: most bytes of an answer's body that are read and dropped; then the connection is closed.
        @param timeout: for all of a copy, up to the end of its answer.
        @param compare: C{module.function} of yours, which gets the request and two L{Answered}: what its client got, and what
            came to the copy.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        checkPools(context, [pool])
        if maxPending < 1:
            raise ValueError("max-pending is 1 or more")
        if timeout <= 0:
            raise ValueError("timeout is more than 0")
        if key and seed is not None:
            raise ValueError("key and seed: choose one")
        for method in methods:
            if not isToken(method.encode()):
                raise ValueError(f"methods: {method!r} is not a method")
        self._pool = pool
        self._isTaken: Sampler = (
            ByKey(share, keyFrom(key)) if key else ByCount(share) if seed is None else ByChance(share, seed)
        )
        self._methods = frozenset(each.encode() for each in methods)
        self._edits = HeaderEdits(remove=remove, set=set) if set or remove else None
        self._setsHost = any(each.lower() == "host" for each in set or ())
        self._maxBody = maxBody
        self._maxPending = maxPending
        self._maxAnswer = maxAnswer
        self._timeout = timeout
        self._compare: Compare | None = loadName(compare) if compare else None
        self._settings: Settings | None = None if context is None else settingsForCopies(context.settings)
        self.allowance = Allowance(maxMemory)
        self.inFlight = self.sent = self.agreed = 0
        self.answered: Counter[str] = Counter()
        self.failed: Counter[str] = Counter()
        self.dropped: Counter[str] = Counter()
        self._lost: Counter[str] = Counter()  # since the last line in the log
        self._nextLine = 0.0
        self._seconds: Callable[[], float] = lambda: 0.0

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        engine = request.engine
        if engine is None or not self._mayBeCopied(request) or not self._isTaken(request):
            return proceed()
        self._seconds = engine.seconds
        if int(request.headers.get("content-length", "0")) > self._maxBody:
            self.drop(TOO_LONG)
            return proceed()
        original = Original(self, request, self._maxBody, engine.seconds)
        request.whenFinished(original.finished)
        return proceed().addCallback(original.answered)

    def _mayBeCopied(self, request: InboundRequest) -> bool:
        if self._methods and request.method not in self._methods:
            return False
        upgrades = request.headers.getRawHeaders(b"upgrade")
        return request.method != b"CONNECT" and not (upgrades and upgradeTokens(upgrades))

    # From the originals: twistproxy.mirroring.original.Owner.

    def drop(self, reason: str) -> None:
        """There will be no copy of a request of the share."""
        self.dropped[reason] += 1
        if reason not in _NOT_OURS:
            self._note(reason)

    def complete(self, original: Original, body: Body, size: int) -> None:
        """Send the copy, unless there are too many."""
        if self.inFlight >= self._maxPending:
            self.allowance.give(size)
            self.drop(BUSY)
            return
        engine = original.request.engine
        try:
            if self._settings is None:
                self._settings = settingsForCopies(engine.settings)
            made = copied(original.request, body, size, self._edits, self._setsHost)
        except Exception:
            # Whatever it is, it came up in the midst of the original, and is none of its business.
            _log.failure("mirror: a request could not be copied (request {id})", id=original.request.id)
            self.allowance.give(size)
            self.drop(INTERNAL.reason)
            return
        self.inFlight += 1
        ended = partial(self._ended, Answered(original.code, original.headers, original.time))
        Copy(engine, made, self._settings, self._pool, self._timeout, self._maxAnswer, ended)

    # From the copies.

    def _ended(self, original: Answered, copy: Copy) -> None:
        """A copy is over."""
        self.inFlight -= 1
        self.allowance.give(copy.copied.size)
        error = copy.error
        reason = "" if error is None else error.kind.reason
        if not copy.attempts:
            self.drop(reason)
            return
        self.sent += 1
        if reason:
            self.failed[reason] += 1
            self._note(reason)
        else:
            self.answered[f"{copy.code // 100}xx"] += 1
            self.agreed += copy.code == original.code
        if self._compare is not None:
            head = copy.answer
            headers = None if head is None else FrozenHeaders(list(head.items))
            try:
                self._compare(copy.inbound, original, Answered(copy.code, headers, copy.headTime, reason))
            except Exception:
                _log.failure("mirror: compare failed (request {id})", id=copy.inbound.id)

    def _note(self, reason: str) -> None:
        """Have the log tell of copies that were lost: now, or with those that follow."""
        self._lost[reason] += 1
        now = self._seconds()
        if now < self._nextLine:
            return
        self._nextLine = now + _LOG_INTERVAL
        lost, self._lost = self._lost, Counter()
        reasons = ", ".join(f"{reason} {count}" for reason, count in sorted(lost.items()))
        _log.warn("mirror: copies for pool {pool} were lost: {reasons}", pool=self._pool, reasons=reasons)

    def snapshot(self) -> dict[str, Any]:
        """Plain figures, as JSON can have them; sizes in bytes."""
        return {
            "pool": self._pool,
            "inFlight": self.inFlight,
            "sent": self.sent,
            "answered": dict(self.answered),
            "failed": dict(self.failed),
            "dropped": dict(self.dropped),
            "agreed": self.agreed,
            "held": self.allowance.held,
        }
