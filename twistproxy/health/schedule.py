"""When a health check is run, and how many of its results it takes."""

from __future__ import annotations

from typing import Final, Literal

from attrs import frozen

from twistproxy.settings import Settings, kebab
from twistproxy.upstream.standing import Active

Initial = Literal["up", "down"]

JITTER: Final = 0.1
"""A check comes up to this share of its interval earlier or later, so that many do not fall together."""

AT_ONCE: Final = 16
"""First checks that are begun together; the others of a large pool follow in steps."""

STEP: Final = 0.05
"""Seconds between the steps, at most."""


@frozen
class Schedule:
    """When, and how many; None: as the settings say.

    @ivar interval: seconds from the start of one check of an upstream to that of the next.
    @ivar downInterval: the same while the check says that the upstream is down; None: as C{interval}.
    @ivar timeout: seconds that it may take.
    @ivar rise: good ones in a row that bring an upstream back.
    @ivar fall: failed ones in a row that take it out.
    @ivar initial: C{"up"}: an upstream gets requests before its first check, and until C{fall} have failed; C{"down"}: it
        waits for its first good check, one is enough.
    """

    interval: float | None = None
    timeout: float | None = None
    rise: int | None = None
    fall: int | None = None
    initial: Initial = "up"
    downInterval: float | None = None

    def __attrs_post_init__(self) -> None:
        for name in ("interval", "timeout", "rise", "fall", "downInterval"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{kebab(name)} is more than 0")


@frozen
class Pace:
    """A schedule in which nothing is left open. See there."""

    interval: float
    timeout: float
    rise: int
    fall: int
    initial: Active
    downInterval: float

    @classmethod
    def of(cls, schedule: Schedule | None, settings: Settings) -> Pace:
        """What holds for a check with this schedule, if it has one."""
        wanted = schedule or Schedule()
        return cls(
            wanted.interval or max(settings.healthInterval, 0.1),
            wanted.timeout or settings.healthTimeout,
            wanted.rise or max(settings.healthRise, 1),
            wanted.fall or max(settings.healthFall, 1),
            Active.UNCHECKED if wanted.initial == "up" else Active.DOWN,
            wanted.downInterval or wanted.interval or max(settings.healthInterval, 0.1),
        )

    def next(self, started: float, now: float, random: float, isDown: bool = False) -> float:
        """How long to wait for the next check.

        @param started: when the last one was.
        @param random: from 0 to 1.
        @param isDown: what the last one said.
        """
        interval = self.downInterval if isDown else self.interval
        return max(0.0, started + interval * (1.0 + JITTER * (2.0 * random - 1.0)) - now)


def firstDelay(at: int, count: int, interval: float) -> float:
    """How long the first check of the upstream at place C{at} of C{count} waits: all are begun within an interval."""
    steps = (count - 1) // AT_ONCE + 1
    return at // AT_ONCE * min(STEP, interval / steps)


