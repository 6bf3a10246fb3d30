"""One attempt at one upstream: its connection, the request sent there, and what came back.

An attempt is one pick of a balancer, and reports exactly once. A pooled connection that turns out to be dead is
replaced by a fresh one within the same attempt; everything else that fails ends it, and the exchange decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from twistproxy.bodies.body import EMPTY
from twistproxy.bodies.replay import Replay
from twistproxy.bodies.uploading import BodyOutlet
from twistproxy.errors import METHOD_NOT_ALLOWED, TRY_TIMEOUT, UPSTREAM_PROTOCOL, UPSTREAM_TIMEOUT, ProxyError
from twistproxy.exchange.outgoing import framingLines, requestHead
from twistproxy.exchange.retrying import hasIdempotencyKey
from twistproxy.exchange.upgrade import TUNNEL
from twistproxy.forwarding import keepsTrailers
from twistproxy.messages import FrozenHeaders, InboundRequest, Item, OutboundRequest, Outcome, Upstream
from twistproxy.settings import Settings
from twistproxy.sweep import Sweeper
from twistproxy.transports.splicing import Flow, FlowSource, Splicer
from twistproxy.upstream.announcement import announcement
from twistproxy.upstream.connection import UpstreamConnection
from twistproxy.upstream.pool import ConnectionPool, Ticket
from twistproxy.upstream.waiting import Place
from twistproxy.wire.guard import CHUNKED, single
from twistproxy.wire.http1 import RequestHead, ResponseHead

if TYPE_CHECKING:
    from twistproxy.engine import Engine
    from twistproxy.exchange.delivery import ClientStream

_REPEATABLE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})


def mayRepeat(method: bytes, headers: FrozenHeaders) -> bool:
    """Whether a request that an upstream may have seen can be sent again: safe methods, or the client says so.

    The rule of Go's transport for connections that turn out to be stale.
    """
    return method in _REPEATABLE or hasIdempotencyKey(headers)


class AttemptOwner(Protocol):
    """What made an attempt, and decides what follows when it fails."""

    def bodyToSend(self) -> BodyOutlet | Replay:
        """Where the request's body comes from: through a L{Replay} when it may have to be sent again."""

    def uploadPaused(self) -> None:
        """The upstream takes no more of the request for now."""

    def uploadResumed(self) -> None:
        """It takes more."""

    def holdBody(self) -> bool:
        """The request is to be sent again, when there is a connection; until then its body waits.

        @return: whether that is possible, since nothing of the body is gone.
        """

    def attemptEnded(self, outcome: Outcome) -> None:
        """It is over; told where there is an access log, or somebody watches the request."""

    def attemptFailed(self, error: ProxyError, sent: bool) -> None:
        """It came to nothing.

        @param sent: whether any of the request may have reached the upstream.
        """


class ResponseOwner(Protocol):
    """The exchange that an attempt is made for."""

    inbound: InboundRequest

    def informationReceived(self, head: ResponseHead) -> None:
        """A 1xx other than 101."""

    def responseReceived(self, head: ResponseHead) -> None:
        """The final head, or a 101."""

    def responseDataReceived(self, data: bytes) -> None:
        """A piece of the body."""

    def responseEnded(self, trailers: list[Item]) -> None:
        """The answer is complete, and the attempt reported."""

    def segmentEnded(self) -> None:
        """All that came at once was told."""

    def tunnelOpened(self) -> None:
        """The connection that a CONNECT asked for is there."""

    def relayedTo(self) -> ClientStream | None:
        """The client, if the rest of the body goes there as it comes."""

    def bodySent(self, size: int) -> None:
        """So many bytes of body went to the client, by the kernel."""


class UpstreamAttempt:
    """An attempt under way. It is the waiter for and the user of a connection, and the sink of the request's body.

    @ivar code: the upstream's status; 0 before.
    @ivar connection: in use by this attempt, while it is.
    @ivar bytesIn: body bytes sent.
    @ivar bytesOut: body bytes received.
    """

    code = 0
    bytesIn = 0
    bytesOut = 0
    connection: UpstreamConnection | None = None
    _ticket: Ticket | None = None
    _header = b""  # of the PROXY protocol
    _place: Place | None = None  # in the line for a fresh connection
    _timer: Any = None
    _connected: float | None = None
    _firstByte: float | None = None
    _reused = False
    _repeated = False
    _sent = False
    _ended = False
    _corked = False
    _broken = False
    _informational = 0

    def __init__(
        self,
        engine: Engine,
        exchange: ResponseOwner,
        owner: AttemptOwner,
        settings: Settings,
        head: RequestHead,
        outbound: OutboundRequest,
        upstream: Upstream,
        report: Callable[[Upstream, Outcome], None] | None,
    ) -> None:
        """
        @param settings: those of the route.
        @param report: tells the balancer that picked; None when a director chose.
        """
        self._engine = engine
        self._exchange = exchange
        self._owner = owner
        self._settings = settings
        self._head = head
        self._outbound = outbound
        self.upstream = upstream
        self._report = report
        self._started = engine.seconds()
        upstream.inFlight += 1

    @property
    def sweeper(self) -> Sweeper:
        """What keeps its time."""
        return self._engine.sweeper

    @property
    def splicer(self) -> Splicer:
        """What leaves bytes to the kernel."""
        return self._engine.splicer

    # Getting a connection.

    def begin(self, upgrade: bytes) -> None:
        """Go.

        @param upgrade: the protocol to ask for; empty for none.
        """
        self._upgrade = upgrade
        pools, upstream = self._engine.pools, self.upstream
        pool = pools.known.get(upstream.key) or pools.of(upstream)
        if upgrade is TUNNEL:
            if upstream.guard is None:
                self._fail(ProxyError(METHOD_NOT_ALLOWED, "CONNECT to an upstream that is not for tunnels"))
            else:
                self._connect(pool)
            return
        if upstream.proxyProtocol is None:
            connection = pool.acquire()
        else:
            self._header = announcement(upstream.proxyProtocol, self._exchange.inbound)
            connection = pool.acquireFor(self._header)
        if connection is not None and self._outbound.method not in _REPEATABLE:
            connection = self._livingOf(pool, connection)
        if connection is not None:
            self._reused = True
            self._send(connection)
        else:
            self._openWhenRoom(pool)

    def _livingOf(self, pool: ConnectionPool, connection: UpstreamConnection | None) -> UpstreamConnection | None:
        """An idle connection that has not ended, for a request that could not be sent again.

        Edge-case 11: upstreams close a connection when they have answered before they had read the request, or after so many.
        In the turn in which the reactor tells of that, other events may come first, such as the next request.

        @param connection: the first.
        """
        while connection is not None and connection.hasEnded():
            connection.close()
            connection = pool.acquireFor(self._header) if self._header else pool.acquire()
        return connection

    def limit(self, seconds: float) -> None:
        """Fail unless the response's head comes within this."""
        self._timer = self._engine.reactor.callLater(seconds, self._late, seconds)

    def _late(self, seconds: float) -> None:
        self._timer = None
        if not self.code:
            self._fail(ProxyError(TRY_TIMEOUT, f"no answer within {seconds:.3g} s"))

    def _connect(self, pool: ConnectionPool) -> None:
        """There is room for a connection: open it."""
        self._ticket = ticket = pool.request(self, self._header)
        pool.open(ticket)

    def connectionReady(self, connection: UpstreamConnection) -> None:
        """The pool has a connection for us."""
        self._ticket = None
        self._reused = connection.served > 0
        self._connected = self._engine.seconds()
        if self._upgrade is TUNNEL:
            self.connection = connection
            self.code, self._firstByte = 200, self._connected
            connection.hold(self, self._settings)
            self._exchange.tunnelOpened()
        else:
            self._send(connection)

    def connectionFailed(self, error: ProxyError) -> None:
        """There is none."""
        self._ticket = None
        self._fail(error)

    # Sending.

    def _send(self, connection: UpstreamConnection) -> None:
        self.connection = connection
        head, outbound = self._head, self._outbound
        body = outbound.body
        contents = body.contents
        length = head.length if contents is None else len(contents)
        chunked = length == CHUNKED
        location = self.upstream.location
        framing = b""
        if chunked or self._upgrade or head.mentionsTe:
            announced = b", ".join(single(head.items, b"trailer")) if chunked else b""
            framing = framingLines(length, head.mentionsTe and keepsTrailers(head.items), announced, self._upgrade)
        touched = outbound.isTouched or (contents is not None and body is not EMPTY)
        inboundHosts = single(head.items, b"host") if location.isSecure else ()
        block = requestHead(outbound, location, length, touched, framing, inboundHosts)
        self._sent = True
        connection.begin(self, block, outbound.method == b"HEAD", chunked, self._settings)
        if body is EMPTY:
            connection.sendEnd([])
        else:
            self._corked = True
            self._owner.bodyToSend().attach(self)
            self._corked = False
            if self.connection is not connection:
                return  # a stage has broken it off
        connection.flush()

    def bodyReceived(self, data: bytes) -> None:
        """A piece of the request's body is to be sent."""
        self.bytesIn += len(data)
        connection = self.connection
        if connection is not None:
            connection.sendData(data)
            if not self._corked:
                connection.flush()

    def spliceBody(self, source: FlowSource, transport: Any, length: int) -> Flow | None:
        """L{twistproxy.bodies.body.BodySink}."""
        connection = self.connection
        if connection is None or not self._settings.splice:
            return None
        return connection.spliceRequest(self._engine.splicer, source, transport, length)

    def bodySpliced(self, size: int) -> None:
        """L{twistproxy.bodies.body.BodySink}."""
        self.bytesIn += size

    def bodyEnded(self, trailers: list[Item]) -> None:
        """The request's body is complete."""
        connection = self.connection
        if connection is not None:
            connection.sendEnd(self._exchange.inbound.trailersToSend(trailers) if trailers else trailers)
            if not self._corked:
                connection.flush()

    def bodyBroken(self) -> None:
        """L{twistproxy.bodies.uploading.UploadSink}."""
        self._broken = True

    def uploadPaused(self) -> None:
        """The upstream takes no more for now."""
        self._owner.uploadPaused()

    def uploadResumed(self) -> None:
        """It takes more."""
        self._owner.uploadResumed()

    # Receiving.

    def informationReceived(self, head: ResponseHead) -> None:
        """A 1xx; there is a limit to them."""
        self._informational += 1
        if self._informational > self._settings.maxInformational:
            self._fail(ProxyError(UPSTREAM_PROTOCOL, "too many 1xx answers"))
        else:
            self._exchange.informationReceived(head)

    def responseReceived(self, head: ResponseHead) -> None:
        """The final head, or a 101."""
        self.code = head.code
        self._firstByte = self._engine.seconds()
        self._exchange.responseReceived(head)

    def responseDataReceived(self, data: bytes) -> None:
        """A piece of the body."""
        self.bytesOut += len(data)
        self._exchange.responseDataReceived(data)

    def responseEnded(self, trailers: list[Item]) -> None:
        """The answer is complete; the connection is the pool's again."""
        self.connection = None
        self.end("")
        self._exchange.responseEnded(trailers)

    def segmentEnded(self) -> None:
        """All that came at once was told."""
        self._exchange.segmentEnded()

    def spliceResponse(self, source: FlowSource, transport: Any, length: int) -> Flow | None:
        """Have the kernel take so much of the body from C{transport} to the client, if that can be."""
        client = self._exchange.relayedTo()
        return None if client is None else client.spliceAnswer(source, transport, length)

    def responseSpliced(self, size: int) -> None:
        """The kernel has taken so much of the body."""
        self.bytesOut += size
        self._exchange.bodySent(size)

    def upstreamFailed(self, error: ProxyError, answered: bool) -> None:
        """The connection is gone, the answer not complete.

        Edge-case 11: an idle connection that the upstream was just closing. Nothing came back, so a request that may be
        repeated and still can is sent once more, on a fresh connection; the upstream is not to blame for it.
        """
        self.connection = None
        outbound = self._outbound
        if (
            self._reused
            and not answered
            and not self._repeated
            and error.kind is not UPSTREAM_TIMEOUT
            and mayRepeat(outbound.method, outbound.headers)
            and self._owner.holdBody()
        ):
            self._repeated = True
            self._reused = False
            self.bytesIn = 0
            self._openWhenRoom(self._engine.pools.of(self.upstream))
        else:
            self._fail(error)

    def _openWhenRoom(self, pool: ConnectionPool) -> None:
        """On a fresh connection, as soon as there is room for one: there may be none in the place of one that broke."""
        if not pool.isFull:
            self._connect(pool)
            return
        try:
            self._place = self._engine.pools.room.line(self.upstream.key).join(self, self._settings.queueTimeout)
        except ProxyError as error:
            self._fail(error)

    # In the line: twistproxy.upstream.waiting.Waiter.

    def accepts(self, key: str) -> bool:
        """This upstream and no other."""
        return key == self.upstream.key

    def mayGoOn(self) -> bool:
        """Only when there is room."""
        return False

    def turnCame(self) -> None:
        """There is."""
        self._place = None
        self._connect(self._engine.pools.of(self.upstream))

    def waitedInVain(self, error: ProxyError) -> None:
        """There was none for too long."""
        self._place = None
        self._fail(error)

    # Ending.

    def abandon(self, reason: str) -> None:
        """Nobody wants the rest of it: leave the queue, stop connecting, or cut the connection.

        @param reason: the word for the balancer; empty when the upstream did its part.
        """
        self._release()
        self.end(reason)

    def _fail(self, error: ProxyError) -> None:
        self._release()
        self.end(error.kind.reason)
        self._owner.attemptFailed(error, self._sent)

    def _release(self) -> None:
        """Leave the line, stop connecting, cut the connection: whatever there is to do."""
        place, self._place = self._place, None
        if place is not None:
            place.leave()
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            ticket.cancel()
        connection, self.connection = self.connection, None
        if connection is not None:
            if self._broken:
                connection.breakOff()
            else:
                connection.abandon()

    def _stopTimer(self) -> None:
        timer, self._timer = self._timer, None
        timer.cancel()

    def end(self, reason: str) -> None:
        """Note the end with the upstream, and tell the balancer; the first call counts."""
        if self._ended:
            return
        self._ended = True
        if self._timer is not None:
            self._stopTimer()
        upstream = self.upstream
        upstream.inFlight -= 1
        started = self._started
        firstByte = self._firstByte
        if firstByte is not None:
            firstByte -= started
            latency = upstream.latency
            upstream.latency = firstByte if latency is None else latency + 0.2 * (firstByte - latency)
        report, isTold = self._report, self._engine.accessLogs or self._exchange.inbound.watchers
        if report is None and not isTold:
            return
        connected = None if self._connected is None else self._connected - started
        duration = self._engine.seconds() - started
        outcome = Outcome(
            upstream, reason, self.code, connected, firstByte, duration, self.bytesIn, self.bytesOut, self._reused
        )
        if report is not None:
            report(upstream, outcome)
        if isTold:
            self._owner.attemptEnded(outcome)
