"""A request of twisted.web as the client's side of an exchange: what the engine asks of a stream, said to a L{Request}.

The head is checked by the same guard as on the proxy's own channel; twisted.web lets through what a proxy must not
forward. An answer goes through the request's own methods, so that what wraps a resource (encoders, sessions, logs) still
does. What is lost on the way is in docs/how-to/embedding.md.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from attrs import evolve
from twisted.internet.interfaces import IPushProducer, ISSLTransport
from twisted.python.failure import Failure
from twisted.web.server import version as SERVER
from zope.interface import implementer

from twistproxy.answers.errorpage import statusPhrase
from twistproxy.bodies.body import EMPTY, Body
from twistproxy.errors import CLIENT_TIMEOUT, INTERNAL, ProxyError
from twistproxy.exchange.delivery import hasNoBody
from twistproxy.exchange.exchange import Exchange
from twistproxy.messages import Item, Response
from twistproxy.server._twisted import IncomingBody, speaksHttp1, takeOver
from twistproxy.server.progress import ackedBytes, hasLeft
from twistproxy.server.refusing import sendPage
from twistproxy.server.webrequest import SpooledBody, headOf
from twistproxy.sweep import NEVER
from twistproxy.tls.client import ConnectionCertificate
from twistproxy.transports.splicing import FlowSource
from twistproxy.tunnels.tunnel import TunnelEnd
from twistproxy.wire.guard import CHUNKED, bad
from twistproxy.wire.http1 import RequestHead, encodeHead

if TYPE_CHECKING:
    from twistproxy.engine import Engine

_JOINED: Final = 32 << 10
"""Pieces of an answer up to this size together are written as one: one chunk instead of many."""

_OF_SPOOLED: Final = frozenset({b"transfer-encoding", b"content-length", b"trailer", b"expect"})


class _Source(Protocol):
    """Where the body comes from."""

    def stop(self) -> None:
        """It is wanted no more."""

    def pause(self) -> None:
        """No more of it for now."""

    def resume(self) -> None:
        """Go on."""


@implementer(IPushProducer)
class WebStream:
    """One request of twisted.web, and the L{twistproxy.exchange.delivery.ClientStream} of its exchange.

    @ivar deadline: see L{twistproxy.sweep.Watched}.
    """

    takesEncoded = False
    deadline: float = NEVER
    _exchange: Exchange | None = None
    _source: _Source | None = None
    _head: RequestHead | None = None
    _body: Body = EMPTY
    _bodyMark = 0
    _isReading = True
    _keepAlive = True
    _noBody = False
    _headPending = False
    _isSwitching = False
    _writePaused = False
    _acked: int | None = None
    _isOver = False  # the answer is complete, or nobody is there to get it
    _isLost = False

    def __init__(self, engine: Engine, request: Any, path: bytes) -> None:
        """@param path: what to ask the upstream for, in place of the request's own path."""
        self._engine = engine
        self._request = request
        self._path = path
        self._channel = request.channel
        self._isHttp1 = speaksHttp1(request)
        self._incoming: IncomingBody | None = getattr(request, "incoming", None)
        self._out: list[bytes] = []

    def __repr__(self) -> str:
        return f"<WebStream {self._request!r} {self._exchange!r}>"

    # The request.

    def start(self) -> None:
        """Check the request, and begin its exchange."""
        request, engine = self._request, self._engine
        request.notifyFinish().addCallbacks(self._finished, self._lost)
        request.registerProducer(self, True)
        engine.channels.add(self)
        engine.sweeper.watch(self)
        identity = engine.identify(request.getClientAddress(), "https" if request.isSecure() else "http")
        if ISSLTransport.providedBy(request.transport):
            identity = evolve(identity, certificate=ConnectionCertificate(request.transport))
        try:
            self._head = head = headOf(request, engine.settings)
            self._keepAlive = head.keepAlive
            self._checkLength(head)
            body = self._openBody(head)
        except ProxyError as error:
            accept: bytes = self._request.getHeader(b"accept") or b""
            self._refuse(engine.refused(identity.peer, error, accept.decode("latin-1")))
            return
        self._exchange = exchange = Exchange(engine, self, head, identity, body)
        if head.method != b"CONNECT":
            exchange.outbound.path = self._path
        exchange.start()

    def _checkLength(self, head: RequestHead) -> None:
        """Whether the guard reads the same framing in the head as the channel that decodes the body, and likes it."""
        if self._incoming is not None:
            length = CHUNKED if self._incoming.length is None else self._incoming.length
            if length != head.length:
                raise bad("the length of the body is not clear")
        else:
            self._spooled = SpooledBody(self._request.content, self._engine.reactor, self._spoolFailed)
            length = self._spooled.left
            if head.length not in (length, CHUNKED) and self._isHttp1:
                raise bad("the length of the body is not clear")

    def _openBody(self, head: RequestHead) -> Body:
        if self._incoming is not None:
            head.replaceItems([item for item in head.items if item[0] != b"trailer"])  # the channel drops them
            self._source = self._incoming
            self._body = body = Body(self)
            data, ended = self._incoming.start(self, self._engine.settings)
            self._bodyArrived(data, ended)
            self._awaitBody()
            return body
        length = self._spooled.left
        if not length and not head.length:
            return EMPTY
        # Its length is known now, whatever its framing was, and a client that waited for a 100 got one.
        items = [item for item in head.items if item[0] not in _OF_SPOOLED]
        head.replaceItems([*items, (b"content-length", b"Content-Length", b"%d" % length)])
        head.length = length
        head.expectsContinue = False
        if not length:
            return EMPTY
        self._source = self._spooled
        self._body = body = Body(self)
        self._spooled.begin(body)
        return body

    def bodyArrived(self, data: bytes, ended: bool) -> None:
        """L{twistproxy.server._twisted.BodyReceiver}: what a segment brought."""
        try:
            self._bodyArrived(data, ended)
        except ProxyError as error:
            self._clientFailed(error)

    def _bodyArrived(self, data: bytes, ended: bool) -> None:
        body = self._body
        if data:
            body.dataReceived(data)
        if ended:
            if not self._writePaused:
                self.deadline = NEVER
            body.allReceived([])
            if not self._isReading:
                self.resumeBody()  # no more than is read ahead of anybody

    def bodyBroken(self, error: ProxyError) -> None:
        """L{twistproxy.server._twisted.BodyReceiver}: the rest cannot be read."""
        self._clientFailed(error)

    def _clientFailed(self, error: ProxyError) -> None:
        self._keepAlive = False
        if self._exchange is not None:
            self._exchange.clientFailed(error)

    def _spoolFailed(self) -> None:
        self._clientFailed(ProxyError(INTERNAL, "the spooled body is shorter than it was"))

    @property
    def _isBodyComplete(self) -> bool:
        return self._incoming is None or self._body.ended

    def _refuse(self, page: Response) -> None:
        """Answer what is no request that could be sent on."""
        self._keepAlive = False
        sendPage(self, page)

    # As the source of the request's body.

    def bodyWanted(self) -> None:
        """A plugin reads the body: a client that waits for a 100 must not wait for the upstream's."""
        if self._head is not None and self._head.expectsContinue and not self._body.size:
            self.sendInformation(100, b"Continue", [])

    def pauseBody(self) -> None:
        """Take no more of the request's body for now."""
        if self._isOver:
            return
        self._isReading = False
        if self._source is not None:
            self._source.pause()
        if not self._writePaused:
            self._awaitBody()

    def resumeBody(self) -> None:
        """Take more."""
        if self._isOver:
            return
        self._isReading = True
        if self._source is not None:
            self._source.resume()
            self._awaitBody()

    def _awaitBody(self) -> None:
        """Begin a stretch of time in which some of the body has to come; or, of who is not read, in which it may leave."""
        if not self._isReading and not self._writePaused:
            self.deadline = self._engine.sweeper.after(0)
        elif not self._isBodyComplete and not self._writePaused:
            self._bodyMark = self._body.size
            self.deadline = self._engine.sweeper.after(self._engine.settings.bodyTimeout)

    # The answer: twistproxy.exchange.delivery.ClientStream.

    @property
    def transport(self) -> Any:
        """The client's transport, for a tunnel."""
        return self._request.transport

    def sendInformation(self, code: int, phrase: bytes, items: list[Item]) -> None:
        """A 1xx, at once, where it can be sent: not to HTTP/1.0, and not through twisted.web's HTTP/2.

        A 100 goes only to a client whose body is streamed: twisted.web has sent its own to any other.
        """
        if self._isOver or self._head is None or not self._head.minor or not self._isHttp1:
            return
        if code != 100 or self._incoming is not None:
            self._channel.write(encodeHead(b"HTTP/1.1 %d %b\r\n" % (code, phrase or statusPhrase(code)), items))

    def sendHead(
        self, code: int, phrase: bytes, items: Sequence[Item], length: int, announced: bytes = b"", encoded: bytes | None = None
    ) -> None:
        """The head of the answer. What the upstream says replaces what is set already; twisted.web's own Server, Date
        and Content-Type go, what others have set stays."""
        if self._isOver:
            return
        if code == 101:
            self._isSwitching = True
            self._request.code = code
            self._out.append(encodeHead(b"HTTP/1.1 101 %b\r\n" % phrase, items))
            return
        request = self._request
        self._noBody = hasNoBody(code, request.method == b"HEAD")
        request.setResponseCode(code, phrase)
        request.defaultContentType = None
        headers = request.responseHeaders
        headers.removeHeader(b"date")
        if headers.getRawHeaders(b"server") == [SERVER]:
            headers.removeHeader(b"server")
        values: dict[bytes, list[bytes]] = {}
        for lower, _, value in items:
            values.setdefault(lower, []).append(value)
        if request.cookies:
            request.cookies[:0] = values.pop(b"set-cookie", [])
        for lower, each in values.items():
            headers.setRawHeaders(lower, each)
        isConnect = request.method == b"CONNECT"  # see twistproxy.exchange.upgrade.isEndedByRefusal
        if not self._keepAlive or not self._isBodyComplete or self._engine.isDraining or isConnect:
            self._closeAfterwards()
        self._headPending = True

    def _closeAfterwards(self) -> None:
        self._keepAlive = False
        if self._isHttp1:
            self._request.responseHeaders.setRawHeaders(b"connection", [b"close"])
            self._channel.persistent = False

    def sendData(self, data: bytes) -> None:
        """A piece of the body."""
        if data and not self._noBody:
            self._out.append(data)

    def flush(self) -> None:
        """Write what was sent."""
        out = self._out
        if self._isOver or not (out or self._headPending):
            return
        self._out = []
        if self._isSwitching:
            self._channel.writeSequence(out)
            return
        self._headPending = False
        if len(out) > 1 and sum(map(len, out)) <= _JOINED:
            out = [b"".join(out)]
        for piece in out or [b""]:
            self._request.write(piece)

    def sendEnd(self, trailers: list[Item]) -> None:
        """The answer is complete; twisted.web has no way to send trailers."""
        self.flush()
        if not self._isOver:
            self._stop()
            self._request.unregisterProducer()
            self._request.finish()

    def truncate(self) -> None:
        """The answer breaks off: close short of its length, without its last chunk, or, where only the close would end
        it, by a reset."""
        self.flush()
        if self._isOver:
            return
        self._stop()
        self._request.unregisterProducer()
        if not self._isHttp1:
            self._channel.abortConnection()
        elif self._isUntilClose:
            self.transport.abortConnection()
        else:
            self.deadline = self._engine.sweeper.after(self._engine.settings.sendTimeout)
            self._channel.loseConnection()

    @property
    def _isUntilClose(self) -> bool:
        """Whether only the close of the connection ends the answer."""
        return not self._request.chunked and not self._request.responseHeaders.hasHeader(b"content-length")

    def spliceAnswer(self, source: FlowSource, transport: Any, length: int) -> None:
        """L{twistproxy.exchange.delivery.ClientStream}: never, as twisted.web's transports are its own."""

    def splice(self, end: TunnelEnd) -> bytes:
        """HTTP is over: everything is C{end}'s now.

        @return: what the client sent behind its request.
        """
        self._stop()
        return takeOver(self._request, end, self._logTunnel)

    def _logTunnel(self) -> None:
        """The line in the Site's log that C{finish} writes for any other request."""
        factory = getattr(self._channel, "factory", None)
        if factory is not None:
            if self._exchange is not None:
                self._request.sentLength = self._exchange.bytesOut
            factory.log(self._request)

    # Ends.

    def _stop(self) -> None:
        """The exchange is over, as far as the client is concerned."""
        self._isOver = True
        self.deadline = NEVER
        self._out = []
        if self._source is not None:
            self._source.stop()

    def _finished(self, result: object) -> None:
        """The answer was handed over, or the connection of a tunnel or of a broken answer is gone."""
        self._isLost = True
        self.deadline = NEVER
        self._engine.sweeper.forget(self)
        self._engine.channels.discard(self)
        self._engine.channelGone()

    def _lost(self, reason: Failure) -> None:
        """The client is gone."""
        if not self._isOver:
            self._stop()
            if self._exchange is not None:
                self._exchange.clientLost(reason.getErrorMessage())
        self._finished(None)

    def close(self) -> None:
        """L{twistproxy.engine.ClientConnection}: the connection is the Site's; it closes after this answer."""

    def abort(self) -> None:
        """Cut the connection, or, under HTTP/2, the stream."""
        if not self._isLost:
            (self.transport if self._isHttp1 else self._channel).abortConnection()

    # As the producer of the answer.

    def pauseProducing(self) -> None:
        """The client takes no more for now; told at every write while that is so."""
        if not self._writePaused and not self._isOver:
            self._writePaused = True
            self._acked = ackedBytes(self.transport)
            self.deadline = self._engine.sweeper.after(self._engine.settings.sendTimeout)
            if self._exchange is not None:
                self._exchange.clientPaused()

    def resumeProducing(self) -> None:
        """It takes more."""
        if self._writePaused and not self._isOver:
            self._writePaused = False
            self.deadline = NEVER
            self._awaitBody()
            if self._exchange is not None:
                self._exchange.clientResumed()

    def stopProducing(self) -> None:
        """The connection is lost; C{notifyFinish} tells."""

    # Time.

    def deadlinePassed(self) -> None:
        """Whatever we wait for did not come."""
        self.deadline = NEVER
        if self._isOver:
            self.abort()
        elif self._writePaused:
            self._checkProgress()
        else:
            self._checkBody()

    def _checkProgress(self) -> None:
        """Whether the client takes anything of its answer at all."""
        acked = ackedBytes(self.transport)
        if acked is not None and self._acked is not None and acked > self._acked:
            self._acked = acked
            self.deadline = self._engine.sweeper.after(self._engine.settings.sendTimeout)
            return
        self._stop()
        if self._exchange is not None:
            self._exchange.clientLost("it took nothing of its answer for too long")
        self.abort()

    def _checkBody(self) -> None:
        """Whether enough of the request's body came since the last look, or the client is there at least."""
        if not self._isReading and not self._isOver:
            self._awaitBody()
            if hasLeft(self.transport):
                self.abort()
            return
        if self._isBodyComplete:
            return
        settings = self._engine.settings
        received = self._body.size - self._bodyMark
        if received and received >= settings.minBodyRate * settings.bodyTimeout:
            self._awaitBody()
        else:
            self._clientFailed(ProxyError(CLIENT_TIMEOUT, f"{received} bytes of the body in {settings.bodyTimeout:g} s"))
