"""Error pages from a directory."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Final

from zope.interface import implementer

from twistproxy.answers.errorpage import errorHeaders, statusPhrase
from twistproxy.answers.fixedanswer import readSmallFile
from twistproxy.errorhandlers.accept import preferred
from twistproxy.errors import ProxyError
from twistproxy.interfaces import IErrorHandler
from twistproxy.messages import InboundRequest, Response
from twistproxy.plugin import Size

_NAME: Final = re.compile(r"(\d{3}|[45]xx|error)\.(html|json|txt)\Z")
_PLACE: Final = re.compile(rb"\{\{(status|phrase|sentence|request)\}\}")
_TYPES: Final = {"html": "text/html", "json": "application/json", "txt": "text/plain"}


@implementer(IErrorHandler)
class Pages:
    """Answer failures with files of a directory: pages:/srv/errors. A file is named for its status, a class of them or
    all: 404.html, 5xx.html, error.html; the nearest is taken. With .json and .txt beside .html the client's Accept
    chooses. Where there is none for a status, the next error handler is asked.

    The files are read at the start, and nothing of a request is part of a file's name. In a file {{status}}, {{phrase}},
    {{sentence}} and {{request}} stand for the failure's, and for the name of the request in the log.

    @param directory: where the files are.
    @param limit: the longest that a file may be.
    """

    def __init__(self, directory: Path, limit: Size = 256 << 10) -> None:
        """@raise ValueError: when the directory has no pages, or one is too long."""
        if not directory.is_dir():
            raise ValueError(f"directory: {directory} is no directory")
        self._pages: dict[tuple[str, str], bytes] = {}
        for path in sorted(directory.iterdir()):
            found = _NAME.match(path.name)
            if found is not None:
                self._pages[found[1], found[2]] = readSmallFile(path, limit)
        if not self._pages:
            raise ValueError(f"directory: {directory} has no page such as 404.html, 5xx.html, error.html")

    def handle(self, request: InboundRequest, error: ProxyError) -> Response | None:
        """The page, if there is one."""
        status = error.kind.status
        names = (str(status), f"{status // 100}xx", "error")
        found: dict[str, bytes] = {}
        for extension, contentType in _TYPES.items():
            for name in names:
                if (name, extension) in self._pages:
                    found.setdefault(contentType, self._pages[name, extension])
        if not found:
            return None
        contentType = preferred(request.headers.get("accept", ""), list(found))
        body = _filled(found[contentType], request, error)
        charset = "" if contentType == "application/json" else "; charset=utf-8"
        return Response(status, errorHeaders(status, contentType + charset), body)


def _filled(page: bytes, request: InboundRequest, error: ProxyError) -> bytes:
    if b"{{" not in page:
        return page
    kind = error.kind
    values = {
        b"status": str(kind.status), b"phrase": statusPhrase(kind.status).decode("ascii"), b"sentence": kind.sentence,
        b"request": request.id,
    }  # fmt: skip
    return _PLACE.sub(lambda found: escape(values[found[1]], quote=False).encode(), page)
