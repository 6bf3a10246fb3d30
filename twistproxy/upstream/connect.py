"""Opening a connection: an upstream's location to an endpoint, and every way in which that fails to an error kind."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectBindError, ConnectError, DNSLookupError, TimeoutError, UnknownHostError
from twisted.internet.protocol import ClientFactory, Factory
from twisted.python.failure import Failure

from twistproxy.errors import (
    CONNECT_REFUSED,
    CONNECT_TIMEOUT,
    DESTINATION_REFUSED,
    DNS_FAILURE,
    INTERNAL,
    TLS_FAILURE,
    ProxyError,
)
from twistproxy.location import Location
from twistproxy.settings import Settings
from twistproxy.upstream.connection import UpstreamConnection
from twistproxy.upstream.guard import Guard, GuardedReactor


class _Connector(ClientFactory):
    """Connects one protocol that was made already, without an endpoint: those wrap what they connect, and each of a
    connection's reads would go through the wrapper."""

    noisy = False

    def __init__(self, connection: UpstreamConnection) -> None:
        self._connection = connection
        self._connector: Any = None
        self.connected: Deferred[UpstreamConnection] = Deferred(self._cancel)

    def startedConnecting(self, connector: Any) -> None:
        self._connector = connector

    def buildProtocol(self, addr: Any) -> UpstreamConnection:
        self._connection.made = self.connected
        return self._connection

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        if not self.connected.called:
            self.connected.errback(reason)

    def _cancel(self, connected: Deferred[UpstreamConnection]) -> None:
        if self._connector is not None:
            self._connector.stopConnecting()


class _OneConnection(Factory):
    """Hands out one protocol that was made already."""

    noisy = False

    def __init__(self, connection: UpstreamConnection) -> None:
        self._connection = connection

    def buildProtocol(self, addr: Any) -> UpstreamConnection:
        return self._connection


def isAddress(host: str) -> bool:
    """Whether C{host} is an IP address, which needs no resolver."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _open(reactor: Any, location: Location, settings: Settings, connection: UpstreamConnection) -> Deferred[UpstreamConnection]:
    """A connection without TLS."""
    timeout = settings.connectTimeout
    if location.socketPath or isAddress(location.host):
        connector = _Connector(connection)
        if location.socketPath:
            reactor.connectUNIX(location.socketPath, connector, timeout=timeout)
        else:
            reactor.connectTCP(location.host, location.port, connector, timeout=timeout)
        return connector.connected
    endpoint = HostnameEndpoint(reactor, location.host, location.port, timeout=timeout)
    return endpoint.connect(_OneConnection(connection)).addCallback(lambda _: connection)


def connect(
    reactor: Any, location: Location, settings: Settings, connection: UpstreamConnection, guard: Guard | None = None
) -> Deferred[UpstreamConnection]:
    """Connect C{connection} to a location.

    @param guard: says which addresses may be connected to; None: all.
    @return: a Deferred, to be cancelled when nobody wants it any more, that fires with C{connection} ready for a
        request, or fails with a L{ProxyError}.
    """
    if guard is not None:
        if isAddress(location.host) and not guard(location.host):
            return fail(ProxyError(DESTINATION_REFUSED, location.host))
        guarded = GuardedReactor(reactor, guard)
        return connect(guarded, location, settings, connection).addErrback(_explainRefusal, guarded)
    if not location.isSecure:
        return _open(reactor, location, settings, connection).addErrback(_explain)
    from twisted.internet.ssl import optionsForClientTLS  # pyOpenSSL, which plain HTTP has no need for
    from twisted.protocols.tls import TLSMemoryBIOFactory

    options = optionsForClientTLS(location.host)
    factory = TLSMemoryBIOFactory(options, True, _OneConnection(connection), clock=reactor)
    endpoint = HostnameEndpoint(reactor, location.host, location.port, timeout=settings.connectTimeout)
    return endpoint.connect(factory).addCallback(lambda _: _secured(reactor, settings, connection)).addErrback(_explain)


def _secured(reactor: Any, settings: Settings, connection: UpstreamConnection) -> Deferred[UpstreamConnection]:
    """Wait for the handshake of a connection that was just made."""

    def cancel(_: Deferred[UpstreamConnection]) -> None:
        connection.secured = None
        connection.abort()

    secured: Deferred[UpstreamConnection] = Deferred(cancel)
    connection.secured = secured
    late = ProxyError(CONNECT_TIMEOUT, "the TLS handshake took too long")
    return secured.addTimeout(settings.tlsHandshakeTimeout, reactor, lambda result, seconds: Failure(late))


def _explainRefusal(failure: Failure, guarded: GuardedReactor) -> Failure:
    """A name without any address that may be connected to was refused, and not unknown."""
    error = failure.value
    if guarded.refused and isinstance(error, ProxyError) and error.kind is DNS_FAILURE:
        return Failure(ProxyError(DESTINATION_REFUSED, ", ".join(guarded.refused)))
    return failure


def _explain(failure: Failure) -> Failure:
    """The error kind of a failed connection."""
    reason = failure.value
    detail = f"{type(reason).__name__}: {reason}" if str(reason) else type(reason).__name__
    if failure.check(ProxyError):
        return failure
    if failure.check(TimeoutError):
        kind = CONNECT_TIMEOUT
    elif failure.check(DNSLookupError, UnknownHostError):
        kind = DNS_FAILURE
    elif failure.check(ConnectBindError):
        kind = INTERNAL
    elif failure.check(ConnectError, OSError):
        kind = CONNECT_REFUSED
    elif type(reason).__module__.startswith(("OpenSSL", "service_identity", "ssl")):
        kind = TLS_FAILURE
    else:
        kind = CONNECT_REFUSED
    return Failure(ProxyError(kind, detail))
