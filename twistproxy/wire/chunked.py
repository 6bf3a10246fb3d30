"""The chunked transfer coding, RFC 9112 section 7.1: a strict decoder and an encoder.

Strict means: sizes are hexadecimal digits only, lines end in CRLF and nothing else, chunk extensions are
checked for length and control characters and dropped. What a lenient peer would read differently is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from twistproxy.messages import Item, headerItem

MAX_LINE: Final = 1024
"""Longest chunk-size line with its extensions, in bytes."""

MAX_OVERHEAD: Final = 16 << 10
"""How many bytes of chunk extensions may come beyond twice the content: without a limit a few bytes of
content can cost the reader any number of bytes (CVE-2023-39326 in Go)."""

MAX_TRAILERS: Final = 100
"""Most fields of a trailer section."""

_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\r\n")
_SIZE_LINE_START: Final = re.compile(
    rb"[0-9A-Fa-f]{1,15}(?:\r|[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*\r?)?)?\Z"
)  # what more bytes can still make a size line of
_PLAIN_LINE: Final = 17  # bytes of the longest size line without an extension

_FORBIDDEN_TRAILERS: Final = frozenset(
    {
        b"transfer-encoding", b"content-length", b"host", b"connection", b"keep-alive", b"upgrade", b"te",
        b"trailer", b"proxy-connection", b"expect", b"authorization", b"proxy-authorization",
        b"proxy-authenticate", b"www-authenticate", b"set-cookie", b"cookie", b"content-encoding",
        b"content-type", b"content-range", b"cache-control", b"pragma", b"range", b"max-forwards", b"age",
        b"date", b"expires", b"vary", b"location", b"retry-after", b"via", b"http2-settings",
    }
)  # fmt: skip
"""RFC 9110 section 6.5.1: fields that must not be taken from a trailer section, because they frame or route
the message, authenticate, control how it is processed, or say how its content is to be read."""

_FORBIDDEN_PREFIXES: Final = (
    b"if-", b"forwarded", b"x-forwarded-", b"x-real-ip", b"client-cert", b"ssl-client-", b"x-amzn-mtls-", b"x-arr-clientcert",
    b"x-client-", b"x-ssl-",
)  # fmt: skip


def isAllowedTrailer(lower: bytes) -> bool:
    """Whether a field may stand in a trailer section. Underscores count as hyphens, as they do for CGI and
    WSGI."""
    name = lower.replace(b"_", b"-")
    return name not in _FORBIDDEN_TRAILERS and not name.startswith(_FORBIDDEN_PREFIXES)


class ChunkError(ValueError):
    """The body is not in the chunked coding, or a limit was passed."""


class ChunkedDecoder:
    """Decodes one body.

    @ivar ended: whether the last chunk and the trailer section were read.
    @ivar broken: what breaks the coding behind the content that was returned; the next call raises it.
    @ivar trailers: the trailer section's fields, those that must not be there left out.
    """

    __slots__ = (
        "_buffer", "_inChunk", "_inTrailers", "_left", "_maxTrailerBytes", "_overhead", "_trailerBytes",
        "_trailerCount", "broken", "ended", "trailers",
    )  # fmt: skip

    def __init__(self, maxTrailerBytes: int) -> None:
        self.ended = False
        self.broken = ""
        self.trailers: list[Item] = []
        self._buffer = b""
        self._left = 0
        self._inChunk = False  # between a size line and the CRLF after its data
        self._inTrailers = False
        self._overhead = 0
        self._trailerBytes = 0
        self._trailerCount = 0
        self._maxTrailerBytes = maxTrailerBytes

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """Take the next bytes.

        @return: the content that they bring, in one piece, and what follows the body's end.
        @raise ChunkError: when they break the coding. Content before that is returned first: then the next
            call raises.
        """
        if self.broken:
            raise ChunkError(self.broken)
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        pieces: list[bytes] = []
        following = b""
        try:
            end = self._decode(data, pieces)
            if self.ended:
                following = data[end:]
            else:
                self._buffer = data[end:]
        except ChunkError as error:
            if not pieces:
                raise
            self.broken = str(error)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), following

    def _decode(self, data: bytes, pieces: list[bytes]) -> int:
        """@return: up to where C{data} was used."""
        at, end = 0, len(data)
        while not self.ended:
            if self._left:
                take = min(self._left, end - at)
                if take:
                    pieces.append(data[at : at + take] if take < end else data)
                    at += take
                    self._left -= take
                if self._left:
                    break
            if self._inChunk:
                if not data.startswith(b"\r\n", at):
                    if data[at:] not in (b"", b"\r"):
                        raise ChunkError("a chunk is longer than its size")
                    break
                at += 2
                self._inChunk = False
            if at == end:
                break
            if self._inTrailers:
                line = data.find(b"\r\n", at, at + self._maxTrailerBytes + 2)
                if line < 0:
                    self._checkTrailerStart(data, at)
                    break
                self._trailerLine(data[at:line])
                at = line + 2
                continue
            found = _SIZE_LINE.match(data, at)
            if found is None:
                self._checkSizeLineStart(data[at:])
                break
            size, start = int(found[1], 16), found.end()
            if start - at > _PLAIN_LINE:
                self._checkExtension(size, start - at)
            at = start
            if not size:
                self._inTrailers = True
            elif data.startswith(b"\r\n", start + size):  # the whole chunk is here
                at += size
                pieces.append(data[start:at])
                at += 2
            else:
                self._left = size
                self._inChunk = True
        return at

    def _checkExtension(self, size: int, length: int) -> None:
        if length > MAX_LINE + 2:
            raise ChunkError("a chunk's size line is too long")
        self._overhead = max(0, self._overhead + length - _PLAIN_LINE - 2 * size)
        if self._overhead > MAX_OVERHEAD:
            raise ChunkError("more chunk extensions than content")

    def _checkSizeLineStart(self, start: bytes) -> None:
        """Refuse what can no longer become a good line now, not when the peer runs into a timeout."""
        if len(start) > MAX_LINE + 1:
            raise ChunkError("a chunk's size line is too long")
        if not _SIZE_LINE_START.match(start):
            raise ChunkError("a chunk's size line is malformed")

    def _trailerLine(self, line: bytes) -> None:
        if not line:
            self.ended = True
            return
        self._trailerBytes += len(line) + 2
        self._trailerCount += 1
        if self._trailerBytes > self._maxTrailerBytes or self._trailerCount > MAX_TRAILERS:
            raise ChunkError("the trailer section is too long")
        name, colon, value = line.partition(b":")
        if not colon:
            raise ChunkError("a trailer field has no colon")
        try:
            item = headerItem(name, value)
        except ValueError as error:
            raise ChunkError(f"a trailer field is malformed: {error}") from None
        if isAllowedTrailer(item[0]):
            self.trailers.append(item)

    def _checkTrailerStart(self, data: bytes, at: int) -> None:
        """As L{_checkSizeLineStart}."""
        if self._trailerBytes + len(data) - at > self._maxTrailerBytes + 1:
            raise ChunkError("the trailer section is too long")
        if data.find(b"\n", at) >= 0:
            raise ChunkError("a line ends in a bare LF")


def encodeChunk(data: bytes) -> tuple[bytes, bytes, bytes]:
    """One chunk, as the pieces to write: C{data} itself is not copied. C{data} must not be empty."""
    return b"%x\r\n" % len(data), data, b"\r\n"


def encodeEnd(trailers: Sequence[Item] = ()) -> bytes:
    """The last chunk and the trailer section."""
    if not trailers:
        return b"0\r\n\r\n"
    return b"0\r\n" + b"".join([name + b": " + value + b"\r\n" for _, name, value in trailers]) + b"\r\n"


def allowedTrailers(trailers: Sequence[Item]) -> list[Item]:
    """Those of C{trailers} that may be sent in a trailer section."""
    return [item for item in trailers if isAllowedTrailer(item[0])]
