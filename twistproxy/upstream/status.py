"""What is known of upstreams, as frozen data: for a page, a log, metrics. To read it changes nothing."""

from __future__ import annotations

from attrs import frozen

from twistproxy.messages import Upstream
from twistproxy.upstream.standing import CheckRecord, Standing


@frozen
class CheckStatus:
    """What one check found.

    @ivar active: C{unchecked}, C{up}, C{drain}, C{down} or C{maintenance}.
    @ivar good: good checks in a row; C{failed} likewise.
    @ivar runs: checks so far; C{failures} those that failed.
    @ivar detail: what the last one found, for people.
    @ivar latency: seconds that it took; None before the first, and where a check does not say.
    @ivar age: seconds since it ended; None before the first.
    """

    name: str
    active: str
    good: int
    failed: int
    runs: int
    failures: int
    detail: str
    latency: float | None
    age: float | None


@frozen
class UpstreamStatus:
    """What is known of one upstream of one pool.

    @ivar state: see L{Upstream.state}.
    @ivar traffic: which requests it gets.
    @ivar age: seconds since its state began.
    @ivar changes: how often its state has changed.
    @ivar administrative: what a person wants; C{active} what checks found; C{passive} what the traffic showed.
    @ivar isPresent: whether the configuration or a source names it; others are gone, and remembered for a while.
    @ivar share: of its weight that counts now: less than 1.0 in a slow start, or as an agent wants.
    @ivar maxConnections: most connections; 0: as many as the settings say.
    @ivar ejectedFor: seconds until its ejection ends; None while there is none.
    @ivar ejections: how often it was ejected.
    """

    pool: str
    key: str
    state: str
    traffic: str
    age: float
    changes: int
    administrative: str
    active: str
    passive: str
    isPresent: bool
    backup: bool
    weight: int
    share: float
    maxConnections: int
    inFlight: int
    latency: float | None
    ejectedFor: float | None
    ejections: int
    checks: tuple[CheckStatus, ...]


def statusOf(pool: str, upstream: Upstream, standing: Standing, share: float, now: float) -> UpstreamStatus:
    """The status of one upstream.

    @param share: of its weight that counts now.
    @param now: in seconds of the clock that the standing lives by.
    """
    return UpstreamStatus(
        pool=pool,
        key=upstream.key,
        state=upstream.state,
        traffic=standing.verdict.traffic.value,
        age=now - standing.since,
        changes=standing.changes,
        administrative=standing.administrative.value,
        active=standing.active.value,
        passive=standing.passive.value,
        isPresent=standing.isPresent,
        backup=upstream.backup,
        weight=upstream.weight,
        share=share,
        maxConnections=upstream.maxConnections,
        inFlight=upstream.inFlight,
        latency=upstream.latency,
        ejectedFor=None if standing.ejectedUntil is None else max(0.0, standing.ejectedUntil - now),
        ejections=standing.ejections,
        checks=tuple(_checkStatus(name, record, now) for name, record in standing.checks.items()),
    )


def _checkStatus(name: str, record: CheckRecord, now: float) -> CheckStatus:
    last = record.last
    return CheckStatus(
        name=name,
        active=record.active.value,
        good=record.good,
        failed=record.failed,
        runs=record.runs,
        failures=record.failures,
        detail=last.detail if last is not None else "",
        latency=last.latency if last is not None else None,
        age=None if record.lastAt is None else now - record.lastAt,
    )
