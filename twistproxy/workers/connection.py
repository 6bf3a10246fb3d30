"""A worker's line to its supervisor. That it breaks is how a worker learns that its supervisor is gone."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import LogEvent, LogLevel, eventAsJSON
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.workers.lines import LONGEST, Lines, decode, encode

FROM_SUPERVISOR: Final = 3
"""The descriptor that a worker reads."""

TO_SUPERVISOR: Final = 4
"""The one that it writes."""


@implementer(IPushProducer)
class SupervisorConnection(Protocol):
    """Sends and receives lines; a supervisor that reads too slowly is not sent all of the log, nor of what checks found."""

    transport: Any
    _isPaused = False
    _lost = 0

    def __init__(self, received: Callable[[Mapping[str, Any]], object], lost: Callable[[], object]) -> None:
        """
        @param received: gets what the supervisor says.
        @param lost: is called when it is gone.
        """
        self._received = received
        self._supervisorLost = lost
        self._lines = Lines()

    def connectionMade(self) -> None:
        """Know when too much is waiting to be sent."""
        self.transport.registerProducer(self, True)

    def dataReceived(self, data: bytes) -> None:
        """Some lines."""
        for line in self._lines.receive(data):
            self._received(decode(line))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The supervisor is gone."""
        self._supervisorLost()

    def say(self, kind: str, **fields: Any) -> None:
        """Send a line."""
        self.transport.write(encode(kind, **fields))

    def offer(self, line: bytes) -> bool:
        """Send a line that is made already, unless too much is waiting; whether it was."""
        if self._isPaused or len(line) > LONGEST:
            return False
        self.transport.write(line)
        return True

    def log(self, event: LogEvent) -> None:
        """An observer: have the supervisor log an event, in its own way."""
        if event.get("log_level") is LogLevel.debug:
            return
        if self._isPaused or not self.offer(encode("log", event=eventAsJSON(event))):
            self._lost += 1

    def pauseProducing(self) -> None:
        """The supervisor does not keep up."""
        self._isPaused = True

    def resumeProducing(self) -> None:
        """It does again."""
        self._isPaused = False
        lost, self._lost = self._lost, 0
        if lost:
            self.say("lost", count=lost)

    def stopProducing(self) -> None:
        """It is gone."""
        self._isPaused = True
