"""What became of a request and of its copy, for those who compare."""

from __future__ import annotations

from collections.abc import Callable

from attrs import frozen

from twistproxy.messages import FrozenHeaders, InboundRequest


@frozen
class Answered:
    """How one of the two ended.

    @ivar code: the status; 0 without an answer of the copy's.
    @ivar headers: of the answer; None without one.
    @ivar time: seconds to the head of the answer: from when the middleware had the request, or the copy began; None without one.
    @ivar reason: the word for what went wrong with the copy; empty for nothing.
    """

    code: int
    headers: FrozenHeaders | None
    time: float | None
    reason: str = ""


Compare = Callable[[InboundRequest, Answered, Answered], object]
"""Gets the request, what its client got, and what came to the copy."""
