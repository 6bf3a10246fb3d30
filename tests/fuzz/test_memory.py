"""Heads that are told by what came before say, and are sent on as, what they would be without a memory."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httptools
from hypothesis import example, given
from hypothesis import strategies as st
from twisted.internet.address import IPv4Address
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.test_wire import BREAKS, COLONS, NAMES, SETTINGS, VALUES, facts, fuzz
from twistproxy.errors import ProxyError
from twistproxy.forwarding import (
    FORWARDING,
    HOP_BY_HOP,
    identify,
    outboundBlock,
    outboundItems,
    relayedResponse,
    requestMemory,
    responseItems,
    responseMemory,
)
from twistproxy.wire.heads import RequestHead, encodeLines, parseRequestHead, parseResponseHead
from twistproxy.wire.lines import Strange, readLine

IDENTITY = identify(IPv4Address("TCP", "192.0.2.1", 1), "http")  # type: ignore[arg-type]

KNOWN = [each.title() for each in sorted(HOP_BY_HOP | FORWARDING)]
LINE = st.one_of(
    st.sampled_from([
        b"Host: a", b"Host: b", b"Host:a", b"Content-Length: 0", b"Content-Length: 5", b"Content-Length: 17",
        b"Content-Length: 05", b"content-length: 5", b"Connection: close", b"Connection: keep-alive", b"Connection: x-a",
        b"Connection: X-A, close",
        b"Connection: upgrade", b"Upgrade: websocket", b"Transfer-Encoding: chunked", b"Expect: 100-continue", b"TE: trailers",
        b"X-A: 1", b"X-A: 2", b"X-A:1", b"X-A:\t1 ", b"X-A:", b"X-A: ", b"X-Connection: close", b"Cookie: a=b; c", b"Proxy: x",
        b"X-Forwarded-For: 1.2.3.4", b"x_forwarded_for: 1.2.3.4", b"Trailer: X-B", b"(some): 5", b"(some)", b"", b" folded",
        b"Proxy-Connection: close", b"Keep-Alive: 5", b"X-A: \xff", b"X-A: a\x00", b"X-A: a\nHost: c", b"X-A: a\rb", b"X-A : 1",
    ]),
    st.builds(lambda name, value: name + b": " + value, st.sampled_from(KNOWN), VALUES),
    st.builds(lambda name, colon, value: name + colon + value, NAMES, COLONS, VALUES),
)  # fmt: skip
LINES = st.lists(LINE, min_size=1, max_size=8)
REQUEST_LINES = st.sampled_from([
    b"GET / HTTP/1.1", b"GET /a?b HTTP/1.1", b"POST / HTTP/1.1", b"POST /b HTTP/1.0", b"HEAD / HTTP/1.1", b"OPTIONS * HTTP/1.1",
    b"GET http://a/ HTTP/1.1", b"CONNECT a:1 HTTP/1.1", b"BREW / HTTP/1.1", b"GET /# HTTP/1.1",
    b"GET /" + b"a" * 70 + b" HTTP/1.1",
])  # fmt: skip
STATUS_LINES = st.sampled_from([
    b"HTTP/1.1 200 OK", b"HTTP/1.1 200 ", b"HTTP/1.0 200 OK", b"HTTP/1.1 204 No Content", b"HTTP/1.1 304 Not Modified",
    b"HTTP/1.1 100 Continue", b"HTTP/1.1 101 Switching", b"HTTP/1.1 404 a\x01", b"HTTP/1.1 500 a\nb", b"HTTP/2 200", b"",
])  # fmt: skip


def heads(starts: st.SearchStrategy[bytes]) -> st.SearchStrategy[list[bytes]]:
    """Heads that have lines in common, one after another, some of them twice and more."""

    def from_(pool: list[bytes]) -> st.SearchStrategy[list[bytes]]:
        chosen = st.lists(st.sampled_from(pool), max_size=5)
        each = st.builds(lambda start, lines: b"\r\n".join([start, *lines]) + b"\r\n\r\n", starts, chosen)
        several = st.lists(each, min_size=1, max_size=6)
        return several.flatmap(lambda some: st.lists(st.sampled_from(some), min_size=1, max_size=16))

    return LINES.flatmap(from_)


def outcome(parse: Callable[[], Any], sent: Callable[[Any], bytes | None]) -> Any:
    """What a head says and is sent on as, or why it is refused."""
    try:
        head = parse()
    except ProxyError as error:
        return error.kind.reason, error.detail
    return facts(head), head.items, head.connection, sent(head)


def outbound(head: RequestHead) -> bytes | None:
    """The lines that are sent on, by the long way."""
    if not any(lower == b"host" for lower, _, _ in head.items):
        return None
    return encodeLines(outboundItems(head.items, head.connection, IDENTITY)[0])


class KnownHeadTests(SynchronousTestCase):
    """Heads in a row, and a memory that is small enough to forget."""

    @given(st.lists(heads(REQUEST_LINES), min_size=1, max_size=3))
    @example([[b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length for length in (5, 17, 0, 5, 3, 17)]])
    @example([[b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\nExpect: 100-continue\r\n\r\n" % at for at in (5, 7, 8, 0)]])
    @example([[b"GET /%d HTTP/1.1\r\nHost: a\r\nX-Connection: close\r\nConnection: close\r\n\r\n" % at for at in range(4)]])
    @example([[b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n" % (b"a" * at) for at in (1, 2, 3, 59, 60)]])
    @example([[b"GET /%d HTTP/1.1\r\nHost: a\r\nX: %b\r\n\r\n" % (at, b"a" * at) for at in (1, 2, 3, 300, 400)]])
    @example([[b"GET / HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % line for line in (b"Content-Length: 5", b"(some)") * 4]])
    @example([[b"GET /%d HTTP/1.1\r\nHost:a\r\nTE: x\r\nTE: x\r\nTE:x\r\nTE: x\r\n\r\n" % at for at in range(4)]])
    @fuzz(400)
    def test_requests(self, groups: list[list[bytes]]) -> None:
        memory = requestMemory(3)
        for block in [each for group in groups for each in group]:
            found = outcome(
                lambda block=block: parseRequestHead(block, SETTINGS, memory),  # type: ignore[misc]
                lambda head: outboundBlock(head.lines, IDENTITY),
            )
            wanted = outcome(lambda block=block: parseRequestHead(block, SETTINGS), outbound)  # type: ignore[misc]
            self.assertEqual(found, wanted, block)

    @given(st.lists(heads(STATUS_LINES), min_size=1, max_size=3))
    @example([[b"HTTP/1.1 304 a\r\nContent-Length: %d\r\n\r\n" % length for length in (0, 0, 0, 5, 5, 5, 17)]])
    @example([[b"HTTP/1.1 204 a\r\nContent-Length: %d\r\n\r\n" % length for length in (5, 5, 0, 0, 17, 0)]])
    @example([[b"HTTP/1.1 200 OK\r\nX-A: %d\r\nContent-Length: %d\r\nConnection: x-a\r\n\r\n" % (at, at + 1) for at in range(6)]])
    @fuzz(400)
    def test_responses(self, groups: list[list[bytes]]) -> None:
        memory = responseMemory(3)
        for block in [each for group in groups for each in group]:
            found = outcome(
                lambda block=block: parseResponseHead(block, SETTINGS, False, memory),  # type: ignore[misc]
                lambda head: relayedResponse(head.lines),
            )
            wanted = outcome(
                lambda block=block: parseResponseHead(block, SETTINGS, False),  # type: ignore[misc]
                lambda head: encodeLines(responseItems(head.items, head.connection)),
            )
            self.assertEqual(found, wanted, block)

    def test_thisIsAboutSomething(self) -> None:
        """Heads of these kinds are known by their lines."""
        requests, responses = requestMemory(3), responseMemory(3)
        assert requests is not None and responses is not None
        for at in range(1, 5):
            lines = b"X: %d\r\nContent-Length: %d\r\n\r\n" % (at, at)
            request = parseRequestHead(b"POST /%d HTTP/1.1\r\nHost: a\r\n" % at + lines, SETTINGS, requests)
            answer = parseResponseHead(b"HTTP/1.1 200 OK\r\n" + lines, SETTINGS, False, responses)
            self.assertEqual((request.lines.shape is None, answer.lines.shape is None), (at < 3, at < 3))


class _Said:
    """What llhttp makes of header lines."""

    def __init__(self) -> None:
        self.items: list[tuple[bytes, bytes]] = []

    def on_header(self, name: bytes, value: bytes) -> None:
        self.items.append((name, value.rstrip(b" \t")))


class LineTests(SynchronousTestCase):
    """A line that is taken for plain is what llhttp would make of it, whatever stands around it."""

    def check(self, line: bytes) -> bool:
        """@return: whether it was taken."""
        try:
            (_, name, value), _ = readLine(line, frozenset())
        except Strange:
            return False
        for parser in (httptools.HttpRequestParser, httptools.HttpResponseParser):
            said = _Said()
            start = b"GET / HTTP/1.1" if parser is httptools.HttpRequestParser else b"HTTP/1.1 200 OK"
            parser(said).feed_data(start + b"\r\nA: 1\r\n" + line + b"\r\nB: 2\r\n\r\n")
            self.assertEqual(said.items, [(b"A", b"1"), (name, value), (b"B", b"2")], line)
        return True

    def test_everyByteInEveryPlace(self) -> None:
        for pattern in (b"%b", b"%b: 1", b"X%b: 1", b"X%bY: 1", b"%bX: 1", b"X:%b", b"X: %b", b"X: %b1", b"X: 1%b", b"X: 1%b2"):
            taken = sum(self.check(pattern % bytes([code])) for code in range(256))
            self.assertIn(taken, (0, 77, 78, *range(222, 226)), pattern)  # none, tokens, tokens and a colon, text

    @given(st.one_of(LINE, st.binary(max_size=12), st.builds(lambda *parts: b"".join(parts), NAMES, COLONS, VALUES, BREAKS)))
    @fuzz(300)
    def test_anyLine(self, line: bytes) -> None:
        if line.partition(b":")[0].lower() not in (b"content-length", b"transfer-encoding", b"connection", b"upgrade"):
            self.check(line)
