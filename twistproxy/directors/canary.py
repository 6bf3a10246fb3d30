"""A pool for those who ask for it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from zope.interface import implementer

from twistproxy.directors.split import checkPools
from twistproxy.interfaces import IDirector
from twistproxy.keys import keyFrom
from twistproxy.messages import InboundRequest, OutboundRequest, isToken

if TYPE_CHECKING:
    from twistproxy.config import BuildContext


@implementer(IDirector)
class Canary:
    """Send requests that have a certain header or cookie to another pool, as canary:next:cookie=beta:value=yes. All
    others go on to the next director, such as split.

    @param pool: where they go.
    @param header: the name of the header.
    @param cookie: the name of the cookie; with both, either will do.
    @param value: one of these values, exactly; by default any that is not empty.
    """

    def __init__(
        self,
        pool: str,
        header: str = "",
        cookie: str = "",
        value: Sequence[str] = (),
        context: BuildContext | None = None,
    ) -> None:
        """@raise ValueError: when the pool is not there, or nothing says who goes there."""
        checkPools(context, [pool])
        if not header and not cookie:
            raise ValueError("needs header=NAME or cookie=NAME")
        for name in filter(None, (header, cookie)):
            if not isToken(name.encode()):
                raise ValueError(f"{name!r} is not the name of a header or cookie")
        kinds = (("header", header), ("cookie", cookie))
        self._keys = [keyFrom(f"{kind}:{name}") for kind, name in kinds if name]
        self._values = frozenset(each.encode() for each in value)
        self._pool = pool

    def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> str | None:
        """The pool, if this request asks for it."""
        for key in self._keys:
            found = key(inbound)
            if found and (not self._values or found in self._values):
                return self._pool
        return None
