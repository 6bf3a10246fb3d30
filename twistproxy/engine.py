"""What all exchanges of one proxy share: settings, routes, pools of upstreams, connections, the sweeper, the logs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from attrs import field, frozen
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from twistproxy.accepting import Accepting
from twistproxy.answers.errorpage import errorPage
from twistproxy.errors import TOO_MANY_CONNECTIONS, ProxyError
from twistproxy.exchange.retrying import RetryBudget
from twistproxy.forwarding import Identity, addressOf, identify, requestMemory, responseMemory
from twistproxy.interfaces import IErrorHandler
from twistproxy.limiting.connections import RequestRate
from twistproxy.logs.failurelog import FailureLog
from twistproxy.messages import Address, Destination, InboundRequest, Response, Upstream, newRequestId
from twistproxy.settings import Settings
from twistproxy.sweep import NEVER, Sweeper
from twistproxy.tls.contexts import ClientContexts
from twistproxy.transports.splicing import Splicer
from twistproxy.trust import Trust
from twistproxy.upstream.group import Administrative, UpstreamGroup
from twistproxy.upstream.pool import ConnectionPool, IdleLimit
from twistproxy.upstream.status import UpstreamStatus
from twistproxy.upstream.waiting import WaitingRoom

if TYPE_CHECKING:
    from twistproxy.exchange.delivery import ClientStream
    from twistproxy.exchange.exchange import Exchange

_log: Final = Logger(namespace="twistproxy.error")


@frozen
class Route:
    """What happens to the requests that match: plugins in their order, and the pool that they go to.

    @ivar settings: those that hold for its requests; None: the engine's.
    @ivar retryPolicy: decides after each attempt; None: the built-in rule.
    @ivar roundTripper: asks upstreams in the place of HTTP/1.1.
    @ivar touchesResponses: whether any of its plugins sees answers; middleware apart, which is asked.
    """

    group: UpstreamGroup | None
    directors: tuple[Any, ...] = ()
    modifiers: tuple[Any, ...] = ()
    middleware: tuple[Any, ...] = ()
    errorHandlers: tuple[Any, ...] = ()
    name: str = ""
    settings: Settings | None = None
    retryPolicy: Any = None
    roundTripper: Any = None
    touchesResponses: bool = field(init=False)

    @touchesResponses.default
    def _touchesResponses(self) -> bool:
        policySees = self.retryPolicy is not None and getattr(self.retryPolicy, "seesAnswers", True)
        return bool(self.modifiers or policySees or self.roundTripper)


_MAX_POOLS: Final = 4096
"""Upstreams whose connections are kept apart, before those without any are forgotten."""


class ClientConnection(Protocol):
    """A client's connection, of whatever protocol."""

    def close(self) -> None:
        """Close once the exchanges under way are over."""

    def abort(self) -> None:
        """Cut it."""


class Errand(Protocol):
    """What the proxy does for itself, without a client that waits for it."""

    def abort(self) -> None:
        """Give it up."""


class ConnectionPools:
    """The connection pool of each upstream, by its key; made when first asked for.

    @ivar contexts: for TLS to them.
    @ivar known: those that were made, by the upstream's key.
    @ivar room: where requests wait while upstreams are full.
    """

    def __init__(self, reactor: Any, settings: Settings, sweeper: Sweeper) -> None:
        self._reactor = reactor
        self._settings = settings
        self._sweeper = sweeper
        self.known: dict[str, ConnectionPool] = {}
        self._idleLimit = IdleLimit(settings.maxIdleConnections)
        self._heads = responseMemory(settings.rememberedHeads)
        self.contexts = ClientContexts(reactor)
        self.room = WaitingRoom(sweeper, settings.maxQueuedRequests)

    def __iter__(self) -> Any:
        return iter(self.known.values())

    def of(self, upstream: Upstream) -> ConnectionPool:
        """The pool of C{upstream}."""
        pool = self.known.get(upstream.key)
        if pool is None:
            if len(self.known) >= _MAX_POOLS:
                self._dropEmpty()
            pool = ConnectionPool(
                self._reactor,
                upstream,
                self._settings,
                self._sweeper,
                self._idleLimit,
                self.contexts,
                self._heads,
                self.room,
            )
            self.known[upstream.key] = pool
        return pool

    def _dropEmpty(self) -> None:
        """Forget pools without a connection: a director may name upstreams without end."""
        for key in [key for key, pool in self.known.items() if not pool.total]:
            del self.known[key]

    def closeIdle(self, key: str) -> None:
        """Close the connections to an upstream that nobody uses."""
        pool = self.known.get(key)
        if pool is not None:
            pool.closeIdle()

    def keepOnly(self, keys: frozenset[str]) -> None:
        """Upstreams other than these are wanted no more: their idle connections close, others after their exchange."""
        for key in [each for each in self.known if each not in keys]:
            self.known.pop(key).close()

    def abort(self) -> None:
        """Cut every connection."""
        for pool in self.known.values():
            pool.abort()


class _Continue:
    """Sends a 100 when the upstream says nothing for a while to a client that waits for one."""

    def __init__(self, sweeper: Sweeper, client: ClientStream, exchange: Exchange, after: float) -> None:
        self._sweeper = sweeper
        self._client = client
        self._exchange = exchange
        self.deadline = sweeper.after(after)
        sweeper.watch(self)

    def deadlinePassed(self) -> None:
        self.deadline = NEVER
        self._sweeper.forget(self)
        exchange, body = self._exchange, self._exchange.inbound.body
        if not (exchange.isOver or exchange.code or body.size or body.ended):  # a code: its answer is on the way
            self._client.sendInformation(100, b"Continue", [])


class Engine:
    """One proxy's shared state.

    @ivar groups: pools of upstreams, by name.
    @ivar routeFor: the route of a request; None without one.
    @ivar errorHandlers: for requests that have no route.
    @ivar accessLogs: told of every exchange at its end.
    @ivar inFlight: exchanges under way.
    @ivar errands: what is under way without a client; whoever adds one says so by L{errandEnded}.
    @ivar retryBudget: how often the requests of each pool may be sent again.
    @ivar exchanges: how many have ended.
    @ivar isDraining: whether client connections close after their exchange.
    @ivar seconds: the reactor's clock.
    @ivar acceptsConnect: whether CONNECT gets as far as a route; a director has to choose where it goes.
    @ivar requestRate: the most on one connection; None: any.
    @ivar failures: tells the error log of them.
    @ivar requestHeads: what clients said about themselves before.
    """

    def __init__(
        self,
        reactor: Any,
        settings: Settings,
        groups: Mapping[str, UpstreamGroup],
        routeFor: Callable[[InboundRequest], Route | None],
        errorHandlers: Sequence[IErrorHandler] = (),
        accessLogs: Sequence[Any] = (),
    ) -> None:
        self.reactor = reactor
        self.settings = settings
        self.groups = dict(groups)
        self.routeFor = routeFor
        self.errorHandlers = tuple(errorHandlers)
        self.accessLogs = tuple(accessLogs)
        self.sweeper = Sweeper(reactor)
        self.splicer = Splicer(reactor, self.sweeper)
        self.failures = FailureLog(self.sweeper, reactor.seconds)
        self.pools = ConnectionPools(reactor, settings, self.sweeper)
        self.requestHeads = requestMemory(settings.rememberedHeads)
        self.retryBudget = RetryBudget(settings.retryBudget, settings.retryBudgetMin)
        self.via = settings.via.encode("ascii")
        self.trust = Trust.of(settings)
        self.seconds: Callable[[], float] = reactor.seconds
        self.inFlight = 0
        self.exchanges = 0
        self.accessLogErrors = 0
        self.isDraining = False
        self.acceptsConnect = False
        self.accepting = Accepting(settings.maxConnections, reactor.seconds, settings.maxConnectionsPerClient)
        self.requestRate = RequestRate(settings.maxRequestRate) if settings.maxRequestRate else None
        self.channels: set[ClientConnection] = self.accepting.connections
        self.errands: set[Errand] = set()
        self._quiet: list[Deferred[None]] = []
        self._begin()

    def _begin(self) -> None:
        for group in self.groups.values():
            group.keepTime(self.sweeper, self.seconds)
            group.observeMembers(self.pools.room.poolsChanged)

    def replace(
        self,
        groups: Mapping[str, UpstreamGroup],
        routeFor: Callable[[InboundRequest], Route | None],
        errorHandlers: Sequence[IErrorHandler],
    ) -> None:
        """Serve by others from now on. Exchanges under way go on by what they began with."""
        for group in self.groups.values():
            group.retire()
        self.groups = dict(groups)
        self.routeFor = routeFor
        self.errorHandlers = tuple(errorHandlers)
        self._begin()
        self.pools.keepOnly(frozenset(each.key for group in self.groups.values() for each in group.members))
        self.pools.room.poolsChanged()

    def administer(self, key: str, administrative: Administrative, reason: str = "") -> int:
        """Have an upstream ready, drained or down in all pools that have it. What runs there goes on, tunnels included; its
        idle connections are closed, so that it can be stopped.

        @param key: its L{Upstream.key}, or without what that says of TLS.
        @param reason: for those who look at its state.
        @return: the number of those pools.
        """
        members = [(group, each) for group in self.groups.values() for each in group.members]
        having = [(group, each) for group, each in members if key in (each.key, each.location.key)]
        for group, upstream in having:
            group.administer(upstream, administrative, reason)
            if administrative is not Administrative.READY:
                self.pools.closeIdle(upstream.key)
        return len(having)

    def status(self) -> list[UpstreamStatus]:
        """What is known of all upstreams, pool by pool."""
        return [each for group in self.groups.values() for each in group.status()]

    def admits(self, peer: Any) -> bool:
        """Whether a connection from there is wanted; if not, the logs are told.

        @param peer: an address of Twisted's; None when it is not known.
        """
        if not self.accepting.perClient:
            return True
        address = addressOf(peer)
        if self.trust.trusts(address.host) or self.accepting.admits(address.host):
            return True
        error = ProxyError(TOO_MANY_CONNECTIONS, f"max-connections-per-client is {self.accepting.perClient}")
        error.isSilent = True
        self._tellRefusal(address, error, newRequestId(), 0)
        return False

    def channelGone(self) -> None:
        """A client's connection is closed."""
        if not self.channels and not self.errands and self._quiet:
            waiting, self._quiet = self._quiet, []
            for each in waiting:
                each.callback(None)

    def errandEnded(self, errand: Errand) -> None:
        """One of L{errands} is over."""
        self.errands.discard(errand)
        self.channelGone()

    def drain(self) -> Deferred[None]:
        """Let exchanges under way end, and begin no others.

        @return: a Deferred that fires when all client connections are closed, and errands over; when it is cancelled, they are
            cut.
        """
        self.isDraining = True
        self.failures.flush()
        for channel in list(self.channels):
            channel.close()
        if not self.channels and not self.errands:
            return succeed(None)
        quiet: Deferred[None] = Deferred(self._cut)
        self._quiet.append(quiet)
        return quiet

    def _cut(self, quiet: Deferred[None]) -> None:
        self._quiet.remove(quiet)
        for each in [*self.channels, *self.errands]:
            each.abort()

    def identify(
        self, peer: Any, scheme: str, destination: Destination | None = None, transport: Any = None
    ) -> Identity:
        """What is said about a client's connection.

        @param peer: its C{getPeer()}.
        @param destination: where it went before it was redirected to us.
        @param transport: its own.
        """
        header = getattr(peer, "header", None)
        return identify(peer, scheme, self.trust, destination, transport, header, self)

    def known(self, upstream: Upstream) -> Upstream:
        """The upstream of that key that the configuration has, so that counters are shared; else C{upstream} itself."""
        for group in self.groups.values():
            for member in group.members:
                if member.key == upstream.key:
                    return member
        return upstream

    def offerContinue(self, client: ClientStream, exchange: Exchange) -> None:
        """The client waits for a 100: it gets ours when the upstream's does not come."""
        _Continue(self.sweeper, client, exchange, exchange.settings.expectContinueTimeout)

    def attemptFailed(self, inbound: InboundRequest, upstream: Upstream, error: ProxyError) -> None:
        """An upstream could not be asked, and another will be."""
        _log.warn(
            "{method} {target} for {client}: {reason} at {upstream} ({detail}); trying another (request {request})",
            method=inbound.method.decode("latin-1"), target=inbound.target.decode("latin-1"),
            client=inbound.client, reason=error.kind.reason, detail=error.detail, upstream=upstream.key,
            request=inbound.id,
        )  # fmt: skip

    def exchangeFinished(self, exchange: Exchange) -> None:
        """It is over: the error log is told if it failed, and the access logs get their record."""
        self.inFlight -= 1
        self.exchanges += 1
        error = exchange.error
        if error is not None:
            self.failures.exchangeFailed(exchange, error)
        if exchange.inbound.finishers is not None:
            self._tellFinishers(exchange)
        for accessLog in self.accessLogs:
            try:
                accessLog.log(exchange)
            except Exception:
                self.accessLogErrors += 1

    def _tellFinishers(self, exchange: Exchange) -> None:
        """Those who wait for the very end."""
        finishers, exchange.inbound.finishers = exchange.inbound.finishers or [], None
        self.tell(finishers, exchange, exchange.inbound)

    def tell(self, calls: Sequence[Callable[[Any], None]], what: Any, inbound: InboundRequest) -> None:
        """Call what plugins have left for an end of C{inbound}, or of an attempt."""
        for each in calls:
            try:
                each(what)
            except Exception:
                _log.failure("What waited for the end of request {request} failed", request=inbound.id)

    def refused(self, peer: Address, error: ProxyError, accept: str = "") -> Response:
        """A client's bytes were no request: there is no exchange, and so no route and no error handler of one.

        @param accept: what it says that it takes.
        @return: what it gets, and the logs have.
        """
        requestId = newRequestId()
        page = errorPage(error.kind, accept, requestId)
        self._tellRefusal(peer, error, requestId, len(page.body.contents or b""))
        return page

    def _tellRefusal(self, peer: Address, error: ProxyError, requestId: str, size: int) -> None:
        """@param size: of what it gets."""
        self.failures.requestRefused(peer, error, requestId)
        for accessLog in self.accessLogs:
            try:
                accessLog.refused(peer, error, requestId, size)
            except Exception:
                self.accessLogErrors += 1
