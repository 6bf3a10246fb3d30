"""One layer of middleware around an exchange: C{proceed} at most once, and an answer within the time limit.

The limit is on the middleware's own time: while C{proceed} runs, upstreams have limits of their own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.errors import DIRECTOR_ERROR, ProxyError
from twistproxy.hooks import asDeferred, describeFailure, isPending, nameOf
from twistproxy.messages import InboundRequest, Response
from twistproxy.sweep import NEVER, Sweeper

_log: Final = Logger(namespace="twistproxy.error")


class _Layer:
    """A call of C{around} under way.

    @ivar deadline: see L{twistproxy.sweep.Watched}.
    """

    def __init__(
        self, middleware: Any, request: InboundRequest, inner: Callable[[], Deferred[Response]], sweeper: Sweeper, limit: float
    ) -> None:
        self._middleware = middleware
        self._request = request
        self._inner = inner
        self._sweeper = sweeper
        self._limit = limit
        self._hasProceeded = self._isInside = self._isLate = False
        self._waiting: Deferred[Any] | None = None
        self.deadline = NEVER

    def run(self) -> Deferred[Response]:
        """Call it."""
        try:
            result = self._middleware.around(self._request, self._proceed)
        except Exception:
            return fail(self._failed(Failure()))
        if not isPending(result):
            response = self._checked(result)
            return fail(response) if isinstance(response, Failure) else succeed(response)
        self._waiting = waiting = asDeferred(result)
        if not self._isInside:
            self._expectAnswer()
        self._sweeper.watch(self)
        return waiting.addBoth(self._settled)

    def _proceed(self) -> Deferred[Response]:
        if self._hasProceeded:
            raise RuntimeError("proceed may be called once")
        self._hasProceeded = self._isInside = True
        self.deadline = NEVER
        return self._inner().addBoth(self._cameBack)

    def _cameBack(self, result: Any) -> Any:
        self._isInside = False
        self._expectAnswer()
        return result

    def _expectAnswer(self) -> None:
        self.deadline = self._sweeper.after(self._limit)

    def deadlinePassed(self) -> None:
        """It took too long."""
        self.deadline = NEVER
        self._isLate = True
        if self._waiting is not None:
            self._waiting.cancel()

    def _settled(self, result: Any) -> Response | Failure:
        self._sweeper.forget(self)
        return self._failed(result) if isinstance(result, Failure) else self._checked(result)

    def _checked(self, response: Any) -> Response | Failure:
        if isinstance(response, Response):
            return response
        return self._failed(Failure(TypeError(f"around returned a {type(response).__name__}, not a Response")))

    def _failed(self, failure: Failure) -> Failure:
        if isinstance(failure.value, ProxyError) or (failure.check(CancelledError) and not self._isLate):
            return failure  # an error with a status of its own; or the exchange is over
        name = nameOf(self._middleware)
        detail = "it did not answer in time" if self._isLate else describeFailure(failure)
        _log.failure(
            "Plugin {plugin} failed in {hook}: {detail} (request {request})",
            failure, plugin=name, hook="around", detail=detail, request=self._request.id,
        )  # fmt: skip
        return Failure(ProxyError(DIRECTOR_ERROR, f"{name}.around: {detail}"))


def around(
    middleware: Any, request: InboundRequest, inner: Callable[[], Deferred[Response]], sweeper: Sweeper, limit: float
) -> Deferred[Response]:
    """The result of C{middleware.around}.

    @param inner: runs what is inside this layer.
    @param limit: seconds that it may take, C{inner}'s not counted.
    @return: fires with the Response that the middleware returned, or fails with a L{ProxyError}: its own, or one that
        says what it raised instead.
    """
    return _Layer(middleware, request, inner, sweeper, limit).run()
