"""Connecting with TLS: a factory in front of another, for Twisted's client endpoints."""

from __future__ import annotations

from ssl import SSLContext
from typing import Any

from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Factory

from twistproxy.tls.transport import SecureTransport


class SecureClientFactory(Factory):
    """Puts TLS below the protocols of another factory."""

    noisy = False

    def __init__(self, context: SSLContext, factory: IProtocolFactory, serverName: str, preamble: bytes = b"") -> None:
        """
        @param serverName: that the server's certificate has to be for.
        @param preamble: what goes before all of TLS, as it is.
        """
        self._preamble = preamble
        self._context = context
        self._factory: Any = factory
        self._serverName = serverName

    def doStart(self) -> None:
        """As L{IProtocolFactory}."""
        self._factory.doStart()

    def doStop(self) -> None:
        """As L{IProtocolFactory}."""
        self._factory.doStop()

    def buildProtocol(self, addr: IAddress | None) -> SecureTransport | None:
        """A connection's TLS, with a protocol of the other factory above it."""
        above = self._factory.buildProtocol(addr)
        if above is None:
            return None
        return SecureTransport(self._context, above, self._serverName, isServer=False, preamble=self._preamble)
