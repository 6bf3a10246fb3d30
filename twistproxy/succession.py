"""Which plugins of a configuration stand where others stood before a reload. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from twistproxy.config import Configuration, PluginUse, RouteConfig


def successors(before: Configuration, after: Configuration) -> Iterator[tuple[PluginUse, PluginUse]]:
    """Middleware of a route that is written word for word as one before, in pairs, the former one first; and that of all
    routes, when all are. Pools and their upstreams may have changed."""
    left = [(_route(each), each) for each in before.routes]
    routes = []
    for route in after.routes:
        words = _route(route)
        former = next((each for each in left if each[0] == words), None)
        if former is not None:
            left.remove(former)
            routes.append((former[1], route))
    isAll = not left and len(routes) == len(after.routes)
    if isAll and _words(before.middleware) == _words(after.middleware):
        yield from zip(before.middleware, after.middleware, strict=True)
    for old, new in routes:
        yield from zip(old.middleware, new.middleware, strict=True)


def _route(route: RouteConfig) -> tuple[Any, ...]:
    """As it is written."""
    single = [[] if each is None else [each] for each in (route.retryPolicy, route.roundTripper)]
    chains = (route.middleware, route.directors, route.modifiers, route.errorHandlers, *single)
    return route.match, route.pool, dict(route.settings), [_words(each) for each in chains]


def _words(uses: Sequence[PluginUse]) -> list[tuple[Any, ...]]:
    return [(each.tag, each.args, dict(each.options), each.directory) for each in uses]
