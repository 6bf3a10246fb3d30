"""Failures in plain words."""

from __future__ import annotations

from zope.interface import implementer

from twistproxy.answers.errorpage import errorHeaders
from twistproxy.answers.fixedanswer import checkedStatus
from twistproxy.errors import ProxyError
from twistproxy.interfaces import IErrorHandler
from twistproxy.messages import InboundRequest, Response


@implementer(IErrorHandler)
class Text:
    """Answer every failure with one line of text: text:ErrorHandler error\\::status=500.

    @param prefix: what stands before the sentence that says what is the matter.
    @param status: of the answer; by default the failure's own.
    @param detail: whether the line is the log's in place of the sentence, with everything that went wrong and the
        address of the upstream: for development.
    """

    def __init__(self, prefix: str = "", status: int | None = None, detail: bool = False) -> None:
        """@raise ValueError: when the status is none."""
        self._prefix = prefix
        self._status = None if status is None else checkedStatus(status)
        self._isDetailed = detail

    def handle(self, request: InboundRequest, error: ProxyError) -> Response:
        """The line."""
        status = self._status or error.kind.status
        line = f"{self._prefix}{error if self._isDetailed else error.kind.sentence}\n"
        return Response(status, errorHeaders(status, "text/plain; charset=utf-8"), line.encode())
