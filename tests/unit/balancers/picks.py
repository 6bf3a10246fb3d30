"""What the tests of balancers share."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from twistproxy.messages import Address, FrozenHeaders, Headers, InboundRequest, Outcome, Upstream


def request(target: bytes = b"/", client: str = "192.0.2.1", headers: Any = (), port: int = 1234) -> InboundRequest:
    """A request as a balancer sees it."""
    address = Address(client, port)
    return InboundRequest(b"GET", target, FrozenHeaders(Headers(headers).items), address, address, "http")


def upstreams(*weights: int) -> tuple[Upstream, ...]:
    """Upstreams a, b, c, ... with these weights."""
    return tuple(Upstream(f"http://{name}", weight) for name, weight in zip("abcdefghijklmnop", weights, strict=False))


def picks(balancer: Any, candidates: Sequence[Upstream], count: int) -> str:
    """The names of those that are picked, one letter each."""
    return "".join(balancer.pick(request(), candidates).location.host for _ in range(count))


def outcome(upstream: Upstream, error: str = "") -> Outcome:
    """How an attempt ended."""
    return Outcome(upstream, error, 0 if error else 200, None, None, 0.1, 0, 0, False)


def chiSquare(counts: Iterable[int], expected: Iterable[float]) -> float:
    """How far from C{expected} the counts are."""
    return sum((count - want) ** 2 / want for count, want in zip(counts, expected, strict=True))
