"""Smaller answers for clients that can decode them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from zope.interface import implementer

from twistproxy.caching.conditions import entityTags
from twistproxy.codings import CODINGS, Coding, Encoder, chooseCoding, isEncoded
from twistproxy.headeredits import addVary
from twistproxy.interfaces import IBodyFilter, IMiddleware
from twistproxy.messages import FrozenHeaders, InboundRequest, Response
from twistproxy.modifiers.bodies import forgetBytes
from twistproxy.plugin import Size
from twistproxy.wire.guard import tokens

TYPES: Final = (
    "text/*",
    "*+json",
    "*+xml",
    "application/json",
    "application/javascript",
    "application/xml",
    "application/wasm",
    "application/vnd.ms-fontobject",
    "font/otf",
    "font/ttf",
    "image/bmp",
    "image/x-icon",
)
"""What becomes smaller: Caddy's list in short."""

_EVENTS: Final = b"text/event-stream"


@implementer(IMiddleware)
class Compress:
    """Compress answers, as compress:min-size=1KiB or compress:gzip:br=6; zstd and br need pip install "twistproxy[compress]".

    Left as they are: answers that are in a coding already, say Cache-Control: no-transform, are parts (206), short, or of
    another type, and event streams unless types names them. An ETag becomes a weak one, Vary gets Accept-Encoding.
    A body of unknown length is passed on piece by piece as it comes, so that nobody waits for what the upstream has sent.
    """

    def __init__(
        self,
        *codings: str,
        minSize: Size = 1024,
        types: Sequence[str] = TYPES,
        gzip: int = CODINGS["gzip"].level,
        br: int = CODINGS["br"].level,
        zstd: int = CODINGS["zstd"].level,
    ) -> None:
        """
        @param codings: zstd, br, gzip, the best first; by default all whose libraries are installed.
        @param minSize: shorter answers stay as they are. Those whose length is not known beforehand are compressed.
        @param types: content types such as text/html, text/* or *+json.
        @param gzip: its level, 1 to 9.
        @param br: its level, 0 to 11.
        @param zstd: its level, 1 to 19.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        self._codings = [_coding(each) for each in codings] or [each for each in CODINGS.values() if each.isInstalled]
        self._names = [each.name for each in self._codings]
        self._minSize = minSize
        self._levels = {"gzip": gzip, "br": br, "zstd": zstd}
        for name, level in self._levels.items():
            low, high = CODINGS[name].levels
            if not low <= level <= high:
                raise ValueError(f"{name} is a level from {low} to {high}")
        for each in types:
            if each.count("/") != 1 and not each.startswith("*+"):
                raise ValueError(f"types: {each!r} is no content type such as text/html, text/* or *+json")
        self._types = frozenset(each.lower().encode() for each in types)

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        return proceed().addCallback(self._compress, request)

    def _compress(self, response: Response, request: InboundRequest) -> Response:
        if response.code == 304:
            _revalidated(request, response)
        if response.code in (101, 204, 206, 304) or not self._isEligible(response):
            return response
        headers = response.headers
        addVary(headers, b"Accept-Encoding")
        name = chooseCoding(request.headers.getRawHeaders(b"accept-encoding", ()), self._names)
        if name is None or _forbidsChange(request.headers.getRawHeaders(b"cache-control", ())):
            return response
        length = _length(response)
        forgetBytes(response)
        headers.setRawHeaders(b"Content-Encoding", [name.encode()])
        response.filterBody(Compressing(CODINGS[name].make(self._levels[name]), length is None))
        return response

    def _isEligible(self, response: Response) -> bool:
        """Whether it is compressed for clients that take that: nothing here depends on the client."""
        headers = FrozenHeaders(response.items)  # most that stays as it is need not be taken apart
        if isEncoded(headers.getRawHeaders(b"content-encoding", ())):
            return False
        if headers.hasHeader(b"content-range") or _forbidsChange(headers.getRawHeaders(b"cache-control", ())):
            return False
        if not self._isOfType(headers.get(b"content-type", b"").partition(b";")[0].strip().lower()):
            return False
        length = _length(response)
        return length is None or length >= max(1, self._minSize)

    def _isOfType(self, kind: bytes) -> bool:
        if kind == _EVENTS or not kind:
            return kind in self._types
        main, _, suffix = kind.partition(b"/")
        patterns = (kind, main + b"/*", b"*/*", b"*+" + suffix.rpartition(b"+")[2] if b"+" in suffix else kind)
        return not self._types.isdisjoint(patterns)


@implementer(IBodyFilter)
class Compressing:
    """One body on its way.

    @ivar keepsMeaning: see L{IBodyFilter}.
    """

    keepsMeaning = True

    def __init__(self, encoder: Encoder, flushes: bool) -> None:
        """@param flushes: whether each piece can be decoded when it is out; else the encoder holds back what it likes."""
        self._encoder = encoder
        self._flushes = flushes

    def data(self, chunk: bytes) -> bytes:
        """L{IBodyFilter.data}."""
        encoded = self._encoder.encode(chunk)
        return encoded + self._encoder.flush() if self._flushes else encoded

    def end(self) -> bytes:
        """L{IBodyFilter.end}."""
        return self._encoder.finish()


def _coding(name: str) -> Coding:
    coding = CODINGS.get(name)
    if coding is None:
        raise ValueError(f"{name!r} is no coding: {', '.join(CODINGS)}")
    if not coding.isInstalled:
        raise ValueError(f'{name}: {coding.library} is not installed: pip install "twistproxy[compress]"')
    return coding


def _length(response: Response) -> int | None:
    """Of the body before it is compressed; None when it is not known."""
    replaced = response.replacedBody
    if replaced is not None and replaced.contents is not None:
        return len(replaced.contents)
    if response.changesBytes:
        return None
    if response.upstream is None:
        return 0
    value = FrozenHeaders(response.items).get(b"content-length", b"").strip()
    return int(value) if value.isdigit() else None


def _forbidsChange(values: Sequence[bytes]) -> bool:
    """Whether Cache-Control has no-transform (RFC 9111 sections 5.2.1.6 and 5.2.2.6)."""
    return b"no-transform" in tokens(values)


def _revalidated(request: InboundRequest, response: Response) -> None:
    """A client that holds a compressed answer knows it by the weak form of the ETag: a 304 that names the strong one would
    be of another answer (RFC 9111 section 4.3.4)."""
    tag: bytes | None = FrozenHeaders(response.items).get(b"etag")
    if tag is None or tag.startswith(b"W/"):
        return
    if b"W/" + tag in entityTags(request.headers.getRawHeaders(b"if-none-match", ())):
        response.headers.setRawHeaders(b"ETag", [b"W/" + tag])
        addVary(response.headers, b"Accept-Encoding")
