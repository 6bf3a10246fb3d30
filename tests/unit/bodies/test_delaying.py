"""L{twistproxy.bodies.delaying}: bodies that come late."""

from __future__ import annotations

from random import Random
from typing import Any

from hypothesis import given
from hypothesis.strategies import binary, floats, integers, lists, tuples
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.bodies.test_pacing import Ends
from tests.unit.builtin import asked
from twistproxy.bodies.delaying import MOST, delayed


class TestDelayedBody(SynchronousTestCase):
    def begin(self, delay: Any) -> Any:
        self.clock = Clock()
        self.ends = Ends()
        self.request = asked()
        return delayed(self.clock, self.request, delay)(self.ends, self.ends)

    def test_theSourceIsPausedAndResumed(self) -> None:
        stage = self.begin(lambda: 1.0)
        for _ in range(4):
            stage.bodyReceived(b"x" * (MOST // 4))
            self.clock.advance(0.1)
        self.assertEqual(self.ends.told, [])
        stage.bodyReceived(b"x")
        self.assertEqual(self.ends.told, ["pause"])
        self.clock.advance(0.61)
        self.assertEqual((self.ends.size, self.ends.told), (MOST // 4, ["pause", "flush"]))
        self.clock.advance(0.1)
        self.assertEqual(self.ends.told, ["pause", "flush", "flush"])
        self.clock.advance(0.1)
        self.assertEqual(self.ends.told[-1], "resume")
        self.assertEqual(self.ends.size, MOST // 4 * 3)

    def test_noTimerWithoutBytes(self) -> None:
        stage = self.begin(lambda: 1.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        stage.bodyReceived(b"x")
        self.clock.advance(1)
        self.assertEqual((self.ends.pieces, self.clock.getDelayedCalls()), ([b"x"], []))

    def test_closedWithTheExchange(self) -> None:
        stage = self.begin(lambda: 1.0)
        stage.bodyReceived(b"x")
        for each in self.request.finishers or []:
            each(None)
        stage.bodyReceived(b"y")
        stage.bodyEnded([])
        self.assertEqual((self.clock.getDelayedCalls(), self.ends.pieces), ([], []))

    @given(lists(tuples(binary(min_size=1, max_size=5), floats(0, 2)), max_size=12), integers(0, 2**32))
    def test_eachInItsTimeAndOrder(self, pieces: list[tuple[bytes, float]], seed: int) -> None:
        """None before its delay has passed, none much later than that and than the one before it."""
        delays = Random(seed)
        given = [delays.random() for _ in range(len(pieces) + 1)]
        stage = self.begin(iter(given).__next__)
        came: list[float] = []
        for data, pause in pieces:
            came.append(self.clock.seconds())
            stage.bodyReceived(data)
            self.clock.pump([0.05] * int(pause * 20))
            due = [max(t + d for t, d in zip(came[: n + 1], given, strict=False)) for n in range(len(came))]
            now = self.clock.seconds()
            self.assertGreaterEqual(len(self.ends.pieces), sum(each < now - 0.001 for each in due))
            self.assertLessEqual(len(self.ends.pieces), sum(each < now + 0.001 for each in due))
        stage.bodyEnded([])
        self.clock.pump([0.05] * 60)
        self.assertEqual(b"".join(self.ends.pieces), b"".join(data for data, _ in pieces))
        self.assertEqual(self.ends.trailers, [])
