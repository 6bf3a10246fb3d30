"""A client's connection: HTTP/1.1 and 1.0, one exchange after another, answers in the order of the requests.

It reads requests, frames answers, and keeps time: for a head, for a body, for idleness, for a client that takes nothing.
What is done about a request is the exchange's business.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.answers.errorpage import statusPhrase
from twistproxy.bodies.body import EMPTY, Body
from twistproxy.engine import Engine
from twistproxy.errors import CLIENT_TIMEOUT, ProxyError
from twistproxy.exchange.delivery import hasNoBody
from twistproxy.exchange.exchange import Exchange
from twistproxy.exchange.upgrade import isEndedByRefusal
from twistproxy.messages import Item
from twistproxy.server.framing import headEnd
from twistproxy.server.identifying import identityOf
from twistproxy.server.progress import ackedBytes, hasLeft
from twistproxy.server.proxied import ProxiedAddress
from twistproxy.server.refusing import sendPage
from twistproxy.server.upload import Upload
from twistproxy.sweep import NEVER
from twistproxy.tls.transport import SecureTransport
from twistproxy.transports.splicing import LONG, Flow, FlowSource
from twistproxy.transports.tcp import tune
from twistproxy.transports.writing import CLOSED, Writer, writerFor
from twistproxy.tunnels.tunnel import TunnelEnd, canHalfClose
from twistproxy.wire.chunked import encodeChunk, encodeEnd
from twistproxy.wire.guard import SWITCHED
from twistproxy.wire.http1 import End, RequestHead, RequestReader, encodeHead, encodeLines


@implementer(IHalfCloseableProtocol)
class ClientChannel(Protocol):
    """One client's connection, and the L{twistproxy.exchange.delivery.ClientStream} of its exchanges.

    @ivar identity: who the client is, from when it is connected.
    @ivar requestsDue: see L{twistproxy.limiting.connections.RequestRate}.
    @ivar deadline: see L{twistproxy.sweep.Watched}.
    """

    takesEncoded = True
    transport: Any
    _writer: Writer
    deadline: float = NEVER
    _exchange: Exchange | None = None
    _body: Body | None = None  # of the request that is being read, or was last
    _head: RequestHead | None = None
    _out: list[bytes]
    _chunked = False
    _untilClose = False
    _keepAlive = True
    _isReading = True
    _isProcessing = _writePaused = _noBody = False
    _closing = False  # an answer was the last: what still comes is dropped
    _dropped = 0
    _isLost = False
    _tunnel: TunnelEnd | None = None
    _headStarted = True  # the first head's time begins with the connection
    _bodyMark = 0
    _acked: int | None = None
    _upload: Upload | None = None  # of a long request
    requestsDue = 0.0

    def __init__(self, engine: Engine, peer: ProxiedAddress | None = None, isTransparent: bool = False) -> None:
        """
        @param peer: who the client is, where that is not the other end of the transport.
        @param isTransparent: whether the connection may have been redirected to us.
        """
        self._engine = engine
        self._isTransparent = isTransparent
        self._peer = peer
        self._reader = RequestReader(engine.settings, engine.requestHeads)
        self._out = []

    def __repr__(self) -> str:
        return f"<ClientChannel {self.identity.peer} {self._exchange!r}>"

    @property
    def isIdle(self) -> bool:
        """Whether it is between exchanges."""
        return self._exchange is None and self._tunnel is None

    # From the transport.

    def connectionMade(self) -> None:
        """A client is there; the head of its request has to follow."""
        transport, engine = self.transport, self._engine
        tune(transport, engine.settings.tcpKeepAlive)
        self._writer = writerFor(transport, self)
        self.identity = identityOf(engine, transport, self._peer, self._isTransparent)
        self.deadline = engine.sweeper.after(engine.settings.headTimeout)
        engine.sweeper.watch(self)
        engine.channels.add(self)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of requests, of a tunnel, or of a request that was answered already."""
        if self._tunnel is not None:
            self._tunnel.dataReceived(data)
        elif self._closing:
            self._drop(data)
        else:
            reader = self._reader
            reader.receiveData(data)
            if self._exchange is not None and reader.isDone:
                if reader.buffered > self._engine.settings.maxPipelinedBytes:
                    self._stopReading()
            else:
                self._process()

    def readConnectionLost(self) -> None:
        """The client half-closed: the end of a tunnel's direction; else it left, as for nginx and Go."""
        if self._tunnel is not None:
            self._tunnel.readConnectionLost()
        else:
            self._leave("it closed the connection")
            self._writer.stop()
            self._expectProgress()
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """Our half is closed, as we or a tunnel asked for: all was sent, and the client is done or has little time left."""
        if self._tunnel is None:
            self._acked = None
            self.deadline = self._engine.sweeper.after(self._engine.settings.lingerTimeout)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The client is gone: so is the reason for whatever is done for it."""
        self._isLost = True
        if self._upload is not None:
            self._upload.leave()
        self.deadline = NEVER
        self._engine.sweeper.forget(self)
        self._engine.channels.discard(self)
        if self._tunnel is not None:
            self._tunnel.connectionLost(reason)
        else:
            self._leave(reason.getErrorMessage() if self._exchange is not None else "")
        self._writer = CLOSED
        self._engine.channelGone()

    def _leave(self, detail: str) -> None:
        exchange, self._exchange = self._exchange, None
        self._closing = True
        if exchange is not None:
            exchange.clientLost(detail)

    # Reading requests.

    def _process(self) -> None:
        """Read what there is, until an exchange is under way whose request is complete or incomplete here."""
        if self._isProcessing:
            return
        self._isProcessing = True
        try:
            while not self._closing and not self._isLost:
                if self._exchange is not None:
                    if not self._readBody(self._exchange):
                        break
                    continue
                if self._writePaused:
                    break  # the client takes no answers: no new question either
                head = self._reader.nextEvent()
                if not isinstance(head, RequestHead):
                    self._awaitRequest()
                    break
                self._begin(head)
        except ProxyError as error:
            self._refuse(error)
        finally:
            self._isProcessing = False

    def _begin(self, head: RequestHead) -> None:
        """A head is complete: the rest of its segment is parsed before anybody hears of it."""
        engine, reader = self._engine, self._reader
        self._head = head
        self._keepAlive = head.keepAlive
        if head.length == 0:
            body = EMPTY
            reader.nextEvent()
        else:
            body = Body(self)
            self._upload = Upload(self, reader, body) if head.length >= LONG else None
            self._startReading()  # if it was read ahead, no further than here
        self._body = body
        exchange = self._exchange = Exchange(engine, self, head, self.identity, body)
        self.deadline = NEVER
        if body is not EMPTY:
            while (event := reader.nextEvent()) is not None:
                if isinstance(event, bytes):
                    body.dataReceived(event)
                elif isinstance(event, End):
                    body.allReceived(event.trailers)
            self._awaitBody()
        if engine.requestRate is not None:
            engine.requestRate.requestCame(self, engine.seconds())
        exchange.start()

    def _readBody(self, exchange: Exchange) -> bool:
        """@return: whether the exchange ended meanwhile, so that there may be more to do."""
        body, reader = self._body, self._reader
        assert body is not None
        while not reader.isDone and self._exchange is exchange and not self._closing:
            event = reader.nextEvent()
            if event is None:
                if self._upload is not None and self._upload.received():
                    continue
                break
            if isinstance(event, bytes):
                body.dataReceived(event)
            elif isinstance(event, End):
                self.deadline = NEVER
                self._startReading()  # no more than is read ahead of anybody
                body.allReceived(event.trailers)
        return self._exchange is not exchange

    def _awaitRequest(self) -> None:
        if self._reader.buffered:
            if not self._headStarted:
                self.deadline = self._engine.sweeper.after(self._engine.settings.headTimeout)
                self._headStarted = True
        elif self._engine.isDraining:
            self._close()
            return
        self._startReading()

    def _awaitBody(self) -> None:
        """Begin a stretch of time in which some of the body has to come; or, of who is not read, in which it may leave."""
        if not self._isReading:
            self.deadline = self._engine.sweeper.after(0)
        elif not self._reader.isDone and self._body is not None:
            self._bodyMark = self._body.size
            self.deadline = self._engine.sweeper.after(self._engine.settings.bodyTimeout)

    def _refuse(self, error: ProxyError) -> None:
        """What came cannot be read any further."""
        self._keepAlive = False
        if self._exchange is not None:
            self._exchange.clientFailed(error)
        else:
            sendPage(self, self._engine.refused(self.identity.peer, error))

    def _drop(self, data: bytes) -> None:
        self._dropped += len(data)
        if self._dropped > self._engine.settings.maxLingerBytes:
            self.transport.abortConnection()

    # Reading and not reading, as the source of a request's body.

    def bodyWanted(self) -> None:
        """A plugin reads the body: a client that waits for a 100 must not wait for the upstream's."""
        if self._head is not None and self._head.expectsContinue and self._body is not None and not self._body.size:
            self.sendInformation(100, b"Continue", [])

    def pauseBody(self) -> None:
        """Take no more of the request's body for now."""
        if self._upload is not None:
            self._upload.leave()
        self._stopReading()

    def resumeBody(self) -> None:
        """Take more."""
        self._startReading()
        if self._exchange is not None:
            self._awaitBody()
            if self._upload is not None:
                self._upload.splice()

    def uploadReturned(self, isBroken: bool) -> None:
        """L{twistproxy.server.upload.UploadOwner}."""
        if isBroken:
            self._leave("it reset the connection")
            self.abort()
        elif self._isReading and not self._isLost:
            self.transport.resumeProducing()
        if self._exchange is not None and not self._reader.left:
            self._process()

    def _stopReading(self) -> None:
        if self._isReading and not self._isLost:
            self._isReading = False
            self.transport.pauseProducing()
            if self._exchange is not None and not self._writePaused:
                self._awaitBody()

    def _startReading(self) -> None:
        if not self._isReading and not self._isLost:
            self._isReading = True
            self.transport.resumeProducing()

    # Writing answers: twistproxy.exchange.delivery.ClientStream.

    def sendInformation(self, code: int, phrase: bytes, items: list[Item]) -> None:
        """A 1xx, at once; HTTP/1.0 has none."""
        if self._head is not None and self._head.minor and not self._isLost:
            self._writer.write([encodeHead(b"HTTP/1.1 %d %b\r\n" % (code, phrase or statusPhrase(code)), items)])

    def sendHead(
        self, code: int, phrase: bytes, items: Sequence[Item], length: int, announced: bytes = b"", encoded: bytes | None = None
    ) -> None:
        """The head of the answer, framed for this client."""
        head = self._head
        minor, method = (1, b"") if head is None else (head.minor, head.method)
        self._noBody = hasNoBody(code, method == b"HEAD")
        self._chunked = False
        if length == SWITCHED:
            self._out.append(encodeHead(b"HTTP/1.1 %d %b\r\n" % (code, phrase), items))
            return
        if length < 0 and not self._noBody:
            self._chunked = minor > 0
            self._untilClose = not minor
        reader = self._reader
        isEnded = method == b"CONNECT" and isEndedByRefusal(code, reader.buffered)
        if isEnded or self._untilClose or not reader.isDone or self._engine.isDraining:
            self._keepAlive = False  # it may have been answered before it was complete
        isPlain = minor and self._keepAlive and not self._chunked
        end = b"\r\n" if isPlain else headEnd(minor, self._chunked, announced, self._keepAlive)
        lines = encodeLines(items) if encoded is None else encoded
        self._out.append(b"HTTP/1.1 %d %b\r\n%b%b" % (code, phrase, lines, end))

    def sendData(self, data: bytes) -> None:
        """A piece of the body."""
        if self._noBody or not data:
            return
        if self._chunked:
            self._out.extend(encodeChunk(data))
        else:
            self._out.append(data)

    def flush(self) -> None:
        """Write what was sent."""
        if self._out:
            out, self._out = self._out, []
            self._writer.write(out)

    def spliceAnswer(self, source: FlowSource, transport: Any, length: int) -> Flow | None:
        """L{twistproxy.exchange.delivery.ClientStream}."""
        isPlain = not (self._noBody or self._chunked or self._out or self._isLost or self._closing)
        return self._engine.splicer.begin(source, transport, self.transport, self._writer, length) if isPlain else None

    def sendEnd(self, trailers: list[Item]) -> None:
        """The answer is complete: on to the next request, or close."""
        if self._chunked and not self._noBody:
            self._out.append(encodeEnd(trailers))
        self.flush()
        self._exchange = self._body = self._upload = None
        if self._isLost:
            return
        if not self._keepAlive or not self._reader.isDone:
            self._close()
            return
        self._head = None
        self._reader.startNextMessage()
        self._headStarted = False
        if not self._writePaused:
            self.deadline = self._engine.sweeper.after(self._engine.settings.keepAliveTimeout)
        if self._reader.buffered or self._engine.isDraining or not self._isReading:
            self._process()

    def truncate(self) -> None:
        """The answer breaks off: close short of its length, without its last chunk, or, where only the close would end
        it, by a reset; but first let go what there is of it."""
        self.flush()
        self._writer.flush()
        self._exchange = None
        self._closing = True
        if self._isLost:
            return
        self._expectProgress()
        if self._untilClose:
            self._writer.reset()
        else:
            self._writer.stop()
            self.transport.loseConnection()

    def splice(self, end: TunnelEnd) -> bytes:
        """HTTP is over: everything is C{end}'s now.

        @return: what the client sent behind its request.
        """
        self._tunnel = end
        self._exchange = None
        self.deadline = NEVER
        end.writer = self._writer
        self._startReading()
        return self._reader.takeBuffered()

    def close(self) -> None:
        """Close once the exchange under way is over; an idle connection closes now."""
        if self.isIdle and not self._isLost and not self._closing:
            self._close()

    def abort(self) -> None:
        """Cut the connection."""
        if not self._isLost:
            self._writer.stop()
            self.transport.abortConnection()

    def _close(self) -> None:
        """Close after what was written, gently: a reset while the client still sends could cost it our answer."""
        self._closing = True
        self._exchange = None
        self._writePaused = False
        complete = (self._reader.isDone or not self._head) and not self._reader.buffered
        self._reader.takeBuffered()
        if complete or not (canHalfClose(self.transport) or isinstance(self.transport, SecureTransport)):
            self._acked = None
            self.deadline = self._engine.sweeper.after(self._engine.settings.sendTimeout)
            self._writer.close()
        else:
            self._writer.stop()
            self._expectProgress()
            self.transport.loseWriteConnection()
            self._startReading()

    # From the writer.

    def writingPaused(self) -> None:
        """Our buffer towards the client is full."""
        if not self._writePaused:
            self._writePaused = True
            self._expectProgress()
            if self._exchange is not None:
                self._exchange.clientPaused()

    def writingResumed(self) -> None:
        """It is empty again."""
        if not self._writePaused:
            return
        self._writePaused = False
        self.deadline = NEVER
        if self._exchange is not None:
            self._awaitBody()
            self._exchange.clientResumed()
        elif not self._closing:
            self.deadline = self._engine.sweeper.after(self._engine.settings.keepAliveTimeout)
            self._process()

    # Time.

    def deadlinePassed(self) -> None:
        """Whatever we wait for did not come."""
        exchange = self._exchange
        if self._closing or self._writePaused:
            self._checkProgress()
        elif exchange is not None:
            self._checkBody(exchange)
        elif self._headStarted and self._reader.buffered:
            self._refuse(ProxyError(CLIENT_TIMEOUT, "the head did not become complete"))
        else:
            self._close()

    def _expectProgress(self) -> None:
        """The client has to take something of what was written, every so often, unless the kernel has all of it."""
        self._acked = None if self._writer.isEmpty else ackedBytes(self.transport)
        self.deadline = self._engine.sweeper.after(self._engine.settings.sendTimeout)

    def _checkProgress(self) -> None:
        """Whether the client takes anything of its answer at all."""
        acked, before = ackedBytes(self.transport), self._acked
        if acked is not None and before is not None and acked > before:
            self._expectProgress()
        else:
            self._leave("it took nothing of its answer for too long")
            self.abort()

    def _checkBody(self, exchange: Exchange) -> None:
        """Whether enough of the request's body came since the last look, or the client is there at least."""
        body, settings = self._body, self._engine.settings
        self.deadline = NEVER
        if not self._isReading:
            self._awaitBody()
            if hasLeft(self.transport):
                self._leave("it closed the connection")
                self.abort()
            return
        if body is None or self._reader.isDone:
            return
        received = body.size - self._bodyMark
        isEnough = received and received >= settings.minBodyRate * settings.bodyTimeout
        if isEnough or (self._upload is not None and self._upload.isHeldUp):
            self._awaitBody()
            return
        self._keepAlive = False
        exchange.clientFailed(ProxyError(CLIENT_TIMEOUT, f"{received} bytes of the body in {settings.bodyTimeout:g} s"))
