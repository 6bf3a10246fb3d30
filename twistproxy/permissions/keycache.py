"""Keys that are loaded when they are needed, kept, and loaded again when they are old or one is missing."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from twistproxy.permissions.fetching import described, within
from twistproxy.permissions.jsonwebtokens import KeySet

_log: Final = Logger(namespace="twistproxy.error")

RETRY: Final = 1.0
"""Seconds before an attempt that follows a failed one."""


class KeyCache:
    """The keys of one place.

    While they cannot be loaded again, the old ones stay good for a while. One load is under way at a time; who needs it waits.

    @ivar keys: they; None when there are none yet.
    """

    def __init__(
        self,
        reactor: Any,
        name: str,
        load: Callable[[], Coroutine[Any, Any, KeySet]],
        lifetime: float,
        stale: float,
        cooldown: float,
        timeout: float,
    ) -> None:
        """
        @param name: of the place, for the log.
        @param lifetime: seconds after which they are loaded anew.
        @param stale: seconds after which they are not used any more, if they could not be loaded anew.
        @param cooldown: seconds that pass at least between two loads for the sake of a key that is not there: anybody can
            make up key ids.
        @param timeout: for a load.
        """
        self._reactor = reactor
        self._name = name
        self._load = load
        self._lifetime = lifetime
        self._stale = stale
        self._cooldown = cooldown
        self._timeout = timeout
        self.keys: KeySet | None = None
        self._loaded = self._tried = float("-inf")
        self._loading: Deferred[None] | None = None
        self._waiting: list[Deferred[None]] = []

    async def find(self, algorithm: str, kid: str | None) -> Any:
        """The key, or None.

        @raise LookupError: when there are no keys at all at the moment.
        """
        age = self._age()
        if self.keys is None or age >= self._stale:
            await self._refreshed(RETRY)
            if self.keys is None or self._age() >= self._stale:
                raise LookupError(f"{self._name} cannot be had")
        elif age >= 2 * self._lifetime and self._tried <= self._loaded:
            await self._refreshed(RETRY)  # nobody came for so long that they may be others now
        elif age >= self._lifetime and self._reactor.seconds() - self._tried >= RETRY:
            self._refresh()
        key = self.keys.find(algorithm, kid)
        if key is None:
            await self._refreshed(self._cooldown)
            key = self.keys.find(algorithm, kid)
        return key

    def put(self, keys: KeySet) -> None:
        """They have been loaded."""
        self.keys = keys
        self._loaded = self._reactor.seconds()

    def _age(self) -> float:
        return float(self._reactor.seconds()) - self._loaded

    async def _refreshed(self, pause: float) -> None:
        """Wait for what is being loaded, or load if the last time was C{pause} ago."""
        if self._loading is None:
            if self._reactor.seconds() - self._tried < pause:
                return
            self._refresh()
        if self._loading is not None:
            waiting: Deferred[None] = Deferred(self._waiting.remove)
            self._waiting.append(waiting)
            await waiting

    def _refresh(self) -> None:
        if self._loading is not None:
            return
        self._tried = self._reactor.seconds()
        loading = within(self._run(), self._timeout, self._reactor)
        if not loading.called:
            self._loading = loading.addBoth(self._over)
        else:
            loading.addErrback(self._failed)

    async def _run(self) -> None:
        self.put(await self._load())

    def _failed(self, failure: Any) -> None:
        if failure.check(CancelledError) is None:
            _log.error("{name} cannot be loaded: {error}", name=self._name, error=described(failure.value))

    def _over(self, result: Any) -> None:
        if result is not None:
            self._failed(result)
        self._loading = None
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def stop(self) -> None:
        """End what is under way."""
        if self._loading is not None:
            self._loading.cancel()
