"""How health checks reach an upstream: as requests do, by TCP or a UNIX socket, with TLS where the URL says https, and
behind a header of the PROXY protocol where it wants one.

Checks use Twisted's endpoints and C{Agent}: they are few, and not on the way of a request.
"""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address
from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint, UNIXClientEndpoint
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from twistproxy.errors import ConfigurationError
from twistproxy.health.announcing import Announcer, AnnouncingFactory
from twistproxy.messages import Upstream
from twistproxy.tls.connecting import SecureClientFactory
from twistproxy.tls.contexts import ClientContexts
from twistproxy.wire.proxyprotocol import encodeHeader


@implementer(IStreamClientEndpoint)
class UpstreamEndpoint:
    """Connects to an upstream."""

    def __init__(
        self,
        reactor: Any,
        upstream: Upstream,
        timeout: float,
        port: int = 0,
        host: str = "",
        contexts: ClientContexts | None = None,
    ) -> None:
        """
        @param timeout: seconds for the connection.
        @param port: in the place of the upstream's own; of a UNIX socket there is none.
        @param host: likewise.
        @param contexts: for TLS, as the upstream's requests have it; None for none.
        """
        location = upstream.location
        self._name = host or location.host
        self._upstream = upstream
        self._contexts = contexts
        isItself = not (port or host)  # and not another program beside it
        version = upstream.proxyProtocol if isItself else None
        self._header = b"" if version is None else encodeHeader(version, None, None)
        self._endpoint: Any
        if location.socketPath and not host:
            if port:
                raise ValueError(f"{upstream.key} has no port {port}")
            self._endpoint = UNIXClientEndpoint(reactor, location.socketPath, timeout)
        else:
            self._endpoint = _internet(reactor, self._name, port or location.port, timeout)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        """See L{IStreamClientEndpoint}."""
        if self._contexts is None:
            if self._header:
                protocolFactory = AnnouncingFactory(self._header, protocolFactory)
            connecting: Deferred[Any] = self._endpoint.connect(protocolFactory)
            return connecting.addCallback(lambda made: made.inner if isinstance(made, Announcer) else made)
        tls = self._upstream.tls
        try:
            context = self._contexts.of(tls, self._upstream.key)
            secure = SecureClientFactory(context, protocolFactory, tls.serverName or self._name.partition("%")[0], self._header)
        except (ConfigurationError, ValueError) as error:
            return fail(error)
        securing: Deferred[Any] = self._endpoint.connect(secure)
        return securing.addCallback(lambda below: below.above)


def _internet(reactor: Any, host: str, port: int, timeout: float) -> Any:
    try:
        address = ip_address(host)
    except ValueError:
        return HostnameEndpoint(reactor, host, port, timeout=timeout)
    kind: Any = TCP6ClientEndpoint if isinstance(address, IPv6Address) else TCP4ClientEndpoint
    return kind(reactor, host, port, timeout)
