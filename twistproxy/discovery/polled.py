"""A source that asks again and again: after the time that the answer holds, and after a growing one when it fails."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final

from attrs import frozen
from twisted.application.internet import backoffPolicy
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from twistproxy.discovery.entries import EntryReader
from twistproxy.discovery.subject import Observer, Subject
from twistproxy.interfaces import IUpstreamSource

_log: Final = Logger(namespace="twistproxy.discovery")
_MAX_DELAY: Final = 30.0
"""Seconds: the longest wait after a failure."""


@frozen
class Answer:
    """What was found.

    @ivar entries: as for L{EntryReader}; None: the same as before.
    @ivar seconds: for how long that holds.
    """

    entries: Sequence[object] | None
    seconds: float


@implementer(IUpstreamSource)
class Polled(Service):
    """Asks for as long as it runs, never twice at a time. A failure leaves what was found before."""

    def __init__(
        self,
        reactor: Any,
        name: str,
        reader: EntryReader,
        find: Callable[[], Coroutine[Any, Any, Answer]],
        between: tuple[float, float],
        limit: float,
    ) -> None:
        """
        @param name: what is asked, for the log.
        @param reader: makes upstreams of entries.
        @param find: asks once; what it raises is logged, once for each reason.
        @param between: the shortest and the longest time from one answer to the next question, in seconds.
        @param limit: seconds that asking may take.
        @raise ValueError: when these times make no sense.
        """
        if not 0 < between[0] <= between[1]:
            raise ValueError("the shortest time to the next question is more than none, and not more than the longest")
        if limit <= 0:
            raise ValueError("timeout: more than no time")
        self._reactor = reactor
        self._reader = reader
        self._subject = Subject(name)
        self._find = find
        self._between = between
        self._limit = limit
        self._delay = backoffPolicy(initialDelay=1.0, maxDelay=_MAX_DELAY, factor=2.0)
        self._next: IDelayedCall | None = None
        self._asking: Deferred[Any] | None = None
        self._problem = ""
        self._failures = 0

    def subscribe(self, observer: Observer) -> Callable[[], None]:
        """Tell C{observer} all upstreams, once there is an answer, and at every change."""
        return self._subject.subscribe(observer)

    def startService(self) -> None:
        """Ask now, and from now on."""
        super().startService()  # type: ignore[no-untyped-call]
        self._ask()

    def stopService(self) -> None:
        """Ask no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if self._asking is not None:
            self._asking.cancel()

    def _ask(self) -> None:
        self._next = None
        asking: Deferred[Any] = Deferred.fromCoroutine(self._find())
        self._asking = asking
        asking.addTimeout(self._limit, self._reactor)
        asking.addCallback(self._answered)
        asking.addErrback(self._failed)

    def _answered(self, answer: Answer) -> None:
        self._asking = None
        if not self.running:
            return
        if answer.entries is not None:
            self._subject.tellEntries(self._reader, answer.entries)
        if self._problem:
            _log.info("{source}: there is an answer again", source=self._subject.name)
        self._problem, self._failures = "", 0
        least, most = self._between
        self._next = self._reactor.callLater(max(least, min(most, answer.seconds)), self._ask)

    def _failed(self, failure: Failure) -> None:
        self._asking = None
        if not self.running:
            return
        self._failures += 1
        kind, words = type(failure.value).__name__, failure.getErrorMessage()
        problem = f"{kind}: {words}" if words and words != "None" else kind
        if problem != self._problem:
            _log.warn("{source}: {problem}; what was found before stands", source=self._subject.name, problem=problem)
        self._problem = problem
        self._next = self._reactor.callLater(self._delay(self._failures), self._ask)
