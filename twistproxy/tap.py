"""C{twist revproxy}: its options, and the service that they make."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, NoReturn

from twisted.application.service import IService
from twisted.python import usage

from twistproxy._version import __version__
from twistproxy.commandline import CommandLine, findPluginsFor, loadConfiguration
from twistproxy.config import Configuration, buildPlugins
from twistproxy.configtext import configurationText
from twistproxy.errors import ConfigurationError
from twistproxy.loader.listing import helpPlugin, listPlugins


class Options(usage.Options):
    """The options of C{twist revproxy}: collected in L{words}, and made into a L{configuration} at their end.

    @ivar words: the options as given.
    @ivar configuration: what they make.
    """

    synopsis = "[options] --upstream URL | --forward | --transparent"
    longdesc = (
        "A reverse proxy: HTTP/1.1 and upgrades to one or more upstreams, programmable with plugins. A plugin is "
        "named by SPEC, its tag or module.Class with options after colons: consistent-hash:key=path:replicas=160."
    )

    configuration: Configuration

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.words = CommandLine()
        self._actions: list[str] = []
        self._helpTags: list[str] = []

    def opt_upstream(self, url: str) -> None:
        """URL[,weight=N][,max-conns=N][,priority=N][,backup][,proxy-protocol=v1|v2][,pool=NAME]: where requests go; http://,
        https://, unix:PATH, or the SPEC of a plugin that finds upstreams. For https also server-name=NAME, ca=FILE, cert=FILE,
        key=FILE and insecure=yes. Those with pool=NAME are for plugins that name that pool. Repeatable."""
        self.words.upstreams.append(url)

    def opt_listen(self, endpoint: str) -> None:
        """ENDPOINT[,proxy-protocol=NETWORK]... for clients: a Twisted server endpoint, or tls:PORT:cert=FILE:key=FILE or
        tls:PORT:certs=DIRECTORY; and who sends it the PROXY protocol.
        Repeatable. [default: tcp:8080]"""
        self.words.listeners.append(endpoint)

    def opt_balancer(self, spec: str) -> None:
        """SPEC of what picks among upstreams. [default: round-robin, or weighted-round-robin with weights]"""
        self.words.balancer = spec

    def opt_director(self, spec: str) -> None:
        """SPEC of what decides where a request goes and changes it. Repeatable, in order."""
        self.words.directors.append(spec)

    def opt_modifier(self, spec: str) -> None:
        """SPEC of what changes responses. Repeatable, in order."""
        self.words.modifiers.append(spec)

    def opt_middleware(self, spec: str) -> None:
        """SPEC of what wraps exchanges. Repeatable, in order."""
        self.words.middleware.append(spec)

    def opt_error_handler(self, spec: str) -> None:
        """SPEC of what answers failures. Repeatable, in order."""
        self.words.errorHandlers.append(spec)

    def opt_health(self, spec: str) -> None:
        """SPEC of a health check. Repeatable."""
        self.words.health.append(spec)

    def opt_passive(self, spec: str) -> None:
        """SPEC of what learns from the traffic which upstreams fail: max-fails or outlier. Repeatable."""
        self.words.passive.append(spec)

    def opt_retry_policy(self, spec: str) -> None:
        """SPEC of what decides whether another upstream is asked; retry: is the one that comes with this."""
        self.words.retryPolicy = spec

    def opt_config(self, path: str) -> None:
        """FILE.toml with all of this and more: several pools and routes."""
        self.words.configFile = path

    def opt_set(self, setting: str) -> None:
        """NAME=VALUE of a setting, such as upstream-timeout=5s. Repeatable."""
        self.words.settings.append(setting)

    def opt_access_log(self, spec: str) -> None:
        """FILE, or - for standard output; in front of it combined: (the default) or json:. Repeatable."""
        self.words.accessLogs.append(spec)

    def opt_error_log(self, path: str) -> None:
        """FILE for the proxy's own messages."""
        self.words.errorLog = path

    def opt_admin(self, endpoint: str) -> None:
        """ENDPOINT of the admin interface (not built yet)."""
        self.words.admin = endpoint

    def opt_workers(self, number: str) -> None:
        """N processes that serve, or auto: one for each processor. [default: 1]"""
        self.words.workers = number

    def opt_plugin_path(self, directory: str) -> None:
        """DIR with modules of plugins, or drop-ins in DIR/twisted/plugins. Repeatable."""
        self.words.pluginPath.append(directory)

    def opt_demo(self) -> None:
        """Start two sample upstreams and proxy to them."""
        self.words.demo = True

    def opt_forward(self) -> None:
        """Be a forward proxy: go where clients say, by absolute URLs or CONNECT. Listens on 127.0.0.1 unless told
        otherwise, and goes to public addresses only."""
        self.words.forward = True

    def opt_forward_allow(self, rule: str) -> None:
        """NETWORK, NAME, .SUFFIX or port:N[-M] where clients of a forward proxy may go. Repeatable."""
        self.words.forwardAllow.append(rule)

    def opt_forward_deny(self, rule: str) -> None:
        """NETWORK, NAME, .SUFFIX or port:N[-M] where they may not go. Repeatable."""
        self.words.forwardDeny.append(rule)

    def opt_forward_users(self, path: str) -> None:
        """FILE of htpasswd -B with those who may use a forward proxy."""
        self.words.forwardUsers = path

    def opt_transparent(self) -> None:
        """Take connections that the kernel redirects to the listeners: to where they went, or to --upstream."""
        self.words.transparent = True

    def opt_check(self) -> None:
        """Build everything, start nothing, and tell what is wrong."""
        self._actions.append("check")

    def opt_print_config(self) -> None:
        """Print the configuration in force as TOML, secrets masked."""
        self._actions.append("print-config")

    def opt_list_plugins(self) -> None:
        """Print the plugins there are."""
        self._actions.append("list-plugins")

    def opt_help_plugin(self, tag: str) -> None:
        """TAG of a plugin whose options to print."""
        self._helpTags.append(tag)

    def opt_version(self) -> NoReturn:
        """Print the version."""
        print(f"twistproxy {__version__}")
        raise SystemExit(0)

    opt_u = opt_upstream
    opt_l = opt_listen
    opt_b = opt_balancer
    opt_d = opt_director
    opt_m = opt_modifier
    opt_c = opt_config

    @property
    def isCheck(self) -> bool:
        """Whether the configuration is only to be tried."""
        return "check" in self._actions

    def postOptions(self) -> None:
        """Make the configuration; or print what was asked for and exit.

        @raise SystemExit: with 1 when something is wrong with the configuration, after a line for each
            mistake.
        """
        try:
            if "list-plugins" in self._actions or self._helpTags:
                self._printPlugins()
            self.configuration = loadConfiguration(self.words, _warn)
        except ConfigurationError as error:
            exitWith(error.problems)
        if "print-config" in self._actions:
            print(configurationText(self.configuration), end="")
            raise SystemExit(0)

    def _printPlugins(self) -> NoReturn:
        plugins = findPluginsFor(self.words)
        for each in plugins.warnings:
            _warn(each)
        texts = [helpPlugin(plugins, tag) for tag in self._helpTags]
        print("\n".join(texts or [listPlugins(plugins)]), end="")
        raise SystemExit(0)


def makeService(options: Options) -> IService:
    """The proxy as a service.

    The plugins are made by one call of L{buildPlugins}, so that the mistakes of all of them are told together. What
    raises L{ConfigurationError} then is told, and nothing else is caught here. C{--check} makes the plugins and throws
    them away.
    """
    from twisted.internet import reactor  # noqa: TID251 - by Twisted's convention makeService gets none

    try:
        if options.isCheck:
            buildPlugins(options.configuration, reactor)
            print("the configuration is good")
            raise SystemExit(0)
        return _make(reactor, options)
    except ConfigurationError as error:
        exitWith(error.problems)


def _make(reactor: Any, options: Options) -> IService:
    """One process, or what starts several; with a file, it is read again at each SIGHUP."""
    from twistproxy.reloading import Reloader, onHangup
    from twistproxy.service import makeProxyService

    configuration, words = options.configuration, options.words
    reloading: Any
    if configuration.workers > 1:
        service = reloading = _makeSupervisor(reactor, options)
    else:
        service = makeProxyService(reactor, configuration)
        reloading = Reloader(reactor, service, configuration, lambda: loadConfiguration(words, _warn))
    if words.configFile is not None:
        onHangup(reactor, reloading.reload)
    return service


def _makeSupervisor(reactor: Any, options: Options) -> IService:
    """What starts the workers. Plugins are built here once, so that mistakes are told once, and thrown away."""
    from twisted.application.reactors import getReactorTypes

    from twistproxy.workers.supervisor import Supervisor, reactorNameOf

    buildPlugins(options.configuration, reactor)
    return Supervisor(reactor, options.configuration, options.words, reactorNameOf(reactor, getReactorTypes))


def exitWith(problems: Sequence[str]) -> NoReturn:
    """Tell what is wrong and exit."""
    for each in problems:
        print(each, file=sys.stderr)
    raise SystemExit(1)


def _warn(warning: str) -> None:
    print(f"warning: {warning}", file=sys.stderr)
