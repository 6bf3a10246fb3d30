"""Where a client wants to go: what an absolute target, CONNECT or a redirected connection says. Pure."""

from __future__ import annotations

from typing import Final

from twistproxy.messages import Destination
from twistproxy.wire.http1 import RequestHead

_PORTS: Final = {"http": 80, "https": 443}


def destinationOf(head: RequestHead, redirected: Destination | None) -> Destination | None:
    """The destination of a request; None when it says none.

    @param redirected: that of its connection, which what the request says about itself does not change: who takes the
        client's word would go where the client may not.
    """
    authority = head.authority
    if redirected is not None:
        return redirected
    if authority is None:
        return None
    scheme = "" if head.method == b"CONNECT" else head.scheme or "http"
    text = authority.decode("ascii")
    host, mark, port = text.rpartition(":")
    if not mark or "]" in port:
        host, port = text, ""
    return Destination(scheme, host.strip("[]").lower(), int(port) if port else _PORTS.get(scheme, 0), text)
