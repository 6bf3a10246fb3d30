"""Something in the place of what failed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.directors.split import checkPools
from twistproxy.errorpage import errorHeaders
from twistproxy.errors import CLIENT_CLOSED, ProxyError
from twistproxy.fixedanswer import FixedAnswer, checkedStatus
from twistproxy.headeredits import HeaderValues
from twistproxy.interfaces import IErrorHandler, IMiddleware
from twistproxy.messages import InboundRequest, Response
from twistproxy.standin import StandIn
from twistproxy.statuses import Statuses, StatusWords

_log: Final = Logger(namespace="twistproxy.error")


@implementer(IErrorHandler, IMiddleware)
class Fallback:
    """Answer failures with something else, such as an empty list with 200 where an upstream is down:
    fallback:[]:status=200:content-type=application/json:on=502,503,504.

    As an error handler it answers failures of the proxy's. As middleware it does so for all that is inside of it, and takes
    the place of an upstream's answers with these statuses, too; with C{pool}, another pool is asked first.

    @param body: text of the answer.
    @param file: whose contents are the body, read at the start; at most 1MiB.
    @param status: of the answer; by default the failure's own.
    @param contentType: by default text/plain in UTF-8, or what the file's name tells.
    @param headers: NAME=VALUE, further headers. Without one, Cache-Control is no-store.
    @param on: only for failures with these statuses: 502, 5xx, 500-504, and !404 for all others.
    @param pool: who is asked once when all of the route's own pool have failed, as middleware only. Requests that may have
        reached an upstream are sent again if they are idempotent, and their bodies are kept (max-replay-bytes). Without a body,
        file and status, what that pool says goes to the client.
    """

    def __init__(
        self,
        body: str = "",
        *,
        file: Path | None = None,
        status: int | None = None,
        contentType: str = "",
        headers: HeaderValues | None = None,
        on: StatusWords = ("5xx",),
        pool: str = "",
        context: Any = None,
    ) -> None:
        """@raise ValueError: when the answer cannot be made."""
        if pool:
            checkPools(context, [pool])
        self._isAnswering = bool(body or file is not None or status is not None or not pool)
        self._status = None if status is None else checkedStatus(status)
        self._answer = FixedAnswer(body, file, contentType, headers)
        self._on = Statuses(on, "on")
        self._pool = pool

    def handle(self, request: InboundRequest, error: ProxyError) -> Response | None:
        """L{IErrorHandler.handle}: the answer, if it is for this failure."""
        return self._instead(error.kind.status) if self._isAnswering and error.kind.status in self._on else None

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        if self._pool:
            if request.standIn is None:
                request.standIn = StandIn()
            request.standIn.pool, request.standIn.statuses = self._pool, self._on
            if not self._isAnswering:
                return proceed()
        return proceed().addCallbacks(self._answered, self._failed, errbackArgs=(request,))

    def _answered(self, response: Response) -> Response:
        return self._instead(response.code) if response.code in self._on else response

    def _failed(self, failure: Failure, request: InboundRequest) -> Response | Failure:
        error = failure.value
        if not isinstance(error, ProxyError) or error.kind is CLIENT_CLOSED or error.kind.status not in self._on:
            return failure
        _log.error(
            "{method} {target}: {reason}{detail}, answered by fallback (request {id})",
            method=request.method.decode("latin-1"), target=request.target.decode("latin-1"), reason=error.kind.reason,
            detail=f": {error.detail}" if error.detail else "", id=request.id,
        )  # fmt: skip
        response = self._instead(error.kind.status)
        if response.code == error.kind.status:
            for name, value in error.headers:
                response.headers.setRawHeaders(name, [value])
        return response

    def _instead(self, failed: int) -> Response:
        """The answer to what failed with that status."""
        status = self._status or failed
        response = self._answer.response(status)
        for name, values in errorHeaders(status).getAllRawHeaders():
            if not response.headers.hasHeader(name):
                response.headers.setRawHeaders(name, values)
        return response
