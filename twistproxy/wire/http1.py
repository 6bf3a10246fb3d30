"""HTTP/1.1 messages from bytes: one reader for the requests of a client, one for the responses of an upstream.

A reader frames by itself and lends llhttp (httptools) one head at a time: it finds the blank line, has exactly that
head parsed and checked (guard.py), then counts Content-Length, decodes chunks (chunked.py) or reads until the close.
It is pulled, so that it can be paused: C{receiveData}, then C{nextEvent} until that returns None.
"""

from __future__ import annotations

import re
from typing import Final

import httptools

from twistproxy.errors import BODY_TOO_LARGE, HEAD_TOO_LARGE, TARGET_TOO_LONG, UPSTREAM_CLOSED, ProxyError
from twistproxy.messages import Item
from twistproxy.settings import Settings
from twistproxy.wire.chunked import ChunkedDecoder, ChunkError
from twistproxy.wire.guard import (
    CHUNKED,
    UNTIL_CLOSE,
    bad,
    checkConnectTarget,
    checkHost,
    nonsense,
    normaliseTarget,
    requestLength,
    responseLength,
    splitRequestLine,
    tokens,
)

_PARSED_AS_THEY_ARE: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"})
_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_BARE_CR: Final = re.compile(rb"\r(?!\n)(?=.)", re.DOTALL)
_WATCHED: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade", b"te"})
_BAD_PHRASE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class End:
    """A message is complete.

    @ivar trailers: the fields after its body.
    """

    __slots__ = ("trailers",)

    def __init__(self, trailers: list[Item]) -> None:
        self.trailers = trailers


_END: Final = End([])


class RequestHead:
    """A request's head, checked.

    @ivar target: in origin form (or C{*}; for CONNECT, authority form).
    @ivar authority: of a target that came in absolute form; else None.
    @ivar minor: 1 for HTTP/1.1, 0 for HTTP/1.0.
    @ivar items: all header lines.
    @ivar length: of the body; L{CHUNKED}.
    @ivar connection: the options of Connection, lower-case.
    @ivar keepAlive: whether the client wants to send more requests.
    @ivar upgrade: the values of Upgrade, when Connection names it.
    @ivar expectsContinue: whether the client waits for a 100 before its body.
    @ivar mentionsTe: whether there is a TE line.
    """

    __slots__ = (
        "authority", "connection", "expectsContinue", "items", "keepAlive", "length", "mentionsTe", "method", "minor", "scheme",
        "target", "upgrade",
    )  # fmt: skip

    method: bytes
    target: bytes
    authority: bytes | None
    scheme: str | None
    minor: int
    items: list[Item]
    length: int
    connection: list[bytes]
    keepAlive: bool
    upgrade: list[bytes]
    expectsContinue: bool
    mentionsTe: bool


class ResponseHead:
    """A response's head, checked.

    @ivar length: of the body; L{CHUNKED} or L{UNTIL_CLOSE}.
    @ivar keepAlive: whether the connection can be used again.
    @ivar upgrade: the values of Upgrade.
    @ivar upgradeNamed: whether Connection names Upgrade.
    """

    __slots__ = ("code", "connection", "items", "keepAlive", "length", "minor", "phrase", "upgrade", "upgradeNamed")

    code: int
    phrase: bytes
    minor: int
    items: list[Item]
    length: int
    connection: list[bytes]
    keepAlive: bool
    upgrade: list[bytes]
    upgradeNamed: bool


class _Collector:
    """What llhttp calls back while it parses one head."""

    __slots__ = ("items", "phrase")

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.phrase = b""

    def on_status(self, phrase: bytes) -> None:
        self.phrase += phrase

    def on_header(self, name: bytes, value: bytes) -> None:
        self.items.append((name.lower(), name, value.rstrip(b" \t")))


def _watched(items: list[Item]) -> dict[bytes, list[bytes]]:
    found: dict[bytes, list[bytes]] = {}
    for lower, _, value in items:
        if lower in _WATCHED:
            if lower in found:
                found[lower].append(value)
            else:
                found[lower] = [value]
    return found


_NONE: Final[list[bytes]] = []


def parseRequestHead(block: bytes, settings: Settings) -> RequestHead:
    """Parse and check a head.

    @param block: from the request line to the blank line, both included.
    @raise ProxyError: with the status that the client gets.
    """
    if len(block) > settings.maxHeadBytes:
        raise ProxyError(HEAD_TOO_LARGE, f"more than {settings.maxHeadBytes} bytes")
    lineEnd = block.index(b"\r\n")
    method, target, minor = splitRequestLine(block[:lineEnd])
    if len(target) > settings.maxTargetBytes:
        raise ProxyError(TARGET_TOO_LONG, f"more than {settings.maxTargetBytes} bytes")
    if method == b"CONNECT":
        checkConnectTarget(target)
        block = b"POST / HTTP/1.%d" % minor + block[lineEnd:]
    elif method not in _PARSED_AS_THEY_ARE:
        block = b"POST" + block[len(method) :]  # llhttp knows a fixed list of methods; any token is one (RFC 9110 section 9.1)
    collector = _Collector()
    try:
        httptools.HttpRequestParser(collector).feed_data(block)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise bad(str(error)) from None
    items = collector.items
    if len(items) > settings.maxHeaderCount:
        raise ProxyError(HEAD_TOO_LARGE, f"more than {settings.maxHeaderCount} header fields")
    found = _watched(items)
    head = RequestHead()
    head.method = method
    head.authority = head.scheme = None
    if method != b"CONNECT":
        target, head.authority, head.scheme = normaliseTarget(method, target)
    head.target = target
    head.minor = minor
    head.items = items
    checkHost(found.get(b"host", _NONE), minor, head.authority, head.scheme)
    head.length = requestLength(found.get(b"content-length", _NONE), found.get(b"transfer-encoding", _NONE), minor)
    if b"connection" in found:
        head.connection = connection = tokens(found[b"connection"])
        head.keepAlive = b"close" not in connection and (minor == 1 or b"keep-alive" in connection)
        head.upgrade = found.get(b"upgrade", _NONE) if b"upgrade" in connection and minor else _NONE
    else:
        head.connection = _NONE
        head.keepAlive = minor == 1
        head.upgrade = _NONE
    head.expectsContinue = b"expect" in found and minor == 1 and b"100-continue" in tokens(found[b"expect"])
    head.mentionsTe = b"te" in found
    return head


def parseResponseHead(block: bytes, settings: Settings, toHead: bool) -> ResponseHead:
    """Parse and check a head.

    @param block: from the status line to the blank line, both included.
    @param toHead: whether the request was a HEAD.
    @raise ProxyError: 502.
    """
    version = block[:9]
    if version not in (b"HTTP/1.1 ", b"HTTP/1.0 "):
        raise nonsense("not HTTP/1.0 or 1.1")
    collector = _Collector()
    parser = httptools.HttpResponseParser(collector)
    try:
        parser.feed_data(block)
    except httptools.HttpParserUpgrade:
        pass
    except httptools.HttpParserError as error:
        raise nonsense(str(error)) from None
    items = collector.items
    if len(items) > settings.maxResponseHeaderCount:
        raise nonsense(f"more than {settings.maxResponseHeaderCount} header fields")
    found = _watched(items)
    head = ResponseHead()
    head.code = code = parser.get_status_code()
    head.phrase = collector.phrase
    if _BAD_PHRASE.search(head.phrase):
        raise nonsense("a control character in the reason phrase")
    head.minor = minor = 1 if version == b"HTTP/1.1 " else 0
    head.items = items
    hasBody = not (toHead or code < 200 or code == 204 or code == 304)
    head.length = responseLength(
        found.get(b"content-length", _NONE), found.get(b"transfer-encoding", _NONE), minor, hasBody
    )
    if b"connection" in found:
        head.connection = connection = tokens(found[b"connection"])
        head.keepAlive = b"close" not in connection and (minor == 1 or b"keep-alive" in connection)
        head.upgradeNamed = b"upgrade" in connection
    else:
        head.connection = _NONE
        head.keepAlive = minor == 1
        head.upgradeNamed = False
    head.upgrade = found.get(b"upgrade", _NONE)
    return head


class _Reader:
    """What both readers share: the buffer, and bodies of each framing."""

    __slots__ = ("_buffer", "_chunks", "_inBody", "_left", "_scanned", "_settings", "isDone")

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._buffer = b""
        self._scanned = 0  # of the buffer, this much holds no end of a head
        self._inBody = False
        self._left = 0
        self._chunks: ChunkedDecoder | None = None
        self.isDone = False

    @property
    def buffered(self) -> int:
        """Bytes received and not yet turned into events."""
        return len(self._buffer)

    def receiveData(self, data: bytes) -> None:
        """Bytes came in; call C{nextEvent} for what they bring."""
        self._buffer = self._buffer + data if self._buffer else data

    def takeBuffered(self) -> bytes:
        """All that was received and not turned into events: after a switch of protocols, the tunnel's first bytes."""
        taken, self._buffer, self._scanned = self._buffer, b"", 0
        return taken

    def _begin(self, length: int) -> None:
        self._inBody = True
        self._left = length
        self._chunks = ChunkedDecoder(self._settings.maxTrailerBytes) if length == CHUNKED else None

    def _nextOfBody(self) -> bytes | End | None:
        if self._left == 0:
            self.isDone = True
            return _END
        data = self._buffer
        if self._chunks is not None:
            if self._chunks.ended:
                self._left, self.isDone = 0, True
                return End(self._chunks.trailers)
            if not data:
                return None
            content, self._buffer = self._chunks.decode(data)
            if content:
                return content
            return self._nextOfBody() if self._chunks.ended else None
        if not data:
            return None
        if self._left == UNTIL_CLOSE:
            self._buffer = b""
            return data
        if len(data) <= self._left:
            self._buffer = b""
            self._left -= len(data)
            return data
        content, self._buffer = data[: self._left], data[self._left :]
        self._left = 0
        return content

    def _findHead(self) -> int:
        """Where the head in the buffer ends, behind its blank line; -1 when it does not yet."""
        buffer = self._buffer
        end = buffer.find(b"\r\n\r\n", max(0, self._scanned - 3))
        if end >= 0:
            self._scanned = 0
            return end + 4
        return -1


class RequestReader(_Reader):
    """Reads one client's requests, one after another."""

    __slots__ = ("_received",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self._received = 0

    @property
    def isInBody(self) -> bool:
        """Whether a head was read and its body was not yet."""
        return self._inBody and not self.isDone

    def startNextMessage(self) -> None:
        """The exchange is over: read the next request."""
        self._inBody = self.isDone = False
        self._chunks = None
        self._received = 0

    def nextEvent(self) -> RequestHead | bytes | End | None:
        """What comes next: a head, pieces of its body, its end; None when more bytes, or the next start, are needed.

        @raise ProxyError: when the request is malformed or too large; nothing can be read after it.
        """
        if self.isDone:
            return None
        if not self._inBody:
            return self._nextHead() if self._buffer else None
        try:
            event = self._nextOfBody()
        except ChunkError as error:
            raise bad(str(error)) from None
        limit = self._settings.maxBodyBytes
        if limit is not None and event.__class__ is bytes:
            self._received += len(event)  # type: ignore[arg-type]
            if self._received > limit:
                raise ProxyError(BODY_TOO_LARGE, f"more than {limit} bytes")
        return event

    def _nextHead(self) -> RequestHead | None:
        if self._buffer[:1] in b"\r\n" and not self._skipEmptyLine():
            return None
        end = self._findHead()
        if end < 0:
            self._checkPartialHead()
            return None
        head = parseRequestHead(self._buffer[:end] if end < len(self._buffer) else self._buffer, self._settings)
        self._buffer = self._buffer[end:]
        limit = self._settings.maxBodyBytes
        if limit is not None and head.length > limit:
            raise ProxyError(BODY_TOO_LARGE, f"more than {limit} bytes")
        self._begin(head.length)
        return head

    def _skipEmptyLine(self) -> bool:
        """RFC 9112 section 2.2: an empty line before a request line is ignored; here, one."""
        if self._buffer == b"\r":
            return False
        if self._buffer[:2] != b"\r\n" or self._buffer[2:3] in (b"\r", b"\n"):
            raise bad("empty lines before the request line")
        self._buffer = self._buffer[2:]
        return bool(self._buffer)

    def _checkPartialHead(self) -> None:
        """Refuse what can no longer become a good head now, not at the timeout."""
        buffer, settings = self._buffer, self._settings
        since = max(0, self._scanned - 1)
        if _BARE_LF.search(buffer, since):
            raise bad("a line ends in a bare LF")
        if _BARE_CR.search(buffer, since):
            raise bad("a bare CR")
        line = buffer.find(b"\r\n", 0, settings.maxTargetBytes + 512)
        if line < 0 and len(buffer) > settings.maxTargetBytes + 512:
            raise ProxyError(TARGET_TOO_LONG, f"more than {settings.maxTargetBytes} bytes")
        if len(buffer) > settings.maxHeadBytes:
            raise ProxyError(HEAD_TOO_LARGE, f"more than {settings.maxHeadBytes} bytes")
        if line > 0 and self._scanned <= line + 2:
            splitRequestLine(buffer[:line])
        self._scanned = len(buffer)


class ResponseReader(_Reader):
    """Reads the responses of one upstream connection."""

    __slots__ = ("_toHead",)

    def __init__(self, settings: Settings) -> None:
        super().__init__(settings)
        self.isDone = True
        self._toHead = False

    def expectResponse(self, toHead: bool) -> None:
        """A request was sent; read its answer.

        @param toHead: whether it was a HEAD.
        """
        self._inBody = self.isDone = False
        self._chunks = None
        self._toHead = toHead

    @property
    def isInHead(self) -> bool:
        """Whether no final head was read yet."""
        return not self._inBody

    def nextEvent(self) -> ResponseHead | bytes | End | None:
        """What comes next: informational heads, the head, pieces of the body, its end; None when more bytes are needed.

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
        """No more bytes will come.

        @return: the end of a body that lasts until the close.
        @raise ProxyError: 502, when the response is not complete.
        """
        if self._inBody and self._left == UNTIL_CLOSE and self._chunks is None:
            self.isDone = True
            return _END
        raise ProxyError(UPSTREAM_CLOSED, "in the body" if self._inBody else "before the answer")

    def _nextHead(self) -> ResponseHead | None:
        settings = self._settings
        end = self._findHead()
        if end < 0:
            if len(self._buffer) > settings.maxResponseHeadBytes:
                raise nonsense(f"a head of more than {settings.maxResponseHeadBytes} bytes")
            if _BARE_LF.search(self._buffer, max(0, self._scanned - 1)):
                raise nonsense("a line ends in a bare LF")
            self._scanned = len(self._buffer)
            return None
        if end > settings.maxResponseHeadBytes:
            raise nonsense(f"a head of more than {settings.maxResponseHeadBytes} bytes")
        head = parseResponseHead(self._buffer[:end] if end < len(self._buffer) else self._buffer, settings, self._toHead)
        self._buffer = self._buffer[end:]
        if head.code == 101:
            self.isDone = True
        elif head.code >= 200:
            self._begin(head.length)
        return head


def encodeHead(startLine: bytes, items: list[Item]) -> bytes:
    """A head from its first line, which ends in CRLF, and its header lines."""
    return startLine + b"".join([name + b": " + value + b"\r\n" for _, name, value in items]) + b"\r\n"
