"""The chains of plugins: directors ask where to, modifiers look at an upstream's answer, error handlers at a failure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.answers.errorpage import errorPage
from twistproxy.calling.hooks import Chain, isPending, nameOf
from twistproxy.errors import DIRECTOR_ERROR, MODIFIER_ERROR, ErrorKind, ProxyError
from twistproxy.messages import InboundRequest, OutboundRequest, Response

_log: Final = Logger(namespace="twistproxy.error")


class Asker(Protocol):
    """The exchange that asks plugins, and waits for one at a time."""

    def runChain(self, chain: Chain) -> None:
        """A plugin has to be waited for: run C{chain}, and cancel it when the exchange ends before it."""

    def directed(self, director: Any, result: Any) -> bool:
        """A director has answered.

        @return: False: that ends their chain.
        """

    def notDirected(self) -> None:
        """No director has answered."""

    def answered(self, response: Response) -> None:
        """What the modifiers made of an answer."""

    def hookFailed(self, plugin: Any, hook: str, kind: ErrorKind, failure: Failure) -> bool:
        """A plugin failed.

        @return: False: its chain is over.
        """


def direct(
    asker: Asker, directors: Sequence[Any], inbound: InboundRequest, outbound: OutboundRequest, clock: IReactorTime, limit: float
) -> None:
    """Ask the directors, one after the other, until one has an answer. As long as none has to be waited for, this makes
    nothing but the calls.

    @param limit: seconds that each may take.
    """
    for at, director in enumerate(directors):
        try:
            result = director.direct(inbound, outbound)
        except Exception:
            asker.hookFailed(director, "direct", DIRECTOR_ERROR, Failure())
            return
        if result is None:
            continue
        if not isPending(result):
            asker.directed(director, result)
            return
        chain = Chain(
            directors[at + 1 :],
            lambda director: director.direct(inbound, outbound),
            asker.directed,
            lambda director, failure: asker.hookFailed(director, "direct", DIRECTOR_ERROR, failure),
            asker.notDirected,
            clock,
            limit,
            (director, result),
            lambda: inbound.body.isBeingRead,
        )
        asker.runChain(chain)
        return
    asker.notDirected()


def modify(
    asker: Asker, modifiers: Sequence[Any], request: InboundRequest, response: Response, clock: IReactorTime, limit: float
) -> None:
    """Have the modifiers look at an answer; each gets what the one before made of it. As L{direct}.

    @param limit: seconds that each may take.
    """
    for at, modifier in enumerate(modifiers):
        try:
            result = modifier.modify(request, response)
        except Exception:
            asker.hookFailed(modifier, "modify", MODIFIER_ERROR, Failure())
            return
        if result is None:
            continue
        if isinstance(result, Response):
            response = result
            continue
        asker.runChain(_modifying(asker, modifiers[at + 1 :], request, response, clock, limit, (modifier, result)))
        return
    asker.answered(response)


def _modifying(
    asker: Asker,
    modifiers: Sequence[Any],
    request: InboundRequest,
    response: Response,
    clock: IReactorTime,
    limit: float,
    first: tuple[Any, Any],
) -> Chain:
    """The rest of the modifiers, from one on that has to be waited for or answered nonsense."""

    def answered(modifier: Any, result: Any) -> bool:
        nonlocal response
        if isinstance(result, Response):
            response = result
            return True
        wrong = TypeError(f"modify returned a {type(result).__name__}; it may return None or a Response")
        return asker.hookFailed(modifier, "modify", MODIFIER_ERROR, Failure(wrong))

    return Chain(
        modifiers,
        lambda modifier: modifier.modify(request, response),
        answered,
        lambda modifier, failure: asker.hookFailed(modifier, "modify", MODIFIER_ERROR, failure),
        lambda: asker.answered(response),
        clock,
        limit,
        first,
        lambda: request.body.isBeingRead or response.body.isBeingRead,
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
            done(_withHeaders(result, error))
            return False
        return failed(handler, Failure(TypeError(f"handle returned a {type(result).__name__}; it may return None or a Response")))

    return Chain(
        handlers,
        lambda handler: handler.handle(request, error),
        answered,
        failed,
        lambda: done(_withHeaders(errorPage(error.kind, request.headers.get("accept", ""), request.id), error)),
        clock,
        limit,
    )


def _withHeaders(response: Response, error: ProxyError) -> Response:
    """An answer to a failure, with the headers that the failure asks for in the place of those of the same names."""
    names: dict[str, list[str]] = {}
    for name, value in error.headers:
        names.setdefault(name, []).append(value)
    for name, values in names.items():
        response.headers.setRawHeaders(name, values)
    return response
