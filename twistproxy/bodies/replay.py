"""A request's body on its way, kept up to a limit so that it can be sent a second time.

Bodies stream; only one that may have to be sent again, since a policy says so of its request, passes through here. What
is kept are references to the pieces as they came, no copies.
"""

from __future__ import annotations

from typing import Any, Protocol

from twistproxy.bodies.uploading import BodyOutlet, UploadSink
from twistproxy.messages import Item
from twistproxy.transports.splicing import Flow, FlowSource


class Uploader(Protocol):
    """What has the client send the body."""

    def uploadPaused(self) -> None:
        """Nobody takes it for now."""

    def uploadResumed(self) -> None:
        """Somebody does."""


class Replay:
    """The sink of a body, in front of those of one attempt after another.

    @ivar isKept: whether all that came is here, so that it can be sent again.
    """

    def __init__(self, body: BodyOutlet, limit: int, uploader: Uploader) -> None:
        """@param limit: bytes to keep at most, once they were sent."""
        self._body = body
        self._limit = limit
        self._uploader = uploader
        self._pieces: list[bytes] = []
        self._size = 0
        self._sink: UploadSink | None = None
        self._isAttached = False
        self.isKept = True

    def attach(self, sink: UploadSink) -> None:
        """Hand over what there is, and what comes."""
        if not self._isAttached:
            self._isAttached = True
            self._sink = sink
            self._body.attach(self)
            return
        for piece in self._pieces:
            sink.bodyReceived(piece)
        self._check()
        if self._body.ended:
            sink.bodyEnded(self._body.trailers)
        else:
            self._sink = sink
            self._uploader.uploadResumed()

    def hold(self) -> None:
        """The sink is gone. Until there is another the client is to pause; what comes nevertheless is kept."""
        if self._sink is not None:
            self._sink = None
            if not self._body.ended:
                self._uploader.uploadPaused()

    def forget(self) -> None:
        """It will not be sent again."""
        self.isKept = False
        self._pieces = []

    def close(self) -> None:
        """It goes nowhere any more."""
        self.forget()
        self._sink = None

    def spliceBody(self, source: FlowSource, transport: Any, length: int) -> Flow | None:
        """L{twistproxy.bodies.body.BodySink}: only what need not be kept."""
        return None if self.isKept or self._sink is None else self._sink.spliceBody(source, transport, length)

    def bodySpliced(self, size: int) -> None:
        """L{twistproxy.bodies.body.BodySink}."""
        if self._sink is not None:
            self._sink.bodySpliced(size)

    def bodyReceived(self, data: bytes) -> None:
        """L{twistproxy.bodies.body.BodySink}."""
        if self.isKept:
            self._pieces.append(data)
            self._size += len(data)
        if self._sink is not None:
            self._check()
            self._sink.bodyReceived(data)

    def bodyEnded(self, trailers: list[Item]) -> None:
        """L{twistproxy.bodies.body.BodySink}."""
        sink, self._sink = self._sink, None  # which leads back here
        if sink is not None:
            sink.bodyEnded(trailers)

    def bodyBroken(self) -> None:
        """L{twistproxy.bodies.uploading.UploadSink}."""
        if self._sink is not None:
            self._sink.bodyBroken()

    def _check(self) -> None:
        if self.isKept and self._size > self._limit:
            self.forget()
