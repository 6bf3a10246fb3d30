"""Content codings (RFC 9110 section 8.4): which one a client takes, and what encodes a body piece by piece. No I/O."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any, Final, Protocol

from twistproxy.wire.guard import tokens


class Encoder(Protocol):
    """Encodes one body."""

    def encode(self, data: bytes) -> bytes:
        """What is ready after a further piece, maybe nothing."""

    def flush(self) -> bytes:
        """All that is left of what was put in so far, so that the other side can decode it at once."""

    def finish(self) -> bytes:
        """The end."""


class _Gzip:
    """RFC 1952, by zlib."""

    def __init__(self, level: int) -> None:
        compressor = zlib.compressobj(level, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
        self.encode = compressor.compress
        self._flush = compressor.flush

    def flush(self) -> bytes:
        return self._flush(zlib.Z_SYNC_FLUSH)

    def finish(self) -> bytes:
        return self._flush(zlib.Z_FINISH)


class _Brotli:
    """RFC 7932. The window is 256 KiB: what a client looks back at for a page, at a sixteenth of the default's memory."""

    def __init__(self, level: int) -> None:
        import brotli

        compressor: Any = brotli.Compressor(quality=level, lgwin=18)
        self.encode: Callable[[bytes], bytes] = compressor.process
        self.flush: Callable[[], bytes] = compressor.flush
        self.finish: Callable[[], bytes] = compressor.finish


class _Zstandard:
    """RFC 8878. The window is 512 KiB, well below the 8 MiB that every client takes (RFC 9659 section 2)."""

    def __init__(self, level: int) -> None:
        from zstandard import COMPRESSOBJ_FLUSH_BLOCK, ZstdCompressionParameters, ZstdCompressor

        parameters = ZstdCompressionParameters.from_level(level, window_log=19)
        self._compressor = ZstdCompressor(compression_params=parameters).compressobj()
        self._block = COMPRESSOBJ_FLUSH_BLOCK

    def encode(self, data: bytes) -> bytes:
        return self._compressor.compress(data)

    def flush(self) -> bytes:
        return self._compressor.flush(self._block)

    def finish(self) -> bytes:
        return self._compressor.flush()


class Coding:
    """One content coding.

    @ivar name: its token.
    @ivar library: the module that it needs.
    @ivar levels: the lowest and the highest level.
    @ivar level: that is used if none is named: for a proxy, which encodes while others wait.
    """

    def __init__(self, name: str, library: str, levels: tuple[int, int], level: int, make: Callable[[int], Encoder]) -> None:
        self.name = name
        self.library = library
        self.levels = levels
        self.level = level
        self.make = make

    @property
    def isInstalled(self) -> bool:
        """Whether its library is there."""
        return find_spec(self.library) is not None


CODINGS: Final = {
    each.name: each
    for each in (
        Coding("zstd", "zstandard", (1, 19), 3, _Zstandard),
        Coding("br", "brotli", (0, 11), 4, _Brotli),
        Coding("gzip", "zlib", (1, 9), 5, _Gzip),
    )
}
"""Those that there are, the best first."""


def isEncoded(values: Sequence[bytes]) -> bool:
    """Whether a body is in any coding.

    @param values: of Content-Encoding.
    """
    return any(each != b"identity" for each in tokens(values))


def chooseCoding(accept: Sequence[bytes], available: Sequence[str]) -> str | None:
    """The one that the client likes best (RFC 9110 section 12.5.3); None for the body as it is.

    @param accept: the values of Accept-Encoding.
    @param available: ours, the best first, which decides among those that the client likes as well.
    """
    qualities: dict[str, float] = {}
    for element in b",".join(accept).decode("latin-1").lower().split(","):
        name, _, parameters = element.partition(";")
        name = name.strip()
        if name:
            qualities["gzip" if name == "x-gzip" else name] = _quality(parameters)
    others = qualities.get("*", 0.0)
    best, found = qualities.get("identity", 0.0), None
    for name in available:
        quality = qualities.get(name, others)
        if quality > best or (found is None and quality == best > 0):
            best, found = quality, name
    return found


def _quality(parameters: str) -> float:
    """Of C{q=0.5}; 1 without one, and 0 where it is nonsense."""
    for each in parameters.split(";"):
        name, mark, value = each.partition("=")
        if mark and name.strip() == "q":
            try:
                quality = float(value)
            except ValueError:
                return 0.0
            return quality if 0 <= quality <= 1 else 0.0
    return 1.0
