"""L{twistproxy.bodies.pacing}: bodies at a pace."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis.strategies import binary, integers, lists
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import asked
from twistproxy.bodies.body import HIGH_WATER
from twistproxy.bodies.pacing import AtOnce, limited, paced
from twistproxy.errors import FAULT_INJECTED, ProxyError
from twistproxy.limiting.bandwidth import Bucket
from twistproxy.limiting.fates import Slices
from twistproxy.messages import InboundRequest


class Ends:
    """Sink and control of a stage, which write down what they are told."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.told: list[str] = []
        self.trailers: Any = None
        self.error: Any = None

    def bodyReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def bodyEnded(self, trailers: Any) -> None:
        self.trailers = trailers

    def pauseBody(self) -> None:
        self.told.append("pause")

    def resumeBody(self) -> None:
        self.told.append("resume")

    def flush(self) -> None:
        self.told.append("flush")

    def breakOff(self, error: ProxyError) -> None:
        self.error = error

    def spliceBody(self, source: Any, transport: Any, length: int) -> None:
        raise AssertionError

    def bodySpliced(self, size: int) -> None:
        raise AssertionError

    @property
    def size(self) -> int:
        return sum(map(len, self.pieces))


class TestPacedBody(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.ends = Ends()
        self.request: InboundRequest = asked()

    def stage(self, pace: Any, endDelay: float = 0.0) -> Any:
        return paced(self.clock, self.request, pace, endDelay)(self.ends, self.ends)

    def finish(self) -> None:
        for each in self.request.finishers or []:
            each(None)

    def test_atItsPace(self) -> None:
        stage = self.stage(Bucket(1000, 0))
        stage.bodyReceived(b"x" * 1000)
        stage.bodyEnded([])
        sizes = []
        for _ in range(20):
            self.clock.advance(0.0501)
            sizes.append(self.ends.size)
        self.assertEqual(sizes, [50 * n for n in range(1, 21)])
        self.assertEqual(self.ends.trailers, [])

    def test_itsOwnWritesAreFlushed(self) -> None:
        """Those within a call of the upstream's are flushed by whoever made it."""
        stage = self.stage(Bucket(1000, 50))
        stage.bodyReceived(b"x" * 100)
        self.assertEqual((self.ends.size, self.ends.told), (50, []))
        self.clock.advance(0.06)
        self.assertEqual((self.ends.size, self.ends.told), (100, ["flush"]))

    def test_theEndComesBehindAll(self) -> None:
        stage = self.stage(Bucket(1000, 0))
        stage.bodyReceived(b"abc")
        stage.bodyEnded([(b"t", b"T", b"1")])
        self.assertIs(self.ends.trailers, None)
        self.clock.advance(1)
        self.assertEqual((self.ends.pieces, self.ends.trailers), ([b"abc"], [(b"t", b"T", b"1")]))

    def test_theSourceIsPausedAndResumed(self) -> None:
        stage = self.stage(Bucket(10_000, 0))
        stage.bodyReceived(b"x" * HIGH_WATER)
        self.assertEqual(self.ends.told, [])
        stage.bodyReceived(b"x")
        self.assertEqual(self.ends.told, ["pause"])
        stage.bodyReceived(b"x")  # the client had it resumed
        self.assertEqual(self.ends.told, ["pause", "pause"])
        while self.ends.size < HIGH_WATER // 2 + 2:
            self.assertNotIn("resume", self.ends.told)
            self.clock.advance(0.051)
        self.assertEqual(self.ends.told.count("resume"), 1)

    def test_aSourceThatEndedIsLeftAlone(self) -> None:
        stage = self.stage(Bucket(100_000, 0))
        stage.bodyReceived(b"x" * (HIGH_WATER + 1))
        stage.bodyEnded([])
        self.clock.pump([0.01] * 100)
        self.assertEqual((self.ends.size, "resume" in self.ends.told), (HIGH_WATER + 1, False))

    def test_closedWithTheExchange(self) -> None:
        stage = self.stage(Bucket(1000, 0))
        stage.bodyReceived(b"x" * 1000)
        self.finish()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        stage.bodyReceived(b"x")
        stage.bodyEnded([])
        self.clock.advance(10)
        self.assertEqual((self.ends.pieces, self.ends.trailers), ([], None))

    def test_aLateEnd(self) -> None:
        stage = self.stage(AtOnce(), 2.0)
        stage.bodyReceived(b"abc")
        stage.bodyEnded([])
        self.assertEqual((self.ends.pieces, self.ends.trailers), ([b"abc"], None))
        self.clock.advance(2)
        self.assertEqual(self.ends.trailers, [])

    def test_anEmptyBody(self) -> None:
        self.stage(Bucket(1, 0)).bodyEnded([])
        self.assertEqual(self.ends.trailers, [])

    @given(lists(binary(max_size=300), max_size=8), integers(1, 50), integers(0, 2**32))
    def test_allOfItArrivesInOrder(self, pieces: list[bytes], size: int, seed: int) -> None:
        """And slices end at the same bytes, however the body comes in."""
        slices = []
        for feeding in (pieces, [b"".join(pieces)]):
            self.setUp()
            stage = self.stage(Slices(size, size - 1, 1.0, seed))
            for each in feeding:
                if each:
                    stage.bodyReceived(each)
            stage.bodyEnded([])
            found = [b"".join(self.ends.pieces)]
            while self.clock.getDelayedCalls():
                before = self.ends.size
                self.clock.advance(1.0)
                found.append(b"".join(self.ends.pieces)[before:])
            self.assertEqual(b"".join(self.ends.pieces), b"".join(pieces))
            self.assertEqual(self.ends.trailers, [])
            slices.append(found)
        self.assertEqual(slices[0], slices[1])


class TestLimitedBody(SynchronousTestCase):
    def feed(self, limit: int, *pieces: bytes) -> Ends:
        ends = Ends()
        stage = limited(limit, ProxyError(FAULT_INJECTED))(ends, ends)
        for each in pieces:
            stage.bodyReceived(each)
        stage.bodyEnded([])
        return ends

    def test_brokenOff(self) -> None:
        ends = self.feed(4, b"abc", b"def", b"ghi")
        self.assertEqual((ends.pieces, ends.error.kind, ends.trailers), ([b"abc", b"d"], FAULT_INJECTED, None))

    def test_nothingPasses(self) -> None:
        ends = self.feed(0, b"abc")
        self.assertEqual((ends.pieces, ends.error.kind), ([], FAULT_INJECTED))

    def test_noLonger(self) -> None:
        ends = self.feed(3, b"abc")
        self.assertEqual((ends.pieces, ends.error, ends.trailers), ([b"abc"], None, []))
