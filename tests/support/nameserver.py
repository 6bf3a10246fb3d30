"""An authoritative name server of twisted.names on 127.0.0.1, over UDP and TCP, whose records change as a test says."""

from __future__ import annotations

from collections import Counter
from typing import Any

from twisted.internet import defer
from twisted.names import common, dns, server
from twisted.names.error import DNSServerError, DomainError
from twisted.python.failure import Failure


class _Factory(server.DNSServerFactory):
    """Cuts what is too long for UDP, as name servers do and that of twisted.names does not."""

    owner: NameServer

    def sendReply(self, protocol: Any, message: dns.Message, address: Any) -> None:
        if address is None:
            self.owner.overTCP += 1
        elif len(message.toStr()) > 512:
            message.answers, message.trunc = [], 1
        super().sendReply(protocol, message, address)

    def gotResolverError(self, failure: Failure, protocol: Any, message: dns.Message, address: Any) -> None:
        """Without a line in the log."""
        code = dns.ENAME if failure.type is DomainError else dns.ESERVER
        self.sendReply(protocol, self._responseFromMessage(message=message, rCode=code), address)


class NameServer(common.ResolverBase):
    """What it knows and what it was asked.

    @ivar records: by name, each with its time to live.
    @ivar failing: kinds of records that it answers with a failure.
    @ivar asked: questions by name and kind.
    @ivar overTCP: answers.
    @ivar address: as C{resolver} takes it.
    """

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self.records: dict[bytes, list[tuple[Any, int]]] = {}
        self.failing: set[int] = set()
        self.asked: Counter[tuple[bytes, int]] = Counter()
        self.overTCP = 0
        factory = _Factory(clients=[self])
        factory.owner = self
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
        known = [(each, ttl) for each, ttl in self.records[name] if each.TYPE in kinds]
        answers = [dns.RRHeader(name, each.TYPE, dns.IN, ttl, each, auth=True) for each, ttl in known]
        return defer.succeed((answers, [], []))

    async def stop(self) -> None:
        """Answer no more."""
        if self._udp is not None:
            udp, self._udp = self._udp, None
            await udp.stopListening()
            await self._tcp.stopListening()
