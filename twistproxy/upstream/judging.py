"""Asks the passive checks of a pool about the ends of attempts, and keeps their verdicts within bounds: the last upstream
that is well stays, and no more are left out than a check allows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from twisted.logger import Logger

from twistproxy.calling.hooks import nameOf
from twistproxy.messages import Outcome
from twistproxy.upstream.evidence import Evidence, describe, evidenceOf
from twistproxy.upstream.standing import Passive, Traffic
from twistproxy.upstream.table import Entry, UpstreamTable

_log: Final = Logger(namespace="twistproxy.error")
_ROUNDING: Final = 1e-6
"""Seconds; a duration and its beginning do not make up its end exactly."""


class Judging:
    """The passive checks of one pool."""

    def __init__(self, pool: str, checks: Sequence[Any], table: UpstreamTable) -> None:
        """
        @param pool: its name, for the log.
        @param checks: L{twistproxy.interfaces.IPassiveCheck}s.
        """
        self._pool = pool
        self._checks = [(f"{i}: {nameOf(check)}", check) for i, check in enumerate(checks, 1)]
        self._table = table
        self._countedAt = -1
        self._members = self._well = self._left = 0

    def __bool__(self) -> bool:
        return bool(self._checks)

    def judge(self, entry: Entry, outcome: Outcome, now: float) -> bool:
        """An attempt has ended.

        @return: whether the verdict about its upstream is another now.
        """
        standing = entry.standing
        if standing.passive is Passive.EJECTED:
            return False  # what was under way when it was ejected tells nothing new
        if standing.passive is Passive.TRIAL and now - outcome.duration < standing.since - _ROUNDING:
            return False  # nor does it, when it ends during the trial
        if evidenceOf(outcome) is Evidence.NOTHING:
            return standing.trialEnded(False, now)
        for name, check in self._checks:
            try:
                seconds = check.judge(outcome, standing.memories.setdefault(name, {}), now)
            except Exception:
                _log.failure("Passive check {plugin} of pool {pool} failed", plugin=name, pool=self._pool)
                continue
            if seconds > 0 and self._mayEject(entry, getattr(check, "maxEjected", 1.0)):
                return standing.eject(seconds, now, describe(outcome), getattr(check, "hasTrial", False))
        return standing.trialEnded(True, now)

    def _mayEject(self, entry: Entry, most: float) -> bool:
        """Whether an upstream may be left out: there is another that is well, and not too many are left out already.

        @param most: the share of the members that may be.
        """
        self._count()
        standing = entry.standing
        othersWell = self._well - (standing.verdict.traffic is Traffic.ALL)
        left = self._left - (standing.passive is not Passive.FIT)
        return othersWell > 0 and (left == 0 or left + 1 <= most * self._members)

    def _count(self) -> None:
        """How many are well, or left out: counted once after each change, for many may fail at once."""
        table = self._table
        if table.version != self._countedAt:
            self._countedAt = table.version
            standings = [each.standing for each in table.members]
            self._members = len(standings)
            self._well = sum(each.verdict.traffic is Traffic.ALL for each in standings)
            self._left = sum(each.passive is not Passive.FIT for each in standings)
