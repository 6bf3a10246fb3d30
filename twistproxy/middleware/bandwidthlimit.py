"""How many bytes of answers a second somebody gets."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from zope.interface import implementer

from twistproxy.interfaces import IMiddleware
from twistproxy.limiting.bandwidth import Buckets
from twistproxy.limiting.keys import limitKey
from twistproxy.messages import InboundRequest, Response
from twistproxy.pacing import paced
from twistproxy.units import Size


@implementer(IMiddleware)
class BandwidthLimit:
    """Send so many bytes of answers' bodies a second, as bandwidth-limit:rate=1MiB:key=client; the upstream is paused meanwhile.

    A token bucket for each key, whose answers get as much each. Heads are not counted, nor are tunnels and uploads. In
    memory is no more of an answer than some 64 KiB and what was read at once.
    """

    def __init__(
        self, rate: Size, *, burst: Size | None = None, key: str = "connection", keys: int = 100_000, context: Any = None
    ) -> None:
        """
        @param rate: bytes a second.
        @param burst: how many bytes may go at once after a rest; by default a tenth of a second's.
        @param key: whose bytes are counted together: C{connection}, C{client}, C{user}, C{header:NAME}, C{cookie:NAME},
            C{query:NAME}, C{host}, C{path}, C{route} for all of them, or C{module.function} of yours, which gets the request
            and returns bytes.
        @param keys: how many keys are remembered at most; the least recent are forgotten.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        if rate < 1:
            raise ValueError("rate is 1 or more")
        if keys < 1:
            raise ValueError("keys is 1 or more")
        self._key: Callable[[InboundRequest], bytes] = _connection if key == "connection" else limitKey(key)
        self._buckets = Buckets(rate, rate / 10 if burst is None else burst, keys)
        self._reactor = context.reactor

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        return proceed().addCallback(partial(self._slow, request))

    def _slow(self, request: InboundRequest, response: Response) -> Response:
        response.addStage(paced(self._reactor, request, self._buckets.of(self._key(request))))
        return response


def _connection(request: InboundRequest) -> bytes:
    """The other end of the connection; over a UNIX socket the request, of which such a connection has one at a time."""
    return str(request.peer).encode() if request.peer.host else request.id.encode()
