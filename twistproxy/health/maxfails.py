"""nginx's C{max_fails} and C{fail_timeout}: so many failures within a time, and an upstream is left out for that time."""

from __future__ import annotations

from typing import Any

from zope.interface import implementer

from twistproxy.interfaces import IPassiveCheck
from twistproxy.messages import Outcome
from twistproxy.plugin import Duration
from twistproxy.upstream.evidence import Evidence, evidenceOf


@implementer(IPassiveCheck)
class MaxFails:
    """Leave out an upstream after some failures, then try it with one request, as nginx.

    Failures are those to connect, timeouts, broken and malformed answers, and the statuses that are named.
    """

    hasTrial = True

    def __init__(self, fails: int = 1, timeout: Duration = 10.0, statuses: tuple[int, ...] = ()) -> None:
        """
        @param fails: so many within C{timeout} are too many; a good answer after that time has all before it forgotten.
        @param timeout: also how long an upstream is left out.
        @param statuses: answers that count as failures, such as C{500,503}; 500 and more.
        """
        if fails < 1:
            raise ValueError("fails is 1 or more")
        if timeout <= 0:
            raise ValueError("timeout is more than 0")
        wrong = [each for each in statuses if not 500 <= each <= 599]
        if wrong:
            raise ValueError(f"statuses: {wrong[0]} is none from 500 to 599: others are the client's fault, or no failure")
        self._fails = fails
        self._timeout = timeout
        self._statuses = frozenset(statuses)

    def judge(self, outcome: Outcome, memory: dict[str, Any], now: float) -> float:
        """Too many, or not yet."""
        evidence = evidenceOf(outcome)
        fails: int = memory.get("fails", 0)
        isOnTrial: bool = memory.get("isOnTrial", False)
        if evidence is Evidence.GOOD or (evidence is Evidence.SERVER_ERROR and outcome.code not in self._statuses):
            if isOnTrial or (fails and now - memory["at"] >= self._timeout):
                memory["fails"], memory["isOnTrial"] = 0, False
            return 0.0
        if fails and now - memory["first"] > self._timeout:
            fails = 0
        if not fails:
            memory["first"] = now
        memory["fails"], memory["at"] = fails + 1, now
        if not isOnTrial and fails + 1 < self._fails:
            return 0.0
        memory["isOnTrial"] = True  # until a good answer one more is too many
        return self._timeout
