"""Where a forward proxy goes, and where it does not. Pure.

Names, addresses and ports each have their rules, and a destination has to pass all three:

    - a network's rule decides for the addresses in it; of several the narrowest, and of two equal ones the one that
      refuses. The built-in rules refuse what is not public (L{_NOT_PUBLIC}), and yield to equal ones of the user's;
    - a name's rule decides for that name, C{.example.com} for it and all below it; of several the longest. Once any name
      is allowed, no other is, nor is an address that no rule of the user's allows;
    - a port is refused unless it is allowed. Tunnels may go to 443, plain requests to 80, 443 and from 1024 on, if nothing
      else is said: what listens below is seldom HTTP, and would take a request for something else.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final, Literal

from attrs import frozen

Kind = Literal["network", "name", "port"]

_NOT_PUBLIC: Final = tuple(
    map(
        ip_network,
        (
            "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
            "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
            "224.0.0.0/4", "240.0.0.0/4", "255.255.255.255/32",
            "::/96", "::/128", "::1/128", "64:ff9b:1::/48", "100::/64", "2001::/23", "2001:db8::/32", "2002::/16", "3fff::/20",
            "5f00::/16", "fc00::/7", "fe80::/10", "fec0::/10", "ff00::/8",
        ),
    )
)  # fmt: skip
"""IANA's special-purpose registries, multicast, and what tunnels to any IPv4 address (6to4, Teredo)."""

_NAT64: Final = ip_network("64:ff9b::/96")
"""RFC 6052 section 2.1: stands for the IPv4 address in its last four bytes."""

_PLAIN_PORTS: Final = ((80, 80), (443, 443), (1024, 65535))
_TUNNEL_PORTS: Final = ((443, 443),)


@frozen
class Rule:
    """One value of C{--forward-allow} or C{--forward-deny}.

    @ivar kind: what it is about.
    @ivar network: for addresses.
    @ivar name: lower case; with a dot in front it holds for all names below too.
    @ivar ports: the first and the last.
    """

    kind: Kind
    network: IPv4Network | IPv6Network | None = None
    name: str = ""
    ports: tuple[int, int] = (0, 0)

    def __str__(self) -> str:
        if self.kind == "network":
            return str(self.network)
        if self.kind == "name":
            return self.name
        first, last = self.ports
        return f"port:{first}" if first == last else f"port:{first}-{last}"


def parseRule(text: str) -> Rule:
    """A network or address, a name, C{.suffix}, C{port:N} or C{port:N-M}.

    @raise ValueError: with a sentence for the person who wrote it.
    """
    text = text.strip()
    if text.startswith("port:"):
        first, mark, last = text[5:].partition("-")
        numbers = [int(each) if each.isascii() and each.isdigit() else 0 for each in (first, last if mark else first)]
        if not 0 < numbers[0] <= numbers[1] < 65536:
            raise ValueError(f"{text!r} is not port:N or port:N-M")
        return Rule("port", ports=(numbers[0], numbers[1]))
    try:
        return Rule("network", ip_network(text.strip("[]"), strict=False))
    except ValueError:
        pass
    name = text.lower().rstrip(".")
    labels = name.removeprefix(".").split(".")
    if "/" in text or not all(_isLabel(each) for each in labels) or labels[-1].isdigit():
        raise ValueError(f"{text!r} is not a network (10.0.0.0/8), a name, .suffix or port:N")
    return Rule("name", name=name)


def _isLabel(text: str) -> bool:
    return text.isascii() and text.replace("-", "").replace("_", "").isalnum() and not text.startswith("-")


def _unwrapped(address: str) -> IPv4Address | IPv6Address:
    """An address; of one that only stands for an IPv4 address, that."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return found.ipv4_mapped
        if found in _NAT64:
            return IPv4Address(int(found) & 0xFFFFFFFF)
    return found


def isAddress(host: str) -> bool:
    """Whether a host is an IP address, and not a name."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


@frozen
class ForwardPolicy:
    """The rules.

    @ivar allowed: those of C{--forward-allow}.
    @ivar denied: those of C{--forward-deny}.
    """

    allowed: tuple[Rule, ...] = ()
    denied: tuple[Rule, ...] = ()
    def refusal(self, host: str, port: int, isTunnel: bool) -> str:
        """Why a destination is refused before its name is resolved; empty when it is not.

        @param host: name or address.
        @param isTunnel: whether CONNECT asks for it.
        """
        if not self._permitsPort(port, isTunnel):
            return f"port {port} is not allowed for {'CONNECT' if isTunnel else 'requests'}"
        if isAddress(host):
            if not self.permits(host):
                return f"{host} is refused"
            if self._namesOnly and self._decides(host) != "allowed":
                return f"{host} is not among the names that are allowed"
            return ""
        return "" if self._permitsName(host.rstrip(".")) else f"{host} is refused"

    @property
    def _namesOnly(self) -> bool:
        return any(each.kind == "name" for each in self.allowed)

    def _permitsPort(self, port: int, isTunnel: bool) -> bool:
        def has(ports: Iterable[tuple[int, int]]) -> bool:
            return any(first <= port <= last for first, last in ports)

        if has(each.ports for each in self.denied):
            return False
        return has(_TUNNEL_PORTS if isTunnel else _PLAIN_PORTS) or has(each.ports for each in self.allowed)

    def _permitsName(self, name: str) -> bool:
        def longest(rules: Sequence[Rule]) -> int:
            # An exact name beats the suffix of the same length, .example.com for example.com.
            found = (
                2 * len(each.name.lstrip(".")) + (not each.name.startswith("."))
                for each in rules
                if each.kind == "name" and (name == each.name.removeprefix(".") or _isBelow(name, each.name))
            )
            return max(found, default=-1)

        allowed, denied = longest(self.allowed), longest(self.denied)
        return allowed > denied if allowed >= 0 or denied >= 0 else not self._namesOnly

    def permits(self, address: str) -> bool:
        """Whether an IP address may be connected to."""
        return self._decides(address) in ("allowed", "public")

    def _decides(self, address: str) -> str:
        """Which rule does: C{"allowed"}, C{"denied"}, C{"not public"}, or C{"public"} for none."""
        try:
            found = _unwrapped(address)
        except ValueError:
            return "denied"

        def narrowest(networks: Iterable[IPv4Network | IPv6Network | None]) -> int:
            same = (each for each in networks if each is not None and each.version == found.version)
            return max((each.prefixlen for each in same if found in each), default=-1)

        allowed = narrowest(each.network for each in self.allowed)
        denied = narrowest(each.network for each in self.denied)
        builtIn = narrowest(_NOT_PUBLIC)
        if max(allowed, denied, builtIn) < 0:
            return "public"
        if denied >= allowed and denied >= builtIn:
            return "denied"
        return "allowed" if allowed >= builtIn else "not public"


def _isBelow(name: str, suffix: str) -> bool:
    return suffix.startswith(".") and name.endswith(suffix)
