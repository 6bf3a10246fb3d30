"""The two sides' names for the same place: how an upstream names itself, and how its clients name it. Pure."""

from __future__ import annotations

import re
from typing import Final

from twistproxy.forwarding import joinPath
from twistproxy.messages import InboundRequest, Upstream
from twistproxy.publicurl import isBelow, publicOrigin, publicPrefix, splitPort

_URL: Final = re.compile(rb"(?:([A-Za-z][A-Za-z0-9+.-]*):)?//([^/?#\\]*)")
_PORTS: Final = {b"http": b"80", b"https": b"443"}

Origin = tuple[bytes, bytes, bytes]
"""Scheme, host and port, in lower case, the port always there for http and https."""


def splitURL(url: bytes, scheme: bytes) -> tuple[Origin | None, bytes]:
    """The origin that C{url} names, None for none, and the rest.

    @param scheme: that of a URL that names none but a host.
    """
    found = _URL.match(url)
    if found is None:
        return None, url
    return origin(found[1] or scheme, found[2]), url[found.end() :]


def origin(scheme: bytes, authority: bytes) -> Origin:
    """Of a scheme and an authority."""
    host, port = splitPort(authority.lower())
    return scheme.lower(), host, port or _PORTS.get(scheme.lower(), b"")


def shownOrigin(request: InboundRequest) -> bytes:
    """The origin that the client knows, as a URL begins; empty when it said none."""
    scheme, authority = publicOrigin(request)
    return b"%b://%b" % (scheme, authority) if authority else b""


class InwardNames:
    """What one request's upstream is called, from within and from without.

    @ivar scheme: how the upstream is spoken to.
    @ivar origins: how it may name itself: as in its URL, and as the Host that it got.
    @ivar hosts: the hosts of these.
    """

    def __init__(self, request: InboundRequest, upstream: Upstream) -> None:
        self._request = request
        location = upstream.location
        self.scheme = location.scheme.encode("ascii")
        self._base = location.basePath.rstrip(b"/")
        self.origins = {origin(self.scheme, location.authority)}
        outbound = request.outbound
        if outbound.host and (outbound.hostSet or not location.isSecure):
            self.origins.add(origin(self.scheme, outbound.host.encode("utf-8")))
        self.hosts = {each[1] for each in self.origins}

    def publicPath(self, path: bytes) -> bytes | None:
        """A path of the upstream's as clients see it; None when they do not see it.

        Without the base path of the upstream's URL, and behind the prefix that was stripped, unless it is there already.
        """
        if self._base:
            if not isBelow(path, self._base):
                return None
            path = path[len(self._base) :]
        prefix = publicPrefix(self._request)
        if prefix and not isBelow(path, prefix):
            return joinPath(prefix, path)
        return path or b"/"

