"""The worker's half of listening: endpoints get the sockets that the supervisor has bound. See L{twistproxy.workers.binding}."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IListeningPort
from zope.interface import directlyProvides, providedBy

from twistproxy.workers.lines import Port


class InheritingReactor:
    """A reactor for one endpoint: what listens there accepts from an inherited socket.

    Ports are handed out in the order in which the endpoint asks, as they were in the supervisor.
    """

    def __init__(self, reactor: Any, ports: Sequence[Port], worker: int) -> None:
        """@param worker: whose sockets, where each worker has its own."""
        self._reactor = reactor
        self._ports: Iterator[Port] = iter(ports)
        self._worker = worker
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def _adopt(self, backlog: int, adopt: Callable[[int, int], IListeningPort]) -> IListeningPort:
        """Listen on the next socket: from now on the kernel gives it its share."""
        inherited = next(self._ports)
        with socket.socket(fileno=os.dup(inherited.of(self._worker))) as sock:
            sock.setblocking(False)
            sock.listen(backlog)
            port = adopt(sock.fileno(), inherited.family)
            sock.listen(backlog)  # adopting it may have set another
        return port

    def listenTCP(self, port: Any, factory: Any, backlog: int = 50, interface: str = "") -> Any:
        """As C{IReactorTCP}."""
        return self._adopt(backlog, lambda fd, family: self._reactor.adoptStreamPort(fd, family, factory))

    def listenSSL(self, port: Any, factory: Any, contextFactory: Any, backlog: int = 50, interface: str = "") -> Any:
        """As C{IReactorSSL}."""
        from twisted.protocols.tls import TLSMemoryBIOFactory  # pyOpenSSL, which plain HTTP has no need for

        return self.listenTCP(port, TLSMemoryBIOFactory(contextFactory, False, factory, clock=self._reactor), backlog)

    def listenStandardTLS(
        self, port: Any, factory: Any, context: Any, backlog: int = 50, interface: str = "", *args: Any, **options: Any
    ) -> Any:
        """As L{twistproxy.interfaces.IReactorStandardTLS}."""
        adopt = self._reactor.adoptStandardTLSPort
        return self._adopt(backlog, lambda fd, family: adopt(fd, family, factory, context, *args, **options))

    def listenUNIX(self, address: Any, factory: Any, backlog: int = 50, mode: int = 0o666, wantPID: Any = 0) -> Any:
        """As C{IReactorUNIX}."""
        inherited = next(self._ports)
        return listenUNIXSocket(self._reactor, inherited.of(self._worker), factory, backlog)

    def listenInherited(self, factory: Any) -> Any:
        """Listen on what the supervisor has inherited itself, as from systemd.

        @return: the port.
        """
        inherited = next(self._ports)
        if inherited.family == socket.AF_UNIX:
            return listenUNIXSocket(self._reactor, inherited.of(self._worker), factory, 50)
        with socket.socket(fileno=os.dup(inherited.of(self._worker))) as sock:
            sock.setblocking(False)
            return self._reactor.adoptStreamPort(sock.fileno(), inherited.family, factory)


def listenUNIXSocket(reactor: Any, descriptor: int, factory: Any, backlog: int) -> Any:
    """Accept from a UNIX socket that others accept from too.

    C{adoptStreamPort} would give its file the mode 666, and remove it at the end: both are the supervisor's business. So a
    port is made that finds its socket bound already, with the mode that it has.

    @return: the port.
    """
    base = getattr(reactor, "unixPort", unix.Port)
    kind = type("InheritedUNIXPort", (_InheritedUNIXPort, base), {})
    with socket.socket(fileno=os.dup(descriptor)) as sock:
        name = sock.getsockname()
    path = name.encode(errors="surrogateescape") if isinstance(name, str) else name
    mode = 0o666 if path.startswith(b"\0") else stat.S_IMODE(os.stat(path).st_mode)
    port = kind(path, factory, backlog, mode, reactor)
    port.descriptor = descriptor
    port.startListening()
    return port


class _InheritedUNIXPort:
    """What differs from a port that binds its socket itself."""

    descriptor: int

    def createInternetSocket(self) -> socket.socket:
        """The inherited socket."""
        sock = _Bound(fileno=os.dup(self.descriptor))
        sock.setblocking(False)
        return sock

    def connectionLost(self, reason: Any) -> None:
        """It is closed here, and its file stays."""
        tcp.Port.connectionLost(self, reason)  # type: ignore[arg-type]


class _Bound(socket.socket):
    def bind(self, address: Any) -> None:
        """It is."""

    def shutdown(self, how: int) -> None:
        """Others go on accepting from it: it is only closed."""
