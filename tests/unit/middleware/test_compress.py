"""compress: which answers, with which headers, and that nothing is held up."""

from __future__ import annotations

import gzip
import zlib
from typing import Any
from unittest.mock import patch

from tests.unit.builtin import MiddlewareTestCase, answered, asked
from tests.unit.test_codings import decoder
from twistproxy.errors import INTERNAL, ProxyError
from twistproxy.messages import Response
from twistproxy.testing import FakeUpstream, ProxyHarness

TEXT = b"".join(b"one line of %d\n" % i for i in range(500))


class CompressTests(MiddlewareTestCase):
    def response(
        self, *headers: tuple[bytes, bytes], written: Any = "compress", code: int = 200, kind: bytes = b"text/html;charset=utf-8",
        accept: bytes = b"gzip", asking: tuple[tuple[bytes, bytes], ...] = (), method: bytes = b"GET",
    ) -> Response:  # fmt: skip
        self.answer = answered(code, *((b"Content-Type", kind),) * bool(kind), *headers, body=TEXT)
        asks = ((b"Accept-Encoding", accept), *asking) if accept else asking
        response: Response = self.around(written, asked(b"/", *asks, method=method))
        return response

    def coding(self, *headers: tuple[bytes, bytes], **options: Any) -> str | None:
        response = self.response(*headers, **options)
        coding: str | None = response.headers.get("Content-Encoding")
        self.assertEqual(len(response.filters), 1 if coding in ("gzip", "br", "zstd") and coding else 0)
        return coding

    def test_headers(self) -> None:
        response = self.response(
            (b"ETag", b'"1"'), (b"Content-Length", b"%d" % len(TEXT)), (b"Accept-Ranges", b"bytes"), (b"Content-MD5", b"x")
        )
        self.assertEqual(response.headers.get("Content-Encoding"), "gzip")
        self.assertEqual(response.headers.get("ETag"), 'W/"1"')
        self.assertEqual(response.headers.get("Vary"), "Accept-Encoding")
        self.assertFalse(response.headers.hasHeader("Accept-Ranges") or response.headers.hasHeader("Content-MD5"))

    def test_vary(self) -> None:
        for there, expected in [
            ((b"Vary", b"Cookie"), ["Cookie", "Accept-Encoding"]),
            ((b"Vary", b"Cookie, accept-encoding"), ["Cookie, accept-encoding"]),
            ((b"Vary", b"*"), ["*"]),
        ]:
            self.assertEqual(self.response(there).headers.getRawHeaders("Vary"), expected)
        response = self.response((b"ETag", b'"1"'), accept=b"")
        self.assertEqual((response.headers.get("Vary"), response.headers.get("ETag")), ("Accept-Encoding", '"1"'))
        self.assertEqual(response.filters, [])
        self.assertIs(self.response(kind=b"image/png").headers.get("Vary"), None)

    def test_whatTheClientTakes(self) -> None:
        for accept, expected in [(b"gzip, br, zstd", "zstd"), (b"gzip, br", "br"), (b"deflate", None), (b"gzip;q=0", None)]:
            self.assertEqual(self.coding(accept=accept), expected)
        self.assertEqual(self.coding(written="compress:gzip:br", accept=b"gzip, br, zstd"), "gzip")

    def test_whatStaysAsItIs(self) -> None:
        self.assertEqual(self.coding((b"Content-Encoding", b"deflate")), "deflate")
        self.assertEqual(self.coding((b"Content-Encoding", b"identity")), "gzip")
        self.assertIs(self.coding((b"Cache-Control", b"private, No-Transform")), None)
        self.assertIs(self.coding((b"Content-Range", b"bytes 0-1/2")), None)
        self.assertIs(self.coding(asking=((b"Cache-Control", b"no-transform"),)), None)
        for code in (204, 206, 304, 101):
            self.assertIs(self.coding(code=code), None, code)
        for code in (200, 203, 403, 404, 500):
            self.assertEqual(self.coding(code=code), "gzip", code)

    def test_types(self) -> None:
        for kind, expected in [
            (b"text/plain", "gzip"),
            (b"TEXT/CSS", "gzip"),
            (b"application/json", "gzip"),
            (b"application/problem+json", "gzip"),
            (b"image/svg+xml", "gzip"),
            (b"application/wasm", "gzip"),
            (b"image/png", None),
            (b"video/mp4", None),
            (b"application/octet-stream", None),
            (b"text/event-stream", None),
            (b"", None),
            (b"nonsense", None),
        ]:
            self.assertEqual(self.coding(kind=kind), expected, kind)
        own = {"use": "compress", "types": ["text/event-stream", "application/x-own", "*+yaml"]}
        for kind, expected in [
            (b"text/event-stream", "gzip"),
            (b"application/x-own", "gzip"),
            (b"application/a+yaml", "gzip"),
            (b"text/html", None),
        ]:
            self.assertEqual(self.coding(kind=kind, written=own), expected, kind)

    def test_minSize(self) -> None:
        for written, length, expected in [
            ("compress", b"1023", None),
            ("compress", b"1024", "gzip"),
            ("compress:min-size=10", b"10", "gzip"),
            ("compress:min-size=0", b"0", None),
        ]:
            self.assertEqual(self.coding((b"Content-Length", length), written=written), expected)
        self.assertEqual(self.coding(written="compress:min-size=1MiB"), "gzip", "the length is not known")

    def test_aPluginsAnswer(self) -> None:
        for body, expected in ((TEXT, "gzip"), (b"short", None), (b"", None)):
            self.answer = Response(200, {"Content-Type": "text/plain"}, body)
            response = self.around("compress", asked(b"/", (b"Accept-Encoding", b"gzip")))
            self.assertEqual(response.headers.get("Content-Encoding"), expected)

    def test_onlyWhatIsOfUnknownLengthIsFlushed(self) -> None:
        for headers, isFlushed in (((), True), (((b"Content-Length", b"9000"),), False)):
            filter = self.response(*headers).filters[0]
            decode = zlib.decompressobj(31).decompress
            self.assertEqual(decode(filter.data(b"hello")), b"hello" if isFlushed else b"")
            self.assertEqual(decode(filter.end()), b"" if isFlushed else b"hello")

    def test_aNotModifiedNamesWhatTheClientHas(self) -> None:
        for known, tag, expected in [
            (b'W/"1"', b'"1"', 'W/"1"'),
            (b'"0", W/"1"', b'"1"', 'W/"1"'),
            (b'"1"', b'"1"', '"1"'),
            (b'W/"1"', b'W/"1"', 'W/"1"'),
            (b"*", b'"1"', '"1"'),
        ]:
            response = self.response((b"ETag", tag), code=304, asking=((b"If-None-Match", known),))
            self.assertEqual(response.headers.get("ETag"), expected, known)

    def test_aTagWithAComma(self) -> None:
        self.answer = answered(304, (b"ETag", b'"1,2"'))
        response = self.around("compress", asked(b"/", (b"If-None-Match", b'"0", W/"1,2"')))
        self.assertEqual(response.headers.get("ETag"), 'W/"1,2"')

    def test_codingsOnSeveralLines(self) -> None:
        """All of them count: what is taken for plain would be compressed, and said to be nothing else."""
        for values in ((b"identity", b"br"), (b"", b"br"), (b"identity, br",)):
            response = self.response(*((b"Content-Encoding", value) for value in values))
            self.assertEqual(response.headers.getRawHeaders("Content-Encoding"), [each.decode() for each in values])
            self.assertEqual(response.filters, [])
        response = self.response((b"Content-Encoding", b"identity"), (b"Content-Encoding", b"identity"))
        self.assertEqual(response.headers.getRawHeaders("Content-Encoding"), ["gzip"])

    def test_failuresGoOn(self) -> None:
        self.isSlow = True
        result = self.around("compress")
        self.proceeding.errback(ProxyError(INTERNAL))
        self.assertIs(self.failureResultOf(result, ProxyError).value.kind, INTERNAL)

    def test_mistakes(self) -> None:
        self.refuses("compress:deflate", "compress: 'deflate' is no coding: zstd, br, gzip")
        self.refuses("compress:gzip=0", "compress: gzip is a level from 1 to 9")
        self.refuses("compress:types=html", "compress: types: 'html' is no content type such as text/html, text/* or *+json")
        with patch("twistproxy.codings.find_spec", lambda name: None if name == "brotli" else name):
            self.refuses("compress:br", 'compress: br: brotli is not installed: pip install "twistproxy[compress]"')
            self.assertEqual(self.coding(accept=b"gzip, br"), "gzip")


class CompressedTrafficTests(MiddlewareTestCase):
    """What clients get."""

    def test_bodies(self) -> None:
        upstream = FakeUpstream(headers={"Content-Type": "text/plain", "ETag": '"1"'}, body=TEXT)
        with ProxyHarness(upstream=upstream, middleware="compress") as harness:
            for coding in ("gzip", "br", "zstd"):
                answer = harness.get("/", {"Accept-Encoding": coding})
                self.assertEqual(decoder(coding)(answer.body), TEXT)
                self.assertEqual((answer.headers.get("Content-Encoding"), answer.headers.get("ETag")), (coding, 'W/"1"'))
                self.assertIs(answer.headers.get("Content-Length"), None)
                self.assertTrue(answer.isChunked)
            answer = harness.get("/")
            self.assertEqual((answer.body, answer.headers.get("ETag")), (TEXT, '"1"'))

    def test_trailers(self) -> None:
        """What they say of the bytes was said of others."""
        upstream = FakeUpstream().respond(
            200, {"Content-Type": "text/x"}, [TEXT, TEXT], {"Content-Digest": "sha-256=:x:", "ETag": '"1"', "X-Count": "2"}
        )
        with ProxyHarness(upstream=upstream, middleware="compress") as harness:
            packed = harness.get("/", {"Accept-Encoding": "gzip"})
            self.assertEqual(gzip.decompress(packed.body), 2 * TEXT)
            self.assertEqual([name for name, _, _ in packed.trailers.items], [b"x-count"])
            plain = harness.get("/")
            self.assertEqual([name for name, _, _ in plain.trailers.items], [b"content-digest", b"etag", b"x-count"])

    def test_head(self) -> None:
        """Its headers are those of GET, and no length that is not true."""
        upstream = FakeUpstream(headers={"Content-Type": "text/plain", "ETag": '"1"'}, body=TEXT)
        with ProxyHarness(upstream=upstream, middleware="compress") as harness:
            answer = harness.request("HEAD", "/", {"Accept-Encoding": "gzip"})
            self.assertEqual(answer.body, b"")
            self.assertEqual((answer.headers.get("Content-Encoding"), answer.headers.get("ETag")), ("gzip", 'W/"1"'))
            self.assertIs(answer.headers.get("Content-Length"), None)
            self.assertEqual(harness.get("/").body, TEXT, "the next one on this connection")

    def test_aStreamIsNotHeldUp(self) -> None:
        upstream = FakeUpstream().events(["one", "two"], every=1.0)
        middleware = {"use": "compress", "types": ["text/event-stream"]}
        with ProxyHarness(upstream=upstream, middleware=self.build(middleware)) as harness:
            answer = harness.get("/", {"Accept-Encoding": "br"})
            decode, seen, events = decoder("br"), 0, []
            for _ in range(3):
                body = answer.body
                events.append(decode(body[seen:]) if len(body) > seen else b"")
                seen = len(body)
                harness.advance(1.0)
            self.assertEqual(len([each for each in events if each.count(b"data:") == 1]), 2, events)

    def test_aTruncatedBodyStaysTruncated(self) -> None:
        upstream = FakeUpstream().closeMidChunk({"Content-Type": "text/plain"}, [TEXT])
        with ProxyHarness(upstream=upstream, middleware="compress") as harness:
            answer = harness.get("/", {"Accept-Encoding": "gzip"})
            self.assertTrue(harness.clients[0].isEnded)
            self.assertRaises(EOFError, gzip.decompress, answer.body)

    def test_itIsTheLastOfSeveralFilters(self) -> None:
        """A modifier's filter is inside: what it makes is compressed."""
        upstream = FakeUpstream(headers={"Content-Type": "text/plain"}, body=TEXT)
        with ProxyHarness(upstream=upstream, middleware="compress", modifier="body-prefix:Hello") as harness:
            answer = harness.get("/", {"Accept-Encoding": "gzip"})
            self.assertEqual(gzip.decompress(answer.body), b"Hello" + TEXT)

    def test_anAnswerOfItsOwnToHead(self) -> None:
        with ProxyHarness(middleware="compress", director="static:" + "x" * 2000) as harness:
            answer = harness.request("HEAD", "/", {"Accept-Encoding": "gzip"})
            self.assertEqual(answer.headers.get("Content-Encoding"), "gzip")
            self.assertIs(answer.headers.get("Content-Length"), None)
