"""One connection to an upstream: HTTP/1.1, one exchange at a time, then back to its pool.

It frames the request's body, reads the response, and tells whoever uses it. It decides nothing about retries or
statuses; it knows only whether it can be used again: both messages complete, no byte too many, nobody said close.
"""

from __future__ import annotations

import re
from ssl import SSLError
from typing import Any, Final
from typing import Protocol as Shape

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.errors import TLS_FAILURE, UPSTREAM_RESET, UPSTREAM_TIMEOUT, ProxyError
from twistproxy.messages import Item
from twistproxy.settings import Settings
from twistproxy.sweep import NEVER, Sweeper
from twistproxy.tls.errors import explainTLS
from twistproxy.transports.splicing import BULK, LONG, Flow, FlowSource, Splicer
from twistproxy.transports.tcp import hasInput, tune
from twistproxy.transports.writing import CLOSED, Writer, writerFor
from twistproxy.tunnels.tunnel import TunnelEnd
from twistproxy.wire.chunked import encodeChunk, encodeEnd
from twistproxy.wire.http1 import End, HeadMemory, ResponseHead, ResponseReader

_OF_CONNECTIONS: Final = re.compile(rb"\r\nauthorization: *(?:NTLM|Negotiate)\b", re.IGNORECASE)
"""Credentials of a connection and not of a request (RFC 4559 section 6): whoever came next on it would be the same user."""


class ConnectionUser(Shape):
    """Who uses a connection for one exchange, and is told what comes."""

    def informationReceived(self, head: ResponseHead) -> None:
        """A 1xx other than 101."""

    def responseReceived(self, head: ResponseHead) -> None:
        """The final head, or a 101."""

    def responseDataReceived(self, data: bytes) -> None:
        """A piece of the body."""

    def responseEnded(self, trailers: list[Item]) -> None:
        """The response is complete; the connection is in use no longer."""

    def segmentEnded(self) -> None:
        """All that came in at once was told: time to write."""

    def spliceResponse(self, source: FlowSource, transport: Any, length: int) -> Flow | None:
        """Have the kernel take so much of the body from C{transport} to where it goes, if that can be."""

    def responseSpliced(self, size: int) -> None:
        """The kernel has taken so much of the body."""

    def upstreamFailed(self, error: ProxyError, answered: bool) -> None:
        """The response will not become complete; the connection is gone.

        @param answered: whether any byte of a response had come.
        """

    def uploadPaused(self) -> None:
        """The upstream takes no more of the body for now."""

    def uploadResumed(self) -> None:
        """It does again."""


class ConnectionOwner(Shape):
    """The pool that a connection belongs to."""

    def connectionFree(self, connection: UpstreamConnection) -> None:
        """It can be used again."""

    def connectionGone(self, connection: UpstreamConnection) -> None:
        """It is closed, or about to be: it can be used no more."""


@implementer(IHalfCloseableProtocol, IHandshakeListener)
class UpstreamConnection(Protocol):
    """A connection, idle or in use.

    @ivar header: of the PROXY protocol, with which it began; empty for none.
    @ivar served: how many exchanges it has served before this one.
    @ivar made: fires with the connection when it is there, for whoever connects without an endpoint.
    @ivar secured: on a TLS connection, fires with the connection when the handshake is over.
    @ivar deadline: see L{twistproxy.sweep.Watched}.
    """

    transport: Any
    _writer: Writer
    deadline: float = NEVER
    _bulk = LONG  # received in large pieces since a response was spliced in vain; at first, its length is reason enough
    _flow: Flow | None = None  # what takes the response's body while the kernel moves it
    _upload: Flow | None = None  # what brings the request's, or did

    def __init__(
        self,
        owner: ConnectionOwner,
        settings: Settings,
        sweeper: Sweeper,
        memory: HeadMemory[ResponseHead] | None = None,
        header: bytes = b"",
    ) -> None:
        """
        @param memory: of response heads that came before.
        @param header: of the PROXY protocol, with which it begins.
        """
        self.header = header
        self._owner = owner
        self._settings = settings
        self._sweeper = sweeper
        self._reader = ResponseReader(settings, memory)
        self._user: ConnectionUser | None = None
        self._out: list[bytes] = []
        self._chunked = False
        self._requestSent = True
        self._answered = False
        self._readPaused = False
        self._writePaused = False
        self._closing = False
        self._left = False
        self._tunnel: TunnelEnd | None = None
        self.isLost = False
        self.served = 0
        self.made: Deferred[UpstreamConnection] | None = None
        self.secured: Deferred[UpstreamConnection] | None = None

    def __repr__(self) -> str:
        state = "closed" if self.isLost else "tunnel" if self._tunnel else "active" if self._user else "idle"
        return f"<UpstreamConnection {state} served={self.served}>"

    # From the transport.

    def connectionMade(self) -> None:
        """Nothing waits for Nagle, and the transport says when its buffer is full."""
        tune(self.transport, self._settings.tcpKeepAlive)
        self._writer = writerFor(self.transport, self)
        self._sweeper.watch(self)
        if self.header and not ISSLTransport.providedBy(self.transport):  # which has sent it before all of TLS
            self._writer.write([self.header])
        if self.made is not None:
            made, self.made = self.made, None
            made.callback(self)

    def handshakeCompleted(self) -> None:
        """TLS is up: whoever connected may have it."""
        if self.secured is not None:
            secured, self.secured = self.secured, None
            secured.callback(self)

    def dataReceived(self, data: bytes) -> None:
        """Bytes of a response, of a tunnel, or of nothing that was asked for."""
        if self._tunnel is not None:
            self._tunnel.dataReceived(data)
            return
        user = self._user
        if user is None:
            self.close()  # a byte that nobody asked for would be taken for the next answer
            return
        if not self._answered:
            self._answered = True
        reader = self._reader
        reader.receiveData(data)
        try:
            while True:
                event = reader.nextEvent()
                if event is None:
                    break
                if event.__class__ is bytes:
                    user.responseDataReceived(event)
                elif event.__class__ is ResponseHead:
                    if not self._headReceived(user, event):
                        return
                else:
                    self._ended(user, event)  # type: ignore[arg-type]
                    return
                if self._user is not user:
                    return
        except ProxyError as error:
            self._fail(error)
            return
        if not reader.isInHead:
            self._progressed()
        user.segmentEnded()
        if len(data) >= BULK:
            self._bulk += len(data)
            self._splice()

    # Bodies that the kernel moves.

    def _splice(self) -> bool:
        """Leave the rest of the response's body to the kernel, if it is long and that can be.

        @return: whether that was done.
        """
        length, user = self._reader.left, self._user
        if length < LONG or self._bulk < LONG or user is None or self._readPaused or not self._settings.splice:
            return False
        self._flow = flow = user.spliceResponse(self, self.transport, length)
        if flow is not None:
            flow.start()
        return flow is not None

    def spliceRequest(self, splicer: Splicer, source: FlowSource, transport: Any, length: int) -> Flow | None:
        """Have the kernel take so much of the request's body from C{transport}, if that can be."""
        if self._chunked or self._out or self.isLost:
            return None
        self._upload = splicer.begin(source, transport, self.transport, self._writer, length)
        return self._upload

    def flowMoved(self, size: int) -> None:
        """L{twistproxy.transports.splicing.FlowSource}."""
        self._reader.skip(size)
        if self._user is not None:
            self._user.responseSpliced(size)
        self._progressed()

    def flowEnded(self) -> None:
        """L{twistproxy.transports.splicing.FlowSource}."""
        self._flow = None
        self._bulk = 0 if self._reader.left else LONG
        if not self._readPaused:
            self.transport.resumeProducing()
        if self._user is not None and not self._reader.left:
            self._ended(self._user, self._reader.nextEvent())  # type: ignore[arg-type]

    def flowBroken(self, error: OSError) -> None:
        """L{twistproxy.transports.splicing.FlowSource}."""
        self._fail(ProxyError(UPSTREAM_RESET, "the connection was reset"))

    def _stopFlows(self) -> None:
        """The connection is about to close, or gone."""
        if self._flow is not None:
            self._flow.leave()
        if self._upload is not None:
            self._upload.leave(deliver=False)

    def _headReceived(self, user: ConnectionUser, head: ResponseHead) -> bool:
        """@return: whether there may be more to read."""
        if head.code == 101:
            self.pauseResponse()  # what follows is not HTTP, and nobody takes it before the tunnel is there
            user.responseReceived(head)
            return False
        if head.code < 200:
            user.informationReceived(head)
            return True
        user.responseReceived(head)
        if not head.keepAlive:
            self._closing = True
        return True

    def _progressed(self) -> None:
        if self._requestSent and not self._readPaused and not self._writePaused:
            self.deadline = self._sweeper.after(self._settings.upstreamTimeout)

    def _ended(self, user: ConnectionUser, end: End) -> None:
        self._user = None
        self.served += 1
        if not self._requestSent or self._writePaused:
            self.abort()
        elif self._closing or self._reader.buffered:
            self.close()
        else:
            if self._readPaused:
                self._readPaused = False
                self.transport.resumeProducing()
            self.deadline = NEVER
            self._owner.connectionFree(self)
        user.responseEnded(end.trailers)

    def readConnectionLost(self) -> None:
        """The upstream half-closed: the end of a tunnel's direction, or of the connection."""
        if self._tunnel is not None:
            self._tunnel.readConnectionLost()
        else:
            self._inputEnded(ConnectionDone())
            self.close()

    def writeConnectionLost(self) -> None:
        """Our half is closed, as a tunnel asked for."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is gone: tell the user, if there is one, and the pool."""
        self._stopFlows()
        self.isLost = True
        self.deadline = NEVER
        self._sweeper.forget(self)
        if self.secured is not None:
            secured, self.secured = self.secured, None
            secured.errback(reason)
        elif self._tunnel is not None:
            self._tunnel.connectionLost(reason)
        else:
            self._inputEnded(reason.value)
        self._leave()
        self._writer = CLOSED

    def _leave(self) -> None:
        if not self._left:
            self._left = True
            self._owner.connectionGone(self)

    def _inputEnded(self, reason: BaseException | None) -> None:
        user = self._user
        if user is None:
            return
        if isinstance(reason, ConnectionDone):
            try:
                end = self._reader.connectionClosed()
            except ProxyError as error:
                self._fail(error)
                return
            self._closing = True
            self._ended(user, end)
            return
        if isinstance(reason, ConnectionLost):
            self._fail(ProxyError(UPSTREAM_RESET, "the connection was reset"))
        else:
            kind = TLS_FAILURE if isinstance(reason, SSLError) else UPSTREAM_RESET
            self._fail(ProxyError(kind, explainTLS(reason)))

    # From the writer.

    def writingPaused(self) -> None:
        """Our buffer towards the upstream is full."""
        if not self._writePaused:
            self._writePaused = True
            self.deadline = self._sweeper.after(self._settings.upstreamTimeout)
            if self._user is not None:
                self._user.uploadPaused()

    def writingResumed(self) -> None:
        """It is empty again."""
        if self._writePaused:
            self._writePaused = False
            self.deadline = NEVER
            if self._requestSent and self._user is not None:
                self._awaitHead()
            if self._user is not None:
                self._user.uploadResumed()

    # From the user.

    def begin(self, user: ConnectionUser, head: bytes, toHead: bool, chunked: bool, settings: Settings) -> None:
        """Start an exchange. Nothing is written before C{flush}, so that head and first body bytes leave together.

        @param head: the request's, complete.
        @param toHead: whether its method is HEAD.
        @param chunked: whether its body is sent in the chunked coding.
        @param settings: whose timeouts hold for it.
        """
        self._user = user
        self._settings = settings
        self._chunked = chunked
        self._requestSent = self._answered = False
        self._closing = _OF_CONNECTIONS.search(head) is not None
        self._reader.expectResponse(toHead)
        self._out = [head]
        self.deadline = NEVER

    def sendData(self, data: bytes) -> None:
        """A piece of the request's body; not empty."""
        if self._chunked:
            self._out.extend(encodeChunk(data))
        else:
            self._out.append(data)

    def sendEnd(self, trailers: list[Item]) -> None:
        """The request is complete."""
        if self._chunked:
            self._out.append(encodeEnd(trailers))
        self._requestSent = True
        if not self._writePaused:
            self._awaitHead()

    def flush(self) -> None:
        """Write what was sent."""
        out = self._out
        if out:
            self._out = []
            self._writer.write(out)

    def _awaitHead(self) -> None:
        timeout = self._settings.upstreamHeadTimeout if self._reader.isInHead else self._settings.upstreamTimeout
        self.deadline = self._sweeper.after(timeout)

    def pauseResponse(self) -> None:
        """Read no more for now: the client takes nothing."""
        if not self._readPaused and not self.isLost:
            if self._flow is not None:
                self._flow.leave()
            self._readPaused = True
            self.deadline = NEVER
            self.transport.pauseProducing()

    def resumeResponse(self) -> None:
        """Read on."""
        if self._readPaused and not self.isLost:
            self._readPaused = False
            self.deadline = self._sweeper.after(self._settings.upstreamTimeout)
            if not self._splice():
                self.transport.resumeProducing()

    def hasEnded(self) -> bool:
        """Whether this connection, which is idle, was closed or sent something, and the reactor has yet to say so."""
        return hasInput(self.transport)

    def hold(self, user: ConnectionUser, settings: Settings) -> None:
        """Say nothing and read nothing until C{startTunnel}: the connection is for a CONNECT."""
        self._user = user
        self._settings = settings
        self.pauseResponse()

    def startTunnel(self, end: TunnelEnd) -> bytes:
        """Speak HTTP no longer: everything that comes is the tunnel's.

        @return: what came behind the head already.
        """
        self._user = None
        self._tunnel = end
        self.deadline = NEVER
        end.writer = self._writer
        if self._readPaused:
            self._readPaused = False
            self.transport.resumeProducing()
        return self._reader.takeBuffered()

    def abandon(self) -> None:
        """The user needs no more of this: cut the connection."""
        self._user = None
        self.abort()

    def breakOff(self) -> None:
        """The request ends here, incomplete: close once what there is of it is written."""
        self._user = None
        self.flush()
        self.close()

    # Ends.

    def _fail(self, error: ProxyError) -> None:
        user, self._user = self._user, None
        self.abort()
        if user is not None:
            user.upstreamFailed(error, self._answered)

    def deadlinePassed(self) -> None:
        """Idle for too long, or the upstream makes no progress."""
        self.deadline = NEVER
        if self._user is None:
            self.close()
            return
        if self._flow is not None and self._flow.isWaiting:
            self._progressed()  # not its fault
            return
        if self._writePaused:
            detail = "it takes no more of the request"
        else:
            detail = "no answer" if self._reader.isInHead else "the answer stopped"
        self._fail(ProxyError(UPSTREAM_TIMEOUT, detail))

    def close(self) -> None:
        """Close once everything is written; an idle connection leaves its pool now."""
        if not self.isLost:
            self._stopFlows()
            self._writer.stop()
            self.transport.loseConnection()
            self._leave()

    def abort(self) -> None:
        """Close at once."""
        if not self.isLost:
            self._stopFlows()
            self._writer.stop()
            self.transport.abortConnection()
            self._leave()
