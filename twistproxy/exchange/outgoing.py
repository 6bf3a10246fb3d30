"""The request that goes to one upstream: target, Host and framing, written after the directors. Pure.

A new head is made for every attempt, from the same outbound request; nothing of one attempt is seen in the next.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twistproxy.forwarding import HOP_BY_HOP, joinPath, joinQuery
from twistproxy.messages import Item, OutboundRequest
from twistproxy.text.location import Location
from twistproxy.wire.guard import CHUNKED
from twistproxy.wire.heads import encodeLines

_FRAMING: Final = HOP_BY_HOP | {b"content-length"}
_BODILESS: Final = frozenset({b"GET", b"HEAD", b"DELETE", b"OPTIONS", b"TRACE", b"CONNECT"})


def outgoingTarget(outbound: OutboundRequest, location: Location) -> bytes:
    """The request's target below the upstream's base path, behind its base query."""
    if not location.hasBase:
        return outbound.target
    query = joinQuery(location.baseQuery, outbound.query) if location.baseQuery else outbound.query
    path = joinPath(location.basePath, outbound.path)
    return path if query is None else path + b"?" + query


def _withHost(items: list[Item], outbound: OutboundRequest, location: Location, inboundHosts: Sequence[bytes]) -> list[Item]:
    """The client's Host for an http upstream, the upstream's own for https or when there is none; a director's wins."""
    for at, item in enumerate(items):
        if item[0] == b"host":
            if location.isSecure and not outbound.hostSet and item[2] in inboundHosts:
                return [*items[:at], (b"host", item[1], location.authority), *items[at + 1 :]]
            return items
    return [(b"host", b"Host", location.authority), *items]


def framingLines(length: int, keepTrailers: bool, announced: bytes, upgrade: bytes) -> bytes:
    """The lines that are written behind all others.

    @param length: of the body that will be sent, or L{CHUNKED}.
    @param keepTrailers: whether to send C{TE: trailers}.
    @param announced: what Trailer says.
    @param upgrade: the protocol to ask for.
    """
    lines = b""
    if length == CHUNKED:
        lines += b"Transfer-Encoding: chunked\r\n"
        if announced:
            lines += b"Trailer: " + announced + b"\r\n"
    if keepTrailers:
        lines += b"TE: trailers\r\n"
    if upgrade:
        lines += b"Connection: Upgrade\r\nUpgrade: " + upgrade + b"\r\n"
    return lines


def requestHead(
    outbound: OutboundRequest, location: Location, length: int, touched: bool, framing: bytes, inboundHosts: Sequence[bytes]
) -> bytes:
    """The head to send.

    @param length: of the body that will be sent, or L{CHUNKED}.
    @param touched: whether a plugin may have changed C{outbound}, so that its framing headers are not to be believed.
    @param framing: L{framingLines}.
    @param inboundHosts: the client's Host, asked for when the upstream's scheme is https.
    """
    start = outbound.method + b" " + outgoingTarget(outbound, location) + b" HTTP/1.1\r\n"
    if outbound.block is not None and not touched and not location.isSecure:
        return start + outbound.block + framing + b"\r\n"
    items = outbound.items
    if touched:
        given = items
        items = [item for item in given if item[0] not in _FRAMING]
        saysLength = len(items) < len(given) and any(item[0] == b"content-length" for item in given)
        if length > 0 or (length == 0 and (saysLength or outbound.method not in _BODILESS)):
            items.append((b"content-length", b"Content-Length", b"%d" % length))
    if location.isSecure or not items or items[0][0] != b"host":
        items = _withHost(items, outbound, location, inboundHosts)
    return start + encodeLines(items) + framing + b"\r\n"
