"""A copy of a body that is on its way to somebody else, made in passing: bounded, and never in its way. Pure.

The tee stands where a body goes, as L{twistproxy.bodies.replay} does. It passes on everything as it comes, and never pauses
anything; what it keeps meanwhile is its own, and it gives up rather than to keep too much.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any, Final

from twistproxy.bodies.body import BodySink
from twistproxy.messages import Item
from twistproxy.transports.splicing import Flow, FlowSource

TOO_LONG: Final = "too_long"
"""Why a copy is given up: it is longer than one may be."""

NO_MEMORY: Final = "memory"
"""Why a copy is given up: all copies together would be larger than they may be."""


class Allowance:
    """Bytes that all copies together may hold.

    @ivar held: what they hold now.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self.held = 0

    def take(self, size: int) -> bool:
        """Hold so many bytes more, if there is room for them."""
        if self.held + size > self._limit:
            return False
        self.held += size
        return True

    def give(self, size: int) -> None:
        """Hold so many fewer."""
        self.held -= size


class Tee:
    """One body.

    @ivar size: bytes kept.
    @ivar isComplete: whether all of the body was kept.
    @ivar problem: why nothing is kept any more: L{TOO_LONG} or L{NO_MEMORY}; empty as long as it is.
    @ivar trailers: the fields after it, once it is complete.
    """

    def __init__(self, limit: int, allowance: Allowance, told: Callable[[], object]) -> None:
        """
        @param limit: bytes to keep at most.
        @param told: called once, when it is complete or there is a problem.
        """
        self._limit = limit
        self._allowance = allowance
        self._told: Callable[[], object] | None = told
        self._kept: BytesIO | None = BytesIO()
        self._sink: BodySink | None = None
        self.size = 0
        self.isComplete = False
        self.problem = ""
        self.trailers: list[Item] = []

    def before(self, sink: BodySink) -> BodySink:
        """Stand before C{sink}."""
        self._sink = sink
        return self

    def take(self) -> bytes:
        """What was kept; whoever takes it gives back C{size} when done."""
        kept, self._kept = self._kept, None
        return b"" if kept is None else kept.getvalue()

    def close(self) -> None:
        """Nobody wants it any more."""
        self._told = None
        self._drop()

    # From where the body comes: twistproxy.bodies.body.BodySink.

    def spliceBody(self, source: FlowSource, transport: Any, length: int) -> Flow | None:
        """Not as long as it is kept: the kernel shows nobody what it moves."""
        isKept = self._kept is not None and not self.isComplete
        return None if isKept or self._sink is None else self._sink.spliceBody(source, transport, length)

    def bodySpliced(self, size: int) -> None:
        """The kernel has brought so many bytes."""
        if self._sink is not None:
            self._sink.bodySpliced(size)

    def bodyReceived(self, data: bytes) -> None:
        """A piece."""
        if self._kept is not None:
            self._keep(self._kept, data)
        if self._sink is not None:
            self._sink.bodyReceived(data)

    def bodyEnded(self, trailers: list[Item]) -> None:
        """It was complete."""
        sink, self._sink = self._sink, None  # which may lead back here
        if self._kept is not None:
            self.isComplete = True
            self.trailers = trailers
            self._tell()
        if sink is not None:
            sink.bodyEnded(trailers)

    def _keep(self, kept: BytesIO, data: bytes) -> None:
        size = len(data)
        if self.size + size > self._limit:
            self.problem = TOO_LONG
        elif not self._allowance.take(size):
            self.problem = NO_MEMORY
        else:
            self.size += size
            kept.write(data)
            return
        self._drop()
        self._tell()

    def _drop(self) -> None:
        if self._kept is not None:
            self._kept = None
            self._allowance.give(self.size)
            self.size = 0

    def _tell(self) -> None:
        told, self._told = self._told, None
        if told is not None:
            told()
