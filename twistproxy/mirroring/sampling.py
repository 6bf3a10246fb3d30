"""Which requests are copied, where not all of them are. Pure."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from hashlib import blake2b
from random import Random

from twistproxy.keys import Key
from twistproxy.messages import InboundRequest

Sampler = Callable[[InboundRequest], bool]
"""Says of each request in turn whether it is one of the share."""


class ByCount:
    """Every so many, exactly: the next one whenever fewer than the share have been (Traefik's C{count * 100 < total * percent}).

    The first is one, unless the share is 0.
    """

    def __init__(self, share: float) -> None:
        """@param share: 0.0 to 1.0; parts of a millionth are rounded."""
        exact = Fraction(share).limit_denominator(1_000_000)
        self._part, self._whole = exact.numerator, exact.denominator
        self._taken = self._seen = 0

    def __call__(self, request: InboundRequest) -> bool:
        """Whether this is one of them."""
        self._seen += 1
        isTaken = self._taken * self._whole < self._seen * self._part
        self._taken += isTaken
        return isTaken


class ByChance:
    """Each with the same chance, so that what comes at regular intervals is not always, or never, one of them."""

    def __init__(self, share: float, seed: int) -> None:
        """@param seed: what is drawn depends on it and on how many requests there were."""
        self._share = share
        self._random = Random(seed)

    def __call__(self, request: InboundRequest) -> bool:
        """Whether this is one of them."""
        return self._random.random() < self._share


class ByKey:
    """All or none of those that have the same key, such as a session. Those without it go by count.

    A larger share has all keys of a smaller one. The hash is not that of any balancer, so that a share of the keys is not one
    upstream's.
    """

    def __init__(self, share: float, key: Key) -> None:
        self._key = key
        self._below = int(share * (1 << 64))
        self._others = ByCount(share)

    def __call__(self, request: InboundRequest) -> bool:
        """Whether this is one of them."""
        key = self._key(request)
        if not key:
            return self._others(request)
        return int.from_bytes(blake2b(key, digest_size=8, person=b"mirror").digest()) < self._below
