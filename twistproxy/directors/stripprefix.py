"""The upstream does not know below which path the world sees it."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from twistproxy.directors.prefixes import PathPrefix
from twistproxy.interfaces import IDirector
from twistproxy.messages import InboundRequest, OutboundRequest
from twistproxy.publicurl import publicPrefix


@implementer(IDirector)
class StripPrefix:
    """Take a prefix off the path, by whole segments: strip-prefix:/api makes /users of /api/users and / of /api, and
    leaves /apix and every other path as it is. Paths are compared as routes compare them: %61 is a, /./ and /../ are
    resolved, empty segments do not count. What is left stays byte for byte, unless the client wrote /./ or /../.

    X-Forwarded-Prefix tells the upstream what was taken off, behind what a trusted proxy has taken off before; by it
    the modifiers rewrite-location and rewrite-cookies know what to put back.

    @param prefix: what is taken off; of several, the first that fits.
    """

    def __init__(self, prefix: Sequence[str]) -> None:
        """@raise ValueError: when one is no prefix."""
        self._prefixes = [PathPrefix(each) for each in prefix]
        if not self._prefixes:
            raise ValueError("prefix: needs at least one")

    def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> None:
        """Take off what fits."""
        for prefix in self._prefixes:
            rest = prefix.rest(outbound.path)
            if rest is not None:
                outbound.path = rest
                outbound.headers.setRawHeaders(b"X-Forwarded-Prefix", [publicPrefix(inbound) + prefix.path])
                return

