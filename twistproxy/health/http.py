"""An upstream is well when it answers a request as expected."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from ssl import SSLError
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import Agent, ResponseDone, ResponseFailed
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer

from twistproxy._version import __version__
from twistproxy.health.reaching import UpstreamEndpoint
from twistproxy.health.schedule import Initial, Schedule
from twistproxy.interfaces import IHealthCheck
from twistproxy.messages import Health, Upstream
from twistproxy.plugin import Duration, Size
from twistproxy.tls.contexts import ClientContexts
from twistproxy.tls.errors import explainTLS

_STATUSES: Final = re.compile(r"([1-5])xx|(\d{3})(?:-(\d{3}))?", re.IGNORECASE)


@implementer(IHealthCheck)
class HTTPCheck:
    """Ask for a page, and look at the status, and at the body where that is wanted. Redirects are not followed."""

    def __init__(
        self,
        context: Any,
        path: str = "/",
        status: Sequence[str] = ("2xx", "3xx"),
        body: re.Pattern[bytes] | None = None,
        *,
        method: str = "GET",
        host: str = "",
        headers: Mapping[str, str] | None = None,
        port: int = 0,
        tls: bool | None = None,
        maxBody: Size = 64 << 10,
        interval: Duration | None = None,
        downInterval: Duration | None = None,
        timeout: Duration | None = None,
        rise: int | None = None,
        fall: int | None = None,
        initial: Initial = "up",
    ) -> None:
        """
        @param path: of the server, with a query if need be; the upstream's own path is not put before it.
        @param status: those that are good: C{200}, C{200-299}, C{2xx}; several with commas.
        @param body: what has to be found in the first C{max-body} bytes of the body.
        @param method: HEAD, for example.
        @param host: the Host header; else the upstream's own.
        @param headers: more headers.
        @param port: another than that of the upstream.
        @param tls: whether to speak TLS; else as the upstream's URL says. Certificates are
            verified as those for requests are.
        @param maxBody: more of it is not read.
        @param interval: from the start of one check to the next; else C{health-interval}.
        @param downInterval: the same while the upstream is down; else C{interval}.
        @param timeout: for one check; else C{health-timeout}.
        @param rise: good ones in a row that bring an upstream back; else C{health-rise}.
        @param fall: failed ones in a row that take it out; else C{health-fall}.
        @param initial: C{down}: an upstream gets no requests before its first good check.
        """
        if not path.startswith("/") or not path.isascii() or not path.isprintable() or " " in path or "#" in path:
            raise ValueError(f"path: {path!r} is no path: it starts with a slash; percent-encode what is not allowed in one")
        if not re.fullmatch(r"[A-Z]+", method):
            raise ValueError(f"method: {method!r} is no method")
        if body is not None and method == "HEAD":
            raise ValueError("body: there is none in the answer to HEAD")
        self._reactor = context.reactor
        self._contexts = ClientContexts(context.reactor)
        self._path = path.encode("ascii")
        self._statuses = parseStatuses(status)
        self._body = body
        self._method = method.encode("ascii")
        self._port = port
        self._tls = tls
        self._maxBody = maxBody
        self._timeout = timeout or context.settings.healthTimeout
        self._headers = Headers({"User-Agent": [f"twistproxy/{__version__} (health check)"]})
        for name, value in (headers or {}).items():
            self._headers.setRawHeaders(name, [value])
        if host:
            self._headers.setRawHeaders("Host", [host])
        self.schedule = Schedule(interval, timeout, rise, fall, initial, downInterval)

    async def check(self, upstream: Upstream) -> Health:
        """Ask once."""
        started = self._reactor.seconds()
        location = upstream.location
        isSecure = location.isSecure if self._tls is None else self._tls
        contexts = self._contexts if isSecure else None
        endpoint = UpstreamEndpoint(self._reactor, upstream, self._timeout, self._port, contexts=contexts)
        headers = self._headers.copy()
        if not headers.hasHeader("Host"):
            headers.setRawHeaders("Host", [location.authority])
        agent = Agent.usingEndpointFactory(self._reactor, _Always(endpoint))
        try:
            response = await agent.request(self._method, b"http://upstream" + self._path, headers)
        except ResponseFailed as error:
            if any(each.check(CancelledError) for each in error.reasons):
                raise CancelledError from error
            reasons = [explainTLS(each.value) if each.check(SSLError) else each.getErrorMessage() for each in error.reasons]
            return Health(False, "; ".join(reasons) or "it did not answer", self._reactor.seconds() - started)
        latency = self._reactor.seconds() - started
        reading = _Beginning(self._maxBody)
        response.deliverBody(reading)
        beginning = await reading.done
        if response.code not in self._statuses:
            return Health(False, f"status {response.code}", latency)
        if self._body is not None and not self._body.search(beginning):
            return Health(False, f"status {response.code}, and the body lacks what is looked for", latency)
        return Health(True, f"status {response.code}", latency)


def parseStatuses(words: Sequence[str]) -> frozenset[int]:
    """The statuses that these words name: C{200}, C{200-299}, C{2xx}.

    @raise ValueError: with a sentence for the person who wrote it.
    """
    codes: set[int] = set()
    for word in words:
        found = _STATUSES.fullmatch(word.strip())
        if found is None:
            raise ValueError(f"status: {word!r} is no status (want 200, 200-299 or 2xx)")
        first, last = (int(found[1]) * 100, int(found[1]) * 100 + 99) if found[1] else (int(found[2]), int(found[3] or found[2]))
        if not 200 <= first <= last <= 599:
            raise ValueError(f"status: {word!r} is none from 200 to 599")
        codes.update(range(first, last + 1))
    if not codes:
        raise ValueError("status: none is good")
    return frozenset(codes)


@implementer(IAgentEndpointFactory)
class _Always:
    """Leads everywhere to one place."""

    def __init__(self, endpoint: IStreamClientEndpoint) -> None:
        self._endpoint = endpoint

    def endpointForURI(self, uri: object) -> IStreamClientEndpoint:
        """There."""
        return self._endpoint


class _Beginning(Protocol):
    """Reads a body, or its beginning.

    @ivar done: fires with it; cut off when it is cancelled.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._pieces: list[bytes] = []
        self._size = 0
        self.done: Deferred[bytes] = Deferred(lambda _: self._cut())

    def dataReceived(self, data: bytes) -> None:
        """More of it."""
        self._pieces.append(data[: self._limit - self._size])
        self._size += len(self._pieces[-1])
        if self._size >= self._limit and not self.done.called:
            self._cut()
            self.done.callback(b"".join(self._pieces))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """All of it, or it broke off."""
        if self.done.called:
            return
        if reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(b"".join(self._pieces))
        else:
            self.done.errback(reason)

    def _cut(self) -> None:
        abort: Any = getattr(self.transport, "abortConnection", None) or getattr(self.transport, "stopProducing", None)
        if abort is not None:
            abort()
