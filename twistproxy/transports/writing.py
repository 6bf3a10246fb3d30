"""Writing to a transport, at the end of the reactor's turn where that can be, and knowing when there is too much that
was not sent.

Twisted's own transports put what is written into a buffer and send it in a later turn of the reactor, at the price of
two C{epoll_ctl} and a wake-up for each answer. Where nothing is in that buffer, sending on the socket right away is the
same to everybody but the clock: measured, it is a third of a small request's cost. What is written in one turn, to all
connections, is sent together at its end (L{Batch}): most of what a send costs on one machine is waking up whoever waits
for it, and who was woken for the first piece is still awake for the next. L{EagerWriter} does that with public
interfaces only: C{ISystemHandle} for the socket, and being a pull producer to be told that the buffer is empty again.
L{PlainWriter} is for all other transports: pyOpenSSL's, other reactors' own, those of tests; and a transport that knows
better, as L{twistproxy.tls.transport.SecureTransport} and those of L{twistproxy.reactor}, brings its own.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any, ClassVar, Final, Protocol
from weakref import WeakKeyDictionary, ref

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IPullProducer, IPushProducer, ISSLTransport, ISystemHandle
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import Interface, implementer

_log: Final = Logger(namespace="twistproxy.error")

HIGH_WATER: Final = 64 << 10
"""Bytes in a transport's buffer, above which the sender is paused: the mark of Twisted's own transports."""

_JOINED: Final = 32 << 10
"""Pieces up to this size together are joined: cheaper than handing over a vector of them."""

_MORE: Final = getattr(socket, "MSG_MORE", 0)
"""Says that more follows, and be it the end: then both go in one segment, and the peer is woken once."""

_DONE: Final = Failure(ConnectionDone())
"""As in Twisted one for all."""


class WritingOwner(Protocol):
    """Who is told about the buffer."""

    def writingPaused(self) -> None:
        """It is full."""

    def writingResumed(self) -> None:
        """It is empty again."""


class Writer(Protocol):
    """What both kinds of writer do.

    @ivar isEmpty: whether the transport's buffer is known to be empty.
    @ivar isFull: whether the owner was told to pause.
    """

    @property
    def isEmpty(self) -> bool:
        """See above."""

    @property
    def isFull(self) -> bool:
        """See above."""

    def write(self, pieces: list[bytes]) -> None:
        """Send these, in order; the list is the writer's now."""

    def handOver(self, owner: WritingOwner) -> bool:
        """Tell C{owner} from now on.

        @return: whether the buffer is full.
        """

    def flush(self) -> None:
        """Send now what waits for the end of the turn."""

    def stop(self) -> None:
        """Let go of the transport, which keeps what is in its buffer: needed before it is closed. Flushes."""

    def close(self) -> None:
        """Let go of the transport and close it, when the turn is over and what was written is sent. Its owner is told once
        more to pause if some of that may have to wait.
        """

    def reset(self) -> None:
        """Reset the connection once the transport's buffer is empty. Its C{loseConnection} would send a FIN first,
        whatever SO_LINGER says: a clean end."""


class IWriterSource(Interface):
    """A transport that has a writer of its own."""

    def makeWriter(owner: WritingOwner) -> Writer:
        """The writer, which tells C{owner} about the transport's buffer."""


class Flushed(Protocol):
    """What waits for the end of the turn."""

    def flush(self) -> None:
        """Now."""


class Batch:
    """What is written in one turn of a reactor, to be sent at its end.

    @ivar turns: how many there were in which something was written.
    """

    __slots__ = ("_schedule", "_waiting", "turns")

    def __init__(self, schedule: Callable[[Callable[[], None]], object]) -> None:
        """@param schedule: has a function called when the turn is over, before the reactor waits for anything."""
        self._schedule = schedule
        self._waiting: list[Flushed] = []
        self.turns = 0

    def add(self, writer: Flushed) -> None:
        """Flush it when the turn is over."""
        if not self._waiting:
            self._schedule(self._flush)
        self._waiting.append(writer)

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, []
        self.turns += 1
        for each in waiting:
            try:
                each.flush()
            except Exception:
                _log.failure("What was written could not be sent")


_batches: Final[WeakKeyDictionary[Any, Batch]] = WeakKeyDictionary()


def batchOf(reactor: Any) -> Batch:
    """The batch of one of Twisted's reactors: everybody's."""
    batch = _batches.get(reactor)
    if batch is None:
        known = ref(reactor)  # a batch must not keep its reactor

        def schedule(flush: Callable[[], None]) -> None:
            known().callLater(0, flush)  # type: ignore[union-attr]

        batch = _batches[reactor] = Batch(schedule)
    return batch


@implementer(IPushProducer)
class PlainWriter:
    """Leaves everything to the transport, and never knows that its buffer is empty."""

    __slots__ = ("_owner", "_paused", "_resetting", "_transport")

    isEmpty: ClassVar = False

    def __init__(self, transport: Any, owner: WritingOwner) -> None:
        self._transport = transport
        self._owner = owner
        self._paused = False
        self._resetting = False
        transport.registerProducer(self, True)

    @property
    def isFull(self) -> bool:
        """L{Writer.isFull}."""
        return self._paused

    def write(self, pieces: list[bytes]) -> None:
        """L{Writer.write}."""
        if len(pieces) == 1:
            self._transport.write(pieces[0])
        else:
            self._transport.writeSequence(pieces)

    def handOver(self, owner: WritingOwner) -> bool:
        """L{Writer.handOver}."""
        self._owner = owner
        return self._paused

    def flush(self) -> None:
        """L{Writer.flush}: nothing waits here."""

    def stop(self) -> None:
        """L{Writer.stop}."""
        self._transport.unregisterProducer()

    def close(self) -> None:
        """L{Writer.close}."""
        self.stop()
        self._owner.writingPaused()
        self._transport.loseConnection()

    def reset(self) -> None:
        """L{Writer.reset}; a buffer that is not full counts as empty."""
        self._resetting = self._paused
        if not self._paused:
            self._transport.abortConnection()

    def pauseProducing(self) -> None:
        """The transport's buffer is full; told at every write while it is."""
        if not self._paused:
            self._paused = True
            self._owner.writingPaused()

    def resumeProducing(self) -> None:
        """It is empty."""
        if self._resetting:
            self._transport.abortConnection()
        elif self._paused:
            self._paused = False
            self._owner.writingResumed()

    def stopProducing(self) -> None:
        """The connection is lost; its protocol is told."""


@implementer(IPullProducer)
class EagerWriter:
    """Sends on the socket, at the end of the turn, whenever the transport's buffer is empty."""

    __slots__ = (
        "_batch", "_closing", "_held", "_owner", "_paused", "_pending", "_resetting", "_size", "_socket", "_transport",
    )  # fmt: skip

    def __init__(self, transport: Any, owner: WritingOwner) -> None:
        self._transport = transport
        self._owner = owner
        self._socket: socket.socket = transport.getHandle()
        self._batch = batchOf(transport.reactor)
        self._pending: list[bytes] = []  # for the end of the turn; empty while anything is in the transport's buffer
        self._size = 0
        self._held = 0  # at most this much is in the transport's buffer
        self._paused = False
        self._resetting = False
        self._closing = False
        transport.registerProducer(self, False)

    @property
    def isEmpty(self) -> bool:
        """L{Writer.isEmpty}."""
        return not (self._held or self._pending)

    @property
    def isFull(self) -> bool:
        """L{Writer.isFull}."""
        return self._paused

    def write(self, pieces: list[bytes]) -> None:
        """L{Writer.write}."""
        if self._held:
            self._hold(pieces)
            return
        size = len(pieces[0]) if len(pieces) == 1 else sum(map(len, pieces))
        if self._pending:
            self._pending += pieces
            self._size += size
        else:
            self._pending = pieces
            self._size = size
            self._batch.add(self)
        if self._size > _JOINED:
            self.flush()

    def flush(self) -> None:
        """L{Writer.flush}."""
        pieces, size = self._pending, self._size
        if not pieces:
            if self._closing:
                self._close()
            return
        self._pending = []
        flags = _MORE if self._closing else 0
        try:
            if len(pieces) == 1:
                sent = self._socket.send(pieces[0], flags)
            else:
                if size <= _JOINED:
                    data = b"".join(pieces)
                    pieces = [data]
                    sent = self._socket.send(data, flags)
                else:
                    sent = self._socket.sendmsg(pieces)
        except OSError:
            sent = 0  # a full socket; or a broken one, which the transport will find out about by itself
        if sent != size:
            self._hold(_rest(pieces, sent))
        if self._closing:
            self._close()

    def _hold(self, pieces: list[bytes]) -> None:
        self._held += sum(map(len, pieces))
        self._transport.writeSequence(pieces)
        if self._held > HIGH_WATER and not self._paused:
            self._paused = True
            self._owner.writingPaused()

    def handOver(self, owner: WritingOwner) -> bool:
        """L{Writer.handOver}."""
        self._owner = owner
        return self._paused

    def stop(self) -> None:
        """L{Writer.stop}."""
        self._closing = False
        self.flush()
        self._transport.unregisterProducer()

    def close(self) -> None:
        """L{Writer.close}."""
        if not (self._pending or self._closing):
            self._batch.add(self)
        self._closing = True

    def _close(self) -> None:
        """The turn is over, and the kernel has all that is not in the transport's buffer."""
        self._closing = False
        transport = self._transport
        transport.unregisterProducer()
        if self._held:
            self._owner.writingPaused()
        elif isinstance(transport, Connection):
            transport.connectionLost(_DONE)  # as loseConnection would have it done a turn later, after three more system calls
            return
        transport.loseConnection()

    def reset(self) -> None:
        """L{Writer.reset}."""
        self._closing = False
        self.flush()
        self._resetting = self._held > 0
        if not self._held:
            self._transport.abortConnection()

    def resumeProducing(self) -> None:
        """The transport's buffer is empty."""
        self._held = 0
        if self._resetting:
            self._transport.abortConnection()
        elif self._paused:
            self._paused = False
            self._owner.writingResumed()

    def stopProducing(self) -> None:
        """The connection is lost; its protocol is told."""
        self._closing = False


class _ClosedWriter:
    """The writer of a connection that is lost: whoever still holds this holds nobody else."""

    isEmpty: ClassVar = False
    isFull: ClassVar = False

    def write(self, pieces: list[bytes]) -> None:
        """L{Writer.write}: nobody is there."""

    def handOver(self, owner: WritingOwner) -> bool:
        """L{Writer.handOver}."""
        return False

    def flush(self) -> None:
        """L{Writer.flush}."""

    def stop(self) -> None:
        """L{Writer.stop}."""

    def close(self) -> None:
        """L{Writer.close}: it is."""

    def reset(self) -> None:
        """L{Writer.reset}."""


CLOSED: Final = _ClosedWriter()
"""To be put in the place of a writer when its connection is lost: the two know each other, and would stay until the
garbage is collected."""


def _rest(pieces: list[bytes], sent: int) -> list[bytes]:
    """C{pieces} without their first C{sent} bytes."""
    for at, piece in enumerate(pieces):
        if sent < len(piece):
            return [piece[sent:], *pieces[at + 1 :]]
        sent -= len(piece)
    return []


def writerFor(transport: Any, owner: WritingOwner) -> Writer:
    """The fastest writer that is right for a transport."""
    if IWriterSource.implementedBy(type(transport)):  # not only provided: Twisted's wrappers claim what they wrap
        own: Writer = transport.makeWriter(owner)
        return own
    isPlain = ISystemHandle.providedBy(transport) and not ISSLTransport.providedBy(transport)
    if isPlain and isinstance(transport.getHandle(), socket.socket):
        return EagerWriter(transport, owner)
    return PlainWriter(transport, owner)
