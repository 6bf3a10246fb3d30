"""What becomes of each request on purpose, and the pace of sliced and late bodies. Pure.

The words are those of toxiproxy. The fate of the n-th request depends on the seed and n alone: each takes the same number
of random numbers, whatever is done with them.
"""

from __future__ import annotations

from random import Random

from attrs import frozen


@frozen
class Fate:
    """What happens to one request.

    @ivar isHit: whether anything does.
    @ivar latency: seconds of delay.
    @ivar seed: of what is random further on.
    """

    isHit: bool
    latency: float
    seed: int


class Fates:
    """One fate after the other."""

    def __init__(self, seed: int, share: float, latency: float, jitter: float) -> None:
        """
        @param share: of the requests that are hit, up to 1.0.
        @param latency: seconds.
        @param jitter: seconds by which the latency may differ, both ways.
        """
        self._random = Random(seed)
        self._share = share
        self._latency = latency
        self._jitter = jitter

    def next(self) -> Fate:
        """That of the next request."""
        random = self._random
        isHit = random.random() < self._share
        latency = self._latency + self._jitter * (2 * random.random() - 1)
        return Fate(isHit, max(0.0, latency), random.getrandbits(32))


class Delays:
    """What comes late, one piece after the other."""

    def __init__(self, latency: float, jitter: float, seed: int) -> None:
        """
        @param latency: seconds on average.
        @param jitter: seconds by which a delay may differ from that, both ways.
        """
        self._latency = latency
        self._jitter = jitter
        self._random = Random(seed)

    def next(self) -> float:
        """The delay of the next piece."""
        return max(0.0, self._latency + self._jitter * (2 * self._random.random() - 1))


class Slices:
    """The L{twistproxy.bodies.pacing.Pace} of a body in small pieces. They end at the same bytes however the body comes in."""

    def __init__(self, size: int, variation: int, delay: float, seed: int) -> None:
        """
        @param size: bytes of a slice on average.
        @param variation: bytes by which a slice may differ from that, both ways; less than C{size}.
        @param delay: seconds from one slice to the next.
        """
        self._size = size
        self._variation = variation
        self._delay = delay
        self._random = Random(seed)
        self._left = self._next()
        self._isAtStart = False  # of a slice that is not the first

    def _next(self) -> int:
        return self._size + self._random.randint(-self._variation, self._variation)

    def grant(self, held: int, now: float) -> tuple[int, float]:
        """L{twistproxy.bodies.pacing.Pace.grant}."""
        delay = self._delay if self._isAtStart else 0.0
        size = min(held, self._left)
        self._left -= size
        self._isAtStart = not self._left
        if not self._left:
            self._left = self._next()
        return size, delay
