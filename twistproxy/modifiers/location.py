"""Redirects that lead to where only the proxy can go."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from zope.interface import implementer

from twistproxy.interfaces import IResponseModifier
from twistproxy.messages import InboundRequest, Response
from twistproxy.modifiers.inward import InwardNames, shownOrigin, splitURL
from twistproxy.publicurl import isBelow, publicPrefix

_BEGINNING: Final = re.compile(r"https?://[^/?#]|/(?!/)", re.IGNORECASE)
_PATH: Final = re.compile(rb"([^?#]*)(.*)", re.DOTALL)
_REFRESH: Final = re.compile(rb"(\s*[\d.]*\s*[;,]?\s*url\s*=\s*)([\"']?)(.*)", re.IGNORECASE | re.DOTALL)


@implementer(IResponseModifier)
class RewriteLocation:
    """Turn what Location, Content-Location and Refresh say of an upstream into what its clients call it.

    An absolute URL is rewritten when it names the upstream, by its URL or by the Host that it got; it gets scheme and
    host of the request. Any path, in such a URL or by itself, loses the base path of the upstream's URL and gets back
    what strip-prefix took off. What names another place, or is relative, stays. This is Apache's ProxyPassReverse and
    nginx's proxy_redirect, without the need to say what was configured already.

    @param from_: further URLs or paths that are rewritten, by what they begin with: http\\://app.internal\\:8080/app.
    @param to: what comes in place of them; by default the origin that the client used, and what strip-prefix took off.
    """

    def __init__(self, from_: Sequence[str] = (), to: str = "") -> None:
        """@raise ValueError: when one of them is neither URL nor path."""
        for option, written in [("from", each) for each in from_] + [("to", to)] * bool(to):
            if not _BEGINNING.match(written):
                raise ValueError(f"{option}: {written!r} is no URL, and no path that starts with a slash")
        if to and not from_:
            raise ValueError("to: needs from as well")
        inner = (splitURL(each.encode(), b"") for each in from_)
        self._from = [(origin, prefix.rstrip(b"/")) for origin, prefix in inner]
        self._to = to.rstrip("/").encode()
        self._isTold = bool(to)

    def modify(self, request: InboundRequest, response: Response) -> None:
        """Rewrite the three headers."""
        headers = response.headers
        for name in (b"location", b"content-location", b"refresh"):
            values = headers.getRawHeaders(name)
            if values is not None:
                rewrite = self._refresh if name == b"refresh" else self._url
                spelled = next(item[1] for item in headers.items if item[0] == name)
                headers.setRawHeaders(spelled, [rewrite(request, response, each) for each in values])

    def _refresh(self, request: InboundRequest, response: Response, value: bytes) -> bytes:
        found = _REFRESH.match(value)
        if found is None:
            return value
        before, quote, rest = found.groups()
        url, mark, after = rest.partition(quote) if quote else (rest, b"", b"")
        return before + quote + self._url(request, response, url) + mark + after

    def _url(self, request: InboundRequest, response: Response, url: bytes) -> bytes:
        names = InwardNames(request, response.upstream) if response.upstream is not None else None
        origin, rest = splitURL(url, names.scheme if names is not None else b"http")
        path, tail = _PATH.match(rest).groups()  # type: ignore[union-attr]
        for inner, prefix in self._from:
            if inner == origin and isBelow(path, prefix):
                before = self._to if self._isTold else shownOrigin(request) * (origin is not None) + publicPrefix(request)
                return before + (path[len(prefix) :] or b"/") + tail
        if names is None or (path[:1] != b"/" if origin is None else origin not in names.origins):
            return url
        public = names.publicPath(path or b"/")
        if public is None:
            return url
        return (shownOrigin(request) if origin is not None else b"") + public + tail
