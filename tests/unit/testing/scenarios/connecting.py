"""
Scenarios about connecting, listening and addresses.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory

from tests.unit.testing.scenarios.world import Once, Recorder, World, attempt, factoryOf, gives


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
    return list(client.events)


@gives(["factory started", "connecting", "failed UserError", "factory stopped", "NotConnectingError"])
async def connectingIsGivenUp(world: World) -> object:
    client = Recorder()
    port = world.listen(Factory.forProtocol(Recorder))
    connector = world.connect(Once(client))
    connector.stopConnecting()
    client.note(attempt(connector.stopConnecting))
    port.stopListening()
    await world.settle()
    return list(client.events)


@gives(["factory started", "connecting", "failed UserError", "factory stopped", "disconnected"])
async def disconnectingWhileConnecting(world: World) -> object:
    client = Recorder()
    port = world.listen(Factory.forProtocol(Recorder))
    connector = world.connect(Once(client))
    connector.disconnect()
    connector.disconnect()
    client.note(connector.state)
    port.stopListening()
    await world.settle()
    return list(client.events)


@gives(
    [
        "factory started",
        "connecting",
        "made",
        "lost ConnectionDone",
        "connector lost ConnectionDone",
        "factory stopped",
        "disconnected",
    ]
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
    return list(client.events)


@gives(["lost ConnectionDone"])
async def aServerFactoryRefuses(world: World) -> object:
    client = Recorder()
    port = world.listen(Once(Recorder(), refuses=True))
    world.connect(factoryOf(client))
    await world.settle()
    port.stopListening()
    await world.settle()
    return client.events[1:]


@gives(
    ["factory started", "connecting", "failed ConnectError", "factory stopped"],
    unix=["factory started", "connecting"],
)
async def aClientFactoryRaises(world: World) -> object:
    factory = Once(Recorder())
    factory.buildProtocol = lambda addr: 1 / 0
    port = world.listen(Factory.forProtocol(Recorder))
    world.connect(factory)
    await world.settle()
    port.stopListening()
    await world.settle()
    return list(factory.recorder.events)


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
