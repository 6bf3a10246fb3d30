"""Properties of L{twistproxy.wire} that hold for all bytes, and agreement with two other parsers, h11 and llhttp.

In CI (the variable C{CI} is set) the same examples are tried each time; elsewhere each run tries others.
C{TWISTPROXY_FUZZ=N} tries N times as many.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Callable, Iterable
from typing import Any

import h11
import httptools
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.conformance.requests import CASES as REQUESTS
from tests.conformance.responses import CASES as RESPONSES
from twistproxy.errors import CODING_NOT_IMPLEMENTED, ProxyError
from twistproxy.messages import headerItem, isToken
from twistproxy.settings import Settings
from twistproxy.wire.chunked import ChunkedDecoder, encodeChunk, encodeEnd, isAllowedTrailer
from twistproxy.wire.guard import CHUNKED
from twistproxy.wire.http1 import End, HeadMemory, RequestHead, RequestReader, ResponseHead, ResponseReader

SETTINGS = Settings(maxHeadBytes=400, maxTargetBytes=60, maxHeaderCount=12, maxFieldBytes=120, maxTrailerBytes=60)
ROOMY = Settings()


def fuzz(examples: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """How hard to try."""
    return settings(
        max_examples=examples * int(os.environ.get("TWISTPROXY_FUZZ", "1")),
        deadline=None,
        derandomize=bool(os.environ.get("CI")),
        database=None,
        suppress_health_check=list(HealthCheck),
    )


# Bytes to try.

NAMES = st.sampled_from(
    [
        b"Host",
        b"Content-Length",
        b"Transfer-Encoding",
        b"Connection",
        b"Upgrade",
        b"Expect",
        b"TE",
        b"Trailer",
        b"X-A",
        b"x_a",
        b"!",
    ]
)
VALUES = st.one_of(
    st.sampled_from(
        [
            b"", b"a", b"a:80", b"5", b"0", b"05", b"5, 5", b"+5", b"chunked", b"Chunked ", b"gzip, chunked", b"chunked, chunked",
            b"identity", b"\x0bchunked", b"close", b"upgrade", b"keep-alive, x", b"websocket", b"100-continue", b"\xff", b"a\tb",
        ]
    ),
    st.binary(max_size=8),
)  # fmt: skip
BREAKS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n", b"\r\n ", b"\r\n\t", b""])
COLONS = st.sampled_from([b": "] * 8 + [b":", b" : ", b":\t", b"", b"::"])
FIELD = st.tuples(NAMES, COLONS, VALUES, BREAKS).map(b"".join)
METHODS = st.sampled_from([b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"BREW", b"get", b"M-SEARCH", b"G@T", b""])
TARGETS = st.one_of(
    st.sampled_from(
        [b"/", b"/a?b", b"*", b"a:80", b"http://a/", b"http://a:80?x", b"https://a", b"http://b/", b"/#", b"//", b"/" * 70]
    ),
    st.binary(max_size=6).map(lambda tail: b"/" + tail),
)
VERSIONS = st.sampled_from(
    [b"HTTP/1.1"] * 6 + [b"HTTP/1.0", b"HTTP/1.0", b"HTTP/2.0", b"HTTP/1.2", b"http/1.1", b"HTTP/1.1 ", b""]
)
CHUNK = st.one_of(
    st.binary(max_size=12).map(lambda data: b"%x\r\n" % len(data) + data + b"\r\n"),
    st.sampled_from(
        [b"1;a=b\r\nx\r\n", b"1 ;a\r\nx\r\n", b"1 \r\nx\r\n", b"0x1\r\nx\r\n", b"1\nx\r\n", b"1\r\nxy\r\n", b"0\r\n"]
    ),
)
BODY = st.one_of(
    st.just(b""),
    st.just(b"hello"),
    st.just(b"0\r\n\r\n"),
    st.binary(max_size=10),
    st.tuples(
        st.lists(CHUNK, max_size=4).map(b"".join), st.just(b"0\r\n"), st.lists(FIELD, max_size=2).map(b"".join), BREAKS
    ).map(b"".join),
)
REQUEST = st.builds(
    lambda empty, method, target, version, cut, host, fields, end, body: b"".join(
        [empty, method, b" ", target, b" ", version, cut, host, *fields, end, body]
    ),
    st.sampled_from([b""] * 8 + [b"\r\n", b"\r\n\r\n", b"\n"]),
    METHODS,
    TARGETS,
    VERSIONS,
    BREAKS,
    st.sampled_from([b"Host: a\r\n"] * 6 + [b""]),
    st.lists(FIELD, max_size=4),
    BREAKS,
    BODY,
)
STATUS = st.sampled_from(
    [b"200 OK", b"200", b"204 No", b"304 x", b"100 C", b"101 S", b"103 E", b"099 x", b"200 a\x00", b"2000", b""]
)
RESPONSE = st.builds(
    lambda version, status, cut, fields, end, body: b"".join([version, b" ", status, cut, *fields, end, body]),
    VERSIONS,
    STATUS,
    BREAKS,
    st.lists(FIELD, max_size=4),
    BREAKS,
    BODY,
)
GOOD_FIELD = st.sampled_from(
    [
        b"X-A: b",
        b"x_a:",
        b"Connection: close",
        b"Connection:,X",
        b"Upgrade: a",
        b"TE: trailers",
        b"X:\t\xff ",
        b"!: a, b",
        b"Cookie: a=b",
    ]
)
GOOD_CHUNK = st.builds(
    lambda size, extension, data: size % len(data) + extension + b"\r\n" + data + b"\r\n",
    st.sampled_from([b"%x", b"%X", b"00%x"]),
    st.sampled_from([b"", b"", b";a", b';a="b;"', b" ;a"]),
    st.binary(min_size=1, max_size=20),
)
GOOD_TRAILER = st.sampled_from([b"X-Sum: 1\r\n", b"Host: evil\r\n", b"Content-Length: 9\r\n", b"a:\r\n"])
FRAMED = st.one_of(  # the field that frames a body, and the body
    st.just((b"", b"")),
    st.builds(
        lambda name, body: (name % len(body), body), st.sampled_from([b"Content-Length: %d", b"content-length:0%d "]), st.binary()
    ),
    st.builds(
        lambda name, chunks, trailers: (name, b"".join(chunks) + b"0\r\n" + b"".join(trailers) + b"\r\n"),
        st.sampled_from([b"Transfer-Encoding: chunked", b"transfer-encoding: CHUNKED "]),
        st.lists(GOOD_CHUNK, max_size=4),
        st.lists(GOOD_TRAILER, max_size=2),
    ),
)


def whole(line: bytes, fields: list[bytes], framed: tuple[bytes, bytes]) -> bytes:
    """A message of good parts."""
    return b"\r\n".join([line, *fields, *framed[:1], b"", b""] if framed[0] else [line, *fields, b"", b""]) + framed[1]


GOOD_REQUEST = st.builds(
    lambda method, target, minor, fields, framed: whole(method + target + minor, [b"Host: a", *fields], framed),
    st.sampled_from([b"GET ", b"POST ", b"HEAD ", b"OPTIONS ", b"BREW ", b"M-SEARCH "]),
    st.sampled_from([b"/", b"/a?b", b"//%ff", b"http://a/b", b"http://A:80", b"/{}|^"]),
    st.sampled_from([b" HTTP/1.1", b" HTTP/1.1", b" HTTP/1.0"]),
    st.lists(GOOD_FIELD, max_size=4),
    FRAMED,
)
GOOD_RESPONSE = st.builds(
    lambda line, fields, framed: whole(line, fields, framed),
    st.sampled_from(
        [b"HTTP/1.1 200 OK", b"HTTP/1.1 404 Not  here", b"HTTP/1.0 200 OK", b"HTTP/1.1 500", b"HTTP/1.1 204 ", b"HTTP/1.1 304 x"]
    ),
    st.lists(GOOD_FIELD, max_size=4),
    FRAMED,
)
EARLIER = st.sampled_from([b"", b"", b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 103 E\r\nLink: a\r\n\r\n"])
REQUEST_BYTES = st.one_of(
    st.lists(GOOD_REQUEST, min_size=1, max_size=3).map(b"".join),
    st.lists(GOOD_REQUEST, min_size=1, max_size=3).map(b"".join),
    st.lists(REQUEST, min_size=1, max_size=3).map(b"".join),
    st.sampled_from([case.data for case in REQUESTS if len(case.data) < 600]),
    st.binary(max_size=60),
)
RESPONSE_BYTES = st.one_of(
    st.tuples(EARLIER, GOOD_RESPONSE, EARLIER, GOOD_RESPONSE).map(b"".join),
    st.tuples(EARLIER, GOOD_RESPONSE).map(b"".join),
    st.lists(RESPONSE, min_size=1, max_size=3).map(b"".join),
    st.sampled_from([case.data for case in RESPONSES if len(case.data) < 600]),
    st.binary(max_size=60),
)


@st.composite
def mutated(draw: st.DrawFn, original: st.SearchStrategy[bytes]) -> bytes:
    """C{original} with a few bytes replaced, inserted or removed."""
    data = bytearray(draw(original))
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
        at = draw(st.integers(0, len(data)))
        new = draw(
            st.sampled_from(
                [b"", b"\r", b"\n", b"\r\n", b" ", b"\t", b":", b",", b"\x00", b"\x0b", b"\x7f", b"\x80", b"\xff", b"0"]
            )
        )
        data[at : at + draw(st.integers(0, 2))] = new
    return bytes(data)


# What comes out of them.


def cut(data: bytes, seed: int) -> Iterable[bytes]:
    """C{data} in pieces."""
    if seed == 0:
        return [data]
    if seed == 1:
        return [bytes([each]) for each in data]
    dice = random.Random(seed)
    ends = sorted(dice.randrange(len(data) + 1) for _ in range(dice.randrange(1, 6)))
    return [data[start:end] for start, end in zip([0, *ends], [*ends, len(data)], strict=True)]


def facts(head: RequestHead | ResponseHead) -> dict[str, Any]:
    """All that a head tells."""
    return {name: getattr(head, name) for name in dir(head) if name[0] != "_" and name not in ("lines", "replaceItems", "like")}


def requests(
    pieces: Iterable[bytes], limits: Settings, memory: HeadMemory[RequestHead] | None = None
) -> tuple[list[list[Any]], str]:
    """What the reader makes of them: messages, each head, body and trailers, and why it stopped."""
    reader = RequestReader(limits, memory)
    found: list[list[Any]] = []
    try:
        for piece in pieces:
            reader.receiveData(piece)
            while (event := reader.nextEvent()) is not None:
                if isinstance(event, RequestHead):
                    found.append([facts(event), b""])
                elif isinstance(event, End):
                    found[-1].append(event.trailers)
                    reader.startNextMessage()
                else:
                    found[-1][1] += event
    except ProxyError as error:
        return found, error.kind.reason
    return found, f"{reader.isInBody} {reader.buffered}"


def responses(
    pieces: Iterable[bytes], toHead: bool, limits: Settings, memory: HeadMemory[ResponseHead] | None = None
) -> tuple[list[list[Any]], str]:
    """As L{requests}, for a connection on which one response follows another, and which is closed at the end."""
    reader = ResponseReader(limits, memory)
    reader.expectResponse(toHead)
    found: list[list[Any]] = []
    try:
        for piece in pieces:
            reader.receiveData(piece)
            while (event := reader.nextEvent()) is not None:
                if isinstance(event, ResponseHead):
                    found.append([facts(event), b""])
                    if event.code == 101:
                        break
                elif isinstance(event, End):
                    found[-1].append(event.trailers)
                    reader.expectResponse(toHead)
                else:
                    found[-1][1] += event
        if reader.isDone:
            return found, repr(reader.takeBuffered())
        reader.connectionClosed()
    except ProxyError as error:
        return found, error.kind.reason
    return found, "closed"


class SplittingTests(SynchronousTestCase):
    """However the same bytes are cut into segments, the same messages come out, and the same error."""

    def assertSame(self, one: tuple[list[list[Any]], str], other: tuple[list[list[Any]], str]) -> None:
        self.assertEqual(one[1], other[1])
        self.assertEqual(len(one[0]), len(other[0]))
        for left, right in zip(one[0], other[0], strict=True):
            if len(left) == 2:  # it broke off: where is a matter of segments only for what is over a limit
                self.assertTrue(left[1].startswith(right[1]) or right[1].startswith(left[1]))
                left, right = left[:1], right[:1]
            self.assertEqual(left, right)

    @given(mutated(REQUEST_BYTES), st.integers(1, 1000))
    @example(b"\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", 1)
    @example(b"GET /\n HTTP/2.0\r\n\r\n", 1)
    @example(b"GET / HTTP/2.0\r\nA: b\n\r\n\r\n", 1)
    @example(b"GET /" + b"a" * 700 + b"\n HTTP/1.1\r\n\r\n", 1)
    @example(b"GET / HTTP/1.1\r\nA: " + b"a" * 400 + b"\nHost: a\r\n\r\n", 1)
    @example(b"GET /" + b"a" * 60 + b" HTTP/1.1\r\nA: b\n\r\n\r\n", 1)
    @fuzz(600)
    def test_requestsAreTheSame(self, data: bytes, seed: int) -> None:
        self.assertSame(requests([data], SETTINGS), requests(cut(data, seed), SETTINGS))

    @given(mutated(REQUEST_BYTES), st.integers(1, 1000), st.integers(1, 80), st.integers(1, 600))
    @fuzz(300)
    def test_requestsAreTheSameUnderAnyLimits(self, data: bytes, seed: int, target: int, head: int) -> None:
        limits = Settings(maxTargetBytes=target, maxHeadBytes=head)
        self.assertSame(requests([data], limits), requests(cut(data, seed), limits))

    @given(mutated(RESPONSE_BYTES), st.integers(1, 1000), st.booleans())
    @fuzz(600)
    def test_responsesAreTheSame(self, data: bytes, seed: int, toHead: bool) -> None:
        self.assertSame(responses([data], toHead, SETTINGS), responses(cut(data, seed), toHead, SETTINGS))


class MemoryTests(SplittingTests):
    """Whatever was parsed before and is remembered, the same bytes say the same."""

    requestMemory: HeadMemory[RequestHead] = HeadMemory(64, frozenset())
    responseMemory: HeadMemory[ResponseHead] = HeadMemory(64, frozenset())

    @given(mutated(REQUEST_BYTES), st.integers(1, 1000))
    @fuzz(150)
    def test_requestsAreTheSame(self, data: bytes, seed: int) -> None:
        wanted = requests([data], SETTINGS)
        for _ in range(3):
            self.assertSame(wanted, requests(cut(data, seed), SETTINGS, self.requestMemory))

    @given(mutated(RESPONSE_BYTES), st.integers(1, 1000), st.booleans())
    @fuzz(150)
    def test_responsesAreTheSame(self, data: bytes, seed: int, toHead: bool) -> None:
        wanted = responses([data], toHead, SETTINGS)
        for _ in range(3):
            self.assertSame(wanted, responses(cut(data, seed), toHead, SETTINGS, self.responseMemory))

    test_requestsAreTheSameUnderAnyLimits = None  # a memory is for heads under the same limits


class AnyBytesTests(SynchronousTestCase):
    """Nothing but L{ProxyError} comes out of bytes."""

    @given(st.one_of(st.binary(max_size=300), mutated(REQUEST_BYTES)), st.integers(0, 1000))
    @fuzz(400)
    def test_requestsNeverRaiseAnythingElse(self, data: bytes, seed: int) -> None:
        requests(cut(data, seed), ROOMY)

    @given(st.one_of(st.binary(max_size=300), mutated(RESPONSE_BYTES)), st.integers(0, 1000))
    @fuzz(400)
    def test_responsesNeverRaiseAnythingElse(self, data: bytes, seed: int) -> None:
        responses(cut(data, seed), bool(seed % 2), ROOMY)


TOKEN = st.text("!#$%&'*+-.^_`|~azAZ09", min_size=1, max_size=8).map(str.encode)
PRINTABLE = st.binary(max_size=12).map(lambda data: re.sub(rb"[\x00-\x08\x0a-\x1f\x7f]", b"", data).strip(b" \t"))
ITEMS = st.lists(st.builds(headerItem, TOKEN, PRINTABLE), max_size=5)


class ChunkedTests(SynchronousTestCase):
    """The coding and its reverse."""

    @given(
        st.lists(st.binary(min_size=1, max_size=40), max_size=6),
        ITEMS.map(lambda items: [item for item in items if isAllowedTrailer(item[0])]),
        st.binary(max_size=10),
        st.integers(0, 1000),
    )
    @fuzz(300)
    def test_whatWasEncodedIsDecoded(self, pieces: list[bytes], trailers: list[Any], behind: bytes, seed: int) -> None:
        wire = b"".join([b"".join(encodeChunk(piece)) for piece in pieces]) + encodeEnd(trailers) + behind
        decoder = ChunkedDecoder(10_000)
        content = following = b""
        for piece in cut(wire, seed):
            if decoder.ended:
                following += piece
            else:
                more, rest = decoder.decode(piece)
                content += more
                following += rest
        self.assertEqual((content, decoder.trailers, following), (b"".join(pieces), trailers, behind))


class H11Tests(SynchronousTestCase):
    """What we accept, h11 reads in the same way."""

    def fromH11(self, role: Any, data: bytes, toHead: bool = False) -> tuple[Any, bytes, list[Any] | None]:
        """Head, body and trailers of the first message in C{data}; None for trailers that h11 would not drop."""
        connection = h11.Connection(role, max_incomplete_event_size=1 << 20)
        if role is h11.CLIENT:
            connection.send(h11.Request(method="HEAD" if toHead else "GET", target="/", headers=[("Host", "a")]))
            connection.send(h11.EndOfMessage())
        connection.receive_data(data)
        head, body = None, b""
        while True:
            try:
                event = connection.next_event()
            except h11.RemoteProtocolError as error:
                if head is None or not re.search("Content-Length|Transfer-Encoding", str(error)):
                    raise
                return head, body, None
            if event is h11.NEED_DATA:
                connection.receive_data(b"")
            elif isinstance(event, (h11.Request, h11.Response)):
                head = event
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                return head, body, list(event.headers)

    def assertSameTrailers(self, theirs: list[Any] | None, ours: list[Any]) -> None:
        if theirs is not None:
            kept = [(name, value) for name, value in theirs if isAllowedTrailer(name)]
            self.assertEqual(kept, [(name, value) for name, _, value in ours])

    @given(mutated(REQUEST_BYTES))
    @fuzz(900)
    def test_requests(self, data: bytes) -> None:
        found, _ = requests([data], ROOMY)
        if not found or len(found[0]) < 3:
            return
        ours, body, trailers = found[0]
        if re.search(rb"^[0-9a-f]+[ \t]+;", data, re.MULTILINE | re.IGNORECASE):
            return  # h11 knows no whitespace before an extension
        head, theirBody, theirTrailers = self.fromH11(h11.SERVER, data.removeprefix(b"\r\n"))
        self.assertEqual(head.method, ours["method"])
        self.assertEqual(head.http_version, b"1.%d" % ours["minor"])
        if ours["authority"] is None:
            self.assertEqual(head.target, ours["target"])
        else:
            self.assertIn(ours["authority"], head.target)
        lower = [(name, value) for name, _, value in ours["items"]]
        theirs = [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in head.headers]
        self.assertEqual(theirs, [(name, value.lower() if name == b"transfer-encoding" else value) for name, value in lower])
        self.assertEqual(theirBody, body)
        self.assertSameTrailers(theirTrailers, trailers)

    @given(mutated(RESPONSE_BYTES), st.booleans())
    @fuzz(900)
    def test_responses(self, data: bytes, toHead: bool) -> None:
        found, _ = responses([data], toHead, ROOMY)
        first = next((each for each in found if each[0]["code"] >= 200), None)
        if first is None or len(first) < 3 or any(each[0]["code"] == 101 for each in found):
            return
        if first[0]["code"] >= 1000 or re.search(rb"^[0-9a-f]+[ \t]+;", data, re.MULTILINE | re.IGNORECASE):
            return
        ours, body, trailers = first
        head, theirBody, theirTrailers = self.fromH11(h11.CLIENT, data, toHead)
        self.assertEqual((head.status_code, head.reason), (ours["code"], ours["phrase"]))
        self.assertEqual([name for name, _ in head.headers], [item[0] for item in ours["items"]])
        self.assertEqual(theirBody, body)
        self.assertSameTrailers(theirTrailers, trailers)


class Seen:
    """What llhttp calls back."""

    def __init__(self) -> None:
        self.items: list[tuple[bytes, bytes]] = []
        self.url = b""
        self.heads = 0

    def on_url(self, url: bytes) -> None:
        self.url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.items.append((name, value.rstrip(b" \t")))

    def on_headers_complete(self) -> None:
        self.heads += 1


class LlhttpTests(SynchronousTestCase):
    """What llhttp refuses as a whole stream is not accepted, but for methods that it does not know."""

    def fromLlhttp(self, parser: Any, data: bytes) -> bool:
        """Whether it takes them."""
        try:
            parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass
        except httptools.HttpParserError:
            return False
        return True

    @given(mutated(REQUEST_BYTES))
    @fuzz(900)
    def test_requestHeads(self, data: bytes) -> None:
        found, reason = requests([data], ROOMY)
        if not found or reason == CODING_NOT_IMPLEMENTED.reason:
            return
        head = found[0][0]
        if head["method"] not in (b"GET", b"POST", b"HEAD", b"OPTIONS", b"M-SEARCH"):
            return
        block = data[: data.index(b"\r\n\r\n", 2) + 4]
        seen = Seen()
        self.assertTrue(self.fromLlhttp(httptools.HttpRequestParser(seen), block))
        self.assertEqual(seen.heads, 1)
        self.assertEqual(seen.items, [item[1:] for item in head["items"]])

    @given(mutated(RESPONSE_BYTES))
    @fuzz(600)
    def test_responseHeads(self, data: bytes) -> None:
        found, _ = responses([data], False, ROOMY)
        if not found or found[0][0]["code"] == 101:
            return
        seen = Seen()
        self.assertTrue(self.fromLlhttp(httptools.HttpResponseParser(seen), data[: data.index(b"\r\n\r\n") + 4]))
        self.assertEqual(seen.items, [item[1:] for item in found[0][0]["items"]])


class LineTests(SynchronousTestCase):
    """A head that is accepted is what one sees who simply splits it into lines."""

    def assertPlain(self, items: list[Any], block: bytes) -> None:
        lines = block[:-4].split(b"\r\n")[1:]
        self.assertNotRegex(block.replace(b"\r\n", b""), rb"[\x00-\x08\x0a-\x1f\x7f]")
        self.assertEqual(len(lines), len(items))
        for line, (lower, name, value) in zip(lines, items, strict=True):
            self.assertTrue(isToken(name))
            self.assertEqual(name.lower(), lower)
            self.assertEqual(line.partition(b":"), (name, b":", line[len(name) + 1 :]))
            self.assertEqual(line[len(name) + 1 :].strip(b" \t"), value)

    @given(mutated(REQUEST_BYTES))
    @fuzz(600)
    def test_requests(self, data: bytes) -> None:
        found, _ = requests([data], ROOMY)
        if found:
            data = data.removeprefix(b"\r\n")
            block = data[: data.index(b"\r\n\r\n") + 4]
            self.assertPlain(found[0][0]["items"], block)
            self.assertRegex(block, rb"\A[^\x00-\x20\x7f-\xff]+ [\x21-\x7e]+ HTTP/1\.[01]\r\n")
            length = found[0][0]["length"]
            self.assertEqual(length == CHUNKED, bool(re.search(rb"\r\ntransfer-encoding:[ \t]*chunked *\r\n", block.lower())))

    @given(mutated(RESPONSE_BYTES))
    @fuzz(600)
    def test_responses(self, data: bytes) -> None:
        found, _ = responses([data], False, ROOMY)
        if found:
            self.assertPlain(found[0][0]["items"], data[: data.index(b"\r\n\r\n") + 4])
