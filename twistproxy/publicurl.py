"""How a client names the proxy: what goes into a redirect that leads back to it. Pure."""

from __future__ import annotations

from typing import Final

from twistproxy.messages import InboundRequest

_OF_WEBSOCKETS: Final = {b"ws": b"http", b"wss": b"https"}


def publicOrigin(request: InboundRequest) -> tuple[bytes, bytes]:
    """Scheme and authority by which the client asked, as far as trusted proxies tell.

    X-Forwarded-Proto and -Host of the request that is sent on say it: a client's own were removed from there. Where
    a director took them out, it is what the connection shows. The scheme of a WebSocket is that of its page.
    """
    headers = request.outbound.headers
    scheme: bytes = headers.get(b"x-forwarded-proto", request.scheme.encode("ascii"))
    host: bytes = headers.get(b"x-forwarded-host", request.headers.get(b"host", b""))
    scheme = scheme.strip().lower()
    return _OF_WEBSOCKETS.get(scheme, scheme), host.strip()


def publicPrefix(request: InboundRequest) -> bytes:
    """What the client's path begins with and the path that is sent on does not; empty for nothing."""
    parts = b",".join(request.outbound.headers.getRawHeaders(b"x-forwarded-prefix", ())).split(b",")
    return b"".join(part.strip().rstrip(b"/") for part in parts)


def splitPort(authority: bytes) -> tuple[bytes, bytes]:
    """Host, an IPv6 address with its brackets, and port of an authority; the port is empty when it names none."""
    host, mark, port = authority.rpartition(b":")
    if not mark or port.endswith(b"]"):
        return authority, b""
    return host, port


def isBelow(path: bytes, prefix: bytes) -> bool:
    """Whether C{path} is C{prefix} or goes on behind it with a further segment. The prefix ends without a slash."""
    return path.startswith(prefix) and path[len(prefix) : len(prefix) + 1] in (b"", b"/")
