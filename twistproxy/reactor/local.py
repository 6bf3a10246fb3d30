"""UNIX sockets, and descriptors sent through them."""

from __future__ import annotations

import array
import os
import socket
from typing import Any, Final

from twisted.internet.address import UNIXAddress
from twisted.internet.error import FileDescriptorOverrun
from twisted.internet.interfaces import IUNIXTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.reactor.internet import TCPConnection
from twistproxy.transports.writing import HIGH_WATER

_MANY: Final = 64
"""Descriptors not sent above which a producer is paused, as in Twisted."""


@implementer(IUNIXTransport)
class UNIXConnection(TCPConnection):
    """Over a UNIX socket.

    uvloop's reads throw away descriptors that come along. Protocols that want them get Twisted's own transport instead.
    """

    _descriptors: list[int] | None = None
    _waiting: list[bytes] | None = None  # what is written behind descriptors that could not be sent yet
    _watched = -1  # a copy of our descriptor, while the socket takes no more

    def sendFileDescriptor(self, fileno: int) -> None:
        """Send a descriptor along with the next byte that is written, or that was written but not sent.

        It has to stay open until that byte is sent. When the reactor's turn ends with more descriptors than bytes, the
        connection is lost with a L{FileDescriptorOverrun}.
        """
        if not self.connected:
            return
        self._descriptors = self._descriptors or []
        self._descriptors.append(fileno)
        if self._uv is not None:
            self._attend()
            self._checkSent()
            if len(self._descriptors) > _MANY:
                self._pauseProducer()

    def _attendNoMore(self) -> None:
        if not self._descriptors:
            super()._attendNoMore()

    def _writeOtherwise(self, data: bytes) -> None:
        if self._uv is None or not (self._descriptors or self._waiting) or not isinstance(data, bytes):
            super()._writeOtherwise(data)
        elif data and self.connected and not self._isAborting:
            self._waiting = self._waiting or []
            self._waiting.append(data)
            self._checkSent()
            if sum(map(len, self._waiting)) > HIGH_WATER:
                self._pauseProducer()

    def connection_made(self, transport: Any) -> None:
        """uvloop has it; descriptors go before what was written meanwhile."""
        if self._descriptors and self._early:
            self._waiting, self._early = self._early, None
        super().connection_made(transport)
        if self._descriptors and self.connected and not self._isAborting:
            self._attend()
            self._checkSent()

    def _allSent(self) -> None:
        if self.connected and (self._descriptors or self._waiting) and not self._uv.get_write_buffer_size():
            self._drainScheduled = False
            self._sendDescriptors(b"".join(self._waiting or ()))
        else:
            super()._allSent()

    def _sendDescriptors(self, data: bytes) -> None:
        """Each goes with a byte of its own, as receivers expect that read as many bytes as descriptors."""
        self._stopWatching()
        if self._descriptors and len(self._descriptors) > len(data):
            self._end(Failure(FileDescriptorOverrun()))
            return
        while self._descriptors:
            rights = array.array("i", self._descriptors[:1])
            try:
                self.socket.sendmsg([data[:1]], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, rights)])
            except BlockingIOError:
                self._waiting = [data]
                self._watched = os.dup(self.socket.fileno())
                self.reactor.loop.add_writer(self._watched, self._allSent)
                return
            except OSError:
                break  # the peer is gone, which uvloop finds out when it writes the rest
            data = data[1:]
            del self._descriptors[:1]
        self._descriptors = self._waiting = None
        self.send(data)
        if self.producer is None or self.streamingProducer:
            self._attendNoMore()
        if not self.isDirect:
            self._checkSent()

    def _stopWatching(self) -> None:
        if self._watched >= 0:
            self.reactor.loop.remove_writer(self._watched)
            os.close(self._watched)
            self._watched = -1

    def _closeWhenSent(self) -> None:
        if self.connected and (self._descriptors or self._waiting):
            self._attend()
            self._checkSent()
        else:
            super()._closeWhenSent()

    def connection_lost(self, error: BaseException | None) -> None:
        """It is gone, and so is the reason to wait."""
        self._stopWatching()
        super().connection_lost(error)

    def getHost(self) -> UNIXAddress:
        """Our side's address: the path that was listened on; none where we connected, as in Twisted."""
        return UNIXAddress(None if self.connector is not None else self.socket.getsockname())

    def getPeer(self) -> UNIXAddress:
        """The other side's: the path that we connected to; usually none where we listened."""
        return UNIXAddress(self._peer or None)

    def getTcpNoDelay(self) -> bool:
        """Never: there is no TCP."""
        return False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """Nothing: there is no TCP."""

    @property
    def logstr(self) -> str:
        """What Twisted's log calls it."""
        return type(self.protocol).__name__
