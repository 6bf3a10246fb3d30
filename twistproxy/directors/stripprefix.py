"""The upstream does not know below which path the world sees it."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from twistproxy.interfaces import IDirector
from twistproxy.messages import InboundRequest, OutboundRequest
from twistproxy.publicurl import isBelow, publicPrefix


@implementer(IDirector)
class StripPrefix:
    """Take a prefix off the path, by whole segments: strip-prefix:/api makes /users of /api/users and / of /api, and
    leaves /apix and every other path as it is. Bytes are compared as they are on the wire.

    X-Forwarded-Prefix tells the upstream what was taken off, behind what a trusted proxy has taken off before; the
    modifiers rewrite-location and rewrite-cookies put it back.

    @param prefix: what is taken off; of several, the first that fits.
    """

    def __init__(self, prefix: Sequence[str]) -> None:
        """@raise ValueError: when one is no prefix."""
        self._prefixes = [checkedPrefix(each) for each in prefix]
        if not self._prefixes:
            raise ValueError("prefix: needs at least one")

    def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> None:
        """Take off what fits."""
        path = outbound.path
        for prefix in self._prefixes:
            if isBelow(path, prefix):
                outbound.path = path[len(prefix) :] or b"/"
                outbound.headers.setRawHeaders(b"X-Forwarded-Prefix", [publicPrefix(inbound) + prefix])
                return


def checkedPrefix(written: str) -> bytes:
    """A prefix of paths, without a slash at its end.

    @raise ValueError: with a sentence for the person who wrote it.
    """
    prefix = written.rstrip("/").encode()
    if not prefix.startswith(b"/"):
        raise ValueError(f"prefix: {written!r} is not a path such as /api")
    if any(each in b"?#" or not 0x21 <= each <= 0x7E for each in prefix):
        raise ValueError(f"prefix: {written!r} has what a path cannot have; percent-encode it")
    return prefix
