"""Messages as bytes, for those who play a client or an upstream."""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus

from twistproxy.messages import Headers, HeadersLike

BodyLike = bytes | str | Sequence[bytes]
"""A body: bytes, text (UTF-8), or a list of bytes, each of which becomes a chunk of a chunked body."""


def chunk(data: bytes) -> bytes:
    """One chunk; the last one for no bytes, without the end of the message."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b"0\r\n"


def lines(headers: Headers) -> bytes:
    """Header lines."""
    return b"".join(b"%b: %b\r\n" % (name, value) for _, name, value in headers.items)


def message(start: bytes, headers: HeadersLike, body: BodyLike, trailers: HeadersLike = (), isFramed: bool = True) -> bytes:
    """A whole message. Content-Length or Transfer-Encoding is added, unless the headers have one of them.

    @param body: chunked if it is a list, or if there are trailers.
    @param isFramed: whether there is anything to be said about the body.
    """
    fields, after = Headers(headers), Headers(trailers)
    pieces = None if isinstance(body, (bytes, str)) else list(body)
    whole = body.encode() if isinstance(body, str) else body if isinstance(body, bytes) else b"".join(pieces or ())
    isSaid = fields.hasHeader("content-length") or fields.hasHeader("transfer-encoding")
    isChunked = pieces is not None or bool(after.items)
    if isFramed and not isSaid:
        if isChunked:
            fields.addRawHeader("Transfer-Encoding", "chunked")
        else:
            fields.addRawHeader("Content-Length", str(len(whole)))
    if isChunked and not fields.hasHeader("content-length"):
        parts = [whole] if pieces is None else pieces
        whole = b"".join(chunk(each) for each in parts if each) + chunk(b"") + lines(after) + b"\r\n"
    return start + b"\r\n" + lines(fields) + b"\r\n" + whole


def request(method: str | bytes, path: str | bytes, headers: HeadersLike, body: BodyLike = b"", version: str = "1.1") -> bytes:
    """A request; without a body nothing is said about one."""
    method = method.encode() if isinstance(method, str) else method
    path = path.encode() if isinstance(path, str) else path
    isFramed = bool(body) or not isinstance(body, (bytes, str)) or method in (b"POST", b"PUT", b"PATCH")
    return message(b"%b %b HTTP/%b" % (method, path, version.encode()), headers, body, isFramed=isFramed)


def answer(code: int, headers: HeadersLike = (), body: BodyLike = b"", trailers: HeadersLike = (), toHead: bool = False) -> bytes:
    """An answer.

    @param toHead: whether the request was a HEAD, so that the body is left out.
    """
    try:
        phrase = HTTPStatus(code).phrase
    except ValueError:
        phrase = "Unknown"
    hasBody = code >= 200 and code not in (204, 304)
    if not hasBody:
        body, trailers = b"", ()
    whole = message(b"HTTP/1.1 %d %b" % (code, phrase.encode()), headers, body, trailers, hasBody)
    return whole if hasBody and not toHead else whole[: whole.index(b"\r\n\r\n") + 4]


def withHost(headers: HeadersLike) -> Headers:
    """A copy that has a Host, in the first place if it was not there."""
    fields = Headers(headers)
    if not fields.hasHeader("host"):
        fields.items.insert(0, (b"host", b"Host", b"app.example"))
    return fields


def askingFor(protocol: str, headers: HeadersLike) -> Headers:
    """A copy that asks for an upgrade, with the handshake of a WebSocket for that; what is there already stays."""
    fields = Headers(headers)
    asked = {"Connection": "Upgrade", "Upgrade": protocol}
    if protocol == "websocket":
        asked |= {"Sec-WebSocket-Version": "13", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
    for name, value in asked.items():
        if not fields.hasHeader(name):
            fields.addRawHeader(name, value)
    return fields
