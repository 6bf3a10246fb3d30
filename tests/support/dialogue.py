"""Both ends of real connections as a test's coroutine sees them: write, wait for what must come, close in any manner.

Everything awaited here comes within L{LIMIT} seconds or fails the test with what had come until then.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import UNIXServerEndpoint, connectProtocol
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol, IPullProducer, IReactorTime, IStreamServerEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.support.messages import Head, Message, fieldsOf, headOf

LIMIT = 6.0
"""Seconds until something that has not happened never will."""


async def settled(clock: IReactorTime, value: Callable[[], object], quiet: float = 0.25) -> None:
    """Wait until a value has not changed for C{quiet} seconds."""
    before = None
    while (now := value()) != before:
        before = now
        await deferLater(clock, quiet)


class Condition:
    """Lets coroutines wait until something holds."""

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._waiting: list[Deferred[None]] = []

    def changed(self) -> None:
        """Look again."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            if not each.called:
                each.callback(None)

    async def until(self, holds: Callable[[], bool], what: Callable[[], str], limit: float = LIMIT) -> None:
        """Wait until C{holds()}; C{what()} tells what is the matter if that never comes."""
        deadline = self._clock.seconds() + limit
        while not holds():
            looking: Deferred[None] = Deferred()
            self._waiting.append(looking)
            timer = self._clock.callLater(max(0.0, deadline - self._clock.seconds()), looking.cancel)
            try:
                await looking
            except CancelledError:
                raise AssertionError(what()) from None
            finally:
                if timer.active():
                    timer.cancel()


@implementer(IPullProducer)
class _Pouring:
    """Sends when there is room.

    @ivar poured: bytes given to the transport; all but the last piece were taken by the kernel.
    @ivar done: whether that was all.
    """

    def __init__(self, peer: Peer, piece: bytes, count: int) -> None:
        self._peer = peer
        self._piece = piece
        self._left = count
        self.poured = 0
        self.done = False
        peer.transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """The last piece is gone."""
        if self._left:
            self._left -= 1
            self.poured += len(self._piece)
            self._peer.transport.write(self._piece)
        else:
            self.done = True
            self._peer.transport.unregisterProducer()

    def stopProducing(self) -> None:
        """The connection is lost."""


@implementer(IHalfCloseableProtocol)
class Peer(Protocol):
    """One end of a connection.

    @ivar received: bytes that came and were not read yet.
    @ivar total: how many came.
    @ivar inputEnded: whether the other end sends no more.
    @ivar reason: why the connection is gone, once it is.
    @ivar disconnected: whether this end has closed, or half-closed.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._changes = Condition(clock)
        self.disconnected = False
        self.received = bytearray()
        self.total = 0
        self.inputEnded = False
        self.reason: Failure | None = None

    def __repr__(self) -> str:
        state = f"gone: {self.reason.getErrorMessage()}" if self.reason else "ended" if self.inputEnded else "open"
        return f"<Peer {state}, unread: {bytes(self.received[:2000])!r}>"

    # From the transport.

    def connectionMade(self) -> None:
        if hasattr(self.transport, "setTcpNoDelay"):
            self.transport.setTcpNoDelay(True)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.total += len(data)
        self._changes.changed()

    def readConnectionLost(self) -> None:
        self.inputEnded = True
        self._changes.changed()

    def writeConnectionLost(self) -> None:
        pass

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008 - as Twisted's
        self.inputEnded = True
        self.reason = reason
        self._changes.changed()

    # What a test does.

    def write(self, *pieces: bytes) -> None:
        """Send, in one piece."""
        self.transport.write(b"".join(pieces))

    async def dribble(self, data: bytes, size: int = 1) -> None:
        """Send in segments of C{size} bytes."""
        for at in range(0, len(data), size):
            self.transport.write(data[at : at + size])
            await deferLater(self._clock, 0)

    def pour(self, piece: bytes, count: int) -> _Pouring:
        """Send C{piece} so many times, as fast as it is taken and no faster."""
        return _Pouring(self, piece, count)

    def finish(self) -> None:
        """Half-close: send no more."""
        self.disconnected = True
        self.transport.loseWriteConnection()

    def close(self) -> None:
        """Close, after what was written."""
        self.disconnected = True
        self.transport.loseConnection()

    def abort(self) -> None:
        """Reset the connection: the process was killed."""
        self.disconnected = True
        self.transport.abortConnection()

    def pause(self) -> None:
        """Read no more from the socket."""
        self.transport.pauseProducing()

    def resume(self) -> None:
        """Read again."""
        self.transport.resumeProducing()

    async def until(self, holds: Callable[[], bool], limit: float = LIMIT) -> None:
        """Wait until C{holds()} after something came."""
        await self._changes.until(holds, lambda: f"it never came: {self!r}", limit)

    async def _until(self, holds: Callable[[], bool]) -> None:
        await self.until(lambda: holds() or self.inputEnded)
        if not holds():
            raise AssertionError(f"the connection ended too early: {self!r}")

    def _take(self, count: int) -> bytes:
        taken = bytes(self.received[:count])
        del self.received[:count]
        return taken

    async def read(self, count: int) -> bytes:
        """Exactly so many bytes."""
        await self._until(lambda: len(self.received) >= count)
        return self._take(count)

    async def readUntil(self, mark: bytes) -> bytes:
        """Everything to the end of C{mark}."""
        await self._until(lambda: mark in self.received)
        return self._take(self.received.index(mark) + len(mark))

    async def readHead(self) -> Head:
        """A message's head."""
        return headOf(await self.readUntil(b"\r\n\r\n"))

    async def readChunk(self) -> bytes:
        """The data of one chunk; empty for the last, whose trailers are not read."""
        size = int((await self.readUntil(b"\r\n")).partition(b";")[0], 16)
        if not size:
            return b""
        data = await self.read(size + 2)
        assert data.endswith(b"\r\n"), data
        return data[:-2]

    async def readTrailers(self) -> list[tuple[bytes, bytes]]:
        """The trailers behind the last chunk."""
        lines = []
        while line := (await self.readUntil(b"\r\n"))[:-2]:
            lines.append(line)
        return fieldsOf(lines)

    async def readBody(self, head: Head) -> tuple[bytes, list[tuple[bytes, bytes]]]:
        """The body behind a head of a request or of a response to anything but HEAD, and its trailers."""
        isResponse = head.line.startswith(b"HTTP/")
        if isResponse and (head.code < 200 or head.code in (204, 304)):
            return b"", []
        if coding := head.get(b"transfer-encoding"):
            assert coding.lower() == b"chunked" and head.get(b"content-length") is None, head
            body = b""
            while data := await self.readChunk():
                body += data
            return body, await self.readTrailers()
        length = head.get(b"content-length")
        if length is not None:
            return await self.read(int(length)), []
        return (await self.readToEnd() if isResponse else b""), []

    async def readMessage(self) -> Message:
        """A whole message."""
        head = await self.readHead()
        return Message(head, *await self.readBody(head))

    async def readToEnd(self) -> bytes:
        """Everything until the other end sends no more; a reset is an error."""
        await self.until(lambda: self.inputEnded)
        assert self.reason is None or self.reason.check(ConnectionDone), self
        return self._take(len(self.received))

    async def ended(self) -> None:
        """Wait until the other end sends no more; nothing may be left unread."""
        await self.until(lambda: self.inputEnded)
        assert not self.received, self

    async def gone(self) -> Failure:
        """Wait until the connection is closed altogether."""
        await self.until(lambda: self.reason is not None)
        assert self.reason is not None
        return self.reason

    async def silent(self, seconds: float = 0.05) -> None:
        """Nothing comes, for a little while."""
        assert not self.received and not self.inputEnded, self
        await deferLater(self._clock, seconds)
        assert not self.received and not self.inputEnded, self


class Upstream(Factory):
    """A server whose connections a test takes up one by one.

    @ivar url: as C{--upstream} takes it.
    @ivar connections: all that were made.
    """

    noisy = False

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._changes = Condition(clock)
        self._new: list[Peer] = []
        self._handler: Callable[[Peer], Any] | None = None
        self.connections: list[Peer] = []
        self.port: Any = None
        self.url = ""

    async def listen(self, endpoint: IStreamServerEndpoint, host: str = "127.0.0.1", scheme: str = "http") -> Upstream:
        """Listen at C{endpoint}; C{host} is how the proxy names it."""
        self.port = await endpoint.listen(self)
        if isinstance(endpoint, UNIXServerEndpoint):
            self.url = f"unix:{self.port.getHost().name.decode()}"
        else:
            self.url = f"{scheme}://{host}:{self.port.getHost().port}"
        return self

    async def stop(self) -> None:
        """Listen no more; connections stay."""
        port, self.port = self.port, None
        if port is not None:
            await port.stopListening()

    def buildProtocol(self, addr: object) -> Peer:
        peer = Peer(self._clock)
        made = peer.connectionMade

        def connectionMade() -> None:
            made()
            self.connections.append(peer)
            if self._handler is not None:
                Deferred.fromCoroutine(self._handler(peer)).addErrback(self._handlerFailed)
            else:
                self._new.append(peer)
                self._changes.changed()

        peer.connectionMade = connectionMade  # type: ignore[method-assign]
        return peer

    def _handlerFailed(self, failure: Failure) -> None:
        # A connection that ends between two requests is how every handler ends.
        failure.trap(AssertionError)

    def handle(self, handler: Callable[[Peer], Any]) -> None:
        """Have every connection from now on served by a coroutine of C{handler}."""
        self._handler = handler

    def answer(self, answer: bytes) -> None:
        """Answer every request on every connection from now on with these bytes."""

        async def serve(peer: Peer) -> None:
            while True:
                await peer.readMessage()
                peer.write(answer)

        self.handle(serve)

    async def accept(self) -> Peer:
        """The next connection."""
        await self._changes.until(lambda: bool(self._new), lambda: "the proxy did not connect to the upstream")
        return self._new.pop(0)

    async def request(self) -> tuple[Peer, Message]:
        """The next connection, and the whole request that it brings."""
        peer = await self.accept()
        return peer, await peer.readMessage()


async def connectPeer(clock: IReactorTime, endpoint: Any) -> Peer:
    """A client at C{endpoint}."""
    peer: Peer = await connectProtocol(endpoint, Peer(clock))
    return peer
