"""The end of a transparent proxy's chain of directors: where the client's connection went before it was redirected."""

from __future__ import annotations

from functools import lru_cache
from typing import Final

from zope.interface import implementer

from twistproxy.errors import BAD_REQUEST, DESTINATION_REFUSED, ProxyError
from twistproxy.interfaces import IDirector
from twistproxy.messages import InboundRequest, OutboundRequest, Upstream
from twistproxy.upstream.guard import Guard

_REMEMBERED: Final = 1024


def redirectedTo(inbound: InboundRequest) -> tuple[str, int] | None:
    """Host and port that the client's connection went to; None when it was not redirected."""
    goal = inbound.destination
    return None if goal is None or goal.authority else (goal.host, goal.port)


@implementer(IDirector)
class TransparentDirector:
    """Goes to the address that the client connected to, whatever it says in its request.

    What comes back from ourselves, since the kernel redirects our own connections too, is refused.
    """

    def __init__(self, isLast: bool = True) -> None:
        """@param isLast: whether a connection that was not redirected is refused, and not left to the next director."""
        self._isLast = isLast
        self._guard = guard = Guard(lambda address: True)

        @lru_cache(maxsize=_REMEMBERED)
        def upstream(host: str, port: int) -> Upstream:
            made = Upstream(f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}")
            made.guard = guard
            made.key = f"transparent {made.key}"  # never the connections of one that the configuration names
            return made

        self._upstream = upstream

    def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> Upstream | None:
        """L{IDirector.direct}.

        @raise ProxyError: 400 for a connection that was not redirected, 403 for one of our own.
        """
        there = redirectedTo(inbound)
        if there is None:
            if self._isLast:
                raise ProxyError(BAD_REQUEST, "not redirected: this is a transparent proxy")
            return None
        if self._guard.isOurs(inbound.peer.host, inbound.peer.port):
            raise ProxyError(DESTINATION_REFUSED, "our own connections are redirected to us")
        if inbound.method == b"CONNECT":
            raise ProxyError(BAD_REQUEST, "CONNECT over a redirected connection")
        return self._upstream(*there)
