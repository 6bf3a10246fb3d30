"""The chunked transfer coding, RFC 9112 section 7.1: a strict decoder and an encoder.

Strict means: sizes are hexadecimal digits only, lines end in CRLF and nothing else, chunk extensions are checked for
length and control characters and dropped. What a lenient peer would read differently is refused.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from twistproxy.messages import Item, headerItem

MAX_LINE: Final = 1024
"""Longest chunk-size line with its extensions, in bytes."""

_SIZE_LINE: Final = re.compile(rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\Z")
_FORBIDDEN_TRAILERS: Final = frozenset(
    {
        b"transfer-encoding", b"content-length", b"host", b"connection", b"keep-alive", b"upgrade", b"te", b"trailer",
        b"proxy-connection", b"expect", b"authorization", b"proxy-authorization", b"set-cookie", b"cookie",
        b"content-encoding", b"content-type", b"content-range", b"cache-control", b"max-forwards", b"age", b"expires",
        b"forwarded", b"x-forwarded-for", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip",
    }
)  # fmt: skip
"""RFC 9110 section 6.5.1: fields that must not be taken from a trailer section (framing, routing, authentication)."""


class ChunkError(ValueError):
    """The body is not in the chunked coding, or a limit was passed."""


class ChunkedDecoder:
    """Decodes one body.

    @ivar ended: whether the last chunk and the trailer section were read.
    @ivar trailers: the trailer section's fields, those that must not be there left out.
    """

    __slots__ = ("_buffer", "_inChunk", "_inTrailers", "_left", "_maxTrailerBytes", "_trailerBytes", "ended", "trailers")

    def __init__(self, maxTrailerBytes: int) -> None:
        self.ended = False
        self.trailers: list[Item] = []
        self._buffer = b""
        self._left = 0
        self._inChunk = False  # between a size line and the CRLF after its data
        self._inTrailers = False
        self._trailerBytes = 0
        self._maxTrailerBytes = maxTrailerBytes

    def decode(self, data: bytes) -> tuple[bytes, bytes]:
        """Take the next bytes.

        @return: the content that they bring, in one piece, and what follows the body's end.
        @raise ChunkError: when they break the coding. Content before that in the same call is lost.
        """
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        at, end = 0, len(data)
        pieces: list[bytes] = []
        while True:
            if self._left:
                take = min(self._left, end - at)
                pieces.append(data[at : at + take] if take < end else data)
                at += take
                self._left -= take
                if self._left:
                    break
            if self._inChunk:
                if end - at < 2:
                    if data[at:end] not in (b"", b"\r"):
                        raise ChunkError("a chunk is longer than its size")
                    self._buffer = data[at:]
                    break
                if data[at : at + 2] != b"\r\n":
                    raise ChunkError("a chunk is longer than its size")
                at += 2
                self._inChunk = False
            line = data.find(b"\r\n", at, at + self._maxTrailerBytes + 2 if self._inTrailers else at + MAX_LINE + 2)
            if line < 0:
                self._checkPartialLine(data, at, end)
                self._buffer = data[at:]
                break
            if self._inTrailers:
                at = self._trailerLine(data[at:line], line + 2)
                if self.ended:
                    return b"".join(pieces), data[at:]
                continue
            self._sizeLine(data[at:line])
            at = line + 2
        return pieces[0] if len(pieces) == 1 else b"".join(pieces), b""

    def _sizeLine(self, line: bytes) -> None:
        found = _SIZE_LINE.match(line)
        if found is None:
            raise ChunkError("a chunk's size line is malformed")
        self._left = int(found[1], 16)
        if self._left:
            self._inChunk = True
        else:
            self._inTrailers = True

    def _trailerLine(self, line: bytes, following: int) -> int:
        if not line:
            self.ended = True
            return following
        self._trailerBytes += len(line) + 2
        if self._trailerBytes > self._maxTrailerBytes:
            raise ChunkError("the trailer section is too long")
        name, colon, value = line.partition(b":")
        if not colon:
            raise ChunkError("a trailer field has no colon")
        try:
            item = headerItem(name, value)
        except ValueError as error:
            raise ChunkError(f"a trailer field is malformed: {error}") from None
        if item[0] not in _FORBIDDEN_TRAILERS:
            self.trailers.append(item)
        return following

    def _checkPartialLine(self, data: bytes, at: int, end: int) -> None:
        """Refuse what can no longer become a good line now, not when the peer runs into a timeout."""
        if self._inTrailers:
            if self._trailerBytes + end - at > self._maxTrailerBytes + 1:
                raise ChunkError("the trailer section is too long")
        elif end - at > MAX_LINE + 1:
            raise ChunkError("a chunk's size line is too long")
        elif end > at and not _SIZE_LINE.match(data[at : end - 1] if data[end - 1] == 13 else data[at:end]):
            if data[at:end] != b"\r" and re.match(rb"[0-9A-Fa-f]{1,15}[ \t]+\Z", data[at:end]):
                return
            raise ChunkError("a chunk's size line is malformed")
        if b"\n" in data[at:end]:
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
    return [item for item in trailers if item[0] not in _FORBIDDEN_TRAILERS]
