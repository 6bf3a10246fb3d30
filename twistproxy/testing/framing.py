"""Taking streams of HTTP/1.1 messages apart, by hand: the proxy's own parsers have no part in it.

It is strict, so that a test sees what a careless peer would not: bare line feeds, framing that says two things, bytes
after the end of a connection's last message.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Final

from twistproxy.messages import FrozenHeaders, Item
from twistproxy.testing.recorded import Message

_FIELD: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*)")
_CHUNK: Final = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[^\r\n]*)?")


class Malformed(AssertionError):
    """The bytes are no HTTP/1.1."""


class MessageReader:
    """Reads one message after the other.

    @ivar problem: what was wrong with the bytes; None as long as nothing was. After it nothing is read any more.
    @ivar isTunnel: whether what comes now is no HTTP any more.
    @ivar rest: what came of that.
    """

    def __init__(self) -> None:
        self.problem: Malformed | None = None
        self.rest = bytearray()
        self._buffer = bytearray()
        self.isTunnel = False
        self._left = 0
        self._untilEnd = False
        self._step: Callable[[], bool] = self._readHead
        self._message: Message | None = None

    def receive(self, data: bytes) -> None:
        """More bytes came."""
        if self.isTunnel:
            self.rest += data
            return
        self._buffer += data
        try:
            while self.problem is None and self._buffer and not self.isTunnel:
                if not self._step():
                    break
        except Malformed as error:
            self.problem = error

    def end(self) -> None:
        """No more will come, and the connection was closed properly."""
        message = self._message
        if message is not None and self._untilEnd:
            self._complete(message)

    # What those that know requests, or answers, say.

    def began(self, start: bytes, items: list[Item]) -> Message:
        """A head is there: the message that it begins."""
        raise NotImplementedError

    def hasBody(self, message: Message) -> bool | None:
        """Whether a body follows the head: True, though its length may be 0; False; None: as the framing says."""
        raise NotImplementedError

    def headTaken(self, message: Message) -> None:
        """Its head is complete."""

    def ended(self, message: Message) -> None:
        """It is complete."""

    def tunnel(self) -> None:
        """What follows is no HTTP."""
        self.isTunnel = True
        self.rest += self._buffer
        self._buffer.clear()

    # The steps; each says whether it got on.

    def _take(self, count: int) -> bytes:
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        if self._message is not None:
            self._message.bytesReceived(data)
        return data

    def _readHead(self) -> bool:
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        lines = bytes(self._buffer[:end]).split(b"\r\n")
        items = [_field(line) for line in lines[1:]]
        self._message = message = self.began(lines[0], items)
        self._take(end + 4)
        self.headTaken(message)
        self._frame(message)
        return True

    def _frame(self, message: Message) -> None:
        headers = message.headers
        lengths = headers.getRawHeaders(b"content-length", [])
        codings = headers.getRawHeaders(b"transfer-encoding", [])
        hasBody = self.hasBody(message)
        if hasBody is False:
            self._complete(message)
        elif codings:
            if lengths or [each.lower() for each in codings] != [b"chunked"]:
                raise Malformed(f"Transfer-Encoding {codings} and Content-Length {lengths} in {message.start!r}")
            message.isChunked = True
            self._step = self._readChunkSize
        elif lengths:
            if len(lengths) > 1 or not lengths[0].isdigit():
                raise Malformed(f"Content-Length {lengths} in {message.start!r}")
            self._left = int(lengths[0])
            self._step = self._readCounted
            if not self._left:
                self._complete(message)
        elif hasBody is None:
            self._complete(message)
        else:
            self._untilEnd = True
            self._step = self._readToEnd

    def _readCounted(self) -> bool:
        assert self._message is not None
        data = self._take(self._left)
        self._message.bodyReceived(data)
        self._left -= len(data)
        if not self._left:
            self._complete(self._message)
        return True

    def _readToEnd(self) -> bool:
        assert self._message is not None
        self._message.bodyReceived(self._take(len(self._buffer)))
        return False

    def _readChunkSize(self) -> bool:
        end = self._buffer.find(b"\r\n")
        if end < 0:
            return False
        line = self._take(end + 2)[:-2]
        found = _CHUNK.fullmatch(line)
        if not found:
            raise Malformed(f"{line!r} is not the size of a chunk")
        self._left = int(found[1], 16)
        self._step = self._readChunk if self._left else self._readTrailers
        return True

    def _readChunk(self) -> bool:
        assert self._message is not None
        data = self._take(self._left)
        self._message.bodyReceived(data)
        self._left -= len(data)
        if not self._left:
            self._step = self._readChunkEnd
        return True

    def _readChunkEnd(self) -> bool:
        if len(self._buffer) < 2:
            return False
        if self._take(2) != b"\r\n":
            raise Malformed("a chunk is longer than it says")
        self._step = self._readChunkSize
        return True

    def _readTrailers(self) -> bool:
        assert self._message is not None
        if self._buffer.startswith(b"\r\n"):
            self._take(2)
        else:
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return False
            lines = self._take(end + 4)[:-4].split(b"\r\n")
            self._message.trailers = FrozenHeaders([_field(line) for line in lines])
        self._complete(self._message)
        return True

    def _complete(self, message: Message) -> None:
        message.isComplete = True
        self._message = None
        self._untilEnd = False
        self._step = self._readHead
        self.ended(message)


def _field(line: bytes) -> Item:
    found = _FIELD.fullmatch(line)
    if not found:
        raise Malformed(f"{line!r} is not a header line")
    return found[1].lower(), found[1], found[2].rstrip(b" \t")
