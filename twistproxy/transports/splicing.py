"""Bytes from one socket to another in the kernel: splice(2) through a pipe, where both transports are plain sockets.

A L{Flow} takes the place of one direction between two transports, once a lot was moved that way and nothing is held on
it. It works on duplicates of both descriptors, while the source's transport is paused: transports keep theirs, and those
that would not have their own watched don't notice. It knows no HTTP, closes nothing and decides about no timeout.
Whenever anything happens but bytes that move (the end of the input, an error, nothing for a second, no pipe left) it
leaves: what is in its pipe is written, the source's transport reads again, and all that follows is found out and dealt
with in the ordinary way.

A pipe is taken from the pool when there is something to move, and given back when it is empty, mostly in the same turn
of the reactor: only flows whose target takes no more keep theirs, for a second or two.
"""

from __future__ import annotations

import fcntl
import os
import socket
import sys
from typing import Any, Final
from typing import Protocol as Shape

from twisted.internet.interfaces import IReadDescriptor, ISSLTransport, IWriteDescriptor
from twisted.internet.tcp import Connection
from twisted.python.failure import Failure
from zope.interface import Interface, implementer

from twistproxy.sweep import NEVER, TICK, Sweeper
from twistproxy.transports.writing import Writer

LONG: Final = 256 << 10
"""Bytes that a direction has to have moved, or a body has to have left, before it is worth the setting up of a flow."""

BULK: Final = 16 << 10
"""Only what comes in pieces of at least this size counts: system calls are not saved by splicing small messages."""

ENDLESS: Final = 1 << 62
"""The length of a flow that lasts until the end of its input."""

PIPE_SIZE: Final = 256 << 10
"""Bytes of a pipe, as far as the system lets us have it: so much is held at most of one direction. Linux counts a pipe's
slots by pages, and a slot takes one fragment of a segment, which may be as short as the network's packets."""

_TURNS: Final = 4
"""How often a flow fills its pipe before others have their turn."""

MAX_PIPES: Final = 64
"""Pipes of one proxy. Linux allows an unprivileged user 64 MiB of pipes, over all processes (pipe(7))."""

_QUIET: Final = 1.0
"""Seconds without any movement after which a flow leaves; see L{twistproxy.sweep}."""

_FEWEST: Final = 64 << 10
"""A pipe that is smaller, because its user has too many, is of no use."""

_F_SETPIPE_SZ: Final = getattr(fcntl, "F_SETPIPE_SZ", 1031)
_F_GETPIPE_SZ: Final = getattr(fcntl, "F_GETPIPE_SZ", 1032)

splice: Any = getattr(os, "splice", None)
_FLAGS: Final = getattr(os, "SPLICE_F_NONBLOCK", 2) | getattr(os, "SPLICE_F_MOVE", 1)


class ISpliceable(Interface):
    """A transport of another reactor's that can be nothing but a socket of the kernel's."""

    def spliceableDescriptor() -> int | None:
        """The descriptor of the socket, if nothing that was read is held above it; None otherwise, and for TLS."""


class FlowSource(Shape):
    """Who reads the input that is spliced, when it is not."""

    def flowMoved(self, size: int) -> None:
        """So many bytes left the source."""

    def flowEnded(self) -> None:
        """The flow has left: the source's transport is to be read again, unless there is a reason against it."""

    def flowBroken(self, error: OSError) -> None:
        """The source's connection is broken; told behind C{flowEnded}, as the transport may see a clean end now."""


class Pipe:
    """A pipe of the kernel's.

    @ivar intake: the descriptor that is written to.
    @ivar outlet: the one that is read from.
    """

    __slots__ = ("intake", "outlet")

    def __init__(self) -> None:
        """@raise OSError: when there is none to be had, or only one that is of no use."""
        self.outlet, self.intake = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            try:
                fcntl.fcntl(self.intake, _F_SETPIPE_SZ, PIPE_SIZE)
            except PermissionError:
                if fcntl.fcntl(self.intake, _F_GETPIPE_SZ) < _FEWEST:
                    raise
        except OSError:
            self.close()
            raise

    def take(self, size: int) -> bytes:
        """The C{size} bytes that are in it."""
        pieces = []
        while size:
            pieces.append(os.read(self.outlet, size))
            size -= len(pieces[-1])
        return b"".join(pieces)

    def close(self) -> None:
        """Be done with it, and with what is in it."""
        os.close(self.intake)
        os.close(self.outlet)


class Pipes:
    """The pipes of one proxy: made when needed, kept when empty.

    @ivar made: how many there are, in use or not.
    """

    def __init__(self, most: int = MAX_PIPES) -> None:
        self._most = most
        self._empty: list[Pipe] = []
        self._isClosed = False
        self.made = 0

    def take(self) -> Pipe | None:
        """An empty pipe; None when there are too many."""
        if self._empty:
            return self._empty.pop()
        if self.made >= self._most:
            return None
        try:
            made = Pipe()
        except OSError:
            return None
        self.made += 1
        return made

    def give(self, pipe: Pipe) -> None:
        """Take back a pipe, which is empty."""
        if self._isClosed:
            self.made -= 1
            pipe.close()
        else:
            self._empty.append(pipe)

    def close(self) -> None:
        """Keep none any longer; those in use are closed when they are empty."""
        self._isClosed = True
        empty, self._empty = self._empty, []
        for each in empty:
            self.give(each)


@implementer(IWriteDescriptor)
class _Outlet:
    """What the reactor watches for a flow that waits for its target."""

    __slots__ = ("_flow",)

    def __init__(self, flow: Flow) -> None:
        self._flow = flow

    def fileno(self) -> int:
        return self._flow.target

    def doWrite(self) -> None:
        self._flow.targetReady()

    def connectionLost(self, reason: Failure) -> None:
        self._flow.leave()

    def logPrefix(self) -> str:
        return "flow"


@implementer(IReadDescriptor)
class Flow:
    """One direction, from a source to a target.

    @ivar deadline: see L{twistproxy.sweep.Watched}.
    @ivar target: our descriptor of the target; -1 once the flow has left.
    @ivar isWaiting: whether the target takes no more for now.
    """

    __slots__ = (
        "_held", "_isOver", "_isWatching", "_left", "_outlet", "_pipe", "_pipes", "_reactor", "_source", "_sourceFile",
        "_sweeper", "_transport", "_writer", "deadline", "isWaiting", "target",
    )  # fmt: skip

    def __init__(
        self,
        reactor: Any,
        sweeper: Sweeper,
        pipes: Pipes,
        source: FlowSource,
        transport: Any,
        sourceFile: int,
        writer: Writer,
        target: int,
        length: int,
    ) -> None:
        """Both descriptors are the flow's, to be closed by it.

        @param transport: the source's.
        @param writer: the target's, with nothing in its transport's buffer.
        @param length: most bytes to be moved.
        """
        self._reactor = reactor
        self._sweeper = sweeper
        self._pipes = pipes
        self._source = source
        self._transport = transport
        self._sourceFile = sourceFile
        self._writer = writer
        self.target = target
        self._left = length
        self._held = 0  # in the pipe
        self._pipe: Pipe | None = None
        self._outlet: _Outlet | None = None
        self._isOver = False
        self._isWatching = False
        self.isWaiting = False
        self.deadline = sweeper.after(_QUIET)

    def start(self) -> bool:
        """Move what there is, at once; if that was not all, have the reactor tell of more.

        @return: whether it goes on.
        """
        self._move()
        if self._isOver:
            return False
        self._transport.pauseProducing()
        self._isWatching = True
        if self.isWaiting:
            self._reactor.addWriter(self._watchedTarget())
        else:
            self._reactor.addReader(self)
        self._sweeper.watch(self)
        return True

    def fileno(self) -> int:
        """L{IReadDescriptor}: the source's."""
        return self._sourceFile

    def logPrefix(self) -> str:
        """L{IReadDescriptor}."""
        return "flow"

    def connectionLost(self, reason: Failure) -> None:
        """L{IReadDescriptor}: the reactor has noticed an end, or ends itself."""
        self.leave()

    def doRead(self) -> None:
        """L{IReadDescriptor}: the source has something."""
        self._move()

    def _move(self) -> None:
        turns = _TURNS
        while turns and not self._isOver and not self.isWaiting:
            turns = turns - 1 if self._fill() else 0

    def _fill(self) -> bool:
        """Move what the source has, or as much of it as fits.

        @return: whether there may be more.
        """
        pipe = self._pipes.take()
        if pipe is None:
            self.leave()
            return False
        wanted = min(self._left, PIPE_SIZE)
        try:
            size = splice(self._sourceFile, pipe.intake, wanted, flags=_FLAGS)
        except BlockingIOError:
            self._pipes.give(pipe)
            return False
        except OSError as error:
            self._pipes.give(pipe)
            source = self._source
            self.leave()
            source.flowBroken(error)
            return False
        if not size:
            self._pipes.give(pipe)
            self.leave()  # the source's transport comes to this end by itself
            return False
        self._pipe = pipe
        self._held = size
        self._left -= size
        self._source.flowMoved(size)
        self._empty()
        return bool(size == wanted)

    def targetReady(self) -> None:
        """The target takes more."""
        if not self._isOver:
            self._empty()

    def _empty(self) -> None:
        """Move what is in the pipe on."""
        pipe = self._pipe
        assert pipe is not None
        self.deadline = self._sweeper.now + _QUIET + TICK
        try:
            self._held -= splice(pipe.outlet, self.target, self._held, flags=_FLAGS)
        except BlockingIOError:
            pass
        except OSError:
            self.leave()  # the target's transport finds out about it when it is given the rest
            return
        if self._held:
            if not self.isWaiting:
                self._wait()
            return
        self._pipe = None
        self._pipes.give(pipe)
        if not self._left:
            self.leave()
        elif self.isWaiting:
            self.isWaiting = False
            self._reactor.removeWriter(self._outlet)
            self._reactor.addReader(self)

    def _wait(self) -> None:
        self.isWaiting = True
        if self._isWatching:
            self._reactor.removeReader(self)
            self._reactor.addWriter(self._watchedTarget())

    def _watchedTarget(self) -> _Outlet:
        if self._outlet is None:
            self._outlet = _Outlet(self)
        return self._outlet

    def deadlinePassed(self) -> None:
        """Nothing moved for a while: timeouts and half-full buffers are not our business, and neither are idle
        descriptors worth keeping."""
        self.leave()

    def leave(self, deliver: bool = True) -> None:
        """End: everything is as it was before the flow. Harmless when it has ended.

        @param deliver: whether the target still wants what left the source.
        """
        if self._isOver:
            return
        self._isOver = True
        self.deadline = NEVER
        if self._isWatching:
            self._sweeper.forget(self)
            if self.isWaiting:
                self._reactor.removeWriter(self._outlet)
            else:
                self._reactor.removeReader(self)
        self.isWaiting = False
        os.close(self._sourceFile)
        os.close(self.target)
        self._sourceFile = self.target = -1
        pipe, self._pipe = self._pipe, None
        if pipe is not None:
            rest = pipe.take(self._held)
            self._pipes.give(pipe)
            if deliver:
                self._writer.write([rest])
        source = self._source
        del self._source, self._transport, self._writer, self._outlet  # whoever still knows of us keeps nobody else
        source.flowEnded()


def descriptorOf(transport: Any) -> int | None:
    """The descriptor of a transport that is nothing but a socket of the kernel's; None for all others.

    The type decides, as wrappers claim the interfaces of what they wrap, and would be passed by.
    """
    if ISpliceable.implementedBy(type(transport)):
        own: int | None = transport.spliceableDescriptor()
        return own
    if not isinstance(transport, Connection) or ISSLTransport.providedBy(transport) or not transport.connected:
        return None
    handle = transport.getHandle()
    return handle.fileno() if isinstance(handle, socket.socket) else None


class Splicer:
    """Begins flows.

    @ivar pipes: those of all its flows.
    """

    def __init__(self, reactor: Any, sweeper: Sweeper) -> None:
        self._reactor = reactor
        self._sweeper = sweeper
        self._isAble = splice is not None and sys.platform == "linux" and hasattr(reactor, "addReader")
        self.pipes = Pipes()

    def begin(
        self, source: FlowSource, sourceTransport: Any, targetTransport: Any, writer: Writer, length: int = ENDLESS
    ) -> Flow | None:
        """A flow between two transports, if there can be one now, to be started by C{source}.

        Nothing of what was received may be held anywhere.

        @param writer: the target's.
        @param length: most bytes to be moved.
        """
        if not self._isAble:
            return None
        writer.flush()
        if not writer.isEmpty:
            return None
        sourceFile, target = descriptorOf(sourceTransport), descriptorOf(targetTransport)
        if sourceFile is None or target is None:
            return None
        try:
            ours = os.dup(sourceFile)
        except OSError:
            return None
        try:
            target = os.dup(target)
        except OSError:
            os.close(ours)
            return None
        return Flow(self._reactor, self._sweeper, self.pipes, source, sourceTransport, ours, writer, target, length)

    def close(self) -> None:
        """Be done with the pipes that are not in use."""
        self.pipes.close()
