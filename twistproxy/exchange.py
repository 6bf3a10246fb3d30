"""One request's life, from its head to the last byte of its answer: the state machine that joins the two halves.

It knows a client's stream and attempts at upstreams, but not how either frames its messages, nor how many exchanges a
client's connection carries. Its steps are plain methods, each calling the next: middleware, directors, pick, attempt,
response, modifiers, delivery, finish. A step whose hook returned an awaitable stops there, and its result goes on. Every
exchange ends in L{Exchange._finish}, once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.attempt import UpstreamAttempt
from twistproxy.body import EMPTY, Body
from twistproxy.delivery import ClientStream, deliver, throughFilters
from twistproxy.errorpage import errorPage
from twistproxy.errors import (
    BALANCER_ERROR,
    CLIENT_CLOSED,
    DIRECTOR_ERROR,
    INTERNAL,
    METHOD_NOT_ALLOWED,
    MODIFIER_ERROR,
    NO_ROUTE,
    NO_UPSTREAM,
    RESPONSE_TOO_LARGE,
    UPSTREAM_TIMEOUT,
    ErrorKind,
    Fault,
    ProxyError,
)
from twistproxy.forwarding import Identity, outboundItems, responseItems
from twistproxy.hooks import Chain, describeFailure, nameOf
from twistproxy.messages import Headers, InboundRequest, Item, OutboundRequest, Outcome, Response, Upstream
from twistproxy.tunnel import Tunnel, TunnelStatistics
from twistproxy.upgrade import checkUpgradeAnswer, checkUpgradeRequest
from twistproxy.upstream.group import UpstreamGroup
from twistproxy.wire.guard import CHUNKED, single
from twistproxy.wire.http1 import RequestHead, ResponseHead

if TYPE_CHECKING:
    from twistproxy.engine import Engine, Route

_log: Final = Logger(namespace="twistproxy.error")


class Exchange:
    """A request and its answer.

    @ivar inbound: the request as it came.
    @ivar outbound: the request that is sent on.
    @ivar route: what the configuration says about it; None before it was found.
    @ivar upstream: who was asked last.
    @ivar settings: those of the route, once it is found.
    @ivar response: the answer as plugins see it; None where none sees it.
    @ivar tunnel: what the connections became after a 101.
    @ivar error: what it failed with, once it did.
    @ivar code: the status that the client got; 0 before.
    @ivar bytesOut: body bytes sent to the client, a tunnel's included.
    @ivar attempts: how many upstreams were asked.
    @ivar started: when, by the reactor's clock, in seconds.
    """

    route: Route | None = None
    upstream: Upstream | None = None
    error: ProxyError | None = None
    code = 0
    bytesOut = 0
    attempts = 0
    response: Response | None = None
    tunnel: Tunnel | None = None
    _attempt: UpstreamAttempt | None = None
    _group: UpstreamGroup | None = None
    _isDirected = False  # a director chose the upstream: there is no other to ask
    _tried: tuple[Upstream, ...] = ()
    _chain: Chain | None = None  # of plugins, the one that was asked last
    _surrounding: Deferred[Any] | None = None  # fires when all middleware is through
    _proceeding: Deferred[Response] | None = None  # what middleware waits for
    _download: Body | None = None  # the response's body, when a plugin may want it
    _responseLength = 0
    _announced = b""
    _upgrade = b""
    _committed = False
    _clientPaused = False
    _finished = False

    def __init__(self, engine: Engine, client: ClientStream, head: RequestHead, identity: Identity, body: Body) -> None:
        self._engine = engine
        self._client = client
        self._head = head
        self.settings = settings = engine.settings
        items, address = outboundItems(
            head.items, head.connection, identity, settings.trustedProxies, engine.via, settings.forwarded
        )
        self.inbound = inbound = InboundRequest(
            head.method, head.target, head.items, address, identity.peer, identity.scheme, head.minor
        )
        self.outbound = inbound.outbound = OutboundRequest(
            head.method, head.target, items, body, address, identity.scheme
        )
        inbound.body = body
        self.started = engine.seconds()
        engine.inFlight += 1

    def __repr__(self) -> str:
        return f"<Exchange {self.inbound!r}>"

    @property
    def isOver(self) -> bool:
        """Whether it has ended."""
        return self._finished

    # Deciding.

    def start(self) -> None:
        """Go. The segment that completed the head was parsed to its end."""
        head = self._head
        if head.method == b"CONNECT":
            self._fail(ProxyError(METHOD_NOT_ALLOWED, "CONNECT"))
            return
        if head.upgrade:
            try:
                self._upgrade = checkUpgradeRequest(head)
            except ProxyError as error:
                self._fail(error)
                return
        self.route = route = self._engine.routeFor(self.inbound)
        if route is None:
            self._fail(ProxyError(NO_ROUTE))
            return
        self._group = route.group
        if route.settings is not None:
            self.settings = route.settings
        if route.middleware:
            self._surrounding = self._surround(0)
            self._surrounding.addCallbacks(self._answer, self._middlewareFailed).addErrback(self._crashed)
        elif route.directors:
            self._direct()
        else:
            self._pick()

    def _surround(self, index: int) -> Deferred[Response]:
        """Run the middleware from the one numbered C{index} on, and the rest of the exchange inside."""
        assert self.route is not None
        if self._finished:
            return fail(self.error or ProxyError(INTERNAL, "proceed was called after the exchange was over"))
        if index == len(self.route.middleware):
            self._proceeding = Deferred(self._proceedingCancelled)
            self._direct()
            return self._proceeding
        from twistproxy.onion import around  # only where there is middleware

        return around(self.route.middleware[index], self.inbound, lambda: self._surround(index + 1))

    def _proceedingCancelled(self, proceeding: Deferred[Response]) -> None:
        """The middleware lost its patience."""
        self._stopChain()
        self._endAttempt(UPSTREAM_TIMEOUT.reason)

    def _direct(self) -> None:
        """Ask the directors, then the balancer."""
        assert self.route is not None
        self._ask(
            self.route.directors,
            lambda director: director.direct(self.inbound, self.outbound),
            self._directed,
            lambda director, failure: self._hookFailed(director, "direct", DIRECTOR_ERROR, failure),
            self._pick,
        )

    def _directed(self, director: Any, result: Any) -> bool:
        """A director has answered: that ends their chain."""
        if isinstance(result, Response):
            self._answered(result)
        elif isinstance(result, Upstream):
            self._isDirected = True
            self._try(self._engine.known(result), None)
        elif isinstance(result, str) and result in self._engine.groups:
            self._group = self._engine.groups[result]
            self._pick()
        else:
            what = f"no pool {result!r}" if isinstance(result, str) else f"a {type(result).__name__}"
            wrong = TypeError(f"direct returned {what}; it may return None, an Upstream, a pool's name or a Response")
            self._hookFailed(director, "direct", DIRECTOR_ERROR, Failure(wrong))
        return False

    def _pick(self) -> None:
        """Choose an upstream among those that were not asked yet."""
        group = self._group
        if group is None:
            self._fail(ProxyError(NO_UPSTREAM, "the route has no pool"))
            return
        candidates = group.without(self._tried) if self._tried else group.candidates
        if not candidates:
            self._fail(self.error or ProxyError(NO_UPSTREAM, f"pool {group.name} is empty"))
            return
        try:
            upstream = group.balancer.pick(self.inbound, candidates)
        except Exception:
            self._hookFailed(group.balancer, "pick", BALANCER_ERROR, Failure())
            return
        if upstream is None:
            self._fail(self.error or ProxyError(NO_UPSTREAM, f"the balancer of pool {group.name} picked none"))
        elif upstream not in candidates.members:
            wrong = TypeError(f"pick returned {upstream!r}, which is no candidate")
            self._hookFailed(group.balancer, "pick", BALANCER_ERROR, Failure(wrong))
        else:
            self._try(upstream, group.report)

    def _try(self, upstream: Upstream, report: Callable[[Upstream, Outcome], None] | None) -> None:
        """Ask C{upstream}."""
        route = self.route
        assert route is not None
        self.attempts += 1
        self.upstream = upstream
        self._attempt = attempt = UpstreamAttempt(self._engine, self, self.settings, self._head, self.outbound, upstream, report)
        attempt.begin(self._upgrade, route.touchesRequests)
        head = self._head
        if head.expectsContinue and not self._finished:
            self._engine.offerContinue(self._client, self)

    # From the attempt.

    def attemptFailed(self, error: ProxyError, sent: bool) -> None:
        """It came to nothing: ask another upstream if nothing was sent to this one, else that was it."""
        attempt, self._attempt = self._attempt, None
        assert attempt is not None
        limit = self.settings.maxTries
        if error.kind.retryable and not sent and not self._isDirected and (not limit or self.attempts < limit):
            self._tried += (attempt.upstream,)
            self.error = error
            if self._group is not None and self._group.without(self._tried):
                self._engine.attemptFailed(self, attempt.upstream, error)
            self._pick()
        else:
            self._fail(error)

    def uploadPaused(self) -> None:
        """The upstream takes no more for now."""
        self._client.pauseBody()

    def uploadResumed(self) -> None:
        """The upstream takes more."""
        self._client.resumeBody()

    def informationReceived(self, head: ResponseHead) -> None:
        """A 1xx: on to the client at once, with its own headers only."""
        items = [item for item in responseItems(head.items, head.connection) if item[0] != b"content-length"]
        self._client.sendInformation(head.code, head.phrase, items)

    def responseReceived(self, head: ResponseHead) -> None:
        """The answer's head: to the modifiers, or straight to the client."""
        route = self.route
        assert route is not None
        if head.code == 101:
            self._upgradeAnswered(head)
            return
        items = responseItems(head.items, head.connection)
        if head.length == CHUNKED:
            self._announced = b", ".join(single(head.items, b"trailer"))
        if not route.touchesResponses and self.outbound.method == self.inbound.method:
            if self._engine.via:
                items.append((b"via", b"Via", b"1.1 " + self._engine.via))
            self._committed = True
            self.code = head.code
            self._client.sendHead(head.code, head.phrase, items, head.length, self._announced)
            return
        response = Response(head.code, Headers.fromItems(items), phrase=head.phrase)
        response.upstream = self.upstream
        self._responseLength = head.length
        self._download = response.stream = Body(self, RESPONSE_TOO_LARGE) if head.length else EMPTY
        self._modify(response)

    def responseDataReceived(self, data: bytes) -> None:
        """A piece of the answer's body."""
        if self._download is None:
            self.bytesOut += len(data)
            self._client.sendData(data)
        elif self._download is not EMPTY:
            try:
                self._download.dataReceived(data)
            except Exception:
                self._filterFailed()

    def responseEnded(self, trailers: list[Item]) -> None:
        """The upstream's answer is complete; its connection is the pool's again."""
        self._attempt = None
        if self._download is None:
            self._finish(None)
            self._client.sendEnd(trailers)
        elif self._download is not EMPTY:
            try:
                self._download.allReceived(trailers)
            except Exception:
                self._filterFailed()

    def segmentEnded(self) -> None:
        """Write what came at once, at once."""
        self._client.flush()

    # As the source of the response's body, when a plugin may want it.

    def bodyWanted(self) -> None:
        """L{twistproxy.body.BodySource}: an upstream needs no encouragement."""

    def pauseBody(self) -> None:
        """The modifiers do not read it, and it gets too long to be held."""
        self._pauseResponse()

    def resumeBody(self) -> None:
        """It is wanted again."""
        if not self._clientPaused:
            self._resumeResponse()

    def _pauseResponse(self) -> None:
        if self._attempt is not None and self._attempt.connection is not None:
            self._attempt.connection.pauseResponse()

    def _resumeResponse(self) -> None:
        if self._attempt is not None and self._attempt.connection is not None:
            self._attempt.connection.resumeResponse()

    # The answer.

    def _modify(self, response: Response) -> None:
        """Ask the modifiers; each gets what the one before made of the answer."""
        assert self.route is not None
        self.response = response
        self._ask(
            self.route.modifiers,
            lambda modifier: modifier.modify(self.inbound, self.response),
            self._modified,
            lambda modifier, failure: self._hookFailed(modifier, "modify", MODIFIER_ERROR, failure),
            self._modifiersDone,
        )

    def _modified(self, modifier: Any, result: Any) -> bool:
        """A modifier has put another answer in the place of the one it got."""
        if isinstance(result, Response):
            self.response = result
            return True
        wrong = TypeError(f"modify returned a {type(result).__name__}; it may return None or a Response")
        return self._hookFailed(modifier, "modify", MODIFIER_ERROR, Failure(wrong))

    def _modifiersDone(self) -> None:
        assert self.response is not None
        self._answered(self.response)

    def _answered(self, response: Response) -> None:
        """There is an answer: to the middleware that waits for it, or to the client."""
        if self._proceeding is not None and not self._proceeding.called:
            self._proceeding.callback(response)
        else:
            self._answer(response)

    def _answer(self, response: Response) -> None:
        """Deliver an answer to the client, be it an upstream's or a plugin's."""
        if self._finished or self._committed:
            return
        if response.code == 101:
            self._switch(response)
            return
        download = self._download
        if download is None or response.stream is not download or response.replacedBody is not None:
            self._endAttempt("")  # whatever the upstream still sends is not wanted
        if self._engine.via and response.upstream is not None:
            response.headers.addRawHeader(b"Via", b"1.1 " + self._engine.via)
        self._committed = True
        self.code = response.code
        toHead = self.inbound.method == b"HEAD"
        length = self._responseLength
        if self.outbound.method == b"HEAD" and not toHead:
            length = 0  # a director asked by HEAD for what the client wants by GET
        body = deliver(response, self._client, toHead, length, self._announced)
        if body is EMPTY:
            self._endAttempt("")
        try:
            body.attach(throughFilters(response, ToClient(self)))
        except Exception:
            self._filterFailed()
            return
        self._client.flush()

    def sendToClient(self, data: bytes) -> None:
        """A piece of a delivered body."""
        if not self._finished:
            self.bytesOut += len(data)
            self._client.sendData(data)

    def endToClient(self, trailers: list[Item]) -> None:
        """A delivered body is complete."""
        if not self._finished:
            self._finish(self.error)
            self._client.sendEnd(trailers)

    # Upgrades.

    def _upgradeAnswered(self, head: ResponseHead) -> None:
        """The upstream switches protocols: if that was asked for, so do we, after the modifiers."""
        try:
            protocol = checkUpgradeAnswer(self._upgrade, head, self.settings.lenientUpgrade)
        except ProxyError as error:
            self._fail(error)
            return
        response = Response(101, Headers.fromItems(responseItems(head.items, head.connection)), phrase=head.phrase)
        response.upstream = self.upstream
        self._download = response.stream = EMPTY
        self._upgrade = protocol
        self._modify(response)

    def _switch(self, response: Response) -> None:
        """Send the 101 and splice."""
        attempt = self._attempt
        if response.stream is not EMPTY or attempt is None or attempt.connection is None:
            self._failOutside(ProxyError(INTERNAL, "a plugin answered 101 by itself"))
            return
        connection, client = attempt.connection, self._client
        items = responseItems(response.headers.items, ())
        items += [(b"connection", b"Connection", b"Upgrade"), (b"upgrade", b"Upgrade", self._upgrade)]
        self._committed = True
        self.code = 101
        client.sendHead(101, response.phrase or b"Switching Protocols", items, 0)
        client.flush()
        self.tunnel = tunnel = Tunnel(
            client.transport, connection.transport, self._engine.sweeper, self.settings.tunnelIdleTimeout, self._tunnelEnded
        )
        fromUpstream = connection.startTunnel(tunnel.upstream)
        tunnel.start(client.splice(tunnel.client), fromUpstream)

    def _tunnelEnded(self, statistics: TunnelStatistics) -> None:
        attempt, self._attempt = self._attempt, None
        self.bytesOut = statistics.fromUpstream
        if attempt is not None:
            attempt.connection = None
            attempt.bytesIn, attempt.bytesOut = statistics.fromClient, statistics.fromUpstream
            attempt.end("")
        self._finish(None)

    # Hooks.

    def _ask(
        self,
        plugins: Sequence[Any],
        ask: Callable[[Any], Any],
        answered: Callable[[Any, Any], bool],
        failed: Callable[[Any, Failure], bool],
        done: Callable[[], None],
    ) -> None:
        """Run a chain of plugins, which a client that leaves cancels, and so does the next chain."""
        self._stopChain()
        engine = self._engine
        self._chain = chain = Chain(plugins, ask, answered, failed, done, engine.reactor, self.settings.hookTimeout)
        chain.run()

    def _stopChain(self) -> None:
        chain, self._chain = self._chain, None
        if chain is not None:
            chain.cancel()

    def _hookFailed(self, plugin: Any, hook: str, kind: ErrorKind, failure: Failure) -> bool:
        """A plugin raised, returned nonsense or took too long.

        @return: False: its chain is over.
        """
        if self._finished:
            return False
        error = failure.value
        if isinstance(error, ProxyError):
            self._fail(error)
            return False
        detail = describeFailure(failure)
        _log.failure(
            "Plugin {plugin} failed in {hook}: {detail} (request {request})",
            failure, plugin=nameOf(plugin), hook=hook, detail=detail, request=self.inbound.id,
        )  # fmt: skip
        self._fail(ProxyError(kind, f"{nameOf(plugin)}.{hook}: {detail}"))
        return False

    def _filterFailed(self) -> None:
        """A body filter raised: the client must not take what it has for the whole."""
        failure = Failure()
        _log.failure("A body filter failed (request {request})", failure, request=self.inbound.id)
        self._fail(ProxyError(MODIFIER_ERROR, f"a body filter: {describeFailure(failure)}"))

    def _middlewareFailed(self, failure: Failure) -> None:
        if isinstance(failure.value, ProxyError):
            self._failOutside(failure.value)
        elif not self._finished:
            _log.failure("Middleware failed (request {request})", failure, request=self.inbound.id)
            self._failOutside(ProxyError(DIRECTOR_ERROR, describeFailure(failure)))

    def _crashed(self, failure: Failure) -> None:
        _log.failure("An exchange failed (request {request})", failure, request=self.inbound.id)
        self._failOutside(ProxyError(INTERNAL, describeFailure(failure)))

    # Ends.

    def _endAttempt(self, reason: str) -> None:
        """Whatever the upstream still does is not wanted."""
        attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.abandon(reason)

    def _fail(self, error: ProxyError) -> None:
        """It failed: answer with an error, or break off the answer that was begun."""
        if self._finished:
            return
        self._endAttempt(error.kind.reason)
        if not self._committed and self._proceeding is not None and not self._proceeding.called:
            self._proceeding.errback(error)
        else:
            self._failOutside(error)

    def _failOutside(self, error: ProxyError) -> None:
        """The same, outside of all middleware."""
        if self._finished:
            return
        self._endAttempt(error.kind.reason)
        self.error = error
        if self._download is not None and self._download is not EMPTY:
            self._download.failed(error)
            if self._finished:
                return  # the plugin that was reading it has answered
        if self._committed:
            self._finish(error)
            self._client.truncate()
            return
        self._download = None
        self._handle(error)

    def _handle(self, error: ProxyError) -> None:
        """Ask the error handlers, then make the built-in page."""
        route = self.route
        self._ask(
            self._engine.errorHandlers if route is None else route.errorHandlers,
            lambda handler: handler.handle(self.inbound, error),
            self._handled,
            self._handlerFailed,
            lambda: self._answer(errorPage(error.kind, self.inbound.headers.get("accept", ""), self.inbound.id)),
        )

    def _handled(self, handler: Any, result: Any) -> bool:
        if isinstance(result, Response):
            self._answer(result)
            return False
        wrong = TypeError(f"handle returned a {type(result).__name__}; it may return None or a Response")
        return self._handlerFailed(handler, Failure(wrong))

    def _handlerFailed(self, handler: Any, failure: Failure) -> bool:
        name = nameOf(handler)
        _log.failure("Error handler {plugin} failed (request {request})", failure, plugin=name, request=self.inbound.id)
        return True

    def clientPaused(self) -> None:
        """The client takes no more for now."""
        self._clientPaused = True
        self._pauseResponse()

    def clientResumed(self) -> None:
        """It takes more."""
        self._clientPaused = False
        self._resumeResponse()

    def clientFailed(self, error: ProxyError) -> None:
        """The rest of the request is malformed, too large or too late."""
        if self._head.length and not self.inbound.body.ended:
            self.inbound.body.failed(error)
        self._failOutside(error)

    def clientLost(self, detail: str = "") -> None:
        """The client went away: nothing of this is wanted any more."""
        if self._finished:
            return
        error = ProxyError(CLIENT_CLOSED, detail)
        self._endAttempt(error.kind.reason)
        self._finish(error)
        if not self.inbound.body.ended:
            self.inbound.body.failed(error)
        if self._download is not None and self._download is not EMPTY:
            self._download.failed(error)

    def _finish(self, error: ProxyError | None) -> None:
        """It is over; the log gets what there is to tell."""
        if not self._finished:
            self._finished = True
            self.error = error
            if error is not None and error.kind.fault is Fault.CLIENT and self.code == 0:
                self.code = error.kind.status
            if self._chain is not None or self._surrounding is not None:
                self._releasePlugins(error)
            self._engine.exchangeFinished(self)

    def _releasePlugins(self, error: ProxyError | None) -> None:
        """Nobody waits for any plugin any more: those that still wait for something learn it."""
        self._stopChain()
        proceeding, surrounding = self._proceeding, self._surrounding
        if proceeding is not None and not proceeding.called:
            proceeding.errback(error or ProxyError(INTERNAL, "the exchange is over"))
            proceeding.addErrback(lambda _: None)  # if nobody listens
        if surrounding is not None:
            surrounding.cancel()


class ToClient:
    """The sink of a body that a plugin may have changed."""

    __slots__ = ("_exchange",)

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    def bodyReceived(self, data: bytes) -> None:
        """A piece, for the client."""
        self._exchange.sendToClient(data)

    def bodyEnded(self, trailers: list[Item]) -> None:
        """The end."""
        self._exchange.endToClient(trailers)
