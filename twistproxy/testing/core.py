"""The part of a reactor that is neither time nor connections: its life, system events, threads' calls and
names."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList, fail, succeed
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IHostnameResolver,
    IReactorCore,
    IReactorFromThreads,
    IReactorPluggableNameResolver,
)
from zope.interface import implementer

from twistproxy.testing.clock import TurnClock
from twistproxy.testing.names import TableResolver

_PHASES = ("before", "during", "after")

Trigger = tuple[str, str, Callable[..., Any], tuple[Any, ...], dict[str, Any]]
"""Phase, event, and what to call: the handle that C{addSystemEventTrigger} returns."""


class SystemEvents:
    """The triggers of a reactor's C{startup}, C{shutdown} and other events."""

    def __init__(self, guarded: Callable[..., Any]) -> None:
        """
        @param guarded: calls a function and takes care of what it raises; see L{TurnClock.guarded}.
        """
        self._guarded = guarded
        self._triggers: list[Trigger] = []

    def add(self, phase: str, event: str, function: Callable[..., Any], args: Any, kwargs: Any) -> Trigger:
        """See L{IReactorCore.addSystemEventTrigger}.

        @raise KeyError: for an unknown phase, as Twisted does.
        """
        if phase not in _PHASES:
            raise KeyError("invalid phase")
        trigger = (phase, event, function, args, kwargs)
        self._triggers.append(trigger)
        return trigger

    def remove(self, trigger: Trigger) -> None:
        """See L{IReactorCore.removeSystemEventTrigger}.

        @raise ValueError: if the trigger is not there (any more).
        """
        self._triggers.remove(trigger)

    def fire(self, event: str) -> Deferred[None]:
        """Run the triggers of C{event}, each once: the "before" ones, what they wait for, then the others.

        @return: fires when all are done.
        """
        done: Deferred[None] = Deferred()

        def rest(_: object) -> None:
            self._run("during", event)
            self._run("after", event)
            done.callback(None)

        waiting = [result for result in self._run("before", event) if isinstance(result, Deferred)]
        DeferredList(waiting, consumeErrors=True).addCallback(rest)
        return done

    def _run(self, phase: str, event: str) -> Sequence[Any]:
        due = [trigger for trigger in self._triggers if trigger[:2] == (phase, event)]
        self._triggers = [trigger for trigger in self._triggers if trigger[:2] != (phase, event)]
        return [self._guarded("a system event trigger", function, *args, **kwargs) for _, _, function, args, kwargs in due]


@implementer(IReactorCore, IReactorFromThreads, IReactorPluggableNameResolver)
class MemoryCore(TurnClock):
    """A reactor that counts as running from the start and has no loop of its own."""

    hosts: dict[str, str | Sequence[str]]
    """Host names and their IP literals; C{localhost} is 127.0.0.1 unless the test says otherwise."""

    nameResolver: IHostnameResolver
    """Resolves from C{hosts} until C{installNameResolver} puts another one here."""

    def __init__(self, hosts: Mapping[str, str | Sequence[str]] | None = None) -> None:
        super().__init__()
        self.hosts = {"localhost": "127.0.0.1", **(hosts or {})}
        self.running = True
        self.table = TableResolver(self.hosts)
        self.nameResolver = self.table
        self._events = SystemEvents(self.guarded)

    def installNameResolver(self, resolver: IHostnameResolver) -> IHostnameResolver:
        """See L{IReactorPluggableNameResolver.installNameResolver}."""
        previous, self.nameResolver = self.nameResolver, resolver
        return previous

    def resolve(self, name: str, timeout: Sequence[int] = ()) -> Deferred[str]:
        """The first address of C{name} in C{hosts}; fails with L{DNSLookupError} for an unknown name."""
        found = self.table.lookUp(name)
        return succeed(found[0]) if found else fail(DNSLookupError(f"no address for {name}"))

    def callFromThread(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> None:
        """Call C{callable} in the next turn; to be called in the thread of the test."""
        self.callLater(0, callable, *args, **kwargs)

    def callWhenRunning(self, callable: Callable[..., Any], *args: object, **kwargs: object) -> Any | None:
        """Call C{callable} now, unless C{running} is false: then when C{startup} is fired."""
        if self.running:
            callable(*args, **kwargs)
            return None
        return self.addSystemEventTrigger("after", "startup", callable, *args, **kwargs)

    def addSystemEventTrigger(
        self, phase: str, eventType: str, callable: Callable[..., Any], *args: object, **kwargs: object
    ) -> Trigger:
        """See L{IReactorCore.addSystemEventTrigger}."""
        return self._events.add(phase, eventType, callable, args, kwargs)

    def removeSystemEventTrigger(self, triggerID: Any) -> None:
        """See L{IReactorCore.removeSystemEventTrigger}."""
        self._events.remove(triggerID)

    def fireSystemEvent(self, eventType: str) -> None:
        """Run the triggers of C{eventType}; those of the phase "before" may keep the others waiting."""
        self._events.fire(eventType)

    def stop(self) -> None:
        """Fire C{shutdown}; C{running} becomes false when all its triggers are done. Pumping still works."""
        self._events.fire("shutdown").addCallback(lambda _: self.crash())

    def crash(self) -> None:
        """Set C{running} to false."""
        self.running = False

    def run(self) -> None:
        """Not offered.

        @raise NotImplementedError: always.
        """
        raise NotImplementedError("an in-memory reactor has no loop: call pump() and advance()")

    def iterate(self, delay: float = 0) -> None:
        """Move time on by C{delay} seconds and run the calls that are due."""
        self.advance(delay)
