"""What a pick costs, with 10, 100, 1,000 and 10,000 upstreams.

    .venv/bin/python benchmarks/balancers.py

Prints microseconds of one pick with its report, the best of several rounds, as CPU time. Everybody has some requests under
way. With C{weights} every third upstream has weight 2, so that no balancer can take all for equal. The last columns are
what a change of the candidates costs the next pick, and what a snapshot with one member more costs, at the largest number.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from random import Random
from time import process_time
from typing import Any

from twistproxy.balancers.consistenthash import ConsistentHash
from twistproxy.balancers.leastconnections import LeastConnections
from twistproxy.balancers.peakewma import PeakEwma
from twistproxy.balancers.poweroftwo import PowerOfTwoChoices
from twistproxy.balancers.randomchoice import RandomChoice
from twistproxy.balancers.rendezvous import Rendezvous
from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.balancers.stickycookie import StickyCookie
from twistproxy.balancers.weighted import WeightedRoundRobin
from twistproxy.messages import Address, FrozenHeaders, Headers, InboundRequest, Outcome, Upstream
from twistproxy.upstream.candidates import Candidates

SIZES = (10, 100, 1_000, 10_000)
ROUNDS = 5
SECONDS = 0.02
"""Of CPU time, at least, that a round takes."""

BALANCERS: dict[str, Callable[[], Any]] = {
    "round-robin": RoundRobin,
    "random": RandomChoice,
    "weighted-round-robin": WeightedRoundRobin,
    "power-of-two-choices": PowerOfTwoChoices,
    "peak-ewma": PeakEwma,
    "least-connections": LeastConnections,
    "consistent-hash": ConsistentHash,
    "  load-factor=125": lambda: ConsistentHash(loadFactor=125),
    "rendezvous": Rendezvous,
    "sticky-cookie": lambda: StickyCookie(balancer="power-of-two-choices"),
}


def members(count: int, isWeighted: bool) -> list[Upstream]:
    """Upstreams with some requests under way."""
    random = Random(1)
    made = [Upstream(f"http://10.{at >> 16}.{at >> 8 & 255}.{at & 255}:8080", 2 if isWeighted and at % 3 == 0 else 1)
            for at in range(count)]  # fmt: skip
    for each in made:
        each.inFlight = random.randrange(8)
    return made


def requests(count: int) -> list[InboundRequest]:
    """Requests of different clients."""
    headers = FrozenHeaders(Headers({"Host": "example.com", "User-Agent": "x", "Accept": "*/*"}).items)
    clients = [Address(f"192.0.{at >> 8}.{at & 255}", 1) for at in range(count)]
    return [InboundRequest(b"GET", b"/", headers, each, each, "http") for each in clients]


def measure(balancer: Any, upstreams: Sequence[Upstream], asked: Sequence[InboundRequest], rounds: int, seconds: float) -> float:
    """Microseconds of one pick and its report, in the best round."""
    candidates = Candidates(upstreams)
    report = None if getattr(balancer, "ignoresOutcomes", False) else balancer.report
    outcomes = {each: Outcome(each, "", 200, None, 0.01, 0.02, 0, 0, True) for each in upstreams}

    def once() -> None:
        for request in asked:
            picked = balancer.pick(request, candidates)
            if report is not None:
                report(picked, outcomes[picked])

    once()
    best = float("inf")
    for _ in range(rounds):
        turns, spent, started = 0, 0.0, process_time()
        while not turns or spent < seconds:
            once()
            turns += 1
            spent = process_time() - started
        best = min(best, spent / turns / len(asked))
    return best * 1e6


def changes(make: Callable[[], Any], upstreams: Sequence[Upstream], asked: InboundRequest) -> tuple[float, float]:
    """Milliseconds of a pick among other candidates than before, and of a snapshot with one more."""
    balancer = make()
    balancer.upstreamsChanged(upstreams[:-1])
    balancer.pick(asked, Candidates(upstreams[:-1]))
    other = Candidates(upstreams[1:-1])
    started = process_time()
    balancer.pick(asked, other)
    candidates = process_time() - started
    whole = Candidates(upstreams)
    started = process_time()
    balancer.upstreamsChanged(upstreams)
    balancer.pick(asked, whole)
    return candidates * 1e3, (process_time() - started) * 1e3


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Microseconds of picking an upstream.")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="how many upstreams there are")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"default: {ROUNDS}")
    parser.add_argument("--seconds", type=float, default=SECONDS, metavar="S", help=f"of a round; default: {SECONDS}")
    parser.add_argument("--balancer", nargs="+", choices=[each.strip() for each in BALANCERS], help="default: all")
    chosen = parser.parse_args(arguments)
    for isWeighted in (False, True):
        title = "us, weights" if isWeighted else "us, equal"
        sizes = "".join(f"{size:>10,}" for size in chosen.sizes)
        print(f"{title:<22}{sizes}{'candidates':>14}{'snapshot':>12}")
        for name, make in BALANCERS.items():
            if chosen.balancer and name.strip() not in chosen.balancer:
                continue
            cells = []
            for size in chosen.sizes:
                upstreams = members(size, isWeighted)
                balancer = make()
                balancer.upstreamsChanged(upstreams)
                cells.append(measure(balancer, upstreams, requests(50), chosen.rounds, chosen.seconds))
            one, all_ = changes(make, members(max(chosen.sizes), isWeighted), requests(1)[0])
            print(f"{name:<22}" + "".join(f"{cell:>10.2f}" for cell in cells) + f"{one:>11.2f} ms{all_:>9.1f} ms")
        print()


if __name__ == "__main__":
    main()
