"""Whether an upstream gets requests: four facts about it, one table that says what follows, and the events between.

Nothing here knows a clock, a log or a connection: every event brings its time. L{TABLE} is the whole decision, and
docs/how-to/health-checks.md shows it.

  - I{Presence}: whether the configuration or a source names it.
  - I{Administrative}: what a person wants of it, in HAProxy's words.
  - I{Active}: what checks found, the worst of several.
  - I{Passive}: what the traffic showed.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, Final, NamedTuple

from attrs import frozen

from twistproxy.outcomes import Health


class Administrative(Enum):
    """What a person wants."""

    READY = "ready"
    DRAIN = "drain"
    DOWN = "down"


class Active(Enum):
    """What checks found."""

    UNCHECKED = "unchecked"
    UP = "up"
    DRAIN = "drain"
    DOWN = "down"
    MAINTENANCE = "maintenance"


class Passive(Enum):
    """What the traffic showed."""

    FIT = "fit"
    TRIAL = "trial"
    EJECTED = "ejected"


class Traffic(Enum):
    """Which requests an upstream gets. What it has goes on in any case: requests under way, and tunnels."""

    ALL = "all"
    ONE = "one at a time"
    SESSIONS = "of sessions it has"
    LAST = "when nobody else is left"
    NONE = "none"


class Row(NamedTuple):
    """One row of the table; None stands for any. C{state} is the first word of L{Upstream.state}."""

    present: bool | None
    administrative: Administrative | None
    active: Active | None
    passive: Passive | None
    state: str
    traffic: Traffic


TABLE: Final = (
    Row(False, None, None, None, "gone", Traffic.NONE),
    Row(True, Administrative.DOWN, None, None, "maintenance", Traffic.NONE),
    Row(True, None, Active.MAINTENANCE, None, "maintenance", Traffic.NONE),
    Row(True, None, Active.DOWN, None, "down", Traffic.NONE),
    Row(True, Administrative.DRAIN, None, Passive.EJECTED, "drained", Traffic.NONE),
    Row(True, Administrative.DRAIN, None, None, "draining", Traffic.SESSIONS),
    Row(True, None, Active.DRAIN, Passive.EJECTED, "drained", Traffic.NONE),
    Row(True, None, Active.DRAIN, None, "draining", Traffic.SESSIONS),
    Row(True, None, None, Passive.EJECTED, "ejected", Traffic.LAST),
    Row(True, None, None, Passive.TRIAL, "trial", Traffic.ONE),
    Row(True, None, None, None, "up", Traffic.ALL),
)
"""The first row that matches holds."""

_COLD: Final = frozenset({"gone", "maintenance", "down", "ejected", "trial"})
"""States after which an upstream starts slowly; one that was draining is warm."""


def rowFor(present: bool, administrative: Administrative, active: Active, passive: Passive) -> Row:
    """The row of the table that holds."""
    facts = (present, administrative, active, passive)
    for row in TABLE:
        if all(wanted is None or wanted is fact for wanted, fact in zip(row[:4], facts, strict=True)):
            return row
    raise AssertionError("the last row matches everything")


class CheckRecord:
    """What one check found at one upstream.

    @ivar good: good checks in a row; C{failed} likewise.
    @ivar runs: checks so far; C{failures} those that failed.
    @ivar last: what the last one found; None before the first.
    @ivar lastAt: when, in the clock's seconds.
    """

    __slots__ = ("_advice", "_adviceDetail", "_downDetail", "_works", "failed", "failures", "good", "last", "lastAt", "runs")

    def __init__(self, initial: Active) -> None:
        self._works = initial
        self._downDetail = "not checked yet"
        self._advice = ""
        self._adviceDetail = ""
        self.good = self.failed = self.runs = self.failures = 0
        self.last: Health | None = None
        self.lastAt: float | None = None

    @property
    def active(self) -> Active:
        """What follows from it. What an agent advises holds until it advises something else, as in HAProxy."""
        if self._advice == "maint":
            return Active.MAINTENANCE
        if self._works is Active.DOWN:
            return Active.DOWN
        return Active.DRAIN if self._advice == "drain" else self._works

    @property
    def detail(self) -> str:
        """Why, when it is down or draining."""
        return self._downDetail if self.active is Active.DOWN else self._adviceDetail

    def observe(self, health: Health, now: float, rise: int, fall: int) -> None:
        """A check has ended.

        The first good one ever is enough for an upstream that waits for its first check, as HAProxy's C{init-state down}.

        @param rise: good ones in a row that bring an upstream back; C{fall} failed ones that take it out.
        """
        self.runs += 1
        isFirst = not self.good and not self.failures
        self.last, self.lastAt = health, now
        if health.advice:
            self._advice, self._adviceDetail = health.advice, health.detail
        if health.isInconclusive:
            return
        if health.ok:
            self.good, self.failed = self.good + 1, 0
            if self.good >= rise or isFirst or self._works is Active.UNCHECKED:
                self._works = Active.UP
        else:
            self.failures += 1
            self.good, self.failed = 0, self.failed + 1
            self._downDetail = health.detail
            if self.failed >= fall:
                self._works = Active.DOWN


@frozen
class Verdict:
    """What follows from all that is known.

    @ivar state: for people: the row's word, and why.
    """

    row: Row
    state: str

    @property
    def traffic(self) -> Traffic:
        """Which requests the upstream gets."""
        return self.row.traffic


class Standing:
    """What is known about one upstream. Each event brings its time, C{now}, in the seconds of one clock.

    @ivar verdict: what follows from it.
    @ivar since: when that began.
    @ivar changes: how often it has changed.
    @ivar checks: what each check found, by its name.
    @ivar memories: what each passive check keeps of it, by its name.
    @ivar ejectedUntil: the end of an ejection; None while there is none.
    @ivar ejections: how many there were.
    @ivar startsSlowly: whether it came back just now after a failure, or is new, since C{since}.
    @ivar isTried: whether the one request of a trial is under way.
    @ivar triedUntil: when that is waited for no longer, and another may be; None while none is.
    @ivar advisedShare: of its weight, as an agent says.
    @ivar advisedConnections: most connections, as an agent says; None when it says nothing.
    """

    __slots__ = (
        "_hasTrial", "_mayStartSlowly", "_patience", "active", "activeDetail", "administrative", "administrativeDetail",
        "advisedConnections", "advisedShare", "changes", "checks", "ejectedUntil", "ejections", "isPresent", "isTried",
        "memories", "passive", "passiveDetail", "since", "startsSlowly", "triedUntil", "verdict",
    )  # fmt: skip

    def __init__(self, now: float, isFirst: bool = False) -> None:
        """@param isFirst: whether it was there from the start, so that it does not start slowly."""
        self.isPresent = True
        self.administrative = Administrative.READY
        self.administrativeDetail = ""
        self.active = Active.UNCHECKED
        self.activeDetail = ""
        self.passive = Passive.FIT
        self.passiveDetail = ""
        self.checks: dict[str, CheckRecord] = {}
        self.memories: dict[str, dict[str, Any]] = {}
        self.ejectedUntil: float | None = None
        self.ejections = 0
        self.isTried = False
        self.triedUntil: float | None = None
        self.advisedShare = 1.0
        self.advisedConnections: int | None = None
        self.since = now
        self.changes = 0
        self._hasTrial = False
        self._patience = 0.0
        self._mayStartSlowly = self.startsSlowly = not isFirst
        self.verdict = self._judged()

    # Events: each returns whether the verdict is another now.

    def appeared(self, now: float) -> bool:
        """The configuration or a source names it again."""
        self.isPresent = True
        return self._settle(now)

    def removed(self, now: float) -> bool:
        """Nobody names it any more."""
        self.isPresent = False
        return self._settle(now)

    def administer(self, administrative: Administrative, now: float, reason: str = "") -> bool:
        """A person wants something of it.

        @param reason: for those who look at its state.
        """
        self.administrative = administrative
        self.administrativeDetail = reason
        return self._settle(now)

    def checkedBy(self, initial: Mapping[str, Active], now: float) -> bool:
        """These checks look at it from now on, and no others; those that did already go on where they were.

        @param initial: what holds until the first result, by check.
        """
        mayStartSlowly = self._mayStartSlowly
        self.checks = {name: self.checks.get(name) or CheckRecord(active) for name, active in initial.items()}
        hasChanged = self._combine(now)
        self._mayStartSlowly = mayStartSlowly  # to wait for the first check is no failure
        return hasChanged

    def checked(self, name: str, health: Health, now: float, rise: int = 1, fall: int = 1) -> bool:
        """A check has ended. A good one ends an ejection, as in Envoy.

        @param name: one of those that L{checkedBy} got; for others nothing happens.
        """
        record = self.checks.get(name)
        if record is None:
            return False
        record.observe(health, now, rise, fall)
        if health.share is not None:
            self.advisedShare = max(0.0, health.share)
        if health.maxConnections is not None:
            self.advisedConnections = health.maxConnections
        if health.ok and not health.isInconclusive and self.passive is not Passive.FIT:
            self._acquit()
        return self._combine(now)

    def eject(self, seconds: float, now: float, reason: str = "", hasTrial: bool = False) -> bool:
        """The traffic shows that it is not well.

        @param seconds: for so long it is left out.
        @param hasTrial: whether it then gets one request at a time until one goes well, as in nginx.
        """
        self.passive = Passive.EJECTED
        self.passiveDetail = reason
        self.ejectedUntil = now + seconds
        self.ejections += 1
        self._endTrial()
        self._hasTrial = hasTrial
        self._patience = seconds
        return self._settle(now)

    def timePassed(self, now: float) -> bool:
        """It is later now: ejections end."""
        if self.ejectedUntil is not None and now >= self.ejectedUntil:
            if self._hasTrial:
                self.ejectedUntil = None
                self.passive = Passive.TRIAL
            else:
                self._acquit()
        if self.triedUntil is not None and now >= self.triedUntil:
            self._endTrial()
        return self._settle(now)

    def tried(self, now: float) -> None:
        """It got the one request of a trial. That may last, as a tunnel does or an upstream that hangs: after as long as the
        ejection was, the trial is open again, as nginx's C{fail_timeout} has it.
        """
        if self.passive is Passive.TRIAL:
            self.isTried = True
            self.triedUntil = now + self._patience

    @property
    def wakesAt(self) -> float | None:
        """When L{timePassed} is to be called; None for not at all."""
        return self.ejectedUntil if self.ejectedUntil is not None else self.triedUntil

    def _endTrial(self) -> None:
        self.isTried = False
        self.triedUntil = None

    def trialEnded(self, isGood: bool, now: float) -> bool:
        """A request at it ended, and it was not ejected for it.

        @param isGood: False when nothing was learnt: the client left.
        """
        if self.passive is not Passive.TRIAL:
            return False
        self._endTrial()
        if isGood:
            self._acquit()
        return self._settle(now)

    def acquitted(self, now: float) -> bool:
        """What the traffic showed counts no more: nobody watches it now."""
        self._acquit()
        return self._settle(now)

    # What follows.

    def _acquit(self) -> None:
        self.passive = Passive.FIT
        self.passiveDetail = ""
        self.ejectedUntil = None
        self._endTrial()

    def _combine(self, now: float) -> bool:
        """The worst that any check found."""
        records = self.checks.values()
        worst = max((each.active for each in records), key=_GRAVITY.__getitem__, default=Active.UNCHECKED)
        self.activeDetail = ""
        if _GRAVITY[worst] > _GRAVITY[Active.UP]:
            self.activeDetail = next(each.detail for each in records if each.active is worst)
        elif self.advisedShare == 0.0:  # as HAProxy shows a weight of zero
            worst, self.activeDetail = Active.DRAIN, "its weight is 0%"
        self.active = worst
        return self._settle(now)

    def _judged(self) -> Verdict:
        row = rowFor(self.isPresent, self.administrative, self.active, self.passive)
        detail = ""
        if row.administrative is not None:
            detail = self.administrativeDetail or "by the operator"
        elif row.active is not None:
            detail = self.activeDetail
        elif row.passive is not None:
            detail = self.passiveDetail
        return Verdict(row, f"{row.state}: {detail}" if detail else row.state)

    def _settle(self, now: float) -> bool:
        before, verdict = self.verdict, self._judged()
        if verdict == before:
            return False
        self.verdict = verdict
        if verdict.row.state == before.row.state:
            return verdict.traffic is not before.traffic
        self.since = now
        self.changes += 1
        if before.traffic is Traffic.ALL:
            self._mayStartSlowly = True
        self.startsSlowly = verdict.traffic is Traffic.ALL and self._mayStartSlowly and before.row.state in _COLD
        return True


_GRAVITY: Final = {Active.UNCHECKED: 0, Active.UP: 1, Active.DRAIN: 2, Active.DOWN: 3, Active.MAINTENANCE: 4}
