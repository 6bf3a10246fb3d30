"""The file of C{--error-log}: the proxy's own messages, apart from the rest of Twisted's log."""

from __future__ import annotations

from typing import Any, Final

from twisted.logger import FileLogObserver, ILogObserver, LogLevel, formatEventAsClassicLogText, globalLogPublisher
from zope.interface import provider

from twistproxy.logs.logfile import LogFile
from twistproxy.logs.terminal import terminal

ERROR_NAMESPACE: Final = "twistproxy.error"
"""The logger namespace of failed exchanges and plugins."""

_LOGGED: Final = (ERROR_NAMESPACE, "twistproxy.discovery")
"""What is written: also which upstreams come and go, and what is wrong with what finds them."""


class ErrorLog:
    """The file, while it is written."""

    def __init__(self, path: str) -> None:
        """@param path: empty for no file."""
        self._path = path
        self._file: Any = None
        self._observer: Any = None

    def open(self) -> None:
        """Write to it from now on.

        @raise SystemExit: when it cannot be opened, after a line that says why.
        """
        if not self._path:
            return
        try:
            self._file = LogFile(self._path)
        except OSError as error:
            print(f"--error-log: {self._path}: {error.strerror}", file=terminal("stderr"), flush=True)
            raise SystemExit(1) from None
        to = FileLogObserver(self._file, formatEventAsClassicLogText)

        @provider(ILogObserver)
        def observe(event: Any) -> None:
            if event.get("log_namespace") in _LOGGED and event["log_level"] >= LogLevel.info:
                to(event)

        self._observer = observe
        globalLogPublisher.addObserver(observe)

    def close(self) -> None:
        """Write no more."""
        if self._observer is not None:
            globalLogPublisher.removeObserver(self._observer)
            self._observer = None
            self._file.close()
