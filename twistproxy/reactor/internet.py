"""TCP connections of uvloop's."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHalfCloseableProtocol, ITCPTransport
from zope.interface import implementer

from twistproxy.reactor.connection import Connection
from twistproxy.transports.splicing import ISpliceable


@implementer(ITCPTransport, ISpliceable)
class TCPConnection(Connection):
    """Over TCP.

    TCP_NODELAY is on from the beginning, as uvloop has it; Twisted's own begin without.
    """

    _isNoDelay = True

    def spliceableDescriptor(self) -> int | None:
        """L{ISpliceable.spliceableDescriptor}."""
        isPlain = self._uv is not None and self.connected and not self.TLS and self._held is None
        return self.socket.fileno() if isPlain else None

    def loseWriteConnection(self) -> None:
        """Send no more after what was written; go on reading."""
        if not self.connected or self._writeDisconnecting:
            return
        self._writeDisconnecting = True
        if self._uv is not None:
            self._attend()
            self._checkSent()

    def _closeWriting(self) -> None:
        """All is sent. uvloop's write_eof() would make a later write() raise, and does not tell when it is done."""
        self._writeDisconnected = True
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass
        if IHalfCloseableProtocol.providedBy(self.protocol):
            try:
                self.protocol.writeConnectionLost()
            except BaseException:
                self.protocolFailed()

    def getTcpNoDelay(self) -> bool:
        """Whether nothing waits for Nagle."""
        return bool(self.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Set that."""
        if enabled == self._isNoDelay:
            return
        self._isNoDelay = enabled
        try:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, enabled)
        except OSError:
            pass  # some systems refuse once the peer is gone

    def getTcpKeepAlive(self) -> bool:
        """Whether the kernel asks a silent peer if it is there."""
        return bool(self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE))

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Set that."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, enabled)

    def getHost(self) -> Any:
        """Our side's address."""
        return addressOf(self.socket.getsockname())

    def getPeer(self) -> Any:
        """The other side's."""
        return addressOf(self._peer)


def addressOf(name: Any) -> IPv4Address | IPv6Address:
    """The address that a socket's name stands for; the zone of an IPv6 address is part of its host, as in Twisted."""
    if len(name) != 4:
        return IPv4Address("TCP", *name[:2])
    if name[3] and "%" not in name[0]:
        name = (socket.getnameinfo(name, socket.NI_NUMERICHOST | socket.NI_NUMERICSERV)[0], *name[1:])
    return IPv6Address("TCP", *name)
