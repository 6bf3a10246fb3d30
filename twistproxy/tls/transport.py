"""TLS over a Twisted transport, by the standard library's C{ssl} on memory.

Twisted's own TLS goes through pyOpenSSL and gathers writes until the next turn of the reactor. For a small request that
costs more than all of the proxy's other work, so this layer does what L{twistproxy.transports.writing} does for plain
connections: what is written is encrypted and sent at once, and what came in one segment is told in one piece.

Below it is any transport; above it any protocol, which sees an C{ISSLTransport}. A half-close is a C{close_notify}, and
exists in TLS 1.3 alone: C{endOutput}. C{loseWriteConnection} is only for closing gently. The end of a connection without
C{close_notify} is a L{ConnectionLost}, since it may be somebody else's doing (RFC 8446 section 6.1).
"""

from __future__ import annotations

from collections.abc import Iterable
from ssl import MemoryBIO, SSLContext, SSLError, SSLObject, SSLWantReadError, SSLZeroReturnError
from typing import Any, ClassVar, Final

from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, INegotiated, ISSLTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.tls.errors import explainTLS
from twistproxy.tls.sessions import LastSession
from twistproxy.transports.writing import HIGH_WATER, IWriterSource, Writer, WritingOwner, writerFor

_RECORD: Final = 16 << 10
"""Most plain bytes of a TLS record (RFC 8446 section 5.1)."""

_PLAIN_HTTP: Final = (
    b"HTTP/1.0 400 Bad Request\r\nContent-Type: text/plain\r\nConnection: close\r\n\r\n"
    b"This port speaks HTTPS: the address begins with https://\n"
)
"""For somebody who forgot the s: OpenSSL knows such a request when it sees one."""

_log: Final = Logger(namespace="twistproxy.error")


@implementer(ISSLTransport, INegotiated, IWriterSource, IHalfCloseableProtocol)
class SecureTransport(Protocol):
    """One connection's TLS: a protocol for the transport below, a transport for the protocol above.

    @ivar isSecure: whether the handshake is over.
    @ivar above: the protocol that speaks over this, until the connection is lost.
    @ivar isFull: whether too much was written that was not sent.
    """

    transport: Any

    def __init__(
        self,
        context: SSLContext,
        above: Any,
        serverName: str | None = None,
        isServer: bool = True,
        preamble: bytes = b"",
        sessions: LastSession | None = None,
    ) -> None:
        """
        @param above: the protocol that speaks over this.
        @param serverName: for a client, whose certificate the server has to have.
        @param preamble: what goes before all of TLS, as it is.
        @param sessions: for a client: where the session to resume is, and where the next is put.
        """
        self._above = self.above = above
        self._incoming = MemoryBIO()
        self._outgoing = MemoryBIO()
        self._ssl: SSLObject = context.wrap_bio(
            self._incoming, self._outgoing, isServer, serverName, None if sessions is None else sessions.of(context)
        )
        self._sessions = sessions
        self._isServer = isServer
        self._preamble = preamble
        self.isSecure = False
        self.isFull = False
        self._isClosing = False  # nothing more is written: our close_notify is sent, or there was no handshake
        self._isHalfClosed = False  # our close_notify is sent, and the peer's input still wanted
        self._isAborted = False
        self._inputEnded = False  # the peer's close_notify came
        self._reason: Failure | None = None
        self._early: list[bytes] = []
        self._earlyBytes = 0
        self._pauseWanted = False
        self._owner: WritingOwner | None = None
        self._producer: _ProducerOwner | None = None

    def __repr__(self) -> str:
        return f"<SecureTransport {'' if self.isSecure else 'in handshake, '}of {self._above!r}>"

    # From the transport below.

    def connectionMade(self) -> None:
        """The connection is there: the protocol above hears of it now, and of the handshake's end by
        C{handshakeCompleted}, if it listens."""
        self._raw: Writer = writerFor(self.transport, self)
        if self._preamble:
            self._raw.write([self._preamble])
        self._above.makeConnection(self)
        if not self._isServer and not self._isAborted:
            self._handshake()

    def dataReceived(self, data: bytes) -> None:
        """Part of the handshake, or records."""
        if self._isAborted or self._inputEnded:
            return
        self._incoming.write(data)
        if self.isSecure or self._handshake():
            self._deliver()

    def _handshake(self) -> bool:
        """@return: whether it is over."""
        try:
            self._ssl.do_handshake()
        except SSLWantReadError:
            self._flush()
            return False
        except SSLError as error:
            self._fail(error)
            return False
        self._flush()
        self.isSecure = True
        if self._early:
            early, self._early, held = self._early, [], self._earlyBytes
            self._encrypt(early)
            if held > HIGH_WATER:
                self.writingResumed()
        if self._pauseWanted:
            self.transport.pauseProducing()
        if IHandshakeListener.providedBy(self._above):
            self._above.handshakeCompleted()
        return not self._isAborted

    def _deliver(self) -> None:
        """Tell what came, all of it in one piece: the work per piece is more than that of joining them."""
        if self._inputEnded:
            return
        incoming, read = self._incoming, self._ssl.read
        pieces: list[bytes] = []
        failed: SSLError | None = None
        try:
            while True:
                piece = read(_RECORD)
                if not piece:
                    self._inputEnded = True
                    break
                pieces.append(piece)
                if not incoming.pending:
                    break
        except SSLWantReadError:
            pass
        except SSLZeroReturnError:
            self._inputEnded = True  # after ours
        except SSLError as error:
            failed = error
        if pieces:
            if self._sessions is not None:  # TLS 1.3 sends its tickets before the first bytes of an answer
                self._sessions.keep(self._ssl.context, self._ssl.session)
                self._sessions = None
            self._above.dataReceived(pieces[0] if len(pieces) == 1 else b"".join(pieces))
        if self._isAborted or self._above is None:
            return
        if self._outgoing.pending and not self._isClosing:
            self._flush()
        if failed is not None:
            self._fail(failed)
        elif self._inputEnded:
            self._endInput()

    def _endInput(self) -> None:
        """The peer says that it sends no more."""
        if not self._isClosing and IHalfCloseableProtocol.providedBy(self._above):
            self._above.readConnectionLost()
        else:
            self.loseConnection()

    def _fail(self, error: SSLError) -> None:
        """TLS cannot go on; the peer gets the alert that says why."""
        self._reason = Failure(error.with_traceback(None))  # whose frames know us
        self._isAborted = self._isClosing = True
        inHandshake = self._isServer and not self.isSecure
        if inHandshake:
            peer = getattr(self.transport.getPeer(), "host", "a client")
            _log.info("No TLS with {peer}: {reason}", peer=peer, reason=explainTLS(error))
            if error.reason == "HTTP_REQUEST":
                self._raw.write([_PLAIN_HTTP])
        self._flush()
        self._raw.stop()
        if inHandshake and hasattr(self.transport, "loseWriteConnection"):
            self.transport.loseWriteConnection()  # a client may have sent its request already: a reset would take the alert away
        else:
            self.transport.loseConnection()

    def readConnectionLost(self) -> None:
        """L{IHalfCloseableProtocol} of the transport below: the peer sends nothing more, not even records."""
        if not self._inputEnded and (self._isHalfClosed or not self._isClosing):
            self._reason = Failure(ConnectionLost("the connection was closed without close_notify"))
            self.abortConnection()
        else:
            self._raw.stop()
            self.transport.loseConnection()

    def writeConnectionLost(self) -> None:
        """L{IHalfCloseableProtocol} of the transport below: all was sent, after C{loseWriteConnection}."""
        if IHalfCloseableProtocol.providedBy(self._above):
            self._above.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is over: tell the protocol above why."""
        above, self._above = self._above, None
        del self.above
        self._isAborted = self._isClosing = True
        self._owner = self._producer = None
        del self._raw  # which knows us
        if self._reason is not None:
            reason = self._reason
        elif reason.check(ConnectionDone) is not None and not self.isSecure:
            reason = Failure(ConnectionLost("the connection was closed during the TLS handshake"))
        above.connectionLost(reason)

    # From the writer below.

    def writingPaused(self) -> None:
        """L{WritingOwner}: the buffer below is full."""
        self.isFull = True
        if self._owner is not None:
            self._owner.writingPaused()

    def writingResumed(self) -> None:
        """L{WritingOwner}: it is empty again."""
        self.isFull = False
        if self._owner is not None:
            self._owner.writingResumed()

    # For the protocol above: writing.

    def makeWriter(self, owner: WritingOwner) -> Writer:
        """L{IWriterSource}: encrypts and writes at once."""
        self._owner = owner
        return _SecureWriter(self)

    def encrypt(self, pieces: list[bytes]) -> None:
        """Send these; dropped once the connection is closing."""
        if self._isClosing:
            return
        if self.isSecure:
            self._encrypt(pieces)
            return
        before = self._earlyBytes
        self._early += pieces
        self._earlyBytes += sum(map(len, pieces))
        if before <= HIGH_WATER < self._earlyBytes:
            self.writingPaused()

    def _encrypt(self, pieces: list[bytes]) -> None:
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        size = len(data)
        if not size:
            return
        try:
            if size <= _RECORD:
                self._ssl.write(data)
            else:
                write, view, at = self._ssl.write, memoryview(data), 0
                while at < size:
                    at += write(view[at : at + _RECORD])
        except SSLError as error:
            self._fail(error)
            return
        self._raw.write([self._outgoing.read()])

    def _flush(self) -> None:
        if self._outgoing.pending:
            self._raw.write([self._outgoing.read()])

    def flush(self) -> None:
        """See L{Writer.flush}."""
        if self._above is not None:
            self._raw.flush()

    def handOver(self, owner: WritingOwner) -> bool:
        """See L{Writer.handOver}."""
        if self._above is None:
            return False
        self._owner = owner
        return self.isFull

    def release(self) -> None:
        """See L{Writer.stop}: C{owner} is told nothing more."""
        self._owner = None

    def reset(self) -> None:
        """See L{Writer.reset}."""
        if self._above is not None:
            self._isClosing = True
            self._raw.reset()

    def write(self, data: bytes) -> None:
        """As L{ITransport}."""
        self.encrypt([data])

    def writeSequence(self, data: Iterable[bytes]) -> None:
        """As L{ITransport}."""
        self.encrypt(list(data))

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """As L{IConsumer}, for push producers.

        @raise RuntimeError: if there is one already.
        @raise ValueError: for a pull producer.
        """
        if self._producer is not None:
            raise RuntimeError("there is a producer already")
        if not streaming:
            raise ValueError("a TLS connection takes push producers only")
        if self._above is None:
            producer.stopProducing()
            return
        self._producer = _ProducerOwner(producer)
        if self.handOver(self._producer):
            producer.pauseProducing()

    def unregisterProducer(self) -> None:
        """As L{IConsumer}."""
        if self._producer is not None and self._owner is self._producer:
            self._owner = None
        self._producer = None

    # For the protocol above: the rest.

    def pauseProducing(self) -> None:
        """As L{IPushProducer}; a handshake is ended first."""
        self._pauseWanted = True
        if self.isSecure:
            self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        """As L{IPushProducer}."""
        self._pauseWanted = False
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """As L{IPushProducer}."""
        self.loseConnection()

    def loseConnection(self) -> None:
        """Send what was written, then our C{close_notify}, and close; the peer's is not waited for."""
        if self._above is None:
            return
        self._sayClose()
        self._raw.stop()
        self.transport.loseConnection()

    def loseWriteConnection(self) -> None:
        """The same, but go on reading until the peer closes: its last words must not cost it ours."""
        if self._above is None:
            return
        self._sayClose()
        self._raw.stop()
        if hasattr(self.transport, "loseWriteConnection"):
            self.transport.loseWriteConnection()
        else:
            self.transport.loseConnection()

    @property
    def canEndOutput(self) -> bool:
        """Whether C{endOutput} ends but one direction: before TLS 1.3, a C{close_notify} ends both (RFC 5246 section 7.2.1)."""
        return self.isSecure and self._ssl.version() == "TLSv1.3"

    def endOutput(self) -> None:
        """Send what was written, then our C{close_notify}, and go on reading until the peer's (RFC 8446 section 6.1)."""
        if self._above is not None and not self._isClosing:
            self._sayClose()
            self._isHalfClosed = True

    def _sayClose(self) -> None:
        self._isHalfClosed = False
        if self._isClosing:
            return
        self._isClosing = True
        if self.isSecure:
            try:
                self._ssl.unwrap()
            except (SSLError, ValueError):
                pass  # the peer's close_notify has not come, and is not waited for
            self._flush()

    def abortConnection(self) -> None:
        """Cut the connection."""
        if self._above is not None:
            self._isAborted = self._isClosing = True
            self._raw.stop()
            self.transport.abortConnection()

    @property
    def disconnecting(self) -> bool:
        """Whether nothing more is written; not of any interface, but Twisted's own protocols ask for it."""
        return self._isClosing

    def getPeer(self) -> Any:
        """As L{ITransport}."""
        return self.transport.getPeer()

    def getHost(self) -> Any:
        """As L{ITransport}."""
        return self.transport.getHost()

    @property
    def negotiatedProtocol(self) -> bytes | None:
        """As L{INegotiated}: by ALPN."""
        name = self._ssl.selected_alpn_protocol()
        return None if name is None else name.encode("ascii")

    @property
    def isResumed(self) -> bool:
        """Whether the handshake resumed a session."""
        return bool(self._ssl.session_reused)

    @property
    def peerCertificateDER(self) -> bytes | None:
        """The peer's certificate, if it showed one that was verified."""
        return self._ssl.getpeercert(binary_form=True) if self.isSecure else None

    def getPeerCertificate(self) -> Any:
        """As L{ISSLTransport}: a pyOpenSSL certificate; None without one."""
        from OpenSSL import crypto

        der = self.peerCertificateDER
        return None if der is None else crypto.load_certificate(crypto.FILETYPE_ASN1, der)

    def getTcpNoDelay(self) -> bool:
        """As L{ITCPTransport}."""
        return bool(self.transport.getTcpNoDelay())

    def setTcpNoDelay(self, enabled: bool) -> None:
        """As L{ITCPTransport}; a UNIX socket has none."""
        if hasattr(self.transport, "setTcpNoDelay"):
            self.transport.setTcpNoDelay(enabled)

    def getTcpKeepAlive(self) -> bool:
        """As L{ITCPTransport}."""
        return bool(self.transport.getTcpKeepAlive())

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """As L{ITCPTransport}; a UNIX socket has none."""
        if hasattr(self.transport, "setTcpKeepAlive"):
            self.transport.setTcpKeepAlive(enabled)


class _SecureWriter:
    """The L{Writer} of a L{SecureTransport}."""

    __slots__ = ("_transport", "flush", "handOver", "reset", "stop", "write")

    isEmpty: ClassVar = False  # nobody may write past TLS

    def __init__(self, transport: SecureTransport) -> None:
        self._transport = transport
        self.write = transport.encrypt
        self.flush = transport.flush
        self.handOver = transport.handOver
        self.stop = transport.release
        self.reset = transport.reset

    @property
    def isFull(self) -> bool:
        """L{Writer.isFull}."""
        return self._transport.isFull

    def close(self) -> None:
        """L{Writer.close}."""
        transport = self._transport
        owner = transport._owner
        transport.release()
        if owner is not None:
            owner.writingPaused()
        transport.loseConnection()


class _ProducerOwner:
    """Tells a push producer about the buffer."""

    def __init__(self, producer: Any) -> None:
        self.writingPaused = producer.pauseProducing
        self.writingResumed = producer.resumeProducing
