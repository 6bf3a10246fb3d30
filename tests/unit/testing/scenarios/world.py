"""
Small stories about two connected transports, told once and run twice: on L{MemoryNetwork} and on real
sockets.

Each scenario is a coroutine function that takes a L{World} and notes what happened, for each side in order.
What must come out is written beside it, so that neither side is right by agreement alone.
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
    """Notes what its transport tells it; deliveries in a row are one event, for their sizes are the
    kernel's."""

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
        connector = self.connect(factoryOf(client))
        await self.settle()
        return connector

    def told(self) -> list[Events]:
        """The events of the client and of the server, without "made"."""
        return [[e for e in side.events if e != "made"] for side in (self.client, self.server)]


def factoryOf(protocol: Protocol) -> ClientFactory:
    factory = ClientFactory()
    factory.noisy = False
    factory.buildProtocol = lambda addr: protocol
    return factory


Scenario = Callable[[World], Awaitable[object]]
SCENARIOS: dict[str, tuple[Scenario, object, object]] = {}
"""The scenarios by name, each with what it must give on TCP and on a UNIX socket."""

MUCH = b"m" * (16 << 20)
"""More than any kernel's socket buffers hold."""


def gives(expected: object, unix: object = None) -> Callable[[Scenario], Scenario]:
    """Register a scenario with what it must give, on a UNIX socket too unless C{unix} says what it gives
    there."""

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
