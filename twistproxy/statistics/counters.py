"""What came through one place: counts, rates, failures by their reason, times. Pure."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

from twistproxy.statistics.histogram import Histogram

_SECONDS: Final = 60


class Recent:
    """How many there were in each of the last sixty seconds."""

    __slots__ = ("_counts", "_last")

    def __init__(self) -> None:
        self._counts = [0] * _SECONDS
        self._last = 0

    def add(self, now: float) -> None:
        """One more."""
        at = self._last if int(now) == self._last else self._advance(now)
        self._counts[at % _SECONDS] += 1

    def rate(self, now: float, seconds: int) -> float:
        """How many a second, over so many whole seconds before this one; at most 59."""
        at = self._advance(now)
        return sum(self._counts[(at - back) % _SECONDS] for back in range(1, seconds + 1)) / seconds

    def include(self, other: Recent) -> None:
        """Count all of another one's too."""
        last = max(self._last, other._last)
        self._advance(last)
        other._advance(last)
        self._counts = [mine + its for mine, its in zip(self._counts, other._counts, strict=True)]

    def _advance(self, now: float) -> int:
        second = int(now)
        for each in range(max(self._last + 1, second - _SECONDS + 1), second + 1):
            self._counts[each % _SECONDS] = 0
        self._last = max(self._last, second)
        return self._last % _SECONDS


class Counters:
    """What came through.

    @ivar requests: that ended; of an upstream, tries of them.
    @ivar statuses: how many, by status.
    @ivar failures: how many, by the reason's word.
    @ivar bytesIn: of requests' bodies.
    @ivar bytesOut: of answers' bodies, tunnels included.
    @ivar tunnels: how many became one.
    @ivar latency: seconds, tunnels left out; of requests to the end of the answer, of tries at an upstream to its head.
    """

    __slots__ = ("_recent", "bytesIn", "bytesOut", "failures", "latency", "requests", "statuses", "tunnels")

    def __init__(self) -> None:
        self.requests = 0
        self.statuses: Counter[int] = Counter()
        self.failures: Counter[str] = Counter()
        self.bytesIn = 0
        self.bytesOut = 0
        self.tunnels = 0
        self.latency = Histogram()
        self._recent = Recent()

    def add(self, now: float, status: int, reason: str, seconds: float | None, bytesIn: int, bytesOut: int) -> None:
        """One ended.

        @param status: 0 for none.
        @param reason: the word for its failure; empty for none.
        @param seconds: that it took; None where that is no matter of speed.
        """
        self.requests += 1
        if status:
            self.statuses[status] += 1
        if reason:
            self.failures[reason] += 1
        self.bytesIn += bytesIn
        self.bytesOut += bytesOut
        if seconds is not None:
            self.latency.add(seconds)
        self._recent.add(now)

    def include(self, other: Counters) -> None:
        """Count all of another one's too."""
        self.requests += other.requests
        self.statuses += other.statuses
        self.failures += other.failures
        self.bytesIn += other.bytesIn
        self.bytesOut += other.bytesOut
        self.tunnels += other.tunnels
        self.latency.include(other.latency)
        self._recent.include(other._recent)

    def snapshot(self, now: float) -> dict[str, Any]:
        """Plain figures."""
        return {
            "requests": self.requests,
            "rate": {"1s": self._recent.rate(now, 1), "10s": self._recent.rate(now, 10), "59s": self._recent.rate(now, 59)},
            "statuses": dict(sorted(self.statuses.items())),
            "failures": dict(self.failures),
            "bytesIn": self.bytesIn,
            "bytesOut": self.bytesOut,
            "tunnels": self.tunnels,
            "latency": self.latency.snapshot(),
        }
