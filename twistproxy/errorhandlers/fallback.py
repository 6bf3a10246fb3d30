"""Something in the place of what failed: another pool's answer, an earlier one, or one that was written down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.answers.errorpage import errorHeaders
from twistproxy.answers.fixedanswer import FixedAnswer, checkedStatus
from twistproxy.caching.stale import StaleAnswers
from twistproxy.directors.split import checkPools
from twistproxy.errors import CLIENT_CLOSED, ProxyError
from twistproxy.exchange.standin import StandIn
from twistproxy.headeredits import HeaderValues
from twistproxy.interfaces import IErrorHandler, IMiddleware
from twistproxy.messages import InboundRequest, Response
from twistproxy.text.statuses import Statuses, StatusWords
from twistproxy.text.units import Duration, Size

_log: Final = Logger(namespace="twistproxy.error")


@implementer(IErrorHandler, IMiddleware)
class Fallback:
    """Answer failures with something else, such as an empty list with 200 where an upstream is down:
    fallback:[]:status=200:content-type=application/json:on=502,503,504.

    As an error handler it answers failures of the proxy's. As middleware it does so for all that is inside of it, and takes
    the place of an upstream's answers with these statuses, too: with C{pool}, another pool is asked first; with C{stale}, an
    earlier good answer is given; what is written down comes last. Without a body, file and status, what failed goes to the
    client when none of these has an answer.

    @ivar stale: what is kept; None without C{stale}.

    @param body: text of the answer.
    @param file: whose contents are the body, read at the start; at most 1MiB.
    @param status: of the answer; by default the failure's own.
    @param contentType: by default text/plain in UTF-8, or what the file's name tells.
    @param headers: NAME=VALUE, further headers. Without one, Cache-Control is no-store.
    @param on: only for failures with these statuses: 502, 5xx, 500-504, and !404 for all others.
    @param pool: who is asked once when all of the route's own pool have failed, as middleware only. Requests that may have
        reached an upstream are sent again if they are idempotent, and their bodies are kept (max-replay-bytes).
    @param stale: how old a good answer to a GET may be that is given again in the place of a failure with a 5xx, as middleware
        only; 0: none is kept. Never given are answers that forbid it, and those that may be one user's.
    @param staleSize: bytes that such answers take together; those that were not asked for for longest make room.
    @param staleBody: bytes of one; longer ones are not kept.
    @param staleEntries: how many are kept.
    @param staleCookies: whether cookies tell nothing about the answer. If not, requests that have some get only what says that it
        is public.
    @param staleVary: headers of requests on which answers depend, beside those that Vary names.
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
        stale: Duration = 0.0,
        staleSize: Size = 16 << 20,
        staleBody: Size = 1 << 20,
        staleEntries: int = 1000,
        staleCookies: bool = False,
        staleVary: Sequence[str] = (),
        context: Any = None,
    ) -> None:
        """@raise ValueError: when the answer cannot be made."""
        if pool:
            checkPools(context, [pool])
        self._isAnswering = bool(body or file is not None or status is not None or not (pool or stale))
        self._status = None if status is None else checkedStatus(status)
        self._answer = FixedAnswer(body, file, contentType, headers)
        self._on = Statuses(on, "on")
        self._pool = pool
        self.stale: StaleAnswers | None = None
        if stale:
            if staleEntries < 1:
                raise ValueError("stale-entries is 1 or more")
            if staleBody > staleSize // 2:
                raise ValueError("stale-body is at most half of stale-size, as answers are copied while others are kept")
            self._seconds: Callable[[], float] = context.reactor.seconds
            self.stale = StaleAnswers(stale, staleSize, staleBody, staleEntries, self._seconds, staleCookies, staleVary)

    def takeOver(self, before: Fallback) -> None:
        """At a reload: what the one before has kept, written by the same words, is needed all the more."""
        self.stale = before.stale

    def handle(self, request: InboundRequest, error: ProxyError) -> Response | None:
        """L{IErrorHandler.handle}: the answer, if it is for this failure."""
        return self._instead(error.kind.status) if self._isAnswering and error.kind.status in self._on else None

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        if self._pool or self.stale is not None:
            if request.standIn is None:
                request.standIn = StandIn()
            if self._pool:
                request.standIn.pool, request.standIn.statuses = self._pool, self._on
            if not self._isAnswering and self.stale is None:
                return proceed()
        started = 0.0 if self.stale is None else self._seconds()
        return proceed().addCallbacks(self._answered, self._failed, (request, started), {}, (request,), {})

    def _answered(self, response: Response, request: InboundRequest, started: float) -> Response:
        if response.code in self._on:
            found, by = self._earlier(request, response.code, f"status-{response.code}"), "an earlier answer"
            if found is None and self._isAnswering:
                found, by = self._instead(response.code), "fallback"
            if found is None:
                return response
            self._tell(request, f"status-{response.code}", "", by)
            return found
        if self.stale is not None and response.upstream is not None:
            self.stale.answered(request, response, started)
        return response

    def _failed(self, failure: Failure, request: InboundRequest) -> Response | Failure:
        error = failure.value
        if not isinstance(error, ProxyError) or error.kind is CLIENT_CLOSED or error.kind.status not in self._on:
            return failure
        response, by = self._earlier(request, error.kind.status, error.kind.reason), "an earlier answer"
        if response is None:
            if not self._isAnswering:
                return failure
            response, by = self._instead(error.kind.status), "fallback"
            if response.code == error.kind.status:
                for name, value in error.headers:
                    response.headers.setRawHeaders(name, [value])
        engine = request.engine
        if engine is None or engine.failures.hasLine(error.kind):  # while a breaker is open there are many
            self._tell(request, error.kind.reason, f": {error.detail}" if error.detail else "", by)
        return response

    def _tell(self, request: InboundRequest, reason: str, detail: str, by: str) -> None:
        """Of what the client does not hear."""
        _log.error(
            "{method} {target}: {reason}{detail}, answered by {by} (request {id})",
            method=request.method.decode("latin-1"), target=request.target.decode("latin-1"), reason=reason, detail=detail,
            by=by, id=request.id,
        )  # fmt: skip

    def _earlier(self, request: InboundRequest, failed: int, why: str) -> Response | None:
        """An earlier answer in the place of what failed with that status (RFC 5861 section 4), never one of a refusal's."""
        return self.stale.insteadOf(request, why) if self.stale is not None and failed >= 500 else None

    def _instead(self, failed: int) -> Response:
        """The answer to what failed with that status."""
        status = self._status or failed
        response = self._answer.response(status)
        for name, values in errorHeaders(status).getAllRawHeaders():
            if not response.headers.hasHeader(name):
                response.headers.setRawHeaders(name, values)
        return response
