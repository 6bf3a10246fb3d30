"""Calling one layer of middleware: C{proceed} at most once, and always a Deferred as a result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from twistproxy.hooks import asDeferred, isPending
from twistproxy.messages import InboundRequest, Response


def around(middleware: Any, request: InboundRequest, inner: Callable[[], Deferred[Response]]) -> Deferred[Response]:
    """The result of C{middleware.around}.

    @param inner: runs what is inside this layer.
    @return: fires with what the middleware returned, or fails with what it raised.
    """
    called = False

    def proceed() -> Deferred[Response]:
        nonlocal called
        if called:
            raise RuntimeError("proceed may be called once")
        called = True
        return inner()

    try:
        result = middleware.around(request, proceed)
    except Exception:
        return fail()
    waiting: Deferred[Any] = asDeferred(result) if isPending(result) else succeed(result)
    return waiting.addCallback(_checked)


def _checked(response: Any) -> Response:
    if isinstance(response, Response):
        return response
    raise TypeError(f"around returned a {type(response).__name__}, not a Response")
