"""Whether counts differ from what was expected by more than chance: Pearson's chi-square, without other libraries."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, lgamma, log, sqrt

CHANCE = 1e-6
"""What is less likely than this is no chance: one good balancer in a million is blamed wrongly."""


def chiSquare(counts: Sequence[int], expected: Sequence[float]) -> float:
    """How likely it is that chance alone makes C{counts} differ so much from what was expected, or more.

    @param expected: in any unit: shares, weights or counts; where it is 0, only 0 is no surprise.
    """
    total, whole = sum(counts), sum(expected)
    cells = [(count, total * each / whole) for count, each in zip(counts, expected, strict=True)]
    if any(count and not each for count, each in cells):
        return 0.0
    cells = [cell for cell in cells if cell[1]]
    statistic = sum((count - each) ** 2 / each for count, each in cells)
    return upperGamma((len(cells) - 1) / 2, statistic / 2) if len(cells) > 1 else 1.0


def upperGamma(a: float, x: float) -> float:
    """The regularized upper incomplete gamma function Q(a, x): a series for small C{x}, else Lentz's continued fraction."""
    if x <= 0:
        return 1.0
    front = exp(a * log(x) - x - lgamma(a))
    if x < a + 1:
        term = total = 1 / a
        at = a
        while abs(term) > abs(total) * 1e-12:
            at += 1
            term *= x / at
            total += term
        return 1 - front * total
    tiny = 1e-300
    b = x + 1 - a
    c, d = 1 / tiny, 1 / b
    result = d
    for i in range(1, 1000):
        factor = -i * (i - a)
        b += 2
        d = 1 / (factor * d + b or tiny)
        c = b + factor / c or tiny
        result *= c * d
        if abs(c * d - 1) < 1e-12:
            break
    return front * result


def isClearlyMore(one: int, other: int) -> bool:
    """Whether C{one} of two counts is larger by more than chance would make it: by four and a half standard deviations."""
    return one - other > 4.5 * sqrt(one + other)
