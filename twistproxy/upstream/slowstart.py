"""Slow start: an upstream that came back gets its share little by little, whatever the balancer. So does one whose agent
asks for less than its weight.

It is a candidate for some of the requests only, so that it gets a tenth of its share at first, and all in the end. So a
balancer that looks for the least busy does not pour everything on who has just come up, and none has to know about it. The
share grows in proportion to the time, as HAProxy's C{slowstart}, and does not begin below a tenth, as Envoy's
C{min_weight_percent}.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Final

from twistproxy.messages import Upstream
from twistproxy.upstream.candidates import Candidates

LEAST: Final = 0.1
"""The share at the beginning."""

_MOST_KEPT: Final = 64
_LONG_AGO: Final = float("-inf")


class SlowStart:
    """Who is warming up in one pool, or wants less than its share.

    @ivar since: those that are, with the time at which they came back, and those that want less; empty most of the time.
    """

    def __init__(self, window: float, seconds: Callable[[], float], random: Callable[[], float] | None = None) -> None:
        """
        @param window: seconds until an upstream has its whole share; 0: none.
        @param seconds: the clock.
        @param random: gives numbers from 0 to 1.
        """
        self.since: dict[Upstream, float] = {}
        self._advised: dict[Upstream, float] = {}
        self._window = window
        self._seconds = seconds
        self._random = random or Random().random
        self._kept: dict[tuple[Upstream, ...], Candidates] = {}
        self._of: Candidates | None = None
        self._total = 0

    def begin(self, upstream: Upstream) -> None:
        """It came back."""
        if self._window:
            self.since[upstream] = self._seconds()

    def end(self, upstream: Upstream) -> None:
        """It is gone again."""
        self.since.pop(upstream, None)
        self._advised.pop(upstream, None)

    def advise(self, upstream: Upstream, share: float) -> None:
        """It wants so much of its share, whether it warms up or not; 1 or more is all of it."""
        if share < 1.0:
            self._advised[upstream] = share
            self.since.setdefault(upstream, _LONG_AGO)
        else:
            self._advised.pop(upstream, None)

    def share(self, upstream: Upstream) -> float:
        """How much of its share it gets now: from a tenth to 1, or what it wants."""
        since = self.since.get(upstream)
        if since is None:
            return 1.0
        wanted = self._advised.get(upstream, 1.0)
        if since == _LONG_AGO:
            return wanted
        return min(1.0, max(LEAST, (self._seconds() - since) / self._window)) * wanted

    def _inclusion(self, upstream: Upstream, share: float, candidates: Candidates) -> float:
        """In which part of the picks it has to be a candidate to get its share of the requests.

        With weight C{w} of C{W} together it should get C{s*w/(W-w+s*w)} of them, and gets C{w/W} of those for which it is
        a candidate. Where the others want less than theirs too, this is near enough.
        """
        if candidates is not self._of:
            self._of, self._kept = candidates, {}
            self._total = sum(each.weight for each in candidates)
        weight, total = upstream.weight, self._total
        rest = total - weight + share * weight
        return share * total / rest if rest else 1.0

    def thin(self, candidates: Candidates) -> Candidates:
        """Those of C{candidates} that may be asked for this request; never nobody."""
        left: list[Upstream] = []
        for upstream in list(self.since):
            share = self.share(upstream)
            if share >= 1.0:
                del self.since[upstream]
            elif upstream in candidates and self._random() >= self._inclusion(upstream, share, candidates):
                left.append(upstream)
        if not left or len(left) == len(candidates):
            return candidates
        if len(self._kept) > _MOST_KEPT:
            self._kept = {}
        key = tuple(left)
        thinned = self._kept.get(key)
        if thinned is None:
            thinned = self._kept[key] = Candidates((each for each in candidates if each not in left), candidates.draining)
        return thinned
