"""Why an upstream was picked, and why others were not: for logs and for people. Nothing here is on the way of a request for
which nobody asks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any, Final

from twisted.logger import Logger

from twistproxy.calling.hooks import nameOf
from twistproxy.interfaces import IExplainingBalancer
from twistproxy.messages import Choice, InboundRequest, Try, Upstream
from twistproxy.upstream.candidates import UP, Candidates
from twistproxy.upstream.group import UpstreamGroup

MOST: Final = 100
"""Upstreams told of each kind: a pool may have thousands."""

_log: Final = Logger(namespace="twistproxy.error")


def _leftOut(
    group: UpstreamGroup, candidates: Candidates, tried: Collection[Upstream], full: Collection[str]
) -> Iterator[tuple[str, str]]:
    for each in group.members:
        if each not in candidates:
            if each in tried:
                why = "tried"
            elif each.state != UP:
                why = each.state
            elif each.key in full:
                why = "full"
            else:
                why = "in reserve"  # of a later tier, or a backup
            yield each.key, why


def explain(
    group: UpstreamGroup, request: InboundRequest, candidates: Candidates, tried: Collection[Upstream], full: Collection[str]
) -> Choice:
    """Why whatever is picked now is picked. Asked right before the pick, since that changes the balancer.

    @param tried: upstreams that were asked for this request already.
    @param full: the keys of those without room.
    """
    balancer = group.balancer
    scores: Any = None
    if IExplainingBalancer.providedBy(balancer):
        try:
            scores = balancer.scores(request, candidates)
        except Exception:
            _log.failure("The balancer of pool {pool} failed in scores", pool=group.name)
    told = tuple((each.key, None if scores is None else scores.get(each)) for each in candidates[:MOST])
    left = tuple(pair for pair, _ in zip(_leftOut(group, candidates, tried, full), range(MOST), strict=False))
    return Choice(group.name, nameOf(balancer), told, left)


def nobody(group: UpstreamGroup, tried: Collection[Upstream]) -> str:
    """Why there is nobody to ask, for the log."""
    if not group.members:
        return f"pool {group.name} is empty"
    left = list(_leftOut(group, Candidates(()), tried, ()))
    shown = ", ".join(f"{key} ({why})" for key, why in left[:10])
    return f"nobody is left in pool {group.name}: {shown}" + (", ..." if len(left) > 10 else "")


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 6)


def describeTry(tried: Try) -> dict[str, Any]:
    """A try as plain data for JSON: times in seconds, sizes in bytes, None for what did not happen."""
    outcome = tried.outcome
    told: dict[str, Any] = {
        "upstream": outcome.upstream.key,
        "started": _rounded(tried.started),
        "waited": _rounded(tried.waited),
        "connect": _rounded(outcome.connectTime),
        "firstByte": _rounded(outcome.firstByteTime),
        "duration": _rounded(outcome.duration),
        "status": outcome.code,
        "reason": outcome.error,
        "reused": outcome.reused,
        "decision": tried.decision,
        "because": tried.because,
    }
    if tried.choice is not None:
        told["choice"] = {
            "pool": tried.choice.pool,
            "balancer": tried.choice.balancer,
            "candidates": dict(tried.choice.candidates),
            "leftOut": dict(tried.choice.leftOut),
        }
    return told
