"""Tests of L{twistproxy.wire.chunked}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.messages import Item, headerItem
from twistproxy.wire.chunked import (
    MAX_LINE,
    MAX_OVERHEAD,
    MAX_TRAILERS,
    ChunkedDecoder,
    ChunkError,
    allowedTrailers,
    encodeChunk,
    encodeEnd,
)

LIMIT = 200


def decodeIn(pieces: list[bytes]) -> tuple[bytes, list[Item], bytes, bool]:
    """Content, trailers, what follows, and whether the body ended."""
    decoder = ChunkedDecoder(LIMIT)
    content = following = b""
    for piece in pieces:
        if decoder.ended:
            following += piece
            continue
        more, rest = decoder.decode(piece)
        content += more
        following += rest
    if decoder.broken:
        raise ChunkError(decoder.broken)
    return content, decoder.trailers, following, decoder.ended


def eachWay(data: bytes) -> list[list[bytes]]:
    """In one piece, byte by byte, and cut in two at every place."""
    return [[data], [bytes([each]) for each in data], *([data[:at], data[at:]] for at in range(1, len(data)))]


class DecodingTests(SynchronousTestCase):
    """What comes out, however the bytes are cut."""

    def assertDecodes(self, data: bytes, content: bytes, trailers: list[tuple[bytes, bytes]], following: bytes = b"") -> None:
        for pieces in eachWay(data):
            found = decodeIn(pieces)
            self.assertEqual((found[0], [item[1:] for item in found[1]], *found[2:]), (content, trailers, following, True))

    def test_chunksAreJoined(self) -> None:
        self.assertDecodes(b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n", b"hello world", [])

    def test_bodyMayBeEmpty(self) -> None:
        self.assertDecodes(b"0\r\n\r\n", b"", [])

    def test_sizesAreHexadecimalInAnyCase(self) -> None:
        self.assertDecodes(b"A\r\n0123456789\r\na\r\n0123456789\r\n000\r\n\r\n", b"01234567890123456789", [])

    def test_contentMayLookLikeFraming(self) -> None:
        self.assertDecodes(b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n", [])

    def test_whatFollowsTheBodyIsGivenBack(self) -> None:
        self.assertDecodes(b"1\r\nx\r\n0\r\n\r\nGET /", b"x", [], b"GET /")

    def test_extensionsAreDropped(self) -> None:
        self.assertDecodes(b'1;a=b\r\nx\r\n1 ; a="q\x80;" ;b\r\ny\r\n0;end\r\n\r\n', b"xy", [])

    def test_trailersAreKept(self) -> None:
        self.assertDecodes(
            b"1\r\nx\r\n0\r\nGrpc-Status: 0\r\nX-Sum:\tabc \r\nEmpty:\r\n\r\n",
            b"x",
            [(b"Grpc-Status", b"0"), (b"X-Sum", b"abc"), (b"Empty", b"")],
        )

    def test_trailersThatFrameRouteOrAuthenticateAreDropped(self) -> None:
        self.assertDecodes(
            b"0\r\nContent-Length: 5\r\nHOST: x\r\nIf-Match: x\r\nX_Forwarded_For: x\r\nForwarded: for=x\r\n"
            b"Authorization: x\r\nOk: 1\r\n\r\n",
            b"",
            [(b"Ok", b"1")],
        )

    def test_contentOfOneChunkIsNotCopied(self) -> None:
        decoder = ChunkedDecoder(LIMIT)
        decoder.decode(b"5\r\n")
        data = b"hello"
        self.assertIs(decoder.decode(data)[0], data)

    def test_nothingComesOutOfNothing(self) -> None:
        decoder = ChunkedDecoder(LIMIT)
        self.assertEqual(decoder.decode(b""), (b"", b""))
        self.assertFalse(decoder.ended)

    def test_incompleteBodyIsNotEnded(self) -> None:
        whole = b"5\r\nhello\r\n0\r\nA: b\r\n\r\n"
        for end in range(len(whole)):
            self.assertFalse(decodeIn([whole[:end]])[3])


class RefusalTests(SynchronousTestCase):
    """What is an error, however the bytes are cut, and as soon as it can be known."""

    def assertRefused(self, *cases: bytes) -> None:
        for case in cases:
            for pieces in eachWay(case):
                with self.assertRaises(ChunkError, msg=f"{pieces!r} was accepted"):
                    decodeIn(pieces)

    def test_sizeIsNothingButHexadecimalDigits(self) -> None:
        self.assertRefused(
            b"0x5\r\nhello", b"+5\r\nhello", b"-5\r\nhello", b" 5\r\nhello", b"5 \r\nhello", b"5\t\r\nhello",
            b"\r\n", b"g\r\n", b"5,5\r\n", b"5_0\r\n", b"\xd9\xa5\r\n", b"5\x0b\r\n", b"5\x00\r\n", b";a\r\n",
        )  # fmt: skip

    def test_sizeHasAtMostFifteenDigits(self) -> None:
        self.assertRefused(b"1" + b"0" * 15, b"0" * 15 + b"5\r\nhello", b"f" * 17)
        self.assertFalse(decodeIn([b"f" * 15 + b"\r\n"])[3])

    def test_sizeLineEndsInCrlf(self) -> None:
        self.assertRefused(b"5\nhello\r\n0\r\n\r\n", b"5\rhello", b"5;a\nhello", b"5;a\rb\r\n", b"5 \n", b"0\n\n")

    def test_extensionHasNoControlCharacters(self) -> None:
        self.assertRefused(b"5;a\x00\r\n", b"5;a\x7f\r\n", b"5;\x0b\r\n")

    def test_dataIsFollowedByCrlf(self) -> None:
        self.assertRefused(b"5\r\nhelloX", b"5\r\nhello\n0\r\n\r\n", b"5\r\nhello\rX", b"5\r\nhello0\r\n\r\n")

    def test_sizeLineHasALimit(self) -> None:
        longest = b"1;" + b"a" * (MAX_LINE - 2)
        self.assertEqual(decodeIn([longest + b"\r\nx\r\n"])[0], b"x")
        for piece in (longest + b"a\r\nx\r\n", longest + b"a\r", longest + b"aa", b"1;" + b"a" * 100_000):
            with self.assertRaises(ChunkError):
                decodeIn([piece])
            with self.assertRaises(ChunkError):
                decodeIn([bytes([each]) for each in piece])
        decodeIn([longest, b"\r"])

    def test_extensionsMayNotOutweighTheContent(self) -> None:
        chunk = b"1;" + b"a" * 1000 + b"\r\nx\r\n"
        allowed = MAX_OVERHEAD // 1000
        self.assertEqual(decodeIn([chunk * allowed])[0], b"x" * allowed)
        with self.assertRaises(ChunkError):
            decodeIn([chunk] * (allowed + 2))

    def test_signedChunksAreNotOutweighed(self) -> None:
        chunk = b"400;chunk-signature=" + b"a" * 64 + b"\r\n" + b"x" * 0x400 + b"\r\n"
        self.assertEqual(len(decodeIn([chunk * 1000])[0]), 0x400 * 1000)

    def test_trailersAreHeaderFields(self) -> None:
        self.assertRefused(
            b"0\r\nnocolon\r\n\r\n", b"0\r\n: empty\r\n\r\n", b"0\r\nA : b\r\n\r\n", b"0\r\nA: b\r\n c\r\n\r\n",
            b"0\r\nA: \x00\r\n\r\n", b"0\r\nA: \x7f\r\n\r\n", b"0\r\nA: b\nB: c\r\n\r\n", b"0\r\nA: b\rB: c\r\n\r\n",
            b"0\r\n\nA: b\r\n\r\n", b"0\r\nA(: b\r\n\r\n",
        )  # fmt: skip

    def test_bareLfInATrailerIsRefusedBeforeTheLineEnds(self) -> None:
        with self.assertRaises(ChunkError):
            decodeIn([b"0\r\nA: b\n"])

    def test_trailerSectionHasALimit(self) -> None:
        fits = b"A: " + b"x" * (LIMIT - 5)
        self.assertTrue(decodeIn([b"0\r\n" + fits + b"\r\n\r\n"])[3])
        self.assertRefused(b"0\r\n" + fits + b"x\r\n\r\n", b"0\r\n" + b"A: b\r\n" * (LIMIT // 6 + 1))
        with self.assertRaises(ChunkError):
            decodeIn([b"0\r\n" + fits + b"xxxx"])

    def test_trailersHaveALimitOfNumber(self) -> None:
        decoder = ChunkedDecoder(1 << 20)
        decoder.decode(b"0\r\n" + b"A: b\r\n" * MAX_TRAILERS)
        self.assertRaises(ChunkError, decoder.decode, b"A: b\r\n")

    def test_contentBeforeTheFaultComesFirst(self) -> None:
        decoder = ChunkedDecoder(LIMIT)
        self.assertEqual(decoder.decode(b"2\r\nab\r\n2\r\ncd\r\nx"), (b"abcd", b""))
        self.assertRaises(ChunkError, decoder.decode, b"")
        self.assertRaises(ChunkError, decoder.decode, b"0\r\n\r\n")


class EncodingTests(SynchronousTestCase):
    """The way out."""

    def test_chunkIsSizeDataAndCrlf(self) -> None:
        data = b"x" * 26
        size, same, end = encodeChunk(data)
        self.assertEqual((size, end), (b"1a\r\n", b"\r\n"))
        self.assertIs(same, data)

    def test_lastChunkEndsWithTheTrailers(self) -> None:
        self.assertEqual(encodeEnd(), b"0\r\n\r\n")
        self.assertEqual(encodeEnd([headerItem("X-Sum", "1"), headerItem("a", "b")]), b"0\r\nX-Sum: 1\r\na: b\r\n\r\n")

    def test_forbiddenTrailersAreLeftOut(self) -> None:
        kept = headerItem("X-Sum", "1")
        self.assertEqual(allowedTrailers([headerItem("Set-Cookie", "a=b"), kept, headerItem("If-None-Match", "*")]), [kept])
