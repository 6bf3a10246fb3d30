"""HTTP/1.1 messages from bytes: one reader for a client's requests, one for the responses of an upstream.

A reader frames by itself and lends llhttp one head at a time: it finds the blank line, has exactly that head
parsed and checked (heads.py), then counts Content-Length, decodes chunks (chunked.py) or reads until the
close. It is pulled, so that it can be paused: C{receiveData}, then C{nextEvent} until that returns None.
"""

from __future__ import annotations

from typing import Final

from twistproxy.errors import UPSTREAM_CLOSED, ProxyError
from twistproxy.messages import Item
from twistproxy.settings import Settings
from twistproxy.wire.chunked import ChunkedDecoder, ChunkError
from twistproxy.wire.guard import CHUNKED, UNTIL_CLOSE, bad, nonsense
from twistproxy.wire.heads import (
    HeadMemory,
    RequestHead,
    ResponseHead,
    encodeHead,
    encodeLines,
    parseRequestHead,
    parseResponseHead,
    refusePartialRequestHead,
    refusePartialResponseHead,
)

__all__ = [
    "End",
    "HeadMemory",
    "RequestHead",
    "RequestReader",
    "ResponseHead",
    "ResponseReader",
    "encodeHead",
    "encodeLines",
    "parseRequestHead",
    "parseResponseHead",
]


class End:
    """A message is complete.

    @ivar trailers: the fields after its body.
    """

    __slots__ = ("trailers",)

    def __init__(self, trailers: list[Item]) -> None:
        self.trailers = trailers


_END: Final = End([])


class _Reader:
    """What both readers share: the buffer, and bodies of each framing."""

    __slots__ = ("_buffer", "_chunks", "_inBody", "_left", "_scanned", "_settings", "isDone")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._buffer: bytes | bytearray = b""  # a bytearray while it grows, so that small segments cost no more
        self._scanned = 0  # of the buffer, this much holds no end of a head
        self._inBody = False
        self._left = 0
        self._chunks: ChunkedDecoder | None = None
        self.isDone = False

    @property
    def buffered(self) -> int:
        """Bytes received and not yet turned into events."""
        return len(self._buffer)

    @property
    def left(self) -> int:
        """Bytes of a body of known length that did not come yet, while nothing is buffered; else 0 or less."""
        return 0 if self._buffer else self._left

    def skip(self, size: int) -> None:
        """So much of what is C{left} went another way."""
        self._left -= size

    def receiveData(self, data: bytes) -> None:
        """Bytes came in; call C{nextEvent} for what they bring."""
        buffer = self._buffer
        if not buffer:
            self._buffer = data
        elif isinstance(buffer, bytearray):
            buffer += data
        else:
            self._buffer = bytearray(buffer + data)

    def takeBuffered(self) -> bytes:
        """All that was received and not turned into events: after a switch of protocols, the tunnel's first
        bytes."""
        taken, self._buffer, self._scanned = bytes(self._buffer), b"", 0
        return taken

    def _begin(self, length: int) -> None:
        self._inBody = True
        self._left = length
        self._chunks = ChunkedDecoder(self._settings.maxTrailerBytes) if length == CHUNKED else None

    def _nextOfBody(self) -> bytes | End | None:
        left = self._left
        if left == 0:
            self.isDone = True
            return _END
        data = self._buffer
        if isinstance(data, bytearray):
            data = self._buffer = bytes(data)
        chunks = self._chunks
        if chunks is not None:
            if chunks.ended:
                self._left, self.isDone, self._chunks = 0, True, None
                return End(chunks.trailers)
            if not data and not chunks.broken:
                return None
            content, self._buffer = chunks.decode(data)
            if content:
                return content
            return self._nextOfBody() if chunks.ended else None
        if not data:
            return None
        if left == UNTIL_CLOSE:
            self._buffer = b""
            return data
        if len(data) <= left:
            self._buffer = b""
            self._left = left - len(data)
            return data
        content, self._buffer = data[:left], data[left:]
        self._left = 0
        return content

    def _takeHead(self) -> bytes | None:
        """Take a head off the buffer, its blank line included; None when there is no whole one."""
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3)) + 4
        if end == 3:
            return None
        self._scanned = 0
        if isinstance(buffer, bytearray):
            buffer = bytes(buffer)
        if end == len(buffer):
            self._buffer = b""
            return buffer
        self._buffer = buffer[end:]
        return buffer[:end]


class RequestReader(_Reader):
    """Reads one client's requests, one after another."""

    __slots__ = ("_emptyLine", "_memory")

    def __init__(self, settings: Settings, memory: HeadMemory[RequestHead] | None = None) -> None:
        """@param memory: of heads that came before."""
        super().__init__(settings)
        self._memory = memory
        self._emptyLine = False  # whether one was skipped before this head

    @property
    def isInBody(self) -> bool:
        """Whether a head was read and its body was not yet."""
        return self._inBody and not self.isDone

    def startNextMessage(self) -> None:
        """The exchange is over: read the next request."""
        self._inBody = self.isDone = self._emptyLine = False

    def nextEvent(self) -> RequestHead | bytes | End | None:
        """What comes next: a head, pieces of its body, its end; None when more bytes, or the next start, are
        needed.

        @raise ProxyError: when the request is malformed or too large; nothing can be read after it.
        """
        if self.isDone:
            return None
        if not self._inBody:
            return self._nextHead() if self._buffer else None
        try:
            return self._nextOfBody()
        except ChunkError as error:
            raise bad(str(error)) from None

    def _nextHead(self) -> RequestHead | None:
        if self._buffer[:1] in b"\r\n" and not self._skipEmptyLine():
            return None
        block = self._takeHead()
        if block is None:
            refusePartialRequestHead(self._buffer, self._settings, self._scanned)
            self._scanned = len(self._buffer)
            return None
        head = parseRequestHead(block, self._settings, self._memory)
        self._begin(head.length)
        return head

    def _skipEmptyLine(self) -> bool:
        """RFC 9112 section 2.2: an empty line before a request line is ignored; here, one.

        @return: whether there are bytes behind it.
        """
        if self._buffer == b"\r" and not self._emptyLine:
            return False
        if self._emptyLine or self._buffer[:2] != b"\r\n" or self._buffer[2:3] in (b"\r", b"\n"):
            raise bad("empty lines before the request line")
        self._emptyLine = True
        self._buffer = self._buffer[2:]
        return bool(self._buffer)


class ResponseReader(_Reader):
    """Reads the responses of one upstream connection."""

    __slots__ = ("_memory", "_toHead")

    def __init__(self, settings: Settings, memory: HeadMemory[ResponseHead] | None = None) -> None:
        """@param memory: of heads that came before."""
        super().__init__(settings)
        self._memory = memory
        self.isDone = True
        self._toHead = False

    def expectResponse(self, toHead: bool) -> None:
        """A request was sent; read its answer.

        @param toHead: whether it was a HEAD.
        """
        self._inBody = self.isDone = False
        self._toHead = toHead

    @property
    def isInHead(self) -> bool:
        """Whether no final head was read yet."""
        return not self._inBody

    def nextEvent(self) -> ResponseHead | bytes | End | None:
        """What comes next: informational heads, the head, pieces of the body, its end; None when more bytes
        are needed.

        After a head with the status 101 nothing more is read: what follows is not HTTP.

        @raise ProxyError: 502; nothing can be read after it.
        """
        if self.isDone:
            return None
        if not self._inBody:
            return self._nextHead() if self._buffer else None
        try:
            return self._nextOfBody()
        except ChunkError as error:
            raise nonsense(str(error)) from None

    def connectionClosed(self) -> End:
        """No more bytes will come; to be called when C{nextEvent} has returned None.

        @return: the end of a body that lasts until the close.
        @raise ProxyError: 502, when the response is not complete.
        """
        if self._inBody and self._left == UNTIL_CLOSE:
            self.isDone = True
            return _END
        raise ProxyError(UPSTREAM_CLOSED, "in the body" if self._inBody else "before the answer")

    def _nextHead(self) -> ResponseHead | None:
        settings = self._settings
        block = self._takeHead()
        if block is None:
            refusePartialResponseHead(self._buffer, settings, self._scanned)
            self._scanned = len(self._buffer)
            return None
        head = parseResponseHead(block, settings, self._toHead, self._memory)
        if head.code == 101:
            self.isDone = True
        elif head.code >= 200:
            self._begin(head.length)
        return head
