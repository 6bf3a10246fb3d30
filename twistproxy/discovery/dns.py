"""Upstreams from the DNS: all addresses of a name, or the targets of SRV records.

Names in URLs of upstreams are resolved as well, for each new connection, by the system: then whoever answers first is
one upstream. Here each address is one, with its own share, health and connections.
"""

from __future__ import annotations

import re
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Final, Literal

from twisted.internet.defer import Deferred, gatherResults
from twisted.names import dns as wire
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.discovery.answers import Target, addressesOf, targetsOf
from twistproxy.discovery.entries import EntryReader
from twistproxy.discovery.polled import Answer, Polled
from twistproxy.discovery.resolving import NameServers
from twistproxy.interfaces import IUpstreamSource
from twistproxy.plugin import Duration

Family = Literal["both", "ipv4", "ipv6"]
_KINDS: Final = {"both": (wire.A, wire.AAAA), "ipv4": (wire.A,), "ipv6": (wire.AAAA,)}
_MAX_CHAIN: Final = 8
"""Most aliases that are followed from one question to the next."""
_MAX_TARGETS: Final = 100
"""Most targets of SRV records whose addresses are asked for."""
_NEVER: Final = 1 << 31


class Names:
    """Addresses by name; those of a family that cannot be asked for stay as they were."""

    def __init__(self, servers: NameServers, family: Family) -> None:
        self._servers = servers
        self._kinds = _KINDS[family]
        self._last: dict[tuple[str, int], tuple[str, ...]] = {}

    async def addresses(self, name: str) -> tuple[tuple[str, ...], int]:
        """All addresses of C{name}, none when there is no such name, and for how many seconds they hold.

        @raise Exception: when nothing could be asked for.
        """
        results = await _settled([self._ofKind(name, kind) for kind in self._kinds])
        failures = [each for each in results if isinstance(each, Failure)]
        if len(failures) == len(results):
            failures[0].raiseException()
        found: list[str] = []
        seconds = 0 if failures else _NEVER
        for kind, result in zip(self._kinds, results, strict=True):
            if isinstance(result, Failure):
                found += self._last.get((name, kind), ())
            else:
                addresses, holds = result
                self._last[name, kind] = addresses
                found += addresses
                seconds = min(seconds, holds) if addresses else seconds
        return tuple(found), seconds if found else 0

    async def _ofKind(self, name: str, kind: int) -> tuple[tuple[str, ...], int]:
        seconds = _NEVER
        for _ in range(_MAX_CHAIN):
            records = await self._servers.ask(name, kind)
            found = addressesOf(name, kind, records)
            seconds = min(seconds, found.seconds)
            if not found.alias:
                return found.addresses, seconds
            name = found.alias
        return (), 0

    def last(self, name: str) -> tuple[str, ...]:
        """What was found last."""
        return tuple(each for kind in self._kinds for each in self._last.get((name, kind), ()))

    def keepOnly(self, names: Sequence[str]) -> None:
        """Forget the addresses of all others."""
        self._last = {key: value for key, value in self._last.items() if key[0] in names}


async def _settled(coroutines: Sequence[Coroutine[Any, Any, Any]]) -> list[Any]:
    """The results, and a L{Failure} for each that failed."""
    running = [Deferred.fromCoroutine(each).addErrback(lambda failure: [failure]) for each in coroutines]
    return [each[0] if isinstance(each, list) else each for each in await gatherResults(running)]


def _checked(name: str) -> str:
    """A name without its last dot.

    @raise ValueError: when it is none.
    """
    if len(name) > 253 or not re.fullmatch(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?", name):
        raise ValueError(f"name: {name!r} is not a name in the DNS")
    return name.rstrip(".")


@implementer(IUpstreamSource)
def addresses(
    context: Any,
    name: str,
    port: int = 80,
    format: str = "http://%s",
    family: Family = "both",
    min_ttl: Duration = 5.0,
    max_ttl: Duration = 60.0,
    resolver: tuple[str, ...] = (),
    timeout: Duration = 4.0,
    weights: Mapping[str, int] | None = None,
) -> Polled:
    """All addresses of a name are upstreams: its A and AAAA records.

    They are asked for again when their time to live is over. When there is no answer, the last ones stay.

    @param name: in full; nothing is put behind it.
    @param port: of all of them.
    @param format: the URL of an address with its port, with %s in its place; options of an upstream may follow it, for all.
    @param family: ipv4 for A records only, ipv6 for AAAA.
    @param min_ttl: the least time from one question to the next, whatever the records say.
    @param max_ttl: the most.
    @param resolver: name servers, address:port after commas; the system's by default.
    @param timeout: for a name server to answer.
    @param weights: weights by address; 1 for all others.
    @raise ValueError: when one of these cannot be used.
    """
    if not 0 < port < 65536:
        raise ValueError(f"port: {port} is not a port")
    asked = _checked(name)
    names = Names(NameServers(context.reactor, resolver, timeout), family)

    async def find() -> Answer:
        found, seconds = await names.addresses(asked)
        return Answer([{"host": each, "port": port, "server-name": asked} for each in found], seconds)

    reader = EntryReader(format, weights or {}, hasNames=True, directory=context.directory)
    return Polled(context.reactor, f"dns {asked}", reader, find, (min_ttl, max_ttl), _MAX_CHAIN * timeout)


@implementer(IUpstreamSource)
def services(
    context: Any,
    name: str,
    format: str = "http://%s",
    resolve: bool = True,
    family: Family = "both",
    min_ttl: Duration = 5.0,
    max_ttl: Duration = 60.0,
    resolver: tuple[str, ...] = (),
    timeout: Duration = 4.0,
) -> Polled:
    """The targets of SRV records are upstreams, with their ports, weights, and priorities: those of the least priority are
    asked, those of the next when they are down.

    They are asked for again when their time to live is over. When there is no answer, the last ones stay.

    @param name: in full, such as _http._tcp.example.com.
    @param format: the URL of an address with its port, with %s in its place; options of an upstream may follow it, for all.
    @param resolve: whether each address of a target is an upstream; no: the target by its name, which the system resolves.
    @param family: ipv4 for A records only, ipv6 for AAAA.
    @param min_ttl: the least time from one question to the next, whatever the records say.
    @param max_ttl: the most.
    @param resolver: name servers, address:port after commas; the system's by default.
    @param timeout: for a name server to answer.
    @raise ValueError: when one of these cannot be used.
    """
    asked = _checked(name)
    servers = NameServers(context.reactor, resolver, timeout)
    names = Names(servers, family)

    async def find() -> Answer:
        targets, seconds = targetsOf(await servers.ask(asked, wire.SRV))
        if not resolve:
            return Answer([_entry(each, each.host) for each in targets], seconds)
        hosts = list(dict.fromkeys(each.host for each in targets))[:_MAX_TARGETS]
        results = await _settled([names.addresses(each) for each in hosts])
        names.keepOnly(hosts)
        known = {
            host: (names.last(host), 0) if isinstance(each, Failure) else each for host, each in zip(hosts, results, strict=True)
        }
        entries: list[object] = []
        for target in targets:
            found, holds = known.get(target.host, ((), 0))
            seconds = min(seconds, holds)
            # What is no entry is told to the log, and left out.
            entries += [_entry(target, each) for each in found] or [f"{target.host}: no address is known"]
        return Answer(entries, seconds)

    reader = EntryReader(format, hasNames=True, directory=context.directory)
    return Polled(context.reactor, f"srv {asked}", reader, find, (min_ttl, max_ttl), 2 * _MAX_CHAIN * timeout)


def _entry(target: Target, host: str) -> object:
    return {
        "host": host,
        "port": target.port,
        "weight": target.weight,
        "priority": target.priority,
        "server-name": target.host,
        "metadata": {"target": target.host},
    }
