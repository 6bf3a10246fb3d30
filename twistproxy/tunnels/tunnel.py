"""After a 101: two transports spliced, byte for byte, until both directions have ended.

Each end writes what it receives to the other's transport, and stops reading while the other's buffer is full; a
direction in which a lot moves is left to the kernel, see splicing.py. A half-close is passed on where both sides can
have one; where one cannot (TLS in Twisted), the end of one direction ends both. From here on nothing of HTTP is ever
written. Where stages are to slow a direction (tunnelstages.py), its bytes and its end pass them first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import frozen
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableDescriptor, ISSLTransport
from twisted.python.failure import Failure

from twistproxy.bodies.stages import Stage
from twistproxy.errors import ProxyError
from twistproxy.sweep import NEVER, TICK, Sweeper
from twistproxy.tls.transport import SecureTransport
from twistproxy.transports.splicing import BULK, LONG, Flow, Splicer
from twistproxy.transports.writing import Writer
from twistproxy.tunnels.tunnelstages import StagedInput


@frozen
class TunnelStatistics:
    """What a tunnel moved, in bytes, and why it ended.

    @ivar reason: C{"closed"}, C{"reset"}, C{"idle"} or C{"cut"}, by a stage.
    @ivar error: what a stage says that it was.
    """

    fromClient: int
    fromUpstream: int
    reason: str
    error: ProxyError | None = None


def canHalfClose(transport: object) -> bool:
    """Whether one direction of a transport can end before the other: TCP and UNIX sockets, and our TLS 1.3, never Twisted's.

    C{TLSMemoryBIOProtocol} passes unknown attributes on to the TCP transport below it, so that asking for
    C{loseWriteConnection} would cut TLS short without a close_notify: the type decides, not the attribute.
    """
    if isinstance(transport, SecureTransport):
        return transport.canEndOutput
    if ISSLTransport.providedBy(transport):
        return False
    return hasattr(transport, "loseWriteConnection") or IHalfCloseableDescriptor.providedBy(transport)


def endOutput(transport: Any) -> None:
    """End the direction away from us of what can L{half-close<canHalfClose>}."""
    if isinstance(transport, SecureTransport):
        transport.endOutput()  # without a FIN, behind which TLS could not answer its peer's close_notify with more
    else:
        transport.loseWriteConnection()


class TunnelEnd:
    """One side of a tunnel: what its protocol passes on once HTTP is over.

    @ivar received: bytes that came in here.
    @ivar inputEnded: whether this side will send no more.
    @ivar isThrough: whether the other side got all that this one has sent, or will never.
    @ivar flow: what takes our input while the kernel moves it.
    """

    __slots__ = (
        "_bulk", "_staged", "_tunnel", "_write", "flow", "inputEnded", "isLost", "isThrough", "other", "received", "transport",
        "writer",
    )  # fmt: skip

    other: TunnelEnd
    writer: Writer
    _write: Callable[[list[bytes]], None]

    def __init__(self, tunnel: Tunnel, transport: Any) -> None:
        self._tunnel = tunnel
        self.transport = transport
        self.received = 0
        self.inputEnded = False
        self.isThrough = False
        self.isLost = False
        self.flow: Flow | None = None
        self._staged: StagedInput | None = None
        self._bulk = 0  # received in large pieces since the last flow

    def slow(self, stages: Sequence[Stage]) -> None:
        """Have what this side sends pass C{stages}. To be called before C{join}."""
        self._staged = StagedInput(self, stages)

    def join(self, other: TunnelEnd) -> None:
        """C{other} is where everything goes, and what stops this side when there is too much of it."""
        self.other = other
        self._write = other.writer.write if self._staged is None else self._staged.write
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
        if self._staged is not None:
            return False
        self.flow = flow = splicer.begin(self, self.transport, other.transport, other.writer)
        if flow is not None:
            flow.start()
        return flow is not None

    def flowMoved(self, size: int) -> None:
        """L{twistproxy.transports.splicing.FlowSource}."""
        self.received += size
        tunnel = self._tunnel
        tunnel.deadline = tunnel.sweeper.now + tunnel.patience

    def flowEnded(self) -> None:
        """L{twistproxy.transports.splicing.FlowSource}."""
        self.flow = None
        self._bulk = 0
        if not self.isLost and not self.other.writer.isFull:
            self.transport.resumeProducing()

    def flowBroken(self, error: OSError) -> None:
        """L{twistproxy.transports.splicing.FlowSource}: cut this side, and the other with it."""
        if not self.isLost:
            self.transport.abortConnection()

    def writingPaused(self) -> None:
        """L{twistproxy.transports.writing.WritingOwner}: our buffer is full."""
        self.other.transport.pauseProducing()

    def writingResumed(self) -> None:
        """It is empty again."""
        other = self.other
        if not other._splice():
            other.resumeInput()

    # Stages: L{twistproxy.tunnels.tunnelstages.InputOwner}.

    def passOn(self, data: bytes) -> None:
        """Stages let go of these."""
        other, tunnel = self.other, self._tunnel
        if not other.isLost:
            tunnel.deadline = tunnel.sweeper.now + tunnel.patience
            other.writer.write([data])

    def pauseInput(self) -> None:
        """They have enough."""
        if not self.isLost:
            self.transport.pauseProducing()

    def resumeInput(self) -> None:
        """Read on, unless stages or the other's writer have enough, or Twisted would read the end of the input again and
        again."""
        isHeld = self._staged is not None and self._staged.holds
        if not (self.inputEnded or isHeld or self.other.writer.isFull):
            self.transport.resumeProducing()

    def cut(self, error: ProxyError) -> None:
        """They end the tunnel."""
        self._tunnel.cut(error)

    @property
    def isHolding(self) -> bool:
        """Whether stages have something for the other side, be it only the end."""
        return self._staged is not None and not self.isThrough

    def stopInput(self) -> None:
        """What this side has sent until now is all."""
        self.pauseInput()
        self.inputEnded = True
        if self._staged is not None:
            self._staged.end()

    def drop(self) -> None:
        """What stages hold goes nowhere."""
        self.isThrough = True
        if self._staged is not None:
            self._staged.close()

    # Ends.

    def readConnectionLost(self) -> None:
        """This side sends no more: pass that on, once what it sent is written."""
        if self.inputEnded:
            return
        self.inputEnded = True
        if self._staged is None:
            self.allPassed()
        else:
            self._staged.end()

    def allPassed(self) -> None:
        """All that this side sent is written, or about to be."""
        self.isThrough = True
        other = self.other
        isLast = self.isLost or other.isLost or other.isThrough
        if isLast or not canHalfClose(other.transport) or not canHalfClose(self.transport):
            self._tunnel.finish("closed")
        else:
            other.writer.stop()
            endOutput(other.transport)

    def connectionLost(self, reason: Failure) -> None:
        """This side is gone: the other follows, in the same manner."""
        hadEnded = self.inputEnded
        self.isLost = self.inputEnded = True
        other = self.other
        if self.flow is not None:
            self.flow.leave()
        if other.flow is not None:
            other.flow.leave(deliver=False)
        clean = reason.check(ConnectionDone) is not None
        other.drop()
        if self._staged is not None and self.isHolding and not other.isLost and (clean or hadEnded):
            self._staged.end()
        else:
            self.drop()
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

    __slots__ = ("_ended", "_error", "_reason", "client", "deadline", "patience", "splicer", "sweeper", "upstream")

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
        self._error: ProxyError | None = None
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

    def cut(self, error: ProxyError) -> None:
        """Close both sides, once what stages have let go of is written."""
        self._error = error
        self.client.drop()
        self.upstream.drop()
        self.finish("cut")

    def finish(self, reason: str) -> None:
        """Close both sides, once what was received is written: as long as stages hold any of it, stop reading only."""
        waiting = [end for end in (self.client, self.upstream) if end.isHolding and reason != "idle"]
        for end in waiting:
            end.stopInput()
        if waiting:
            return  # the last of them comes here again
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
            ended(TunnelStatistics(self.client.received, self.upstream.received, self._reason, self._error))
