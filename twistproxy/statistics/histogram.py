"""How long things take: counts in buckets that grow evenly in proportion. Pure."""

from __future__ import annotations

from math import ceil, log2
from typing import Any, Final

_STEPS: Final = 4
_LEAST: Final = 0.001
_BUCKETS: Final = 68


def boundary(number: int) -> float:
    """The longest time, in seconds, that the bucket of that number counts: a millisecond, and 19 % more for each."""
    return float(_LEAST * 2.0 ** (number / _STEPS))


class Histogram:
    """Counts of times up to two minutes; the last bucket has what took longer.

    @ivar count: of all.
    @ivar total: of their seconds.
    @ivar longest: in seconds.
    """

    __slots__ = ("_counts", "count", "longest", "total")

    def __init__(self) -> None:
        self._counts = [0] * _BUCKETS
        self.count = 0
        self.total = 0.0
        self.longest = 0.0

    def add(self, seconds: float) -> None:
        """One more."""
        number = 0 if seconds <= _LEAST else min(_BUCKETS - 1, ceil(log2(seconds / _LEAST) * _STEPS - 1e-9))
        self._counts[number] += 1
        self.count += 1
        self.total += seconds
        if seconds > self.longest:
            self.longest = seconds

    def quantile(self, share: float) -> float:
        """The seconds within which that share of all was done: at most 19 % too much; 0 when there are none."""
        wanted, seen = share * self.count, 0
        for number, count in enumerate(self._counts):
            seen += count
            if count and seen >= wanted:
                return min(boundary(number), self.longest) if number < _BUCKETS - 1 else self.longest
        return 0.0

    def buckets(self) -> dict[float, int]:
        """How many took at most so many seconds, each bucket with all before it; only where that changes."""
        found: dict[float, int] = {}
        seen = 0
        for number, count in enumerate(self._counts):
            seen += count
            if count:
                found[boundary(number) if number < _BUCKETS - 1 else float("inf")] = seen
        return found

    def snapshot(self) -> dict[str, Any]:
        """Plain figures."""
        return {
            "count": self.count,
            "total": self.total,
            "mean": self.total / self.count if self.count else 0.0,
            "longest": self.longest,
            **{f"p{round(share * 100)}": self.quantile(share) for share in (0.5, 0.9, 0.99)},
        }
