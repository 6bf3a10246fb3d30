"""A long request body that the kernel takes from the client's connection to the upstream's, where that can be."""

from __future__ import annotations

from typing import Any
from typing import Protocol as Shape

from twistproxy.bodies.body import Body
from twistproxy.transports.splicing import BULK, LONG, Flow
from twistproxy.wire.http1 import RequestReader


class UploadOwner(Shape):
    """The client's connection."""

    transport: Any

    def uploadReturned(self, isBroken: bool) -> None:
        """The kernel takes no more of the body: read on, or, if the connection is broken, end."""


class Upload:
    """The body of one request, from its head on; the L{twistproxy.transports.splicing.FlowSource} of its flows."""

    __slots__ = ("_body", "_bulk", "_flow", "_owner", "_reader", "_seen")

    def __init__(self, owner: UploadOwner, reader: RequestReader, body: Body) -> None:
        self._owner = owner
        self._reader = reader
        self._body = body
        self._bulk = LONG  # received in large pieces since the last flow; for the first, its length is reason enough
        self._seen = 0
        self._flow: Flow | None = None

    @property
    def isHeldUp(self) -> bool:
        """Whether the upstream is what the kernel waits for."""
        return self._flow is not None and self._flow.isWaiting

    def received(self) -> bool:
        """A piece was read; nothing of it is left in the reader.

        @return: whether the kernel has taken all the rest meanwhile.
        """
        size, self._seen = self._body.size - self._seen, self._body.size
        if size >= BULK:
            self._bulk += size
            self.splice()
        return not self._reader.left

    def splice(self) -> None:
        """Leave the rest to the kernel, if it is long and that can be."""
        length = self._reader.left
        if length >= LONG and self._bulk >= LONG and self._flow is None:
            self._flow = flow = self._body.splice(self, self._owner.transport, length)
            if flow is not None:
                flow.start()

    def leave(self) -> None:
        """Leave nothing more to the kernel for now."""
        if self._flow is not None:
            self._flow.leave()

    def flowMoved(self, size: int) -> None:
        """L{twistproxy.transports.splicing.FlowSource}."""
        self._reader.skip(size)
        self._body.spliced(size)

    def flowEnded(self) -> None:
        """L{twistproxy.transports.splicing.FlowSource}."""
        self._flow = None
        self._bulk = 0
        self._seen = self._body.size
        self._owner.uploadReturned(False)

    def flowBroken(self, error: OSError) -> None:
        """L{twistproxy.transports.splicing.FlowSource}."""
        self._owner.uploadReturned(True)
