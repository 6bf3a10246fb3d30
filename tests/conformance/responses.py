"""Responses as raw bytes, and what a client has to get of each: for the reader, and for the live proxy.

The upstream sends a case's bytes, and then closes. What is refused is a 502 where nothing has reached the client yet; a
case that is C{truncated} reaches it with less than it promised, and must not end cleanly there.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from twistproxy.settings import Settings

SETTINGS: Final = Settings()


class Case(NamedTuple):
    """One response.

    @ivar expected: status, length as the head tells (-1: chunked, -2: until the close) and body; None for a 502.
    @ivar note: what it is about, or who says so.
    @ivar toHead: whether the request was a HEAD.
    @ivar truncated: whether the body breaks off or breaks: C{expected} tells how much of it comes before.
    @ivar rest: bytes behind the end of the response, which belong to nothing.
    @ivar again: whether the connection may serve another request, if nothing follows.
    """

    name: str
    data: bytes
    expected: tuple[int, int, bytes] | None
    note: str = ""
    toHead: bool = False
    truncated: bool = False
    rest: bytes = b""
    again: bool = True


def _with(fields: bytes, body: bytes = b"", status: bytes = b"200 OK", minor: int = 1) -> bytes:
    return b"HTTP/1.%d " % minor + status + b"\r\n" + fields + b"\r\n" + body


def _line(line: bytes) -> bytes:
    return line + b"\r\nContent-Length: 2\r\n\r\nhi"


_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"
_TWO: Final = b"Content-Length: 2\r\n"


def _chunked(body: bytes) -> bytes:
    return _with(_CHUNKED, body)


_LINES: Final = (
    Case("plain", _line(b"HTTP/1.1 200 OK"), (200, 2, b"hi")),
    Case("http 1.0", _line(b"HTTP/1.0 200 OK"), (200, 2, b"hi"), again=False),
    Case("empty phrase", _line(b"HTTP/1.1 200 "), (200, 2, b"hi"), "RFC 9112 section 4"),
    Case("no phrase and no space", _line(b"HTTP/1.1 200"), (200, 2, b"hi"), "common"),
    Case("phrase in Latin-1", _line(b"HTTP/1.1 404 pas trouv\xe9"), (404, 2, b"hi"), "obs-text"),
    Case("phrase of several words", _line(b"HTTP/1.1 200 all is\twell"), (200, 2, b"hi")),
    Case("unknown status", _line(b"HTTP/1.1 299 x"), (299, 2, b"hi")),
    Case("status above 599", _line(b"HTTP/1.1 999 x"), (999, 2, b"hi"), "LinkedIn's; nginx and Go pass it on"),
    Case("status below 100", _line(b"HTTP/1.1 099 x"), None, "RFC 9110 section 15"),
    Case("status 0", _line(b"HTTP/1.1 000 x"), None),
    Case("status of two digits", _line(b"HTTP/1.1 20 OK"), None),
    Case("status of four digits", _line(b"HTTP/1.1 2000 OK"), None),
    Case("status of a word", _line(b"HTTP/1.1 abc OK"), None),
    Case("status with a sign", _line(b"HTTP/1.1 +20 OK"), None),
    Case("negative status", _line(b"HTTP/1.1 -20 OK"), None),
    Case("no status", _line(b"HTTP/1.1"), None),
    Case("two spaces before the status", _line(b"HTTP/1.1  200 OK"), None),
    Case("tab before the status", _line(b"HTTP/1.1\t200 OK"), None),
    Case("tab before the phrase", _line(b"HTTP/1.1 200\tOK"), None),
    Case("no space before the phrase", _line(b"HTTP/1.1 200OK"), None),
    *(Case(f"byte {byte:#04x} in the phrase", _line(b"HTTP/1.1 200 O" + bytes([byte]) + b"K"), None)
      for byte in (0, 1, 8, 10, 11, 13, 27, 0x1F, 0x7F)),
    Case("http 0.9", b"<html>", None, "RFC 9112 appendix C.2.1"),
    Case("http 0.9 version", _line(b"HTTP/0.9 200 OK"), None),
    Case("http 1.2", _line(b"HTTP/1.2 200 OK"), None, "as strict as towards the client"),
    Case("http 2.0", _line(b"HTTP/2.0 200 OK"), None),
    Case("http 2", _line(b"HTTP/2 200 OK"), None),
    Case("lower-case version", _line(b"http/1.1 200 OK"), None),
    Case("another protocol", _line(b"ICY 200 OK"), None),
    Case("rtsp", _line(b"RTSP/1.0 200 OK"), None, "llhttp takes it"),
    Case("ssh", b"SSH-2.0-OpenSSH_9.2\r\n", None, "refused before there is a blank line"),
    Case("TLS alert", b"\x15\x03\x01\x00\x02\x02\x16", None, "https spoken to by http"),
    Case("empty line before", b"\r\n" + _line(b"HTTP/1.1 200 OK"), None, "only requests may have it"),
    Case("space before", b" " + _line(b"HTTP/1.1 200 OK"), None),
    Case("nothing", b"", None),
)  # fmt: skip

_FIELDS: Final = (
    Case("empty value", _with(b"X:\r\n" + _TWO, b"hi"), (200, 2, b"hi")),
    Case("non-ASCII value", _with(b"X: \x80\xff\r\n" + _TWO, b"hi"), (200, 2, b"hi")),
    Case("obs-fold", _with(b"X: a\r\n b\r\n" + _TWO, b"hi"), None, "RFC 9112 section 5.2 lets a proxy answer 502"),
    Case("space before the first field", _with(b" X: a\r\n" + _TWO, b"hi"), None),
    Case("space before the colon", _with(b"X : a\r\n" + _TWO, b"hi"), None, "nor removed, as RFC 9112 section 5.1 would have it"),
    Case("empty name", _with(b": a\r\n" + _TWO, b"hi"), None),
    Case("no colon", _with(b"nocolon\r\n" + _TWO, b"hi"), None),
    Case("name in brackets", _with(b"X(): a\r\n" + _TWO, b"hi"), None),
    *(Case(f"byte {byte:#04x} in a value", _with(b"X: a" + bytes([byte]) + b"b\r\n" + _TWO, b"hi"), None)
      for byte in (0, 1, 8, 10, 11, 12, 13, 27, 0x1F, 0x7F)),
    Case("bare LF behind the status line", b"HTTP/1.1 200 OK\nContent-Length: 2\r\n\r\nhi", None),
    Case("bare LFs only", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", None, "refused at once"),
    Case("head that breaks off", b"HTTP/1.1 200 OK\r\nContent-", None),
    Case("most fields", _with(b"X: a\r\n" * 199 + _TWO, b"hi"), (200, 2, b"hi"), "max-response-header-count"),
    Case("too many fields", _with(b"X: a\r\n" * 200 + _TWO, b"hi"), None),
    Case("head too long", _with(b"X: " + b"a" * 65536 + b"\r\n" + _TWO, b"hi"), None, "max-response-head-bytes"),
    Case("head without an end", b"HTTP/1.1 200 OK\r\n" + b"X: a\r\n" * 12000, None),
)  # fmt: skip

_LENGTHS: Final = (
    Case("empty body", _with(b"Content-Length: 0\r\n"), (200, 0, b"")),
    Case("until the close", _with(b"", b"all of it"), (200, -2, b"all of it"), again=False),
    Case("nothing until the close", _with(b""), (200, -2, b""), again=False),
    Case("until the close, with keep-alive", _with(b"Connection: keep-alive\r\n", b"x"), (200, -2, b"x"), again=False),
    Case("until the close in 1.0", _with(b"", b"x", minor=0), (200, -2, b"x"), again=False),
    Case("keep-alive in 1.0", _with(b"Connection: Keep-Alive\r\n" + _TWO, b"hi", minor=0), (200, 2, b"hi")),
    Case("close", _with(b"Connection: close\r\n" + _TWO, b"hi"), (200, 2, b"hi"), again=False),
    Case("close among others", _with(b"Connection: X, Close\r\n" + _TWO, b"hi"), (200, 2, b"hi"), "twisted.md 2.3", again=False),
    Case("close on the second line", _with(b"Connection:\r\nConnection: close\r\n" + _TWO, b"hi"), (200, 2, b"hi"), again=False),
    Case("shorter than it says", _with(b"Content-Length: 10\r\n", b"hello"), (200, 10, b"hello"), "edge-case 8", truncated=True),
    Case("longer than it says", _with(_TWO, b"hi!"), (200, 2, b"hi"), "the rest is nobody's answer", rest=b"!"),
    Case("two Content-Lengths", _with(b"Content-Length: 2\r\nContent-Length: 3\r\n", b"hi"), None),
    Case("two equal Content-Lengths", _with(_TWO + _TWO, b"hi"), None, "RFC 9112 section 6.3 allows either; strict"),
    Case("Content-Length twice in a line", _with(b"Content-Length: 2, 2\r\n", b"hi"), None),
    Case("Content-Length with a sign", _with(b"Content-Length: +2\r\n", b"hi"), None),
    Case("negative Content-Length", _with(b"Content-Length: -1\r\n", b"hi"), None),
    Case("hexadecimal Content-Length", _with(b"Content-Length: 0x2\r\n", b"hi"), None),
    Case("empty Content-Length", _with(b"Content-Length:\r\n", b"hi"), None),
    Case("Content-Length of 5000 digits", _with(b"Content-Length: " + b"1" * 5000 + b"\r\n"), None),
)

_CODINGS: Final = (
    Case("chunked", _chunked(b"5\r\nhello\r\n0\r\n\r\n"), (200, -1, b"hello")),
    Case("chunked in capitals", _with(b"Transfer-Encoding: Chunked\r\n", b"0\r\n\r\n"), (200, -1, b"")),
    Case("chunked with trailers", _chunked(b"1\r\nx\r\n0\r\nX-Sum: 1\r\n\r\n"), (200, -1, b"x")),
    Case("chunked and something behind", _chunked(b"0\r\n\r\nX"), (200, -1, b""), rest=b"X"),
    Case("chunked and Content-Length", _with(_CHUNKED + _TWO, b"0\r\n\r\n"), None, "edge-case 20"),
    Case("chunked in 1.0", _with(_CHUNKED, b"0\r\n\r\n", minor=0), None),
    Case("chunked twice", _with(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"), None),
    Case("chunked on two lines", _with(_CHUNKED + _CHUNKED, b"0\r\n\r\n"), None),
    Case("gzip, chunked", _with(b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"), None, "nobody asked for it"),
    Case("chunked, gzip", _with(b"Transfer-Encoding: chunked, gzip\r\n", b"0\r\n\r\n"), None),
    Case("gzip", _with(b"Transfer-Encoding: gzip\r\n", b"x"), None),
    Case("identity", _with(b"Transfer-Encoding: identity\r\n", b"x"), None),
    Case("empty coding", _with(b"Transfer-Encoding:\r\n", b"x"), None),
    Case("vertical tab before chunked", _with(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), None),
    Case("chunks that break off", _chunked(b"5\r\nhello\r\n5\r\nwo"), (200, -1, b"hellowo"), "edge-case 8", truncated=True),
    Case("no last chunk", _chunked(b"5\r\nhello\r\n"), (200, -1, b"hello"), truncated=True),
    Case("trailers that break off", _chunked(b"5\r\nhello\r\n0\r\nX: a\r\n"), (200, -1, b"hello"), truncated=True),
    Case("malformed size", _chunked(b"5\r\nhello\r\nx\r\n"), (200, -1, b"hello"), "good chunks first", truncated=True),
    Case("malformed first size", _chunked(b"0x5\r\nhello\r\n"), (200, -1, b""), truncated=True),
    Case("malformed trailer", _chunked(b"5\r\nhello\r\n0\r\nX : a\r\n\r\n"), (200, -1, b"hello"), truncated=True),
    Case("bare LF behind a size", _chunked(b"5\nhello\r\n0\r\n\r\n"), (200, -1, b""), truncated=True),
)

_BODILESS: Final = (
    Case("answer to HEAD", _with(b"Content-Length: 5\r\n"), (200, 0, b""), toHead=True),
    Case("answer to HEAD without a length", _with(b""), (200, 0, b""), toHead=True),
    Case("chunked answer to HEAD", _with(_CHUNKED), (200, 0, b""), toHead=True),
    Case("answer to HEAD with a body", _with(_TWO, b"hi"), (200, 0, b""), "edge-case 21", toHead=True, rest=b"hi"),
    Case("conflict in an answer to HEAD", _with(_CHUNKED + _TWO), None, toHead=True),
    Case("204", _with(b"", status=b"204 No Content"), (204, 0, b"")),
    Case("204 with an empty length", _with(b"Content-Length: 0\r\n", status=b"204 No Content"), (204, 0, b"")),
    Case("204 with a length", _with(_TWO, b"hi", b"204 No Content"), (204, 0, b""), "RFC 9110 8.6", rest=b"hi", again=False),
    Case("204 with a length and no body", _with(_TWO, status=b"204 No Content"), (204, 0, b""), again=False),
    Case("204 in chunks", _with(_CHUNKED, b"0\r\n\r\n", b"204 No Content"), (204, 0, b""), rest=b"0\r\n\r\n", again=False),
    Case("304", _with(b"", status=b"304 Not Modified"), (304, 0, b"")),
    Case("304 with a length", _with(_TWO, status=b"304 Not Modified"), (304, 0, b"")),
    Case("205 with a body", _with(_TWO, b"hi", b"205 Reset Content"), (205, 2, b"hi"), "framed as any other"),
)

_EARLIER: Final = (
    Case("100 first", b"HTTP/1.1 100 Continue\r\n\r\n" + _line(b"HTTP/1.1 200 OK"), (200, 2, b"hi")),
    Case("103 twice", b"HTTP/1.1 103 x\r\nLink: a\r\n\r\n" * 2 + _line(b"HTTP/1.1 200 OK"), (200, 2, b"hi"), "edge-case 6"),
    Case("102 with a length", b"HTTP/1.1 102 x\r\nContent-Length: 2\r\n\r\n" + _line(b"HTTP/1.1 200 OK"), (200, 2, b"hi")),
    Case("103 with a body", b"HTTP/1.1 103 x\r\nContent-Length: 2\r\n\r\nhi" + _line(b"HTTP/1.1 200 OK"), None),
    Case("100 only", b"HTTP/1.1 100 Continue\r\n\r\n", None),
    Case("malformed 100", b"HTTP/1.1 100 Continue\r\nX : a\r\n\r\n" + _line(b"HTTP/1.1 200 OK"), None),
    Case("upgrade of a 200", _with(b"Connection: upgrade\r\nUpgrade: h2\r\n" + _TWO, b"hi"), (200, 2, b"hi"), "an offer"),
    Case("426", _with(b"Connection: upgrade\r\nUpgrade: x\r\n" + _TWO, b"hi", b"426 x"), (426, 2, b"hi")),
)

CASES: Final[tuple[Case, ...]] = (*_LINES, *_FIELDS, *_LENGTHS, *_CODINGS, *_BODILESS, *_EARLIER)
