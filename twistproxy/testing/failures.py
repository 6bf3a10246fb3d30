"""What plugins raised: the engine answers with an error and writes it to the log; a test wants the exception itself."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from twisted.logger import ILogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

_BAD: Final = (LogLevel.error, LogLevel.critical)


class PluginFault(AssertionError):
    """A plugin did wrong without raising; its message says what."""


class FailureCollector:
    """Keeps the exceptions that are logged while it listens.

    @ivar errors: those that were not taken away, oldest first.
    @ivar types: of all that there were.
    """

    def __init__(self) -> None:
        self.errors: list[BaseException] = []
        self.types: set[type[BaseException]] = set()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Keep what is logged meanwhile."""

        @implementer(ILogObserver)
        def observe(event: LogEvent) -> None:
            self._logged(event)

        globalLogPublisher.addObserver(observe)
        try:
            yield
        finally:
            globalLogPublisher.removeObserver(observe)

    def _logged(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        if isinstance(failure, Failure) and failure.value is not None:
            error = failure.value
            if any(each is error for each in self.errors):
                return
            where = formatEvent(event).partition("\n")[0]
            if where and where not in getattr(error, "__notes__", ()):
                error.add_note(where)
            self._keep(error)
        elif "plugin" in event and event.get("log_level") in _BAD and str(event.get("log_namespace")).startswith("twistproxy."):
            self._keep(PluginFault(formatEvent(event)))

    def _keep(self, error: BaseException) -> None:
        self.errors.append(error)
        self.types.add(type(error))

    def raiseKept(self) -> None:
        """Raise what was kept: the exception itself, or a group if there are several."""
        errors, self.errors = self.errors, []
        if len(errors) == 1:
            raise errors[0]
        if errors:
            raise BaseExceptionGroup("plugins raised", errors)
