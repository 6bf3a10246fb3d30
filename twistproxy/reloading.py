"""Reading the configuration file again: what C{SIGHUP} does.

What is wrong in the file is told, and nothing changes then. Pools, routes, error handlers and the rules of a forward proxy
are put in the place of those before; what else the file says, of listeners, logs and settings of the whole proxy, holds
from the next start.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any, Final

from attrs import evolve
from twisted.internet.defer import maybeDeferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.config import Configuration, buildPlugins
from twistproxy.configtext import configurationText
from twistproxy.errors import ConfigurationError
from twistproxy.logs.terminal import terminal
from twistproxy.service import ProxyService

_log: Final = Logger(namespace="twistproxy.error")


class Reloader:
    """Reloads one service, never twice at a time."""

    def __init__(
        self, reactor: Any, service: ProxyService, configuration: Configuration, load: Callable[[], Configuration]
    ) -> None:
        """
        @param configuration: the one that the service was started with.
        @param load: reads the configuration again; raises L{ConfigurationError}.
        """
        self._reactor = reactor
        self._service = service
        self._atStart = remainder(configuration)
        self._load = load
        self._isReloading = False
        self._isWanted = False

    def reload(self) -> None:
        """Read the file, now or after the reload under way."""
        if self._isReloading:
            self._isWanted = True
            return
        self._isReloading = True
        maybeDeferred(self._reload).addCallbacks(self._done, self._failed).addBoth(self._ended)

    def _reload(self) -> Any:
        configuration = self._load()
        if remainder(configuration) != self._atStart:
            _log.warn("reload: what {source} says of listeners, logs and settings of the whole proxy holds from the next start",
                      source=configuration.source)  # fmt: skip
        # Access logs stay: another object would open the same file again.
        plugins = buildPlugins(evolve(configuration, accessLogs=()), self._reactor)
        return self._service.reload(configuration, plugins)

    def _done(self, _: object) -> None:
        _log.info("reload: done")

    def _failed(self, failure: Failure) -> None:
        if not failure.check(ConfigurationError):
            _log.failure("reload: failed, everything stays as it is", failure=failure)
            return
        for problem in failure.value.problems:  # type: ignore[union-attr]
            _log.error("reload: nothing changes: {problem}", problem=problem)
            print(problem, file=terminal("stderr"), flush=True)

    def _ended(self, _: object) -> None:
        self._isReloading = False
        if self._isWanted:
            self._isWanted = False
            self.reload()


def remainder(configuration: Configuration) -> str:
    """What a configuration says beside pools, routes, error handlers, middleware and what may be set for each of these."""
    from twistproxy.configuring.settings import POOL_SETTINGS, ROUTE_SETTINGS
    from twistproxy.settings import Settings

    standard = Settings()
    same = {name: getattr(standard, name) for name in (*POOL_SETTINGS, *ROUTE_SETTINGS)}
    settings = configuration.settings.with_(**same)
    reloaded = evolve(configuration, pools=(), routes=(), errorHandlers=(), middleware=(), settings=settings, forward=None)
    return configurationText(reloaded)


def onHangup(reactor: Any, function: Callable[[], object]) -> None:
    """Call C{function} in the reactor at each C{SIGHUP}, once the reactor runs. One that says that our terminal was closed
    ends the program, as it would without this."""
    hadTerminal = hasTerminal()

    def hungUp() -> None:
        if hadTerminal and not hasTerminal():
            reactor.stop()
        else:
            function()

    reactor.callWhenRunning(signal.signal, signal.SIGHUP, lambda number, frame: reactor.callFromThread(hungUp))


def hasTerminal() -> bool:
    """Whether this process has a controlling terminal that is still there."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True
