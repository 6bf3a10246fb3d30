"""Asking name servers, by twisted.names: the ones that were configured, or the system's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.logger import LogLevel
from twisted.names import dns
from twisted.names.client import Resolver
from twisted.names.error import DNSNameError
from twisted.python.log import callWithContext

_CONFIGURATION: Final = "/etc/resolv.conf"


_SERVER: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::([0-9]{1,5}))?|([0-9A-Fa-f:.]+)")
"""An address; one with colons needs brackets when a port follows."""


class _QuietReactor:
    """The reactor, but for what Twisted has to say of each UDP port: there is one for each question."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenUDP(self, port: int, protocol: Any, interface: str = "", maxPacketSize: int = 8192) -> Any:
        """As of C{IReactorUDP}."""
        protocol.noisy = False
        # A legacy event gets its level from the context, as in L{twistproxy.loader.finder}.
        debug = {"log_level": LogLevel.debug}
        return callWithContext(debug, self._reactor.listenUDP, port, protocol, interface, maxPacketSize)


class NameServers:
    """Name servers, as configured, or as the system says at the time of asking."""

    def __init__(self, reactor: Any, servers: Sequence[str], timeout: float) -> None:
        """
        @param servers: C{address:port} or C{address}; none: the system's.
        @param timeout: seconds for a server to answer, the repetition of the question included.
        @raise ValueError: when one is no address.
        """
        self._reactor = _QuietReactor(reactor)
        self._servers = [parseServer(each) for each in servers]
        self._timeouts = (timeout / 4, timeout * 3 / 4)

    async def ask(self, name: str, kind: int) -> list[Any]:
        """The records of the answer, none when there is no such name; over TCP when it is too long for UDP.

        @raise Exception: those of L{twisted.names.error}, when there is no answer or it is another failure.
        """
        resolver = Resolver(servers=self._servers or systemServers(), timeout=self._timeouts, reactor=self._reactor)
        try:
            answers, _, _ = await resolver.query(dns.Query(name.encode("ascii"), kind, dns.IN))
        except DNSNameError:
            return []
        finally:
            for connection in resolver.connections:
                connection.transport.loseConnection()
        return list(answers)


def parseServer(text: str) -> tuple[str, int]:
    """C{address}, C{address:port} or C{[address]:port}.

    @raise ValueError: with a sentence for the person who configured it.
    """
    found = _SERVER.fullmatch(text.strip())
    host, port = (found[1] or found[2] or found[4], found[3] or "53") if found else ("", "")
    if not (isIPAddress(host) or isIPv6Address(host)) or not 0 < int(port) < 65536:
        raise ValueError(f"resolver: {text!r} is not the address of a name server, such as 10.0.0.53 or 127.0.0.1:5353")
    return host, int(port)


def systemServers(path: str = _CONFIGURATION) -> list[tuple[str, int]]:
    """The name servers of C{resolv.conf(5)}, read now, for they may change; the local host's without any, as there."""
    found: list[tuple[str, int]] = []
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            for line in file:
                words = line.split()
                if len(words) > 1 and words[0] == "nameserver":
                    found.append((words[1], dns.PORT))
    except OSError:
        pass
    return found or [("127.0.0.1", dns.PORT)]
