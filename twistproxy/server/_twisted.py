"""Everything here that leans on private names of twisted.web: the one module to look at when Twisted changes them.

It has the two things that twisted.web offers no door to: a request's body while it arrives, and a connection that
stops to speak HTTP. tests/unit/server/test_twisted_contract.py fails, by name, when a new Twisted has moved something.
"""

# Every other line here calls a method of HTTPChannel, which has no annotations.
# mypy: allow-untyped-calls

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any, Protocol

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol as StreamProtocol
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel
from twisted.web.server import Request
from zope.interface import alsoProvides

from twistproxy.errors import BAD_REQUEST, ProxyError
from twistproxy.settings import Settings
from twistproxy.transports.writing import PlainWriter
from twistproxy.tunnels.tunnel import TunnelEnd, canHalfClose


class BodyReceiver(Protocol):
    """Who takes a request's body while it arrives."""

    def bodyArrived(self, data: bytes, ended: bool) -> None:
        """What one segment brought of it; perhaps nothing but its end."""

    def bodyBroken(self, error: ProxyError) -> None:
        """It is malformed: nothing more of it can be read."""


class IncomingBody:
    """A request's body on its way in: from the channel's decoder, segment by segment, to a receiver.

    @ivar ended: whether all of it was decoded.
    @ivar isBroken: whether it is malformed, and somebody is about to answer for that.
    @ivar length: as the channel understands the head; None for the chunked coding.
    """

    def __init__(self, channel: StreamingChannel, begin: Callable[[], None], length: int | None) -> None:
        """@param begin: hands the request to its resource, which calls C{start}."""
        self._channel = channel
        self._begin: Callable[[], None] | None = begin
        self._receiver: BodyReceiver | None = None
        self._pieces: list[bytes] = []
        self._endTold = False
        self.length = length
        self.ended = False
        self.isBroken = False

    def add(self, data: bytes) -> None:
        """A piece was decoded."""
        self._pieces.append(data)

    def segmentEnded(self) -> None:
        """What came at once was decoded to its end: time to tell of it."""
        if self._begin is not None:
            begin, self._begin = self._begin, None
            begin()
        elif self._pieces or (self.ended and not self._endTold):
            data = self._take()
            if self._receiver is not None:
                self._receiver.bodyArrived(data, self.ended)

    def _take(self) -> bytes:
        data, self._pieces = b"".join(self._pieces), []
        self._endTold = self.ended
        return data

    def start(self, receiver: BodyReceiver, settings: Settings) -> tuple[bytes, bool]:
        """Tell C{receiver} from now on.

        @param settings: for what is still read of it once the request was answered.
        @return: what came with the head, and whether that is all.
        """
        self._receiver = receiver
        self._channel.lingerTimeout = settings.lingerTimeout
        self._channel.maxLingerBytes = settings.maxLingerBytes
        return self._take(), self.ended

    def stop(self) -> None:
        """Nobody is to be told any more."""
        self._receiver = None

    def refuse(self, error: ProxyError) -> bool:
        """The decoder gave up.

        @return: whether anybody answers the client for that.
        """
        self._begin = None
        if self._receiver is None:
            return False
        receiver, self._receiver = self._receiver, None
        self.isBroken = True
        receiver.bodyBroken(error)
        return True

    def pause(self) -> None:
        """Read no more of it for now."""
        self._channel.pauseBody()

    def resume(self) -> None:
        """Read on."""
        self._channel.resumeBody()


class StreamingRequest(Request):
    """A request of a L{twistproxy.server.resource.StreamingSite}.

    @ivar rawHead: its head as it came, from the request line to the blank line; empty under HTTP/2.
    @ivar incoming: its body, when that is streamed; else None, and all is as in L{Request}.
    """

    rawHead = b""
    incoming: IncomingBody | None = None

    def gotLength(self, length: int | None) -> None:
        """A streamed body is not spooled."""
        if self.incoming is None:
            super().gotLength(length)
        else:
            self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """A piece of the body."""
        if self.incoming is None:
            super().handleContentChunk(data)
        else:
            self.incoming.add(data)

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """The body is complete; a request whose body is streamed was processed long before."""
        if self.incoming is None:
            self.begin(command, path, version)
        else:
            self.incoming.ended = True

    def begin(self, command: bytes, path: bytes, version: bytes) -> None:
        """Process it, with as much body as there is."""
        super().requestReceived(command, path, version)


class StreamingChannel(HTTPChannel):
    """An HTTP/1.1 connection whose requests can be processed before their body is there.

    Its site says which: those whose target leads to a proxy. All others are L{HTTPChannel}'s.

    @ivar lingerTimeout: seconds for which the rest of a request is read and dropped that was answered before its end.
    @ivar maxLingerBytes: at most this much is.
    """

    lingerTimeout = 5.0
    maxLingerBytes = 256 << 10
    site: Any
    transport: Any
    _command: bytes
    _path: bytes
    _version: bytes
    _head = b""
    _incoming: IncomingBody | None = None
    _idleTimeout: float | None = None
    _bodyPaused = False
    _parsing = False
    _telling = False
    _putBack = b""
    _inHead = False  # some of a head has come
    _hasMore = False  # the client still sends a body that nobody wants
    _dropped = 0
    _isDropping = False

    def __init__(self) -> None:
        super().__init__()
        self._lines: list[bytes] = []

    # Reading.

    def dataReceived(self, data: bytes) -> None:
        """Have a segment parsed to its end, then tell the request about it."""
        if self._isDropping or (self._incoming is not None and self._incoming.isBroken):
            self._drop(len(data))
            return
        if self._telling:
            self._putBack += data  # what the channel had read ahead; a recursion for each would be too deep
            return
        if self._parsing:
            super().dataReceived(data)
            return
        while True:
            self._parsing = True
            try:
                super().dataReceived(data)
            finally:
                self._parsing = False
            if self._incoming is None:
                return
            self._telling = True
            try:
                self._incoming.segmentEnded()
            finally:
                self._telling = False
            data, self._putBack = self._putBack, b""
            if not data:
                return

    def lineReceived(self, line: bytes) -> None:
        """Keep the lines of the head as they are; L{HTTPChannel} takes them apart."""
        if line:
            self._lines.append(line)
        elif self._lines:
            self._head = b"\r\n".join([*self._lines, b"", b""])
            self._lines = []
        super().lineReceived(line)

    def resetTimeout(self) -> None:
        """Bytes came. Those of a head do not put off its end: one byte a minute would hold a connection for ever."""
        if not self._inHead:
            super().resetTimeout()
            self._inHead = bool(self.line_mode)

    def headerReceived(self, line: bytes) -> bool:
        """A header line; a Content-Length of thousands of digits, which L{HTTPChannel} trips over, is refused."""
        try:
            return bool(super().headerReceived(line))
        except ValueError:
            self._respondToBadRequestAndDisconnect()
            return False

    def allHeadersReceived(self) -> None:
        """The head is complete: decide who gets the body, and when."""
        self._inHead = False
        request = self.requests[-1]
        if isinstance(request, StreamingRequest):
            request.rawHead, self._head = self._head, b""
            command, target, version = self._command, self._path, self._version
            path = self.site.proxiedTarget(command, target, request.getHeader(b"host") or b"")
            if path is not None:
                self._path = path
                if self.length != 0:
                    self._stream(request, lambda: request.begin(command, path, version))
                    return
        super().allHeadersReceived()

    def _stream(self, request: StreamingRequest, begin: Callable[[], None]) -> None:
        """As L{HTTPChannel.allHeadersReceived}, but without a 100, which is the upstream's to send, and without the
        idle timeout, which would fell an upload that waits for its upstream."""
        self._incoming = request.incoming = IncomingBody(self, begin, self.length)
        request.parseCookies()
        self.persistent = self.checkPersistence(request, self._version)
        request.gotLength(self.length)
        self._idleTimeout = self.setTimeout(None)

    def allContentReceived(self) -> None:
        """The body is complete."""
        if self._incoming is not None:
            self.setTimeout(self._idleTimeout)
        super().allContentReceived()

    def _respondToBadRequestAndDisconnect(self) -> None:
        """Nothing more can be read; if the request was begun, its answer is not ours to write."""
        incoming = self._incoming
        if incoming is None or not incoming.refuse(ProxyError(BAD_REQUEST, "a malformed chunk")):
            super()._respondToBadRequestAndDisconnect()

    # Backpressure.

    def pauseBody(self) -> None:
        """Read no more of the body that is being streamed."""
        if not self._bodyPaused:
            self._bodyPaused = True
            self.transport.pauseProducing()

    def resumeBody(self) -> None:
        """Read on."""
        if self._bodyPaused:
            self._bodyPaused = False
            self.transport.resumeProducing()

    def resumeProducing(self) -> None:
        """The client takes more of an answer: no reason to read more of a body that is paused."""
        super().resumeProducing()
        if self._bodyPaused:
            self.transport.pauseProducing()

    # Ends.

    def requestDone(self, request: Any) -> None:
        """A request was answered; if its body is not complete, the connection is of no more use."""
        incoming = getattr(request, "incoming", None)
        if incoming is not None and not incoming.ended:
            self.persistent = False
            self._hasMore = True
        self._incoming = None
        self._bodyPaused = False
        super().requestDone(request)

    def loseConnection(self) -> None:
        """Close; where the client is still sending, gently, as a reset could cost it our answer."""
        incoming = self._incoming
        if self._isDropping:
            return
        if not (self._hasMore or (incoming is not None and not incoming.ended)) or not canHalfClose(self.transport):
            super().loseConnection()
            return
        self._isDropping = True
        self.transport.unregisterProducer()
        self.transport.loseWriteConnection()
        self.transport.resumeProducing()
        self.setTimeout(self.lingerTimeout)

    def _drop(self, size: int) -> None:
        self._dropped += size
        if self._dropped > self.maxLingerBytes:
            self.transport.abortConnection()

    def timeoutConnection(self) -> None:
        """An idle client, or one that never ends what nobody wants."""
        if self._isDropping:
            self.transport.abortConnection()
        else:
            super().timeoutConnection()


class _Spliced(StreamProtocol):
    """What a channel does once HTTP is over: the tunnel has its bytes, itself only its own end."""

    def __init__(self, channel: HTTPChannel, end: TunnelEnd, ended: Callable[[], None]) -> None:
        self._channel = channel
        self._end = end
        self._ended = ended

    def dataReceived(self, data: bytes) -> None:
        self._end.dataReceived(data)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._end.connectionLost(reason)
        self._ended()
        type(self._channel).connectionLost(self._channel, reason)


def speaksHttp1(request: Any) -> bool:
    """Whether a request came over HTTP/1: only there is its channel a connection."""
    return isinstance(request.channel, HTTPChannel)


def takeOver(request: Any, end: TunnelEnd, ended: Callable[[], None]) -> bytes:
    """Have everything that the client of a request sends from now on go to C{end}, as twisted.web's own WebSockets do.

    @param request: one for which L{speaksHttp1} holds.
    @param ended: called when the connection is lost, while the request still has it.
    @return: what the client sent behind its request.
    """
    channel, transport = request.channel, request.transport
    request.unregisterProducer()
    channel.setTimeout(None)
    transport.unregisterProducer()
    end.writer = PlainWriter(transport, end)
    early: bytes = b"".join(channel._dataBuffer) + channel.clearLineBuffer()
    channel._dataBuffer = []
    channel._protocolUpgradeForWebsockets(_Spliced(channel, end, ended))
    protocol: Any = getattr(transport, "protocol", None)
    if protocol is channel or getattr(protocol, "_channel", None) is channel:
        # Twisted asks the protocol itself whether it can be half closed, and HTTPChannel cannot.
        protocol.readConnectionLost = end.readConnectionLost
        protocol.writeConnectionLost = lambda: None
        alsoProvides(protocol, IHalfCloseableProtocol)
    transport.resumeProducing()
    return early
