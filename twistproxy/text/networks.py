"""Networks as they are written in a configuration, and whether an address is in one of them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from attrs import frozen

_MAX_KNOWN: Final = 4096
"""Addresses whose networks are remembered, of each L{NetworkSet}."""


@frozen
class UnixPeers:
    """Stands among networks for all peers over UNIX sockets, which have no address."""

    def __str__(self) -> str:
        return "unix"


Network = IPv4Network | IPv6Network | UnixPeers
UNIX_PEERS: Final = UnixPeers()


def parseNetworks(text: str) -> tuple[Network, ...]:
    """Networks or addresses, separated by commas; C{unix} for peers over UNIX sockets.

    @raise ValueError: with a sentence for the person who wrote it.
    """
    words = [each.strip() for each in text.split(",") if each.strip()]
    return tuple(UNIX_PEERS if each == "unix" else _network(each) for each in words)


def _network(text: str) -> Network:
    """One of mapped IPv4 addresses is that of the IPv4 addresses: clients' are known as such."""
    made = ip_network(text, strict=False)
    mapped = made.network_address.ipv4_mapped if isinstance(made, IPv6Network) and made.prefixlen >= 96 else None
    return made if mapped is None else IPv4Network((mapped, made.prefixlen - 96))


class NetworkSet:
    """Any number of networks. A look costs as much as there are different lengths of prefixes, however many they are;
    for an address that was looked for of late, less."""

    def __init__(self, networks: Iterable[Network]) -> None:
        self._hasUnix = False
        prefixes: dict[tuple[int, int], set[int]] = {}  # by version and host bits
        for each in networks:
            if isinstance(each, UnixPeers):
                self._hasUnix = True
            else:
                bits = each.max_prefixlen - each.prefixlen
                prefixes.setdefault((each.version, bits), set()).add(int(each.network_address) >> bits)
        self._prefixes = [(version, bits, found) for (version, bits), found in prefixes.items()]
        self._look = lru_cache(maxsize=_MAX_KNOWN)(self._has)

    def __bool__(self) -> bool:
        return self._hasUnix or bool(self._prefixes)

    def __contains__(self, host: str) -> bool:
        """Whether C{host}, an IP address as text, is in one of them; without one it is a UNIX socket's peer.

        A mapped IPv4 address is that IPv4 address.
        """
        return self._look(host)

    def _has(self, host: str) -> bool:
        if not host:
            return self._hasUnix
        try:
            address: IPv4Address | IPv6Address = ip_address(host)
        except ValueError:
            return False
        address = getattr(address, "ipv4_mapped", None) or address
        number = int(address)
        return any(version == address.version and number >> bits in found for version, bits, found in self._prefixes)
