"""Take answers from their upstream faster than the client does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from zope.interface import implementer

from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest, Response
from twistproxy.text.units import Size


@implementer(IMiddleware)
class BufferResponse:
    """Let some of an answer wait in memory for a client that is slower than the upstream, as buffer-response:max=1MiB.

    For upstreams that serve one request at a time, and are free for the next when the last byte of an answer was taken from
    them. Nothing is held back: the client gets what it takes as it comes. Without this some 64 KiB wait, and the upstream with
    them. A client that takes nothing for C{send-timeout} is cut off as ever.
    """

    def __init__(self, max: Size = 1 << 20) -> None:
        """
        @param max: bytes that may wait on each connection of a client. There is no limit on all together but that on
            connections, C{max-connections}.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        if max < 1:
            raise ValueError("max is 1 or more")
        self._max = max

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        return proceed().addCallback(self._answered)

    def _answered(self, response: Response) -> Response:
        response.buffer = max(response.buffer, self._max)
        return response
