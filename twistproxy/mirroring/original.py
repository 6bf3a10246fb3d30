"""A request while it is decided whether there will be a copy of it: from its head until an upstream has answered and its body
is complete, or until it has ended.

A copy is made of whole requests only, and once: of what was sent to an upstream at last, after directors and retries. It is
not sent before the original was answered, or has failed: so that it takes nothing from the original, and what is copied is
known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from twistproxy.bodies.body import EMPTY, Body
from twistproxy.messages import FrozenHeaders, InboundRequest, Response
from twistproxy.mirroring.copying import bodyOf
from twistproxy.mirroring.tee import NO_MEMORY, TOO_LONG, Allowance, Tee

NOT_ASKED: Final = "not_asked"
"""Why there is no copy: no upstream was asked."""

INCOMPLETE: Final = "incomplete"
"""Why there is no copy: the request did not become complete."""


class Owner(Protocol):
    """Who wants copies."""

    allowance: Allowance

    def drop(self, reason: str) -> None:
        """There will be none of this one."""

    def complete(self, original: Original, body: Body, size: int) -> None:
        """Send the copy now.

        @param body: the copy's.
        @param size: its bytes, taken of the allowance.
        """


class Original:
    """One request.

    @ivar code: the status of an upstream's answer, as the middleware inside has left it, or of what came of the request in its
        place; 0 as long as there is none.
    @ivar headers: of that answer; None without one.
    @ivar time: seconds to its head; None without one.
    """

    code = 0
    headers: FrozenHeaders | None = None
    time: float | None = None
    _isOver = False

    def __init__(self, owner: Owner, request: InboundRequest, limit: int, seconds: Callable[[], float]) -> None:
        """
        @param limit: bytes of body that a copy may have.
        @param seconds: the clock.
        """
        self._owner = owner
        self._seconds = seconds
        self._started = seconds()
        self.request = request
        self._limit = limit
        self._tee: Tee | None = None
        body = request.outbound.stream
        if body.contents is None:
            self._tee = tee = Tee(limit, owner.allowance, self._advance)
            body.tap(tee.before)

    def answered(self, response: Response) -> Response:
        """Something has answered: an upstream, or middleware in its place."""
        if not self._isOver and response.upstream is not None:
            self.code = response.code
            self.headers = FrozenHeaders(list(response.items))
            self.time = self._seconds() - self._started
            self._advance()
        return response

    def finished(self, exchange: Any) -> None:
        """It has ended, in whatever manner; L{InboundRequest.whenFinished}."""
        if self._isOver:
            return
        self.code = self.code or exchange.code
        if not exchange.attempts:
            self._drop(NOT_ASKED)
            return
        self.request.outbound.stream.pour()  # nobody may have taken it
        if not self._isOver:
            self._advance(isEnd=True)

    def _advance(self, isEnd: bool = False) -> None:
        """Send the copy, or drop it, if that can be said by now."""
        if self._isOver:
            return
        tee, assigned = self._tee, self.request.outbound.body
        if assigned.contents is not None:
            if isEnd or self.headers is not None:
                self._sendAssigned(assigned, assigned.contents)
        elif tee is None or tee.problem:
            self._drop(INCOMPLETE if tee is None else tee.problem)
        elif tee.isComplete:
            if isEnd or self.headers is not None:
                self._isOver = True
                size = tee.size
                self._owner.complete(self, bodyOf(tee.take(), self.request.trailersToSend(tee.trailers)), size)
        elif isEnd:
            self._drop(INCOMPLETE)

    def _sendAssigned(self, body: Body, contents: bytes) -> None:
        """A body that a plugin has read or made, or none."""
        size = len(contents)
        if size > self._limit:
            self._drop(TOO_LONG)
        elif not self._owner.allowance.take(size):
            self._drop(NO_MEMORY)
        else:
            self._isOver = True
            if self._tee is not None:
                self._tee.close()
            self._owner.complete(self, EMPTY if body is EMPTY else Body.of(contents), size)

    def _drop(self, reason: str) -> None:
        self._isOver = True
        if self._tee is not None:
            self._tee.close()
        self._owner.drop(reason)
