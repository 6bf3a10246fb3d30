"""So many bytes a second: a token bucket from which bytes are reserved beforehand. Pure.

It is kept as the time at which all that was reserved is paid for (the virtual scheduling form, ITU-T I.371), like
L{twistproxy.limiting.gcra}. Whoever shares a bucket reserves a little at a time, in turn: so each gets as much.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

_TURN: Final = 0.05
"""Seconds' worth of bytes that are reserved at once: short enough to be fair, long enough to be cheap."""

_MAX_TURN: Final = 64 << 10
"""Bytes reserved at once at most."""

_ROUNDING: Final = 1e-9
"""Seconds; what floating point may lose, so that whole bursts come out whole."""


class Bucket:
    """Bytes a second, and so many at once after a rest."""

    __slots__ = ("_paid", "_rate", "_rest", "_turn")

    def __init__(self, rate: float, burst: float) -> None:
        """
        @param rate: bytes a second.
        @param burst: bytes that may go at once when nothing has gone for long enough.
        """
        self._rate = rate
        self._rest = burst / rate
        self._turn = max(1, min(int(rate * _TURN), _MAX_TURN))
        self._paid = float("-inf")

    def grant(self, held: int, now: float) -> tuple[int, float]:
        """L{twistproxy.bodies.pacing.Pace.grant}."""
        size = min(held, self._turn)
        earliest = now - self._rest
        self._paid = max(self._paid, earliest) + size / self._rate
        delay = self._paid - now
        return size, delay if delay > _ROUNDING else 0.0


class Buckets:
    """A bucket for each of many keys. Those that nobody asked for longest are forgotten first."""

    def __init__(self, rate: float, burst: float, maxKeys: int) -> None:
        """@param maxKeys: most keys that are remembered; bytes of one that was forgotten go by a new bucket."""
        self._rate = rate
        self._burst = burst
        self._maxKeys = maxKeys
        self._buckets: OrderedDict[bytes, Bucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def of(self, key: bytes) -> Bucket:
        """That of C{key}."""
        bucket = self._buckets.get(key)
        if bucket is not None:
            self._buckets.move_to_end(key)
            return bucket
        self._buckets[key] = bucket = Bucket(self._rate, self._burst)
        if len(self._buckets) > self._maxKeys:
            self._buckets.popitem(last=False)
        return bucket
