"""Content codings: which one is chosen, and that what is encoded piece by piece can be decoded so."""

from __future__ import annotations

import zlib
from typing import Any

import brotli
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.codings import CODINGS, chooseCoding

ALL = ["zstd", "br", "gzip"]


def decoder(name: str) -> Any:
    """A function that decodes piece by piece."""
    if name == "gzip":
        return zlib.decompressobj(16 + zlib.MAX_WBITS).decompress
    if name == "br":
        return brotli.Decompressor().process
    return zstandard.ZstdDecompressor(max_window_size=8 << 20).decompressobj().decompress


class ChooseCodingTests(SynchronousTestCase):
    def test_choice(self) -> None:
        for accept, expected in [
            ((), None),
            ((b"",), None),
            ((b"gzip",), "gzip"),
            ((b"GZIP",), "gzip"),
            ((b"x-gzip",), "gzip"),
            ((b"gzip, deflate, br, zstd",), "zstd"),
            ((b"gzip", b"br"), "br"),
            ((b"gzip;q=1.0, br;q=0.5",), "gzip"),
            ((b"gzip ; q=0.5 , br ; Q=0.5",), "br"),
            ((b"br;q=0, *",), "zstd"),
            ((b"*;q=0",), None),
            ((b"gzip;q=0",), None),
            ((b"gzip;q=0.0, identity",), None),
            ((b"identity",), None),
            ((b"identity;q=1, gzip;q=0.5",), None),
            ((b"identity, gzip",), "gzip"),
            ((b"identity;q=0.5, gzip;q=0.8",), "gzip"),
            ((b"gzip;q=nan, br;q=2, zstd;q=x",), None),
            ((b"deflate, compress",), None),
            ((b", ,gzip,",), "gzip"),
            ((b"gz\xffip, gzip;q=",), None),
        ]:
            self.assertEqual(chooseCoding(accept, ALL), expected, accept)

    def test_onlyWhatIsAvailable(self) -> None:
        self.assertEqual(chooseCoding((b"br, gzip;q=0.1",), ["gzip"]), "gzip")
        self.assertIs(chooseCoding((b"br",), ["gzip"]), None)
        self.assertEqual(chooseCoding((b"br, gzip",), ["gzip", "br"]), "gzip")

    @given(st.lists(st.binary(max_size=30), max_size=3))
    def test_nothingBreaksIt(self, accept: list[bytes]) -> None:
        self.assertIn(chooseCoding(accept, ALL), [None, *ALL])


class EncoderTests(SynchronousTestCase):
    @settings(max_examples=40, deadline=None)
    @given(st.sampled_from(ALL), st.lists(st.binary(min_size=1, max_size=300), max_size=6), st.booleans())
    def test_roundTrip(self, name: str, pieces: list[bytes], flushes: bool) -> None:
        encoder, decode = CODINGS[name].make(CODINGS[name].level), decoder(name)
        decoded = b""
        for i, piece in enumerate(pieces):
            encoded = encoder.encode(piece) + (encoder.flush() if flushes else b"")
            decoded += decode(encoded) if encoded else b""
            if flushes:
                self.assertEqual(decoded, b"".join(pieces[: i + 1]), "a flushed piece is there at once")
        decoded += decode(encoder.finish())
        self.assertEqual(decoded, b"".join(pieces))

    def test_itBecomesSmaller(self) -> None:
        text = b"".join(b"line %d of many that are nearly alike\n" % i for i in range(3000))
        for name in ALL:
            for level in (CODINGS[name].levels[0], CODINGS[name].level):
                encoder = CODINGS[name].make(level)
                self.assertLess(len(encoder.encode(text) + encoder.finish()), len(text) // 3, (name, level))

    def test_theWindowIsOneThatEveryClientTakes(self) -> None:
        encoder = CODINGS["zstd"].make(19)
        frame = zstandard.get_frame_parameters(encoder.encode(b"x" * 100) + encoder.flush() + encoder.finish())
        self.assertLessEqual(frame.window_size, 8 << 20)
