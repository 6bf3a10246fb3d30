"""The chains of plugins that look at answers: modifiers at an upstream's, error handlers at a failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.errorpage import errorPage
from twistproxy.errors import MODIFIER_ERROR, ErrorKind, ProxyError
from twistproxy.hooks import Chain, nameOf
from twistproxy.messages import InboundRequest, Response

_log: Final = Logger(namespace="twistproxy.error")


def modifying(
    modifiers: Sequence[Any],
    request: InboundRequest,
    response: Response,
    clock: IReactorTime,
    limit: float,
    failed: Callable[[Any, str, ErrorKind, Failure], bool],
    done: Callable[[Response], None],
) -> Chain:
    """The modifiers of an answer; each gets what the one before made of it.

    @param limit: seconds that each may take.
    @param failed: told of a modifier that failed; the chain ends there.
    @param done: gets what the last one made of it.
    """

    def answered(modifier: Any, result: Any) -> bool:
        nonlocal response
        if isinstance(result, Response):
            response = result
            return True
        wrong = TypeError(f"modify returned a {type(result).__name__}; it may return None or a Response")
        return failed(modifier, "modify", MODIFIER_ERROR, Failure(wrong))

    return Chain(
        modifiers,
        lambda modifier: modifier.modify(request, response),
        answered,
        lambda modifier, failure: failed(modifier, "modify", MODIFIER_ERROR, failure),
        lambda: done(response),
        clock,
        limit,
    )


def handling(
    handlers: Sequence[Any],
    request: InboundRequest,
    error: ProxyError,
    clock: IReactorTime,
    limit: float,
    done: Callable[[Response], None],
) -> Chain:
    """The error handlers of a failure, and behind them the built-in page. One that fails counts as passing.

    @param limit: seconds that each may take.
    @param done: gets the answer.
    """

    def failed(handler: Any, failure: Failure) -> bool:
        _log.failure("Error handler {plugin} failed (request {request})", failure, plugin=nameOf(handler), request=request.id)
        return True

    def answered(handler: Any, result: Any) -> bool:
        if isinstance(result, Response):
            done(result)
            return False
        return failed(handler, Failure(TypeError(f"handle returned a {type(result).__name__}; it may return None or a Response")))

    return Chain(
        handlers,
        lambda handler: handler.handle(request, error),
        answered,
        failed,
        lambda: done(errorPage(error.kind, request.headers.get("accept", ""), request.id)),
        clock,
        limit,
    )
