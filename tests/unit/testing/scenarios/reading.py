"""
Scenarios about reading and not reading.
"""

from __future__ import annotations

from tests.unit.testing.scenarios.world import MUCH, Recorder, World, gives


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
