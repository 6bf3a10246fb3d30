"""Bytes in front of what a check says: a header of the PROXY protocol, by which it tells that it speaks for itself."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocolFactory
from twisted.internet.protocol import ClientFactory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import alsoProvides


class AnnouncingFactory(ClientFactory):
    """Another factory's protocols, each with a header in front."""

    noisy = False

    def __init__(self, header: bytes, factory: IProtocolFactory) -> None:
        self._header = header
        self._factory: Any = factory

    def buildProtocol(self, addr: Any) -> Announcer | None:
        """A protocol that writes the header."""
        inner = self._factory.buildProtocol(addr)
        return None if inner is None else Announcer(self._header, inner)


class Announcer(Protocol):
    """Writes its header, and is no more than a name for the protocol behind it from then on.

    @ivar inner: that protocol.
    """

    transport: Any

    def __init__(self, header: bytes, inner: Any) -> None:
        self._header = header
        self.inner: Any = inner
        if IHalfCloseableProtocol.providedBy(inner):
            alsoProvides(self, IHalfCloseableProtocol)

    def connectionMade(self) -> None:
        """The header goes first."""
        self.transport.write(self._header)
        self.inner.makeConnection(self.transport)

    def dataReceived(self, data: bytes) -> None:
        """Pass it on."""
        self.inner.dataReceived(data)

    def readConnectionLost(self) -> None:
        """L{IHalfCloseableProtocol}, where the protocol behind the header is one."""
        self.inner.readConnectionLost()

    def writeConnectionLost(self) -> None:
        """L{IHalfCloseableProtocol}, where the protocol behind the header is one."""
        self.inner.writeConnectionLost()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Pass it on."""
        self.inner.connectionLost(reason)
