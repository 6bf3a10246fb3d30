"""L{checkBalancer}: any balancer, without a proxy around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import Any, Literal

from twistproxy.config import BuildContext
from twistproxy.errors import ConfigurationError
from twistproxy.messages import InboundRequest, Upstream
from twistproxy.testing.conformance import learning, picking
from twistproxy.testing.conformance.bench import Bench, differentRequest
from twistproxy.testing.conformance.report import Report
from twistproxy.testing.conformance.subject import Subject, checkObject, interfacesOf
from twistproxy.testing.network import MemoryNetwork


def checkBalancer(
    makeBalancer: Any,
    *,
    golden: Mapping[Sequence[int], str] | None = None,
    shares: Literal["equal", "weights"] | None = None,
    spread: float = 0.0,
    loadAware: bool = False,
    latencyAware: bool = False,
    hashing: bool = False,
    request: Callable[[int], InboundRequest] | None = None,
    pickTime: float = 0.001,
) -> Report:
    """Check what has to hold for every balancer, and what this one promises.

    Every balancer picks candidates only, None where there are none, stands any weights, takes one report for each pick
    whatever the end was, goes on as before when a snapshot changes nothing, and picks fast. The promises are tried where
    the arguments say that it makes them::

        checkBalancer(RoundRobin, shares="equal", golden={(1, 1, 1): "abcabc"})
        checkBalancer("consistent-hash:key=path", hashing=True, shares="weights", spread=0.3)

    @param makeBalancer: a plugin string or table, a factory, or a class or function to be called without arguments.
    @param golden: for upstreams of some weights the picks of the first requests, a letter for each upstream.
    @param shares: whether upstreams get requests in equal shares or by weight; tested by chi-square.
    @param spread: for balancers whose shares are not exact by their method, as those of a hash ring: the part by which
        each may differ, as 0.3; in place of chi-square.
    @param loadAware: whether it prefers upstreams with fewer requests under way.
    @param latencyAware: whether it prefers those that answer sooner.
    @param hashing: whether it keeps keys where they are.
    @param request: makes requests, by number, whose keys differ; by default they differ in address, path, query,
        C{X-User} and the cookies C{session} and C{user}.
    @param pickTime: seconds that a pick among 100 upstreams may take.
    @return: the report, to be printed.
    @raise AssertionError: when anything is wrong; its message is the report.
    """
    try:
        subject = Subject(makeBalancer)
    except (ConfigurationError, ValueError) as error:
        raise AssertionError(str(error)) from error
    if not subject.isFresh:
        raise AssertionError(f"{makeBalancer!r} is one balancer; give what makes one, as its class")
    report = Report(subject.name)
    context = BuildContext(MemoryNetwork(), place="checkBalancer", pools=("default",))
    if not report.run("it is a balancer", lambda: _isBalancer(subject, context)):
        return report.raiseProblems()

    requests = cache(request or differentRequest)  # making them would take longer than all else

    def make(upstreams: Sequence[Upstream]) -> Bench:
        for each in upstreams:
            each.inFlight, each.latency = 0, None
        return Bench(lambda: subject.make(context), upstreams, requests)

    run = report.run
    run("picks candidates only", lambda: picking.picksOnlyCandidates(make))
    run("picks None of nothing", lambda: picking.picksNoneOfNothing(make))
    run("stands any weights", lambda: picking.standsAnyWeights(make))
    run("takes one report for each pick", lambda: picking.takesEveryReport(make))
    run("keeps its state when nothing changes", lambda: picking.keepsItsState(make))
    run("picks fast", lambda: picking.picksFast(make, pickTime))
    for weights, expected in (golden or {}).items():
        run(f"picks {expected} for weights {tuple(weights)}", partial(picking.followsGolden, make, weights, expected))
    if shares is not None:
        run(f"shares: {shares}", lambda: picking.sharesOut(make, shares == "weights", spread))
    if loadAware:
        run("more load never gets more picks", lambda: learning.prefersTheIdle(make))
    if latencyAware:
        run("more latency never gets more picks", lambda: learning.prefersTheQuick(make))
    if hashing:
        run("the same key gets the same upstream", lambda: learning.keepsKeys(make))
        run("few keys move when an upstream leaves", lambda: learning.movesFewKeys(make))
    return report.raiseProblems()


def _isBalancer(subject: Subject, context: BuildContext) -> bool:
    made = subject.make(context)
    checkObject(made)
    kinds = [each.__name__ for each in interfacesOf(made)]
    if "IBalancer" not in kinds:
        raise AssertionError(f"it is {' and '.join(kinds)}, not IBalancer")
    return True
