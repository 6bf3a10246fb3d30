"""How long things take: counts in buckets that grow evenly in proportion. Pure."""

from __future__ import annotations

from bisect import bisect_left
from math import ceil
from typing import Any, Final

_STEPS: Final = 4
_LEAST: Final = 0.0001
_BUCKETS: Final = 120
_ROUNDING: Final = 1e-6
"""Of a rank: 0.07 * 100 is a little more than 7."""


def boundary(number: int) -> float:
    """The longest time, in seconds, that the bucket of that number counts: 0.1 ms, and 19 % more for each."""
    return float(_LEAST * 2.0 ** (number / _STEPS))


_BOUNDARIES: Final = tuple(boundary(number) for number in range(_BUCKETS - 1))


class Histogram:
    """Counts of times up to 21 hours; the last bucket has what took longer.

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
        self._counts[bisect_left(_BOUNDARIES, seconds)] += 1
        self.count += 1
        self.total += seconds
        if seconds > self.longest:
            self.longest = seconds

    def include(self, other: Histogram) -> None:
        """Count all of another one's too."""
        self._counts = [mine + its for mine, its in zip(self._counts, other._counts, strict=True)]
        self.count += other.count
        self.total += other.total
        self.longest = max(self.longest, other.longest)

    def quantile(self, share: float) -> float:
        """The seconds within which that share of all was done, by nearest rank: at most 19 % too much, where that is more than
        0.1 ms; 0 when there are none."""
        wanted, seen = ceil(share * self.count - _ROUNDING), 0
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
