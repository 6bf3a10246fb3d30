"""How many requests a second somebody may send."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from math import ceil
from typing import Any, Literal

from twisted.application.service import Service
from zope.interface import implementer

from twistproxy.errors import LIMIT_UNAVAILABLE, RATE_LIMITED, ProxyError
from twistproxy.interfaces import IMiddleware
from twistproxy.limiting.gcra import Decision, LocalLimit, Rate
from twistproxy.limiting.keys import limitKey
from twistproxy.limiting.shared import SharedLimit
from twistproxy.messages import InboundRequest, Response
from twistproxy.plugin import Duration
from twistproxy.text.secret import Secret


@implementer(IMiddleware)
class RateLimit(Service):
    """Let so many requests a second in, as rate-limit:rate=50:burst=10:key=client; others get a 429 with Retry-After.

    A token bucket for each key (GCRA). An IPv6 client is known by its /64 network, since it has all of that. A request
    that lacks what the key is made of counts for its client's address. With C{redis}, proxies share the limit.
    """

    def __init__(
        self,
        rate: float,
        burst: int | None = None,
        key: str = "client",
        keys: int = 100_000,
        headers: bool = False,
        redis: str = "",
        name: str = "",
        password: Secret | None = None,
        fail: Literal["open", "closed", "local"] = "open",
        timeout: Duration = 0.25,
        context: Any = None,
    ) -> None:
        """
        @param rate: requests a second; less than 1 for less than one a second.
        @param burst: how many may come at once beyond the rate; by default a fifth of a second's.
        @param key: whose requests are counted together: C{client}, C{connection}, C{user}, C{header:NAME}, C{cookie:NAME},
            C{query:NAME}, C{host}, C{path}, C{target}, C{route} for all of them, or C{module.function} of yours, which gets the
            request and returns bytes.
        @param keys: how many keys are remembered at most; the least recent are forgotten.
        @param headers: whether answers that pass tell what is left, in RateLimit headers.
        @param redis: host:port of the server where the limit is shared. Needs txredisapi: pip install "twistproxy[redis]".
        @param name: shared limits of the same name, rate and burst are one; by default the key's.
        @param password: Redis's.
        @param fail: while Redis does not answer: C{open} lets all pass, C{closed} none (503), C{local} limits each proxy alone.
        @param timeout: for Redis's answer.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        if rate <= 0:
            raise ValueError("rate is more than 0")
        if burst is not None and burst < 0:
            raise ValueError("burst is 0 or more")
        if keys < 1:
            raise ValueError("keys is 1 or more")
        self.rate = Rate(rate, ceil(rate / 5) if burst is None else burst)
        self.key = limitKey(key)
        self._local = LocalLimit(self.rate, keys)
        self._seconds: Callable[[], float] = context.reactor.seconds
        self._tells = headers
        self._fail = fail
        self._label = name or key
        self._quoted = quoted(self._label)
        self._policy = f"{self._quoted};q={self.rate.quota};w={self.rate.window}"
        self._shared: SharedLimit | None = None
        if redis:
            if find_spec("txredisapi") is None:
                raise ValueError('redis: txredisapi is not installed: pip install "twistproxy[redis]"')
            host, _, port = redis.rpartition(":")
            if not host or not port.isdigit():
                raise ValueError(f"redis: {redis!r} is not host:port")
            place = (host.strip("[]"), int(port))
            self._shared = SharedLimit(self.rate, place, name or key, context.reactor, timeout, password)
        self.allowed = 0
        self.refused = 0
        self.failures = 0

    def startService(self) -> None:
        """Connect to Redis, if that is wanted."""
        super().startService()  # type: ignore[no-untyped-call]
        if self._shared is not None:
            self._shared.start()

    def stopService(self) -> Any:
        """Disconnect."""
        super().stopService()  # type: ignore[no-untyped-call]
        return self._shared.stop() if self._shared is not None else None

    def takeOver(self, before: RateLimit) -> None:
        """At a reload: nobody gets another burst by it."""
        self._local = before._local
        self.allowed, self.refused, self.failures = before.allowed, before.refused, before.failures

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        if self._shared is not None:
            return self._aroundShared(self._shared, request, proceed)
        decision = self._local.take(self.key(request), self._seconds())
        self._judge(decision)
        return self._telling(decision, proceed())

    async def _aroundShared(self, shared: SharedLimit, request: InboundRequest, proceed: Callable[[], Any]) -> Response:
        key = self.key(request)
        try:
            decision: Decision | None = await shared.take(key)
        except Exception:
            self.failures += 1
            if self._fail == "closed":
                raise ProxyError(LIMIT_UNAVAILABLE, f"rate-limit {self._label}: Redis does not answer") from None
            decision = self._local.take(key, self._seconds()) if self._fail == "local" else None
        if decision is None:
            self.allowed += 1
            open: Response = await proceed()
            return open
        self._judge(decision)
        response: Response = await self._telling(decision, proceed())
        return response

    def _judge(self, decision: Decision) -> None:
        if decision.isAllowed:
            self.allowed += 1
            return
        self.refused += 1
        headers = [("Retry-After", str(ceil(decision.retryAfter))), *self._headers(decision)]
        raise ProxyError(RATE_LIMITED, f"rate-limit {self._label}", headers)

    def _headers(self, decision: Decision) -> list[tuple[str, str]]:
        """What draft-ietf-httpapi-ratelimit-headers-11 says, and the older spelling that most clients know, whose limit is what
        may come at once, as with redis-cell."""
        remaining, more = decision.remaining, max(1, ceil(self.rate.untilMore(decision)))
        return [
            ("RateLimit-Policy", self._policy),
            ("RateLimit", f"{self._quoted};r={remaining};t={more}"),
            ("RateLimit-Limit", str(self.rate.burst + 1)),
            ("RateLimit-Remaining", str(remaining)),
            ("RateLimit-Reset", str(more)),
        ]

    def _telling(self, decision: Decision, proceeding: Any) -> Any:
        if not self._tells:
            return proceeding

        def tell(response: Response) -> Response:
            headers, lines = response.headers, self._headers(decision)
            for name, value in lines[:2]:
                headers.addRawHeader(name, value)  # lists, to which each limit adds its own
            if not _isStricter(headers.get("RateLimit-Remaining", ""), decision.remaining):
                for name, value in lines[2:]:
                    headers.setRawHeaders(name, [value])
            return response

        return proceeding.addCallback(tell)


def _isStricter(said: str, remaining: int) -> bool:
    """Whether somebody has said already, in the older spelling, that less is left."""
    return said.isascii() and said.isdigit() and int(said[:9]) < remaining


def quoted(text: str) -> str:
    """As a String of RFC 9651 (structured fields).

    @raise ValueError: when it cannot be one.
    """
    if not text.isascii() or not text.isprintable():
        raise ValueError(f"name: {text!r} cannot be told in a header: printable ASCII can")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
