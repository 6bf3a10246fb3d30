"""Plain HTTP leads to HTTPS, and browsers remember it."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final, Literal

from zope.interface import implementer

from twistproxy.errors import ProxyError
from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest, Response
from twistproxy.publicurl import isBelow, publicOrigin, splitPort
from twistproxy.text.units import Duration

_YEAR: Final = 365 * 86400.0
_ELSEWHERE: Final = re.compile(rb"/\.|[%;\\]")


@implementer(IMiddleware)
class RequireHTTPS:
    """Send clients of plain HTTP to HTTPS, and tell those of HTTPS by Strict-Transport-Security (RFC 6797) to come back by
    it, as require-https:hsts=365d:include-subdomains=yes. Behind another proxy, see the setting trusted-proxies.

    @param hsts: how long browsers remember; 0 for not at all. Begin with a short time: there is no way back before its end.
    @param includeSubdomains: whether that holds for all names below this one.
    @param preload: whether browsers may be built with it; see hstspreload.org first.
    @param port: where HTTPS is, if it is not at 443.
    @param code: of the redirect; 308 keeps method and body.
    @param exempt: paths below which plain HTTP is served, for whoever asks for certificates.
    """

    def __init__(
        self,
        hsts: Duration = _YEAR,
        *,
        includeSubdomains: bool = False,
        preload: bool = False,
        port: int = 443,
        code: Literal[301, 302, 307, 308] = 308,
        exempt: str = "/.well-known/acme-challenge/",
    ) -> None:
        """@raise ValueError: when the values do not fit together."""
        if hsts < 0 or (preload and (hsts < _YEAR or not includeSubdomains)):
            raise ValueError("preload needs hsts=365d or more, and include-subdomains=yes")
        if exempt and (not exempt.startswith("/") or not exempt.strip("/")):
            raise ValueError("exempt is a path such as /.well-known, or empty for none: below / is everything")
        words = [f"max-age={hsts:.0f}"]
        words += ["includeSubDomains"] if includeSubdomains else []
        words += ["preload"] if preload else []
        self._policy = "; ".join(words) if hsts else ""
        self._port = b"" if port == 443 else b":%d" % port
        self._code = code
        self._exempt = exempt.rstrip("/").encode()

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """A redirect, or the answer with the header."""
        scheme, authority = publicOrigin(request)
        if scheme == b"https":
            return self._remembered(proceed) if self._policy else proceed()
        host = splitPort(authority)[0]
        if not host or request.path == b"*" or self._isExempt(request.path):
            return proceed()
        return Response(self._code, [(b"Location", b"https://" + host + self._port + request.target)])

    def _isExempt(self, path: bytes) -> bool:
        """Nothing that leads elsewhere, whoever reads it, is."""
        prefix = self._exempt
        return bool(prefix) and isBelow(path, prefix) and not _ELSEWHERE.search(path, len(prefix))

    async def _remembered(self, proceed: Callable[[], Any]) -> Response:
        try:
            response: Response = await proceed()
        except ProxyError as error:
            error.headers = [*error.headers, ("Strict-Transport-Security", self._policy)]
            raise
        response.headers.setRawHeaders("Strict-Transport-Security", [self._policy])
        return response
