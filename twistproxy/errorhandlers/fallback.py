"""Something in the place of what failed."""

from __future__ import annotations

from pathlib import Path

from zope.interface import implementer

from twistproxy.errorpage import errorHeaders
from twistproxy.errors import ProxyError
from twistproxy.fixedanswer import FixedAnswer, checkedStatus
from twistproxy.headeredits import HeaderValues
from twistproxy.interfaces import IErrorHandler
from twistproxy.messages import InboundRequest, Response
from twistproxy.statuses import Statuses, StatusWords


@implementer(IErrorHandler)
class Fallback:
    """Answer failures with something else, such as an empty list with 200 where an upstream is down:
    fallback:[]:status=200:content-type=application/json:for=502,503,504.

    @param body: text of the answer.
    @param file: whose contents are the body, read at the start; at most 1MiB.
    @param status: of the answer; by default the failure's own.
    @param contentType: by default text/plain in UTF-8, or what the file's name tells.
    @param headers: NAME=VALUE, further headers. Without one, Cache-Control is no-store.
    @param for_: only for failures with these statuses: 502, 5xx, 500-504, and !404 for all others.
    """

    def __init__(
        self,
        body: str = "",
        *,
        file: Path | None = None,
        status: int | None = None,
        contentType: str = "",
        headers: HeaderValues | None = None,
        for_: StatusWords = ("5xx",),
    ) -> None:
        """@raise ValueError: when the answer cannot be made."""
        self._status = None if status is None else checkedStatus(status)
        self._answer = FixedAnswer(body, file, contentType, headers)
        self._for = Statuses(for_, "for")

    def handle(self, request: InboundRequest, error: ProxyError) -> Response | None:
        """The answer, if it is for this failure."""
        if error.kind.status not in self._for:
            return None
        status = self._status or error.kind.status
        response = self._answer.response(status)
        for name, values in errorHeaders(status).getAllRawHeaders():
            if not response.headers.hasHeader(name):
                response.headers.setRawHeaders(name, values)
        return response
