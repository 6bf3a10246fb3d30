"""
Scenarios about the end of a connection, or of one half of it.
"""

from __future__ import annotations

from tests.unit.testing.scenarios.world import MUCH, HalfRecorder, Producer, Recorder, World, gives


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


@gives([["lost ZeroDivisionError"], ["lost ConnectionDone"]])
async def anExceptionAfterAnAbortComesFirst(world: World) -> object:
    await world.pair(Recorder(), Recorder())

    def abortAndRaise(recorder: Recorder) -> None:
        recorder.transport.abortConnection()
        raise ZeroDivisionError

    world.server.atData = abortAndRaise
    world.client.transport.write(b"x")
    await world.settle()
    return [[e for e in world.told()[1] if e != "data"], world.told()[0]]


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
    # Each side is the other's producer, as in a proxy that has two connections; here it is one connection's
    # two ends.
    await world.pair(Recorder(), Recorder())
    client, server = world.client.transport, world.server.transport
    client.registerProducer(server, True)
    server.registerProducer(client, True)
    world.client.note("write")
    server.abortConnection()
    await world.settle()
    return [[e.replace("Done", "Lost") for e in world.told()[0]], world.told()[1]]


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
