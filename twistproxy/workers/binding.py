"""The supervisor's half of listening: sockets are bound here, once, for workers to accept from.

An endpoint of any kind, third parties' too, listens by methods of its reactor. It gets a L{BindingReactor}, which binds what
it is asked for and accepts nothing. Each worker gets the same endpoint with a L{twistproxy.workers.inheriting.InheritingReactor},
which for the same calls takes the sockets that were bound here.

A TCP address gets a socket for each worker, with C{SO_REUSEPORT}: the kernel shares connections out by a hash of their
addresses, and wakes no worker for what another one takes. Whatever cannot be bound several times (UNIX sockets,
sockets of systemd, other systems than Linux) is one socket that all workers accept from.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from typing import Any, Final

from twisted.internet import unix
from twisted.internet.abstract import isIPv6Address
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory
from zope.interface import directlyProvides, implementer, providedBy

SHARES_OUT: Final = sys.platform == "linux" and hasattr(socket, "SO_REUSEPORT")
"""Whether the kernel shares connections out among sockets of one address."""


@implementer(IListeningPort)
class BoundPort:
    """Sockets that are bound to one address, and not accepted from.

    @ivar sockets: one for each worker, or one for all.
    """

    def __init__(self, sockets: Sequence[socket.socket], owner: Any = None) -> None:
        """@param owner: a port that has to be stopped with them."""
        self.sockets = list(sockets)
        self._owner = owner

    @property
    def family(self) -> int:
        """Of the address."""
        return int(self.sockets[0].family)

    def getHost(self) -> Any:
        """As L{IListeningPort}."""
        sock = self.sockets[0]
        name = sock.getsockname()
        if sock.family == socket.AF_UNIX:
            return UNIXAddress(name.encode() if isinstance(name, str) else name)
        kind = IPv6Address if sock.family == socket.AF_INET6 else IPv4Address
        return kind("TCP", *name[:2])

    def startListening(self) -> None:
        """It does already."""

    def stopListening(self) -> Deferred[Any]:
        """Close the sockets here; workers close theirs."""
        for each in self.sockets:
            each.close()
        return succeed(None) if self._owner is None else maybeDeferred(self._owner.stopListening)


class BindingReactor:
    """A reactor for endpoints: what listens there is bound.

    @ivar bound: what was, in the order in which it was asked for.
    """

    def __init__(self, reactor: Any, workers: int) -> None:
        """@param workers: how many sockets an address gets, if it may have several."""
        self._reactor = reactor
        self._workers = workers
        self.bound: list[BoundPort] = []
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def _has(self, port: BoundPort) -> BoundPort:
        self.bound.append(port)
        return port

    def listenTCP(self, port: Any, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """As C{IReactorTCP}.

        @raise CannotListenError: when the address cannot be had.
        """
        try:
            return self._has(BoundPort(bindAll(port, interface or "", backlog, self._workers)))
        except OSError as error:
            raise CannotListenError(interface, port, error) from error

    def listenSSL(self, port: Any, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = "") -> Any:
        """As C{IReactorSSL}; TLS is the workers' business."""
        return self.listenTCP(port, factory, backlog, interface)

    def listenStandardTLS(
        self, port: Any, factory: Any, context: Any, backlog: int = 50, interface: str = "", *args: Any, **options: Any
    ) -> Any:
        """As L{twistproxy.interfaces.IReactorStandardTLS}."""
        return self.listenTCP(port, factory, backlog, interface)

    def listenUNIX(self, address: Any, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: Any = 0) -> Any:
        """As C{IReactorUNIX}: Twisted's own port makes the socket, its mode and its lock, and removes them at the end."""
        owner = unix.Port(address, Nobody(), backlog, mode, _NotAccepting(self._reactor), wantPID)
        owner.startListening()
        return self._has(BoundPort([socket.socket(fileno=os.dup(owner.fileno()))], owner))

    def adoptStreamPort(self, fileDescriptor: int, addressFamily: Any, factory: Any) -> Any:
        """As C{IReactorSocket}: a socket that somebody else has bound, as systemd."""
        return self._has(BoundPort([socket.socket(fileno=os.dup(fileDescriptor))]))


class Nobody(Factory):
    """Serves nobody, for what has to have a factory."""

    noisy = False


class _NotAccepting:
    """A reactor for a port that is not to accept."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def addReader(self, reader: Any) -> None:
        """Nobody is told of clients."""

    def removeReader(self, reader: Any) -> None:
        """Nobody was."""


def bindAll(port: int, interface: str, backlog: int, count: int) -> list[socket.socket]:
    """Bind sockets to one address; where several can be had, they do not listen yet.

    C{SO_REUSEPORT} lets any process of the same user in, a second proxy that was started by mistake too. So the address is
    tried without it first.

    @param interface: an IP address; empty: all of IPv4.
    @raise OSError: when the address cannot be had.
    """
    family = socket.AF_INET6 if isIPv6Address(interface) else socket.AF_INET
    address: Any = (interface, port)
    if family == socket.AF_INET6:  # with its scope
        address = socket.getaddrinfo(interface, port, family, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)[0][4]
    if not SHARES_OUT:
        sock = _bound(family, address, isShared=False)
        sock.listen(backlog)
        return [sock]
    if port:
        with _bound(family, address, isShared=False) as tried:
            tried.listen(1)
    sockets = [_bound(family, address, isShared=True)]
    try:
        for _ in range(count - 1):
            sockets.append(_bound(family, sockets[0].getsockname(), isShared=True))
    except BaseException:
        for each in sockets:
            each.close()
        raise
    return sockets


def _bound(family: int, address: Any, *, isShared: bool) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if isShared:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        sock.bind(address)
    except BaseException:
        sock.close()
        raise
    return sock
