"""Who listens where, and what happens to a connection attempt: accepted, refused, unreachable or never
answered."""

from __future__ import annotations

from collections.abc import Iterator
from errno import EADDRINUSE, ENOENT
from os import strerror
from typing import TYPE_CHECKING

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import CannotListenError, ConnectError, ConnectionRefusedError

from twistproxy.testing.addresses import Address, describe, internetAddress

if TYPE_CHECKING:
    from twistproxy.testing.ports import MemoryPort

_WILDCARDS = ("", "0.0.0.0", "::")
_FIRST_EPHEMERAL_PORT = 49152


class BlackHole(Exception):
    """The attempt gets no answer."""


class Routes:
    """The table of open ports and of the addresses that a test has made to fail."""

    ports: list[MemoryPort]
    """The open ports, oldest first."""

    def __init__(self) -> None:
        self.ports = []
        self._faults: dict[str, Exception] = {}
        self._turns: dict[Address, int] = {}
        self._ephemeral: Iterator[int] = iter(range(_FIRST_EPHEMERAL_PORT, 1 << 16))

    def setFault(self, place: str, fault: Exception | None) -> None:
        """Make attempts fail with C{fault}.

        @param place: an address as C{describe} writes it, or a host alone, which stands for all its ports.
        @param fault: L{BlackHole}, an error to fail with, or L{None} to let attempts through again.
        """
        if fault is None:
            self._faults.pop(place, None)
        else:
            self._faults[place] = fault

    def bind(self, port: MemoryPort) -> Address:
        """Open C{port} and return its address, with a real port number in place of 0.

        @raise CannotListenError: if the address is taken.
        """
        address = port.address
        if isinstance(address, IPv4Address | IPv6Address) and address.port == 0:
            address = internetAddress(address.host, self.ephemeralPort())
        taken = [other for other in self.ports if _overlap(other.address, address)]
        if not all(port.canShare and other.canShare for other in taken):
            cause = OSError(EADDRINUSE, strerror(EADDRINUSE))
            if isinstance(address, UNIXAddress):
                raise CannotListenError(None, address.name, cause)
            raise CannotListenError(address.host, address.port, cause)
        self.ports.append(port)
        return address

    def unbind(self, port: MemoryPort) -> None:
        """Close C{port}."""
        self.ports.remove(port)

    def find(self, address: Address) -> MemoryPort:
        """The port that answers at C{address}; ports that share it take turns.

        @raise BlackHole: if nobody answers.
        @raise ConnectError: if the attempt fails at once.
        """
        host = "" if isinstance(address, UNIXAddress) else address.host
        for place in (describe(address), host):
            if place in self._faults:
                raise self._faults[place]
        found = [port for port in self.ports if _answers(port.address, address)]
        # An exact address goes before a wildcard.
        exact = [port for port in found if port.address == address] or found
        if exact:
            turn = self._turns.get(address, 0)
            self._turns[address] = turn + 1
            return exact[turn % len(exact)]
        if isinstance(address, UNIXAddress):
            raise ConnectError(ENOENT, strerror(ENOENT))
        raise ConnectionRefusedError()

    def ephemeralPort(self) -> int:
        """The next port number that nobody listens on, from 49152 up."""
        used = {port.address.port for port in self.ports if not isinstance(port.address, UNIXAddress)}
        return next(number for number in self._ephemeral if number not in used)


def mapped(address: Address) -> Address:
    """C{address} as a dual-stack socket sees it: 127.0.0.1 becomes ::ffff:127.0.0.1."""
    if isinstance(address, IPv4Address):
        return IPv6Address("TCP", "::ffff:" + address.host, address.port)
    return address


def _answers(listening: Address, address: Address) -> bool:
    if listening == address:
        return True
    if isinstance(listening, UNIXAddress) or isinstance(address, UNIXAddress):
        return False
    if listening.port != address.port or listening.host not in _WILDCARDS:
        return False
    # Linux lets an IPv6 wildcard answer for IPv4 too.
    return isinstance(listening, IPv6Address) or isinstance(address, IPv4Address)


def _overlap(one: Address, other: Address) -> bool:
    return _answers(one, other) or _answers(other, one)
