"""A Response on its way to the client: an upstream's that plugins may have changed, or one that a plugin made.

Answers that no plugin sees do not come this way; the exchange relays those piece by piece. Here the body is held until
it is known what becomes of it: streamed as it is, through filters, read and sent, or replaced.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from twistproxy.bodies.body import EMPTY, Body
from twistproxy.errors import RESPONSE_TOO_LARGE, ProxyError
from twistproxy.exchange.delivery import ClientStream, deliver, throughFilters
from twistproxy.messages import Item, Response
from twistproxy.transports.splicing import FlowSource


class AnswerOwner(Protocol):
    """The exchange that an answer belongs to.

    @ivar isClientPaused: whether the client takes no more for now.
    """

    isClientPaused: bool

    def pauseResponse(self) -> None:
        """Have the upstream send no more for now."""

    def resumeResponse(self) -> None:
        """Have it go on, unless the client is what holds it up."""

    def fail(self, error: ProxyError) -> None:
        """The answer breaks off."""

    def answerUnwanted(self) -> None:
        """What the upstream may still send of its body goes nowhere."""

    def bodySent(self, size: int) -> None:
        """So many bytes of body went to the client."""

    def answerDelivered(self, trailers: list[Item]) -> None:
        """All of the answer went to the client."""


class _Gone:
    """Has the body of an answer that is relayed as it comes: it can be read no more, and a plugin that keeps the Response
    keeps nothing else."""

    length = 0

    def openBody(self) -> Body:
        """L{twistproxy.messages.BodyHolder}."""
        body = Body()
        body.failed(RuntimeError("this body is already on its way"))
        return body


_GONE: Final = _Gone()


class Answer:
    """One answer. It is the source of its response's body for plugins, and the sink of the body that is delivered.

    Its L{Body} is made when it is first needed: most plugins do not look at bodies.

    @ivar holds: see L{twistproxy.bodies.stages.StagedBody}.
    """

    holds = 0
    _buffer = 0  # see Response.buffer
    _waiting = 0  # bytes that were taken since the client took no more
    _stream: Body | None = None

    def __init__(
        self,
        owner: AnswerOwner,
        client: ClientStream,
        response: Response,
        length: int = 0,
        announced: bytes = b"",
        encoded: bytes | None = None,
    ) -> None:
        """
        @param response: as plugins see it; an upstream's gets its body from here.
        @param length: of the upstream's body; 0 for an answer of a plugin's.
        @param announced: what Trailer says.
        @param encoded: the lines of C{response} as they are sent, as long as nobody changes any.
        """
        self._encoded = encoded
        self._owner = owner
        self._client = client
        self._code = response.code
        self.length = length
        self._announced = announced
        if response.upstream is not None:
            response.holder = self

    def openBody(self) -> Body:
        """L{twistproxy.messages.BodyHolder}."""
        if self._stream is None:
            self._stream = Body(self, RESPONSE_TOO_LARGE) if self.length else EMPTY
        return self._stream

    # From the upstream.

    def dataReceived(self, data: bytes) -> None:
        """A piece of the upstream's body. May raise what a body filter does."""
        stream = self.openBody()
        if stream is not EMPTY:
            stream.dataReceived(data)

    def ended(self, trailers: list[Item]) -> None:
        """The upstream's body is complete. May raise what a body filter does."""
        stream = self.openBody()
        if stream is not EMPTY:
            stream.allReceived(trailers)

    def failed(self, error: ProxyError) -> None:
        """It will not become complete: whoever reads it is told."""
        stream = self.openBody()
        if stream is not EMPTY:
            stream.failed(error)

    # To the client.

    def deliver(self, response: Response, toHead: bool, askedByHead: bool) -> bool:
        """Send C{response}, which is the upstream's as changed, or another in its place; flushing is the caller's business.
        May raise what a body filter does.

        @param toHead: whether the client asked by HEAD.
        @param askedByHead: whether the upstream was asked by HEAD, and so sends no body whatever it says of its length.
        @return: whether that is all there is to do here: the upstream's body, of which nothing came yet, is sent as it comes.
        """
        isUpstreams = response.holder is self and response.replacedBody is None
        if isUpstreams and self._stream is None and response.isUnseen and response.code == self._code and toHead == askedByHead:
            response.holder = _GONE
            self._client.sendHead(self._code, response.phrase, response.items, self.length, self._announced, self._encoded)
            return True
        length = 0 if askedByHead and not toHead else self.length
        body = deliver(response, self._client, toHead, length, self._announced)
        if body is EMPTY or not isUpstreams:
            self._drop()
        elif body is self._stream and body.isUntouched and not (response.filters or response.stages or response.buffer):
            body.source = None
            return True
        self._buffer = response.buffer
        body.attach(throughFilters(response, self, self))
        return False

    def _drop(self) -> None:
        """Whatever the upstream still sends goes nowhere."""
        stream, self._stream = self._stream, EMPTY
        if self.length and (stream is None or not (stream is EMPTY or stream.ended)):
            self._owner.answerUnwanted()

    def spliceBody(self, source: FlowSource, transport: Any, length: int) -> None:
        """L{twistproxy.bodies.body.BodySink}: never, as somebody may look at it."""

    def bodySpliced(self, size: int) -> None:
        """L{twistproxy.bodies.body.BodySink}: never."""

    def bodyReceived(self, data: bytes) -> None:
        """L{twistproxy.bodies.body.BodySink}."""
        self._owner.bodySent(len(data))
        self._client.sendData(data)
        if self._buffer and self._owner.isClientPaused:
            self._waiting += len(data)
            if self._waiting >= self._buffer:
                self._owner.pauseResponse()

    def clientPaused(self) -> bool:
        """The client takes no more for now.

        @return: whether the upstream may go on for a while, nevertheless.
        """
        self._waiting = 0
        return self._buffer > 0

    def bodyEnded(self, trailers: list[Item]) -> None:
        """L{twistproxy.bodies.body.BodySink}."""
        self._owner.answerDelivered(trailers)

    # As the source of the upstream's body.

    def bodyWanted(self) -> None:
        """L{twistproxy.bodies.body.BodySource}: an upstream needs no encouragement."""

    def pauseBody(self) -> None:
        """Nobody takes it yet, and it gets too long to be held."""
        self._owner.pauseResponse()

    def resumeBody(self) -> None:
        """It is wanted again."""
        self._owner.resumeResponse()

    # For the stages: twistproxy.bodies.stages.StagedBody, with the two above.

    def flush(self) -> None:
        """Write what was sent."""
        self._client.flush()

    def breakOff(self, error: ProxyError) -> None:
        """End the answer here."""
        self._owner.fail(error)
