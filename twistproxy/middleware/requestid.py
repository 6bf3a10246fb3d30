"""One name for a request, here and elsewhere."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.errors import ProxyError
from twistproxy.headeredits import checkedNames, replaceHeader
from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest, Response

_ID: Final = re.compile(rb"[A-Za-z0-9._~:/+=-]{1,128}\Z")


@implementer(IMiddleware)
class RequestId:
    """Tell upstreams and clients the name by which logs and error pages know a request: request-id:accept=yes.

    It is C{request.id} for plugins.
    """

    def __init__(self, header: str = "X-Request-ID", *, accept: bool = False, answer: bool = True) -> None:
        """
        @param header: that has the name.
        @param accept: whether the client's name is taken, if it has one of at most 128 letters, digits and C{._~:/+=-}: where
            all clients are proxies of yours. Otherwise what a client says is removed.
        @param answer: whether the client is told.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        checkedNames("header", [header])
        self._header = header
        self._accepts = accept
        self._answers = answer

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        if self._accepts:
            given = request.headers.getRawHeaders(self._header.encode()) or []
            if len(given) == 1 and _ID.match(given[0]):
                request.id = given[0].decode("ascii")
        name = request.id
        replaceHeader(request.outbound.headers, self._header, name)
        if not self._answers:
            return proceed()
        return proceed().addCallbacks(self._answered, self._failed, (name,), {}, (name,), {})

    def _answered(self, response: Response, name: str) -> Response:
        response.headers.setRawHeaders(self._header, [name])
        return response

    def _failed(self, failure: Failure, name: str) -> Failure:
        error = failure.value
        if isinstance(error, ProxyError):
            error.headers = [*error.headers, (self._header, name)]
        return failure
