"""Opening a connection: an upstream's location to an endpoint, and every way in which that fails to an error kind."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint
from twisted.internet.error import ConnectBindError, ConnectError, DNSLookupError, TimeoutError, UnknownHostError
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.python.failure import Failure

from twistproxy.errors import CONNECT_REFUSED, CONNECT_TIMEOUT, DNS_FAILURE, INTERNAL, TLS_FAILURE, ProxyError
from twistproxy.location import Location
from twistproxy.settings import Settings
from twistproxy.upstream.connection import UpstreamConnection


class _OneConnection(Factory):
    """Hands out one protocol that was made already."""

    noisy = False

    def __init__(self, connection: UpstreamConnection) -> None:
        self._connection = connection

    def buildProtocol(self, addr: Any) -> UpstreamConnection:
        return self._connection


def endpointFor(reactor: Any, location: Location, settings: Settings) -> IStreamClientEndpoint:
    """The endpoint of a location, TLS not included.

    @param reactor: with the connecting interfaces that the location needs.
    """
    timeout = settings.connectTimeout
    if location.socketPath:
        return UNIXClientEndpoint(reactor, location.socketPath, timeout=timeout)  # type: ignore[arg-type]
    try:
        version = ip_address(location.host.partition("%")[0]).version
    except ValueError:
        return HostnameEndpoint(reactor, location.host, location.port, timeout=timeout)  # type: ignore[arg-type]
    made = TCP4ClientEndpoint if version == 4 else TCP6ClientEndpoint
    return made(reactor, location.host, location.port, timeout=timeout)  # type: ignore[arg-type]


def connect(
    reactor: Any, location: Location, settings: Settings, connection: UpstreamConnection
) -> Deferred[UpstreamConnection]:
    """Connect C{connection} to a location.

    @return: a Deferred, to be cancelled when nobody wants it any more, that fires with C{connection} ready for a
        request, or fails with a L{ProxyError}.
    """
    endpoint = endpointFor(reactor, location, settings)
    if not location.isSecure:
        return endpoint.connect(_OneConnection(connection)).addErrback(_explain)
    from twisted.internet.ssl import optionsForClientTLS  # pyOpenSSL, which plain HTTP has no need for
    from twisted.protocols.tls import TLSMemoryBIOFactory

    options = optionsForClientTLS(location.host)
    secured: Deferred[UpstreamConnection] = Deferred(lambda _: connection.abort())
    connection.secured = secured
    secured.addTimeout(settings.tlsHandshakeTimeout, reactor, lambda result, seconds: _handshakeTimedOut(connection))
    factory = TLSMemoryBIOFactory(options, True, _OneConnection(connection))
    opening = endpoint.connect(factory)
    opening.addCallback(lambda _: secured)
    return opening.addErrback(_explain)


def _handshakeTimedOut(connection: UpstreamConnection) -> Failure:
    connection.secured = None
    connection.abort()
    return Failure(ProxyError(CONNECT_TIMEOUT, "the TLS handshake took too long"))


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
