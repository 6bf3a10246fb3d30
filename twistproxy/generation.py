"""What a configuration makes beside listeners and logs: pools, routes, and what runs for them. A reload puts another in its
place.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from twisted.application.service import IService
from twisted.logger import Logger

from twistproxy.calling.hooks import nameOf
from twistproxy.config import Configuration, PluginUse, PoolConfig, RouteConfig
from twistproxy.discovery.membership import Membership, followedBy
from twistproxy.engine import Engine, Route
from twistproxy.forward.assembly import surround
from twistproxy.health.checking import HealthChecks
from twistproxy.interfaces import IAccessLog, IUpstreamSource
from twistproxy.messages import InboundRequest, Upstream
from twistproxy.routing import Router
from twistproxy.succession import successors
from twistproxy.upstream.group import UpstreamGroup, withBalancers
from twistproxy.upstream.table import UpstreamTable

_log: Final = Logger(namespace="twistproxy.error")


class Generation:
    """The pools and routes of one configuration.

    @ivar configuration: it.
    @ivar memberships: what follows the sources of upstreams, by pool. One whose sources are what they were before goes on.
    @ivar errorHandlers: of all routes, and of requests without one.
    @ivar checks: the health checks of each pool that has any.
    """

    def __init__(
        self, reactor: Any, configuration: Configuration, plugins: Mapping[PluginUse, Any], before: Generation | None = None
    ) -> None:
        """
        @param before: the one in whose place this one comes.
        @raise ConfigurationError: when the users of a forward proxy cannot be read.
        """
        self._reactor = reactor
        self._plugins = plugins
        self.configuration = configuration
        self.memberships = {
            pool.name: _kept(pool, before) or self._membershipOf(pool) for pool in configuration.pools if pool.sources
        }
        self._around = surround(reactor, configuration.forward, configuration.isTransparent)
        self.errorHandlers = [plugins[use] for use in configuration.errorHandlers]
        self.checks: list[HealthChecks] = []

    def _membershipOf(self, pool: PoolConfig) -> Membership:
        sources = [self._plugins[use] for use in pool.sources]
        settings = self.configuration.settingsOf(pool)
        return Membership(self._reactor, pool.name, _written(pool), sources, lambda members: None, settings)

    def makeGroups(self, tables: Mapping[str, UpstreamTable]) -> dict[str, UpstreamGroup]:
        """The pools, with the members that are known now.

        @param tables: what is known of upstreams already, by pool.
        """
        groups: dict[str, UpstreamGroup] = {}
        for pool in self.configuration.pools:
            membership = self.memberships.get(pool.name)
            members = _written(pool) if membership is None else membership.membersWith(_written(pool))
            groups[pool.name] = UpstreamGroup.configured(
                pool.name,
                self._plugins[pool.balancer],
                [each.secured(pool.tls).announced(pool.proxyProtocol) for each in members],
                self.configuration.settingsOf(pool),
                self._reactor.seconds,
                [self._plugins[use] for use in pool.passive],
                tables.get(pool.name),
            )
        return groups

    def makeRouter(self, groups: Mapping[str, UpstreamGroup]) -> Callable[[InboundRequest], Route | None]:
        """What finds the route of a request."""
        return Router((each.match, self._routeOf(each, groups)) for each in self.configuration.routes).route

    def _routeOf(self, route: RouteConfig, groups: Mapping[str, UpstreamGroup]) -> Route:
        def built(uses: Sequence[PluginUse]) -> tuple[Any, ...]:
            return tuple(self._plugins[use] for use in uses)

        configuration = self.configuration
        # A director may choose any pool.
        possible = [group for name, group in groups.items() if route.directors or name == route.pool]
        return Route(
            groups[route.pool] if route.pool is not None else None,
            self._around(built(route.directors), route.pool is not None),
            withBalancers(possible, built(route.modifiers)),
            built((*configuration.middleware, *route.middleware)),
            built((*route.errorHandlers, *configuration.errorHandlers)),
            name=route.place or route.pool or "",
            retryPolicy=None if route.retryPolicy is None else self._plugins[route.retryPolicy],
            roundTripper=None if route.roundTripper is None else self._plugins[route.roundTripper],
            settings=configuration.settingsOf(route),
        )

    def takeOver(self, before: Generation) -> None:
        """Have middleware that stands where it stood go on with what it knew: that which has a method C{takeOver} is given the
        object whose place it takes, which exchanges under way still use. A failure is logged, and it begins anew."""
        for old, new in successors(before.configuration, self.configuration):
            made = self._plugins[new]
            if hasattr(made, "takeOver"):
                try:
                    made.takeOver(before._plugins[old])
                except Exception:
                    _log.failure("Plugin {plugin} failed in takeOver", plugin=nameOf(made))

    def follow(self, engine: Engine) -> None:
        """The pools of C{engine} are ours now: have them follow their sources, and make their health checks."""
        engine.acceptsConnect = self.configuration.forward is not None
        for pool in self.configuration.pools:
            settings, group = self.configuration.settingsOf(pool), engine.groups[pool.name]
            membership = self.memberships.get(pool.name)
            if membership is not None:
                membership.serve(followedBy(engine, group, pool.tls, pool.proxyProtocol), _written(pool), settings)
            if pool.health:
                checks = [self._plugins[use] for use in pool.health]
                self.checks.append(HealthChecks(self._reactor, group, checks, settings))

    @property
    def plugins(self) -> Sequence[Any]:
        """The objects of its plugins."""
        return list(self._plugins.values())

    @property
    def services(self) -> list[Any]:
        """The plugins that are services, apart from sources of upstreams; access logs are there for longer."""
        return [
            plugin
            for use, plugin in self._plugins.items()
            if use.interface not in (IUpstreamSource, IAccessLog) and IService.providedBy(plugin)
        ]


def _written(pool: PoolConfig) -> list[Upstream]:
    return [each.build() for each in pool.servers]


def _kept(pool: PoolConfig, before: Generation | None) -> Membership | None:
    """What followed the same sources already."""
    if before is None or pool.name not in before.memberships:
        return None
    isSame = _words(before.configuration.pool(pool.name)) == _words(pool)
    return before.memberships[pool.name] if isSame else None


def _words(pool: PoolConfig) -> list[tuple[object, ...]]:
    """The sources of a pool as they are written."""
    return [(use.tag, use.args, dict(use.options), use.directory) for use in pool.sources]
