"""Failures as JSON."""

from __future__ import annotations

from zope.interface import implementer

from twistproxy.answers.errorpage import errorHeaders, problem
from twistproxy.errors import ProxyError
from twistproxy.interfaces import IErrorHandler
from twistproxy.messages import InboundRequest, Response


@implementer(IErrorHandler)
class ProblemJSON:
    """Answer every failure with the JSON of RFC 9457, whatever the client accepts; without this handler it gets it
    only when its Accept says so. Members are title, status, detail, reason and requestId.

    @param contentType: what the answer says that it is.
    """

    def __init__(self, contentType: str = "application/problem+json") -> None:
        self._contentType = contentType

    def handle(self, request: InboundRequest, error: ProxyError) -> Response:
        """The JSON."""
        status = error.kind.status
        return Response(status, errorHeaders(status, self._contentType), problem(error.kind, request.id).encode())
