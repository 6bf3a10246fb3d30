"""Whether to ask another upstream after an attempt: the built-in rule, and a configured policy in its place."""

from __future__ import annotations

from typing import Any, Final

from twisted.logger import Logger

from twistproxy.errors import ProxyError
from twistproxy.hooks import nameOf
from twistproxy.messages import Attempt, Commit, GiveUp, Retry

_log: Final = Logger(namespace="twistproxy.error")
_RETRY: Final = Retry()
_COMMIT: Final = Commit()
_GIVE_UP: Final = GiveUp()


def decide(attempt: Attempt) -> Retry | Commit | GiveUp:
    """The built-in rule: an upstream that nothing was sent to may be followed by another; any answer is the answer."""
    if attempt.error is None:
        return _COMMIT
    mayHelp = isinstance(attempt.error, ProxyError) and attempt.error.kind.retryable
    return _RETRY if mayHelp and not attempt.sent else _GIVE_UP


def consult(policy: Any, attempt: Attempt) -> Retry | Commit | GiveUp:
    """What a configured L{twistproxy.interfaces.IRetryPolicy} says, held to what is possible.

    It can't have a request sent again whose body is gone; nor commit to an answer that there isn't; and when it raises
    or returns nonsense, it counts as giving up, or as committing to the answer that there is.
    """
    last: Commit | GiveUp = _GIVE_UP if attempt.response is None else _COMMIT
    try:
        decision = policy.decide(attempt)
    except Exception:
        _log.failure("Retry policy {plugin} failed", plugin=nameOf(policy))
        return last
    if isinstance(decision, Retry):
        return decision if attempt.replayable or not attempt.sent else last
    if isinstance(decision, Commit):
        return last
    if isinstance(decision, GiveUp):
        return decision
    _log.error("Retry policy {plugin} returned a {kind}", plugin=nameOf(policy), kind=type(decision).__name__)
    return last
