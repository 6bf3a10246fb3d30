"""One request's life, from its head to the last byte of its answer: the state machine that joins the two halves.

It knows a client's stream and attempts at upstreams, but not how either frames its messages, nor how many exchanges a
client's connection carries. Its steps are plain methods, each calling the next: middleware, directors, pick, attempt,
response, modifiers, delivery, finish. A step whose hook returned an awaitable stops there, and its result goes on. Every
exchange ends in L{Exchange._finish}, once.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy import errors
from twistproxy.bodies.body import Body
from twistproxy.calling.chains import direct, handling, modify
from twistproxy.calling.hooks import Chain, describeFailure, nameOf
from twistproxy.calling.onion import Onion
from twistproxy.errors import ErrorKind, ProxyError
from twistproxy.exchange.answering import Answer
from twistproxy.exchange.asking import Asking
from twistproxy.exchange.attempt import UpstreamAttempt
from twistproxy.exchange.delivery import ClientStream
from twistproxy.exchange.destinations import destinationOf
from twistproxy.exchange.switching import switch
from twistproxy.exchange.upgrade import checkSwitchRequest, checkUpgradeAnswer
from twistproxy.forwarding import Identity, outboundBlock, outboundItems, relayedResponse, responseItems
from twistproxy.messages import InboundRequest, Item, OutboundRequest, Response, Try, Upstream
from twistproxy.tunnels.tunnel import Tunnel, TunnelStatistics
from twistproxy.wire.guard import CHUNKED, single
from twistproxy.wire.http1 import RequestHead, ResponseHead, encodeLines
from twistproxy.wire.lines import HeaderLines

if TYPE_CHECKING:
    from twistproxy.engine import Engine, Route

_log: Final = Logger(namespace="twistproxy.error")


def _plainItems(lines: HeaderLines, identity: Identity) -> list[Item]:
    """What L{outboundBlock} has encoded."""
    return outboundItems(lines.items, lines.connection, identity)[0]


class Exchange:
    """A request and its answer.

    @ivar inbound: the request as it came.
    @ivar outbound: the request that is sent on.
    @ivar route: what the configuration says about it; None before it was found.
    @ivar upstream: who was asked last; None for nobody.
    @ivar attempts: how many upstreams were asked.
    @ivar tries: each of them, where there is an access log; complete at the end.
    @ivar settings: those of the route, once it is found.
    @ivar tunnel: what the connections became after a 101.
    @ivar error: what it failed with, once it did.
    @ivar code: the status that the client got; 0 before.
    @ivar isClientPaused: whether the client takes no more for now.
    @ivar bytesOut: body bytes sent to the client, a tunnel's included.
    @ivar started: when, by the reactor's clock, in seconds.
    """

    route: Route | None = None
    upstream: Upstream | None = None
    attempts = 0
    tries: tuple[Try, ...] = ()
    error: ProxyError | None = None
    code = 0
    bytesOut = 0
    tunnel: Tunnel | None = None
    _asking: Asking | None = None
    _chain: Chain | None = None  # of plugins, the one that is waited for
    _onion: Onion | None = None  # the middleware around all this
    _answer: Answer | None = None  # the answer, when a plugin sees it or made it
    _upgrade = b""
    _isSwitching = False  # the upstream has switched protocols already
    _committed = False
    _isTelling = False  # an upstream's segment is being told, and C{segmentEnded} follows
    isClientPaused = _finished = False

    def __init__(self, engine: Engine, client: ClientStream, head: RequestHead, identity: Identity, body: Body) -> None:
        self._engine = engine
        self._client = client
        self._head = head
        self.settings = settings = engine.settings
        method, target, lines, scheme, address = head.method, head.target, head.lines, identity.scheme, identity.client
        block = None if engine.via or settings.forwarded else outboundBlock(lines, identity)
        if block is not None:
            makeItems = partial(_plainItems, lines, identity)
            outbound = OutboundRequest.fromBlock(method, target, block, makeItems, body, address, scheme)
        else:
            items, address = outboundItems(lines.items, lines.connection, identity, engine.via, settings.forwarded)
            outbound = OutboundRequest(method, target, items, body, address, scheme)
        self.outbound = outbound
        goal = destinationOf(head, identity.destination) if head.authority or identity.destination else None
        self.inbound = inbound = InboundRequest(method, target, lines, address, identity.peer, scheme, head.minor, goal, identity)
        inbound.body = body
        inbound.outbound = outbound
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
        try:
            if head.upgrade or head.method == b"CONNECT":
                self._upgrade = checkSwitchRequest(head, self._engine.acceptsConnect)
            self.route = route = self._engine.routeFor(self.inbound)
            if route is None:
                raise ProxyError(errors.NO_ROUTE)
            self.settings = route.settings or self.settings
            if head.length:
                self.inbound.body.limitTo(self.settings.maxBodyBytes, head.length)
        except ProxyError as error:
            self.fail(error)
            return
        if route.middleware:
            self._onion = onion = Onion(self, route.middleware, self._engine.sweeper, self.settings.hookTimeout)
            onion.run()
        elif route.directors:
            self.proceed()
        else:
            self.notDirected()

    def proceed(self) -> None:
        """Ask the directors, then the balancer."""
        assert self.route is not None
        clock, limit = self._engine.reactor, self.settings.hookTimeout
        direct(self, self.route.directors, self.inbound, self.outbound, clock, limit)

    def proceedingCancelled(self) -> None:
        """The middleware lost its patience."""
        self._stopChain()
        self._endAttempt(errors.UPSTREAM_TIMEOUT.reason)

    def directed(self, director: Any, result: Any) -> bool:
        """A director has answered: that ends their chain."""
        if isinstance(result, Response):
            self.answered(result)
        elif isinstance(result, Upstream):
            self._begin().askOnly(self._engine.known(result))
        elif isinstance(result, str) and result in self._engine.groups:
            self._begin().ask(self._engine.groups[result])
        else:
            what = f"no pool {result!r}" if isinstance(result, str) else f"a {type(result).__name__}"
            wrong = TypeError(f"direct returned {what}; it may return None, an Upstream, a pool's name or a Response")
            self.hookFailed(director, "direct", errors.DIRECTOR_ERROR, Failure(wrong))
        return False

    def _begin(self) -> Asking:
        """What asks upstreams for us, from now on."""
        route = self.route
        assert route is not None
        self._asking = asking = Asking(self._engine, self, route, self._head, self._upgrade)
        if self._head.expectsContinue:
            self._engine.offerContinue(self._client, self)
        return asking

    def notDirected(self) -> None:
        """No director has answered: ask the route's pool."""
        assert self.route is not None
        self._begin().ask(self.route.group)

    # From the attempts.

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
        encoded = relayedResponse(head.lines)
        announced = b", ".join(single(head.items, b"trailer")) if head.length == CHUNKED else b""
        isSeen = route.touchesResponses or (self._onion is not None and self._onion.seesAnswers)
        if not isSeen and self.outbound.method == self.inbound.method:
            items = [] if self._client.takesEncoded else responseItems(head.items, head.connection)
            if self._engine.via:
                items.append(via := (b"via", b"Via", b"1.1 " + self._engine.via))
                encoded += encodeLines([via])
            self._committed = True
            self.code = head.code
            self._client.sendHead(head.code, head.phrase, items, head.length, announced, encoded)
            return
        items = responseItems(head.items, head.connection)
        response = Response.received(head.code, head.phrase, items, self.upstream)
        if self._asking is not None and self._asking.isRefused(response):
            return
        # The rest of the segment follows at once: what there is of the body goes out with the head.
        self._isTelling = True
        self._answer = Answer(self, self._client, response, head.length, announced, encoded)
        self._modify(response)
        self._isTelling = False

    def roundTripped(self, response: Response) -> None:
        """A round tripper has the answer."""
        self._answer = Answer(self, self._client, response)
        self._modify(response)

    def responseDataReceived(self, data: bytes) -> None:
        """A piece of the answer's body."""
        if self._answer is None:
            self.bytesOut += len(data)
            self._client.sendData(data)
            return
        try:
            self._answer.dataReceived(data)
        except Exception:
            self._filterFailed()

    def responseEnded(self, trailers: list[Item]) -> None:
        """The upstream's answer is complete; its connection is the pool's again."""
        if self._asking is not None:
            self._asking.attempt = None
        if self._answer is None:
            self._finish(None)
            self._client.sendEnd(trailers)
            return
        try:
            self._answer.ended(trailers)
        except Exception:
            self._filterFailed()

    def segmentEnded(self) -> None:
        """Write what came at once, at once."""
        self._client.flush()

    def relayedTo(self) -> ClientStream | None:
        """The client, if the rest of the answer's body goes there as it comes, and need not pass here."""
        return self._client if self._committed and self._answer is None else None

    # The answer.

    def _modify(self, response: Response) -> None:
        """Have the modifiers look at an upstream's answer."""
        assert self.route is not None
        modify(self, self.route.modifiers, self.inbound, response, self._engine.reactor, self.settings.hookTimeout)

    def answered(self, response: Response) -> None:
        """There is an answer: to the middleware that waits for it, or to the client."""
        if self._onion is not None and self._onion.isWaiting:
            self._onion.answered(response)
        else:
            self._deliver(response)

    def surrounded(self, result: Response | Failure) -> None:
        """The middleware is through."""
        try:
            if not isinstance(result, Failure):
                self._deliver(result)
            elif isinstance(result.value, ProxyError):
                self._failOutside(result.value)
            else:
                result.raiseException()
        except Exception:
            if not self._finished:
                failure = Failure()
                _log.failure("An exchange failed (request {request})", failure, request=self.inbound.id)
                self._failOutside(ProxyError(errors.INTERNAL, describeFailure(failure)))

    def _deliver(self, response: Response) -> None:
        """Send the client an answer, be it an upstream's or a plugin's."""
        if self._finished or self._committed:
            return
        if response.code == 101 or (response.code < 300 and self._head.method == b"CONNECT"):
            self._switch(response)
            return
        answer = self._answer
        if answer is None or self._isSwitching:
            self.answerUnwanted()
        if answer is None:
            self._answer = answer = Answer(self, self._client, response)
        if self._engine.via and response.upstream is not None:
            response.headers.addRawHeader(b"Via", b"1.1 " + self._engine.via)
        self._committed = True
        self.code = response.code
        try:
            if answer.deliver(response, self.inbound.method == b"HEAD", self.outbound.method == b"HEAD"):
                self._answer = None  # its body goes to the client as it comes
        except Exception:
            self._filterFailed()
            return
        if not self._isTelling:
            self._client.flush()

    # From the answer.

    def pauseResponse(self) -> None:
        """Have the upstream send no more for now."""
        if self._asking is not None:
            self._asking.pauseResponse()

    def resumeResponse(self) -> None:
        """Have it go on, unless the client or a stage is what holds it up."""
        if not (self.isClientPaused or self._asking is None or (self._answer is not None and self._answer.holds)):
            self._asking.resumeResponse()

    def answerUnwanted(self) -> None:
        """What the upstream may still send goes nowhere: its connection is cut, though it did its part."""
        self._endAttempt("")

    def bodySent(self, size: int) -> None:
        """So many bytes of body went to the client."""
        self.bytesOut += size

    def answerDelivered(self, trailers: list[Item]) -> None:
        """All of the answer went to the client."""
        if not self._finished:
            self._finish(self.error)
            self._client.sendEnd(trailers)

    # Upgrades.

    def _upgradeAnswered(self, head: ResponseHead) -> None:
        """The upstream switches protocols: if that was asked for, so do we, after the modifiers."""
        try:
            self._upgrade = checkUpgradeAnswer(self._upgrade, head, self.settings.lenientUpgrade)
        except ProxyError as error:
            self.fail(error)
            return
        self._mayTunnel(101, head.phrase, responseItems(head.items, head.connection))

    def tunnelOpened(self) -> None:
        """What a CONNECT asked for is there: the client learns it, after the modifiers."""
        self._mayTunnel(200, b"Connection established", [])

    def _mayTunnel(self, code: int, phrase: bytes, items: list[Item]) -> None:
        response = Response.received(code, phrase, items, self.upstream)
        self._isSwitching = True
        self._answer = Answer(self, self._client, response)
        self._modify(response)

    def _switch(self, response: Response) -> None:
        """Send the head and splice."""
        attempt = None if self._asking is None else self._asking.attempt
        if not self._isSwitching or not isinstance(attempt, UpstreamAttempt) or attempt.connection is None:
            self._failOutside(ProxyError(errors.INTERNAL, f"a plugin answered {response.code} by itself"))
            return
        self._committed = True
        self.code = response.code
        self.tunnel = switch(self._client, attempt, self.inbound, response, self._upgrade, self.settings, self._tunnelEnded)

    def _tunnelEnded(self, statistics: TunnelStatistics) -> None:
        self.bytesOut = statistics.fromUpstream
        self._asking = None
        self._finish(statistics.error)

    # Hooks.

    def runChain(self, chain: Chain) -> None:
        """Run a chain of plugins, which is cancelled when the exchange ends before it."""
        self._chain = chain
        chain.run()

    def _stopChain(self) -> None:
        """Nobody wants the answer of the plugin that is waited for."""
        chain, self._chain = self._chain, None
        if chain is not None:
            chain.cancel()

    def hookFailed(self, plugin: Any, hook: str, kind: ErrorKind, failure: Failure) -> bool:
        """A plugin raised, returned nonsense or took too long.

        @return: False: its chain is over.
        """
        if self._finished:
            return False
        error = failure.value
        if isinstance(error, ProxyError):
            self.fail(error)
            return False
        detail = describeFailure(failure)
        _log.failure("Plugin {plugin} failed in {hook}: {detail} (request {request})", failure,
                     plugin=nameOf(plugin), hook=hook, detail=detail, request=self.inbound.id)  # fmt: skip
        self.fail(ProxyError(kind, f"{nameOf(plugin)}.{hook}: {detail}"))
        return False

    def _filterFailed(self) -> None:
        """A body filter raised: the client must not take what it has for the whole."""
        failure = Failure()
        _log.failure("A body filter failed (request {request})", failure, request=self.inbound.id)
        self.fail(ProxyError(errors.MODIFIER_ERROR, f"a body filter: {describeFailure(failure)}"))

    # Ends.

    def _endAttempt(self, reason: str) -> None:
        """Whatever upstreams still do is not wanted."""
        if self._asking is not None:
            self._asking.abandon(reason)

    def fail(self, error: ProxyError) -> None:
        """It failed: answer with an error, or break off the answer that was begun."""
        if self._finished:
            return
        self._endAttempt(error.kind.reason)
        onion = self._onion
        if self._committed or onion is None or not onion.isWaiting:
            self._failOutside(error)
            return
        if self._answer is not None:
            self._answer.failed(error)
        if onion.isWaiting:  # else the modifier that was reading it has answered
            self._stopChain()
            onion.failed(error)

    def _failOutside(self, error: ProxyError) -> None:
        """The same, outside of all middleware."""
        if self._finished:
            return
        self._endAttempt(error.kind.reason)
        self.error = error
        if self._answer is not None:
            self._answer.failed(error)
            if self.isOver:
                return  # the plugin that was reading it has answered
        self._stopChain()
        if self._committed or error.isSilent:
            self._finish(error)
            self._client.truncate()
            return
        self._answer = None
        self._handle(error)

    def _handle(self, error: ProxyError) -> None:
        """Ask the error handlers, then make the built-in page."""
        handlers = self._engine.errorHandlers if self.route is None else self.route.errorHandlers
        self.runChain(handling(handlers, self.inbound, error, self._engine.reactor, self.settings.hookTimeout, self._deliver))

    def clientPaused(self) -> None:
        """The client takes no more for now."""
        self.isClientPaused = True
        if self._answer is None or not self._answer.clientPaused():
            self.pauseResponse()

    def clientResumed(self) -> None:
        """It takes more."""
        self.isClientPaused = False
        self.resumeResponse()

    def clientFailed(self, error: ProxyError) -> None:
        """The rest of the request is malformed, too large or too late."""
        if self._head.length and not self.inbound.body.ended:
            self.inbound.body.failed(error)
        self._failOutside(error)

    def clientLost(self, detail: str = "") -> None:
        """The client went away: nothing of this is wanted any more."""
        if self._finished:
            return
        error = ProxyError(errors.CLIENT_CLOSED, detail)
        self._endAttempt(error.kind.reason)
        self._finish(error)
        if not self.inbound.body.ended:
            self.inbound.body.failed(error)
        if self._answer is not None:
            self._answer.failed(error)

    def _finish(self, error: ProxyError | None) -> None:
        """It is over; the log gets what there is to tell."""
        if not self._finished:
            self._finished = True
            self.error = error
            if error is not None:
                error.__traceback__ = None  # its frames lead back to here: this would not be freed before the next collection
                self.code = self.code or error.unsentStatus
            if self._chain is not None:
                self._stopChain()
            if self._onion is not None:
                onion, self._onion = self._onion, None
                onion.release(error)
            if self._asking is None or self._asking.attempt is None:
                self._asking = self._answer = None  # or each would keep the other until the garbage is collected
            self._engine.exchangeFinished(self)
