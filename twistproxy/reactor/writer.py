"""The writer of a connection of uvloop's: see L{twistproxy.transports.writing}."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

from twistproxy.transports.writing import WritingOwner

if TYPE_CHECKING:
    from twistproxy.reactor.sending import Sender

JOINED: Final = 32 << 10
"""Pieces up to this size together are joined: cheaper for uvloop than a vector of them."""


@implementer(IPushProducer)
class ConnectionWriter:
    """Hands everything to uvloop at the end of the turn; that sends what the kernel takes, and says when it is too little."""

    __slots__ = ("_connection", "_isClosing", "_isResetting", "_owner", "_pending", "_size", "isFull")

    def __init__(self, connection: Sender, owner: WritingOwner) -> None:
        self._connection = connection
        self._owner: WritingOwner | None = owner
        self._isClosing = self._isResetting = False
        self._pending: list[bytes] = []  # for the end of the turn
        self._size = 0
        self.isFull = False
        connection.registerProducer(self, True)

    @property
    def isEmpty(self) -> bool:
        """L{twistproxy.transports.writing.Writer.isEmpty}; never for TLS, which nobody may write past."""
        return not (self._pending or self._connection.isWriting() or self._connection.TLS)

    def write(self, pieces: list[bytes]) -> None:
        """L{twistproxy.transports.writing.Writer.write}."""
        size = len(pieces[0]) if len(pieces) == 1 else sum(map(len, pieces))
        if self._pending:
            self._pending += pieces
            self._size += size
        else:
            self._pending = pieces
            self._size = size
            self._connection.reactor.batch.add(self)
        if self._size > JOINED:
            self.flush()

    def flush(self) -> None:
        """L{twistproxy.transports.writing.Writer.flush}."""
        pieces, self._pending = self._pending, []
        if pieces:
            self._send(pieces)
        if self._isClosing:
            self._close()

    def _send(self, pieces: list[bytes]) -> None:
        connection = self._connection
        if not connection.isDirect:
            connection.writeSequence(pieces)
        elif len(pieces) == 1:
            connection.send(pieces[0])
        elif self._size <= JOINED:
            connection.send(b"".join(pieces))
        else:
            connection.sendPieces(pieces)

    def handOver(self, owner: WritingOwner) -> bool:
        """L{twistproxy.transports.writing.Writer.handOver}."""
        self._owner = owner
        return self.isFull

    def stop(self) -> None:
        """L{twistproxy.transports.writing.Writer.stop}."""
        self._isClosing = False
        self.flush()
        self._owner = None  # which has us: no cycle is left
        self._connection.unregisterProducer()

    def close(self) -> None:
        """L{twistproxy.transports.writing.Writer.close}."""
        if not (self._pending or self._isClosing):
            self._connection.reactor.batch.add(self)
        self._isClosing = True

    def _close(self) -> None:
        self._isClosing = False
        connection, owner, self._owner = self._connection, self._owner, None
        connection.unregisterProducer()
        if owner is not None and (connection.TLS or connection.isWriting()):
            owner.writingPaused()
        connection.closeAfterTurn()

    def reset(self) -> None:
        """L{twistproxy.transports.writing.Writer.reset}; a buffer that is not full counts as empty."""
        self._isClosing = False
        self.flush()
        self._isResetting = self.isFull
        if not self.isFull:
            self._connection.abortConnection()

    def pauseProducing(self) -> None:
        """uvloop's buffer is full."""
        self.isFull = True
        if self._owner is not None:
            self._owner.writingPaused()

    def resumeProducing(self) -> None:
        """It is empty."""
        self.isFull = False
        if self._isResetting:
            self._connection.abortConnection()
        elif self._owner is not None:
            self._owner.writingResumed()

    def stopProducing(self) -> None:
        """The connection is lost; its protocol is told."""
        self._owner = None
        self._isClosing = False
