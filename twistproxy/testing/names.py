"""Host names of the in-memory network: a table that a test fills, behind Twisted's resolver interfaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from twistproxy.testing.addresses import internetAddress


@implementer(IHostResolution)
class FinishedResolution:
    """A resolution that was over before anybody could cancel it."""

    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """Do nothing."""


@implementer(IHostnameResolver)
class TableResolver:
    """Resolves at once and from a table; an IP literal is its own address, an unknown name has none."""

    def __init__(self, hosts: Mapping[str, str | Sequence[str]]) -> None:
        """
        @param hosts: names and their IP literals; read at every look-up, so a test may change it.
        """
        self._hosts = hosts

    def lookUp(self, name: str) -> list[str]:
        """The IP literals of C{name} in the order of the table; none for an unknown name."""
        if isIPAddress(name) or isIPv6Address(name):
            return [name]
        found = self._hosts.get(name.lower().removesuffix("."), ())
        return [found] if isinstance(found, str) else list(found)

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See L{IHostnameResolver.resolveHostName}."""
        resolution = FinishedResolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        for literal in self.lookUp(hostName):
            address = internetAddress(literal, portNumber)
            if addressTypes is None or isinstance(address, tuple(addressTypes)):
                resolutionReceiver.addressResolved(address)
        resolutionReceiver.resolutionComplete()
        return resolution
