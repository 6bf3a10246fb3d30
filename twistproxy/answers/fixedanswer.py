"""An answer that is the same each time: its body from the configuration or from a file read at the start."""

from __future__ import annotations

from mimetypes import guess_type
from pathlib import Path
from typing import Final

from twistproxy.headeredits import HeaderValues, checkedValues
from twistproxy.messages import Headers, Response
from twistproxy.text.units import formatSize

MAX_FILE: Final = 1 << 20
"""Most bytes of a file; they are kept in memory."""


def readSmallFile(path: Path, limit: int = MAX_FILE) -> bytes:
    """The contents of a regular file.

    @raise ValueError: with a sentence for the person who named it.
    """
    try:
        if not path.is_file():
            raise ValueError(f"{path} is {'no regular file' if path.exists() else 'not there'}")
        with path.open("rb") as file:
            contents = file.read(limit + 1)
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None
    if len(contents) > limit:
        raise ValueError(f"{path} is longer than {formatSize(limit)}")
    return contents


def checkedStatus(status: int) -> int:
    """A final status that may be sent.

    @raise ValueError: for another number.
    """
    if not 200 <= status <= 599:
        raise ValueError(f"status: {status} is none of 200 to 599")
    return status


def typeOf(path: Path | None) -> str:
    """The content type that a file's name tells, text in UTF-8; plain text without a file."""
    if path is None:
        return "text/plain; charset=utf-8"
    kind = guess_type(path.name)[0] or "application/octet-stream"
    return f"{kind}; charset=utf-8" if kind.startswith("text/") else kind


class FixedAnswer:
    """Makes the same answer again and again."""

    def __init__(
        self, body: str = "", file: Path | None = None, contentType: str = "", headers: HeaderValues | None = None
    ) -> None:
        """
        @param body: text, or C{file}.
        @param contentType: by default what L{typeOf} says.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        if body and file is not None:
            raise ValueError("takes body or file, not both")
        self._body = body.encode() if file is None else readSmallFile(file)
        self._headers = Headers()
        if self._body or contentType:
            self._headers.addRawHeader("Content-Type", contentType or typeOf(file))
        for name, values in checkedValues("headers", headers):
            self._headers.setRawHeaders(name, values)

    def response(self, status: int) -> Response:
        """The answer, with this status."""
        return Response(status, self._headers.copy(), self._body)
