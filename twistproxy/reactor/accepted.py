"""TCP connections that uvloop accepted."""

from __future__ import annotations

import sys
from typing import Any, Final

from twisted.logger import Logger

from twistproxy.reactor.internet import addressOf
from twistproxy.reactor.securing import SwitchedConnection, Turnwise, UpgradableConnection

_log: Final = Logger()


class AcceptedConnection(UpgradableConnection):
    """A connection that was accepted in C: there is no Python socket of it unless somebody asks for one."""

    def __init__(self, reactor: Any, port: Any, number: int) -> None:
        """@param port: which accepted it."""
        self.reactor = reactor
        self.server = port
        self.sessionno = number

    def connection_made(self, transport: Any) -> None:
        """uvloop has it: who wants to talk over it?"""
        self._uv = transport
        self.send = transport.write
        self.sendPieces = transport.writelines
        self._peer = transport.get_extra_info("peername")
        protocol = None
        if self._peer is not None and self.server.connected:  # else one of both is gone already
            try:
                protocol = self.server.factory.buildProtocol(addressOf(self._peer))
            except BaseException:
                _log.failure("Unhandled Error")
        if protocol is None:
            self.connected = 0
            self.disconnected = 1
            transport.abort()
            return
        self.protocol = protocol
        if isTwistedsTLS(protocol):
            self.__class__ = _AcceptedBelowTLS
        self.reactor.connections.add(self)
        self.isDirect = True
        try:
            protocol.makeConnection(self)
        except BaseException:
            _log.failure("Unhandled Error")  # and no more than that, as in Twisted
        self._heedPause()


class _AcceptedBelowTLS(Turnwise, AcceptedConnection):
    """The same, below a layer of Twisted's TLS."""


class _SwitchedAccepted(SwitchedConnection, AcceptedConnection):
    """The same, after C{startTLS}."""


AcceptedConnection.switched = _SwitchedAccepted


def isTwistedsTLS(protocol: Any) -> bool:
    """Whether a protocol is a layer of Twisted's TLS; without importing that."""
    tls = sys.modules.get("twisted.protocols.tls")
    return tls is not None and isinstance(protocol, tls.TLSMemoryBIOProtocol)
