"""Calling plugins: a hook may return a value, a Deferred or a coroutine, and none of them may hold a request for ever.

A plain value costs nothing here; only an awaitable is turned into a Deferred with a time limit, which the exchange can
cancel when its client leaves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure


def isPending(result: Any) -> bool:
    """Whether a hook's result has to be waited for."""
    return isinstance(result, Deferred) or isawaitable(result)


def asDeferred(result: Awaitable[Any]) -> Deferred[Any]:
    """A Deferred of the result of a hook for which L{isPending} holds."""
    if isinstance(result, Deferred):
        return result
    return Deferred.fromCoroutine(_wait(result))


async def _wait(result: Awaitable[Any]) -> Any:
    return await result


def whenSettled(
    result: Awaitable[Any],
    clock: IReactorTime,
    limit: float,
    succeeded: Callable[[Any], None],
    failed: Callable[[Failure], None],
) -> Deferred[Any]:
    """Call one of two functions when a hook's result is there.

    @param limit: seconds to wait; then it is cancelled, and C{failed} gets a L{TimeoutError}.
    @return: a Deferred to be cancelled when nobody waits any longer; then neither function is called.
    """
    waiting = asDeferred(result)
    waiting.addTimeout(limit, clock)
    outer: Deferred[Any] = Deferred(lambda _: waiting.cancel())

    def deliver(value: Any) -> None:
        if not outer.called:
            outer.callback(None)
            if isinstance(value, Failure):
                failed(value)
            else:
                succeeded(value)

    outer.addErrback(lambda failure: failure.trap(CancelledError) and None)
    waiting.addBoth(deliver)
    return outer


def describeFailure(failure: Failure) -> str:
    """A plugin's failure in one line, for the log."""
    if failure.check(TimeoutError):
        return "it did not answer in time"
    return f"{failure.type.__name__}: {failure.getErrorMessage()}" if failure.type else failure.getErrorMessage()


def nameOf(plugin: Any) -> str:
    """How a plugin is named in the log: as its configuration does, else by its class."""
    return getattr(plugin, "pluginName", None) or type(plugin).__qualname__
