"""What stands between a body and where it goes, and lets go of it in its own time: of answers, requests and tunnels.

A stage holds what it may not send yet, has the source paused when that gets too much, and is closed with its exchange. It
leaves the bytes as they are; L{twistproxy.bodies.pacing} has those that come with twistproxy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from twistproxy.bodies.body import BodySink
from twistproxy.errors import ProxyError


class BodyControl(Protocol):
    """What a stage can do about the body that passes through it."""

    def pauseBody(self) -> None:
        """Have the source send no more for now."""

    def resumeBody(self) -> None:
        """Have it go on."""

    def flush(self) -> None:
        """Write what was sent: for whoever sends in its own time."""

    def breakOff(self, error: ProxyError) -> None:
        """End the body here, and the connection, so that whoever gets it can tell."""


class StagedBody(BodyControl, Protocol):
    """What a chain of stages can do about it.

    @ivar holds: how many of them have the source paused. Whoever else resumes it has to look at this first.
    """

    holds: int


Stage = Callable[[BodySink, BodyControl], BodySink]
"""Makes, for one body, what stands before a sink."""


class _Hold:
    """The L{BodyControl} of one of several stages: the source goes on when none of them holds it."""

    __slots__ = ("_body", "_isHolding")

    def __init__(self, body: StagedBody) -> None:
        self._body = body
        self._isHolding = False

    def pauseBody(self) -> None:
        body = self._body
        if not self._isHolding:
            self._isHolding = True
            body.holds += 1
        body.pauseBody()

    def resumeBody(self) -> None:
        body = self._body
        if self._isHolding:
            self._isHolding = False
            body.holds -= 1
        if not body.holds:
            body.resumeBody()

    def flush(self) -> None:
        self._body.flush()

    def breakOff(self, error: ProxyError) -> None:
        self._body.breakOff(error)


def chained(stages: Sequence[Stage], sink: BodySink, body: StagedBody) -> BodySink:
    """C{sink} behind C{stages}, of which the first is the first that C{body} comes to."""
    for stage in reversed(stages):
        sink = stage(sink, _Hold(body))
    return sink
