"""What finding a route costs, with 10, 1,000 and 10,000 of them: it should not depend on their number.

    .venv/bin/python benchmarks/routes.py

Prints microseconds of one search, the best of several runs, for routes by path, by host, by both, and for a request that
matches none. The linear search that a list of routes would be is there to compare.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from time import perf_counter

from twistproxy.messages import Address, FrozenHeaders, Headers, InboundRequest
from twistproxy.routing import RouteMatch, Router, hostName, segmentsOf

SIZES = (10, 1_000, 10_000)
ROUNDS = 5
REQUESTS = 2_000
LIST = 1_000
"""Routes that are gone through one after the other."""


def asked(host: str, path: str) -> InboundRequest:
    """A request with the headers of a browser."""
    fields = {"Host": host, "User-Agent": "x", "Accept": "*/*", "Accept-Encoding": "gzip", "Cookie": "a=b; c=d"}
    client = Address("127.0.0.1", 1)
    return InboundRequest(b"GET", path.encode(), FrozenHeaders(Headers(fields).items), client, client, "http")


def byPath(i: int) -> RouteMatch:
    return RouteMatch(path=f"/team{i % 97}/service{i}/v1".encode())


def byHost(i: int) -> RouteMatch:
    return RouteMatch(hosts=(f"tenant{i}.example.com",))


def byBoth(i: int) -> RouteMatch:
    return RouteMatch(hosts=(f"tenant{i // 10}.example.com",), path=f"/api/v{i % 10}".encode())


def byWildcard(i: int) -> RouteMatch:
    return RouteMatch(hosts=(f"*.tenant{i}.example.com",), path=b"/api")


SHAPES: dict[str, tuple[Callable[[int], RouteMatch], Callable[[int], InboundRequest]]] = {
    "path": (byPath, lambda i: asked("example.com", f"/team{i % 97}/service{i}/v1/items/7?x=1")),
    "host": (byHost, lambda i: asked(f"tenant{i}.example.com", "/api/v1/items/7")),
    "host and path": (byBoth, lambda i: asked(f"tenant{i // 10}.example.com:8080", f"/api/v{i % 10}/items/7")),
    "wildcard": (byWildcard, lambda i: asked(f"www.tenant{i}.example.com", "/api/v1/items/7")),
    "none matches": (byPath, lambda i: asked("example.com", f"/team{i % 97}/service{i}/v2/items/7")),
    "encoded path": (byPath, lambda i: asked("example.com", f"/team{i % 97}/./service{i}/v1/%69tems/7")),
}


def linear(matches: Sequence[RouteMatch], request: InboundRequest) -> int | None:
    """One after the other, the longest prefix wins."""
    path, host = segmentsOf(request.path), hostName(request.host)
    best, found = -1, None
    for i, match in enumerate(matches):
        prefix = segmentsOf(match.path)
        if len(prefix) > best and path[: len(prefix)] == prefix and (not match.hosts or host in match.hosts):
            best, found = len(prefix), i
    return found


def measure(find: Callable[[InboundRequest], object], requests: Sequence[InboundRequest], rounds: int) -> float:
    """Microseconds of one search, in the best round."""
    best = float("inf")
    for _ in range(rounds):
        started = perf_counter()
        for request in requests:
            find(request)
        best = min(best, perf_counter() - started)
    return best / len(requests) * 1e6


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Microseconds of finding the route of a request.")
    parser.add_argument("--sizes", type=int, nargs="+", default=SIZES, metavar="N", help="how many routes there are")
    parser.add_argument("--rounds", type=int, default=ROUNDS, metavar="N", help=f"default: {ROUNDS}")
    chosen = parser.parse_args(arguments)
    print("us per search".ljust(16) + "".join(f"{size:>10,}" for size in chosen.sizes) + f"    list of {LIST:,}")
    for name, (makeMatch, makeRequest) in SHAPES.items():
        cells = []
        for size in chosen.sizes:
            router = Router((makeMatch(i), i) for i in range(size))
            step = max(1, size // REQUESTS)
            requests = [makeRequest(i % size) for i in range(0, REQUESTS * step, step)]
            cells.append(measure(router.route, requests, chosen.rounds))
        matches = [makeMatch(i) for i in range(LIST)]
        requests = [makeRequest(i) for i in range(0, LIST, 100)]
        slow = measure(lambda request: linear(matches, request), requests, chosen.rounds)  # noqa: B023
        print(name.ljust(16) + "".join(f"{cell:>10.2f}" for cell in cells) + f"{slow:>14.0f}")
    most = max(chosen.sizes)
    started = perf_counter()
    Router((byPath(i), i) for i in range(most))
    print(f"\nmaking a router of {most:,} routes: {(perf_counter() - started) * 1e3:.0f} ms")


if __name__ == "__main__":
    main()
