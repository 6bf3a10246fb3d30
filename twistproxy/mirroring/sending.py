"""A copy on its way to an upstream, and what comes back, which nobody gets.

It is asked for as an exchange asks, by L{twistproxy.exchange.asking}: the pool's balancer picks, its connections serve, its
health checks learn from it. But there is no client: nothing is held back for one, and nothing of it reaches one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from twistproxy.calling.hooks import describeFailure, nameOf
from twistproxy.engine import Route
from twistproxy.errors import DRAINING, NO_UPSTREAM, QUEUE_FULL, UPSTREAM_PROTOCOL, UPSTREAM_TIMEOUT, ErrorKind, ProxyError
from twistproxy.exchange.asking import Asking
from twistproxy.messages import Item, Response, Try, Upstream
from twistproxy.mirroring.copying import Copied
from twistproxy.settings import Settings
from twistproxy.sweep import NEVER
from twistproxy.upstream.group import UpstreamGroup
from twistproxy.wire.http1 import ResponseHead

if TYPE_CHECKING:
    from twistproxy.engine import Engine

_PLAIN: Final = Route(None)
"""Without plugins: what a route's do was done to the original."""


def settingsForCopies(settings: Settings) -> Settings:
    """Those by which copies are sent: each is tried once, and waits in no line."""
    return settings.with_(maxTries=1, tryTimeout=0.0, triesTimeout=0.0, queueTimeout=0.0, explain=False)


class Copy:
    """One copy; the L{twistproxy.exchange.asker.Asker} of its attempt. It begins in the reactor's next turn.

    @ivar code: the status of the answer; 0 before, and without one.
    @ivar error: what it failed with; None for an answer that is complete, or as long as it need be.
    @ivar headTime: seconds from its beginning to the head of the answer; None without one.
    @ivar answer: that head.
    @ivar deadline: see L{twistproxy.sweep.Watched}.
    """

    upstream: Upstream | None = None
    attempts = 0
    tries: tuple[Try, ...] = ()
    code = 0
    error: ProxyError | None = None
    headTime: float | None = None
    answer: ResponseHead | None = None
    started = 0.0
    deadline = NEVER
    _asking: Asking | None = None
    _received = 0
    _isOver = False

    def __init__(
        self,
        engine: Engine,
        copied: Copied,
        settings: Settings,
        pool: str,
        timeout: float,
        maxAnswer: int,
        ended: Callable[[Copy], object],
    ) -> None:
        """
        @param settings: of L{settingsForCopies}.
        @param timeout: seconds for all of it.
        @param maxAnswer: bytes of an answer's body that are read.
        @param ended: called once, when it was answered or was not, as C{code} and C{error} say.
        """
        self._engine = engine
        self._ended = ended
        self.copied = copied
        self.inbound = copied.inbound
        self.outbound = copied.outbound
        self.settings = settings
        self._pool = pool
        self._timeout = timeout
        self._maxAnswer = maxAnswer
        engine.errands.add(self)
        self._starting: IDelayedCall | None = engine.reactor.callLater(0, self._start)

    def __repr__(self) -> str:
        return f"<Copy {self.outbound!r} for {self._pool}>"

    def _start(self) -> None:
        """Go, unless there is nobody to go to, or no room."""
        engine = self._engine
        self._starting = None
        self.started = engine.seconds()
        group = engine.groups.get(self._pool)
        if group is None:
            self.fail(ProxyError(NO_UPSTREAM, f"there is no pool {self._pool} any more"))
        elif self._isFull(group):
            self.fail(ProxyError(QUEUE_FULL, f"pool {self._pool} is full"))
        else:
            self.deadline = engine.sweeper.after(self._timeout)
            engine.sweeper.watch(self)
            self._asking = asking = Asking(engine, self, _PLAIN, self.copied.head, b"")
            asking.ask(group)

    def _isFull(self, group: UpstreamGroup) -> bool:
        room = self._engine.pools.room
        return bool(room.full) and bool(group.candidates) and not room.withRoom(group.candidates)

    # From the attempt: twistproxy.exchange.asker.Asker.

    def responseReceived(self, head: ResponseHead) -> None:
        """The answer begins."""
        self.code = head.code
        self.answer = head
        self.headTime = self._engine.seconds() - self.started
        if head.code == 101:
            self._abandon(ProxyError(UPSTREAM_PROTOCOL, "a 101 that was not asked for"), UPSTREAM_PROTOCOL.reason)

    def responseDataReceived(self, data: bytes) -> None:
        """A piece that nobody gets."""
        self._received += len(data)
        if self._received > self._maxAnswer:
            self._abandon(None, "")  # the upstream did its part

    def responseEnded(self, trailers: list[Item]) -> None:
        """That was all."""
        self._end(None)

    def fail(self, error: ProxyError) -> None:
        """Nobody answered."""
        self._end(error)

    def hookFailed(self, plugin: Any, hook: str, kind: ErrorKind, failure: Failure) -> bool:
        """The balancer failed."""
        self._end(ProxyError(kind, f"{nameOf(plugin)}.{hook}: {describeFailure(failure)}"))
        return False

    def uploadPaused(self) -> None:
        """All of the body was given already; the transport holds it."""

    def uploadResumed(self) -> None:
        """As above."""

    def informationReceived(self, head: ResponseHead) -> None:
        """A 1xx: nobody waits for it."""

    def segmentEnded(self) -> None:
        """There is nothing to write."""

    def tunnelOpened(self) -> None:
        """Never: no CONNECT is copied."""

    def relayedTo(self) -> None:
        """Nowhere."""

    def bodySent(self, size: int) -> None:
        """Never."""

    def roundTripped(self, response: Response) -> None:
        """Never: copies go by HTTP/1.1."""

    # Ends.

    def deadlinePassed(self) -> None:
        """All of it took too long."""
        self._abandon(ProxyError(UPSTREAM_TIMEOUT, f"the copy took more than {self._timeout:g} s"), UPSTREAM_TIMEOUT.reason)

    def abort(self) -> None:
        """L{twistproxy.engine.Errand}: the proxy ends."""
        starting, self._starting = self._starting, None
        if starting is not None:
            starting.cancel()
        self._abandon(ProxyError(DRAINING), DRAINING.reason)

    def _abandon(self, error: ProxyError | None, reason: str) -> None:
        """Cut the connection.

        @param reason: the word for the balancer; empty when the upstream did its part.
        """
        asking = self._asking
        if asking is not None:
            asking.abandon(reason)
        self._end(error)

    def _end(self, error: ProxyError | None) -> None:
        if self._isOver:
            return
        self._isOver = True
        self.error = error
        self.deadline = NEVER
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.attempt = None  # which leads back here
        engine = self._engine
        engine.sweeper.forget(self)
        self._ended(self)
        engine.errandEnded(self)
