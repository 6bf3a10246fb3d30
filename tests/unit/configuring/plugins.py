"""The plugins that the tests of configurations know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from zope.interface import implementer

from twistproxy.interfaces import (
    IAccessLog,
    IBalancer,
    IDirector,
    IErrorHandler,
    IHealthCheck,
    IMiddleware,
    IResponseModifier,
    IUpstreamSource,
)
from twistproxy.loader.finder import PluginSet
from twistproxy.messages import Health, Upstream
from twistproxy.plugin import Duration, Plugin, Secret

HERE = __name__


@implementer(IDirector, IResponseModifier, IMiddleware, IErrorHandler, IHealthCheck, IAccessLog)
class Anything:
    """Does nothing, in every place but two."""

    def __init__(self, context: Any, name: str = "", limit: Duration = 5.0, token: Secret | None = None, fail: bool = False):
        self.context, self.name, self.limit, self.token = context, name, limit, token
        if fail:
            raise ValueError("it fails")

    def direct(self, inbound: Any, outbound: Any) -> None:
        """Decides nothing."""

    def modify(self, request: Any, response: Any) -> None:
        """Changes nothing."""

    async def around(self, request: Any, proceed: Callable[[], Any]) -> Any:
        """Wraps nothing."""
        return await proceed()

    def handle(self, request: Any, error: Any) -> None:
        """Answers nothing."""

    def check(self, upstream: Any) -> Health:
        """All is well."""
        return Health(True)

    def log(self, record: Any) -> None:
        """Writes nothing."""


@implementer(IUpstreamSource)
class Source:
    """Finds one upstream."""

    def __init__(self, *servers: str) -> None:
        self.servers = servers

    def subscribe(self, observer: Callable[[Sequence[Upstream]], None]) -> Callable[[], None]:
        """Once."""
        observer([Upstream("http://found")])
        return lambda: None


def somePlugins() -> PluginSet:
    """The built-in balancers under their tags, and one of each other kind."""
    balancers = {
        "round-robin": "twistproxy.balancers.roundrobin.RoundRobin",
        "weighted-round-robin": "twistproxy.balancers.weighted.WeightedRoundRobin",
        "random": "twistproxy.balancers.randomchoice.RandomChoice",
        "consistent-hash": "twistproxy.balancers.consistenthash.ConsistentHash",
    }
    plugins = [Plugin(tag, name, IBalancer) for tag, name in balancers.items()]
    for tag, interface in [
        ("direct", IDirector),
        ("modify", IResponseModifier),
        ("wrap", IMiddleware),
        ("handle", IErrorHandler),
        ("probe", IHealthCheck),
        ("logger", IAccessLog),
    ]:
        plugins.append(Plugin(tag, f"{HERE}.Anything", interface))
    plugins.append(Plugin("zookeeper", f"{HERE}.Source", IUpstreamSource))
    return PluginSet({each.tag: each for each in plugins})
