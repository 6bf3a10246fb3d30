"""An answer without an upstream."""

from __future__ import annotations

from pathlib import Path

from zope.interface import implementer

from twistproxy.answers.fixedanswer import FixedAnswer, checkedStatus
from twistproxy.headeredits import HeaderValues
from twistproxy.interfaces import IDirector
from twistproxy.messages import InboundRequest, OutboundRequest, Response


@implementer(IDirector)
class Static:
    """Answer by itself, always the same, as static:ok:path=/healthz or static:Be right back.:status=503.

    @param body: text of the answer.
    @param status: of the answer.
    @param contentType: by default text/plain in UTF-8, or what the file's name tells.
    @param headers: NAME=VALUE, further headers of the answer.
    @param file: whose contents are the body, read at the start; at most 1MiB.
    @param path: only for this path; by default for all.
    """

    def __init__(
        self,
        body: str = "",
        status: int = 200,
        contentType: str = "",
        headers: HeaderValues | None = None,
        file: Path | None = None,
        path: str = "",
    ) -> None:
        """@raise ValueError: when the answer cannot be made."""
        if path and not path.startswith("/"):
            raise ValueError(f"path: {path!r} does not start with a slash")
        self._status = checkedStatus(status)
        self._answer = FixedAnswer(body, file, contentType, headers)
        self._path = path.encode()

    def direct(self, inbound: InboundRequest, outbound: OutboundRequest) -> Response | None:
        """Answer, if it is for this path."""
        if self._path and outbound.path != self._path:
            return None
        return self._answer.response(self._status)
