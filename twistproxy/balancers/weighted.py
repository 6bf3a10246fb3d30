"""In turn, as often as the weights say and evenly spread: nginx's smooth weighted round robin.

Each pick adds to every candidate's current weight its effective one; the largest wins and pays the sum. Weights 5, 1 and
1 give C{aabacaa}, not C{aaaaabc}. A failure lowers the effective weight, each pick raises it by one again, so that an
upstream in trouble gets less without being shut out.

Adding something to everyone at every pick would cost a pick as much as there are candidates. But as long as nobody is in
trouble, current weights are straight lines over the picks, and among equal weights the order of two lines never changes.
So there is a heap for each weight that occurs, the largest current weight on top, and a pick compares the tops. Only
those in trouble are gone through one by one. The picks are the same, ties included.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from heapq import heapify, heappop, heappush, heapreplace
from itertools import count
from typing import Final

from zope.interface import implementer

from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.errors import ALL_KINDS, Fault
from twistproxy.interfaces import IExplainingBalancer
from twistproxy.messages import InboundRequest, Outcome, Upstream

FAILURES: Final = frozenset(each.reason for each in ALL_KINDS if each.fault is Fault.UPSTREAM)
"""The words of errors that are an upstream's own."""


class _Share:
    """The account of one upstream.

    @ivar current: its current weight; while it is in a heap, that of the tick 0 if it had been there all the time.
    @ivar place: among the candidates; of equals the first wins.
    @ivar serial: names its entry in a heap; entries with another are out of date. 0 while it is in none.
    """

    __slots__ = ("current", "effective", "place", "serial", "upstream", "weight")

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        self.weight = self.effective = upstream.weight
        self.current = self.place = self.serial = 0


_Entry = tuple[int, int, int, _Share]
"""Current weight with its sign changed, place, serial, share: the smallest is the one to be picked."""


@implementer(IExplainingBalancer)
class WeightedRoundRobin:
    """Pick in turn, each upstream as often as its weight says, spread evenly; fewer picks after failures."""

    def __init__(self, maxFails: int = 0) -> None:
        """
        @param maxFails: a failure takes this part of the weight, as nginx's max_fails; 0: it takes one.
        """
        if maxFails < 0:
            raise ValueError("max-fails is 0 or more")
        self._maxFails = maxFails
        self._shares: dict[str, _Share] = {}
        self._candidates: Sequence[Upstream] = ()
        self._heaps: dict[int, list[_Entry]] = {}
        self._troubled: list[_Share] = []
        self._tick = 0
        self._total = 0  # of the weights of those in heaps
        self._serials = count(1)
        self._equals = RoundRobin()

    def pick(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Upstream | None:
        """The one whose turn it is."""
        if candidates is not self._candidates:
            self._leave()
            self._enter(candidates)
        if not self._heaps and not self._troubled:  # all weights are zero: then none is heavier than another
            return self._equals.pick(request, candidates)
        self._tick = tick = self._tick + 1
        total = self._total
        best: _Share | None = None
        highest = 0
        for weight, heap in self._heaps.items():
            while heap and heap[0][2] != heap[0][3].serial:
                heappop(heap)
            if heap:
                current, share = weight * tick - heap[0][0], heap[0][3]
                if best is None or current > highest or (current == highest and share.place < best.place):
                    best, highest = share, current
        recovered = False
        for share in self._troubled:
            total += share.effective
            current = share.current = share.current + share.effective
            share.effective += 1
            recovered = recovered or share.effective == share.weight
            if best is None or current > highest or (current == highest and share.place < best.place):
                best, highest = share, current
        assert best is not None
        best.current -= total
        if best.serial:
            heapreplace(self._heaps[best.weight], self._entryOf(best))
        if recovered:
            self._welcomeBack()
        return best.upstream

    def scores(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Mapping[Upstream, float]:
        """The effective weights, which failures lower: more is a larger share."""
        return {each: self._effective(each) for each in candidates}

    def _effective(self, upstream: Upstream) -> int:
        share = self._shares.get(upstream.key)
        return upstream.weight if share is None or share.weight != upstream.weight else share.effective

    def _entryOf(self, share: _Share) -> _Entry:
        share.serial = next(self._serials)
        return (-share.current, share.place, share.serial, share)

    def _enter(self, candidates: Sequence[Upstream]) -> None:
        """From now on these are picked from."""
        self._candidates = candidates
        self._tick = self._total = 0
        heaps: dict[int, list[_Entry]] = {}
        for place, upstream in enumerate(candidates):
            if not upstream.weight:
                continue
            share = self._shareOf(upstream)
            share.place = place
            if share.effective < share.weight:
                self._troubled.append(share)
            else:
                heaps.setdefault(share.weight, []).append(self._entryOf(share))
                self._total += share.weight
        for heap in heaps.values():
            heapify(heap)
        self._heaps = heaps

    def _leave(self) -> None:
        """Settle the accounts of all that are in heaps."""
        tick = self._tick
        for weight, heap in self._heaps.items():
            for _, _, serial, share in heap:
                if share.serial == serial:
                    share.current += weight * tick
                    share.serial = 0
        self._heaps, self._troubled = {}, []
        self._candidates = ()

    def _welcomeBack(self) -> None:
        """Those that have their whole weight again go back into their heaps."""
        troubled, self._troubled = self._troubled, []
        for share in troubled:
            if share.effective < share.weight:
                self._troubled.append(share)
                continue
            share.current -= share.weight * self._tick
            self._total += share.weight
            heap = self._heaps.setdefault(share.weight, [])
            if len(heap) > 2 * len(self._candidates):  # mostly entries that are out of date
                heap[:] = [each for each in heap if each[2] == each[3].serial]
                heapify(heap)
            heappush(heap, self._entryOf(share))

    def _shareOf(self, upstream: Upstream) -> _Share:
        share = self._shares.get(upstream.key)
        if share is None or share.weight != upstream.weight:
            share = self._shares[upstream.key] = _Share(upstream)
        share.upstream = upstream
        return share

    def report(self, upstream: Upstream, outcome: Outcome) -> None:
        """Take from the effective weight for a failure of the upstream's own."""
        if outcome.error not in FAILURES:
            return
        share = self._shares.get(upstream.key)
        if share is None:
            return
        cost = share.weight // self._maxFails if self._maxFails else 1
        if not cost or not share.effective:
            return
        share.effective = max(0, share.effective - cost)
        if share.serial:
            share.current += share.weight * self._tick
            share.serial = 0
            self._total -= share.weight
            self._troubled.append(share)

    def upstreamsChanged(self, upstreams: Sequence[Upstream]) -> None:
        """Forget those that left; those that stay keep their accounts."""
        self._leave()
        known = {each.key for each in upstreams}
        self._shares = {key: share for key, share in self._shares.items() if key in known}
