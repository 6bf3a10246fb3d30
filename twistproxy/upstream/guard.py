"""Connecting to no address but those that a guard lets pass.

Names are resolved once, for the connection itself: what is checked is what is connected to, so that a name that means
something else a moment later (DNS rebinding) gains nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.internet.interfaces import IAddress, IHostResolution, IReactorPluggableNameResolver, IResolutionReceiver
from zope.interface import implementer


class Guard:
    """Stands before connections to destinations that clients choose: says which addresses may be connected to, and knows
    our own ends of the connections there are, so that a connection that comes back to us is known for what it is.

    @ivar permits: whether an IP address, as text, may be connected to.
    """

    def __init__(self, permits: Callable[[str], bool]) -> None:
        self.permits = permits
        self._ends: dict[object, tuple[str, int]] = {}
        self._own: set[tuple[str, int]] = set()

    def opened(self, connection: Any) -> None:
        """There is one more."""
        host = connection.transport.getHost()
        self._ends[connection] = end = (host.host.partition("%")[0], host.port)
        self._own.add(end)

    def closed(self, connection: Any) -> None:
        """There is one fewer, if it ever was one."""
        end = self._ends.pop(connection, None)
        if end is not None:
            self._own.discard(end)

    def isOurs(self, host: str, port: int) -> bool:
        """Whether what is connected to us from there is one of these."""
        return (host, port) in self._own


@implementer(IReactorPluggableNameResolver)
class GuardedReactor:
    """A reactor for endpoints, whose names have no addresses that C{guard} refuses.

    @ivar refused: addresses that were left out.
    """

    def __init__(self, reactor: Any, guard: Guard) -> None:
        self._reactor = reactor
        self._guard = guard
        self.refused: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    @property
    def nameResolver(self) -> GuardedReactor:
        """L{IReactorPluggableNameResolver}."""
        return self

    def installNameResolver(self, resolver: Any) -> Any:
        """L{IReactorPluggableNameResolver}; not for this one.

        @raise NotImplementedError: always.
        """
        raise NotImplementedError("this reactor's resolver is guarded")

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """As C{IHostnameResolver}."""
        receiver = _Sieve(resolutionReceiver, self._guard, self.refused)
        resolution: IHostResolution = self._reactor.nameResolver.resolveHostName(
            receiver, hostName, portNumber, addressTypes, transportSemantics
        )
        return resolution


@implementer(IResolutionReceiver)
class _Sieve:
    """Passes on the addresses that a guard lets pass."""

    def __init__(self, receiver: IResolutionReceiver, guard: Guard, refused: list[str]) -> None:
        self._receiver = receiver
        self._guard = guard
        self._refused = refused

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self._receiver.resolutionBegan(resolutionInProgress)

    def addressResolved(self, address: Any) -> None:
        if self._guard.permits(address.host):
            self._receiver.addressResolved(address)
        else:
            self._refused.append(address.host)

    def resolutionComplete(self) -> None:
        self._receiver.resolutionComplete()
