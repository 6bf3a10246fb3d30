"""The subject of the observer pattern: keeps the last snapshot and tells it to whoever subscribes."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from twisted.logger import Logger

from twistproxy.discovery.entries import EntryReader
from twistproxy.messages import Upstream

_log: Final = Logger(namespace="twistproxy.discovery")
_MAX_PROBLEMS: Final = 5
"""Bad entries of a snapshot that are told to the log one by one."""

Observer = Callable[[Sequence[Upstream]], None]


class Subject:
    """A set of upstreams that is observed; what a source has one of, and hands its C{subscribe} on to.

    Not to be called but from the reactor's thread.

    @ivar name: of the source, for the log.
    @ivar snapshot: what was told last; None before the first time.
    """

    def __init__(self, name: str = "") -> None:
        self.name = name
        self._observers: list[Observer] = []
        self._problems: list[str] = []
        self.snapshot: Sequence[Upstream] | None = None

    def subscribe(self, observer: Observer) -> Callable[[], None]:
        """Tell C{observer} the last snapshot, if there is one, and every one from now on.

        @return: ends that; may be called more than once.
        """
        self._observers.append(observer)
        if self.snapshot is not None:
            observer(self.snapshot)

        def unsubscribe() -> None:
            if observer in self._observers:
                self._observers.remove(observer)

        return unsubscribe

    def tell(self, snapshot: Sequence[Upstream]) -> None:
        """All observers get to know C{snapshot}, the full set of upstreams."""
        self.snapshot = tuple(snapshot)
        for each in list(self._observers):
            each(self.snapshot)

    def tellEntries(self, reader: EntryReader, entries: Iterable[object]) -> None:
        """Tell what C{reader} makes of C{entries}; those of which it makes nothing are logged, once, and left out."""
        found, problems = reader.readAll(entries)
        if problems != self._problems:
            self._problems = problems
            for problem in problems[:_MAX_PROBLEMS]:
                _log.warn("{source}: left out: {problem}", source=self.name, problem=problem)
            if len(problems) > _MAX_PROBLEMS:
                _log.warn("{source}: left out: {count} entries in all", source=self.name, count=len(problems))
        self.tell(found)
