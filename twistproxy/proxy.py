"""The proxy for programs: L{ReverseProxy}, a factory for any endpoint, and a service."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IAddress, IProtocolFactory, IProtocolNegotiationFactory
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from zope.interface import implementer

from twistproxy.accepting import Unwelcome
from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.discovery.membership import follow
from twistproxy.engine import Engine, Route
from twistproxy.health.checking import HealthChecks
from twistproxy.interfaces import (
    IAccessLog,
    IBalancer,
    IDirector,
    IErrorHandler,
    IHealthCheck,
    IPassiveCheck,
    IResponseModifier,
    IRetryPolicy,
    IRoundTripper,
    IUpstreamSource,
)
from twistproxy.logs.accesslog import Recording
from twistproxy.messages import InboundRequest, Upstream
from twistproxy.server.channel import ClientChannel
from twistproxy.server.proxied import ProxiedAddress
from twistproxy.settings import Settings
from twistproxy.upstream.group import Administrative, UpstreamGroup, withBalancers

_log = Logger()


@implementer(IProtocolFactory, IProtocolNegotiationFactory)
class ProxyFactory:
    """Makes a channel for each client's connection; the clock of the deadlines runs while it is in use.

    @ivar engine: what all its connections share.
    """

    noisy = False

    def __init__(self, engine: Engine, isTransparent: bool = False) -> None:
        """@param isTransparent: whether the kernel redirects connections to it that were meant for others."""
        self.engine = engine
        self._isTransparent = isTransparent
        self._uses = 0

    def doStart(self) -> None:
        """A port uses it."""
        self._uses += 1
        if self._uses == 1:
            self.engine.sweeper.start()

    def doStop(self) -> None:
        """A port uses it no longer. Connections go on, and so does their clock."""
        self._uses -= 1

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        """A channel, unless the client has enough of them."""
        if not self.engine.admits(addr):
            return Unwelcome()
        return ClientChannel(self.engine, addr if isinstance(addr, ProxiedAddress) else None, self._isTransparent)

    def acceptableProtocols(self) -> list[bytes]:
        """What a TLS client may choose by ALPN: without it Twisted 26.10 refuses every client that offers anything."""
        return [b"http/1.1"]


class ReverseProxy(Service, ProxyFactory):
    """A reverse proxy in a Twisted program.

    Give it to an endpoint's C{listen} as a factory; add it to an application as a service, or call C{startService} and
    C{stopService}, so that it drains at the end::

        proxy = ReverseProxy(reactor, ["http://127.0.0.1:9000"])
        TCP4ServerEndpoint(reactor, 8080).listen(proxy)

    @ivar upstreams: the members of its pool; L{setUpstreams} changes them.
    """

    def __init__(
        self,
        reactor: Any,
        upstreams: Iterable[str | Upstream],
        *,
        balancer: IBalancer | None = None,
        directors: Sequence[IDirector] = (),
        modifiers: Sequence[IResponseModifier] = (),
        errorHandlers: Sequence[IErrorHandler] = (),
        middleware: Sequence[Any] = (),
        accessLogs: Sequence[IAccessLog] = (),
        retryPolicy: IRetryPolicy | None = None,
        roundTripper: IRoundTripper | None = None,
        health: Sequence[IHealthCheck] = (),
        passive: Sequence[IPassiveCheck] = (),
        sources: Sequence[IUpstreamSource] = (),
        pools: Mapping[str, UpstreamGroup] | None = None,
        settings: Settings = Settings(),  # noqa: B008 - frozen
    ) -> None:
        """
        @param reactor: connects to upstreams and keeps time.
        @param upstreams: URLs, or L{Upstream}s.
        @param balancer: picks among them; round robin by default.
        @param retryPolicy: decides after each attempt; by default another upstream is asked when nothing was sent to one.
        @param roundTripper: asks upstreams in the place of HTTP/1.1.
        @param health: checks of its upstreams, begun when it listens or starts, ended when it stops.
        @param passive: checks that learn from the traffic.
        @param sources: find more upstreams, from when it listens or starts until it stops.
        @param pools: further pools that directors may name.
        @raise ValueError: when a URL can't be understood.
        """
        group = UpstreamGroup.configured(
            "default", balancer or RoundRobin(), self._members(upstreams), settings, reactor.seconds, passive
        )
        route = Route(
            group,
            tuple(directors),
            withBalancers([group, *(pools or {}).values()], modifiers),
            tuple(middleware),
            tuple(errorHandlers),
            name="default",
            retryPolicy=retryPolicy,
            roundTripper=roundTripper,
        )
        self._group = group
        self._checking = HealthChecks(reactor, group, health, settings) if health else None

        def routeFor(request: InboundRequest) -> Route:
            return route

        groups = {"default": group, **(pools or {})}
        logs = [Recording(log, reactor) for log in accessLogs]
        ProxyFactory.__init__(self, Engine(reactor, settings, groups, routeFor, errorHandlers, logs))
        self._membership = follow(self.engine, group, sources, settings) if sources else None

    @staticmethod
    def _members(upstreams: Iterable[str | Upstream]) -> list[Upstream]:
        return [each if isinstance(each, Upstream) else Upstream(each) for each in upstreams]

    @property
    def upstreams(self) -> tuple[Upstream, ...]:
        """The members of its pool."""
        return self._group.members

    def setUpstreams(self, upstreams: Iterable[str | Upstream]) -> None:
        """Replace the members, but for those that sources find. Those that stay keep their counters and connections;
        exchanges at others end normally."""
        members = self._members(upstreams)
        if self._membership is not None:
            self._membership.setWritten(members)
            return
        self._group.setMembers(members)
        groups = self.engine.groups.values()
        self.engine.pools.keepOnly(frozenset(member.key for group in groups for member in group.members))

    def administer(self, upstream: str | Upstream, administrative: Administrative, reason: str = "") -> None:
        """Have an upstream ready, drained or down. What runs there goes on, tunnels included.

        @param upstream: its URL, as given or in another spelling.
        @param reason: for those who look at its C{state}.
        @raise KeyError: when no pool has it.
        """
        key = (upstream if isinstance(upstream, Upstream) else Upstream(upstream)).key
        if not self.engine.administer(key, administrative, reason):
            raise KeyError(key)

    def doStart(self) -> None:
        """A port uses it."""
        super().doStart()
        self._begin()

    def startService(self) -> None:
        """Keep time."""
        super().startService()  # type: ignore[no-untyped-call]
        self.engine.isDraining = False
        self.engine.sweeper.start()
        self._begin()

    def _begin(self) -> None:
        for each in self._services:
            if not each.running:
                each.startService()

    @property
    def _services(self) -> list[Any]:
        """What runs beside the engine."""
        return [each for each in (self._checking, self._membership) if each is not None]

    def stopService(self) -> Deferred[None]:
        """Let exchanges end, C{Settings.drainTimeout} seconds at most; then cut what is left.

        @return: fires when all connections are closed.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        stopping = [maybeDeferred(each.stopService) for each in self._services if each.running]
        return DeferredList([drainEngine(self.engine), *stopping], consumeErrors=True).addCallback(lambda _: None)


def drainEngine(engine: Engine) -> Deferred[None]:
    """Let exchanges end, C{Settings.drainTimeout} seconds at most; cut what is left, and all connections to upstreams.

    @return: fires when that is done.
    """

    def drained(result: object) -> None:
        for channel in list(engine.channels):
            channel.abort()
        engine.pools.abort()
        engine.sweeper.stop()
        engine.splicer.close()

    draining = engine.drain()
    draining.addTimeout(engine.settings.drainTimeout, engine.reactor)
    return draining.addBoth(drained)
