"""Which Host the upstream gets."""

from __future__ import annotations

import re
from typing import Final

from zope.interface import implementer

from twistproxy.interfaces import IDirector
from twistproxy.messages import InboundRequest, OutboundRequest

_AUTHORITY: Final = re.compile(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::\d{1,5})?\Z")


@implementer(IDirector)
class Host:
    """Set the Host that the upstream gets. Without this director it is the client's for http upstreams and the
    upstream's own for https ones. X-Forwarded-Host is the client's in any case.

    @param name: keep for the client's; upstream for that of the upstream's URL; else the host itself, with its port
        where it has one: host:www.example.com\\:8443.
    """

    def __init__(self, name: str) -> None:
        """@raise ValueError: when it is no host."""
        if not _AUTHORITY.match(name):
            raise ValueError(f"name: {name!r} is not keep, upstream, or a host such as www.example.com")
        self._name = name

    def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> None:
        """Set it."""
        if self._name == "upstream":
            outbound.headers.removeHeader(b"host")  # what is not there is filled in with the upstream's own
        elif self._name != "keep":
            outbound.host = self._name
        elif inbound.host:
            outbound.host = inbound.host
