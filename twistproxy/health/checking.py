"""Runs the health checks of a pool, and takes upstreams that fail them out of it until they are well again.

All members are checked at once, each not before its last check is over. C{Settings.healthFall} failed checks in a row
take an upstream out, C{Settings.healthRise} good ones bring it back, as HAProxy's C{fall} and C{rise}.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure

from twistproxy.hooks import asDeferred, isPending, nameOf
from twistproxy.messages import Health, Upstream
from twistproxy.settings import Settings
from twistproxy.upstream.candidates import UP
from twistproxy.upstream.group import UpstreamGroup

_log: Final = Logger(namespace="twistproxy.health")


class _Record:
    """What is known of one upstream: results in a row, and the check under way."""

    def __init__(self) -> None:
        self.good = 0
        self.failed = 0
        self.running: Deferred[Any] | None = None


class HealthChecks(Service):
    """The checks of one pool, while the service runs."""

    def __init__(self, reactor: Any, group: UpstreamGroup, checks: Sequence[Any], settings: Settings) -> None:
        """@param checks: L{twistproxy.interfaces.IHealthCheck}s; an upstream is well when all of them say so."""
        self._reactor = reactor
        self._group = group
        self._checks = tuple(checks)
        self._settings = settings
        self._records: dict[str, _Record] = {}
        self._loop = LoopingCall(self._checkAll)
        self._loop.clock = reactor

    def startService(self) -> None:
        """Check now, and from now on."""
        super().startService()  # type: ignore[no-untyped-call]
        self._loop.start(self._settings.healthInterval)

    def stopService(self) -> None:
        """Check no more."""
        super().stopService()  # type: ignore[no-untyped-call]
        if self._loop.running:
            self._loop.stop()
        records, self._records = self._records, {}
        for record in records.values():
            if record.running is not None:
                record.running.cancel()

    def _checkAll(self) -> None:
        members = {each.key: each for each in self._group.members}
        for key in [each for each in self._records if each not in members]:
            del self._records[key]
        for key, upstream in members.items():
            record = self._records.setdefault(key, _Record())
            if record.running is None:
                self._check(upstream, record, 0)

    def _check(self, upstream: Upstream, record: _Record, number: int) -> None:
        """Run the check of that number, and the others after it."""
        if number == len(self._checks):
            self._passed(upstream, record)
            return
        check = self._checks[number]
        try:
            result = check.check(upstream)
        except Exception:
            self._failed(upstream, record, check, Failure().getErrorMessage())
            return
        if not isPending(result):
            self._checked(upstream, record, number, result)
            return
        record.running = running = asDeferred(result)
        running.addTimeout(self._settings.healthTimeout, self._reactor)
        running.addBoth(self._finished, upstream, record, number)

    def _finished(self, result: Any, upstream: Upstream, record: _Record, number: int) -> None:
        record.running = None
        if not isinstance(result, Failure):
            self._checked(upstream, record, number, result)
        elif result.check(TimeoutError):
            self._failed(upstream, record, self._checks[number], "it took too long")
        elif not (result.check(CancelledError) and not self.running):
            self._failed(upstream, record, self._checks[number], result.getErrorMessage())

    def _checked(self, upstream: Upstream, record: _Record, number: int, health: Any) -> None:
        if not isinstance(health, Health):
            detail = f"check returned a {type(health).__name__}, not a Health"
            self._failed(upstream, record, self._checks[number], detail)
        elif health.ok:
            self._check(upstream, record, number + 1)
        else:
            self._failed(upstream, record, self._checks[number], health.detail)

    def _passed(self, upstream: Upstream, record: _Record) -> None:
        record.good += 1
        record.failed = 0
        if upstream.state != UP and record.good >= self._settings.healthRise:
            self._group.mark(upstream, UP)
            _log.info("{upstream} of pool {pool} is up", upstream=upstream.key, pool=self._group.name)

    def _failed(self, upstream: Upstream, record: _Record, check: Any, detail: str) -> None:
        record.failed += 1
        record.good = 0
        if upstream.state == UP and record.failed >= self._settings.healthFall:
            self._group.mark(upstream, f"down: {detail}")
            _log.warn(
                "{upstream} of pool {pool} is down: {plugin}: {detail}",
                upstream=upstream.key, pool=self._group.name, plugin=nameOf(check), detail=detail,
            )  # fmt: skip
