"""Whether to ask another upstream after an attempt: the rule, its backoff and budget, and policies in the rule's place.

All of it is pure: what has happened comes in, a decision goes out. What cannot be done is not decided here:
L{twistproxy.exchange.asking} knows whether there is another upstream, and time for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random
from typing import Any, Final

from twisted.logger import Logger
from zope.interface import implementer

from twistproxy.calling.hooks import nameOf
from twistproxy.errors import ProxyError
from twistproxy.headers import isToken
from twistproxy.interfaces import IRetryPolicy
from twistproxy.messages import Attempt, Commit, FrozenHeaders, GiveUp, Headers, OutboundRequest, Retry
from twistproxy.text.suggest import didYouMean
from twistproxy.text.units import Duration

_log: Final = Logger(namespace="twistproxy.error")
_COMMIT: Final = Commit()

IDEMPOTENT: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE", b"PUT", b"DELETE"})
"""RFC 9110, section 9.2.2. A proxy must not repeat others by itself."""

CONDITIONS: Final = {
    "connect_refused": "connect",
    "connect_timeout": "connect",
    "dns_failure": "connect",
    "tls_failure": "connect",
    "upstream_reset": "reset",
    "upstream_closed": "reset",
    "try_timeout": "timeout",
    "upstream_timeout": "timeout",
    "upstream_protocol_error": "invalid",
    "response_too_large": "invalid",
}
"""What a rule calls the failures of an upstream, by their reason."""

_WORDS: Final = tuple(dict.fromkeys(CONDITIONS.values()))


_KEY: Final = b"idempotency-key:"
"""What the lines have in them in either of the headers of L{hasIdempotencyKey}."""


def isIdempotent(request: OutboundRequest) -> bool:
    """Whether sending a request twice has no other effect than sending it once, by its method or its client's word."""
    if request.method in IDEMPOTENT:
        return True
    block = request.block
    if block is not None and not request.isTouched and _KEY not in block.lower():
        return False  # no headers are made for that
    return hasIdempotencyKey(request.headers)


def hasIdempotencyKey(headers: Headers | FrozenHeaders) -> bool:
    """Whether the client says that its request may be sent again, in either of the headers that Go's transport knows."""
    return headers.hasHeader(b"idempotency-key") or headers.hasHeader(b"x-idempotency-key")


def backoffBound(number: int, base: float, longest: float) -> float:
    """The longest wait after try C{number}, in seconds: Envoy's (2^n - 1) times the base, with a cap.

    @param number: 1 for the first.
    """
    return min(longest, base * (2.0 ** min(number, 32) - 1))


class RetryBudget:
    """How often the requests of a pool may be sent again: a storm of failures must not become a storm of retries.

    As Finagle's C{RetryBudget}, a bucket of tokens: each request puts in a part of one, each second some, and each retry
    takes one; what was put in is good for some seconds. So what runs at an upstream that is killed can go to others at
    once, which a limit on retries at the same time, as Envoy's, would not allow; and in the long run only the share can.
    """

    def __init__(self, percent: float, least: float, window: float = 10.0) -> None:
        """
        @param percent: of a token, for each request.
        @param least: tokens for each second.
        @param window: seconds until a token is no good any more.
        """
        self._percent = percent
        self._least = least
        self._window = window
        self._pools: dict[str, tuple[float, int, float]] = {}

    def take(self, pool: str, asked: int, now: float) -> bool:
        """Take a token.

        @param asked: how many requests there were in this pool, since whenever.
        @return: whether there was one.
        """
        tokens, before, at = self._pools.get(pool, (self._least * self._window, asked, now))
        passed = max(0.0, now - at)
        good = min(1.0, self._window / passed) if passed else 1.0
        tokens *= max(0.0, 1.0 - passed / self._window)
        tokens += good * (max(0, asked - before) * self._percent / 100 + passed * self._least)
        hasOne = tokens >= 1.0
        self._pools[pool] = (tokens - 1.0 if hasOne else tokens, asked, now)
        return hasOne


@implementer(IRetryPolicy)
class RetryRule:
    """Ask another upstream after a failed connection, whatever the method; after anything else that is named only when the
    request may be sent twice.

    @ivar seesAnswers: whether any answer may be refused.
    @ivar random: gives numbers from 0 to 1, for the jitter.
    """

    def __init__(
        self,
        on: str = "connect,reset",
        methods: str = "idempotent",
        backoff: Duration = 0.025,
        maxBackoff: Duration = 0.25,
    ) -> None:
        """
        @param on: what is followed by another try: C{connect} (no connection), C{reset} (it broke before the answer),
            C{timeout} (no answer in time), C{invalid} (no HTTP, or too much), statuses such as C{503}, and C{5xx}.
        @param methods: of requests that may be sent twice: C{idempotent}, C{any}, or names. Idempotency-Key makes any so.
        @param backoff: the first wait is a random part of this, later ones of more.
        @param maxBackoff: and no longer than this. After a failed connection there is none.
        """
        self._conditions, self._statuses = _readConditions(on)
        self._methods = _readMethods(methods)
        self._backoff = backoff
        self._maxBackoff = maxBackoff
        self.random: Callable[[], float] = Random().random
        self.seesAnswers = bool(self._statuses)

    def mayRepeat(self, method: bytes, isIdempotent: bool) -> bool:
        """Whether a request of this method may be sent again after an upstream may have seen it."""
        if self._methods is None:
            return isIdempotent
        hasKey = isIdempotent and method not in IDEMPOTENT
        return not self._methods or method in self._methods or hasKey

    def keepsBody(self, request: OutboundRequest) -> bool:
        """Whether the body of this request is to be kept, to be sent again."""
        return self.mayRepeat(request.method, isIdempotent(request))

    def decide(self, attempt: Attempt) -> Retry | Commit | GiveUp:
        """L{IRetryPolicy.decide}."""
        response = attempt.response
        if response is not None:
            if response.code not in self._statuses:
                return _COMMIT
            what = f"status {response.code}"
        else:
            reason = attempt.error.kind.reason if isinstance(attempt.error, ProxyError) else "internal"
            condition = CONDITIONS.get(reason)
            if condition not in self._conditions and reason != "try_timeout":  # a try-timeout is there for nothing else
                return GiveUp(f"the policy does not retry after {reason}")
            if condition == "connect" and not attempt.sent:
                return Retry(0.0, reason)
            what = reason
        if not self.mayRepeat(attempt.request.outbound.method, attempt.idempotent):
            method = attempt.request.outbound.method.decode("latin-1")
            because = f"{what}, but {method} may not be sent twice"
            return GiveUp(because) if response is None else Commit(because)
        return Retry(self.random() * backoffBound(attempt.number, self._backoff, self._maxBackoff), what)


def _readConditions(text: str) -> tuple[frozenset[str], frozenset[int]]:
    conditions: set[str] = set()
    statuses: set[int] = set()
    for word in filter(None, (each.strip() for each in text.split(","))):
        if word in _WORDS:
            conditions.add(word)
        elif re.fullmatch(r"[2-9]xx", word):
            statuses.update(range(int(word[0]) * 100, int(word[0]) * 100 + 100))
        elif re.fullmatch(r"[2-9][0-9][0-9]", word):
            statuses.add(int(word))
        else:
            known = ", ".join(_WORDS)
            raise ValueError(f"on: {word!r} is neither a status, 5xx nor one of {known}{didYouMean(word, _WORDS)}")
    return frozenset(conditions), frozenset(statuses)


def _readMethods(text: str) -> frozenset[bytes] | None:
    """None for idempotent ones; an empty set for any."""
    if text == "idempotent":
        return None
    if text == "any":
        return frozenset()
    methods = frozenset(each.strip().encode() for each in text.split(",") if each.strip())
    if not methods or not all(map(isToken, methods)):
        raise ValueError(f"methods: {text!r} is neither idempotent, any nor a list such as GET,HEAD")
    if wrong := [each.decode() for each in sorted(methods) if each != each.upper()]:
        raise ValueError(f"methods: {wrong[0]!r} is written {wrong[0].upper()!r}")
    return methods


RULE: Final = RetryRule()
"""The rule without configuration."""


def keepsBody(policy: Any, request: OutboundRequest) -> bool:
    """Whether the body of a request is kept to be sent again.

    @param policy: as configured; None for the rule.
    """
    keeps = getattr(policy, "keepsBody", None)
    if keeps is None:
        return isIdempotent(request)
    try:
        return bool(keeps(request))
    except Exception:
        _log.failure("Retry policy {plugin} failed in keepsBody", plugin=nameOf(policy))
        return False


def consult(policy: Any, attempt: Attempt) -> Retry | Commit | GiveUp:
    """What a policy says, held to what is possible.

    @param policy: an L{IRetryPolicy}; None for the rule.

    It can't have a request sent again whose body is gone; nor commit to an answer that there isn't; and when it raises
    or returns nonsense, it counts as giving up, or as committing to the answer that there is.
    """
    last = GiveUp if attempt.response is None else Commit
    try:
        decision = (RULE if policy is None else policy).decide(attempt)
    except Exception:
        _log.failure("Retry policy {plugin} failed", plugin=nameOf(policy))
        return last("the policy failed")
    if isinstance(decision, Retry):
        if attempt.replayable or not attempt.sent:
            return decision
        return last(f"{decision.because or 'retry'}, but its body was not kept, or not all of it")
    if isinstance(decision, Commit):
        return last(decision.because) if attempt.response is None else decision
    if isinstance(decision, GiveUp):
        return decision
    _log.error("Retry policy {plugin} returned a {kind}", plugin=nameOf(policy), kind=type(decision).__name__)
    return last("the policy returned nonsense")
