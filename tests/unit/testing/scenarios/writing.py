"""
Scenarios about writing and producers.
"""

from __future__ import annotations

from typing import Any

from tests.unit.testing.scenarios.world import MUCH, HalfRecorder, Producer, Recorder, World, attempt, gives


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
