"""
Small stories about two connected transports, told once and run twice: on L{MemoryNetwork} and on real sockets.

Each scenario is a coroutine function that takes a L{World} and notes what happened, for each side in order. What
must come out is written beside it, so that neither side is right by agreement alone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from twisted.internet.interfaces import IHalfCloseableProtocol, IPushProducer
from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

Events = list[str]


class Recorder(Protocol):
    """Notes what its transport tells it; deliveries in a row are one event, for their sizes are the kernel's."""

    def __init__(self) -> None:
        self.events: Events = []
        self.received = b""
        self.atConnect: Callable[[Any], object] | None = None
        self.atData: Callable[[Any], object] | None = None
        self.atLoss: Callable[[Any], object] | None = None
        self.largest = 0

    def note(self, event: str) -> None:
        self.events.append(event)

    def connectionMade(self) -> None:
        self.note("made")
        if self.atConnect is not None:
            self.atConnect(self)

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self.largest = max(self.largest, len(data))
        if self.events[-1] != "data":
            self.note("data")
        if self.atData is not None:
            self.atData(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.note(f"lost {reason.type.__name__}")
        if self.atLoss is not None:
            self.atLoss(self)


@implementer(IHalfCloseableProtocol)
class HalfRecorder(Recorder):
    """The same, and open to half-closed connections."""

    def readConnectionLost(self) -> None:
        self.note("read closed")

    def writeConnectionLost(self) -> None:
        self.note("write closed")


@implementer(IPushProducer)
class Producer:
    """Notes what its consumer asks of it among the events of C{recorder}."""

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def pauseProducing(self) -> None:
        self.recorder.note("pause")

    def resumeProducing(self) -> None:
        self.recorder.note("resume")

    def stopProducing(self) -> None:
        self.recorder.note("stop")


class Once(ClientFactory):
    """Builds one protocol, or refuses to, and notes on it what a client factory is told."""

    noisy = False

    def __init__(self, recorder: Recorder, refuses: bool = False) -> None:
        self.recorder = recorder
        self.refuses = refuses

    def doStart(self) -> None:
        super().doStart()
        self.recorder.note("factory started")

    def doStop(self) -> None:
        super().doStop()
        self.recorder.note("factory stopped")

    def buildProtocol(self, addr: Any) -> Any:
        return None if self.refuses else self.recorder

    def startedConnecting(self, connector: Any) -> None:
        self.recorder.note("connecting")

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.recorder.note(f"failed {reason.type.__name__}")

    def clientConnectionLost(self, connector: Any, reason: Failure) -> None:
        self.recorder.note(f"connector lost {reason.type.__name__}")


class World:
    """A reactor and one kind of address on it."""

    isUNIX = False

    def listen(self, factory: Factory) -> Any:
        """Listen at this world's address."""
        raise NotImplementedError

    def connect(self, factory: ClientFactory) -> Any:
        """Connect to this world's address."""
        raise NotImplementedError

    async def settle(self) -> None:
        """Wait until nothing moves."""
        raise NotImplementedError

    async def pair(self, client: Recorder, server: Recorder) -> Any:
        """Connect C{client} to C{server} and return the connector."""
        self.client, self.server = client, server
        if not hasattr(self, "port"):
            self.port = self.listen(Factory.forProtocol(lambda: self.server))
        connector = self.connect(_factoryOf(client))
        await self.settle()
        return connector

    def told(self) -> list[Events]:
        """The events of the client and of the server, without "made"."""
        return [[e for e in side.events if e != "made"] for side in (self.client, self.server)]


def _factoryOf(protocol: Protocol) -> ClientFactory:
    factory = ClientFactory()
    factory.noisy = False
    factory.buildProtocol = lambda addr: protocol  # type: ignore[assignment, method-assign, return-value]
    return factory


Scenario = Callable[[World], Awaitable[object]]
SCENARIOS: dict[str, tuple[Scenario, object, object]] = {}
"""The scenarios by name, each with what it must give on TCP and on a UNIX socket."""

MUCH = b"m" * (16 << 20)
"""More than any kernel's socket buffers hold."""


def gives(expected: object, unix: object = None) -> Callable[[Scenario], Scenario]:
    """Register a scenario with what it must give, on a UNIX socket too unless C{unix} says what it gives there."""

    def register(scenario: Scenario) -> Scenario:
        SCENARIOS[scenario.__name__] = (scenario, expected, expected if unix is None else unix)
        return scenario

    return register


def attempt(function: Callable[..., object], *args: object) -> str:
    """The name of what C{function} raises, or "fine"."""
    try:
        function(*args)
    except Exception as error:
        return type(error).__name__
    return "fine"


# Writing.


@gives(["TypeError"] * 4 + ["fine", b"xyz"])
async def writesTakeBytesOnly(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    transport = world.client.transport
    bad: list[Any] = [bytearray(b"a"), memoryview(b"a"), "a"]
    notes: list[object] = [attempt(transport.write, data) for data in bad]
    notes.append(attempt(transport.writeSequence, [b"a", bytearray(b"b")]))
    notes.append(attempt(transport.writeSequence, [b"x", b"", b"yz"]))
    await world.settle()
    return [*notes, world.server.received]


@gives([b"", 65536, 200000])
async def deliveriesAreAtMost64KiB(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.client.transport.write(b"")
    world.client.transport.write(b"a" * 200000)
    early = world.server.received
    await world.settle()
    return [early, world.server.largest, len(world.server.received)]


@gives([[], ["lost ConnectionDone"], b"beforeafter"])
async def writesAfterLoseConnectionAreStillSentInTheSameTurn(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.client.transport.write(b"before")
    world.client.transport.loseConnection()
    world.client.transport.write(b"after")
    early = list(world.told()[0])
    await world.settle()
    return [early, [e for e in world.told()[1] if e != "data"], world.server.received]


@gives(["fine", "fine", b""])
async def writesAfterTheLossAreIgnored(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    transport = world.client.transport
    notes: list[object] = []
    world.client.atLoss = lambda recorder: notes.append(attempt(transport.write, b"x"))
    transport.loseConnection()
    await world.settle()
    notes.append(attempt(transport.writeSequence, [b"x"]))
    await world.settle()
    return [*notes, world.server.received]


@gives([["write closed"], b"before"])
async def writesAfterAHalfCloseAreIgnored(world: World) -> object:
    await world.pair(HalfRecorder(), HalfRecorder())
    world.client.transport.write(b"before")
    world.client.transport.loseWriteConnection()
    await world.settle()
    world.client.transport.write(b"after")
    await world.settle()
    return [world.told()[0], world.server.received]


# Producers.


@gives([[], ["pause"], ["pause", "pause"], ["pause", "pause", "resume"], 65538])
async def aStreamingProducerIsPausedOnEveryWriteAboveTheMark(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    transport = world.client.transport
    transport.registerProducer(Producer(world.client), True)
    steps = []
    for size in (65536, 1, 1):
        transport.write(b"p" * size)
        steps.append(world.told()[0])
    await world.settle()
    return [*steps, world.told()[0], len(world.server.received)]


@gives([["pause"], ["pause"], ["pause", "resume"]])
async def aPausedProducerIsResumedOnlyWhenAllIsWritten(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.server.transport.pauseProducing()
    world.client.transport.registerProducer(Producer(world.client), True)
    world.client.transport.write(MUCH)
    steps = [world.told()[0]]
    await world.settle()
    steps.append(world.told()[0])
    world.server.transport.resumeProducing()
    await world.settle()
    return [*steps, world.told()[0]]


@gives([[], ["pause"]])
async def registeringAboveTheMarkDoesNotPauseButTheNextWriteDoes(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.client.transport.write(b"p" * 70000)
    world.client.transport.registerProducer(Producer(world.client), True)
    steps = [world.told()[0]]
    world.client.transport.write(b"p")
    return [*steps, world.told()[0]]


@gives([["resume"], ["resume"], ["resume", "resume"]])
async def aPullProducerIsAskedAtOnceAndWhenAllIsWritten(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.client.transport.registerProducer(Producer(world.client), False)
    steps = [world.told()[0]]
    await world.settle()
    steps.append(world.told()[0])
    world.client.transport.write(b"p" * 100000)
    await world.settle()
    return [*steps, world.told()[0]]


@gives(["RuntimeError", "fine", []])
async def aSecondProducerIsRefused(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    transport = world.client.transport
    transport.registerProducer(Producer(world.client), True)
    notes: list[object] = [attempt(transport.registerProducer, Producer(world.client), True)]
    transport.unregisterProducer()
    notes.append(attempt(transport.registerProducer, Producer(world.client), True))
    return [*notes, world.told()[0]]


@gives(["lost ConnectionDone", "stop"])
async def aProducerRegisteredAfterTheLossIsStoppedAtOnce(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.client.transport.loseConnection()
    await world.settle()
    world.client.transport.registerProducer(Producer(world.client), True)
    return world.told()[0]


@gives(["stop", "lost ConnectionDone"])
async def aProducerIsStoppedBeforeTheProtocolIsToldOfTheLoss(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.client.transport.registerProducer(Producer(world.client), True)
    world.server.transport.loseConnection()
    await world.settle()
    return world.told()[0]


@gives([[], ["data"], ["lost ConnectionDone"]])
async def loseConnectionWaitsForThePausedProducer(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    transport = world.client.transport
    transport.registerProducer(Producer(world.client), True)
    transport.write(b"p" * 70000)
    transport.loseConnection()
    await world.settle()
    steps = [[e for e in world.told()[0] if "lost" in e], list(world.told()[1])]
    transport.unregisterProducer()
    await world.settle()
    return [*steps, [e for e in world.told()[0] if "lost" in e]]


@gives([["lost ConnectionDone"], ["pause", "resume", "stop", "lost ConnectionDone"]])
async def loseConnectionDoesNotWaitForAProducerThatIsNotPaused(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    transport = world.client.transport
    transport.registerProducer(Producer(world.client), True)
    transport.write(b"p" * 70000)
    await world.settle()
    transport.loseConnection()
    await world.settle()
    return [[e for e in world.told()[1] if e != "data"], world.told()[0]]


@gives([["pause"], ["pause", "stop", "lost ConnectionAborted"]])
async def abortConnectionStopsTheProducer(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.server.transport.pauseProducing()
    world.client.transport.registerProducer(Producer(world.client), True)
    world.client.transport.write(MUCH)
    world.client.transport.abortConnection()
    steps = [world.told()[0]]
    await world.settle()
    return [*steps, world.told()[0]]


# Reading.


@gives([b"", b"hello"])
async def nothingIsDeliveredWhilePaused(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.server.transport.pauseProducing()
    world.client.transport.write(b"hello")
    await world.settle()
    steps = [world.server.received]
    world.server.transport.resumeProducing()
    await world.settle()
    return [*steps, world.server.received]


@gives([True, True])
async def pausingWhileReadingLeavesTheRest(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.server.atData = lambda recorder: recorder.transport.pauseProducing()
    world.client.transport.write(b"a" * 200000)
    await world.settle()
    steps = [0 < len(world.server.received) <= 65536]
    world.server.atData = None
    world.server.transport.resumeProducing()
    await world.settle()
    return [*steps, len(world.server.received) == 200000]


@gives([[[], []], [["lost ConnectionDone"], []]])
async def aWriterWithAPausedReaderCannotClose(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.server.transport.pauseProducing()
    world.client.transport.write(MUCH)
    world.client.transport.loseConnection()
    await world.settle()
    steps = [world.told()]
    world.server.transport.resumeProducing()
    await world.settle()
    complete = [] if world.server.received == MUCH else ["truncated"]
    return [*steps, [world.told()[0], complete]]


@gives([[], ["data", "lost ConnectionDone"]])
async def aPausedReaderLearnsOfACloseWhenItResumes(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.server.transport.pauseProducing()
    world.client.transport.write(b"bye")
    world.client.transport.loseConnection()
    await world.settle()
    steps = [world.told()[1]]
    world.server.transport.resumeProducing()
    await world.settle()
    return [*steps, world.told()[1]]


@gives([[], ["data", "lost ConnectionLost"]], unix=[[], ["data", "lost ConnectionDone"]])
async def aPausedReaderLearnsOfAResetWhenItResumes(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.server.transport.pauseProducing()
    world.client.transport.write(b"bye")
    await world.settle()
    world.client.transport.abortConnection()
    await world.settle()
    steps = [world.told()[1]]
    world.server.transport.resumeProducing()
    await world.settle()
    return [*steps, world.told()[1]]


@gives(["lost ConnectionLost"])
async def aPausedReaderThatIsWritingLearnsOfAResetAtOnce(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.server.transport.pauseProducing()
    world.client.transport.pauseProducing()
    world.server.transport.write(MUCH)
    await world.settle()
    world.client.transport.abortConnection()
    await world.settle()
    return world.told()[1]


@gives([[], ["lost ConnectionLost"]])
async def aPausedReaderLearnsOfAResetWhenItWrites(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.server.transport.pauseProducing()
    world.client.transport.abortConnection()
    await world.settle()
    steps = [world.told()[1]]
    world.server.transport.write(b"x")
    await world.settle()
    return [*steps, world.told()[1]]


@gives([["lost ConnectionDone"], ["lost ConnectionLost"]])
async def resumingWhileClosingDoesNotRead(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    client, server = world.client.transport, world.server.transport
    client.pauseProducing()
    server.write(b"unread")
    await world.settle()
    server.pauseProducing()
    client.loseConnection()
    client.resumeProducing()
    await world.settle()
    server.resumeProducing()
    await world.settle()
    return [world.told()[0], [e.replace("Done", "Lost") for e in world.told()[1]]]


@gives([["lost ConnectionDone"], ["lost ConnectionDone"]])
async def stopProducingIsLoseConnection(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.client.transport.stopProducing()
    await world.settle()
    return world.told()


# Closing.


@gives([[], ["lost ConnectionDone"], ["data", "lost ConnectionDone"], b"bye"])
async def loseConnectionFlushesAndIsNotSynchronous(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.client.transport.write(b"bye")
    world.client.transport.loseConnection()
    early = world.told()[0]
    await world.settle()
    return [early, *world.told(), world.server.received]


@gives([["lost ConnectionDone"], ["lost ConnectionDone"]])
async def whatWasNotSentIsDroppedWhenTheOtherSideCloses(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.client.transport.pauseProducing()
    world.server.transport.write(MUCH)
    await world.settle()
    world.client.transport.loseWriteConnection()
    await world.settle()
    server = world.told()[1]
    world.client.transport.resumeProducing()
    await world.settle()
    return [[e for e in world.told()[0] if e != "data"], server]


@gives(
    [["lost ConnectionDone"], ["data", "lost ConnectionDone"], b"413"],
    unix=[["lost ConnectionDone"], ["data", "lost ConnectionLost"], b"413"],
)
async def closingWithUnreadBytesStillShowsAReaderWhatWasWritten(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.client.transport.pauseProducing()
    world.server.transport.write(b"a request body that nobody reads")
    await world.settle()
    world.client.transport.write(b"413")
    world.client.transport.loseConnection()
    await world.settle()
    return [*world.told(), world.server.received]


@gives(["lost ConnectionLost", 0])
async def closingWithUnreadBytesResetsAWriter(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.client.transport.pauseProducing()
    world.server.transport.pauseProducing()
    world.server.transport.write(MUCH)
    await world.settle()
    world.client.transport.loseConnection()
    await world.settle()
    return [*world.told()[1], len(world.server.received)]


@gives(
    [[], ["lost ConnectionAborted"], ["lost ConnectionLost"]],
    unix=[[], ["lost ConnectionAborted"], ["lost ConnectionDone"]],
)
async def abortConnectionResetsAndIsNotSynchronous(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.client.transport.abortConnection()
    early = world.told()[0]
    world.client.transport.abortConnection()
    world.client.transport.loseConnection()
    await world.settle()
    return [early, *world.told()]


@gives([True, ["data", "lost ConnectionLost"]], unix=[True, ["data", "lost ConnectionDone"]])
async def abortConnectionDropsWhatWasNotSent(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.server.transport.pauseProducing()
    world.client.transport.write(MUCH)
    await world.settle()
    world.client.transport.abortConnection()
    await world.settle()
    world.server.transport.resumeProducing()
    await world.settle()
    return [0 < len(world.server.received) < len(MUCH), world.told()[1]]


@gives([["data", "lost ConnectionAborted"], True])
async def abortingWhileReadingDeliversNoMore(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.server.atData = lambda recorder: recorder.transport.abortConnection()
    world.client.transport.write(b"a" * 200000)
    await world.settle()
    return [world.told()[1], len(world.server.received) <= 65536]


@gives([["data", "lost ConnectionDone"], True])
async def losingWhileReadingDeliversNoMore(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.server.atData = lambda recorder: recorder.transport.loseConnection()
    world.client.transport.write(b"a" * 200000)
    await world.settle()
    return [world.told()[1], len(world.server.received) <= 65536]


@gives([["lost ConnectionDone"], ["data", "lost ConnectionDone"], b"hi"])
async def writingAndClosingInConnectionMade(world: World) -> object:
    client = Recorder()

    def atConnect(recorder: Recorder) -> None:
        recorder.transport.write(b"hi")
        recorder.transport.loseConnection()

    client.atConnect = atConnect
    await world.pair(client, Recorder())
    return [*world.told(), world.server.received]


@gives([["lost ZeroDivisionError"], True])
async def anExceptionWhileReadingLosesTheConnection(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.server.atData = lambda recorder: 1 / 0
    world.client.transport.write(b"x")
    await world.settle()
    return [[e for e in world.told()[1] if e != "data"], "lost ConnectionDone" in world.told()[0]]


@gives([["lost ZeroDivisionError"], ["lost ConnectionDone"]], unix=[[], []])
async def anExceptionInAClientsConnectionMadeLosesTheConnection(world: World) -> object:
    client = Recorder()
    client.atConnect = lambda recorder: 1 / 0
    await world.pair(client, Recorder())
    return world.told()


@gives([["data"], []])
async def anExceptionInAServersConnectionMadeDoesNot(world: World) -> object:
    server = Recorder()
    server.atConnect = lambda recorder: 1 / 0
    await world.pair(Recorder(), server)
    server.transport.write(b"x")
    await world.settle()
    return world.told()


@gives(["lost ConnectionDone"])
async def anExceptionInConnectionLostIsTheReactors(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.client.atLoss = lambda recorder: 1 / 0
    world.server.transport.loseConnection()
    await world.settle()
    return world.told()[0]


@gives([["write", "lost ConnectionLost"], ["lost ConnectionAborted"]])
async def splicedTransportsPassALossOn(world: World) -> object:
    # Each side is the other's producer, as in a proxy that has two connections; here it is one connection's two ends.
    await world.pair(Recorder(), Recorder())
    client, server = world.client.transport, world.server.transport
    client.registerProducer(server, True)
    server.registerProducer(client, True)
    world.client.note("write")
    server.abortConnection()
    await world.settle()
    return [[e.replace("Done", "Lost") for e in world.told()[0]], world.told()[1]]


# Half-close.


@gives([["lost ConnectionDone"], ["data", "lost ConnectionDone"], b"request"])
async def aHalfCloseEndsAPlainPeer(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    world.client.transport.write(b"request")
    world.client.transport.loseWriteConnection()
    await world.settle()
    return [*world.told(), world.server.received]


@gives(
    [
        [["write closed"], ["data", "read closed"]],
        [["write closed", "data"], ["data", "read closed"]],
        [["write closed", "data", "read closed"], ["data", "read closed", "write closed"]],
        [["write closed", "data", "read closed", "lost ConnectionDone"]],
    ]
)
async def aHalfCloseLeavesTheOtherDirectionOpen(world: World) -> object:
    await world.pair(HalfRecorder(), HalfRecorder())
    world.client.transport.write(b"request")
    world.client.transport.loseWriteConnection()
    await world.settle()
    steps: list[object] = [world.told()]
    world.server.transport.write(b"response")
    await world.settle()
    steps.append(world.told())
    world.server.transport.loseWriteConnection()
    await world.settle()
    steps.append(world.told())
    world.client.transport.loseConnection()
    # A transport that has closed its writing half closes synchronously.
    return [*steps, world.told()[:1]]


@gives([[], ["write closed"], ["data", "read closed"], True])
async def aHalfCloseWaitsForTheBuffer(world: World) -> object:
    await world.pair(HalfRecorder(), HalfRecorder())
    world.server.transport.pauseProducing()
    world.client.transport.write(MUCH)
    world.client.transport.loseWriteConnection()
    await world.settle()
    early = world.told()[0]
    world.server.transport.resumeProducing()
    await world.settle()
    return [early, *world.told(), world.server.received == MUCH]


@gives([["read closed"], ["read closed", "lost ConnectionLost"]])
async def writingToAPeerThatIsGoneLosesTheConnection(world: World) -> object:
    await world.pair(Recorder(), HalfRecorder())
    world.client.transport.loseConnection()
    await world.settle()
    steps = [world.told()[1][:1]]
    for _ in range(3):
        world.server.transport.write(b"too late")
        await world.settle()
    return [*steps, world.told()[1]]


@gives([["data", "read closed", "data", "lost ConnectionDone"], ["read closed", "lost ConnectionDone"]])
async def aPlainPeerEndsWhenAHalfClosedOneCloses(world: World) -> object:
    await world.pair(HalfRecorder(), HalfRecorder())
    world.client.note("data")
    world.server.transport.loseWriteConnection()
    await world.settle()
    world.client.note("data")
    world.client.transport.loseConnection()
    await world.settle()
    world.server.transport.loseConnection()
    return [world.told()[0], [e for e in world.told()[1] if e != "write closed"]]


@gives([["read closed"], ["lost ConnectionLost"]], unix=[["read closed"], ["lost ConnectionDone"]])
async def aResetAfterAHalfClose(world: World) -> object:
    await world.pair(HalfRecorder(), HalfRecorder())
    world.client.transport.loseWriteConnection()
    await world.settle()
    world.server.transport.abortConnection()
    await world.settle()
    world.client.transport.loseConnection()
    client = [e.replace("read closed", "lost ConnectionDone") for e in world.told()[0]]
    return [world.told()[1][:1], client[1:2]]


@gives(["write closed", "pause"])
async def aHalfCloseDoesNotWaitForAProducerThatIsNotPaused(world: World) -> object:
    await world.pair(HalfRecorder(), HalfRecorder())
    world.client.transport.registerProducer(Producer(world.client), True)
    world.client.transport.loseWriteConnection()
    await world.settle()
    world.client.note("pause")
    return world.told()[0]


# Connecting, listening, addresses.


@gives(
    ["factory started", "connecting", "failed ConnectionRefusedError", "factory stopped"],
    unix=["factory started", "connecting", "failed ConnectError", "factory stopped"],
)
async def nobodyListens(world: World) -> object:
    client = Recorder()
    port = world.listen(Factory())
    port.stopListening()
    await world.settle()
    world.connect(Once(client))
    await world.settle()
    return client.events


@gives(["factory started", "connecting", "failed UserError", "factory stopped", "NotConnectingError"])
async def connectingIsGivenUp(world: World) -> object:
    client = Recorder()
    port = world.listen(Factory.forProtocol(Recorder))
    connector = world.connect(Once(client))
    connector.stopConnecting()
    client.note(attempt(connector.stopConnecting))
    port.stopListening()
    await world.settle()
    return client.events


@gives(
    ["factory started", "connecting", "made", "lost ConnectionDone", "connector lost ConnectionDone"]
    + ["factory stopped", "disconnected"]
)
async def aConnectorIsToldAfterItsProtocol(world: World) -> object:
    client = Recorder()
    port = world.listen(Factory.forProtocol(Recorder))
    connector = world.connect(Once(client))
    await world.settle()
    connector.disconnect()
    await world.settle()
    client.note(connector.state)
    port.stopListening()
    await world.settle()
    return client.events


@gives(["lost ConnectionDone"])
async def aServerFactoryRefuses(world: World) -> object:
    client = Recorder()
    port = world.listen(Once(Recorder(), refuses=True))
    world.connect(_factoryOf(client))
    await world.settle()
    port.stopListening()
    await world.settle()
    return client.events[1:]


@gives(["factory started", "connecting", "failed ConnectError", "factory stopped"])
async def aClientFactoryRaises(world: World) -> object:
    factory = Once(Recorder())
    factory.buildProtocol = lambda addr: 1 / 0  # type: ignore[assignment, method-assign]
    port = world.listen(Factory.forProtocol(Recorder))
    world.connect(factory)
    await world.settle()
    port.stopListening()
    await world.settle()
    return factory.recorder.events


@gives([["factory started", "connecting", "connector lost ConnectionDone", "factory stopped"], ["made"]])
async def aClientFactoryRefuses(world: World) -> object:
    client, server = Recorder(), Recorder()
    port = world.listen(Factory.forProtocol(lambda: server))
    world.connect(Once(client, refuses=True))
    await world.settle()
    port.stopListening()
    await world.settle()
    return [client.events, server.events[:1]]


@gives(["CannotListenError", "factory started", "factory stopped", "fired", None])
async def aPortIsTakenAndClosed(world: World) -> object:
    server = Recorder()
    port = world.listen(Once(server))
    taken = attempt(world.listen, Once(Recorder()))
    closing = port.stopListening()
    await world.settle()
    closing.addCallback(lambda _: server.note("fired"))
    return [taken, *server.events, port.stopListening()]


@gives(
    [["IPv4Address"] * 4, True, ["AttributeError", "fine"]],
    unix=[["UNIXAddress"] * 4, True, ["AttributeError", "fine"]],
)
async def addresses(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    client, server = world.client.transport, world.server.transport
    ends = [client.getHost(), client.getPeer(), server.getHost(), server.getPeer()]
    agree = ends[0] == ends[3] and ends[1] == ends[2] == world.port.getHost()
    notes: list[str] = []

    def atLoss(recorder: Recorder) -> None:
        notes.extend([attempt(server.getHost), attempt(server.getPeer)])

    world.server.atLoss = atLoss
    server.loseConnection()
    await world.settle()
    return [[type(end).__name__ for end in ends], agree, notes]


@gives([[False, False], [True, True]], unix=[[False, False], [False, True]])
async def socketOptions(world: World) -> object:
    await world.pair(Recorder(), Recorder())
    transport: Any = world.client.transport
    before = [transport.getTcpNoDelay(), transport.getTcpKeepAlive()]
    transport.setTcpNoDelay(True)
    transport.setTcpKeepAlive(True)
    return [before, [transport.getTcpNoDelay(), transport.getTcpKeepAlive()]]
