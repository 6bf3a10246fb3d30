"""L{twistproxy.mirroring.tee}: copies of bodies in passing."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.bodies.body import Body
from twistproxy.messages import Item
from twistproxy.mirroring.tee import NO_MEMORY, TOO_LONG, Allowance, Tee

TRAILERS: list[Item] = [(b"x-sum", b"X-Sum", b"1")]


class Sink:
    """Where the body goes: keeps what it is told."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.trailers: list[Item] | None = None
        self.spliced = 0

    def spliceBody(self, source: Any, transport: Any, length: int) -> Any:
        return "a flow"

    def bodySpliced(self, size: int) -> None:
        self.spliced += size

    def bodyReceived(self, data: bytes) -> None:
        self.pieces.append(data)

    def bodyEnded(self, trailers: list[Item]) -> None:
        self.trailers = trailers


class TestTee(SynchronousTestCase):
    def tee(self, limit: int, total: int = 1000) -> tuple[Tee, Sink, list[str]]:
        told: list[str] = []
        self.allowance = Allowance(total)
        tee = Tee(limit, self.allowance, lambda: told.append(tee.problem))
        sink = Sink()
        assert tee.before(sink) is tee
        return tee, sink, told

    @given(st.binary(max_size=60), st.lists(st.integers(1, 20), max_size=10), st.integers(0, 80), st.integers(0, 80))
    def test_anySplitIsTheSame(self, body: bytes, sizes: list[int], limit: int, total: int) -> None:
        """Whatever the pieces: the sink gets them as they came, and the copy is whole, or there is none."""
        pieces, at = [], 0
        for size in [*sizes, len(body) or 1]:
            pieces.append(body[at : at + size])
            at += size
        pieces = [each for each in pieces if each]
        tee, sink, told = self.tee(limit, total)
        for each in pieces:
            tee.bodyReceived(each)
            self.assertLessEqual(self.allowance.held, min(limit, total))
        tee.bodyEnded(TRAILERS)
        self.assertEqual((sink.pieces, sink.trailers), (pieces, TRAILERS))
        self.assertEqual(len(told), 1)
        self.assertEqual(tee.isComplete, len(body) <= min(limit, total))
        if tee.isComplete:
            self.assertEqual((self.allowance.held, tee.size, tee.take(), tee.trailers), (len(body), len(body), body, TRAILERS))
        else:
            self.assertEqual((self.allowance.held, tee.take()), (0, b""))
            reasons = {NO_MEMORY} if len(body) <= limit else {TOO_LONG} if limit <= total else {NO_MEMORY, TOO_LONG}
            self.assertIn(told[0], reasons)

    def test_tooLong(self) -> None:
        tee, sink, told = self.tee(5)
        for data in (b"abc", b"def", b"ghi"):
            tee.bodyReceived(data)
        self.assertEqual((told, self.allowance.held, tee.isComplete), ([TOO_LONG], 0, False))
        tee.bodyEnded([])
        self.assertEqual((sink.pieces, sink.trailers, told), ([b"abc", b"def", b"ghi"], [], [TOO_LONG]))

    def test_allTogether(self) -> None:
        tee, _, told = self.tee(100, total=8)
        other = Tee(100, self.allowance, lambda: None)
        other.bodyReceived(b"12345")
        tee.bodyReceived(b"6789")
        self.assertEqual((told, tee.problem, self.allowance.held), ([NO_MEMORY], NO_MEMORY, 5))
        other.close()
        self.assertEqual(self.allowance.held, 0)

    def test_theKernelHasToWait(self) -> None:
        """What it moves nobody sees: not before the copy is given up."""
        tee, sink, _ = self.tee(3)
        splice: Any = tee.spliceBody
        self.assertIs(splice(None, None, 10), None)
        tee.bodyReceived(b"1234")
        self.assertEqual(splice(None, None, 10), "a flow")
        tee.bodySpliced(10)
        self.assertEqual(sink.spliced, 10)

    def test_nobodyWantsIt(self) -> None:
        tee, sink, told = self.tee(10)
        tee.bodyReceived(b"12")
        tee.close()
        tee.bodyReceived(b"34")
        tee.bodyEnded([])
        self.assertEqual((told, self.allowance.held, sink.pieces, tee.isComplete), ([], 0, [b"12", b"34"], False))


class TestTaps(SynchronousTestCase):
    """L{Body.tap}."""

    def tapped(self, body: Body) -> list[Tee]:
        tees = [Tee(100, Allowance(100), lambda: None) for _ in range(2)]
        for each in tees:
            body.tap(each.before)
        return tees

    def test_whatCameBefore(self) -> None:
        body, sink = Body(), Sink()
        body.dataReceived(b"1")
        tees = self.tapped(body)
        body.attach(sink)
        body.dataReceived(b"2")
        body.allReceived(TRAILERS)
        self.assertEqual((sink.pieces, sink.trailers), ([b"1", b"2"], TRAILERS))
        self.assertEqual([each.take() for each in tees], [b"12", b"12"])

    def test_nobodyTookIt(self) -> None:
        body = Body()
        tees = self.tapped(body)
        body.dataReceived(b"1")
        body.pour()
        self.assertEqual([each.isComplete for each in tees], [False, False], "it is not complete")
        body.allReceived([])
        body.pour()
        body.pour()
        self.assertEqual([each.take() for each in tees], [b"1", b"1"])

    def test_aBodyThatWasRead(self) -> None:
        body, sink = Body(), Sink()
        tees = self.tapped(body)
        body.read(10)
        body.dataReceived(b"1")
        body.allReceived([])
        body.attach(sink)
        body.pour()
        self.assertEqual((sink.pieces, body.contents, [each.size for each in tees]), ([b"1"], b"1", [0, 0]))
