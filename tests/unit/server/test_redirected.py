"""L{twistproxy.server.redirected}: what the kernel says of a connection that it redirected to us."""

from __future__ import annotations

import socket
import struct
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.messages import Destination
from twistproxy.server.redirected import originalDestination, parseAddress

FOUR = struct.pack("=H", socket.AF_INET) + struct.pack("!H", 80) + socket.inet_aton("198.51.100.7") + bytes(8)
SIX = struct.pack("=H", socket.AF_INET6) + struct.pack("!HI", 443, 0)
SIX += socket.inet_pton(socket.AF_INET6, "2001:db8::7") + bytes(4)


class Transport:
    """A transport whose socket answers C{getsockopt}."""

    def __init__(self, family: int, host: Any, answers: dict[tuple[int, int, int], bytes]) -> None:
        self.family = family
        self._host = host
        self._answers = answers

    def getHandle(self) -> Transport:
        return self

    def getHost(self) -> Any:
        return self._host

    def getsockopt(self, level: int, name: int, size: int) -> bytes:
        try:
            return self._answers[level, name, size]
        except KeyError:
            raise OSError from None


class TestRedirected(SynchronousTestCase):
    def test_addresses(self) -> None:
        self.assertEqual(parseAddress(FOUR), ("198.51.100.7", 80))
        self.assertEqual(parseAddress(SIX), ("2001:db8::7", 443))
        mapped = SIX[:8] + socket.inet_pton(socket.AF_INET6, "::ffff:1.2.3.4") + bytes(4)
        self.assertEqual(parseAddress(mapped), ("1.2.3.4", 443))
        self.assertIsNone(parseAddress(struct.pack("=H", socket.AF_UNIX) + bytes(14)))

    def test_destinations(self) -> None:
        four, six = (socket.SOL_IP, 80, 16), (socket.IPPROTO_IPV6, 80, 28)
        here, there = IPv4Address("TCP", "10.0.0.1", 8080), IPv6Address("TCP", "fd00::1", 8080)
        both = IPv6Address("TCP", "::ffff:10.0.0.1", 8080)
        for family, host, answers, want in (
            (socket.AF_INET, here, {four: FOUR}, ("198.51.100.7", 80)),
            (socket.AF_INET6, there, {six: SIX}, ("2001:db8::7", 443)),
            (socket.AF_INET6, both, {four: FOUR}, ("198.51.100.7", 80)),
            (socket.AF_INET, here, {}, None),
            (socket.AF_INET, IPv4Address("TCP", "198.51.100.7", 80), {four: FOUR}, None),
            (socket.AF_INET6, IPv6Address("TCP", "::ffff:198.51.100.7", 80), {four: FOUR}, None),
            (socket.AF_UNIX, UNIXAddress("/run/x"), {}, None),
        ):
            found = originalDestination(Transport(family, host, answers))
            self.assertEqual(found, None if want is None else Destination("http", *want), host)
