"""The proxy that a harness tests: plugins, pools and engine on an in-memory network, listening."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from twisted.application.service import IService
from twisted.internet.defer import Deferred, maybeDeferred
from zope.interface import Interface

from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.config import BuildContext
from twistproxy.discovery.membership import follow
from twistproxy.engine import Engine, Route
from twistproxy.health.checking import HealthChecks
from twistproxy.interfaces import (
    IAccessLog,
    IBalancer,
    IDirector,
    IErrorHandler,
    IHealthCheck,
    IMiddleware,
    IPassiveCheck,
    IResponseModifier,
    IRetryPolicy,
    IRoundTripper,
    IUpstreamSource,
)
from twistproxy.logs.accesslog import Recording
from twistproxy.proxy import ProxyFactory, drainEngine
from twistproxy.settings import Settings, describeSettings, parseSetting
from twistproxy.testing.making import PluginLike, makePlugins
from twistproxy.testing.network import MemoryNetwork
from twistproxy.testing.upstream import FakeUpstream
from twistproxy.upstream.group import UpstreamGroup, withBalancers

ADDRESS: Final = ("10.1.0.1", 8080)
"""Where the proxy listens."""

UpstreamLike = FakeUpstream | Iterable[FakeUpstream]
"""One upstream or several."""

KINDS: Final[Mapping[str, type[Interface]]] = {
    "balancer": IBalancer,
    "director": IDirector,
    "modifier": IResponseModifier,
    "middleware": IMiddleware,
    "errorHandler": IErrorHandler,
    "accessLog": IAccessLog,
    "retryPolicy": IRetryPolicy,
    "roundTripper": IRoundTripper,
    "health": IHealthCheck,
    "passive": IPassiveCheck,
    "source": IUpstreamSource,
}
"""The kinds of plugins that a harness takes, by their keyword."""


class ProxyUnderTest:
    """A proxy with one route.

    @ivar engine: its heart.
    @ivar pools: the scripted upstreams, by pool; the route's is C{default}.
    @ivar plugins: the objects, by kind.
    """

    def __init__(
        self,
        network: MemoryNetwork,
        plugins: Mapping[str, PluginLike],
        pools: Mapping[str, UpstreamLike],
        settings: Settings,
        directory: str = "",
    ) -> None:
        """
        @param plugins: by the keys of L{KINDS}.
        @param directory: what relative paths in plugin strings are relative to.
        @raise twistproxy.errors.ConfigurationError: when a plugin cannot be made, or is none.
        """
        self._network = network
        self._settings = settings
        self.pools = {name: [each] if isinstance(each, FakeUpstream) else list(each) for name, each in pools.items()}
        context = BuildContext(network, settings, directory=directory, pools=tuple(pools))
        self.plugins = {kind: makePlugins(kind, KINDS[kind], given, context) for kind, given in plugins.items()}
        groups = {name: self._group(at, name) for at, name in enumerate(self.pools)}
        route = Route(
            groups["default"], self._made("director"), withBalancers(groups.values(), self._made("modifier")),
            self._made("middleware"), self._made("errorHandler"), "default", retryPolicy=self._one("retryPolicy"),
            roundTripper=self._one("roundTripper"),
        )  # fmt: skip
        logs = [Recording(log, network) for log in self._made("accessLog")]
        self.engine = Engine(network, settings, groups, lambda request: route, self._made("errorHandler"), logs)
        self._services = self._plannedServices(groups["default"], settings)
        for service in self._services:
            service.startService()
        self._port = network.listenTCP(ADDRESS[1], ProxyFactory(self.engine), interface=ADDRESS[0])

    def _made(self, kind: str) -> tuple[Any, ...]:
        return tuple(self.plugins.get(kind, ()))

    def _one(self, kind: str) -> Any:
        return next(iter(self._made(kind)), None)

    def _group(self, at: int, name: str) -> UpstreamGroup:
        balancer = self._one("balancer") if name == "default" else None
        members = [each.listen(self._network, f"10.0.{at}.{i}:80") for i, each in enumerate(self.pools[name], 1)]
        passive = self._made("passive") if name == "default" else ()
        return UpstreamGroup.configured(name, balancer or RoundRobin(), members, self._settings, self._network.seconds, passive)

    def _plannedServices(self, group: UpstreamGroup, settings: Settings) -> list[Any]:
        """What runs beside the engine: services among the plugins, health checks, sources of upstreams."""
        engine, sources = self.engine, self._made("source")

        services: list[Any] = [
            each for kind, made in self.plugins.items() if kind != "source" for each in made if IService.providedBy(each)
        ]
        if sources:
            services.append(follow(engine, group, sources, settings))
        if self._made("health"):
            services.append(HealthChecks(self._network, group, self._made("health"), settings, lambda: 0.5))
        return services

    def stop(self) -> list[Deferred[Any]]:
        """Take no more connections, let exchanges end, stop the services of plugins.

        @return: each fires when one of these is done.
        """
        self._port.stopListening()
        return [drainEngine(self.engine), *(maybeDeferred(service.stopService) for service in self._services)]


def makeSettings(given: Settings | Mapping[str, Any] | None) -> Settings:
    """Settings of what a test said: their names as in L{Settings} or in a configuration, their values too.

    @raise ValueError: for a name that is none, or a value that cannot be read.
    """
    if isinstance(given, Settings):
        return given
    if not given:
        return Settings()
    described = {name: each for each in describeSettings() for name in (each.name, each.attribute)}
    changes = {}
    for name, value in given.items():
        if name not in described:
            raise ValueError(f"there is no setting {name!r}")
        changes[described[name].attribute] = parseSetting(described[name], value) if isinstance(value, str) else value
    return Settings(**changes)
