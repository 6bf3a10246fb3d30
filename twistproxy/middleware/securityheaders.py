"""What browsers are told for safety."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.errors import ProxyError
from twistproxy.headeredits import checkedNames
from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest, Response, headerItem


@implementer(IMiddleware)
class SecurityHeaders:
    """Have browsers take less for granted, as security-headers:frames=deny:csp=default-src 'self'. What an upstream says itself
    stays, unless C{override=yes}. For HTTPS only, see require-https.
    """

    def __init__(
        self,
        *,
        nosniff: bool = True,
        frames: Literal["deny", "sameorigin", "any"] = "sameorigin",
        referrer: str = "strict-origin-when-cross-origin",
        csp: str = "",
        permissions: str = "",
        opener: str = "",
        remove: Sequence[str] = ("Server", "X-Powered-By"),
        override: bool = False,
    ) -> None:
        """
        @param nosniff: X-Content-Type-Options: content types are as they are said to be.
        @param frames: X-Frame-Options: who may show pages in frames; C{any} for no header.
        @param referrer: Referrer-Policy; empty for none.
        @param csp: Content-Security-Policy; empty for none.
        @param permissions: Permissions-Policy; empty for none.
        @param opener: Cross-Origin-Opener-Policy, such as C{same-origin}; empty for none.
        @param remove: headers of upstreams that tell too much.
        @param override: whether what upstreams say of the same is replaced.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        wanted = {
            "X-Content-Type-Options": "nosniff" if nosniff else "",
            "X-Frame-Options": "" if frames == "any" else frames.upper(),
            "Referrer-Policy": referrer,
            "Content-Security-Policy": csp,
            "Permissions-Policy": permissions,
            "Cross-Origin-Opener-Policy": opener,
        }
        self._items = [headerItem(name.encode(), value)[1:] for name, value in wanted.items() if value]
        self._remove = checkedNames("remove", remove)
        self._overrides = override

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        return proceed().addCallbacks(self._answered, self._failed)

    def _answered(self, response: Response) -> Response:
        headers = response.headers
        for name in self._remove:
            headers.removeHeader(name)
        if response.code != 101:
            for name, value in self._items:
                if self._overrides or not headers.hasHeader(name):
                    headers.setRawHeaders(name, [value])
        return response

    def _failed(self, failure: Failure) -> Failure:
        """Error pages are pages too."""
        error = failure.value
        if isinstance(error, ProxyError):
            error.headers = [*error.headers, *((name.decode(), value.decode()) for name, value in self._items)]
        return failure
