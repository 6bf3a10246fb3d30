"""What holds for every balancer, and how it shares requests out."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from random import Random

from twistproxy.errors import ALL_KINDS
from twistproxy.messages import Outcome, Upstream
from twistproxy.testing.conformance.bench import Bench, makeUpstreams
from twistproxy.testing.conformance.statistics import CHANCE, chiSquare
from twistproxy.upstream.candidates import Candidates

MakeBench = Callable[[Sequence[Upstream]], Bench]
"""A fresh balancer with these members."""

_PICKS = 6000


def picksOnlyCandidates(make: MakeBench) -> None:
    """Whoever may be asked changes all the time; one candidate is always picked."""
    bench = make(makeUpstreams(5, 1, 1, 2, 1))
    random = Random(1)
    for number in range(300):
        bench.only(*random.sample(bench.upstreams, random.randint(1, 5)))
        bench.use(number)
    # Members that came since, and candidates that it was never told of.
    bench.change([*bench.upstreams[2:], *makeUpstreams(1, 1, 1, 1, 1, 1, 1)[5:]])
    for number in range(50):
        bench.use(number)


def picksNoneOfNothing(make: MakeBench) -> None:
    """Without candidates there is nothing to pick: None, and no exception."""
    for members in (makeUpstreams(1, 1), []):
        bench = make(members)
        picked = bench.balancer.pick(bench.request(0), Candidates(()))
        if picked is not None:
            raise AssertionError(f"pick gave {picked!r} where there was no candidate")


def standsAnyWeights(make: MakeBench) -> None:
    """Weights of 0, of 1 and of a thousand, among others and alone."""
    for weights in ((0, 0), (0, 1), (1000, 1), (1,), (0,)):
        bench = make(makeUpstreams(*weights))
        for number in range(20):
            bench.use(number)


def takesEveryReport(make: MakeBench) -> None:
    """One report for each pick, of any kind of end, in any order, also for an upstream that has left since."""
    bench = make(makeUpstreams(3, 1, 1))
    left = bench.upstreams[0]
    for kind in ALL_KINDS:
        picked = [bench.pick(number) for number in range(5)]
        for upstream in reversed(picked):
            bench.report(upstream, kind.reason, 0, None)
    picked = [bench.pick(number) for number in range(20)]
    bench.change(bench.upstreams[1:])
    for upstream in [*picked, *(bench.pick(number) for number in range(20))]:
        upstream.inFlight -= 1
        outcome = Outcome(upstream, "", 101, None, None, 86400.0, 1 << 40, 1 << 40, False)
        bench.balancer.report(upstream, outcome)
    if any(bench.use(number) is left for number in range(50)):
        raise AssertionError("an upstream that has left is still picked")


def keepsItsState(make: MakeBench) -> None:
    """A snapshot that changes nothing changes nothing; told only of balancers whose picks can be foretold."""
    members = makeUpstreams(5, 1, 2)

    def picks(interrupted: bool) -> str:
        bench = make(members)
        for number in range(3):
            bench.report(bench.pick(number), "connect_refused", 0, None)
        before = bench.sequence(8)
        if interrupted:
            bench.change(members)
        return before + bench.sequence(24, 8)

    expected = picks(interrupted=False)
    if picks(interrupted=False) != expected:
        return  # it picks at random
    found = picks(interrupted=True)
    if found != expected:
        raise AssertionError(f"after a snapshot with the same members it picks {found[8:]} in place of {expected[8:]}")


def picksFast(make: MakeBench, limit: float) -> None:
    """A pick among a hundred takes no longer than it may; the best of several rounds counts."""
    bench = make(makeUpstreams(*[1 + at % 3 for at in range(100)]))
    requests = [bench.request(number) for number in range(50)]
    best = float("inf")
    for _ in range(5):
        started = time.perf_counter()
        for request in requests:
            bench.balancer.pick(request, bench.candidates)
        best = min(best, (time.perf_counter() - started) / len(requests))
    if best > limit:
        raise AssertionError(f"a pick among 100 upstreams takes {best * 1e6:.0f} us, more than {limit * 1e6:.0f} us")


def followsGolden(make: MakeBench, weights: Sequence[int], expected: str) -> None:
    """The picks that somebody else's implementation, or a paper, has for these weights."""
    found = make(makeUpstreams(*weights)).sequence(len(expected))
    if found != expected:
        raise AssertionError(f"for the weights {tuple(weights)} it has to pick {expected}, but picks {found}")


def sharesOut(make: MakeBench, byWeight: bool, spread: float) -> None:
    """Everybody gets a fair share; also when one is down, so that no neighbour takes all of its requests."""
    for weights in ((1, 1, 1, 1, 1), (5, 1, 1), (1, 2, 3, 4)):
        bench = make(makeUpstreams(*weights))
        _compare("of all", bench, byWeight, spread)
        bench.only(*bench.upstreams[1:])
        _compare("when the first is down", bench, byWeight, spread)
        bench.only(*bench.upstreams)
        _compare("when it is up again", bench, byWeight, spread)
        _spreadsTheFailing(make(makeUpstreams(*weights)), byWeight, spread)


def _spreadsTheFailing(bench: Bench, byWeight: bool, spread: float) -> None:
    """One fails each time, and is asked again and again since nobody checks: its share goes to all others alike."""
    whole, failing = bench.candidates, bench.upstreams[0]
    others = bench.upstreams[1:]
    counted = dict.fromkeys(others, 0)
    for number in range(_PICKS // 2):
        bench.candidates = whole
        picked = bench.pick(number)
        if picked is failing:
            bench.report(picked, "connect_refused", 0, None)
            bench.only(*others)
            picked = bench.pick(number)
        bench.report(picked)
        counted[picked] += 1
    shares = [each.weight if byWeight else 1 for each in others]
    _judge("when the first fails each time", list(counted.values()), shares, spread)


def _compare(when: str, bench: Bench, byWeight: bool, spread: float) -> None:
    shares = [each.weight if byWeight else 1 for each in bench.candidates]
    _judge(when, bench.counts(_PICKS), shares, spread)


def _judge(when: str, counts: Sequence[int], shares: Sequence[int], spread: float) -> None:
    total = sum(counts)
    if spread:
        fair = [total * share / sum(shares) for share in shares]
        isFair = all(abs(count - each) <= spread * each + 4.5 * each**0.5 for count, each in zip(counts, fair, strict=True))
    else:
        isFair = chiSquare(counts, shares) > CHANCE
    if not isFair:
        raise AssertionError(f"{when}: shares {shares} should be kept, but of {total} requests they get {counts}")
