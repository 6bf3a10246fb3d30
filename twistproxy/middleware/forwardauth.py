"""Another server says who may pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError
from zope.interface import implementer

from twistproxy.errors import AUTH_UNAVAILABLE, BAD_REQUEST, ProxyError
from twistproxy.forwarding import FORWARDING
from twistproxy.headeredits import HeaderEdits, OwnHeaders, checkedNames
from twistproxy.interfaces import IMiddleware
from twistproxy.messages import USER, Headers, InboundRequest, Response
from twistproxy.permissions.fetching import agent, authoritiesIn, described, isDocumentURL, readLimited, within
from twistproxy.plugin import Duration
from twistproxy.publicurl import publicOrigin
from twistproxy.runsecret import runSecret

_MAX_BYTES: Final = 1 << 20
"""Longest body of an answer."""

_NOT_SENT: Final = HeaderEdits(
    remove=[
        "Host", "Content-*", "Expect", "Range", "If-*", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Forwarded-For",
        "X-Original-*", "X-Rewrite-URL",
    ]
)  # fmt: skip
"""Of the client's headers: what is true of its request only, and what could make the server judge another one. So could any
X-Forwarded-* that no proxy has written."""

_CREDENTIALS: Final = frozenset({b"authorization", b"cookie"})
"""What a server judges by; it gets them even where the upstream gets others from it."""

_ASKING: Final = b"X-Forward-Auth-Asking"
"""The header of a question by which one that comes back is known."""


_OWN: Final = (
    "Connection", "Content-Length", "Host", "TE", "Trailer", "Transfer-Encoding", "Upgrade", "X-Forwarded-For", "X-Real-IP",
)  # fmt: skip
"""Of the headers that the proxy itself writes, those that a star might take by mistake."""

_Pairs = list[tuple[bytes, bytes]]


@implementer(IMiddleware)
class ForwardAuth(Service):
    """Ask another server whether a request may pass, as forward-auth:url=http\\://127.0.0.1\\:9001/auth:copy=Remote-User.

    It gets a GET with the client's headers and no body, and X-Forwarded-Method, -Proto, -Host, -Uri and -For, as from
    Traefik and Caddy; and X-Original-Method and -URL. An answer 2xx lets the request pass; any other goes to the client,
    redirects to a login and their cookies too. While there is no answer, nobody passes (503).

    What C{copy} names is taken out of the client's request first, in every spelling, also where the answer has none.
    """

    def __init__(
        self,
        url: str,
        copy: Sequence[str] = (),
        send: Sequence[str] = (),
        toClient: Sequence[str] = (),
        user: str = "",
        timeout: Duration = 5.0,
        ca: Path | None = None,
        context: Any = None,
    ) -> None:
        """
        @param url: of the server; redirects are not followed.
        @param copy: headers of its answer that the upstream gets; a star at the end of a name stands for anything.
        @param send: the client's headers that it gets; by default all but those that copy names, of which it gets
            Authorization and Cookie.
        @param toClient: headers of an answer 2xx that the client gets, such as Set-Cookie.
        @param user: the header of an answer 2xx that names the user, for access logs.
        @param timeout: for all of an answer.
        @param ca: a PEM file with the authorities that may say who the server is; by default those of the platform.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        if not isDocumentURL(url) or not url.isascii():
            raise ValueError("url: the server is at http://... or https://...; within a plugin string a colon is written \\:")
        if timeout <= 0:
            raise ValueError("timeout is more than 0")
        from twisted.web.client import HTTPConnectionPool

        self._url = url.encode()
        self._mark = sha256(runSecret() + self._url).hexdigest()[:32].encode()
        self._copied = _Names("copy", copy)
        self._own = OwnHeaders(copy)
        self._sent = _Names("send", send) if send else None
        self._told = _Names("to-client", toClient)
        checkedNames("user", [user] if user else [])
        self._user = user
        self._timeout = timeout
        self._reactor = context.reactor
        self._pool = HTTPConnectionPool(context.reactor)
        self._pool.maxPersistentPerHost = 32
        self._agent: Any = agent(context.reactor, timeout, self._pool, authoritiesIn(ca) if ca else None)
        self.allowed = 0
        self.refused = 0
        self.failures = 0

    def stopService(self) -> Any:
        """Close its connections."""
        super().stopService()  # type: ignore[no-untyped-call]
        return self._pool.closeCachedConnections()

    async def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Response:
        """L{IMiddleware.around}."""
        headers = request.outbound.headers
        if len(request.headers.getRawHeaders(b"authorization", ())) > 1:
            raise ProxyError(BAD_REQUEST, "forward-auth: there is more than one Authorization")
        question = self._question(request)
        self._own.take(request)
        if self._mark in request.headers.getRawHeaders(_ASKING, ()):
            raise ProxyError(AUTH_UNAVAILABLE, "forward-auth: asks itself: url leads to where it is asked")
        try:
            items, refusal = await within(self._ask(question), self._timeout, self._reactor)
        except CancelledError:
            raise  # the client left
        except Exception as error:
            self.failures += 1
            raise ProxyError(AUTH_UNAVAILABLE, f"forward-auth: {described(error)}") from None
        if refusal is not None:
            self.refused += 1
            return refusal
        self.allowed += 1
        for name, value in items:
            if self._copied.has(name):
                headers.addRawHeader(name, value)
        told = [(name, value) for name, value in items if self._told.has(name)]
        user = Headers(items).get(self._user) if self._user else None
        if user:
            request.state[USER] = user
        try:
            response: Response = await proceed()
        except ProxyError as failed:
            failed.headers = [*failed.headers, *((name.decode(), value.decode(errors="replace")) for name, value in told)]
            raise
        for name, value in told:
            response.headers.addRawHeader(name, value)
        return response

    async def _ask(self, question: _Pairs) -> tuple[_Pairs, Response | None]:
        """The headers of the answer, and what the client gets of it if it may not pass."""
        from twisted.web.http_headers import Headers as AgentHeaders

        sent = AgentHeaders()
        for name, value in question:
            sent.addRawHeader(name, value)
        answer = await self._agent.request(b"GET", self._url, sent)
        body = await readLimited(answer, _MAX_BYTES)
        items = [(name, value) for name, values in answer.headers.getAllRawHeaders() for value in values]
        if 200 <= answer.code < 300:
            Headers(items)  # complains of what cannot be sent on
            return items, None
        if answer.code == 304:
            raise ValueError("it answered 304, which was not asked for")
        return items, Response(answer.code, items, body)

    def _question(self, request: InboundRequest) -> _Pairs:
        """The headers of the question."""
        scheme, host = publicOrigin(request)
        headers = request.outbound.headers.copy()
        passed = b", ".join(headers.getRawHeaders(b"x-forwarded-for", ())) or str(request.client.host).encode()
        _NOT_SENT.apply(headers)
        items = [
            (name, value)
            for lower, name, value in headers.items
            if (self._sent is None or self._sent.has(name) or lower == _ASKING.lower())
            and (lower in FORWARDING or not lower.replace(b"_", b"-").startswith(b"x-forwarded-"))
            and (lower in _CREDENTIALS or not self._own.has(lower))
        ]
        method, target = request.method, request.target
        return [
            *items,
            (_ASKING, self._mark),
            *([(b"X-Forwarded-For", passed)] if passed else []),
            (b"X-Forwarded-Method", method),
            (b"X-Forwarded-Proto", scheme),
            (b"X-Forwarded-Host", host),
            (b"X-Forwarded-Uri", target),
            (b"X-Original-Method", method),
            (b"X-Original-URL", scheme + b"://" + host + target),
        ]


class _Names:
    """Names of headers, some with a star at their end."""

    def __init__(self, option: str, names: Sequence[str]) -> None:
        """@raise ValueError: with a sentence for the person who wrote it."""
        checkedNames(option, [each.removesuffix("*") for each in names])
        if option == "copy" and any(each.lower() == "host" for each in names):
            raise ValueError("copy: the director host sets Host")
        self._names = frozenset(each.lower().encode() for each in names if not each.endswith("*"))
        self._prefixes = tuple(each[:-1].lower().encode() for each in names if each.endswith("*"))
        for each in names if option == "copy" else ():
            taken = next((own for own in _OWN if each.endswith("*") and own.lower().startswith(each[:-1].lower())), None)
            if taken is not None:
                raise ValueError(f"copy: {each} would take {taken} too, which is the proxy's: name those that are meant")

    def has(self, name: bytes) -> bool:
        lower = name.lower()
        return lower in self._names or (lower.startswith(self._prefixes) and lower != b"host")
