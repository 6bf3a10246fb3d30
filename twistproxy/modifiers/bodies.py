"""Which bodies of answers a modifier changes, and what a changed body makes untrue."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from twistproxy.codings import isEncoded
from twistproxy.exchange.delivery import hasNoBody
from twistproxy.messages import InboundRequest, Response
from twistproxy.text.statuses import Statuses, StatusWords

_TEXT: Final = frozenset({b"application/json", b"application/xml", b"application/javascript", b"application/ecmascript"})
"""What is text and is not called so."""


class BodySelection:
    """Chooses answers by status and content type."""

    def __init__(self, status: StatusWords, types: Sequence[str]) -> None:
        """
        @param types: C{text/html}, C{text/*}, or the word C{text} for all that is.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        self._statuses = Statuses(status)
        for each in types:
            if each.count("/") != 1 and each != "text":
                raise ValueError(f"types: {each!r} is no content type such as text/html or text/*")
        self._takesText = "text" in types
        self._types = frozenset(each.lower().encode() for each in types if each != "text")

    def chooses(self, request: InboundRequest, response: Response) -> bool:
        """Whether this answer's body is to be changed.

        Never a part of one (206), one in a content coding, nor an event stream, which has no end. An answer without a
        Content-Type is plain text. Where only the head of a chosen answer is sent, it is made right here.
        """
        headers = response.headers
        if response.code not in self._statuses or response.code == 206:
            return False
        if isEncoded(headers.getRawHeaders(b"content-encoding", ())):
            return False
        if not self._isOfType(headers.get(b"content-type", b"text/plain").partition(b";")[0].strip().lower()):
            return False
        if hasNoBody(response.code, request.method == b"HEAD"):
            forgetBytes(response)
            if request.method == b"HEAD":
                headers.removeHeader(b"content-length")
            return False
        return True

    def _isOfType(self, kind: bytes) -> bool:
        if kind == b"text/event-stream":
            return False
        if self._takesText and (kind.startswith(b"text/") or kind.endswith((b"+json", b"+xml")) or kind in _TEXT):
            return True
        return not self._types.isdisjoint((kind, kind.partition(b"/")[0] + b"/*", b"*/*"))


def forgetBytes(response: Response) -> None:
    """Take out what was true of the old body's bytes only; a strong ETag becomes a weak one."""
    headers = response.headers
    for name in (b"content-md5", b"digest", b"content-digest", b"repr-digest", b"accept-ranges"):
        headers.removeHeader(name)
    tag: bytes | None = headers.get(b"etag")
    if tag is not None and not tag.startswith(b"W/"):
        headers.setRawHeaders(b"ETag", [b"W/" + tag])
