"""Opening a connection: an upstream's location to an endpoint, and every way in which that fails to an error kind."""

from __future__ import annotations

import errno
from ipaddress import ip_address
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.error import ConnectBindError, ConnectError, DNSLookupError, TimeoutError, UnknownHostError
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.python.failure import Failure

from twistproxy.errors import (
    CONNECT_REFUSED,
    CONNECT_TIMEOUT,
    DESTINATION_REFUSED,
    DNS_FAILURE,
    INTERNAL,
    NO_RESOURCES,
    TLS_FAILURE,
    ConfigurationError,
    ProxyError,
)
from twistproxy.outcomes import Upstream
from twistproxy.settings import Settings
from twistproxy.text.location import Location
from twistproxy.tls.contexts import ClientContexts
from twistproxy.tls.errors import explainTLS
from twistproxy.tls.sessions import LastSession
from twistproxy.tls.transport import SecureTransport
from twistproxy.upstream.connection import UpstreamConnection
from twistproxy.upstream.guard import GuardedReactor


class _Connector(ClientFactory):
    """Connects one protocol that was made already, without an endpoint: those wrap what they connect, and each of a
    connection's reads would go through the wrapper."""

    noisy = False

    def __init__(self, connection: UpstreamConnection, protocol: Protocol) -> None:
        self._made: tuple[UpstreamConnection, Protocol] | None = (connection, protocol)
        self._connector: Any = None
        self.connected: Deferred[UpstreamConnection] = Deferred(self._cancel)

    def startedConnecting(self, connector: Any) -> None:
        self._connector = connector

    def buildProtocol(self, addr: Any) -> Protocol:
        assert self._made is not None
        (connection, protocol), self._made = self._made, None  # or this and Twisted's connector, which stay, would keep it
        connection.made = self.connected
        self._connector = None
        return protocol

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        if not self.connected.called:
            self.connected.errback(reason)

    def _cancel(self, connected: Deferred[UpstreamConnection]) -> None:
        if self._connector is not None:
            self._connector.stopConnecting()


class _OneProtocol(Factory):
    """Hands out one protocol that was made already."""

    noisy = False

    def __init__(self, protocol: Protocol) -> None:
        self._made = protocol

    def buildProtocol(self, addr: Any) -> Protocol:
        return self._made


def isAddress(host: str) -> bool:
    """Whether C{host} is an IP address, which needs no resolver."""
    try:
        ip_address(host.partition("%")[0])
    except ValueError:
        return False
    return True


def _open(
    reactor: Any, location: Location, settings: Settings, connection: UpstreamConnection, protocol: Protocol
) -> Deferred[UpstreamConnection]:
    """A connection on which C{protocol} speaks: C{connection}, or the TLS below it."""
    timeout = settings.connectTimeout
    if location.socketPath or isAddress(location.host):
        connector = _Connector(connection, protocol)
        if location.socketPath:
            reactor.connectUNIX(location.socketPath, connector, timeout=timeout)
        else:
            reactor.connectTCP(location.host, location.port, connector, timeout=timeout)
        return connector.connected
    endpoint = HostnameEndpoint(reactor, location.host, location.port, timeout=timeout)
    return endpoint.connect(_OneProtocol(protocol)).addCallback(lambda _: connection)


def connect(
    reactor: Any,
    upstream: Upstream,
    settings: Settings,
    connection: UpstreamConnection,
    contexts: ClientContexts,
    sessions: LastSession | None = None,
) -> Deferred[UpstreamConnection]:
    """Connect C{connection} to an upstream.

    @param sessions: of TLS to it.
    @return: a Deferred, to be cancelled when nobody wants it any more, that fires with C{connection} ready for a
        request, or fails with a L{ProxyError}.
    """
    location, guard = upstream.location, upstream.guard
    if guard is not None:
        if isAddress(location.host) and not guard.permits(location.host):
            return fail(ProxyError(DESTINATION_REFUSED, location.host))
        guarded = GuardedReactor(reactor, guard)
        opening = _secureOrNot(guarded, upstream, settings, connection, contexts, sessions)
        return opening.addErrback(_explainRefusal, guarded)
    return _secureOrNot(reactor, upstream, settings, connection, contexts, sessions)


def _secureOrNot(
    reactor: Any,
    upstream: Upstream,
    settings: Settings,
    connection: UpstreamConnection,
    contexts: ClientContexts,
    sessions: LastSession | None,
) -> Deferred[UpstreamConnection]:
    location = upstream.location
    if not location.isSecure:
        return _open(reactor, location, settings, connection, connection).addErrback(_explain)
    try:
        context = contexts.of(upstream.tls, upstream.key)
    except ConfigurationError as error:
        return fail(ProxyError(TLS_FAILURE, str(error)))
    name = upstream.tls.serverName or location.host.partition("%")[0]
    try:
        below = SecureTransport(context, connection, name, False, connection.header, sessions)
    except ValueError as error:  # a name that no certificate can be for, as Python says it
        return fail(ProxyError(TLS_FAILURE, str(error)))
    opening = _open(reactor, location, settings, connection, below)
    return opening.addCallback(lambda _: _secured(reactor, settings, connection)).addErrback(_explain)


def _secured(reactor: Any, settings: Settings, connection: UpstreamConnection) -> Deferred[UpstreamConnection]:
    """Wait for the handshake of a connection that was just made."""

    def cancel(_: Deferred[UpstreamConnection]) -> None:
        connection.secured = None
        connection.abort()

    def late(result: object, seconds: float) -> Failure:
        return Failure(ProxyError(CONNECT_TIMEOUT, "the TLS handshake took too long"))

    def broken(failure: Failure) -> Failure:
        if failure.check(ProxyError, CancelledError):
            return failure
        return Failure(ProxyError(TLS_FAILURE, explainTLS(failure.value)))

    secured: Deferred[UpstreamConnection] = Deferred(cancel)
    connection.secured = secured
    return secured.addTimeout(settings.tlsHandshakeTimeout, reactor, late).addErrback(broken)


def _explainRefusal(failure: Failure, guarded: GuardedReactor) -> Failure:
    """A name without any address that may be connected to was refused, and not unknown."""
    error = failure.value
    if guarded.refused and isinstance(error, ProxyError) and error.kind is DNS_FAILURE:
        return Failure(ProxyError(DESTINATION_REFUSED, ", ".join(guarded.refused)))
    return failure


_EXHAUSTED: Final = frozenset({errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM})
"""What the system says when it, or this process, may have no more sockets."""


def _errorNumber(reason: BaseException | None) -> int | None:
    number = getattr(reason, "osError", None)  # of Twisted's errors: the number, or the OSError
    if isinstance(number, OSError):
        number = number.errno
    return number if isinstance(number, int) else getattr(reason, "errno", None)


def _explain(failure: Failure) -> Failure:
    """The error kind of a failed connection."""
    reason = failure.value
    detail = f"{type(reason).__name__}: {reason}" if str(reason) else type(reason).__name__
    if failure.check(ProxyError):
        return failure
    if _errorNumber(reason) in _EXHAUSTED:
        kind = NO_RESOURCES
    elif failure.check(TimeoutError):
        kind = CONNECT_TIMEOUT
    elif failure.check(DNSLookupError, UnknownHostError):
        kind = DNS_FAILURE
    elif failure.check(ConnectBindError):
        kind = INTERNAL
    elif failure.check(ConnectError, OSError):
        kind = CONNECT_REFUSED
    else:
        kind = CONNECT_REFUSED
    return Failure(ProxyError(kind, detail))
