"""A request's body that stages let go of in their own time, on its way to whoever sends it on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from twistproxy.bodies.body import Body, BodySink
from twistproxy.bodies.stages import Stage, chained
from twistproxy.errors import ProxyError
from twistproxy.messages import InboundRequest, Item
from twistproxy.transports.splicing import FlowSource


class UploadSink(BodySink, Protocol):
    """Where a request's body goes."""

    def bodyBroken(self) -> None:
        """It breaks off, as does the exchange in a moment: what there is of it is still to be sent."""


class BodyOutlet(Protocol):
    """Where a body can be got from.

    @ivar ended: whether all of it came.
    @ivar trailers: the fields after it, once it ended.
    """

    @property
    def ended(self) -> bool:
        """See above."""

    @property
    def trailers(self) -> list[Item]:
        """See above."""

    def attach(self, sink: UploadSink) -> None:
        """Hand over what there is, and everything from now on."""


class UploadOwner(Protocol):
    """The exchange whose client sends it."""

    def uploadPaused(self) -> None:
        """Nobody takes more for now."""

    def uploadResumed(self) -> None:
        """Somebody does."""

    def fail(self, error: ProxyError) -> None:
        """It breaks off."""


class StagedUpload:
    """The L{BodyOutlet} of a request whose body passes stages. It is attached to once.

    @ivar ended: whether all of it has passed.
    @ivar trailers: the fields after it.
    @ivar holds: see L{twistproxy.bodies.stages.StagedBody}.
    """

    def __init__(self, body: Body, request: InboundRequest, stages: Sequence[Stage], owner: UploadOwner) -> None:
        self._body = body
        self._stages = stages
        self._owner: UploadOwner | None = owner
        self._sink: UploadSink | None = None
        self._isFull = False  # whoever is behind the stages
        self.ended = False
        self.trailers: list[Item] = []
        self.holds = 0
        request.whenFinished(self._close)

    def attach(self, sink: UploadSink) -> None:
        """L{BodyOutlet.attach}."""
        self._sink = sink
        self._body.attach(chained(self._stages, self, self))

    def _close(self, exchange: Any) -> None:
        """The exchange is over: nothing more is wanted, and nobody is kept."""
        self._sink = self._owner = None

    # As the sink behind the stages.

    def spliceBody(self, source: FlowSource, transport: Any, length: int) -> None:
        """L{BodySink}: never, as the stages see all of it."""

    def bodySpliced(self, size: int) -> None:
        """L{BodySink}: never."""

    def bodyReceived(self, data: bytes) -> None:
        """L{BodySink}."""
        if self._sink is not None:
            self._sink.bodyReceived(data)

    def bodyEnded(self, trailers: list[Item]) -> None:
        """L{BodySink}."""
        self.ended = True
        self.trailers = trailers
        sink, self._sink = self._sink, None
        if sink is not None:
            sink.bodyEnded(trailers)

    # From whoever is behind the stages: L{twistproxy.bodies.replay.Uploader}.

    def uploadPaused(self) -> None:
        """It takes no more for now."""
        self._isFull = True
        self.pauseBody()

    def uploadResumed(self) -> None:
        """It takes more."""
        self._isFull = False
        if not self.holds:
            self.resumeBody()

    # For the stages: L{twistproxy.bodies.stages.StagedBody}.

    def pauseBody(self) -> None:
        """Have the client send no more for now."""
        if self._owner is not None:
            self._owner.uploadPaused()

    def resumeBody(self) -> None:
        """Have it go on, unless what is behind the stages is full."""
        if self._owner is not None and not self._isFull:
            self._owner.uploadResumed()

    def flush(self) -> None:
        """What is sent behind the request's head is written at once."""

    def breakOff(self, error: ProxyError) -> None:
        """End the request here."""
        if self._sink is not None:
            self._sink.bodyBroken()
        if self._owner is not None:
            self._owner.fail(error)
