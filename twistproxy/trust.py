"""Whom to believe what they say about a client: networks of proxies, or how many of them stand before this one. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

from attrs import field, frozen

from twistproxy.messages import Address
from twistproxy.settings import Settings
from twistproxy.text.networks import Network, NetworkSet


@frozen
class Trust:
    """Which proxies before this one are believed.

    @ivar networks: those of trusted proxies.
    @ivar hops: so many proxies stand before this one, whatever their addresses; 0 for none that one can count on.
    @ivar readsForwarded: whether they tell by Forwarded (RFC 7239), and not by X-Forwarded-*.
    @ivar tells: whether upstreams are told about clients by X-Forwarded-*.
    @ivar isNobody: whether nobody is believed.
    """

    networks: tuple[Network, ...] = ()
    hops: int = 0
    readsForwarded: bool = False
    tells: bool = True
    isNobody: bool = field(init=False)
    _members: NetworkSet = field(init=False, eq=False, repr=False)

    @isNobody.default
    def _isNobody(self) -> bool:
        return not (self.networks or self.hops)

    @_members.default
    def _makeMembers(self) -> NetworkSet:
        return NetworkSet(self.networks)

    @classmethod
    def of(cls, settings: Settings) -> Trust:
        """What C{settings} say."""
        return cls(settings.trustedProxies, settings.trustedHops, settings.readForwarded, settings.xForwarded)

    def trusts(self, host: str, hop: int = 0) -> bool:
        """Whether an address is a trusted proxy's.

        @param hop: 0 for the peer, 1 for who connected to that, and so on.
        """
        return hop < self.hops or host in self._members


NOBODY = Trust()
"""What holds without configuration."""


def clientAt(peer: Address, chain: Sequence[str], trust: Trust) -> tuple[Address, int]:
    """The client's address: from the right end of C{chain}, the first that is not a trusted proxy's.

    What stands left of that one was written by somebody who is not trusted.

    @param chain: what proxies say about who connected to them, left to right; only asked when C{peer} is trusted.
    @return: the address, and its index in C{chain}; the length of C{chain} for C{peer} itself.
    """
    best, at = peer, len(chain)
    if not trust.trusts(peer.host):
        return best, at
    for hop, element in enumerate(reversed(chain), 1):
        host = bareAddress(element)
        if host is None:
            break
        best, at = Address(host, 0), at - 1
        if not trust.trusts(host, hop):
            break
    return best, at


def clientAddress(peer: Address, chain: Sequence[str], trust: Trust) -> Address:
    """The first result of L{clientAt}."""
    return clientAt(peer, chain, trust)[0]


def bareAddress(element: str) -> str | None:
    """An element of X-Forwarded-For, or C{for} of Forwarded, as an IP address, its port and brackets removed; None when
    it is none."""
    text = element.strip().strip('"')
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text.partition("%")[0])  # a zone is of no use to another machine, and may be any text
    except ValueError:
        return None
    return str(getattr(address, "ipv4_mapped", None) or address)
