"""An upstream is well when it takes a connection."""

from __future__ import annotations

from typing import Any

from twisted.internet.protocol import Factory, Protocol
from zope.interface import implementer

from twistproxy.health.reaching import UpstreamEndpoint
from twistproxy.health.schedule import Initial, Schedule
from twistproxy.interfaces import IHealthCheck
from twistproxy.messages import Health, Upstream
from twistproxy.plugin import Duration


@implementer(IHealthCheck)
class TCPCheck:
    """Connect, and close again."""

    def __init__(
        self,
        context: Any,
        port: int = 0,
        *,
        interval: Duration | None = None,
        downInterval: Duration | None = None,
        timeout: Duration | None = None,
        rise: int | None = None,
        fall: int | None = None,
        initial: Initial = "up",
    ) -> None:
        """
        @param port: another than that of the upstream.
        @param interval: from the start of one check to the next; else C{health-interval}.
        @param downInterval: the same while the upstream is down; else C{interval}.
        @param timeout: for one check; else C{health-timeout}.
        @param rise: good ones in a row that bring an upstream back; else C{health-rise}.
        @param fall: failed ones in a row that take it out; else C{health-fall}.
        @param initial: C{down}: an upstream gets no requests before its first good check.
        """
        self._reactor = context.reactor
        self._port = port
        self._timeout = timeout or context.settings.healthTimeout
        self.schedule = Schedule(interval, timeout, rise, fall, initial, downInterval)

    async def check(self, upstream: Upstream) -> Health:
        """Good when there is a connection."""
        started = self._reactor.seconds()
        endpoint = UpstreamEndpoint(self._reactor, upstream, self._timeout, self._port)
        protocol = await endpoint.connect(Factory.forProtocol(Protocol))
        protocol.transport.loseConnection()
        return Health(True, latency=self._reactor.seconds() - started)
