"""Both writers: what is sent at the turn's end, what waits in the transport, and who is told when that is too much."""

from __future__ import annotations

import errno
from socket import MSG_MORE
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.testing import MemoryNetwork
from twistproxy.transports.writing import HIGH_WATER, EagerWriter, PlainWriter, writerFor


class Socket:
    """Takes so many bytes at a time."""

    def __init__(self) -> None:
        self.room: list[int | OSError] = []
        self.taken = b""
        self.calls: list[str] = []
        self.flags: list[int] = []

    def _take(self, name: str, data: bytes) -> int:
        self.calls.append(name)
        room = self.room.pop(0) if self.room else len(data)
        if isinstance(room, OSError):
            raise room
        self.taken += data[:room]
        return min(room, len(data))

    def send(self, data: bytes, flags: int = 0) -> int:
        self.flags.append(flags)
        return self._take("send", data)

    def sendmsg(self, pieces: list[bytes]) -> int:
        return self._take("sendmsg", b"".join(pieces))


class Transport:
    """Keeps what is written; the test says when it is gone."""

    def __init__(self) -> None:
        self.reactor = Clock()
        self.handle = Socket()
        self.buffer = b""
        self.producer: Any = None
        self.streaming: bool | None = None
        self.aborted = self.closed = 0

    def getHandle(self) -> Socket:
        return self.handle

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        self.producer, self.streaming = producer, streaming

    def unregisterProducer(self) -> None:
        self.producer = None

    def write(self, data: bytes) -> None:
        self.buffer += data
        if self.streaming and len(self.buffer) > HIGH_WATER:
            self.producer.pauseProducing()

    def writeSequence(self, pieces: list[bytes]) -> None:
        self.write(b"".join(pieces))

    def abortConnection(self) -> None:
        self.aborted += 1

    def loseConnection(self) -> None:
        self.closed += 1

    def empty(self) -> None:
        self.buffer = b""
        if self.producer is not None:
            self.producer.resumeProducing()


class Owner:
    def __init__(self) -> None:
        self.told: list[str] = []

    def writingPaused(self) -> None:
        self.told.append("paused")

    def writingResumed(self) -> None:
        self.told.append("resumed")


class WriterTests:
    """What holds for both."""

    make: Any

    def setUp(self: Any) -> None:
        self.transport, self.owner = Transport(), Owner()
        self.socket = self.transport.handle
        self.writer = self.make(self.transport, self.owner)

    def write(self: Any, *pieces: bytes) -> None:
        """Write, and end the turn."""
        self.writer.write(list(pieces))
        self.endTurn()

    def endTurn(self: Any) -> None:
        self.transport.reactor.advance(0)

    def full(self: Any) -> None:
        """The socket takes nothing more."""
        self.socket.room = [OSError(errno.EAGAIN, "full")] * 100

    def test_closesBehindWhatWasWritten(self: Any) -> None:
        self.writer.write([b"a"])
        self.writer.close()
        self.endTurn()
        self.assertEqual((self.socket.taken or self.transport.buffer, self.transport.closed), (b"a", 1))
        self.assertEqual(self.transport.producer, None)
        self.endTurn()
        self.assertEqual(self.transport.closed, 1)

    def test_closesWithNothingWritten(self: Any) -> None:
        self.writer.close()
        self.endTurn()
        self.assertEqual(self.transport.closed, 1)

    def test_tellsThatNotAllIsSent(self: Any) -> None:
        self.socket.room = [1, OSError(errno.EAGAIN, "full")]
        self.writer.write([b"ab"])
        self.writer.close()
        self.endTurn()
        self.assertEqual((self.socket.taken + self.transport.buffer, self.transport.closed), (b"ab", 1))
        self.assertEqual(self.owner.told, ["paused"])

    def test_pausedOnceAndResumed(self: Any) -> None:
        self.full()
        for _ in range(5):
            self.writer.write([b"x" * (HIGH_WATER - 1), b"yy"])
        self.assertEqual(self.owner.told, ["paused"])
        self.transport.empty()
        self.assertEqual(self.owner.told, ["paused", "resumed"])
        self.transport.empty()
        self.assertEqual(self.owner.told, ["paused", "resumed"])

    def test_notPausedForALittle(self: Any) -> None:
        self.full()
        self.write(b"x" * 100)
        self.transport.empty()
        self.assertEqual(self.owner.told, [])

    def test_fullUntilItIsEmpty(self: Any) -> None:
        self.full()
        self.assertFalse(self.writer.isFull)
        self.writer.write([b"x" * HIGH_WATER * 2])
        self.assertTrue(self.writer.isFull)
        self.assertFalse(self.writer.isEmpty)
        self.transport.empty()
        self.assertFalse(self.writer.isFull)

    def test_handedOver(self: Any) -> None:
        self.full()
        other = Owner()
        self.assertFalse(self.writer.handOver(other))
        self.writer.write([b"x" * HIGH_WATER * 2])
        self.assertEqual((self.owner.told, other.told), ([], ["paused"]))
        third = Owner()
        self.assertTrue(self.writer.handOver(third))
        self.transport.empty()
        self.assertEqual((other.told, third.told), (["paused"], ["resumed"]))

    def test_stopped(self: Any) -> None:
        self.writer.stop()
        self.assertIsNone(self.transport.producer)

    def test_resetWhenAllIsGone(self: Any) -> None:
        self.writer.reset()
        self.assertEqual(self.transport.aborted, 1)

    def test_resetAfterWhatIsHeld(self: Any) -> None:
        self.full()
        self.writer.write([b"x" * HIGH_WATER * 2])
        self.writer.reset()
        self.assertEqual(self.transport.aborted, 0)
        self.transport.empty()
        self.assertEqual(self.transport.aborted, 1)

    def test_lost(self: Any) -> None:
        self.transport.producer.stopProducing()
        self.assertEqual(self.owner.told, [])


class PlainWriterTests(WriterTests, SynchronousTestCase):
    make = PlainWriter

    def test_leavesItToTheTransport(self) -> None:
        self.writer.write([b"a"])
        self.writer.write([b"b", b"c"])
        self.assertEqual((self.transport.buffer, self.socket.taken, self.transport.streaming), (b"abc", b"", True))


class EagerWriterTests(WriterTests, SynchronousTestCase):
    make = EagerWriter

    def test_sendsAtTheEndOfTheTurn(self) -> None:
        self.writer.write([b"a"])
        self.writer.write([b"b", b"c"])
        self.assertEqual(self.socket.calls, [])
        self.assertFalse(self.writer.isEmpty)
        self.endTurn()
        self.assertEqual((self.socket.taken, self.socket.calls, self.transport.buffer), (b"abc", ["send"], b""))
        self.assertTrue(self.writer.isEmpty)
        self.endTurn()
        self.assertEqual(self.socket.calls, ["send"])
        self.assertFalse(self.transport.streaming)

    def test_aLotIsNotKeptForTheEndOfTheTurn(self) -> None:
        for _ in range(10):
            self.writer.write([b"x" * 10000])
        self.assertGreater(len(self.socket.taken), 60000)
        self.endTurn()
        self.assertEqual(len(self.socket.taken), 100000)

    def test_whatIsWrittenLastGoesBeforeTheEnd(self) -> None:
        """Whoever closes the transport afterwards closes it behind all that was written."""
        for end in ("stop", "reset", "flush"):
            self.writer.write([b"last"])
            getattr(self.writer, end)()
            self.assertTrue(self.socket.taken.endswith(b"last"))
            self.setUp()

    def test_allThatWaitIsSentInOneTurn(self) -> None:
        others = [EagerWriter(self.transport, self.owner) for _ in range(3)]
        for writer in (self.writer, *others):
            writer.write([b"x"])
        self.assertEqual(len(self.transport.reactor.getDelayedCalls()), 1)
        self.endTurn()
        self.assertEqual(self.socket.taken, b"xxxx")

    def test_closesAtTheEndOfTheTurn(self) -> None:
        """In the turn in which that is asked for there is time for everything else."""
        for written in ([b"a"], []):
            if written:
                self.writer.write(written)
            self.writer.close()
            self.writer.close()
            self.assertEqual((self.socket.taken, self.transport.closed, self.owner.told), (b"", 0, []))
            self.endTurn()
            self.assertEqual((self.socket.taken, self.transport.closed, self.owner.told), (b"".join(written), 1, []))
            self.assertEqual(self.socket.flags, [MSG_MORE] * len(written))  # the end follows at once
            self.setUp()

    def test_doesNotCloseWhatEndsOtherwise(self) -> None:
        for end in ("stop", "reset", "stopProducing"):
            self.writer.write([b"a"])
            self.writer.close()
            getattr(self.writer, end)()
            self.endTurn()
            self.assertEqual((self.socket.taken, self.transport.closed), (b"a", 0), end)
            self.setUp()

    def test_oneThatFailsHoldsUpNobody(self) -> None:
        bad = EagerWriter(self.transport, self.owner)
        bad._socket = None  # type: ignore[assignment]
        for writer in (bad, self.writer):
            writer.write([b"x"])
        self.endTurn()
        self.assertEqual(self.socket.taken, b"x")
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)

    def test_longAnswersAreNotCopied(self) -> None:
        self.write(b"a" * 20000, b"b" * 20000)
        self.assertEqual((len(self.socket.taken), self.socket.calls), (40000, ["sendmsg"]))

    def test_knowsWhenNothingWaits(self) -> None:
        self.assertTrue(self.writer.isEmpty)
        self.full()
        self.write(b"x")
        self.assertFalse(self.writer.isEmpty)
        self.transport.empty()
        self.assertTrue(self.writer.isEmpty)

    def test_whatDoesNotGoWaits(self) -> None:
        for pieces in ([b"abc"], [b"ab", b"c"], [b"a" * 20000, b"b" * 20000]):
            whole = b"".join(pieces)
            for room in (0, 1, 2, len(whole) - 1, 20000):
                self.setUp()
                self.socket.room = [room]
                self.write(*pieces)
                self.assertEqual(self.socket.taken + self.transport.buffer, whole, (pieces[0][:3], room))
                self.write(b"more")
                self.assertEqual(self.socket.taken + self.transport.buffer, whole + b"more")
                held = room < len(whole)
                self.assertEqual(self.transport.buffer.endswith(b"more"), held, "in order: nothing overtakes what is held")
                self.transport.empty()
                self.write(b"again")
                self.assertTrue(self.socket.taken.endswith(b"again"))

    def test_aBrokenSocket(self) -> None:
        """The transport finds out by itself."""
        for code in (errno.EPIPE, errno.ECONNRESET, errno.EBADF):
            self.setUp()
            self.socket.room = [OSError(code, "broken")]
            self.write(b"a", b"b")
            self.assertEqual(self.transport.buffer, b"ab")


class ChoiceTests(SynchronousTestCase):
    def test_memorySocketsAreNoSockets(self) -> None:
        network = MemoryNetwork()
        server = network.serve("10.0.0.1:80")
        client = network.connect("10.0.0.1:80")
        network.pump()
        self.assertIsInstance(writerFor(client.transport, Owner()), PlainWriter)
        self.assertEqual(len(server.peers), 1)
        network.closePeers()
