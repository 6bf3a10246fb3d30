"""A long request body: when the kernel is asked to take it, and what is told of it meanwhile and afterwards."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.bodies.body import Body
from twistproxy.bodies.replay import Replay
from twistproxy.server.upload import Upload
from twistproxy.settings import Settings
from twistproxy.transports.splicing import BULK, LONG
from twistproxy.wire.http1 import End, RequestReader

LENGTH = 4 * LONG
PIECE = b"x" * BULK


class Flow:
    """Moves what the test says."""

    isWaiting = False

    def __init__(self, source: Any, length: int) -> None:
        self.source = source
        self.length = length
        self.started = 0

    def start(self) -> None:
        self.started += 1

    def leave(self) -> None:
        self.source.flowEnded()


class Sink:
    """Where the body goes: takes it by flows as long as it can."""

    isAble = True

    def __init__(self) -> None:
        self.flows: list[Flow] = []
        self.spliced = 0
        self.received = 0

    def spliceBody(self, source: Any, transport: object, length: int) -> Any:
        if not self.isAble:
            return None
        self.flows.append(Flow(source, length))
        return self.flows[-1]

    def bodySpliced(self, size: int) -> None:
        self.spliced += size

    def bodyReceived(self, data: bytes) -> None:
        self.received += len(data)

    def bodyEnded(self, trailers: object) -> None: ...


class TestUpload(SynchronousTestCase):
    transport = object()

    def setUp(self) -> None:
        self.returned: list[bool] = []
        self.sink = Sink()
        self.reader = RequestReader(Settings())
        self.reader.receiveData(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % LENGTH)
        self.reader.nextEvent()
        self.body = Body()
        self.body.attach(self.sink)
        self.upload = Upload(self, self.reader, self.body)

    def uploadReturned(self, isBroken: bool) -> None:
        self.returned.append(isBroken)

    def receive(self, data: bytes) -> bool:
        """As the client's connection does."""
        self.reader.receiveData(data)
        while isinstance(event := self.reader.nextEvent(), bytes):
            self.body.dataReceived(event)
        return self.upload.received()

    def test_theRestAfterALargePiece(self) -> None:
        self.receive(PIECE[1:])
        self.assertEqual(self.sink.flows, [])
        self.assertFalse(self.receive(PIECE))
        (flow,) = self.sink.flows
        self.assertEqual((flow.length, flow.started), (LENGTH - 2 * BULK + 1, 1))

    def test_onlyALongRest(self) -> None:
        for _ in range((LENGTH - LONG) // BULK):
            self.sink.isAble = False
            self.receive(PIECE)
        self.sink.isAble = True
        self.receive(PIECE)
        self.assertEqual(self.sink.flows, [])

    def test_whatMovesIsCounted(self) -> None:
        self.receive(PIECE)
        self.upload.flowMoved(LONG)
        self.assertEqual((self.reader.left, self.body.size), (LENGTH - BULK - LONG, BULK + LONG))
        self.assertEqual((self.sink.received, self.sink.spliced), (BULK, LONG))

    def test_afterAFlowTheNextNeedsALot(self) -> None:
        """One that left early was not worth its while."""
        self.receive(PIECE)
        self.upload.flowMoved(LONG)
        self.upload.leave()
        self.assertEqual(self.returned, [False])
        for at in range(LONG // BULK):
            self.assertEqual(len(self.sink.flows), 1, at)
            self.receive(PIECE)
        self.assertEqual(len(self.sink.flows), 2)

    def test_allOfIt(self) -> None:
        self.receive(PIECE)
        self.upload.flowMoved(LENGTH - BULK)
        self.upload.flowEnded()
        self.assertEqual((self.returned, self.reader.left), ([False], 0))
        self.assertIsInstance(self.reader.nextEvent(), End)

    def test_allOfItAtOnce(self) -> None:
        """Before the piece that led to it was dealt with."""

        def start(flow: Flow) -> None:
            flow.source.flowMoved(flow.length)
            flow.leave()

        self.patch(Flow, "start", start)
        self.assertTrue(self.receive(PIECE))
        self.assertIsInstance(self.reader.nextEvent(), End)

    def test_whoIsWaitedFor(self) -> None:
        self.assertFalse(self.upload.isHeldUp)
        self.receive(PIECE)
        self.assertFalse(self.upload.isHeldUp)
        self.sink.flows[0].isWaiting = True
        self.assertTrue(self.upload.isHeldUp)
        self.upload.leave()
        self.assertFalse(self.upload.isHeldUp)
        self.upload.leave()
        self.assertEqual(self.returned, [False])

    def test_aResetIsToldOf(self) -> None:
        self.receive(PIECE)
        self.upload.flowEnded()
        self.upload.flowBroken(ConnectionResetError())
        self.assertEqual(self.returned, [False, True])

    def test_nobodyTakesItYet(self) -> None:
        self.body.detach()
        self.assertFalse(self.receive(PIECE))
        self.assertEqual(self.sink.flows, [])


class TestReplay(SynchronousTestCase):
    def test_onlyWhatNeedNotBeKept(self) -> None:
        body, sink = Body(), Sink()
        replay = Replay(body, 100, self)  # type: ignore[arg-type]
        replay.attach(sink)
        body.dataReceived(b"x" * 100)
        self.assertIsNone(body.splice(None, None, LENGTH))  # type: ignore[arg-type]
        body.dataReceived(b"x")
        self.assertIs(body.splice(None, None, LENGTH), sink.flows[0])  # type: ignore[arg-type]
        body.spliced(1000)
        self.assertEqual((body.size, sink.spliced), (1101, 1000))
