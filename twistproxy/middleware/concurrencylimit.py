"""How many requests may be under way at once."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Any, Final

from zope.interface import implementer

from twistproxy.errors import CONCURRENCY_LIMITED, TOO_MANY_AT_ONCE, ErrorKind, ProxyError
from twistproxy.interfaces import IMiddleware
from twistproxy.limiting.keys import limitKey
from twistproxy.messages import InboundRequest
from twistproxy.text.units import Duration

_OF_WHAT_IS_ASKED: Final = frozenset({"route", "host", "path", "target"})
"""Keys that say nothing of who asks: when there are too many of one, nobody in particular is to blame."""


@implementer(IMiddleware)
class ConcurrencyLimit:
    """Let so many requests be under way at once, as concurrency-limit:max=100:key=route; others are refused at once.

    A request counts until the last byte of its answer is out, or its tunnel is closed. Each client (or header, cookie, query)
    that has too many gets a 429; where the limit is on a route, host or path, whoever comes next gets a 503. Both have
    Retry-After. To have requests wait instead, see the setting of upstreams C{max-conns}.

    @ivar inFlight: for each key, how many are under way; those with none are not there.
    @ivar allowed: how many were let in.
    @ivar refused: how many were not.
    """

    def __init__(self, max: int, *, key: str = "route", retryAfter: Duration = 1.0) -> None:
        """
        @param max: how many at once for each key.
        @param key: whose requests are counted together: C{route} for all of them, C{client}, C{connection}, C{user},
            C{header:NAME}, C{cookie:NAME}, C{query:NAME}, C{host}, C{path}, C{target}, or C{module.function} of yours, which
            gets the request and returns bytes.
        @param retryAfter: when those who are refused may come again.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        if max < 1:
            raise ValueError("max is 1 or more")
        self._max = max
        self._key = limitKey(key)
        self._detail = f"concurrency-limit {key}"
        self._kind: ErrorKind = TOO_MANY_AT_ONCE if key in _OF_WHAT_IS_ASKED else CONCURRENCY_LIMITED
        self._headers = [("Retry-After", str(ceil(retryAfter)))]
        self.inFlight: dict[bytes, int] = {}
        self.allowed = 0
        self.refused = 0

    def takeOver(self, before: ConcurrencyLimit) -> None:
        """At a reload: what is under way counts until it ends."""
        self.inFlight, self.allowed, self.refused = before.inFlight, before.allowed, before.refused

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        key = self._key(request)
        count = self.inFlight.get(key, 0)
        if count >= self._max:
            self.refused += 1
            raise ProxyError(self._kind, self._detail, self._headers)
        self.allowed += 1
        self.inFlight[key] = count + 1
        request.whenFinished(partial(self._finished, key))
        return proceed()

    def _finished(self, key: bytes, exchange: Any) -> None:
        count = self.inFlight[key] - 1
        if count:
            self.inFlight[key] = count
        else:
            del self.inFlight[key]
