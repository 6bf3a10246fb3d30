"""An authoritative name server of twisted.names on 127.0.0.1, over UDP and TCP, whose records change as a test says."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet import defer
from twisted.names import common, dns, server
from twisted.names.error import DNSServerError, DomainError


class NameServer(common.ResolverBase):
    """What it knows and what it was asked.

    @ivar records: by name, each with its time to live.
    @ivar failing: kinds of records that it answers with a failure.
    @ivar asked: questions by name and kind.
    @ivar address: as C{resolver} takes it.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self.records: dict[bytes, list[tuple[Any, int]]] = {}
        self.failing: set[int] = set()
        self.asked: Counter[tuple[bytes, int]] = Counter()
        self.overTCP = 0
        factory = server.DNSServerFactory(clients=[self])
        counted = factory.connectionMade

        def connectionMade(protocol: Any) -> None:
            self.overTCP += 1
            counted(protocol)

        factory.connectionMade = connectionMade
        factory.noisy = False
        self._tcp = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self._port: int = self._tcp.getHost().port
        self._udp = reactor.listenUDP(self._port, dns.DNSDatagramProtocol(factory, reactor), interface="127.0.0.1")
        self.address = f"127.0.0.1:{self._port}"

    def set(self, name: str, *payloads: Any, ttl: int = 60) -> None:
        """All records of a name from now on."""
        self.records[name.encode()] = [(each, ttl) for each in payloads]

    def _lookup(self, name: bytes, cls: int, type: int, timeout: Any) -> defer.Deferred[Any]:
        name = name.lower()
        self.asked[name, type] += 1
        if type in self.failing:
            return defer.fail(DNSServerError())
        if name not in self.records:
            return defer.fail(DomainError(name))
        kinds = (type, dns.CNAME)
        answers = [dns.RRHeader(name, each.TYPE, dns.IN, ttl, each, auth=True) for each, ttl in self.records[name] if each.TYPE in kinds]
        return defer.succeed((answers, [], []))

    async def stop(self) -> None:
        """Answer no more."""
        if self._udp is not None:
            udp, self._udp = self._udp, None
            await udp.stopListening()
            await self._tcp.stopListening()
