"""The query: passed on as it came, cleaned, or with parameters set and removed."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Final, Literal
from urllib.parse import quote, unquote_to_bytes

from zope.interface import implementer

from twistproxy.headeredits import HeaderValues
from twistproxy.interfaces import IDirector
from twistproxy.messages import InboundRequest, OutboundRequest

MAX_PARAMETERS: Final = 10_000
"""A query with more is dropped by L{cleanQuery}, as by Go since CVE-2026-39825."""

_BAD: Final = re.compile(rb";|%(?![0-9A-Fa-f]{2})")
_PLAIN: Final = "-._~!$'()*,/:@"


@implementer(IDirector)
class Query:
    """Change the query of the request that is sent on, as query:remove=utm_source,utm_medium:set=lang=en.

    What is not named stays byte for byte as the client wrote it, in its order. Names are compared decoded, so that
    no spelling of them gets past.

    @param policy: raw sends the query on as it is. clean drops the parameters that programs read in different ways,
        those with a ; or a broken % in them, and a query of more than 10000 parameters altogether: for upstreams that
        must see no other parameters than a director has looked at.
    @param remove: parameters to be removed.
    @param set: NAME=VALUE, in place of all parameters of that name; a name given twice gets two. They are
        percent-encoded.
    """

    def __init__(
        self, policy: Literal["raw", "clean"] = "raw", *, remove: Sequence[str] = (), set: HeaderValues | None = None
    ) -> None:
        self._isClean = policy == "clean"
        values = {name: [each] if isinstance(each, str) else each for name, each in (set or {}).items()}
        self._set = {name.encode(): [_pair(name, each) for each in every] for name, every in values.items()}
        self._removed = frozenset(each.encode() for each in remove)

    def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> None:
        """Change the query."""
        query = outbound.query
        if self._isClean and query is not None:
            query = cleanQuery(query)
        if self._set or (self._removed and query):
            query = self._edited(query.split(b"&") if query else ())
        if query != outbound.query:
            outbound.query = query

    def _edited(self, pairs: Iterable[bytes]) -> bytes | None:
        made: list[bytes] = []
        left = dict(self._set)
        for pair in pairs:
            name = _decoded(pair.partition(b"=")[0])
            if name in self._set:
                made += left.pop(name, ())
            elif name not in self._removed:
                made.append(pair)
        for more in left.values():
            made += more
        return b"&".join(made) if made else None


def cleanQuery(query: bytes) -> bytes | None:
    """C{query} without what parsers do not agree upon; None when nothing is left.

    The rule of Go's C{cleanQueryParams}, but what stays is not sorted and encoded anew.
    """
    pairs = query.split(b"&")
    if len(pairs) > MAX_PARAMETERS:
        return None
    if not _BAD.search(query):
        return query
    return b"&".join(pair for pair in pairs if not _BAD.search(pair)) or None


def _decoded(name: bytes) -> bytes:
    return unquote_to_bytes(name.replace(b"+", b" ")) if b"%" in name or b"+" in name else name


def _pair(name: str, value: str) -> bytes:
    return f"{quote(name, _PLAIN)}={quote(value, _PLAIN)}".encode("ascii")
