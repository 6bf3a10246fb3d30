"""Calling plugins: a hook may return a value, a Deferred or a coroutine, and none of them may hold a request for ever.

A plain value costs nothing here; only an awaitable is turned into a Deferred with a time limit, which the exchange can
cancel when its client leaves.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from inspect import isawaitable
from types import CoroutineType
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
    if isinstance(result, CoroutineType):
        return Deferred.fromCoroutine(result)
    return Deferred.fromCoroutine(_wait(result))


async def _wait(result: Awaitable[Any]) -> Any:
    return await result


def whenSettled(
    result: Awaitable[Any],
    clock: IReactorTime,
    limit: float,
    succeeded: Callable[[Any], None],
    failed: Callable[[Failure], None],
    isExcused: Callable[[], bool] | None = None,
) -> Deferred[Any]:
    """Call one of two functions when a hook's result is there.

    @param limit: seconds to wait; then it is cancelled, and C{failed} gets a L{TimeoutError}.
    @param isExcused: asked then whether to wait as long once more; None: not.
    @return: a Deferred to be cancelled when nobody waits any longer; then neither function is called.
    """
    waiting = asDeferred(result)
    if isExcused is None:
        waiting.addTimeout(limit, clock)
    else:
        _Patience(waiting, limit, clock, isExcused)
    isWanted = True

    def cancel(_: Deferred[Any]) -> None:
        nonlocal isWanted
        isWanted = False
        waiting.cancel()

    outer: Deferred[Any] = Deferred(cancel)

    def deliver(value: Any) -> None:
        if isWanted:
            outer.callback(None)
            if isinstance(value, Failure):
                failed(value)
            else:
                succeeded(value)

    outer.addErrback(lambda failure: failure.trap(CancelledError) and None)
    waiting.addBoth(deliver)
    return outer


class _Patience:
    """A timeout as C{Deferred.addTimeout}'s, but with as much time again for as long as there is an excuse."""

    __slots__ = ("_clock", "_isExcused", "_isOver", "_limit", "_timer", "_waiting")

    def __init__(self, waiting: Deferred[Any], limit: float, clock: IReactorTime, isExcused: Callable[[], bool]) -> None:
        self._waiting = waiting
        self._limit = limit
        self._clock = clock
        self._isExcused = isExcused
        self._isOver = False
        self._timer = clock.callLater(limit, self._late)
        waiting.addBoth(self._settled)

    def _late(self) -> None:
        if self._isExcused():
            self._timer = self._clock.callLater(self._limit, self._late)
        else:
            self._isOver = True
            self._waiting.cancel()

    def _settled(self, result: Any) -> Any:
        if self._timer.active():
            self._timer.cancel()
        if self._isOver and isinstance(result, Failure) and result.check(CancelledError):
            return Failure(TimeoutError(self._limit, "Deferred"))
        return result


def isWaitedFor(result: Deferred[Any] | None) -> bool:
    """Whether there is a Deferred that has not fired."""
    return result is not None and not result.called


def describeFailure(failure: Failure) -> str:
    """A plugin's failure in one line, for the log."""
    if failure.check(TimeoutError):
        return "it did not answer in time"
    return f"{failure.type.__name__}: {failure.getErrorMessage()}" if failure.type else failure.getErrorMessage()


def label(plugin: Any, name: str) -> None:
    """Have L{nameOf} say C{name}, which tells the place in the configuration; where the object can take it."""
    with suppress(AttributeError, TypeError):
        plugin.pluginName = name


def nameOf(plugin: Any) -> str:
    """How a plugin is named in the log: as its configuration does, else by its class."""
    name = getattr(plugin, "pluginName", None)
    return name if isinstance(name, str) else type(plugin).__qualname__


class Chain:
    """Plugins asked one after the other with the same hook, until one gives an answer or none is left.

    A plugin that returns None passes. What an answer or a failure means is the caller's business: C{answered} and
    C{failed} say whether to go on with the next.
    """

    __slots__ = ("_answered", "_ask", "_clock", "_done", "_failed", "_first", "_isExcused", "_limit", "_plugins", "_waiting")

    def __init__(
        self,
        plugins: Sequence[Any],
        ask: Callable[[Any], Any],
        answered: Callable[[Any, Any], bool],
        failed: Callable[[Any, Failure], bool],
        done: Callable[[], None],
        clock: IReactorTime,
        limit: float,
        first: tuple[Any, Any] | None = None,
        isExcused: Callable[[], bool] | None = None,
    ) -> None:
        """
        @param ask: calls the hook of a plugin.
        @param answered: gets a plugin and what it returned other than None; says whether to go on.
        @param failed: gets a plugin and what it raised; says whether to go on.
        @param done: called after the last, if nothing ended the chain.
        @param limit: seconds that a hook may take.
        @param first: a plugin that was asked already, before these, and what it returned.
        @param isExcused: whether a plugin that takes longer has a reason.
        """
        self._isExcused = isExcused
        self._first = first
        self._plugins = iter(plugins)
        self._ask = ask
        self._answered = answered
        self._failed = failed
        self._done = done
        self._clock = clock
        self._limit = limit
        self._waiting: Deferred[Any] | None = None

    def run(self) -> None:
        """Ask the next, and so on."""
        first, self._first = self._first, None
        if first is not None and not self._goesOn(*first):
            return
        for plugin in self._plugins:
            try:
                result = self._ask(plugin)
            except Exception:
                if not self._failed(plugin, Failure()):
                    return
                continue
            if not self._goesOn(plugin, result):
                return
        self._done()

    def _goesOn(self, plugin: Any, result: Any) -> bool:
        """Look at what a plugin returned; whether to ask the next at once."""
        if result is None:
            return True
        if isPending(result):
            self._await(plugin, result)
            return False
        return self._answered(plugin, result)

    def _await(self, plugin: Any, result: Awaitable[Any]) -> None:
        def succeeded(value: Any) -> None:
            self._waiting = None
            if value is None or self._answered(plugin, value):
                self.run()

        def failed(failure: Failure) -> None:
            self._waiting = None
            if self._failed(plugin, failure):
                self.run()

        waiting = whenSettled(result, self._clock, self._limit, succeeded, failed, self._isExcused)
        if not waiting.called:
            self._waiting = waiting

    def cancel(self) -> None:
        """Nobody wants the answer any more: stop waiting for it, and tell the plugin by cancelling its Deferred."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
