"""A flow between two pipes in the place of sockets: what it moves, when it waits, and every reason to leave."""

from __future__ import annotations

import fcntl
import os
import sys
from typing import Any
from unittest import skipUnless

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReadDescriptor, IWriteDescriptor
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twistproxy.sweep import Sweeper
from twistproxy.testing import MemoryNetwork
from twistproxy.transports import splicing
from twistproxy.transports.splicing import ENDLESS, PIPE_SIZE, Flow, Pipe, Pipes, Splicer, descriptorOf

here = skipUnless(splicing.splice is not None and sys.platform == "linux", "splice(2) is Linux's")
PIECE = bytes(range(251)) * 300


class Reactor:
    """Knows who wants to read and write; the test tells them when they can."""

    def __init__(self) -> None:
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()

    def addReader(self, reader: Any) -> None:
        assert reader.fileno() >= 0
        self.readers.add(reader)

    def removeReader(self, reader: Any) -> None:
        assert reader.fileno() >= 0, "the reactor could not find it any more"
        self.readers.discard(reader)

    def addWriter(self, writer: Any) -> None:
        assert writer.fileno() >= 0
        self.writers.add(writer)

    def removeWriter(self, writer: Any) -> None:
        assert writer.fileno() >= 0, "the reactor could not find it any more"
        self.writers.discard(writer)


class Writer:
    """Gets what is left over."""

    isEmpty = True
    isFull = False

    def __init__(self) -> None:
        self.written = b""

    def write(self, pieces: list[bytes]) -> None:
        self.written += b"".join(pieces)

    def flush(self) -> None:
        pass


class Ends:
    """A source, a target and the flow between them; also its owner.

    @ivar told: what the owner was told beside movements.
    """

    def __init__(self, length: int = ENDLESS, most: int = 64, room: int = 1 << 16, starts: bool = True) -> None:
        self.clock = Clock()
        self.sweeper = Sweeper(self.clock)
        self.sweeper.start()
        self.reactor = Reactor()
        self.pipes = Pipes(most)
        self.writer: Any = Writer()
        source, self.feed = os.pipe2(os.O_NONBLOCK)
        self.outlet, target = os.pipe2(os.O_NONBLOCK)
        fcntl.fcntl(self.feed, splicing._F_SETPIPE_SZ, 1 << 20)
        fcntl.fcntl(self.outlet, splicing._F_SETPIPE_SZ, room)
        self.moved = 0
        self.told: list[str] = []
        self.isPaused = False
        self.flow = Flow(self.reactor, self.sweeper, self.pipes, self, self, source, self.writer, target, length)
        if starts:
            self.flow.start()

    def pauseProducing(self) -> None:
        self.isPaused = True

    def flowMoved(self, size: int) -> None:
        self.moved += size

    def flowEnded(self) -> None:
        self.told.append("ended")

    def flowBroken(self, error: OSError) -> None:
        self.told.append(type(error).__name__)

    def turn(self) -> None:
        """What a reactor would do now."""
        for reader in list(self.reactor.readers):
            reader.doRead()
        for writer in list(self.reactor.writers):
            writer.doWrite()

    def take(self, size: int = 1 << 20) -> bytes:
        """What has arrived."""
        try:
            return os.read(self.outlet, size)
        except BlockingIOError:
            return b""

    def close(self) -> None:
        self.flow.leave()
        self.pipes.close()
        assert self.pipes.made == 0
        assert not self.reactor.readers and not self.reactor.writers
        for each in (self.feed, self.outlet):
            if each >= 0:
                os.close(each)


class FlowTestCase(SynchronousTestCase):
    def ends(self, *args: Any, **kwargs: Any) -> Ends:
        made = Ends(*args, **kwargs)
        self.addCleanup(made.close)
        return made


@here
class TestFlow(FlowTestCase):
    def test_interfaces(self) -> None:
        ends = self.ends()
        verifyObject(IReadDescriptor, ends.flow)
        verifyObject(IWriteDescriptor, ends.flow._watchedTarget())

    def test_itMovesAndCounts(self) -> None:
        ends = self.ends()
        for piece in (b"a", b"bc" * 1000, b"d"):
            os.write(ends.feed, piece)
            ends.turn()
            self.assertEqual(ends.take(), piece)
        self.assertEqual((ends.moved, ends.told, ends.writer.written), (2002, [], b""))

    def test_aPipeIsHeldOnlyWhileSomethingIsInIt(self) -> None:
        ends = self.ends(most=1)
        os.write(ends.feed, b"x")
        ends.turn()
        pipe = ends.pipes.take()
        assert pipe is not None
        self.assertIsNone(ends.pipes.take())
        ends.pipes.give(pipe)
        self.assertEqual(ends.pipes.made, 1)

    def test_nothingThereAfterAll(self) -> None:
        ends = self.ends()
        ends.turn()
        self.assertEqual((ends.moved, ends.told), (0, []))
        self.assertEqual(ends.reactor.readers, {ends.flow})

    def test_aFullTargetIsWaitedFor(self) -> None:
        ends = self.ends(room=1 << 12)
        os.write(ends.feed, PIECE)
        ends.turn()
        self.assertTrue(ends.flow.isWaiting)
        self.assertEqual(ends.reactor.readers, set())
        got = ends.take()
        while ends.flow.isWaiting:
            ends.turn()
            got += ends.take()
        self.assertEqual(got, PIECE)
        self.assertEqual(ends.reactor.readers, {ends.flow})
        self.assertEqual(ends.reactor.writers, set())

    def test_itEndsWhereItsLengthEnds(self) -> None:
        ends = self.ends(length=1000)
        os.write(ends.feed, b"x" * 600)
        ends.turn()
        os.write(ends.feed, b"x" * 400 + b"the next message")
        ends.turn()
        self.assertEqual((ends.take(), ends.moved, ends.told), (b"x" * 1000, 1000, ["ended"]))
        self.assertEqual(ends.reactor.readers, set())

    def test_nothingBehindItsLengthIsTaken(self) -> None:
        length = PIPE_SIZE + 10
        ends = self.ends(length=length, room=1 << 20)
        source = os.dup(ends.flow.fileno())
        self.addCleanup(os.close, source)
        for _ in range(4):
            os.write(ends.feed, b"y" * (PIPE_SIZE // 4))
        os.write(ends.feed, b"y" * 10 + b"next")
        ends.turn()
        self.assertEqual((ends.moved, ends.told), (length, ["ended"]))
        self.assertEqual(os.read(source, 100), b"next")

    def test_itEndsOnlyWhenAllArrived(self) -> None:
        ends = self.ends(length=len(PIECE), room=1 << 12)
        os.write(ends.feed, PIECE)
        ends.turn()
        self.assertEqual((ends.moved, ends.told), (len(PIECE), []))
        got = b""
        while not ends.told:
            got += ends.take()
            ends.turn()
        self.assertEqual(got + ends.take(), PIECE)
        self.assertEqual(ends.writer.written, b"")

    def test_theEndOfTheInput(self) -> None:
        ends = self.ends()
        os.write(ends.feed, b"last")
        ends.turn()
        os.close(ends.feed)
        ends.feed = -1
        ends.turn()
        self.assertEqual((ends.take(), ends.told), (b"last", ["ended"]))

    def test_aBrokenTarget(self) -> None:
        """What it did not get is given to the target's transport, which finds out."""
        ends = self.ends()
        os.close(ends.outlet)
        ends.outlet = -1
        os.write(ends.feed, b"for nobody")
        ends.turn()
        self.assertEqual((ends.writer.written, ends.told), (b"for nobody", ["ended"]))

    def test_aBrokenSource(self) -> None:
        ends = self.ends()

        def reset(*args: Any, **kwargs: Any) -> int:
            raise ConnectionResetError

        self.patch(splicing, "splice", reset)
        ends.turn()
        self.assertEqual(ends.told, ["ended", "ConnectionResetError"])

    def test_whatTheReactorNotices(self) -> None:
        for waits in (False, True):
            ends = self.ends(room=1 << 12)
            if waits:
                os.write(ends.feed, PIECE)
                ends.turn()
            (watched,) = ends.reactor.writers if waits else ends.reactor.readers
            watched.connectionLost(Failure(ConnectionLost()))
            self.assertEqual(ends.take() + ends.writer.written, PIECE if waits else b"")
            self.assertEqual(ends.told, ["ended"])

    def test_noPipeLeft(self) -> None:
        ends = self.ends(most=1)
        self.assertIsNotNone(ends.pipes.take())
        os.write(ends.feed, b"x")
        ends.turn()
        self.assertEqual((ends.told, ends.moved, ends.reactor.readers), (["ended"], 0, set()))
        ends.pipes.made = 0

    def test_whatIsThereAlreadyIsMovedAtOnce(self) -> None:
        """And if that was all, the reactor never hears of it, and the source's transport reads on."""
        for length, goesOn in ((10, False), (11, True)):
            ends = self.ends(length=length, starts=False)
            os.write(ends.feed, b"0123456789")
            self.assertEqual(ends.flow.start(), goesOn)
            self.assertEqual((ends.take(), ends.moved, ends.isPaused), (b"0123456789", 10, goesOn))
            self.assertEqual(ends.told, [] if goesOn else ["ended"])
            self.assertEqual(ends.reactor.readers, {ends.flow} if goesOn else set())

    def test_aTargetThatIsFullAtOnce(self) -> None:
        ends = self.ends(room=1 << 12, starts=False)
        os.write(ends.feed, PIECE)
        self.assertTrue(ends.flow.start())
        self.assertEqual((ends.isPaused, len(ends.reactor.readers), len(ends.reactor.writers)), (True, 0, 1))

    def test_leavingWhileItWaits(self) -> None:
        for deliver in (True, False):
            ends = self.ends(room=1 << 12)
            os.write(ends.feed, PIECE)
            ends.turn()
            ends.flow.leave(deliver)
            self.assertEqual(ends.take() + ends.writer.written, PIECE if deliver else PIECE[: 1 << 12])
            ends.flow.leave()
            self.assertEqual(ends.told, ["ended"])
            empty = ends.pipes.take()
            assert empty is not None
            self.assertRaises(BlockingIOError, os.read, empty.outlet, 1)
            ends.pipes.give(empty)

    def test_nothingMoves(self) -> None:
        """Idle descriptors are not kept, and a target that takes nothing is the business of others' timeouts."""
        for waits in (False, True):
            ends = self.ends(room=1 << 12)
            if waits:
                os.write(ends.feed, PIECE)
            ends.turn()
            ends.clock.pump([1.0] * 3)
            self.assertEqual(ends.told, ["ended"])
            self.assertEqual(ends.take() + ends.writer.written, PIECE if waits else b"")

    def test_somethingMoves(self) -> None:
        ends = self.ends()
        for _ in range(20):
            ends.clock.advance(0.9)
            os.write(ends.feed, b"x")
            ends.turn()
        self.assertEqual(ends.told, [])

    def test_othersHaveTheirTurn(self) -> None:
        """However much there is."""
        ends = self.ends()
        taken: list[int] = []

        def endless(source: int, target: int, size: int, flags: int) -> int:
            taken.append(size)
            return size

        self.patch(splicing, "splice", endless)
        ends.flow.doRead()
        self.assertEqual(taken, [PIPE_SIZE] * 8)

    @given(
        st.lists(st.tuples(st.integers(0, 3), st.integers(1, 100000)), max_size=40),
        st.integers(1, 300000),
        st.sampled_from([1 << 12, 1 << 16]),
        st.booleans(),
    )
    @settings(max_examples=60, deadline=None)
    def test_anyMixArrivesByteForByte(self, steps: list[tuple[int, int]], length: int, room: int, leaves: bool) -> None:
        """Written, moved and read in any order: all arrives in order up to the length, the rest stays where it was."""
        ends = Ends(length=length, room=room)
        source = os.dup(ends.flow.fileno())
        sent = got = b""
        for kind, size in steps:
            if kind == 0:
                piece = (PIECE * 2)[len(sent) % 251 :][:size]
                try:
                    sent += piece[: os.write(ends.feed, piece)]
                except BlockingIOError:
                    pass
            elif kind == 1:
                got += ends.take(size)
            else:
                ends.turn()
        if leaves:
            ends.flow.leave()
        for _ in range(3000):
            if not ends.reactor.writers:
                ends.turn()
                if not ends.reactor.writers:
                    break
            got += ends.take()
            ends.turn()
        got += ends.take() + ends.writer.written
        self.assertEqual(got, sent[: ends.moved])
        self.assertEqual(ends.moved, len(got))
        if not leaves:
            self.assertEqual(len(got), min(len(sent), length))
        try:
            rest = os.read(source, 1 << 20)
        except BlockingIOError:
            rest = b""
        self.assertEqual(got + rest, sent)
        os.close(source)
        ends.close()


@here
class TestPipes(SynchronousTestCase):
    def test_whatIsInAPipeCanBeTaken(self) -> None:
        pipe = Pipe()
        os.write(pipe.intake, PIECE[:60000])
        os.write(pipe.intake, b"end")
        self.assertEqual(pipe.take(60003), PIECE[:60000] + b"end")
        pipe.close()

    def test_anAllowanceThatIsSpent(self) -> None:
        """Linux gives pipes of a page or two then: they are of no use."""
        calls: list[int] = []
        size = 4096

        def control(descriptor: int, command: int, argument: int = 0) -> int:
            if command == splicing._F_SETPIPE_SZ:
                raise PermissionError
            calls.append(command)
            return size

        self.patch(splicing.fcntl, "fcntl", control)
        before = len(os.listdir("/proc/self/fd"))
        pipes = Pipes()
        self.assertIsNone(pipes.take())
        self.assertEqual((pipes.made, len(os.listdir("/proc/self/fd"))), (0, before))
        size = 65536
        pipe = pipes.take()
        assert pipe is not None
        pipes.give(pipe)
        pipes.close()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)

    def test_closedPipesAreNotKept(self) -> None:
        pipes = Pipes()
        one, two = pipes.take(), pipes.take()
        assert one is not None and two is not None
        pipes.give(one)
        pipes.close()
        self.assertEqual(pipes.made, 1)
        pipes.give(two)
        self.assertEqual(pipes.made, 0)


@here
class TestSplicer(SynchronousTestCase):
    def test_onlyTheKernelsSockets(self) -> None:
        """In memory there are Twisted's own transports, but no descriptors."""
        network = MemoryNetwork()
        server = network.serve()
        client = network.connect(server.port.getHost())
        network.pump()
        self.assertIsNone(descriptorOf(client.transport))
        self.assertIsNone(descriptorOf(object()))
        splicer = Splicer(Reactor(), Sweeper(network))
        writer: Any = Writer()
        self.assertIsNone(splicer.begin(None, client.transport, client.transport, writer))  # type: ignore[arg-type]
        network.closePeers()
