"""The reactor itself."""

# mypy: allow-untyped-calls
# Twisted's reactors carry no annotations.
from __future__ import annotations

import signal
import socket
import ssl
from asyncio import set_event_loop
from typing import Any, Final

import uvloop
from twisted.internet import process
from twisted.internet.error import UnsupportedAddressFamily
from twisted.internet.main import installReactor
from twisted.logger import Logger
from zope.interface import implementer

from twistproxy.reactor._twisted import Connector, Port, SecureConnector, SecurePort, UNIXConnector, UNIXPort, WatchingReactor
from twistproxy.reactor.connection import Connection
from twistproxy.reactor.interfaces import IReactorStandardTLS
from twistproxy.transports.writing import Batch

_log: Final = Logger()

HANDSHAKE_TIMEOUT: Final = 60.0
"""Seconds that a TLS handshake may take where nothing else is said."""


@implementer(IReactorStandardTLS)
class UvloopReactor(WatchingReactor):
    """Twisted's asyncio reactor, on uvloop, with uvloop's transports where there is a stream.

    @ivar loop: uvloop's loop, of this reactor alone.
    @ivar connections: all that are open.
    @ivar ports: those for which uvloop accepts.
    @cvar unixPort: what listens on UNIX sockets, for those who have one bound already.
    """

    unixPort = UNIXPort

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        self.batch = Batch(self.loop.call_soon)
        self.connections: set[Connection] = set()
        self.ports: set[Port] = set()
        self.loop.set_exception_handler(_logException)
        super().__init__(self.loop)

    def startRunning(self, installSignalHandlers: bool = True) -> None:
        """Twisted's, and children are noticed.

        While uvloop's loop runs, signals wake it and nobody else, Twisted's own waker for SIGCHLD included. But it calls
        the handlers of Python's signal module.
        """
        super().startRunning(installSignalHandlers)
        if installSignalHandlers:
            self._watchChildren()

    def _watchChildren(self) -> None:
        signal.signal(signal.SIGCHLD, lambda number, frame: self.callFromThread(process.reapAllProcesses))
        signal.siginterrupt(signal.SIGCHLD, False)
        process.reapAllProcesses()  # what ended before

    # IReactorFDSet: uvloop's connections are part of what there is.

    def removeAll(self) -> list[Any]:
        """Stop reading everything, and tell what was read or written: what is disconnected when the reactor stops."""
        watched = [each for each in self.connections if each.isReading() or each.isWriting()]
        for each in watched:
            each.pauseProducing()
        accepting = list(self.ports)
        for port in accepting:
            port.stopReading()
        return [*super().removeAll(), *watched, *accepting]

    def addReader(self, reader: Any) -> None:
        """Read it; of a connection of ours, uvloop does that."""
        if isinstance(reader, Connection):
            reader.resumeProducing()
        else:
            super().addReader(reader)

    def removeReader(self, reader: Any) -> None:
        """Read it no more."""
        if isinstance(reader, Connection):
            reader.pauseProducing()
        else:
            super().removeReader(reader)

    def removeWriter(self, writer: Any) -> None:
        """Write it no more; what a connection of ours has written is uvloop's, and cannot be held back."""
        if not isinstance(writer, Connection):
            super().removeWriter(writer)

    def getReaders(self) -> list[Any]:
        """What is being read."""
        return [*super().getReaders(), *self.ports, *(each for each in self.connections if each.isReading())]

    def getWriters(self) -> list[Any]:
        """What has something left to be sent."""
        return [*super().getWriters(), *(each for each in self.connections if each.isWriting())]

    # IReactorTCP, IReactorUNIX, IReactorSocket: as Twisted's, with other ports and connectors.

    def listenTCP(self, port: Any, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """L{twisted.internet.interfaces.IReactorTCP.listenTCP}."""
        return _listening(Port(port, factory, backlog, interface, self))

    def connectTCP(self, host: Any, port: Any, factory: Any, timeout: float = 30.0, bindAddress: Any = None) -> Any:
        """L{twisted.internet.interfaces.IReactorTCP.connectTCP}."""
        return _connecting(Connector(host, port, factory, timeout, bindAddress, self))

    def listenUNIX(self, address: Any, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: Any = 0) -> Any:
        """L{twisted.internet.interfaces.IReactorUNIX.listenUNIX}."""
        return _listening(UNIXPort(address, factory, backlog, mode, self, wantPID))

    def connectUNIX(self, address: Any, factory: Any, timeout: float = 30, checkPID: Any = 0) -> Any:
        """L{twisted.internet.interfaces.IReactorUNIX.connectUNIX}."""
        return _connecting(UNIXConnector(address, factory, timeout, self, checkPID))

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: Any, factory: Any) -> Any:
        """L{twisted.internet.interfaces.IReactorSocket.adoptStreamPort}."""
        if addressFamily == socket.AF_UNIX:
            return _listening(UNIXPort._fromListeningDescriptor(self, fileDescriptor, factory))
        _requireInternet(addressFamily)
        return _listening(Port._fromListeningDescriptor(self, fileDescriptor, addressFamily, factory))

    # IReactorStandardTLS.

    def listenStandardTLS(
        self,
        port: Any,
        factory: Any,
        context: ssl.SSLContext,
        backlog: int = 50,
        interface: str = "",
        handshakeTimeout: float = HANDSHAKE_TIMEOUT,
    ) -> Any:
        """L{IReactorStandardTLS.listenStandardTLS}."""
        return _listening(_secure(SecurePort(port, factory, backlog, interface, self), context, handshakeTimeout))

    def adoptStandardTLSPort(
        self,
        fileDescriptor: int,
        addressFamily: Any,
        factory: Any,
        context: ssl.SSLContext,
        handshakeTimeout: float = HANDSHAKE_TIMEOUT,
    ) -> Any:
        """L{IReactorStandardTLS.adoptStandardTLSPort}."""
        _requireInternet(addressFamily)
        adopted = SecurePort._fromListeningDescriptor(self, fileDescriptor, addressFamily, factory)
        return _listening(_secure(adopted, context, handshakeTimeout))

    def connectStandardTLS(
        self,
        host: str,
        port: int,
        factory: Any,
        context: ssl.SSLContext,
        serverName: str,
        timeout: float = 30.0,
        bindAddress: Any = None,
        handshakeTimeout: float = HANDSHAKE_TIMEOUT,
    ) -> Any:
        """L{IReactorStandardTLS.connectStandardTLS}."""
        connector = SecureConnector(host, port, factory, timeout, bindAddress, self)
        connector.serverName = serverName
        return _connecting(_secure(connector, context, handshakeTimeout))


def install() -> None:
    """L{twistproxy.reactor.install}, where Twisted looks for it: in the module of a reactor's class."""
    reactor = UvloopReactor()
    set_event_loop(reactor.loop)  # what asks asyncio for a loop finds this one
    installReactor(reactor)


def _listening(port: Any) -> Any:
    port.startListening()
    return port


def _connecting(connector: Any) -> Any:
    connector.connect()
    return connector


def _secure(what: Any, context: ssl.SSLContext, handshakeTimeout: float) -> Any:
    what.context = context
    what.handshakeTimeout = handshakeTimeout
    return what


def _requireInternet(addressFamily: Any) -> None:
    if addressFamily not in (socket.AF_INET, socket.AF_INET6):
        raise UnsupportedAddressFamily(addressFamily)


def _logException(loop: Any, context: dict[str, Any]) -> None:
    """What uvloop would write to asyncio's logger goes where everything goes."""
    error = context.get("exception")
    if error is None:
        _log.error("{message}", message=context.get("message"))
    else:
        from twisted.python.failure import Failure

        _log.failure("{message}", failure=Failure(error), message=context.get("message"))
