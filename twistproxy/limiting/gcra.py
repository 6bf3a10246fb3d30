"""A rate with a burst, by the generic cell rate algorithm (GCRA; ITU-T I.371, the "virtual scheduling" form). Pure.

It is a token bucket that needs one number for each key: when the next request would come if all came evenly, the
"theoretical arrival time". One that comes more than C{burst} intervals before that is refused, and changes nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from math import ceil, floor
from typing import Final

from attrs import frozen

_ROUNDING: Final = 1e-9
"""Seconds; what floating point may lose, so that whole bursts come out whole."""


@frozen
class Decision:
    """What a limit says about one request.

    @ivar isAllowed: whether it may pass.
    @ivar retryAfter: seconds until one would pass; 0 for one that may.
    @ivar remaining: how many more would pass now.
    @ivar reset: seconds until the whole burst is there again.
    """

    isAllowed: bool
    retryAfter: float
    remaining: int
    reset: float


@frozen
class Rate:
    """So many requests a second, and so many more at once.

    @ivar perSecond: of requests.
    @ivar burst: how many may come too early.
    """

    perSecond: float
    burst: int

    @property
    def interval(self) -> float:
        """Seconds from one request to the next, when all come evenly."""
        return 1.0 / self.perSecond

    @property
    def tolerance(self) -> float:
        """Seconds by which a request may come too early."""
        return self.burst / self.perSecond

    @property
    def window(self) -> int:
        """The least whole seconds in which as many may come as may come at once after a rest."""
        return max(1, ceil((self.burst + 1) / self.perSecond - _ROUNDING))

    @property
    def quota(self) -> int:
        """How many may come in each L{window}, as the rate goes."""
        return floor(self.perSecond * self.window + _ROUNDING)

    def untilMore(self, decision: Decision) -> float:
        """Seconds until there is more than a decision has left: all of the burst, or one, if nothing is left."""
        if not decision.isAllowed:
            return decision.retryAfter
        return decision.reset if decision.remaining else max(0.0, decision.reset - self.tolerance)

    def decide(self, ahead: float) -> Decision:
        """About a request that comes C{ahead} seconds before it would, if all came evenly; at least 0."""
        if ahead > self.tolerance + _ROUNDING:
            return Decision(False, ahead - self.tolerance, 0, ahead)
        ahead += self.interval
        left = self.tolerance - ahead + _ROUNDING
        return Decision(True, 0.0, floor(left * self.perSecond + _ROUNDING) + 1 if left >= 0 else 0, ahead)


class LocalLimit:
    """A limit for each of many keys, in this process. The keys that nobody asked about for longest are forgotten first."""

    def __init__(self, rate: Rate, maxKeys: int) -> None:
        """@param maxKeys: most keys that are remembered."""
        self.rate = rate
        self._maxKeys = maxKeys
        self._due: OrderedDict[bytes, float] = OrderedDict()

    def __len__(self) -> int:
        return len(self._due)

    def take(self, key: bytes, now: float) -> Decision:
        """A request of C{key} comes.

        @param now: in seconds, never going back.
        """
        due = self._due.pop(key, 0.0)
        decision = self.rate.decide(due - now if due > now else 0.0)
        self._due[key] = now + decision.reset if decision.isAllowed else due
        if len(self._due) > self._maxKeys:
            self._due.popitem(last=False)
        return decision
