"""What holds for balancers that look at load or latency, and for those that keep keys where they are."""

from __future__ import annotations

from collections.abc import Sequence

from twistproxy.messages import Upstream
from twistproxy.testing.conformance.bench import makeUpstreams
from twistproxy.testing.conformance.picking import MakeBench
from twistproxy.testing.conformance.statistics import isClearlyMore

_PICKS = 4000
_KEYS = 2000


def prefersTheIdle(make: MakeBench) -> None:
    """Who has more requests under way never gets more picks; who has most gets clearly fewer than who has least.

    A known proxy's two choices preferred the busier for years, and after their repair gave the busier of C{[5, 3]} half.
    """
    for loads in ((5, 3), (3, 5), (0, 1), (0, 0, 0, 9), (1, 2, 3, 4), (7, 7, 2)):
        bench = make(makeUpstreams(*[1] * len(loads)))
        bench.load(*loads)
        _ordered(loads, bench.counts(_PICKS), "requests under way")
        bench.change(bench.upstreams)
        _ordered(loads, bench.counts(_PICKS), "requests under way, after a snapshot with the same members,")


def prefersTheQuick(make: MakeBench) -> None:
    """Who answers later never gets more picks; the slowest gets clearly fewer than the quickest."""
    for times in ((1.0, 0.01), (0.01, 1.0), (0.01, 0.01, 2.0)):
        bench = make(makeUpstreams(*[1] * len(times)))
        slow = dict(zip(bench.upstreams, times, strict=True))
        for upstream, seconds in slow.items():
            bench.only(upstream)
            for at in range(50):
                bench.report(bench.pick(at), firstByteTime=seconds)
        bench.only(*bench.upstreams)
        counts = dict.fromkeys(bench.upstreams, 0)
        for at in range(_PICKS):
            picked = bench.pick(at)
            bench.report(picked, firstByteTime=slow[picked])
            counts[picked] += 1
        _ordered(times, list(counts.values()), "seconds to the first byte")


def _ordered(loads: Sequence[float], counts: Sequence[int], what: str) -> None:
    pairs = [(one, other) for one in range(len(loads)) for other in range(len(loads)) if loads[one] > loads[other]]
    most, least = loads.index(max(loads)), loads.index(min(loads))
    wrong = any(isClearlyMore(counts[one], counts[other]) for one, other in pairs)
    if wrong or not isClearlyMore(counts[least], counts[most]):
        raise AssertionError(f"with {list(loads)} {what} the picks are {list(counts)}")


def keepsKeys(make: MakeBench) -> None:
    """The same key gets the same upstream: again, from another balancer, and in whatever order upstreams are named."""
    members = makeUpstreams(1, 1, 1, 1, 1)
    home = _homes(make, members)
    for other, what in ((members, "another balancer"), (members[::-1], "the other order of upstreams")):
        moved = _moved(home, _homes(make, other))
        if moved:
            raise AssertionError(f"with {what} {len(moved)} of {_KEYS} keys get another upstream")


def movesFewKeys(make: MakeBench) -> None:
    """When an upstream goes down, leaves or comes, only its own keys move, and not all of them to one neighbour."""
    members = makeUpstreams(1, 1, 1, 1, 1)
    gone, left = members[2], members[:2] + members[3:]
    bench = make(members)
    home = {number: bench.use(number) for number in range(_KEYS)}
    bench.only(*left)
    down = {number: bench.use(number) for number in range(_KEYS)}
    _leaves("is down", home, down, gone)
    bench.change(left)
    _leaves("has left", home, {number: bench.use(number) for number in range(_KEYS)}, gone)
    bench.change(members)
    back = _moved(home, {number: bench.use(number) for number in range(_KEYS)})
    if back:
        raise AssertionError(f"when an upstream is back, {len(back)} of {_KEYS} keys are not where they were")


def _leaves(what: str, home: dict[int, Upstream], now: dict[int, Upstream], gone: Upstream) -> None:
    strangers = [number for number in _moved(home, now) if home[number] is not gone]
    if strangers:
        raise AssertionError(f"when one of five upstreams {what}, {len(strangers)} keys of others move too")
    heirs = {now[number] for number in home if home[number] is gone}
    if len(heirs) < 2:
        raise AssertionError(f"when one of five upstreams {what}, all its keys go to {heirs}")


def _homes(make: MakeBench, members: Sequence[Upstream]) -> dict[int, Upstream]:
    bench = make(members)
    return {number: bench.use(number) for number in range(_KEYS)}


def _moved(before: dict[int, Upstream], after: dict[int, Upstream]) -> list[int]:
    return [number for number, upstream in before.items() if after[number] is not upstream]
