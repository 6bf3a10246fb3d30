"""From the parts to the whole: defaults, and what can only be seen when all parts are there."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

from attrs import Factory, define, evolve

from twistproxy.config import (
    AccessLogConfig,
    Configuration,
    ListenerConfig,
    PluginUse,
    PoolConfig,
    RouteConfig,
    UpstreamConfig,
)
from twistproxy.configuring.endpoints import DEFAULT_ENDPOINT, LOOPBACK_ENDPOINT
from twistproxy.configuring.forward import DEFAULT_VIA
from twistproxy.configuring.reading import Reader, Written
from twistproxy.configuring.tls import readUpstreamTLS
from twistproxy.configuring.upstreams import readUpstream, readVersion
from twistproxy.errors import ConfigurationError
from twistproxy.forward.config import ForwardConfig
from twistproxy.interfaces import IBalancer, IHealthCheck, IPassiveCheck
from twistproxy.routing import unreachable
from twistproxy.settings import Settings
from twistproxy.text.suggest import didYouMean
from twistproxy.tls.config import BY_DEFAULT

DEFAULT_POOL: Final = "default"
DEFAULT_BALANCER: Final = "round-robin"
DEFAULT_WEIGHTED_BALANCER: Final = "weighted-round-robin"


@define
class Draft:
    """What was read so far, to be changed until it is whole.

    @ivar settings: by attribute of L{Settings}.
    @ivar isTransparent: whether all listeners get redirected connections.
    """

    listeners: list[ListenerConfig] = Factory(list)
    pools: list[PoolConfig] = Factory(list)
    routes: list[RouteConfig] = Factory(list)
    settings: dict[str, Any] = Factory(dict)
    accessLogs: list[AccessLogConfig | PluginUse] = Factory(list)
    errorLog: str = ""
    errorHandlers: list[PluginUse] = Factory(list)
    middleware: list[PluginUse] = Factory(list)
    demo: bool = False
    source: str = ""
    forward: ForwardConfig | None = None
    isTransparent: bool = False
    workers: int = 1

    @property
    def choosesItself(self) -> bool:
        """Whether clients say where they want to go."""
        return self.forward is not None or self.isTransparent or any(each.isTransparent for each in self.listeners)


@define
class PoolWords:
    """A pool as written.

    @ivar settings: by attribute of L{Settings}.
    @ivar tls: with its place, as C{proxyProtocol}.
    """

    name: str
    place: str
    upstreams: Sequence[Written]
    balancer: Written | None = None
    health: Sequence[Written] = ()
    passive: Sequence[Written] = ()
    settings: Mapping[str, Any] = Factory(dict)
    mayBeEmpty: bool = False
    tls: Written | None = None
    proxyProtocol: Written | None = None


def readPool(reader: Reader, words: PoolWords) -> PoolConfig:
    """The pool; where something is wrong with it the reader knows."""
    before = len(reader.problems)
    tls = (None if words.tls is None else readUpstreamTLS(reader, *words.tls)) or BY_DEFAULT
    read = [readUpstream(reader, where, each, tls) for where, each in words.upstreams]
    upstreams = tuple(each for each in read if each is not None)
    if not words.upstreams and not words.mayBeEmpty:
        reader.wrong(words.place, "a pool needs upstreams")
    seen: dict[str, UpstreamConfig] = {}
    for each in upstreams:
        if isinstance(each, UpstreamConfig):
            other = seen.setdefault(each.build().key, each)
            if other is not each:
                reader.problems.append(f"{each.place}: {each.url} is in this pool already")
    if (
        upstreams
        and len(reader.problems) == before
        and all(isinstance(each, UpstreamConfig) and each.backup for each in upstreams)
    ):
        reader.wrong(words.place, "all upstreams are backups: at least one is not")
    place, written = words.balancer or (f"{words.place} (default balancer)", _defaultBalancer(upstreams))
    balancer = reader.plugin(place, IBalancer, written)
    health = reader.plugins(IHealthCheck, words.health)
    passive = reader.plugins(IPassiveCheck, words.passive)
    # Where the balancer was wrong the pool is never used; it only has to be there for the routes that name it.
    return PoolConfig(
        words.name,
        upstreams,
        balancer,  # type: ignore[arg-type]
        health,
        passive,
        words.settings,
        reader.place(words.place),
        tls,
        None if words.proxyProtocol is None else readVersion(reader, *words.proxyProtocol),
    )


def _defaultBalancer(upstreams: Iterable[UpstreamConfig | PluginUse]) -> str:
    """Weighted once there is, or may come, a weight."""
    weighted = any(isinstance(each, PluginUse) or each.weight is not None for each in upstreams)
    return DEFAULT_WEIGHTED_BALANCER if weighted else DEFAULT_BALANCER


def assemble(reader: Reader, draft: Draft) -> Configuration:
    """The whole configuration.

    @raise ConfigurationError: with a line for each mistake, those of the parts included.
    """
    if not draft.listeners:
        draft.listeners.append(ListenerConfig(DEFAULT_ENDPOINT if draft.forward is None else LOOPBACK_ENDPOINT))
    if draft.isTransparent:
        draft.listeners = [evolve(each, isTransparent=True) for each in draft.listeners]
    _checkListeners(reader, draft.listeners)
    if draft.forward is not None:
        draft.settings.setdefault("via", DEFAULT_VIA)
    names = [each.name for each in draft.pools]
    if not draft.routes and draft.forward is not None:
        draft.routes.append(RouteConfig(place=draft.forward.place))
    elif not draft.routes and draft.choosesItself and not draft.pools:
        draft.routes.append(RouteConfig(place="--transparent"))
    elif not draft.routes and draft.pools:
        draft.routes += _defaultRoute(reader, draft)
    draft.routes = [
        each if each.pool is None and draft.choosesItself else _withPool(reader, each, names) for each in draft.routes
    ]
    for route, other in unreachable([each.match for each in draft.routes]).items():
        where = draft.routes[route].place
        reader.problems.append(f"{where}: no request gets here, {draft.routes[other].place} matches the same")
    if draft.demo and draft.workers > 1:
        reader.problems.append("--demo: is served by one process: leave out --workers")
    if reader.problems:
        raise ConfigurationError(*reader.problems)
    return Configuration(
        listeners=tuple(draft.listeners),
        pools=tuple(draft.pools),
        routes=tuple(draft.routes),
        settings=Settings(**draft.settings),
        accessLogs=tuple(draft.accessLogs),
        errorLog=draft.errorLog,
        errorHandlers=tuple(draft.errorHandlers),
        middleware=tuple(draft.middleware),
        demo=draft.demo,
        source=draft.source,
        forward=draft.forward,
        workers=draft.workers,
    )


def _checkListeners(reader: Reader, listeners: Sequence[ListenerConfig]) -> None:
    seen: dict[str, ListenerConfig] = {}
    for each in listeners:
        if seen.setdefault(each.endpoint, each) is not each and not each.endpoint.startswith("tcp:0"):
            reader.problems.append(f"{each.place}: {each.endpoint} is listened on already")
        if each.isTransparent and each.isSecure:
            reader.problems.append(f"{each.place or '--transparent'}: what is redirected to it is not meant for its certificates")


def _defaultRoute(reader: Reader, draft: Draft) -> list[RouteConfig]:
    """Everything to the only pool, or to the one called default."""
    pools = draft.pools
    for each in pools:
        if len(pools) == 1 or each.name == DEFAULT_POOL:
            return [RouteConfig(pool=each.name)]
    names = ", ".join(each.name for each in pools)
    reader.problems.append(f"{draft.source}: there are several pools ({names}) and no [[routes]] to say which requests go where")
    return []


def _withPool(reader: Reader, route: RouteConfig, names: Sequence[str]) -> RouteConfig:
    if route.pool is None:
        if len(names) == 1:
            return evolve(route, pool=names[0])
        if not route.directors:
            reader.problems.append(f"{route.place}: names no pool, and has no director to choose one")
    elif route.pool not in names:
        reader.problems.append(f"{route.place}: there is no pool {route.pool!r}{didYouMean(route.pool, names)}")
    return route
