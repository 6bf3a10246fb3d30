"""Connections that begin with a header of the PROXY protocol, from senders that are listed; below TLS, above the transport.

Who is not listed is served as it is: what it sends for a header is a malformed request to us. Who is listed has to send
one, since a sender that may or may not tell would pass on what its clients make up.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import field, frozen
from twisted.internet.interfaces import IAddress, IHalfCloseableProtocol, IProtocolFactory
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import alsoProvides, implementer

from twistproxy.engine import Engine
from twistproxy.sweep import NEVER
from twistproxy.text.networks import Network, NetworkSet
from twistproxy.wire.proxyprotocol import ProxyHeader, ProxyHeaderError, ProxyHeaderReader

_log: Final = Logger(namespace="twistproxy.error")


@implementer(IAddress)
@frozen
class ProxiedAddress:
    """A peer as the PROXY protocol tells it, for C{buildProtocol}.

    @ivar host: empty for a UNIX socket.
    @ivar header: all that was told.
    """

    host: str
    port: int
    header: ProxyHeader = field(eq=False)

    @property
    def isSecure(self) -> bool:
        """Whether the client spoke TLS to the sender."""
        return self.header.isSecure


class ProxyProtocolFactory(Factory):
    """Puts the reading of a header in front of another factory's protocols."""

    noisy = False

    def __init__(self, engine: Engine, senders: tuple[Network, ...], factory: IProtocolFactory) -> None:
        """@param senders: who sends a header."""
        self._engine = engine
        self._senders = NetworkSet(senders)
        self._factory: Any = factory

    def doStart(self) -> None:
        """As L{IProtocolFactory}."""
        self._factory.doStart()

    def doStop(self) -> None:
        """As L{IProtocolFactory}."""
        self._factory.doStop()

    def buildProtocol(self, addr: Any) -> Any:
        """A protocol that reads the header; of a peer that is not listed, the other factory's at once."""
        host = getattr(addr, "host", "")
        if (host if isinstance(host, str) else "") not in self._senders:
            return self._factory.buildProtocol(addr)
        return HeaderReceiver(self._engine, self._factory, addr)


class HeaderReceiver(Protocol):
    """Reads the header, then passes everything on to the protocol that is made with what it said.

    @ivar deadline: see L{twistproxy.sweep.Watched}.
    """

    transport: Any
    deadline: float = NEVER

    def __init__(self, engine: Engine, factory: Any, peer: Any) -> None:
        """@param factory: makes the protocol behind the header."""
        self._engine = engine
        self._factory = factory
        self._peer = peer
        self._reader: ProxyHeaderReader | None = ProxyHeaderReader(engine.settings.maxHeadBytes)
        self._inner: Any = None

    def __repr__(self) -> str:
        return f"<HeaderReceiver from {self._peer} of {self._inner!r}>"

    def connectionMade(self) -> None:
        """A header has to follow in the time of a request's head."""
        engine = self._engine
        self.deadline = engine.sweeper.after(engine.settings.headTimeout)
        engine.sweeper.watch(self)
        engine.channels.add(self)

    def dataReceived(self, data: bytes) -> None:
        """Some of the header, or what came behind it."""
        if self._inner is not None:
            self._inner.dataReceived(data)
            return
        reader = self._reader
        if reader is None:
            return  # it is being closed
        try:
            header = reader.receiveData(data)
        except ProxyHeaderError as error:
            self._refuse(str(error))
            return
        if header is not None:
            self._reader = None
            self._pass(header, reader.rest)

    def _pass(self, header: ProxyHeader, rest: bytes) -> None:
        """The header is complete: make what speaks behind it."""
        source = header.source
        peer = self._peer if source is None else ProxiedAddress(source.host, source.port, header)
        inner = self._factory.buildProtocol(peer)
        if inner is None:
            self._refuse("nobody wants it")
            return
        self._inner = inner
        self._release()
        if IHalfCloseableProtocol.providedBy(inner):
            alsoProvides(self, IHalfCloseableProtocol)
        inner.makeConnection(self.transport)
        if rest:
            inner.dataReceived(rest)

    def readConnectionLost(self) -> None:
        """L{IHalfCloseableProtocol}, where the protocol behind the header is one."""
        self._inner.readConnectionLost()

    def writeConnectionLost(self) -> None:
        """L{IHalfCloseableProtocol}, where the protocol behind the header is one."""
        self._inner.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """It is closed."""
        inner, self._inner = self._inner, None
        self._reader = None
        if inner is not None:
            inner.connectionLost(reason)
        else:
            self._release()
            self._engine.channelGone()

    def _release(self) -> None:
        self.deadline = NEVER
        self._engine.sweeper.forget(self)
        self._engine.channels.discard(self)

    def _refuse(self, detail: str) -> None:
        self._reader = None
        peer = getattr(self._peer, "host", "") or "a UNIX socket"
        _log.warn("A connection from {peer} was closed for its PROXY header: {detail}", peer=peer, detail=detail)
        self.abort()

    def deadlinePassed(self) -> None:
        """The header did not come."""
        self._refuse("it did not become complete in time")

    def close(self) -> None:
        """Nothing was asked yet: close now."""
        self.transport.loseConnection()

    def abort(self) -> None:
        """Cut the connection."""
        self.transport.abortConnection()


class ProxiedReactor:
    """A reactor for endpoints: what listens there reads a header of the PROXY protocol first, below TLS too."""

    def __init__(self, reactor: Any, engine: Engine, senders: tuple[Network, ...]) -> None:
        self._reactor = reactor
        self._engine = engine
        self._senders = senders

    def __getattr__(self, name: str) -> Any:
        if name.startswith(("listen", "adopt")):
            raise AttributeError(f"{name}: a way to listen that would not read the header")
        return getattr(self._reactor, name)

    def _behind(self, factory: IProtocolFactory) -> ProxyProtocolFactory:
        return ProxyProtocolFactory(self._engine, self._senders, factory)

    def listenTCP(self, port: Any, factory: Any, *args: Any, **options: Any) -> Any:
        """As C{IReactorTCP}."""
        return self._reactor.listenTCP(port, self._behind(factory), *args, **options)

    def listenSSL(self, port: Any, factory: Any, contextFactory: Any, *args: Any, **options: Any) -> Any:
        """As C{IReactorSSL}."""
        from twisted.protocols.tls import TLSMemoryBIOFactory  # pyOpenSSL, which plain HTTP has no need for

        return self.listenTCP(port, TLSMemoryBIOFactory(contextFactory, False, factory, clock=self._reactor), *args, **options)

    def listenUNIX(self, address: Any, factory: Any, *args: Any, **options: Any) -> Any:
        """As C{IReactorUNIX}."""
        return self._reactor.listenUNIX(address, self._behind(factory), *args, **options)

    @property
    def listenInherited(self) -> Any:
        """As L{twistproxy.workers.inheriting.InheritingReactor}, where the reactor is one."""
        inherited = self._reactor.listenInherited
        return lambda factory: inherited(self._behind(factory))

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: Any, factory: Any) -> Any:
        """As C{IReactorSocket}."""
        return self._reactor.adoptStreamPort(fileDescriptor, addressFamily, self._behind(factory))
