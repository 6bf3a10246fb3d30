"""Keeps the members of a pool as its sources tell them, beside those that are written down.

A source tells full snapshots (L{twistproxy.interfaces.IUpstreamSource}). An empty one is refused where it would empty
the pool: the last good set is better than none. One that fails is asked again, with a growing delay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.application.internet import backoffPolicy
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from twistproxy.hooks import nameOf
from twistproxy.messages import Upstream

_log: Final = Logger(namespace="twistproxy.discovery")
_MAX_DELAY: Final = 60.0
"""Seconds: the longest wait before a source that fails is asked again."""


class _Source:
    """One source, what it told last, and the next try to ask it."""

    def __init__(self, plugin: Any) -> None:
        self.plugin = plugin
        self.told: tuple[Upstream, ...] = ()
        self.failures = 0
        self.isStarted = False
        self.unsubscribe: Callable[[], Any] | None = None
        self.retry: IDelayedCall | None = None


class Membership(Service):
    """The sources of one pool, while the service runs.

    @ivar members: those of the pool now.
    """

    def __init__(
        self,
        reactor: Any,
        pool: str,
        written: Sequence[Upstream],
        sources: Sequence[Any],
        changed: Callable[[Sequence[Upstream]], None],
    ) -> None:
        """
        @param pool: its name, for the log.
        @param written: members that the configuration names.
        @param sources: L{twistproxy.interfaces.IUpstreamSource}s.
        @param changed: gets all members at every change.
        """
        self._reactor = reactor
        self._pool = pool
        self._written = tuple(written)
        self._sources = [_Source(each) for each in sources]
        self._changed = changed
        self._delay = backoffPolicy(initialDelay=1.0, maxDelay=_MAX_DELAY, factor=2.0)
        self.members = self._written

    def startService(self) -> None:
        """Ask every source."""
        super().startService()  # type: ignore[no-untyped-call]
        for source in self._sources:
            self._ask(source)

    def _ask(self, source: _Source) -> None:
        source.retry = None
        try:
            if not source.isStarted:
                source.plugin.startService()
                source.isStarted = True
            source.unsubscribe = source.plugin.subscribe(lambda upstreams: self._told(source, upstreams))
        except Exception:
            source.failures += 1
            wait = self._delay(source.failures)
            _log.failure(
                "Source {plugin} of pool {pool} failed; it is asked again in {wait:.1f} s",
                plugin=nameOf(source.plugin), pool=self._pool, wait=wait,
            )  # fmt: skip
            source.retry = self._reactor.callLater(wait, self._ask, source)
        else:
            source.failures = 0

    def _told(self, source: _Source, upstreams: Sequence[Upstream]) -> None:
        if not self.running:
            return
        told = tuple(upstreams)
        wrong = next((each for each in told if not isinstance(each, Upstream)), None)
        if wrong is not None:
            kind = type(wrong).__name__
            _log.error("Source {plugin} of pool {pool} told a {kind}", plugin=nameOf(source.plugin), pool=self._pool, kind=kind)
            return
        known: dict[str, Upstream] = {each.key: each for each in self._written}
        for one in self._sources:
            known |= {each.key: each for each in (told if one is source else one.told)}
        if not known:
            _log.warn("Source {plugin} of pool {pool} told an empty set; the last one is kept", plugin=nameOf(source.plugin),
                      pool=self._pool)  # fmt: skip
            return
        source.told = told
        members = tuple(known.values())
        if [_shape(each) for each in members] != [_shape(each) for each in self.members]:
            self.members = members
            self._changed(members)

    def stopService(self) -> Deferred[Any]:
        """Ask no more.

        @return: fires when all sources have stopped.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        stopping = []
        for source in self._sources:
            if source.retry is not None:
                source.retry.cancel()
                source.retry = None
            if source.unsubscribe is not None:
                stopping.append(maybeDeferred(source.unsubscribe))
                source.unsubscribe = None
            if source.isStarted:
                stopping.append(maybeDeferred(source.plugin.stopService))
                source.isStarted = False
        return DeferredList(stopping, consumeErrors=True)


def _shape(upstream: Upstream) -> tuple[Any, ...]:
    """What makes a difference between two snapshots."""
    return upstream.key, upstream.weight, upstream.backup, upstream.maxConnections, dict(upstream.metadata)
