"""From a configuration to a running proxy: the service that C{twist revproxy} runs.

It assembles what the other modules offer, listens, says where once everything listens, and at its end lets exchanges
run out. Nothing here is on the way of a request.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from twisted.application.service import IService, MultiService
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IDelayedCall, IListeningPort, IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.config import AccessLogConfig, Configuration, ListenerConfig, PluginUse, buildPlugins
from twistproxy.demo import DemoUpstreams
from twistproxy.discovery.membership import Membership
from twistproxy.engine import Engine
from twistproxy.errors import ConfigurationError
from twistproxy.generation import Generation
from twistproxy.health.checking import HealthChecks
from twistproxy.logs.accesslog import FileAccessLog, Recording
from twistproxy.logs.errorlog import ErrorLog
from twistproxy.logs.terminal import stopWith, terminal
from twistproxy.messages import Upstream
from twistproxy.middleware.statistics import Statistics
from twistproxy.proxy import ProxyFactory, drainEngine
from twistproxy.server.proxied import ProxiedReactor
from twistproxy.statistics.figures import Figures
from twistproxy.tls.config import ServerTLS
from twistproxy.tls.listening import CertificateWatch, SecureFactory
from twistproxy.tls.store import CertificateStore

_log: Final = Logger()
_YOUNG_OBJECTS: Final = 20_000
"""New objects between two runs of the garbage collector: some hundred exchanges under way."""

_REOPENED: Final = ("tcp", "tcp4", "tcp6", "ssl", "tls", "unix")
"""Endpoints that can be opened, closed and opened again, unlike an inherited socket's."""


class Worker(Protocol):
    """What is different about the service of one of several workers."""

    def reactorFor(self, index: int, number: int | None = None) -> Any:
        """What the endpoint of a listener listens with.

        @param index: the listener's, in the order of the configuration.
        @param number: of the worker whose sockets are meant; None: its own.
        """

    def mayLend(self, index: int) -> bool:
        """Whether each worker has sockets of its own for that listener."""

    def addChecks(self, checks: HealthChecks) -> None:
        """Health checks that one worker may run for all."""

    def removeChecks(self, checks: HealthChecks) -> None:
        """These are run no more."""

    def listening(self) -> None:
        """It serves."""

    def stopping(self) -> None:
        """It takes no more connections."""


def makeEngine(reactor: Any, configuration: Configuration, plugins: Mapping[PluginUse, Any], accessLogs: Sequence[Any]) -> Engine:
    """The engine that a configuration describes."""
    return _engineOf(reactor, Generation(reactor, configuration, plugins), accessLogs)


def _engineOf(reactor: Any, generation: Generation, accessLogs: Sequence[Any]) -> Engine:
    configuration = generation.configuration
    groups = generation.makeGroups({})
    logs = [Recording(log, reactor) for log in accessLogs]
    router = generation.makeRouter(groups)
    engine = Engine(reactor, configuration.settings, groups, router, generation.errorHandlers, logs)
    generation.follow(engine)
    return engine


def _certificateStores(configuration: Configuration) -> dict[ListenerConfig, CertificateStore]:
    """The certificates of each listener that has TLS of ours; listeners that say the same share them."""
    stores: dict[ServerTLS, CertificateStore] = {}
    found: dict[ListenerConfig, CertificateStore] = {}
    for each in configuration.listeners:
        if each.tls is not None:
            if each.tls not in stores:
                stores[each.tls] = CertificateStore(each.tls)
            found[each] = stores[each.tls]
    return found


class ProxyService(MultiService):
    """The whole proxy.

    @ivar engine: what its connections share.
    @ivar ports: where it listens, in the order of the configuration, once it does.
    """

    def __init__(
        self, reactor: Any, configuration: Configuration, plugins: Mapping[PluginUse, Any], worker: Worker | None = None
    ) -> None:
        """@param worker: which of several processes this is; None: it is alone."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._worker = worker
        self._borrowed: dict[int, Deferred[list[tuple[bool, Any]]]] = {}
        self._reactor = reactor
        self._configuration = configuration
        self._plugins = plugins
        self._errorLog = ErrorLog("" if worker is not None else configuration.errorLog)
        self._logs: list[FileAccessLog] = []
        self._isRefused = False
        self.isStopping = False
        self._waiting: Deferred[Any] | None = None
        self.ports: list[IListeningPort] = []
        accessLogs = [self._accessLog(each) for each in configuration.accessLogs]
        self._generation = Generation(reactor, configuration, plugins)
        self._retiring: list[IDelayedCall] = []
        self.engine = _engineOf(reactor, self._generation, accessLogs)
        self._stores = _certificateStores(configuration)
        stores = list(dict.fromkeys(self._stores.values()))
        self._watch = CertificateWatch(reactor, stores, configuration.settings.certificateInterval)
        self._watch.setServiceParent(self)  # type: ignore[no-untyped-call]
        for each in [*(log for log in accessLogs if IService.providedBy(log)), *self._generation.memberships.values()]:
            each.setServiceParent(self)
        self._run(self._generation)

    def _run(self, generation: Generation) -> None:
        """Have its services be ours."""
        for checking in generation.checks:
            if self._worker is not None:
                self._worker.addChecks(checking)
        for each in [*generation.services, *generation.checks]:
            each.setServiceParent(self)

    def statistics(self) -> dict[str, dict[str, Any]]:
        """The figures of each C{statistics} of the configuration, by its name; those of the same name are summed. See
        L{Statistics.snapshot}."""
        sums: dict[str, Figures] = {}
        for each in self._generation.plugins:
            if isinstance(each, Statistics):
                sums.setdefault(each.title, Figures()).include(each.figures)
        now = self._reactor.seconds()
        return {name: {"name": name, **figures.snapshot(now)} for name, figures in sums.items()}

    @property
    def _memberships(self) -> Sequence[Membership]:
        """What follows sources of upstreams."""
        return list(self._generation.memberships.values())

    @property
    def _checking(self) -> Sequence[HealthChecks]:
        """Health checks that are to be waited for at the start."""
        return self._generation.checks if self._worker is None else []

    def _accessLog(self, config: AccessLogConfig | PluginUse) -> Any:
        if isinstance(config, PluginUse):
            return self._plugins[config]
        try:
            log = FileAccessLog(self._reactor, config.path, config.format)
        except OSError as error:
            raise ConfigurationError(f"{config.place or '--access-log'}: {config.path}: {error.strerror}") from None
        self._logs.append(log)
        return log

    def startService(self) -> None:
        """Listen everywhere, and say where: at once, or when the sources of upstreams have told something, and those that
        have to wait for their first health check had it.

        @raise SystemExit: when an endpoint can't be had, after a line that says which and why.
        """
        self._errorLog.open()
        for log in self._logs:
            log.start()
        if self._configuration.demo:
            demo = DemoUpstreams(self._reactor)
            demo.setServiceParent(self)  # type: ignore[no-untyped-call]
            group = self.engine.groups["default"]
            group.setMembers([*group.members, *(Upstream(url) for url in demo.urls)])
            for url in demo.urls:
                self._say(f"sample upstream on {url}/")
        super().startService()  # type: ignore[no-untyped-call]
        self._readContexts(self._configuration)
        self.engine.sweeper.start()
        awaited: list[Any] = [*self._memberships, *self._checking]
        if all(each.isReady for each in awaited):
            self._open(self._configuration.listeners).addCallback(self._listening)
        else:
            # A port that can't be had is told now, but one that is open would say that requests are served.
            checked = [each for each in self._configuration.listeners if each.endpoint.partition(":")[0] in _REOPENED]
            self._open([] if self._worker is not None else checked).addCallback(self._waitForUpstreams)

    def _open(self, listeners: Sequence[ListenerConfig], number: int | None = None) -> Deferred[list[tuple[bool, Any]]]:
        """Listen there; fires with the ports, and None in the place of those that failed.

        @param number: of the worker whose sockets are meant; None: our own.
        @raise SystemExit: when one fails at once.
        """
        plain, redirected = ProxyFactory(self.engine), ProxyFactory(self.engine, isTransparent=True)
        factories = {each: redirected if each.isTransparent else plain for each in listeners}
        opening = [
            maybeDeferred(listenAt, self._reactorFor(each, number), each.endpoint, self._secured(each, factories[each]))
            for each in listeners
        ]
        for listener, each in zip(listeners, opening, strict=True):
            each.addErrback(self._notListening, listener.endpoint)
        if self._isRefused and not self._reactor.running:
            raise SystemExit(1)
        return DeferredList(opening)

    def _waitForUpstreams(self, results: Sequence[tuple[bool, Any]]) -> None:
        """Close these until the sources of upstreams have told something, and first checks are over; or took too long."""
        closing = [maybeDeferred(port.stopListening) for _, port in results if port is not None]
        self._waitFor([each.whenReady() for each in self._memberships] + closing, self._waitForChecks)

    def _waitForChecks(self, _: object) -> None:
        if not self.isStopping:
            self._waitFor([each.whenReady() for each in self._checking], self._upstreamsThere)

    def _waitFor(self, ready: Sequence[Deferred[Any]], then: Callable[[Any], object]) -> None:
        limit = self._configuration.settings.discoveryStartTimeout
        self._waiting = DeferredList(ready, consumeErrors=True)
        self._waiting.addTimeout(limit, self._reactor, self._upstreamsMissing).addCallback(then)

    def _upstreamsMissing(self, result: object, seconds: float) -> None:
        pools = [each.pool for each in self._memberships if not each.isReady]
        pools += [each.group.name for each in self._checking if not each.isReady]
        missing = ", ".join(dict.fromkeys(pools))
        _log.warn("no word of the upstreams of {pools} within {seconds:.0f} s: listening", pools=missing, seconds=seconds)

    def _upstreamsThere(self, _: object) -> None:
        self._waiting = None
        if not (self.isStopping or self._isRefused):
            self._open(self._configuration.listeners).addCallback(self._listening)

    def _reactorFor(self, listener: ListenerConfig, number: int | None = None) -> Any:
        """The reactor that an endpoint listens with."""
        reactor = self._reactor
        if self._worker is not None:
            reactor = self._worker.reactorFor(self._configuration.indexOf(listener), number)
        senders = listener.proxyProtocol
        return ProxiedReactor(reactor, self.engine, senders) if senders else reactor

    def _secured(self, listener: ListenerConfig, factory: ProxyFactory) -> IProtocolFactory:
        """What a listener's endpoint gets."""
        store = self._stores.get(listener)
        if store is not None:
            return SecureFactory(store, factory)
        if listener.isSecure:
            _log.warn("{endpoint} is left to Twisted and pyOpenSSL: slower, and not reloaded", endpoint=listener.endpoint)
        return factory

    def _notListening(self, failure: Failure, endpoint: str) -> None:
        problem = f"{endpoint}: {failure.getErrorMessage()}"
        print(problem, file=terminal("stderr"), flush=True)
        # Most endpoints fail before the reactor runs: then startService exits, as a Deferred would swallow SystemExit.
        self._isRefused = True
        if self._reactor.running:
            _log.critical("{problem}", problem=problem)
            stopWith(self._reactor, 1)

    def _listening(self, results: Sequence[tuple[bool, Any]]) -> None:
        if self._isRefused:
            return
        self.ports = [port for _, port in results if port is not None]
        self.engine.accepting.watch(self.ports)
        if self._worker is not None:
            self._worker.listening()
        for listener, port in zip(self._configuration.listeners, self.ports if self._worker is None else (), strict=False):
            self._say(f"listening on {shownURL(port.getHost(), listener.isSecure)}")
        _settleGarbage()

    def _readContexts(self, configuration: Configuration) -> None:
        """Read what TLS to upstreams needs, and complain now, not when the first client waits.

        @raise ConfigurationError: when something of it can't be used.
        """
        for pool in configuration.pools:
            for server in pool.servers:
                if server.url.lower().startswith("https:"):
                    self.engine.pools.contexts.of(server.tls, server.url)

    # Reloading.

    def reload(self, configuration: Configuration, plugins: Mapping[PluginUse, Any]) -> Deferred[None]:
        """Serve by these pools, routes and error handlers from now on, or as soon as new sources of upstreams have told
        something. Exchanges under way end as they began; so do tunnels. Listeners and logs stay as they are, but certificates
        are looked at.

        @raise ConfigurationError: when something can't be used; then everything stays.
        @return: fires when it is done.
        """
        self._readContexts(configuration)
        self._watch.reload()
        before = self._generation
        after = Generation(self._reactor, configuration, plugins, before)
        new = [each for each in after.memberships.values() if each not in before.memberships.values()]
        for each in new:
            each.setServiceParent(self)  # type: ignore[no-untyped-call]
        waiting = DeferredList([each.whenReady() for each in new], consumeErrors=True)
        waiting.addTimeout(configuration.settings.discoveryStartTimeout, self._reactor, lambda result, seconds: None)
        return waiting.addCallback(lambda _: self._switch(before, after))

    def _switch(self, before: Generation, after: Generation) -> None:
        """One instead of the other."""
        if self.isStopping:
            return
        groups = after.makeGroups({name: group.table for name, group in self.engine.groups.items()})
        after.takeOver(before)
        self.engine.replace(groups, after.makeRouter(groups), after.errorHandlers)
        after.follow(self.engine)
        self._generation = after
        for each in before.checks:
            if self._worker is not None:
                self._worker.removeChecks(each)
            each.disownServiceParent()  # type: ignore[no-untyped-call]
        for membership in before.memberships.values():
            if membership not in after.memberships.values():
                membership.disownServiceParent()  # type: ignore[no-untyped-call]
        self._run(after)
        if before.services:  # exchanges under way still use them
            delay = self._configuration.settings.drainTimeout
            self._retiring.append(self._reactor.callLater(delay, self._retire, before.services))

    def _retire(self, services: Sequence[Any]) -> None:
        self._retiring = [each for each in self._retiring if each.active()]
        for each in services:
            each.disownServiceParent()

    def borrow(self, number: int) -> None:
        """Take connections from another worker's sockets too, until L{giveBack}."""
        if self.ports and self._worker is not None and number not in self._borrowed:
            lent = [each for at, each in enumerate(self._configuration.listeners) if self._worker.mayLend(at)]
            self._borrowed[number] = self._open(lent, number).addCallback(self._accepting)

    def giveBack(self, number: int) -> Deferred[Any]:
        """That worker is back."""
        opened = self._borrowed.pop(number, None) or succeed([])
        return opened.addCallback(self._closing)

    def _accepting(self, results: list[tuple[bool, Any]]) -> list[tuple[bool, Any]]:
        self.engine.accepting.watch(port for _, port in results if port is not None)
        return results

    def _closing(self, results: list[tuple[bool, Any]]) -> Deferred[Any]:
        ports = [port for _, port in results if port is not None]
        self.engine.accepting.forget(ports)
        return DeferredList([port.stopListening() for port in ports])

    def _say(self, line: str) -> None:
        print(line, file=terminal("stdout"), flush=True)

    def stopService(self) -> Deferred[Any]:
        """Stop listening, let exchanges run out, then stop everything else.

        @return: fires when all of that is done.
        """
        ports, self.ports = self.ports, []
        self.engine.accepting.forget(ports)
        self.isStopping = True
        for each in self._retiring:
            if each.active():
                each.cancel()
        if self._waiting is not None:
            self._waiting.cancel()
        giving = [self.giveBack(each) for each in list(self._borrowed)]
        closing: Deferred[Any] = DeferredList([*giving, *(maybeDeferred(port.stopListening) for port in ports)])
        if self._worker is not None:
            self._worker.stopping()
        closing.addCallback(lambda _: drainEngine(self.engine))
        closing.addCallback(self._stopChildren)
        return closing.addBoth(self._closeLogs)

    def _stopChildren(self, _: object) -> Deferred[Any]:
        stopping: Deferred[Any] = super().stopService()  # type: ignore[no-untyped-call]
        return stopping

    def _closeLogs(self, result: Any) -> Any:
        for log in self._logs:
            log.stop()
        self._errorLog.close()
        return result


def listenAt(reactor: Any, endpoint: str, factory: IProtocolFactory) -> Deferred[IListeningPort]:
    """Listen at an endpoint.

    @param reactor: what it listens with. One with a method C{listenInherited} has the sockets of endpoints already that hand on
        what their process inherited: these endpoints would look for descriptors that another process has.
    """
    inherited = getattr(reactor, "listenInherited", None)
    if inherited is not None and endpoint.partition(":")[0] in ("systemd", "fd"):
        return succeed(inherited(factory))
    listening: Deferred[IListeningPort] = serverFromString(reactor, endpoint).listen(factory)
    return listening


def _settleGarbage() -> None:
    """What is there now stays: the garbage collector need not look at it again and again.

    Exchanges leave no cycles, but dozens of them under way are hundreds of young objects; with Python's own threshold
    the collector would run every few requests, for nothing, and each time through all that was imported now and then.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 20, 20)


def shownURL(host: Any, isSecure: bool = False) -> str:
    """Where a person can reach a listener.

    @param host: what its port's C{getHost} says.
    """
    address = getattr(host, "host", None)
    if not isinstance(address, str):
        name = getattr(host, "name", b"")
        return f"unix:{name.decode() if isinstance(name, bytes) else name}"
    scheme = "https" if isSecure else "http"
    if address in ("0.0.0.0", "::"):
        return f"{scheme}://localhost:{host.port}/ (on all interfaces)"
    return f"{scheme}://{f'[{address}]' if ':' in address else address}:{host.port}/"


def makeProxyService(reactor: Any, configuration: Configuration) -> ProxyService:
    """The service of a configuration, its plugins built.

    @raise ConfigurationError: for what only shows now.
    """
    return ProxyService(reactor, configuration, buildPlugins(configuration, reactor))
