"""Who may come, by address."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from zope.interface import implementer

from twistproxy.errors import FORBIDDEN, ProxyError
from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest
from twistproxy.text.networks import NetworkSet, parseNetworks


@implementer(IMiddleware)
class IPFilter:
    """Let clients in by address, as ip-filter:allow=10.0.0.0/8,127.0.0.1 or ip-filter:deny=192.0.2.0/24; others get a 403.

    The address is the client's as trusted proxies tell it. What C{deny} names stays out, even where C{allow} names it
    too; with C{allow}, whoever is not named stays out.

    @param allow: networks and addresses, unix for UNIX sockets.
    @param deny: the same.
    """

    def __init__(self, allow: Sequence[str] = (), deny: Sequence[str] = ()) -> None:
        """@raise ValueError: with a sentence for the person who wrote it."""
        self._allow = _networks("allow", allow)
        self._deny = _networks("deny", deny)
        if not (self._allow or self._deny):
            raise ValueError("wants allow or deny")

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        host = request.client.host
        if host in self._deny or (self._allow and host not in self._allow):
            raise ProxyError(FORBIDDEN, f"ip-filter: {request.client}")
        return proceed()


def _networks(name: str, written: Sequence[str]) -> NetworkSet:
    try:
        return NetworkSet(parseNetworks(",".join(written)))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
