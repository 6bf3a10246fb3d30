"""Text before the answer's own."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from typing import Any

from zope.interface import implementer

from twistproxy.interfaces import IBodyFilter, IResponseModifier
from twistproxy.messages import InboundRequest, Response
from twistproxy.modifiers.bodies import BodySelection, forgetBytes
from twistproxy.plugin import Size
from twistproxy.text.statuses import StatusWords


@implementer(IResponseModifier)
class BodyPrefix:
    """Put text before the body of an answer, as body-prefix:Hello :status=200 or body-prefix:Error\\: :status=!200.

    A body of known length gets its new Content-Length; a longer one than the limit, or one of unknown length, is sent
    on as it comes, with the text before it. A body in a content coding such as gzip stays as it is: where that
    is not wanted, let request-headers remove Accept-Encoding.

    @param text: what is put before.
    @param status: only for answers with these statuses: 200, 4xx, 400-499, and !200 for all others.
    @param types: only for these content types, such as text/html or text/*; the word text stands for all that is text,
        JSON, XML and JavaScript included, and answers without a type.
    @param limit: the longest body that is held to be sent with its length.
    """

    def __init__(
        self, text: str, status: StatusWords = (), types: Sequence[str] = ("text",), limit: Size = 1 << 20
    ) -> None:
        """@raise ValueError: when a status or type is none."""
        self._text = text.encode()
        self._which = BodySelection(status, types)
        self._limit = limit

    def modify(self, request: InboundRequest, response: Response) -> Coroutine[Any, Any, None] | None:
        """Put it before."""
        if not self._text or not self._which.chooses(request, response):
            return None
        forgetBytes(response)
        if not response.filters and self._isShort(response):
            return self._replace(response)
        response.filterBody(_Before(self._text))
        return None

    def _isShort(self, response: Response) -> bool:
        contents = response.body.contents
        length = b"%d" % len(contents) if contents is not None else response.headers.get(b"content-length", b"")
        return length.isdigit() and int(length) <= self._limit

    async def _replace(self, response: Response) -> None:
        response.body = self._text + await response.body.read(self._limit)


@implementer(IBodyFilter)
class _Before:
    """Passes everything on behind a text."""

    def __init__(self, text: bytes) -> None:
        self._text = text

    def data(self, chunk: bytes) -> bytes:
        """The first piece with the text before it."""
        text, self._text = self._text, b""
        return text + chunk if text else chunk

    def end(self) -> bytes:
        """The text, if there was nothing to put it before."""
        return self._text
