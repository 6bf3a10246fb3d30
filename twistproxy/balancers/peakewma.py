"""The quicker of two, by a moving average that rises at once and falls slowly: Finagle's peak EWMA.

An upstream that becomes slow is avoided with its first slow answer; that it is quick again has to show for a while. What
an upstream costs is its average, times what is under way there with the request at hand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp
from time import monotonic
from typing import Any, Final

from zope.interface import implementer

from twistproxy.balancers.draws import Draws
from twistproxy.balancers.weighted import FAILURES
from twistproxy.interfaces import IExplainingBalancer
from twistproxy.messages import InboundRequest, Outcome, Upstream
from twistproxy.text.units import Duration

_LEAST: Final = 1e-4
"""Seconds that any answer takes: where averages are nearly nothing, what is under way decides."""


class _Average:
    """Of one upstream's times to the first byte, in seconds, as of C{time}."""

    __slots__ = ("seconds", "time")

    def __init__(self, seconds: float, time: float) -> None:
        self.seconds = seconds
        self.time = time


@implementer(IExplainingBalancer)
class PeakEwma:
    """Draw two different upstreams by weight, and pick the one that will answer sooner by what it did of late.

    What is measured is the time to the first byte of the answer. One that failed, and a status of 500 or more, count as at
    least C{penalty}: an upstream that fails at once is not a quick one. An upstream that never answered counts as the mean of
    the others, neither best nor worst. An average fades while nothing is under way, so that nobody is forgotten.
    """

    def __init__(self, decay: Duration = 10.0, penalty: Duration = 1.0, seed: int | None = None, context: Any = None) -> None:
        """
        @param decay: after this time, what was measured before counts for 37 % (1/e).
        @param penalty: what a failure counts as, at least.
        @param seed: makes the draws repeatable, for tests.
        """
        if decay <= 0:
            raise ValueError("decay is more than 0")
        reactor = getattr(context, "reactor", None)
        self._clock = monotonic if reactor is None else reactor.seconds
        self._decay = decay
        self._penalty = penalty
        self._draws = Draws(seed)
        self._averages: dict[str, _Average] = {}
        self._sum = 0.0

    def pick(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Upstream | None:
        """The cheaper of the two."""
        if not candidates:
            return None
        one, other = self._draws.two(candidates)
        if one is other:
            return one
        now = self._clock()
        return other if self._cost(other, now) < self._cost(one, now) else one

    def scores(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Mapping[Upstream, float]:
        """What each costs, in seconds: the less the better."""
        now = self._clock()
        return {each: self._cost(each, now) for each in candidates}

    def _cost(self, upstream: Upstream, now: float) -> float:
        average = self._averages.get(upstream.key)
        under = upstream.inFlight
        if average is None:
            known = len(self._averages)
            seconds = self._sum / known if known else 0.0
        elif under:
            seconds = average.seconds
        else:
            seconds = average.seconds * exp((average.time - now) / self._decay)
        return (seconds + _LEAST) * (under + 1) / (upstream.weight or 1)

    def report(self, upstream: Upstream, outcome: Outcome) -> None:
        """Take the time into the average."""
        seconds = outcome.duration if outcome.firstByteTime is None else outcome.firstByteTime
        average = self._averages.get(upstream.key)
        if outcome.error in FAILURES or outcome.code >= 500:
            seconds = max(seconds, self._penalty)
        elif outcome.firstByteTime is None and (average is None or seconds < average.seconds):
            return  # the client left before it was due: that says nothing
        now = self._clock()
        if average is None:
            self._averages[upstream.key] = _Average(seconds, now)
            self._sum += seconds
            return
        before = average.seconds
        if seconds < before:
            kept = exp((average.time - now) / self._decay)
            seconds = before * kept + seconds * (1 - kept)
        average.seconds, average.time = seconds, now
        self._sum += seconds - before

    def upstreamsChanged(self, upstreams: Sequence[Upstream]) -> None:
        """Forget those that left."""
        known = {each.key for each in upstreams}
        self._averages = {key: average for key, average in self._averages.items() if key in known}
        self._sum = sum(each.seconds for each in self._averages.values())
