"""One direction of a tunnel whose bytes stages let go of in their own time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from twistproxy.bodies.body import BodySink
from twistproxy.bodies.stages import Stage, chained
from twistproxy.errors import ProxyError
from twistproxy.messages import Item
from twistproxy.transports.splicing import FlowSource


class InputOwner(Protocol):
    """The side of a tunnel that sends them."""

    def passOn(self, data: bytes) -> None:
        """The other side gets these."""

    def allPassed(self) -> None:
        """It got all of them."""

    def pauseInput(self) -> None:
        """Read no more for now."""

    def resumeInput(self) -> None:
        """Read on, unless there is a reason against it."""

    def cut(self, error: ProxyError) -> None:
        """End the tunnel here."""


class StagedInput:
    """What one side sends, between its transport and the other's: all stages, and the sink behind them.

    @ivar holds: see L{twistproxy.bodies.stages.StagedBody}.
    """

    __slots__ = ("_entry", "_isEnded", "_owner", "holds")

    def __init__(self, owner: InputOwner, stages: Sequence[Stage]) -> None:
        self._owner: InputOwner | None = owner
        self._isEnded = False
        self.holds = 0
        self._entry: BodySink | None = chained(stages, self, self)

    # From the transport.

    def write(self, pieces: list[bytes]) -> None:
        """These came in."""
        for each in pieces:
            if self._entry is not None:
                self._entry.bodyReceived(each)

    def end(self) -> None:
        """No more will."""
        if not self._isEnded and self._entry is not None:
            self._isEnded = True
            self._entry.bodyEnded([])

    def close(self) -> None:
        """Whatever is held goes nowhere."""
        self._owner = self._entry = None

    # As the sink behind the stages.

    def spliceBody(self, source: FlowSource, transport: Any, length: int) -> None:
        """L{BodySink}: never."""

    def bodySpliced(self, size: int) -> None:
        """L{BodySink}: never."""

    def bodyReceived(self, data: bytes) -> None:
        """L{BodySink}."""
        if self._owner is not None:
            self._owner.passOn(data)

    def bodyEnded(self, trailers: list[Item]) -> None:
        """L{BodySink}."""
        owner = self._owner
        if owner is not None:
            self.close()
            owner.allPassed()

    # For the stages: L{twistproxy.bodies.stages.StagedBody}.

    def pauseBody(self) -> None:
        """They have enough."""
        if self._owner is not None:
            self._owner.pauseInput()

    def resumeBody(self) -> None:
        """They take more."""
        if self._owner is not None:
            self._owner.resumeInput()

    def flush(self) -> None:
        """What is passed on is written at once."""

    def breakOff(self, error: ProxyError) -> None:
        """End the tunnel here."""
        if self._owner is not None:
            self._owner.cut(error)
