"""How the head of an answer ends: its body's framing, and whether the connection stays. Pure."""

from __future__ import annotations


def headEnd(minor: int, isChunked: bool, announced: bytes, keepAlive: bool) -> bytes:
    """The lines behind an answer's own, and the empty one (RFC 9112 sections 7.1 and 9.3).

    @param minor: the client's HTTP/1.x.
    @param announced: what Trailer says.
    @param keepAlive: whether the connection stays: understood with HTTP/1.1, and said to a client of 1.0.
    """
    lines = b""
    if isChunked:
        lines = b"Transfer-Encoding: chunked\r\n"
        if announced:
            lines += b"Trailer: " + announced + b"\r\n"
    if not keepAlive:
        lines += b"Connection: close\r\n"
    elif not minor:
        lines += b"Connection: keep-alive\r\n"
    return lines + b"\r\n"
