"""What workers count, and all of them together. Pure but for L{countersOf}, which looks at an engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from twistproxy.engine import Engine

Counters = Mapping[str, Any]
"""Numbers by name, and tables of such. Numbers of several workers can be added."""


def countersOf(engine: Engine) -> Counters:
    """What one proxy counts: exchanges so far, exchanges and clients now, and by upstream exchanges now."""
    upstreams: dict[str, int] = {}
    for group in engine.groups.values():
        for each in group.members:
            upstreams[each.key] = each.inFlight
    return {
        "exchanges": engine.exchanges,
        "inFlight": engine.inFlight,
        "clients": len(engine.channels),
        "accessLogErrors": engine.accessLogErrors,
        "upstreams": upstreams,
    }


def merge(several: Iterable[Counters]) -> dict[str, Any]:
    """All added up, table by table."""
    merged: dict[str, Any] = {}
    for each in several:
        for name, value in each.items():
            if isinstance(value, Mapping):
                merged[name] = merge((merged.get(name, {}), value))
            else:
                merged[name] = merged.get(name, 0) + value
    return merged
