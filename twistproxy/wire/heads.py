"""Heads of HTTP/1.1 messages: parsed by llhttp (httptools), checked by guard.py, as data for who frames and
forwards.

What more bytes cannot turn into a good head any more is refused here too, before it is complete.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Generic

import httptools

from twistproxy.errors import HEAD_TOO_LARGE, RESPONSE_HEAD_TOO_LARGE, TARGET_TOO_LONG, ErrorKind, ProxyError
from twistproxy.messages import Item
from twistproxy.settings import Settings
from twistproxy.wire.guard import (
    COMMON_METHODS,
    UNTIL_CLOSE,
    bad,
    checkConnectTarget,
    checkHost,
    hasLineEnd,
    nonsense,
    normaliseTarget,
    requestLength,
    responseLength,
    splitRequestLine,
    tokens,
)
from twistproxy.wire.lines import H, HeaderLines, LineMemory
from twistproxy.wire.memory import Memory

_BARE_LF: Final = re.compile(rb"(?<!\r)\n")
_BARE_CR: Final = re.compile(rb"\r(?!\n)(?=.)", re.DOTALL)
_WATCHED: Final = frozenset({b"host", b"content-length", b"transfer-encoding", b"connection", b"expect", b"upgrade", b"te"})
_TELLING: Final = _WATCHED | {b"proxy-connection"}
"""What llhttp or we look at in a head, whoever it is for."""

_AROUND_TARGET: Final = 512
"""How much longer than the longest target a request line may be, for its method and version."""

_PLAIN_LINE: Final = re.compile(rb"(GET|HEAD|POST|PUT|DELETE|OPTIONS|PATCH) (/[!\"$-~]*+) HTTP/1\.([01])\r\n")
"""A request line whose target is what llhttp takes for a path and query, without a fragment;
L{tests.unit.wire.test_memory} asks it about every byte."""

_VERSIONS: Final = (b"HTTP/1.1 ", b"HTTP/1.0 ")
_BAD_PHRASE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")


class RequestHead:
    """A request's head, checked.

    @ivar target: in origin form (or C{*}; for CONNECT, authority form).
    @ivar authority: of a target that came in absolute form, or of CONNECT; else None.
    @ivar scheme: of a target that came in absolute form; else None.
    @ivar minor: 1 for HTTP/1.1, 0 for HTTP/1.0.
    @ivar lines: all header lines.
    @ivar length: of the body; L{CHUNKED}.
    @ivar keepAlive: whether the client wants to send more requests.
    @ivar upgrade: the values of Upgrade, when Connection names it.
    @ivar expectsContinue: whether the client waits for a 100 before its body.
    @ivar mentionsTe: whether there is a TE line.
    """

    __slots__ = (
        "authority", "expectsContinue", "keepAlive", "length", "lines", "mentionsTe", "method", "minor", "scheme",
        "target", "upgrade",
    )  # fmt: skip

    lines: HeaderLines
    length: int
    keepAlive: bool

    def __init__(self, method: bytes, target: bytes, minor: int) -> None:
        self.method = method
        self.target = target
        self.minor = minor
        self.authority: bytes | None = None
        self.scheme: str | None = None
        self.upgrade: Sequence[bytes] = ()
        self.expectsContinue = self.mentionsTe = False

    def like(self, method: bytes, target: bytes, lines: HeaderLines, length: int) -> RequestHead:
        """Another one, whose header lines say the same but for the length of the body."""
        made = RequestHead(method, target, self.minor)
        made.lines = lines
        made.length = length
        made.keepAlive = self.keepAlive
        made.upgrade = self.upgrade
        made.expectsContinue = self.expectsContinue
        made.mentionsTe = self.mentionsTe
        return made

    @property
    def items(self) -> Sequence[Item]:
        """All header lines."""
        return self.lines.items

    @property
    def connection(self) -> Sequence[bytes]:
        """The options of Connection, lower-case."""
        return self.lines.connection

    def replaceItems(self, items: Sequence[Item]) -> None:
        """Have other lines, for this head alone."""
        self.lines = HeaderLines(items, self.lines.connection)


class ResponseHead:
    """A response's head, checked. The same object may be told again when the same bytes come again.

    @ivar lines: all header lines.
    @ivar length: of the body; L{CHUNKED} or L{UNTIL_CLOSE}.
    @ivar keepAlive: whether the connection can be used again, as far as the head tells.
    @ivar upgrade: the values of Upgrade.
    @ivar upgradeNamed: whether Connection names Upgrade.
    """

    __slots__ = ("code", "keepAlive", "length", "lines", "minor", "phrase", "upgrade", "upgradeNamed")

    lines: HeaderLines
    length: int
    keepAlive: bool
    upgradeNamed: bool

    def __init__(self, code: int, phrase: bytes, minor: int) -> None:
        self.code = code
        self.phrase = phrase
        self.minor = minor
        self.upgrade: Sequence[bytes] = ()

    def like(self, lines: HeaderLines, length: int) -> ResponseHead:
        """Another one, whose header lines say the same but for the length of the body."""
        made = ResponseHead(self.code, self.phrase, self.minor)
        made.lines = lines
        made.length = length
        made.keepAlive = self.keepAlive
        made.upgrade = self.upgrade
        made.upgradeNamed = self.upgradeNamed
        return made

    @property
    def items(self) -> Sequence[Item]:
        """All header lines."""
        return self.lines.items

    @property
    def connection(self) -> Sequence[bytes]:
        """The options of Connection, lower-case."""
        return self.lines.connection


class _Collector:
    """What llhttp calls back while it parses one head."""

    __slots__ = ("found", "items", "phrase")

    def __init__(self) -> None:
        self.items: list[Item] = []
        self.found: dict[bytes, list[bytes]] = {}  # the values of the fields that say something to a proxy
        self.phrase = b""

    def on_status(self, phrase: bytes) -> None:
        self.phrase += phrase

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        value = value.rstrip(b" \t")
        self.items.append((lower, name, value))
        if lower in _WATCHED:
            if lower in self.found:
                self.found[lower].append(value)
            else:
                self.found[lower] = [value]


_NONE: Final[Sequence[bytes]] = ()


def _refuseBareLineEnds(head: bytes | bytearray, start: int, end: int) -> None:
    pairs = head.count(b"\r\n", start, end)
    if head.count(b"\n", start, end) == pairs == head.count(b"\r", start, end):
        return
    if _BARE_LF.search(head, start, end):
        raise bad("a line ends in a bare LF")
    if _BARE_CR.search(head, start, end):
        raise bad("a bare CR")


def _requestLine(line: bytes, settings: Settings) -> tuple[bytes, bytes, int]:
    method, target, minor = splitRequestLine(line)
    if len(target) > settings.maxTargetBytes:
        if hasLineEnd(target):
            raise bad("a CR or LF in the target")
        raise ProxyError(TARGET_TOO_LONG, f"more than {settings.maxTargetBytes} bytes")
    return method, target, minor


def refusePartialRequestHead(head: bytes | bytearray, settings: Settings, known: int = 0) -> None:
    """Refuse what can no longer become a good head now, not at the timeout.

    The same bytes are refused for the same reason however they are cut into segments: for what comes first in
    them.

    @param head: what there is of a request's head, or one that is too long.
    @param known: so much of it was not refused before.
    @raise ProxyError: with the status that the client gets.
    """
    known = max(0, known - 1)  # the last byte may have been a CR
    longest = min(settings.maxTargetBytes + _AROUND_TARGET, settings.maxHeadBytes)
    lineEnd = head.find(b"\r\n", 0, longest)
    if lineEnd < 0:
        _refuseBareLineEnds(head, known, longest + 1)
        if len(head) > longest:
            raise ProxyError(TARGET_TOO_LONG, f"a request line of more than {longest} bytes")
        return
    if known <= lineEnd:
        _refuseBareLineEnds(head, known, lineEnd + 1)
        _requestLine(bytes(head[:lineEnd]), settings)
    _refuseBareLineEnds(head, max(known, lineEnd), settings.maxHeadBytes + 1)
    if len(head) > settings.maxHeadBytes:
        raise ProxyError(HEAD_TOO_LARGE, f"more than {settings.maxHeadBytes} bytes")


class HeadMemory(Generic[H]):
    """Of heads of one kind: of requests, or of answers to other requests than HEAD.

    @ivar wholes: by all the bytes of a head.
    @ivar lines: for heads that differ.
    """

    __slots__ = ("lines", "wholes")

    def __init__(self, size: int, telling: frozenset[bytes]) -> None:
        """
        @param size: as of L{Memory}.
        @param telling: lower-case names of lines that are not simply sent on.
        """
        self.wholes: Memory[H] = Memory(size)
        self.lines: LineMemory[H] = LineMemory(size, telling | _TELLING)


def parseRequestHead(block: bytes, settings: Settings, memory: HeadMemory[RequestHead] | None = None) -> RequestHead:
    """Parse and check a head.

    @param block: from the request line to the blank line, both included.
    @param memory: of heads parsed with the same settings; one that is found there is nobody's to change.
    @raise ProxyError: with the status that the client gets.
    """
    head = None if memory is None else memory.wholes.recall(block)
    if head is None:
        plain = None if memory is None else _PLAIN_LINE.match(block)
        if memory is None or plain is None:
            head = _parseRequest(block, settings)
        else:
            head = _knownRequest(block, plain, settings, memory.lines)
        if settings.maxFieldBytes is not None:
            _refuseLongFields(head.items, settings.maxFieldBytes, HEAD_TOO_LARGE)
        if memory is not None and plain is not None:
            memory.wholes.offer(block, head)
    return head


def _refuseLongFields(items: Sequence[Item], most: int, kind: ErrorKind) -> None:
    """@param most: bytes of a name and its value together."""
    for _, name, value in items:
        if len(name) + len(value) > most:
            raise ProxyError(kind, f"{name[:100].decode('latin-1')}: more than {most} bytes")


def _knownRequest(block: bytes, plain: re.Match[bytes], settings: Settings, memory: LineMemory[RequestHead]) -> RequestHead:
    """A head of which nothing but its lines may be known; for a method and a target that say nothing about those."""
    method, target, minor = plain.groups()
    if len(target) > settings.maxTargetBytes or len(block) > settings.maxHeadBytes:
        return _parseRequest(block, settings)
    section = block[plain.end() - 2 : -2]
    read = memory.read(minor, section)
    if read is None:
        return _parseRequest(block, settings)
    lines, telling, key = read
    shape = memory.shapes.recall(key)
    if shape is None or len(lines) > settings.maxHeaderCount:
        head = _parseRequest(block, settings)
        memory.learn(key, lines, telling, head)
        return head
    at = shape.lengthAt
    length = shape.head.length if at < 0 else int(telling[at][0][2])
    return shape.head.like(method, target, HeaderLines.shaped(lines, telling, section, shape), length)


def _parseRequest(block: bytes, settings: Settings) -> RequestHead:
    lineEnd = block.index(b"\r\n")
    if lineEnd > settings.maxTargetBytes + _AROUND_TARGET - 2 or len(block) > settings.maxHeadBytes:
        refusePartialRequestHead(block, settings)
    method, target, minor = _requestLine(block[:lineEnd], settings)
    if method == b"CONNECT":
        checkConnectTarget(target)
        block = b"POST / HTTP/1.%d" % minor + block[lineEnd:]
    elif method not in COMMON_METHODS:
        # llhttp knows a fixed list of methods; any token is one (RFC 9110 section 9.1).
        block = b"POST" + block[len(method) :]
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
    head = RequestHead(method, target, minor)
    if (target[:1] != b"/" or b"#" in target) and method != b"CONNECT":
        head.target, head.authority, head.scheme = normaliseTarget(method, target)
    found = collector.found
    checkHost(found.get(b"host", _NONE), minor, head.authority, head.scheme)
    if method == b"CONNECT":
        head.authority = target  # Host may say something else, and is not looked at
    lengths, codings = found.get(b"content-length", _NONE), found.get(b"transfer-encoding", _NONE)
    head.length = requestLength(lengths, codings, minor) if lengths or codings else 0
    connection = tokens(found[b"connection"]) if b"connection" in found else ()
    head.lines = HeaderLines(items, connection)
    head.keepAlive = b"close" not in connection and (minor == 1 or b"keep-alive" in connection)
    if b"upgrade" in connection and minor:
        head.upgrade = found.get(b"upgrade", _NONE)
    if b"te" in found:
        head.mentionsTe = True
    if b"expect" in found:
        head.expectsContinue = minor == 1 and head.length != 0 and b"100-continue" in tokens(found[b"expect"])
    return head


def refusePartialResponseHead(head: bytes | bytearray, settings: Settings, known: int = 0) -> None:
    """Refuse what can no longer become a good head now: a peer that speaks another protocol may wait for us.

    @param head: what there is of a response's head.
    @param known: so much of it was not refused before.
    @raise ProxyError: 502.
    """
    if known < 9 and not any(each.startswith(head[:9]) for each in _VERSIONS):
        raise nonsense("not HTTP/1.0 or 1.1")
    if len(head) > settings.maxResponseHeadBytes:
        raise ProxyError(RESPONSE_HEAD_TOO_LARGE, f"more than {settings.maxResponseHeadBytes} bytes")
    if _BARE_LF.search(head, max(0, known - 1)):
        raise nonsense("a line ends in a bare LF")


def parseResponseHead(
    block: bytes, settings: Settings, toHead: bool, memory: HeadMemory[ResponseHead] | None = None
) -> ResponseHead:
    """Parse and check a head.

    @param block: from the status line to the blank line, both included.
    @param toHead: whether the request was a HEAD.
    @param memory: of heads parsed with the same settings.
    @raise ProxyError: 502.
    """
    head = None if memory is None or toHead else memory.wholes.recall(block)
    if head is None:
        if memory is None or toHead:
            head = _parseResponse(block, settings, toHead)
        else:
            head = _knownResponse(block, settings, memory.lines)
        if settings.maxResponseFieldBytes is not None:
            _refuseLongFields(head.items, settings.maxResponseFieldBytes, RESPONSE_HEAD_TOO_LARGE)
        if memory is not None and not toHead:
            memory.wholes.offer(block, head)
    return head


def _knownResponse(block: bytes, settings: Settings, memory: LineMemory[ResponseHead]) -> ResponseHead:
    """A head of which nothing but its lines may be known."""
    lineEnd = block.index(b"\r\n")
    section = block[lineEnd:-2]
    read = memory.read(block[:lineEnd], section)
    if read is None:
        return _parseResponse(block, settings, False)
    lines, telling, key = read
    shape = memory.shapes.recall(key)
    if shape is None or len(lines) > settings.maxResponseHeaderCount or len(block) > settings.maxResponseHeadBytes:
        head = _parseResponse(block, settings, False)
        memory.learn(key, lines, telling, head)
        return head
    at = shape.lengthAt
    length = shape.head.length if at < 0 else int(telling[at][0][2])
    return shape.head.like(HeaderLines.shaped(lines, telling, section, shape), length)


def _parseResponse(block: bytes, settings: Settings, toHead: bool) -> ResponseHead:
    if len(block) > settings.maxResponseHeadBytes:
        raise ProxyError(RESPONSE_HEAD_TOO_LARGE, f"more than {settings.maxResponseHeadBytes} bytes")
    version = block[:9]
    if version not in _VERSIONS:
        raise nonsense("not HTTP/1.0 or 1.1")
    isSwitch = block[9:12] == b"101"
    if isSwitch:
        block = version + b"100" + block[12:]  # llhttp stops at a 101, and calls one without Upgrade an error
    collector = _Collector()
    parser = httptools.HttpResponseParser(collector)
    try:
        parser.feed_data(block)
    except httptools.HttpParserError as error:
        raise nonsense(str(error)) from None
    items = collector.items
    if len(items) > settings.maxResponseHeaderCount:
        raise ProxyError(RESPONSE_HEAD_TOO_LARGE, f"more than {settings.maxResponseHeaderCount} header fields")
    found = collector.found
    code = 101 if isSwitch else parser.get_status_code()
    if code < 100:
        raise nonsense("the status is not one")
    phrase = collector.phrase
    if phrase != b"OK" and _BAD_PHRASE.search(phrase):
        raise nonsense("a control character in the reason phrase")
    minor = 1 if version == b"HTTP/1.1 " else 0
    head = ResponseHead(code, phrase, minor)
    hasBody = not (toHead or code < 200 or code == 204 or code == 304)
    lengths, codings = found.get(b"content-length", _NONE), found.get(b"transfer-encoding", _NONE)
    head.length = responseLength(lengths, codings, minor, hasBody)
    connection = tokens(found[b"connection"]) if b"connection" in found else ()
    head.lines = HeaderLines(items, connection)
    head.keepAlive = b"close" not in connection and (minor == 1 or b"keep-alive" in connection)
    head.upgradeNamed = b"upgrade" in connection
    if head.length == UNTIL_CLOSE or (code == 204 and (codings or (lengths and int(lengths[0])))):
        head.keepAlive = False  # some servers do send the body that they announce with a 204
    if b"upgrade" in found:
        head.upgrade = found[b"upgrade"]
    return head


def encodeLines(items: Sequence[Item]) -> bytes:
    """Header lines as they are sent."""
    return b"".join([name + b": " + value + b"\r\n" for _, name, value in items])


def encodeHead(startLine: bytes, items: Sequence[Item]) -> bytes:
    """A head from its first line, which ends in CRLF, and its header lines."""
    return startLine + encodeLines(items) + b"\r\n"
