"""The configuration: frozen plain data that says all there is, whether a command line or a file said it.

Nothing here listens, connects or parses. L{twistproxy.commandline} and L{twistproxy.configfile} make these
objects, L{twistproxy.configtext} writes them as TOML, L{twistproxy.service} makes a proxy of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from attrs import evolve, field, frozen
from zope.interface import Interface

from twistproxy.calling.hooks import label
from twistproxy.errors import ConfigurationError
from twistproxy.forward.config import ForwardConfig
from twistproxy.interfaces import IPluginFactory
from twistproxy.loader.verify import verifyPlugin
from twistproxy.messages import Upstream
from twistproxy.routing import RouteMatch
from twistproxy.settings import Settings
from twistproxy.text.networks import Network
from twistproxy.tls.config import BY_DEFAULT, ServerTLS, UpstreamTLS
from twistproxy.wire.proxyprotocol import Version


@frozen
class BuildContext:
    """What a plugin's constructor gets for a parameter named C{context}.

    @ivar reactor: that of the proxy.
    @ivar settings: those that hold where the plugin is used.
    @ivar place: where the configuration asks for the plugin.
    @ivar directory: what relative paths in its options are relative to; empty: the working directory.
    @ivar pools: the names of the pools that a director may choose.
    """

    reactor: Any
    settings: Settings = field(factory=Settings)
    place: str = ""
    directory: str = ""
    pools: tuple[str, ...] = ()


@frozen(eq=False)
class PluginUse:
    """One place of the configuration where a plugin is used; each has its own object.

    @ivar place: such as C{--director #1} or C{proxy.toml: routes[2].director[0]}.
    @ivar interface: what the object has to provide.
    @ivar args: values without a name, as written.
    @ivar options: values by name, as written.
    @ivar directory: what relative paths in the options are relative to.
    """

    place: str
    interface: type[Interface]
    factory: IPluginFactory
    args: tuple[Any, ...] = ()
    options: Mapping[str, Any] = field(factory=dict)
    directory: str = ""

    @property
    def tag(self) -> str:
        """The plugin's name."""
        return self.factory.tag

    def check(self) -> Sequence[str]:
        """What is wrong with the options, a line each, found out without making the object."""
        check = getattr(self.factory, "check", None)
        if check is None:
            return ()
        return [f"{self.place}: {each}" for each in check(self.args, self.options, self.directory)]

    def build(self, context: BuildContext) -> Any:
        """Make the object.

        @param context: its place and directory are filled in here.
        @raise ConfigurationError: with a line for each mistake.
        """
        own = evolve(context, place=self.place, directory=self.directory)
        try:
            made = self.factory.build(own, *self.args, **self.options)
            problems = verifyPlugin(self.interface, made)
            if problems:
                raise ConfigurationError(*(f"{self.tag}: {each}" for each in problems))
        except ConfigurationError as error:
            raise ConfigurationError(*(f"{self.place}: {each}" for each in error.problems)) from error
        return made


@frozen
class ListenerConfig:
    """Where clients connect.

    @ivar endpoint: a Twisted server endpoint string.
    @ivar proxyProtocol: who begins its connections with a header of the PROXY protocol.
    @ivar isTransparent: whether the kernel redirects connections to it that were meant for others.
    @ivar tls: TLS over it; None: by the endpoint itself, or none.
    """

    endpoint: str
    proxyProtocol: tuple[Network, ...] = ()
    place: str = field(default="", eq=False)
    tls: ServerTLS | None = None
    isTransparent: bool = False

    @property
    def isSecure(self) -> bool:
        """Whether clients speak TLS."""
        return self.tls is not None or self.endpoint.partition(":")[0] in ("ssl", "tls")


@frozen
class UpstreamConfig:
    """One server of a pool.

    @ivar weight: None when none was given, which is 1.
    @ivar maxConnections: most connections to it at once; 0: as many as the settings say.
    @ivar backup: whether it is asked only when all others are down.
    @ivar priority: it is asked only when all with a lower number are down.
    @ivar tls: what holds for TLS to it.
    @ivar proxyProtocol: the version by which it is told who a connection is for; None: by none.
    """

    url: str
    weight: int | None = None
    maxConnections: int = 0
    backup: bool = False
    priority: int = 0
    place: str = field(default="", eq=False)
    tls: UpstreamTLS = BY_DEFAULT
    proxyProtocol: Version | None = None

    def build(self) -> Upstream:
        """The upstream."""
        weight = 1 if self.weight is None else self.weight
        metadata = {"priority": self.priority} if self.priority else None
        limit = self.maxConnections
        return Upstream(
            self.url,
            weight,
            metadata,
            backup=self.backup,
            maxConnections=limit,
            tls=self.tls,
            proxyProtocol=self.proxyProtocol,
        )


@frozen
class PoolConfig:
    """Servers that can stand in for each other.

    @ivar upstreams: servers, and plugins that find servers (L{twistproxy.interfaces.IUpstreamSource}), in
        order.
    @ivar balancer: picks among them.
    @ivar health: checks that all of them get.
    @ivar passive: checks that learn from the traffic.
    @ivar settings: those that differ from the proxy's, by attribute of L{Settings}.
    @ivar tls: for https upstreams of which nothing else is said.
    @ivar proxyProtocol: likewise, the version by which they are told who a connection is for; None: by none.
    """

    name: str
    upstreams: tuple[UpstreamConfig | PluginUse, ...]
    balancer: PluginUse
    health: tuple[PluginUse, ...] = ()
    passive: tuple[PluginUse, ...] = ()
    settings: Mapping[str, Any] = field(factory=dict)
    place: str = field(default="", eq=False)
    tls: UpstreamTLS = BY_DEFAULT
    proxyProtocol: Version | None = None

    @property
    def servers(self) -> tuple[UpstreamConfig, ...]:
        """The upstreams that are written down."""
        return tuple(each for each in self.upstreams if isinstance(each, UpstreamConfig))

    @property
    def sources(self) -> tuple[PluginUse, ...]:
        """The plugins that find upstreams."""
        return tuple(each for each in self.upstreams if isinstance(each, PluginUse))

    def uses(self) -> Iterator[PluginUse]:
        """All plugins of this pool."""
        yield from self.sources
        yield self.balancer
        yield from self.health
        yield from self.passive


@frozen
class RouteConfig:
    """What happens to the requests that match.

    @ivar match: which requests.
    @ivar pool: the name of the pool that they go to when no director says otherwise; None: a director must.
    @ivar retryPolicy: decides after each attempt; None: the built-in rule.
    @ivar roundTripper: asks upstreams in the place of HTTP/1.1; None: none does.
    @ivar errorHandlers: asked before those of the whole proxy.
    @ivar settings: those that differ from the proxy's, by attribute of L{Settings}.
    """

    match: RouteMatch = field(factory=RouteMatch)
    pool: str | None = None
    directors: tuple[PluginUse, ...] = ()
    modifiers: tuple[PluginUse, ...] = ()
    middleware: tuple[PluginUse, ...] = ()
    errorHandlers: tuple[PluginUse, ...] = ()
    retryPolicy: PluginUse | None = None
    roundTripper: PluginUse | None = None
    settings: Mapping[str, Any] = field(factory=dict)
    place: str = field(default="", eq=False)

    def uses(self) -> Iterator[PluginUse]:
        """All plugins of this route."""
        yield from self.middleware
        yield from self.directors
        yield from self.modifiers
        yield from self.errorHandlers
        yield from (each for each in (self.retryPolicy, self.roundTripper) if each is not None)


@frozen
class AccessLogConfig:
    """An access log in a file.

    @ivar path: of the file; C{-} for standard output.
    @ivar format: C{combined} or C{json}.
    """

    path: str
    format: str = "combined"
    place: str = field(default="", eq=False)


@frozen
class Configuration:
    """All of it.

    @ivar routes: in the order of the configuration; L{twistproxy.routing.Router} knows which one a request
        takes.
    @ivar accessLogs: files, and plugins (L{twistproxy.interfaces.IAccessLog}).
    @ivar errorLog: the path of a file for the proxy's own messages; empty: Twisted's log.
    @ivar errorHandlers: asked after those of the route, and for requests without one.
    @ivar middleware: around that of each route, and the same objects for all of them.
    @ivar forward: where clients may go who say so themselves; None: nowhere.
    @ivar demo: whether the two sample upstreams are to be started; the pool C{default} then waits for their
        URLs.
    @ivar source: the path of the file that it came from; empty without one.
    @ivar workers: how many processes serve.
    """

    listeners: tuple[ListenerConfig, ...]
    pools: tuple[PoolConfig, ...]
    routes: tuple[RouteConfig, ...]
    settings: Settings = field(factory=Settings)
    accessLogs: tuple[AccessLogConfig | PluginUse, ...] = ()
    errorLog: str = ""
    errorHandlers: tuple[PluginUse, ...] = ()
    middleware: tuple[PluginUse, ...] = ()
    demo: bool = False
    source: str = ""
    forward: ForwardConfig | None = None
    workers: int = 1

    @property
    def isTransparent(self) -> bool:
        """Whether any listener gets redirected connections."""
        return any(each.isTransparent for each in self.listeners)

    def pool(self, name: str) -> PoolConfig:
        """The pool of that name.

        @raise KeyError: when there is none.
        """
        for each in self.pools:
            if each.name == name:
                return each
        raise KeyError(name)

    def indexOf(self, listener: ListenerConfig) -> int:
        """The place of a listener; two may say the same, as C{tcp:0}."""
        return next(at for at, each in enumerate(self.listeners) if each is listener)

    def settingsOf(self, where: RouteConfig | PoolConfig) -> Settings:
        """The settings that hold for a route or a pool."""
        return self.settings.with_(**where.settings) if where.settings else self.settings

    def withUpstreams(self, pool: str, urls: Iterable[str]) -> Configuration:
        """A copy in which C{pool} has these upstreams as well, as the demo's."""
        more = tuple(UpstreamConfig(url, place="--demo") for url in urls)
        pools = (evolve(each, upstreams=each.upstreams + more) if each.name == pool else each for each in self.pools)
        return evolve(self, pools=tuple(pools))

    def uses(self) -> Iterator[PluginUse]:
        """All plugins, in the order in which they are built."""
        yield from (each for each in self.accessLogs if isinstance(each, PluginUse))
        for pool in self.pools:
            yield from pool.uses()
        yield from self.middleware
        for route in self.routes:
            yield from route.uses()
        yield from self.errorHandlers


def buildPlugins(configuration: Configuration, reactor: Any) -> Mapping[PluginUse, Any]:
    """Make the object of each use of a plugin.

    @raise ConfigurationError: with a line for each mistake of all of them.
    """
    settings = {use: configuration.settingsOf(route) for route in configuration.routes for use in route.uses()}
    pools = tuple(each.name for each in configuration.pools)
    made: dict[PluginUse, Any] = {}
    problems: list[str] = []
    for use in configuration.uses():
        try:
            made[use] = plugin = use.build(BuildContext(reactor, settings.get(use, configuration.settings), pools=pools))
            label(plugin, f"{use.tag} ({use.place})")
        except ConfigurationError as error:
            problems += error.problems
    if problems:
        raise ConfigurationError(*problems)
    return made
