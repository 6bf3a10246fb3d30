"""Keeps the members of a pool as its sources tell them, beside those that are written down.

A source tells full snapshots (L{twistproxy.interfaces.IUpstreamSource}); what L{twistproxy.discovery.snapshots} refuses
leaves the last good one in force. Changes reach the pool at once, and after that no more often than
C{Settings.discoveryInterval}. A source that fails is asked again, with a growing delay.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from twisted.application.internet import backoffPolicy
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from twistproxy.calling.hooks import nameOf
from twistproxy.discovery.snapshots import Told, Verdict, areEqual, asTold, judge, merge, sift
from twistproxy.messages import Upstream
from twistproxy.settings import Settings
from twistproxy.tls.config import BY_DEFAULT, UpstreamTLS
from twistproxy.upstream.group import UpstreamGroup
from twistproxy.wire.proxyprotocol import Version

if TYPE_CHECKING:
    from twistproxy.engine import Engine

_log: Final = Logger(namespace="twistproxy.discovery")
_MAX_DELAY: Final = 60.0
"""Seconds: the longest wait before a source that fails is asked again."""
_MAX_PROBLEMS: Final = 5
"""Bad entries of a snapshot that are told to the log one by one."""


def followedBy(
    engine: Engine, group: UpstreamGroup, tls: UpstreamTLS = BY_DEFAULT, version: Version | None = None
) -> Callable[[Sequence[Upstream]], None]:
    """What gives C{group} its members, and closes the connections to upstreams that no pool has.

    @param tls: for https upstreams of which the sources say nothing.
    @param version: of the PROXY protocol, for upstreams of which they say nothing.
    """

    def changed(members: Sequence[Upstream]) -> None:
        group.setMembers([each.secured(tls).announced(version) for each in members])
        engine.pools.keepOnly(frozenset(each.key for one in engine.groups.values() for each in one.members))

    return changed


def follow(engine: Engine, group: UpstreamGroup, sources: Sequence[Any], settings: Settings) -> Membership:
    """A service that has C{group} follow its sources.

    @param sources: L{twistproxy.interfaces.IUpstreamSource}s.
    """
    return Membership(engine.reactor, group.name, group.members, sources, followedBy(engine, group), settings)


class _Source:
    """One source, what it told last, and what it waits for."""

    def __init__(self, plugin: Any) -> None:
        self.plugin = plugin
        self.told: tuple[Told, ...] = ()
        self.hasTold = False
        self.failures = 0
        self.isStarted = False
        self.unsubscribe: Callable[[], Any] | None = None
        self.retry: IDelayedCall | None = None
        self.held: tuple[Told, ...] = ()
        self.hold: IDelayedCall | None = None

    def release(self) -> None:
        """Hold nothing back any longer."""
        if self.hold is not None and self.hold.active():
            self.hold.cancel()
        self.hold, self.held = None, ()


class Membership(Service):
    """The sources of one pool, while the service runs.

    @ivar pool: its name.
    """

    def __init__(
        self,
        reactor: Any,
        pool: str,
        written: Sequence[Upstream],
        sources: Sequence[Any],
        changed: Callable[[Sequence[Upstream]], None],
        settings: Settings = Settings(),  # noqa: B008 - frozen
    ) -> None:
        """
        @param pool: its name, for the log.
        @param written: members that the configuration names.
        @param sources: L{twistproxy.interfaces.IUpstreamSource}s.
        @param changed: gets all members at every change.
        """
        self._reactor = reactor
        self.pool = pool
        self._written = tuple(map(asTold, written))
        self._sources = [_Source(each) for each in sources]
        self._changed = changed
        self._settings = settings
        self._delay = backoffPolicy(initialDelay=1.0, maxDelay=_MAX_DELAY, factor=2.0)
        self._changing: IDelayedCall | None = None
        self._lastChange: float | None = None
        self._waiting: list[Deferred[None]] = []
        self._members = self._written

    @property
    def members(self) -> tuple[Upstream, ...]:
        """Those of the pool now."""
        return tuple(each.upstream for each in self._members)

    @property
    def isReady(self) -> bool:
        """Whether each source has told something."""
        return all(each.hasTold for each in self._sources)

    def whenReady(self) -> Deferred[None]:
        """Fires when each source has told something, be it nothing that can be used."""
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(waiting)
        self._tellReady()
        return waiting

    def _tellReady(self) -> None:
        if self.isReady:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(None)

    def membersWith(self, written: Sequence[Upstream]) -> tuple[Upstream, ...]:
        """Those that there would be, were these written down."""
        return tuple(each.upstream for each in merge(map(asTold, written), *(each.told for each in self._sources)))

    def serve(
        self, changed: Callable[[Sequence[Upstream]], None], written: Sequence[Upstream], settings: Settings
    ) -> None:
        """Tell another from now on, who has the members of now already."""
        self._changed, self._settings = changed, settings
        self._written = tuple(map(asTold, written))
        self._members = merge(self._written, *(each.told for each in self._sources))

    def setWritten(self, upstreams: Sequence[Upstream]) -> None:
        """Other members beside those that the sources tell, from now on."""
        self._written = tuple(map(asTold, upstreams))
        self._change()

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
                plugin=nameOf(source.plugin), pool=self.pool, wait=wait,
            )  # fmt: skip
            source.retry = self._reactor.callLater(wait, self._ask, source)
        else:
            source.failures = 0

    def _told(self, source: _Source, snapshot: Sequence[Upstream]) -> None:
        if not self.running:
            return
        upstreams, problems = sift(snapshot)
        for problem in problems[:_MAX_PROBLEMS]:
            self._warn("left out of what {plugin} of pool {pool} told: {problem}", source, problem=problem)
        if len(problems) > _MAX_PROBLEMS:
            self._warn("left out of what {plugin} of pool {pool} told: {count} in all", source, count=len(problems))
        settings = self._settings
        verdict = judge(source.told, upstreams, settings.discoveryAllowEmpty, settings.discoveryMaxShrink)
        if verdict is Verdict.SHRUNK:
            self._holdBack(source, upstreams)
        else:
            source.release()
        if verdict is Verdict.EMPTY:
            self._warn("{plugin} of pool {pool} told an empty set; {count} stay", source, count=len(source.told))
        elif verdict is Verdict.TAKE:
            source.told = upstreams
            self._changeSoon()
        source.hasTold = True
        self._tellReady()

    def _holdBack(self, source: _Source, upstreams: tuple[Told, ...]) -> None:
        """Believe a great loss only when it lasts."""
        source.held = upstreams
        if source.hold is None:
            wait = self._settings.discoveryShrinkHold
            self._warn(
                "{plugin} of pool {pool} told only {count} of {before}; the others stay for {wait:.0f} s, to see if it lasts",
                source, count=len(upstreams), before=len(source.told), wait=wait,
            )  # fmt: skip
            source.hold = self._reactor.callLater(wait, self._believe, source)

    def _believe(self, source: _Source) -> None:
        source.told, source.hold, source.held = source.held, None, ()
        self._changeSoon()

    def _changeSoon(self) -> None:
        """Change the members now, or as soon as the last change is old enough."""
        if self._changing is not None:
            return
        now = self._reactor.seconds()
        due = now if self._lastChange is None else self._lastChange + self._settings.discoveryInterval
        if due > now:
            self._changing = self._reactor.callLater(due - now, self._change)
        else:
            self._change()

    def _change(self) -> None:
        if self._changing is not None and self._changing.active():
            self._changing.cancel()
        self._changing = None
        members = merge(self._written, *(each.told for each in self._sources))
        if areEqual(members, self._members):
            return
        before, after = ({each.upstream.key for each in of} for of in (self._members, members))
        _log.info(
            "pool {pool} has {count} upstreams: {came} came, {went} went",
            pool=self.pool, count=len(members), came=len(after - before), went=len(before - after),
            added=sorted(after - before), removed=sorted(before - after),
        )  # fmt: skip
        self._lastChange = self._reactor.seconds()
        self._members = members
        self._changed(self.members)

    def _warn(self, message: str, source: _Source, **fields: Any) -> None:
        _log.warn(message, plugin=nameOf(source.plugin), pool=self.pool, **fields)

    def stopService(self) -> Deferred[Any]:
        """Ask no more.

        @return: fires when all sources have stopped.
        """
        super().stopService()  # type: ignore[no-untyped-call]
        stopping = []
        if self._changing is not None:
            self._changing.cancel()
            self._changing = None
        for source in self._sources:
            source.release()
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
