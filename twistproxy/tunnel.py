"""After a 101: two transports spliced, byte for byte, until both directions have ended.

Each end writes what it receives to the other's transport, and stops reading while the other's buffer is full; a
direction in which a lot moves is left to the kernel, see splicing.py. A half-close is passed on where both sides can
have one; where one cannot (TLS in Twisted), the end of one direction ends both. From here on nothing of HTTP is ever
written.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableDescriptor, ISSLTransport
from twisted.python.failure import Failure

from twistproxy.splicing import BULK, LONG, Flow, Splicer
from twistproxy.sweep import NEVER, TICK, Sweeper
from twistproxy.writing import Writer


@frozen
class TunnelStatistics:
    """What a tunnel moved, in bytes, and why it ended.

    @ivar reason: C{"closed"}, C{"reset"} or C{"idle"}.
    """

    fromClient: int
    fromUpstream: int
    reason: str


def canHalfClose(transport: object) -> bool:
    """Whether one direction of a transport can end before the other: TCP and UNIX sockets, never TLS in Twisted.

    C{TLSMemoryBIOProtocol} passes unknown attributes on to the TCP transport below it, so that asking for
    C{loseWriteConnection} would cut TLS short without a close_notify: the type decides, not the attribute.
    """
    if ISSLTransport.providedBy(transport):
        return False
    return hasattr(transport, "loseWriteConnection") or IHalfCloseableDescriptor.providedBy(transport)


class TunnelEnd:
    """One side of a tunnel: what its protocol passes on once HTTP is over.

    @ivar received: bytes that came in here.
    @ivar inputEnded: whether this side will send no more.
    @ivar flow: what takes our input while the kernel moves it.
    """

    __slots__ = ("_bulk", "_tunnel", "_write", "flow", "inputEnded", "isLost", "other", "received", "transport", "writer")

    other: TunnelEnd
    writer: Writer
    _write: Callable[[list[bytes]], None]

    def __init__(self, tunnel: Tunnel, transport: Any) -> None:
        self._tunnel = tunnel
        self.transport = transport
        self.received = 0
        self.inputEnded = False
        self.isLost = False
        self.flow: Flow | None = None
        self._bulk = 0  # received in large pieces since the last flow

    def join(self, other: TunnelEnd) -> None:
        """C{other} is where everything goes, and what stops this side when there is too much of it."""
        self.other = other
        self._write = other.writer.write
        if other.writer.handOver(other):
            self.transport.pauseProducing()

    def dataReceived(self, data: bytes) -> None:
        """Pass it on."""
        size = len(data)
        self.received += size
        tunnel = self._tunnel
        tunnel.deadline = tunnel.sweeper.now + tunnel.patience
        self._write([data])
        if size >= BULK:
            self._bulk += size
            if self._bulk >= LONG:
                self._splice()

    def _splice(self) -> bool:
        """Leave our input to the kernel, if it is worth that and can be now.

        @return: whether that was done.
        """
        splicer, other = self._tunnel.splicer, self.other
        if splicer is None or self._bulk < LONG or self.flow is not None or self.inputEnded or other.isLost:
            return False
        self.flow = flow = splicer.begin(self, self.transport, other.transport, other.writer)
        if flow is not None:
            flow.start()
        return flow is not None

    def flowMoved(self, size: int) -> None:
        """L{twistproxy.splicing.FlowSource}."""
        self.received += size
        tunnel = self._tunnel
        tunnel.deadline = tunnel.sweeper.now + tunnel.patience

    def flowEnded(self) -> None:
        """L{twistproxy.splicing.FlowSource}."""
        self.flow = None
        self._bulk = 0
        if not self.isLost and not self.other.writer.isFull:
            self.transport.resumeProducing()

    def flowBroken(self, error: OSError) -> None:
        """L{twistproxy.splicing.FlowSource}: cut this side, and the other with it."""
        if not self.isLost:
            self.transport.abortConnection()

    def writingPaused(self) -> None:
        """L{twistproxy.writing.WritingOwner}: our buffer is full."""
        self.other.transport.pauseProducing()

    def writingResumed(self) -> None:
        """It is empty again."""
        other = self.other
        if not other.inputEnded and not other._splice():  # else Twisted would read the end of the input again and again
            other.transport.resumeProducing()

    def readConnectionLost(self) -> None:
        """This side sends no more: pass that on, once what it sent is written."""
        if self.inputEnded:
            return
        self.inputEnded = True
        other = self.other
        if other.isLost:
            self.transport.loseConnection()
            return
        other.writer.stop()
        if other.inputEnded or not canHalfClose(other.transport) or not canHalfClose(self.transport):
            self._tunnel.finish("closed")
        else:
            other.transport.loseWriteConnection()

    def connectionLost(self, reason: Failure) -> None:
        """This side is gone: the other follows, in the same manner."""
        self.isLost = self.inputEnded = True
        other = self.other
        if self.flow is not None:
            self.flow.leave()
        if other.flow is not None:
            other.flow.leave(deliver=False)
        clean = reason.check(ConnectionDone) is not None
        if not other.isLost:
            other.writer.stop()
            if clean:
                other.transport.loseConnection()
            else:
                other.transport.abortConnection()
        self._tunnel.sideLost("closed" if clean else "reset")


class Tunnel:
    """Two transports and what joins them.

    @ivar client: the end towards the client; its protocol passes on its events there.
    @ivar upstream: the same towards the upstream.
    @ivar deadline: see L{twistproxy.sweep.Watched}: a tunnel in which nothing moves is closed.
    @ivar patience: seconds in which something has to move, by the time of C{sweeper}; see L{Sweeper.after}.
    @ivar splicer: leaves directions to the kernel; None where nothing is to be.
    """

    __slots__ = ("_ended", "_reason", "client", "deadline", "patience", "splicer", "sweeper", "upstream")

    def __init__(
        self,
        client: Any,
        upstream: Any,
        sweeper: Sweeper,
        idleTimeout: float,
        ended: Callable[[TunnelStatistics], None],
        splicer: Splicer | None = None,
    ) -> None:
        self.sweeper = sweeper
        self.splicer = splicer
        self.patience = idleTimeout + TICK
        self._ended: Callable[[TunnelStatistics], None] | None = ended
        self._reason = ""
        self.client = TunnelEnd(self, client)
        self.upstream = TunnelEnd(self, upstream)
        self.deadline = NEVER

    def start(self, fromClient: bytes, fromUpstream: bytes) -> None:
        """Splice. Both ends have their writers; reading goes on wherever it was paused.

        @param fromClient: what the client had sent behind its request.
        @param fromUpstream: what the upstream had sent behind its 101.
        """
        self.deadline = self.sweeper.now + self.patience
        self.sweeper.watch(self)
        self.client.join(self.upstream)
        self.upstream.join(self.client)
        if fromUpstream:
            self.upstream.dataReceived(fromUpstream)
        if fromClient:
            self.client.dataReceived(fromClient)

    def deadlinePassed(self) -> None:
        """Nothing moved for too long."""
        self.finish("idle")

    def finish(self, reason: str) -> None:
        """Close both sides, once what was received is written."""
        self._reason = self._reason or reason
        self.deadline = self.sweeper.now + self.patience  # for a side that does not take what is left
        for end in (self.client, self.upstream):
            if end.flow is not None:
                end.flow.leave()
        for end in (self.client, self.upstream):
            if not end.isLost:
                end.writer.stop()
                if reason == "idle":
                    end.transport.abortConnection()
                else:
                    end.transport.loseConnection()

    def sideLost(self, reason: str) -> None:
        """One side is gone; after the other, so is the tunnel."""
        self._reason = self._reason or reason
        if self.client.isLost and self.upstream.isLost and self._ended is not None:
            ended, self._ended = self._ended, None
            self.deadline = NEVER
            self.sweeper.forget(self)
            ended(TunnelStatistics(self.client.received, self.upstream.received, self._reason))
