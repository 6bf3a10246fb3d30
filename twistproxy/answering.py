"""A Response on its way to the client: an upstream's that plugins may have changed, or one that a plugin made.

Answers that no plugin sees do not come this way; the exchange relays those piece by piece. Here the body is held until
it is known what becomes of it: streamed as it is, through filters, read and sent, or replaced.
"""

from __future__ import annotations

from typing import Protocol

from twistproxy.body import EMPTY, Body
from twistproxy.delivery import ClientStream, deliver, throughFilters
from twistproxy.errors import RESPONSE_TOO_LARGE, ProxyError
from twistproxy.messages import Item, Response


class AnswerOwner(Protocol):
    """The exchange that an answer belongs to."""

    def pauseResponse(self) -> None:
        """Have the upstream send no more for now."""

    def resumeResponse(self) -> None:
        """Have it go on, unless the client is what holds it up."""

    def answerUnwanted(self) -> None:
        """What the upstream may still send of its body goes nowhere."""

    def bodySent(self, size: int) -> None:
        """So many bytes of body went to the client."""

    def answerDelivered(self, trailers: list[Item]) -> None:
        """All of the answer went to the client."""


class Answer:
    """One answer. It is the source of its response's body for plugins, and the sink of the body that is delivered.

    @ivar response: as plugins see it; its C{stream} is the upstream's body.
    """

    def __init__(
        self, owner: AnswerOwner, client: ClientStream, response: Response, length: int = 0, announced: bytes = b""
    ) -> None:
        """
        @param length: of the upstream's body; 0 for an answer of a plugin's.
        @param announced: what Trailer says.
        """
        self._owner = owner
        self._client = client
        self._length = length
        self._announced = announced
        self._stream = Body(self, RESPONSE_TOO_LARGE) if length else EMPTY
        self.response = response
        response.stream = self._stream if response.upstream is not None else None

    # From the upstream.

    def dataReceived(self, data: bytes) -> None:
        """A piece of the upstream's body. May raise what a body filter does."""
        if self._stream is not EMPTY:
            self._stream.dataReceived(data)

    def ended(self, trailers: list[Item]) -> None:
        """The upstream's body is complete. May raise what a body filter does."""
        if self._stream is not EMPTY:
            self._stream.allReceived(trailers)

    def failed(self, error: ProxyError) -> None:
        """It will not become complete: whoever reads it is told."""
        if self._stream is not EMPTY:
            self._stream.failed(error)

    # To the client.

    def deliver(self, response: Response, toHead: bool, askedByHead: bool) -> bool:
        """Send C{response}, which is the upstream's as changed, or another in its place; flushing is the caller's business.
        May raise what a body filter does.

        @param toHead: whether the client asked by HEAD.
        @param askedByHead: whether the upstream was asked by HEAD, and so sends no body whatever it says of its length.
        @return: whether that is all there is to do here: the upstream's body, of which nothing came yet, is sent as it comes.
        """
        stream = self._stream
        isUpstreams = response.stream is not None and response.stream is stream and response.replacedBody is None
        length = 0 if askedByHead and not toHead else self._length
        body = deliver(response, self._client, toHead, length, self._announced)
        if stream is not EMPTY and (body is EMPTY or not isUpstreams):
            self._stream = EMPTY
            if not stream.ended:
                self._owner.answerUnwanted()
        elif body is stream and stream.isUntouched and not response.filters:
            stream.source = None
            return True
        body.attach(throughFilters(response, self))
        return False

    def bodyReceived(self, data: bytes) -> None:
        """L{twistproxy.body.BodySink}."""
        self._owner.bodySent(len(data))
        self._client.sendData(data)

    def bodyEnded(self, trailers: list[Item]) -> None:
        """L{twistproxy.body.BodySink}."""
        self._owner.answerDelivered(trailers)

    # As the source of the upstream's body.

    def bodyWanted(self) -> None:
        """L{twistproxy.body.BodySource}: an upstream needs no encouragement."""

    def pauseBody(self) -> None:
        """Nobody takes it yet, and it gets too long to be held."""
        self._owner.pauseResponse()

    def resumeBody(self) -> None:
        """It is wanted again."""
        self._owner.resumeResponse()
