"""What to make of a snapshot that a source told: pure, for L{twistproxy.discovery.membership}.

Snapshots come from registries, files and name servers that may be half written, half started or wrong. So each
entry is looked at on its own, an empty set is refused and a great loss has to last before it is believed, as in
Eureka's self-preservation and Traefik's and Envoy's handling of empty configurations.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import Enum
from typing import Any, Final, NamedTuple

from twistproxy.messages import Upstream

MAX_MEMBERS: Final = 10_000
"""Most upstreams of one source; what comes after is left out."""


class Verdict(Enum):
    """What happens with a snapshot."""

    TAKE = "take"
    EQUAL = "equal"
    EMPTY = "empty"
    SHRUNK = "shrunk"


class Told(NamedTuple):
    """An upstream as it was told.

    C{shape} is all that was said of it, at that time: the object itself is taken into a pool, and changes there.
    """

    upstream: Upstream
    shape: tuple[Any, ...]


def asTold(upstream: Upstream) -> Told:
    """What is said of C{upstream} now."""
    shape = (upstream.key, upstream.weight, upstream.backup, upstream.maxConnections, dict(upstream.metadata))
    return Told(upstream, shape)


def sift(told: Iterable[Any]) -> tuple[tuple[Told, ...], list[str]]:
    """The upstreams of a snapshot, each once, and a sentence for each entry that is left out."""
    found: dict[str, Told] = {}
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
            found[each.key] = asTold(each)
    return tuple(found.values()), problems


def judge(known: Sequence[Told], told: Sequence[Told], allowEmpty: bool, maxShrink: int) -> Verdict:
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


def areEqual(some: Sequence[Told], others: Sequence[Told]) -> bool:
    """Whether two snapshots say the same: order, identity and all that a source tells of each."""
    return [each.shape for each in some] == [each.shape for each in others]


def merge(written: Iterable[Told], *told: Iterable[Told]) -> tuple[Told, ...]:
    """All members, each once: what the configuration writes stands, then the sources in their order."""
    known: dict[str, Told] = {}
    for each in (written, *told):
        for one in each:
            known.setdefault(one.upstream.key, one)
    return tuple(known.values())
