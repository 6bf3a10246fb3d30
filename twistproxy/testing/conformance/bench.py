"""A balancer at work, without a proxy: upstreams, requests, picks and reports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twistproxy.messages import InboundRequest, Outcome, Upstream
from twistproxy.testing.inbound import makeRequest
from twistproxy.upstream.candidates import Candidates

LETTERS = "abcdefghijklmnopqrstuvwxyz"


def differentRequest(number: int) -> InboundRequest:
    """A request that differs from all others in whatever a balancer may look at: client, path, query, headers, cookies."""
    name = f"{number:x}"
    headers = {"X-User": f"user-{name}", "Cookie": f"session={name}; user={name}", "Authorization": f"Bearer {name}"}
    client = f"10.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    return makeRequest("GET", f"/{name}?q={name}", headers, client=client)


def makeUpstreams(*weights: int) -> list[Upstream]:
    """Upstreams with these weights."""
    return [Upstream(f"http://10.0.0.{at}:8080", weight) for at, weight in enumerate(weights, 1)]


class Bench:
    """One balancer and its upstreams.

    Whatever it picks is checked: one of the candidates, and nothing when there are none.
    """

    upstreams: list[Upstream]
    """The members."""

    candidates: Candidates
    """Those that may be picked; the same object until it is set again."""

    def __init__(self, make: Callable[[], Any], upstreams: Sequence[Upstream], request: Callable[[int], InboundRequest]) -> None:
        """
        @param make: makes the balancer.
        @param request: gives requests, by number; those that another bench had are as new.
        """
        self.balancer = make()
        self.request = request
        self._requests: dict[int, InboundRequest] = {}
        self.change(upstreams)

    def change(self, upstreams: Sequence[Upstream]) -> None:
        """Tell the balancer that these are the members now; all of them are candidates."""
        self.upstreams = list(upstreams)
        self.candidates = Candidates(upstreams)
        self.balancer.upstreamsChanged(tuple(upstreams))

    def only(self, *upstreams: Upstream) -> None:
        """Let only these be candidates."""
        self.candidates = Candidates(upstreams)

    def pick(self, number: int = 0) -> Upstream:
        """A pick for the request of that number, which is now under way.

        @raise AssertionError: when it is none of the candidates.
        """
        request = self._requests.get(number)
        if request is None:
            request = self._requests[number] = self.request(number)
            request.state.clear()
        picked = self.balancer.pick(request, self.candidates)
        if not isinstance(picked, Upstream) or picked not in self.candidates:
            raise AssertionError(f"pick gave {picked!r}, which is none of the {len(self.candidates)} candidates")
        picked.inFlight += 1
        return picked

    def report(self, upstream: Upstream, error: str = "", code: int = 200, firstByteTime: float | None = 0.01) -> None:
        """Report the end of a pick."""
        upstream.inFlight -= 1
        if firstByteTime is not None:
            upstream.latency = firstByteTime
        outcome = Outcome(upstream, error, code, 0.001, firstByteTime, 0.02, 0, 100, True)
        self.balancer.report(upstream, outcome)

    def use(self, number: int = 0) -> Upstream:
        """A pick, and its successful end."""
        picked = self.pick(number)
        self.report(picked)
        return picked

    def sequence(self, count: int, start: int = 0) -> str:
        """The picks for so many requests, one after the other: a letter for each member, in their order."""
        return "".join(LETTERS[self.upstreams.index(self.use(start + at))] for at in range(count))

    def counts(self, count: int) -> list[int]:
        """How often each of the candidates is picked for so many requests."""
        counted = dict.fromkeys(self.candidates, 0)
        for at in range(count):
            counted[self.use(at)] += 1
        return list(counted.values())

    def load(self, *loads: int) -> None:
        """Let so many picks of each member be under way and not end."""
        for upstream, load in zip(self.upstreams, loads, strict=True):
            self.only(upstream)
            for at in range(load):
                self.pick(at)
        self.only(*self.upstreams)
