"""HAProxy's agent protocol: a program beside an upstream says in a line of text how it is, and what it wants."""

from __future__ import annotations

import re
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.health.reaching import UpstreamEndpoint
from twistproxy.health.schedule import Initial, Schedule
from twistproxy.interfaces import IHealthCheck
from twistproxy.messages import Health, Upstream
from twistproxy.plugin import Duration

_LONGEST: Final = 1024
_PERCENT: Final = re.compile(r"(\d{1,6})%")
_MAXCONN: Final = re.compile(r"maxconn:(\d{1,9})")
_BAD: Final = ("down", "failed", "stopped")


@implementer(IHealthCheck)
class AgentCheck:
    """Ask the agent beside an upstream, by HAProxy's protocol.

    It answers words such as C{up 75%}, C{drain}, C{down#disk full}. An agent that cannot be reached says nothing: whether the
    upstream is well is for another check to find out.
    """

    def __init__(
        self,
        context: Any,
        port: int,
        *,
        host: str = "",
        send: str = "",
        interval: Duration | None = None,
        downInterval: Duration | None = None,
        timeout: Duration | None = None,
        rise: int = 1,
        fall: int = 1,
        initial: Initial = "up",
    ) -> None:
        """
        @param port: where the agent listens.
        @param host: another than that of the upstream.
        @param send: a line that the agent gets first.
        @param interval: from the start of one check to the next; else C{health-interval}.
        @param downInterval: the same while the upstream is down; else C{interval}.
        @param timeout: for one check; else C{health-timeout}.
        @param rise: good ones in a row that bring an upstream back.
        @param fall: failed ones in a row that take it out.
        @param initial: C{down}: an upstream gets no requests before its agent first says C{up}.
        """
        if not 0 < port < 65536:
            raise ValueError(f"port: {port} is no port")
        self._reactor = context.reactor
        self._port = port
        self._host = host
        self._send = f"{send}\n".encode() if send else b""
        self._timeout = timeout or context.settings.healthTimeout
        self.schedule = Schedule(interval, timeout, rise, fall, initial, downInterval)

    async def check(self, upstream: Upstream) -> Health:
        """Ask once."""
        started = self._reactor.seconds()
        reading = _Line(self._send)
        try:
            host = self._host or ("127.0.0.1" if upstream.location.socketPath else "")
            endpoint = UpstreamEndpoint(self._reactor, upstream, self._timeout, self._port, host)
            await endpoint.connect(Factory.forProtocol(lambda: reading))
            line = await reading.done
        except Exception as error:
            return Health(True, f"its agent says nothing: {error or type(error).__name__}", isInconclusive=True)
        return readAgent(line, self._reactor.seconds() - started)


def readAgent(line: bytes, latency: float | None = None) -> Health:
    """What an agent's line means; words that are not known mean nothing.

    HAProxy's configuration manual, C{agent-check}: words parted by spaces, tabs or commas. C{75%} is the share of the
    weight, C{maxconn:30} the limit of connections, C{ready}, C{drain} and C{maint} what is wanted of the upstream, C{up},
    C{down}, C{failed} and C{stopped} how it is, the last three with a reason after a C{#}. What is not said stays as it is.
    """
    text, _, reason = line.decode("utf-8", "replace").strip().partition("#")
    share: float | None = None
    maxConnections: int | None = None
    advice = ""
    isUp: bool | None = None
    said = ""
    for word in re.split(r"[ \t,]+", text.lower()):
        if found := _PERCENT.fullmatch(word):
            share = int(found[1]) / 100
        elif found := _MAXCONN.fullmatch(word):
            maxConnections = int(found[1])
        elif word in ("ready", "drain", "maint"):
            advice = word
        elif word == "up":
            isUp = True
        elif word in _BAD:
            isUp, said = False, word
    detail = "agent: " + (" ".join(f"{said} {reason}".split()) if said else " ".join(text.split()))
    shown = "".join(each for each in detail if each.isprintable())
    return Health(isUp is not False, shown, latency, share, maxConnections, advice, isUp is None)


class _Line(Protocol):
    """Reads one line.

    @ivar done: fires with it; the connection is cut when it is cancelled.
    """

    def __init__(self, send: bytes) -> None:
        self._send = send
        self._read = b""
        self.done: Deferred[bytes] = Deferred(lambda _: self._cut())

    def connectionMade(self) -> None:
        """Say what is to be said."""
        if self._send:
            assert self.transport is not None
            self.transport.write(self._send)

    def dataReceived(self, data: bytes) -> None:
        """A part of the line, or the end of it."""
        if self.done.called:
            return
        self._read += data
        line, *rest = re.split(rb"[\r\n]", self._read, maxsplit=1)
        if rest or len(self._read) > _LONGEST:
            assert self.transport is not None
            self.transport.loseConnection()
            self.done.callback(line[:_LONGEST])

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """A line may also end with the connection."""
        if not self.done.called:
            if self._read:
                self.done.callback(self._read)
            else:
                self.done.errback(reason)

    def _cut(self) -> None:
        if self.transport is not None:
            self.transport.abortConnection()  # type: ignore[attr-defined]
