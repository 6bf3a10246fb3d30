"""Take in all of a request's body before an upstream is asked."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil
from typing import Any, Literal

from zope.interface import implementer

from twistproxy.errors import BODY_TOO_LARGE, BUFFERS_FULL, BodyTooLarge, ProxyError
from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest, Response
from twistproxy.text.units import Duration, Size, formatSize


@implementer(IMiddleware)
class BufferRequest:
    """Hold the bodies of requests until they are complete, as buffer-request:max=1MiB; then send them on with a Content-Length.

    For upstreams that need a length, or that serve one request at a time and must not wait for slow senders. The client gets its
    100 Continue from the proxy. Trailers, which follow chunks alone, are dropped. C{body-timeout} and C{min-body-rate} hold
    for the sender as ever. A held body can be sent to another upstream after a failure, whatever C{max-replay-bytes} says.

    @ivar held: bytes that are held now.
    @ivar bodies: how many bodies were held.
    @ivar refused: how many were not, for their length or the total.
    """

    def __init__(
        self,
        *,
        max: Size = 1 << 20,
        total: Size = 64 << 20,
        only: Literal["all", "chunked"] = "all",
        over: Literal["refuse", "stream"] = "refuse",
        retryAfter: Duration = 1.0,
    ) -> None:
        """
        @param max: bytes of one body.
        @param total: bytes of all bodies together that are held at the same time, in this place of the configuration.
        @param only: C{chunked} leaves bodies alone that say how long they are.
        @param over: what becomes of those for which this is not enough. C{refuse}: 413 for one that is too long itself, 503 for
            one too many. C{stream}: they are sent on as they come.
        @param retryAfter: when those who got a 503 may come again.
        @raise ValueError: with a sentence for the person who wrote it.
        """
        if max < 1:
            raise ValueError("max is 1 or more")
        if total < max:
            raise ValueError(f"total is {formatSize(max)}, the max of one body, or more")
        self._max = max
        self._total = total
        self._onlyChunked = only == "chunked"
        self._streams = over == "stream"
        self._headers = [("Retry-After", str(ceil(retryAfter)))]
        self.held = 0
        self.bodies = 0
        self.refused = 0

    def around(self, request: InboundRequest, proceed: Callable[[], Any]) -> Any:
        """L{IMiddleware.around}."""
        if request.body.contents is not None:
            return proceed()  # there is none, or it was read already
        length: str | None = request.headers.get("content-length")
        if length is not None and self._onlyChunked:
            return proceed()
        if length is not None and int(length) > self._max:
            if self._streams:
                return proceed()
            self.refused += 1
            raise ProxyError(BODY_TOO_LARGE, f"buffer-request: more than {self._max} bytes")
        return self._hold(request, proceed)

    async def _hold(self, request: InboundRequest, proceed: Callable[[], Any]) -> Response:
        share = _Share(self)
        request.whenFinished(share.release)
        try:
            await request.body.read(self._max, share.grow)
            self.bodies += 1
            if request.headers.hasHeader("expect"):
                request.outbound.headers.removeHeader("Expect")  # it was met
        except ProxyError as error:
            if not isinstance(error, BodyTooLarge) and error.kind is not BUFFERS_FULL:
                raise  # the client is to blame
            if not self._streams:
                self.refused += 1
                raise
        response: Response = await proceed()
        return response

    def take(self, size: int) -> None:
        """Hold so many bytes more.

        @raise ProxyError: when that would be too many.
        """
        if self.held + size > self._total:
            raise ProxyError(BUFFERS_FULL, f"buffer-request: {self.held} of {self._total} bytes are held", self._headers)
        self.held += size


class _Share:
    """What one request holds."""

    __slots__ = ("_buffer", "_held")

    def __init__(self, buffer: BufferRequest) -> None:
        self._buffer = buffer
        self._held = 0

    def grow(self, held: int) -> None:
        """L{twistproxy.bodies.body.Meter}."""
        self._buffer.take(held - self._held)
        self._held = held

    def release(self, exchange: Any) -> None:
        """The exchange is over, and its body forgotten."""
        self._buffer.held -= self._held
        self._held = 0
