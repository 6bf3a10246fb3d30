"""One attempt at one upstream: its connection, the request sent there, and what came back.

An attempt is one pick of a balancer, and reports exactly once. A pooled connection that turns out to be dead is
replaced by a fresh one within the same attempt; everything else that fails ends it, and the exchange decides.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from twistproxy.body import EMPTY
from twistproxy.errors import METHOD_NOT_ALLOWED, UPSTREAM_PROTOCOL, UPSTREAM_TIMEOUT, ProxyError
from twistproxy.forwarding import keepsTrailers
from twistproxy.messages import FrozenHeaders, Item, OutboundRequest, Outcome, Upstream
from twistproxy.outgoing import framingLines, requestHead
from twistproxy.settings import Settings
from twistproxy.splicing import Splicer
from twistproxy.sweep import Sweeper
from twistproxy.upgrade import TUNNEL
from twistproxy.upstream.connection import UpstreamConnection
from twistproxy.upstream.pool import Ticket
from twistproxy.wire.guard import CHUNKED, single
from twistproxy.wire.http1 import RequestHead, ResponseHead

if TYPE_CHECKING:
    from twistproxy.engine import Engine

_REPEATABLE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS", b"TRACE"})


def mayRepeat(method: bytes, headers: FrozenHeaders) -> bool:
    """Whether a request that an upstream may have seen can be sent again: safe methods, or the client says so.

    The rule of Go's transport for connections that turn out to be stale.
    """
    return method in _REPEATABLE or headers.hasHeader(b"idempotency-key") or headers.hasHeader(b"x-idempotency-key")


class AttemptOwner(Protocol):
    """What made an attempt, and decides what follows when it fails."""

    def attemptFailed(self, error: ProxyError, sent: bool) -> None:
        """It came to nothing.

        @param sent: whether any of the request may have reached the upstream.
        """


class ResponseOwner(Protocol):
    """The exchange that an attempt is made for."""

    def uploadPaused(self) -> None:
        """The upstream takes no more of the request for now."""

    def uploadResumed(self) -> None:
        """It takes more."""

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
    _connected: float | None = None
    _firstByte: float | None = None
    _reused = False
    _repeated = False
    _sent = False
    _ended = False
    _corked = False
    _informational = 0
    _replay: list[bytes] | None = None  # what was sent of a body that can be sent again

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
        if upgrade is TUNNEL:
            if self.upstream.guard is None:
                self._fail(ProxyError(METHOD_NOT_ALLOWED, "CONNECT to an upstream that is not for tunnels"))
            else:
                self._request(fresh=True)
            return
        connection = self._engine.pools.of(self.upstream).acquire()
        if connection is not None:
            self._reused = True
            self._send(connection)
        else:
            self._request(fresh=False)

    def _request(self, fresh: bool) -> None:
        try:
            self._ticket = ticket = self._engine.pools.of(self.upstream).request(self, fresh)
        except ProxyError as error:
            self._fail(error)
            return
        ticket.start()

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
            if self._replay is not None:
                for piece in self._replay:
                    connection.sendData(piece)
                if body.ended:
                    connection.sendEnd(body.trailers)
                else:
                    self._exchange.uploadResumed()
            else:
                if self._reused and contents is None and mayRepeat(outbound.method, outbound.headers):
                    self._replay = []
                body.attach(self)
            self._corked = False
        connection.flush()

    def bodyReceived(self, data: bytes) -> None:
        """A piece of the request's body is to be sent."""
        self.bytesIn += len(data)
        connection = self.connection
        if self._replay is not None:
            self._replay.append(data)
            if connection is not None and self.bytesIn > self._settings.maxReplayBytes:
                self._replay = None
        if connection is not None:
            connection.sendData(data)
            if not self._corked:
                connection.flush()

    def bodyEnded(self, trailers: list[Item]) -> None:
        """The request's body is complete."""
        connection = self.connection
        if connection is not None:
            connection.sendEnd(trailers)
            if not self._corked:
                connection.flush()

    def uploadPaused(self) -> None:
        """The upstream takes no more for now."""
        self._exchange.uploadPaused()

    def uploadResumed(self) -> None:
        """It takes more."""
        self._exchange.uploadResumed()

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
        self._replay = None
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
            and (self._replay is not None or outbound.body.contents is not None)
            and mayRepeat(outbound.method, outbound.headers)
        ):
            self._repeated = True
            self._reused = False
            self.bytesIn = 0 if self._replay is None else self.bytesIn
            if not outbound.body.ended:
                self._exchange.uploadPaused()  # until there is a connection: what comes nevertheless is kept
            self._request(fresh=True)
        else:
            self._fail(error)

    # Ending.

    def abandon(self, reason: str) -> None:
        """Nobody wants the rest of it: leave the queue, stop connecting, or cut the connection.

        @param reason: the word for the balancer; empty when the upstream did its part.
        """
        ticket, self._ticket = self._ticket, None
        if ticket is not None:
            ticket.cancel()
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abandon()
        self.end(reason)

    def _fail(self, error: ProxyError) -> None:
        connection, self.connection = self.connection, None
        if connection is not None:
            connection.abandon()
        self.end(error.kind.reason)
        self._owner.attemptFailed(error, self._sent)

    def end(self, reason: str) -> None:
        """Note the end with the upstream, and tell the balancer; the first call counts."""
        if self._ended:
            return
        self._ended = True
        upstream = self.upstream
        upstream.inFlight -= 1
        started = self._started
        firstByte = self._firstByte
        if firstByte is not None:
            firstByte -= started
            latency = upstream.latency
            upstream.latency = firstByte if latency is None else latency + 0.2 * (firstByte - latency)
        if self._report is not None:
            connected = None if self._connected is None else self._connected - started
            duration = self._engine.seconds() - started
            self._report(
                upstream,
                Outcome(
                    upstream, reason, self.code, connected, firstByte, duration, self.bytesIn, self.bytesOut, self._reused
                ),
            )
