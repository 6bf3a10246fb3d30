"""What an attempt's outcome tells about an upstream, for passive checks."""

from __future__ import annotations

from enum import Enum
from typing import Final

from twistproxy.errors import ALL_KINDS, STATUS_REFUSED, Fault
from twistproxy.messages import Outcome

FAILURES: Final = frozenset(each.reason for each in ALL_KINDS if each.fault is Fault.UPSTREAM and each is not STATUS_REFUSED)
"""The errors that are an upstream's own: not reached, too slow, broken off, malformed."""

GATEWAY_STATUSES: Final = frozenset({502, 503, 504})
"""What an upstream says that has nobody behind it."""


class Evidence(Enum):
    """What an outcome tells."""

    GOOD = "good"
    SERVER_ERROR = "5xx"
    FAILURE = "failure"
    NOTHING = "nothing"


def evidenceOf(outcome: Outcome) -> Evidence:
    """What an outcome tells about its upstream.

    A client that left (499) and what the proxy itself did tell nothing; an answer with 4xx is a good one; an answer that a
    modifier refused is as good as its status.
    """
    error = outcome.error
    if error in FAILURES:
        return Evidence.FAILURE
    if error and error != STATUS_REFUSED.reason:
        return Evidence.NOTHING
    return Evidence.SERVER_ERROR if outcome.code >= 500 else Evidence.GOOD


def describe(outcome: Outcome) -> str:
    """What went wrong, in a word."""
    return outcome.error if outcome.error in FAILURES else str(outcome.code)
