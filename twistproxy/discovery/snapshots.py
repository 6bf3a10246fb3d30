"""What to make of a snapshot that a source told: pure, for L{twistproxy.discovery.membership}.

Snapshots come from registries, files and name servers that may be half written, half started or wrong. So each
entry is looked at on its own, an empty set is refused and a great loss has to last before it is believed, as in
Eureka's self-preservation and Traefik's and Envoy's handling of empty configurations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, Final

from twistproxy.messages import Upstream

MAX_MEMBERS: Final = 10_000
"""Most upstreams of one source; what comes after is left out."""


class Verdict(Enum):
    """What happens with a snapshot."""

    TAKE = "take"
    EQUAL = "equal"
    EMPTY = "empty"
    SHRUNK = "shrunk"


def sift(told: Iterable[Any]) -> tuple[tuple[Upstream, ...], list[str]]:
    """The upstreams of a snapshot, each once, and a sentence for each entry that is left out."""
    found: dict[str, Upstream] = {}
    problems: list[str] = []
    for each in told:
        if not isinstance(each, Upstream):
            problems.append(f"{type(each).__name__} is no Upstream")
        elif each.key in found:
            problems.append(f"{each.key} is there twice")
        elif len(found) >= MAX_MEMBERS:
            problems.append(f"there are more than {MAX_MEMBERS}")
            break
        else:
            found[each.key] = each
    return tuple(found.values()), problems


def judge(known: Sequence[Upstream], told: Sequence[Upstream], allowEmpty: bool, maxShrink: int) -> Verdict:
    """What to do with C{told} after C{known}.

    @param known: what the source told before, empty at first.
    @param maxShrink: percent of its members that may go at once.
    """
    if not told and not allowEmpty:
        return Verdict.EMPTY
    if areEqual(known, told):
        return Verdict.EQUAL
    if (len(known) - len(told)) * 100 > len(known) * maxShrink:
        return Verdict.SHRUNK
    return Verdict.TAKE


def areEqual(some: Sequence[Upstream], others: Sequence[Upstream]) -> bool:
    """Whether two sequences say the same: order, identity and all that a source tells of each."""
    return len(some) == len(others) and all(map(_isEqual, some, others))


def _isEqual(one: Upstream, other: Upstream) -> bool:
    return (one.key, one.weight, one.backup, one.maxConnections) == (
        other.key, other.weight, other.backup, other.maxConnections,
    ) and dict(one.metadata) == dict(other.metadata)  # fmt: skip


def merge(written: Iterable[Upstream], *told: Iterable[Upstream]) -> tuple[Upstream, ...]:
    """All members, each once: what the configuration writes stands, then the sources in their order."""
    known: dict[str, Upstream] = {}
    for each in (written, *told):
        for upstream in each:
            known.setdefault(upstream.key, upstream)
    return tuple(known.values())
