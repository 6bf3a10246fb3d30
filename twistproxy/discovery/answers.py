"""What name servers answer, as entries of upstreams: pure. Records are those of L{twisted.names.dns}."""

from __future__ import annotations

from collections.abc import Sequence
from socket import AF_INET6, inet_ntop
from typing import Any, Final

from attrs import frozen
from twisted.names import dns

from twistproxy.discovery.entries import MAX_WEIGHT

_MAX_CHAIN: Final = 8
"""Longest chain of aliases that is followed."""

FAMILIES: Final = (dns.A, dns.AAAA)


@frozen
class Found:
    """The addresses of a name.

    @ivar seconds: for how long they hold, the least of all records on the way.
    @ivar alias: where the chain of aliases leads, when the answer has no address for it; else empty.
    """

    addresses: tuple[str, ...]
    seconds: int
    alias: str = ""


@frozen
class Target:
    """One SRV record (RFC 2782), its weight as one of ours.

    @ivar priority: the least is asked first.
    """

    host: str
    port: int
    priority: int
    weight: int


def addressesOf(name: str, family: int, answers: Sequence[Any]) -> Found:
    """The addresses of one family in an answer, sorted, through its aliases (RFC 1034 section 3.6.2).

    @param family: of L{FAMILIES}.
    """
    wanted, seconds = _normal(name), 1 << 31
    for _ in range(_MAX_CHAIN):
        alias = next((each for each in answers if each.type == dns.CNAME and _normal(each.name.name) == wanted), None)
        if alias is None:
            break
        wanted, seconds = _normal(alias.payload.name.name), min(seconds, alias.ttl)
    records = [each for each in answers if each.type == family and _normal(each.name.name) == wanted]
    seconds = min([seconds, *(each.ttl for each in records)])
    found = {_address(each.payload) for each in records}
    return Found(tuple(sorted(found)), seconds, "" if found or wanted == _normal(name) else wanted)


def targetsOf(answers: Sequence[Any]) -> tuple[list[Target], int]:
    """The targets that SRV records name, and for how many seconds they hold.

    A weight of 0 means a very small share beside others (RFC 2782), so others are made larger. A target of "." says that
    there is no such service.
    """
    records = [each for each in answers if each.type == dns.SRV]
    seconds = min((each.ttl for each in records), default=0)
    payloads = [each.payload for each in records if _normal(each.payload.target.name)]
    weights = _scaled([each.weight for each in payloads])
    targets = [
        Target(_normal(each.target.name), each.port, each.priority, weight)
        for each, weight in zip(payloads, weights, strict=True)
    ]
    return sorted(targets, key=lambda each: (each.priority, each.host, each.port)), seconds


def _scaled(weights: Sequence[int]) -> list[int]:
    """SRV weights, 0 to 65535, as weights of ours, 1 to L{MAX_WEIGHT}."""
    most = max(weights, default=0)
    if not most:
        return [1] * len(weights)
    factor = 1.0
    if most > MAX_WEIGHT:
        factor = MAX_WEIGHT / most
    elif 0 in weights and min(filter(None, weights)) < 100:
        factor = min(100, MAX_WEIGHT / most)
    return [max(1, round(each * factor)) for each in weights]


def _normal(name: bytes | str) -> str:
    text = name.decode("ascii", "replace") if isinstance(name, bytes) else name
    return text.rstrip(".").lower()


def _address(payload: Any) -> str:
    if isinstance(payload, dns.Record_A):
        return str(payload.dottedQuad())
    return inet_ntop(AF_INET6, payload.address)
