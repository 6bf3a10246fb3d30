"""One request's life, from its head to the last byte of its answer: the state machine that joins the two halves.

It knows a client's stream and attempts at upstreams, but not how either frames its messages, nor how many exchanges a
client's connection carries. Its steps are plain methods, each calling the next: middleware, directors, pick, attempt,
response, modifiers, delivery, finish. A step whose hook returned an awaitable stops there, and its result goes on. Every
exchange ends in L{Exchange._finish}, once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.defer import Deferred
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
    ErrorKind,
    Fault,
    ProxyError,
)
from twistproxy.forwarding import Identity, outboundItems, responseItems
from twistproxy.hooks import describeFailure, isPending, nameOf, whenSettled
from twistproxy.messages import FrozenHeaders, Headers, InboundRequest, Item, OutboundRequest, Outcome, Response, Upstream
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
    tunnel: Tunnel | None = None
    _attempt: UpstreamAttempt | None = None
    _group: UpstreamGroup | None = None
    _isDirected = False  # a director chose the upstream: there is no other to ask
    _tried: tuple[Upstream, ...] = ()
    _waiting: Deferred[Any] | None = None  # for a hook
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
        settings = engine.settings
        items, address = outboundItems(
            head.items, head.connection, identity, settings.trustedProxies, engine.via, settings.forwarded
        )
        self.inbound = inbound = InboundRequest(
            head.method, head.target, FrozenHeaders(head.items), address, identity.peer, identity.scheme, head.minor
        )
        self.outbound = inbound.outbound = OutboundRequest(
            head.method, head.target, Headers.fromItems(items), body, address, identity.scheme
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
        if route.middleware:
            self._surround(0).addCallbacks(self._answer, self._middlewareFailed).addErrback(self._crashed)
        elif route.directors:
            self._direct(0)
        else:
            self._pick()

    def _surround(self, index: int) -> Deferred[Response]:
        """Run the middleware from the one numbered C{index} on, and the rest of the exchange inside."""
        assert self.route is not None
        if index == len(self.route.middleware):
            self._proceeding = Deferred()
            self._direct(0)
            return self._proceeding
        from twistproxy.onion import around  # only where there is middleware

        return around(self.route.middleware[index], self.inbound, lambda: self._surround(index + 1))

    def _direct(self, index: int) -> None:
        """Ask the directors from the one numbered C{index} on."""
        assert self.route is not None
        directors = self.route.directors
        while index < len(directors):
            director = directors[index]
            index += 1
            try:
                result = director.direct(self.inbound, self.outbound)
            except Exception:
                self._hookFailed(director, "direct", DIRECTOR_ERROR, Failure())
                return
            if result is None:
                continue
            if isPending(result):
                self._wait(director, "direct", DIRECTOR_ERROR, result, lambda value: self._directed(director, index, value))
            else:
                self._directed(director, index, result)
            return
        self._pick()

    def _directed(self, director: Any, index: int, result: Any) -> None:
        """A director has answered."""
        if result is None:
            self._direct(index)
        elif isinstance(result, Response):
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
        self._attempt = attempt = UpstreamAttempt(self._engine, self, self._head, self.outbound, upstream, report)
        attempt.begin(self._upgrade, route.touchesRequests)
        head = self._head
        if head.expectsContinue and not self._finished:
            self._engine.offerContinue(self._client, self)

    # From the attempt.

    def attemptFailed(self, error: ProxyError, sent: bool) -> None:
        """It came to nothing: ask another upstream if nothing was sent to this one, else that was it."""
        attempt, self._attempt = self._attempt, None
        assert attempt is not None
        limit = self._engine.settings.maxTries
        if error.kind.retryable and not sent and not self._isDirected and (not limit or self.attempts < limit):
            self._engine.attemptFailed(self, attempt.upstream, error)
            self._tried += (attempt.upstream,)
            self.error = error
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
        self._modify(0, response)

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

    def _modify(self, index: int, response: Response) -> None:
        """Ask the modifiers from the one numbered C{index} on."""
        assert self.route is not None
        modifiers = self.route.modifiers
        while index < len(modifiers):
            modifier = modifiers[index]
            index += 1
            try:
                result = modifier.modify(self.inbound, response)
            except Exception:
                self._hookFailed(modifier, "modify", MODIFIER_ERROR, Failure())
                return
            if result is None:
                continue
            if isPending(result):
                self._wait(
                    modifier, "modify", MODIFIER_ERROR, result, lambda value: self._modified(modifier, index, response, value)
                )
            else:
                self._modified(modifier, index, response, result)
            return
        self._answered(response)

    def _modified(self, modifier: Any, index: int, before: Response, result: Any) -> None:
        """A modifier has answered."""
        if result is None or isinstance(result, Response):
            self._modify(index, before if result is None else result)
        else:
            wrong = TypeError(f"modify returned a {type(result).__name__}; it may return None or a Response")
            self._hookFailed(modifier, "modify", MODIFIER_ERROR, Failure(wrong))

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
        if not isinstance(response, Response):
            self._failOutside(ProxyError(DIRECTOR_ERROR, f"middleware returned a {type(response).__name__}"))
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
            protocol = checkUpgradeAnswer(self._upgrade, head, self._engine.settings.lenientUpgrade)
        except ProxyError as error:
            self._fail(error)
            return
        response = Response(101, Headers.fromItems(responseItems(head.items, head.connection)), phrase=head.phrase)
        response.upstream = self.upstream
        self._download = response.stream = EMPTY
        self._upgrade = protocol
        self._modify(0, response)

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
        settings = self._engine.settings
        self.tunnel = tunnel = Tunnel(
            client.transport, connection.transport, self._engine.sweeper, settings.tunnelIdleTimeout, self._tunnelEnded
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

    def _wait(self, plugin: Any, hook: str, kind: ErrorKind, result: Any, settled: Callable[[Any], None]) -> None:
        """Go on with C{settled} when a hook's result is there."""

        def succeeded(value: Any) -> None:
            self._waiting = None
            settled(value)
            self._client.flush()

        def failed(failure: Failure) -> None:
            self._waiting = None
            self._hookFailed(plugin, hook, kind, failure)

        waiting = whenSettled(result, self._engine.reactor, self._engine.settings.hookTimeout, succeeded, failed)
        if not waiting.called:
            self._waiting = waiting

    def _hookFailed(self, plugin: Any, hook: str, kind: ErrorKind, failure: Failure) -> None:
        """A plugin raised, returned nonsense or took too long."""
        if self._finished:
            return
        error = failure.value
        if isinstance(error, ProxyError):
            self._fail(error)
            return
        detail = describeFailure(failure)
        _log.failure(
            "Plugin {plugin} failed in {hook}: {detail} (request {request})",
            failure, plugin=nameOf(plugin), hook=hook, detail=detail, request=self.inbound.id,
        )  # fmt: skip
        self._fail(ProxyError(kind, f"{nameOf(plugin)}.{hook}: {detail}"))

    def _filterFailed(self) -> None:
        """A body filter raised: the client must not take what it has for the whole."""
        failure = Failure()
        _log.failure("A body filter failed (request {request})", failure, request=self.inbound.id)
        self._fail(ProxyError(MODIFIER_ERROR, f"a body filter: {describeFailure(failure)}"))

    def _middlewareFailed(self, failure: Failure) -> None:
        if failure.check(ProxyError):
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
        if self._committed:
            self._finish(error)
            self._client.truncate()
            return
        self._download = None
        self._handle(error, 0)

    def _handle(self, error: ProxyError, index: int) -> None:
        """Ask the error handlers from the one numbered C{index} on, then the built-in page."""
        handlers = self.route.errorHandlers if self.route is not None else self._engine.errorHandlers
        while index < len(handlers):
            handler = handlers[index]
            index += 1
            try:
                result = handler.handle(self.inbound, error)
            except Exception:
                self._handlerFailed(handler, Failure())
                continue
            if isPending(result):
                self._waiting = whenSettled(
                    result,
                    self._engine.reactor,
                    self._engine.settings.hookTimeout,
                    lambda value: self._handled(handler, index, error, value),
                    lambda failure: (self._handlerFailed(handler, failure), self._handle(error, index))[1],
                )
                return
            if result is not None:
                self._handled(handler, index, error, result)
                return
        accept: str = self.inbound.headers.get("accept", "")
        self._answer(errorPage(error.kind, accept, self.inbound.id))

    def _handled(self, handler: Any, index: int, error: ProxyError, result: Any) -> None:
        self._waiting = None
        if isinstance(result, Response):
            self._answer(result)
            return
        if result is not None:
            wrong = TypeError(f"handle returned a {type(result).__name__}; it may return None or a Response")
            self._handlerFailed(handler, Failure(wrong))
        self._handle(error, index)

    def _handlerFailed(self, handler: Any, failure: Failure) -> None:
        _log.failure("Error handler {plugin} failed (request {request})", failure, plugin=nameOf(handler), request=self.inbound.id)

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
        if not self.inbound.body.ended:
            self.inbound.body.failed(error)
        self.error = error
        self._endAttempt(error.kind.reason)
        self._finish(error)
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.cancel()
        proceeding = self._proceeding
        if proceeding is not None and not proceeding.called:
            proceeding.errback(error)

    def _finish(self, error: ProxyError | None) -> None:
        """It is over; the log gets what there is to tell."""
        if not self._finished:
            self._finished = True
            self.error = error
            if error is not None and error.kind.fault is Fault.CLIENT and self.code == 0:
                self.code = error.kind.status
            self._engine.exchangeFinished(self)


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
