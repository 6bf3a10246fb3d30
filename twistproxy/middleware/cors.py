"""Which other sites' scripts may read what is here."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.errors import ProxyError
from twistproxy.headeredits import addVary
from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest, Response, isToken
from twistproxy.text.units import Duration

_ORIGIN: Final = re.compile(r"[a-z][a-z0-9+.-]*://(?P<any>\*\.)?(?:[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::\d{1,5})?\Z")
_DEFAULT_PORT: Final = re.compile(r"(http://[^/]*):80\Z|(https://[^/]*):443\Z", re.IGNORECASE)
"""Browsers leave it out."""

_OWN: Final = (
    "Access-Control-Allow-Origin",
    "Access-Control-Allow-Credentials",
    "Access-Control-Expose-Headers",
    "Access-Control-Allow-Methods",
    "Access-Control-Allow-Headers",
    "Access-Control-Max-Age",
)
_Pairs = list[tuple[str, str]]


@implementer(IMiddleware)
class CORS:
    """Let scripts of other sites read answers, as cors:https\\://app.example.com:credentials=yes (Fetch standard, CORS).

    What browsers ask beforehand (a preflight) is answered here, and never comes to an upstream. What upstreams say of CORS
    themselves is replaced. Name it before what asks for passwords: preflights come without.
    """

    def __init__(
        self,
        origins: Sequence[str],
        *,
        methods: Sequence[str] = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"),
        headers: Sequence[str] = ("*",),
        expose: Sequence[str] = (),
        credentials: bool = False,
        maxAge: Duration = 600.0,
    ) -> None:
        """
        @param origins: such as C{https://app.example.com}, C{https://*.example.com} for all below that, or C{*} for all.
        @param methods: that scripts may use.
        @param headers: that scripts may send; C{*}: whichever they ask for.
        @param expose: headers of answers that scripts may read, besides those that all may.
        @param credentials: whether cookies and passwords may come along; not for C{*}.
        @param maxAge: how long browsers remember the answer to what they ask beforehand.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        if not origins:
            raise ValueError("origins: name at least one, or *")
        self._all = "*" in origins
        if self._all and credentials:
            raise ValueError("credentials are for origins that are named, not for *")
        if credentials and "null" in origins:
            raise ValueError("credentials are for origins that are named, and null may be anybody's")
        origins = [_DEFAULT_PORT.sub(r"\1\2", each) for each in origins]
        self._origins = frozenset(each.lower() for each in origins if "*" not in each)
        self._below: list[tuple[str, str]] = []
        for each in origins:
            found = _ORIGIN.match(each.lower())
            if found is None and each not in ("*", "null"):
                raise ValueError(f"origins: {each!r} is no origin such as https://app.example.com")
            if found is not None and found["any"]:
                scheme, _, host = each.lower().partition("*")
                self._below.append((scheme, host))
        for option, names in (("methods", methods), ("headers", headers), ("expose", expose)):
            for name in names:
                if not isToken(name.encode()):
                    raise ValueError(f"{option}: {name!r} is no name")
        self._methods = ", ".join(methods)
        self._anyHeaders = "*" in headers
        self._headers = ", ".join(headers)
        self._expose = ", ".join(expose)
        self._credentials = credentials
        self._maxAge = f"{maxAge:.0f}"

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        given = request.headers.getRawHeaders(b"origin") or []
        origin = given[0].decode("latin-1") if len(given) == 1 else ""
        pairs = self._allowing(origin) if origin else []
        if request.method == b"OPTIONS" and origin and request.headers.hasHeader(b"access-control-request-method"):
            return self._preflight(request, pairs)
        if self._expose and pairs:
            pairs.append(("Access-Control-Expose-Headers", self._expose))
        return proceed().addCallbacks(self._answered, self._failed, (pairs,), {}, (pairs,), {})

    def isAllowed(self, origin: str) -> bool:
        """Whether scripts of this origin may read answers."""
        origin = origin.lower()
        if self._all or origin in self._origins:
            return True
        found = _ORIGIN.match(origin)
        if found is None or found["any"]:
            return False
        return any(origin.startswith(scheme) and origin.endswith(host) and len(origin) > len(scheme) + len(host)
                   for scheme, host in self._below)  # fmt: skip

    def _allowing(self, origin: str) -> _Pairs:
        if not self.isAllowed(origin):
            return []
        pairs = [("Access-Control-Allow-Origin", "*" if self._all else origin)]
        if self._credentials:
            pairs.append(("Access-Control-Allow-Credentials", "true"))
        return pairs

    def _preflight(self, request: InboundRequest, pairs: _Pairs) -> Response:
        response = Response(204, [("Vary", "Origin, Access-Control-Request-Method, Access-Control-Request-Headers")])
        if not pairs:
            return response
        wanted = b", ".join(request.headers.getRawHeaders(b"access-control-request-headers") or []).decode("latin-1")
        names = [each.strip() for each in wanted.split(",") if each.strip()]
        if self._anyHeaders:
            allowed = ", ".join(each for each in names if isToken(each.encode("latin-1")))
        else:
            allowed = self._headers
        pairs = [*pairs, ("Access-Control-Allow-Methods", self._methods), ("Access-Control-Max-Age", self._maxAge)]
        for name, value in [*pairs, ("Access-Control-Allow-Headers", allowed)]:
            if value:
                response.headers.setRawHeaders(name, [value])
        return response

    def _answered(self, response: Response, pairs: _Pairs) -> Response:
        if response.code == 101:
            return response
        headers = response.headers
        for name in _OWN:
            headers.removeHeader(name)
        for name, value in pairs:
            headers.setRawHeaders(name, [value])
        if not self._all:
            addVary(headers, b"Origin")
        return response

    def _failed(self, failure: Failure, pairs: _Pairs) -> Failure:
        """Scripts may read the error page as well."""
        error = failure.value
        if isinstance(error, ProxyError):
            error.headers = [*error.headers, *pairs] if self._all else [*error.headers, *pairs, ("Vary", "Origin")]
        return failure
