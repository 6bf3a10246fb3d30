"""What a test may write for an address, and the Twisted address object that it means.

It knows nothing of who listens where: L{twistproxy.testing.network} does.
"""

from __future__ import annotations

from twisted.internet.abstract import isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress, IListeningPort

Address = IPv4Address | IPv6Address | UNIXAddress
"""An address of the in-memory network, as C{getHost} and C{getPeer} of a transport give it."""

AddressLike = Address | IAddress | IListeningPort | int | str | tuple[str, int]
"""What C{connect}, C{serve} and C{blackHole} of a network take; see L{addressOf}."""


def addressOf(where: AddressLike) -> Address:
    """The address that C{where} means.

    @param where: an address object, a listening port, C{8080} (of 127.0.0.1), C{("localhost", 8080)},
        C{"localhost:8080"}, C{"[::1]:8080"}, or for a UNIX socket C{"/run/x.sock"}, C{"unix:/run/x.sock"} or
        an abstract name beginning with a zero byte.

    @raise ValueError: for text that is none of these.
    @raise TypeError: for an object that is none of these, such as a UDP address.
    """
    if isinstance(where, int):
        return internetAddress("127.0.0.1", where)
    if isinstance(where, tuple):
        return internetAddress(*where)
    if isinstance(where, str):
        return _parse(where)
    if IListeningPort.providedBy(where):
        where = where.getHost()
    if isinstance(where, UNIXAddress) or (isinstance(where, IPv4Address | IPv6Address) and where.type == "TCP"):
        return where
    raise TypeError(f"{where!r} is not an address of a stream")


def internetAddress(host: str, port: int) -> IPv4Address | IPv6Address:
    """The TCP address of C{host}, an IPv6 one if it is an IPv6 literal; a name stays a name in an
    L{IPv4Address}."""
    if isIPv6Address(host):
        return IPv6Address("TCP", host, port)
    return IPv4Address("TCP", host, port)


def describe(address: Address) -> str:
    """C{address} as people write it: C{127.0.0.1:80}, C{[::1]:80}, C{unix:/run/x.sock}, C{unix:} without a
    name."""
    if isinstance(address, UNIXAddress):
        return "unix:" + (address.name or b"").decode("utf-8", "backslashreplace").replace("\0", "@")
    if isinstance(address, IPv6Address):
        return f"[{address.host}]:{address.port}"
    return f"{address.host}:{address.port}"


def _parse(text: str) -> Address:
    if text.startswith(("/", "\0")):
        return UNIXAddress(text)
    if text.startswith("unix:"):
        return UNIXAddress(text.removeprefix("unix:"))
    host, separator, port = text.rpartition(":")
    if not separator or not port.isdecimal():
        raise ValueError(f"{text!r} is not an address (want 127.0.0.1:80, [::1]:80 or /run/x.sock)")
    return internetAddress(host.removeprefix("[").removesuffix("]"), int(port))
