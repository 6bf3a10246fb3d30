"""Tests of L{twistproxy.bodies.body}."""

from __future__ import annotations

from twisted.internet.defer import CancelledError
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.bodies.body import EMPTY, HIGH_WATER, Body
from twistproxy.errors import BODY_TOO_LARGE, CLIENT_CLOSED, RESPONSE_TOO_LARGE, BodyTooLarge, ProxyError
from twistproxy.messages import Item, headerItem

TRAILERS = [headerItem("X-Sum", "1")]


class Source:
    """Notes what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def bodyWanted(self) -> None:
        self.told.append("wanted")

    def pauseBody(self) -> None:
        self.told.append("pause")

    def resumeBody(self) -> None:
        self.told.append("resume")


class Sink:
    """Keeps what it is given."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []
        self.trailers: list[Item] | None = None

    def bodyReceived(self, data: bytes) -> None:
        assert self.trailers is None
        self.pieces.append(data)

    def bodyEnded(self, trailers: list[Item]) -> None:
        assert self.trailers is None
        self.trailers = trailers


class BodyTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.source = Source()
        self.body = Body(self.source)
        self.sink = Sink()


class StreamingTests(BodyTestCase):
    def test_attachedItPassesPiecesOnAsTheyCome(self) -> None:
        self.body.attach(self.sink)
        piece = b"a" * (2 * HIGH_WATER)
        self.body.dataReceived(piece)
        self.assertIs(self.sink.pieces[0], piece)
        self.body.dataReceived(b"b")
        self.body.allReceived(TRAILERS)
        self.assertEqual((len(self.sink.pieces), self.sink.trailers), (2, TRAILERS))
        self.assertEqual((self.body.size, self.body.held, self.source.told), (2 * HIGH_WATER + 1, 0, []))

    def test_whatCameEarlierIsHandedOverInOrder(self) -> None:
        self.body.dataReceived(b"a" * 1000)
        self.body.dataReceived(b"b" * 1000)
        self.assertEqual(self.body.held, 2000)
        self.body.attach(self.sink)
        self.body.dataReceived(b"c")
        self.assertEqual((self.sink.pieces, self.body.held), ([b"a" * 1000, b"b" * 1000, b"c"], 0))

    def test_smallPiecesAreHeldTogether(self) -> None:
        """Each would be an object of some fifty bytes."""
        data = bytes(range(250)) * 40
        for at in range(len(data)):
            self.body.dataReceived(data[at : at + 1])
        self.body.attach(self.sink)
        self.assertEqual((b"".join(self.sink.pieces), len(self.sink.pieces)), (data, 3))

    def test_smallPiecesAreNotAddedToALongOne(self) -> None:
        """That would be copied with each of them."""
        long = b"a" * 10000
        for piece in (long, b"b", b"c"):
            self.body.dataReceived(piece)
        self.body.attach(self.sink)
        self.assertIs(self.sink.pieces[0], long)
        self.assertEqual(self.sink.pieces[1:], [b"bc"])

    def test_completeBodyEndsTheSinkAtOnce(self) -> None:
        self.body.dataReceived(b"a")
        self.body.allReceived(TRAILERS)
        self.body.attach(self.sink)
        self.assertEqual((self.sink.pieces, self.sink.trailers), ([b"a"], TRAILERS))

    def test_withoutASinkTheSourceIsPausedOnce(self) -> None:
        self.body.dataReceived(b"a" * HIGH_WATER)
        self.assertEqual(self.source.told, [])
        self.body.dataReceived(b"b")
        self.body.dataReceived(b"c")
        self.assertEqual(self.source.told, ["pause"])
        self.body.attach(self.sink)
        self.assertEqual(self.source.told, ["pause", "resume"])
        self.assertEqual(sum(map(len, self.sink.pieces)), HIGH_WATER + 2)

    def test_sourceThatIsDoneIsNotResumed(self) -> None:
        self.body.dataReceived(b"a" * (HIGH_WATER + 1))
        self.body.allReceived([])
        self.body.attach(self.sink)
        self.assertEqual(self.source.told, ["pause"])

    def test_detachedItHoldsWhatComes(self) -> None:
        self.body.attach(self.sink)
        self.body.dataReceived(b"a")
        self.body.detach()
        self.body.dataReceived(b"b")
        self.assertEqual((self.sink.pieces, self.body.held), ([b"a"], 1))

    def test_whatIsDiscardedIsNotHeld(self) -> None:
        self.body.dataReceived(b"a")
        self.body.discard()
        self.body.attach(self.sink)
        self.assertEqual((self.sink.pieces, self.body.size), ([], 1))


class ReadingTests(BodyTestCase):
    def test_readingGivesItAll(self) -> None:
        self.body.dataReceived(b"a")
        reading = self.body.read(10)
        self.body.dataReceived(b"b")
        self.assertNoResult(reading)
        self.body.allReceived(TRAILERS)
        self.assertEqual(self.successResultOf(reading), b"ab")

    def test_completeBodyIsReadAtOnceAndAgain(self) -> None:
        self.body.dataReceived(b"ab")
        self.body.allReceived([])
        self.assertEqual(self.successResultOf(self.body.read(2)), b"ab")
        self.assertEqual(self.successResultOf(self.body.read(2)), b"ab")
        self.failureResultOf(self.body.read(1), BodyTooLarge)

    def test_whatWasReadIsSentOnAllTheSameAndAgain(self) -> None:
        reading = self.body.read(10)
        self.body.dataReceived(b"a")
        self.body.dataReceived(b"b")
        self.body.allReceived(TRAILERS)
        self.successResultOf(reading)
        for _ in range(2):
            sink = Sink()
            self.body.attach(sink)
            self.assertEqual((sink.pieces, sink.trailers), ([b"ab"], TRAILERS))

    def test_emptyBodyIsReadAndSentAsNothing(self) -> None:
        self.body.allReceived([])
        self.assertEqual(self.successResultOf(self.body.read(0)), b"")
        self.body.attach(self.sink)
        self.assertEqual((self.sink.pieces, self.sink.trailers), ([], []))

    def test_sourceIsToldThatItIsWanted(self) -> None:
        self.body.read(10)
        self.assertEqual(self.source.told, ["wanted"])

    def test_sourceOfACompleteBodyIsNotTold(self) -> None:
        self.body.allReceived([])
        self.body.read(10)
        self.assertEqual(self.source.told, [])

    def test_readingResumesAPausedSource(self) -> None:
        self.body.dataReceived(b"a" * (HIGH_WATER + 1))
        self.body.read(10 * HIGH_WATER)
        self.assertEqual(self.source.told, ["pause", "wanted", "resume"])
        self.body.dataReceived(b"a" * HIGH_WATER)
        self.assertEqual(self.source.told[3:], [])

    def test_moreThanTheLimitFailsAsSoonAsItIsThere(self) -> None:
        reading = self.body.read(2)
        self.body.dataReceived(b"ab")
        self.assertNoResult(reading)
        self.body.dataReceived(b"c")
        self.assertIs(self.failureResultOf(reading, BodyTooLarge).value.kind, BODY_TOO_LARGE)

    def test_theMeterIsToldHowMuchIsHeld(self) -> None:
        told: list[int] = []
        self.body.dataReceived(b"ab")
        reading = self.body.read(10, told.append)
        self.body.dataReceived(b"c")
        self.body.allReceived([])
        self.assertEqual((self.successResultOf(reading), told), (b"abc", [2, 3, 3]))
        self.assertEqual((self.successResultOf(self.body.read(10, told.append)), len(told)), (b"abc", 3))

    def test_whatTheMeterRaisesEndsTheReading(self) -> None:
        def meter(held: int) -> None:
            if held > 2:
                raise ValueError("enough")

        reading = self.body.read(10, meter)
        self.body.dataReceived(b"ab")
        self.assertTrue(self.body.isBeingRead)
        self.body.dataReceived(b"c")
        self.failureResultOf(reading, ValueError)
        self.assertFalse(self.body.isBeingRead)
        self.body.attach(self.sink)
        self.assertEqual(self.sink.pieces, [b"abc"])

    def test_theLimitOfAll(self) -> None:
        """L{Body.limitTo} holds from when it is set, for what came before too."""
        self.body.limitTo(None, 10)
        self.body.dataReceived(b"abc")
        for length in (-1, 3):
            self.assertRaises(ProxyError, self.body.limitTo, 2, length)
        self.assertIs(self.assertRaises(ProxyError, self.body.limitTo, 4, 5).kind, BODY_TOO_LARGE)
        self.body.limitTo(4, -1)
        self.body.attach(self.sink)
        self.body.dataReceived(b"d")
        self.assertRaises(ProxyError, self.body.dataReceived, b"e")
        self.assertEqual(self.sink.pieces, [b"abc", b"d"])

    def test_limitOfAResponseIsAnotherError(self) -> None:
        body = Body(None, RESPONSE_TOO_LARGE)
        body.dataReceived(b"abc")
        self.assertIs(self.failureResultOf(body.read(2), BodyTooLarge).value.kind, RESPONSE_TOO_LARGE)

    def test_bodyOverTheLimitIsStillWhole(self) -> None:
        self.body.dataReceived(b"abc")
        self.failureResultOf(self.body.read(2), BodyTooLarge)
        self.body.allReceived([])
        self.assertEqual(self.successResultOf(self.body.read(3)), b"abc")

    def test_bodyOverTheLimitIsHeldBackAgain(self) -> None:
        reading = self.body.read(HIGH_WATER)
        self.body.dataReceived(b"a" * (HIGH_WATER + 1))
        self.failureResultOf(reading, BodyTooLarge)
        self.body.dataReceived(b"a")
        self.assertEqual(self.source.told, ["wanted", "pause"])

    def test_readingFailsWithTheMessage(self) -> None:
        error = ProxyError(CLIENT_CLOSED)
        reading = self.body.read(10)
        self.body.failed(error)
        self.assertIs(self.failureResultOf(reading).value, error)
        self.assertIs(self.failureResultOf(self.body.read(10)).value, error)

    def test_failingWithoutAReaderIsQuiet(self) -> None:
        self.body.failed(ProxyError(CLIENT_CLOSED))

    def test_onlyOneReads(self) -> None:
        self.body.read(10)
        self.failureResultOf(self.body.read(10), RuntimeError)

    def test_whatIsOnItsWayCannotBeRead(self) -> None:
        self.body.attach(self.sink)
        self.failureResultOf(self.body.read(10), RuntimeError)

    def test_readingCanBeCancelled(self) -> None:
        reading = self.body.read(10)
        reading.cancel()
        self.failureResultOf(reading, CancelledError)
        self.body.dataReceived(b"a")
        again = self.body.read(10)
        self.body.allReceived([])
        self.assertEqual(self.successResultOf(again), b"a")

    def test_withoutASourceNobodyIsTold(self) -> None:
        body = Body()
        body.dataReceived(b"a" * (HIGH_WATER + 1))
        reading = body.read(2 * HIGH_WATER)
        body.allReceived([])
        self.assertEqual(len(self.successResultOf(reading)), HIGH_WATER + 1)


class CompleteTests(SynchronousTestCase):
    def test_bodyOfBytesIsComplete(self) -> None:
        body = Body.of(b"ab")
        self.assertEqual((body.contents, body.size, body.held, body.ended), (b"ab", 2, 2, True))
        self.assertEqual(self.successResultOf(body.read(2)), b"ab")
        sink = Sink()
        body.attach(sink)
        self.assertEqual((sink.pieces, sink.trailers), ([b"ab"], []))

    def test_bodyIsBytes(self) -> None:
        for contents in ("text", bytearray(b"a"), None, 5):
            self.assertRaises(TypeError, Body.of, contents)

    def test_emptyBodyIsComplete(self) -> None:
        sink = Sink()
        EMPTY.attach(sink)
        self.assertEqual((sink.pieces, sink.trailers, EMPTY.size), ([], [], 0))
        self.assertEqual(self.successResultOf(EMPTY.read(0)), b"")
