"""How many requests a second come on each connection. Pure."""

from __future__ import annotations

from typing import Protocol

from twistproxy.errors import CONNECTION_RATE, ProxyError
from twistproxy.limiting.gcra import Rate


class Requesting(Protocol):
    """A client's connection.

    @ivar requestsDue: when its next request would come, if all came evenly; 0 before the first.
    """

    requestsDue: float


class RequestRate:
    """The most requests a second on one connection, and so many at once. Its state is the connection's."""

    def __init__(self, perSecond: int) -> None:
        """@param perSecond: 1 or more."""
        self._rate = Rate(perSecond, perSecond - 1)

    def requestCame(self, connection: Requesting, now: float) -> None:
        """A request came.

        @param now: in seconds, never going back.
        @raise ProxyError: when it is one too many.
        """
        decision = self._rate.decide(max(0.0, connection.requestsDue - now))
        if not decision.isAllowed:
            raise ProxyError(CONNECTION_RATE, headers=[("Retry-After", "1")])
        connection.requestsDue = now + decision.reset
