"""What C{checkBalancer} finds, what it lets pass, and the balancers that come with twistproxy."""

from __future__ import annotations

import time
from random import Random
from typing import Any
from zlib import crc32

from twisted.internet.defer import succeed
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from twisted.plugins import twistproxy_plugin
from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.interfaces import IBalancer
from twistproxy.plugin import Plugin
from twistproxy.testing import checkBalancer
from twistproxy.testing.conformance.statistics import chiSquare, isClearlyMore, upperGamma


@implementer(IBalancer)
class _Balancer:
    def __init__(self) -> None:
        self.members: Any = ()
        self.random = Random(7)

    def pick(self, request: Any, candidates: Any) -> Any:
        return candidates[0] if candidates else None

    def report(self, upstream: Any, outcome: Any) -> None:
        pass

    def upstreamsChanged(self, upstreams: Any) -> None:
        self.members = upstreams


class Stubborn(_Balancer):
    """Picks whom it likes."""

    def pick(self, request: Any, candidates: Any) -> Any:
        return self.members[0] if self.members else None


class Trusting(_Balancer):
    """Takes candidates for granted."""

    def pick(self, request: Any, candidates: Any) -> Any:
        return candidates[0]


class Deferring(_Balancer):
    """Needs time."""

    def pick(self, request: Any, candidates: Any) -> Any:
        return succeed(candidates[0]) if candidates else None


class Dividing(_Balancer):
    """Divides by the sum of weights."""

    def pick(self, request: Any, candidates: Any) -> Any:
        return candidates[int(1 / sum(each.weight for each in candidates)) % len(candidates)] if candidates else None


class Bookkeeping(_Balancer):
    """Knows only the members of today."""

    def upstreamsChanged(self, upstreams: Any) -> None:
        self.counts = {each.key: 0 for each in upstreams}

    def report(self, upstream: Any, outcome: Any) -> None:
        self.counts[upstream.key] += 1


class Forgetful(RoundRobin):
    """Begins again at every snapshot."""

    def upstreamsChanged(self, upstreams: Any) -> None:
        self._turns = {}


class Slow(_Balancer):
    """Takes its time."""

    def pick(self, request: Any, candidates: Any) -> Any:
        time.sleep(0.0002)
        return super().pick(request, candidates)


class OneTurnForAll(_Balancer):
    """Counts picks, second tries too, so that these use up the turns of the one after next."""

    picks = -1

    def pick(self, request: Any, candidates: Any) -> Any:
        self.picks += 1
        return candidates[self.picks % len(candidates)] if candidates else None


class NextInLine(_Balancer):
    """Passes the share of one who is down to its neighbour."""

    picks = -1

    def pick(self, request: Any, candidates: Any) -> Any:
        if not candidates:
            return None
        members = self.members or candidates
        self.picks += 1
        for at in range(len(members)):
            if members[(self.picks + at) % len(members)] in candidates:
                return members[(self.picks + at) % len(members)]
        return candidates[0]


class LeastRequests(_Balancer):
    """Picks one of those with fewest requests under way."""

    def pick(self, request: Any, candidates: Any) -> Any:
        if not candidates:
            return None
        least = min(each.inFlight for each in candidates)
        return self.random.choice([each for each in candidates if each.inFlight == least])


class TwoChoices(_Balancer):
    """Two choices, the better one wins."""

    def pick(self, request: Any, candidates: Any) -> Any:
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        return min(self.random.sample(candidates, 2), key=lambda each: each.inFlight)


class NeverReset(TwoChoices):
    """Two choices, but the list of the best is not emptied when a better one comes: the busier gets as much."""

    def pick(self, request: Any, candidates: Any) -> Any:
        best: list[Any] = []
        fewest = float("inf")
        for each in sorted(self.random.sample(candidates, min(2, len(candidates))), key=lambda each: -each.inFlight):
            if each.inFlight <= fewest:
                fewest = each.inFlight
                best.append(each)
        return self.random.choice(best) if best else None


class Quickest(_Balancer):
    """Picks who answers soonest."""

    def pick(self, request: Any, candidates: Any) -> Any:
        return min(candidates, key=lambda each: each.latency or 0.0) if candidates else None


class Modulo(_Balancer):
    """The remainder of a division: all keys move when an upstream leaves."""

    def pick(self, request: Any, candidates: Any) -> Any:
        return candidates[crc32(request.path) % len(candidates)] if candidates else None


class OnePoint(_Balancer):
    """A ring with one point for each: all keys of one that leaves go to its neighbour."""

    def pick(self, request: Any, candidates: Any) -> Any:
        key = crc32(request.path)
        ring = sorted((crc32(each.key.encode()), each.key, each) for each in candidates)
        return next((each for point, _, each in ring if point >= key), ring[0][2]) if ring else None


class CheckBalancerTests(SynchronousTestCase):
    def complaint(self, balancer: Any, **promises: Any) -> str:
        return str(self.assertRaises(AssertionError, checkBalancer, balancer, **promises))

    def test_everyBalancer(self) -> None:
        for balancer, check, sentence in (
            (Stubborn, "picks candidates only", "none of the"),
            (Trusting, "picks None of nothing", "IndexError"),
            (Deferring, "picks candidates only", "Deferred"),
            (Dividing, "stands any weights", "ZeroDivisionError"),
            (Bookkeeping, "takes one report for each pick", "KeyError"),
            (Forgetful, "keeps its state when nothing changes", "after a snapshot with the same members"),
        ):
            said = self.complaint(balancer)
            self.assertIn(f"FAILED  {check}", said)
            self.assertIn(sentence, said)

    def test_slowOnes(self) -> None:
        self.assertIn("a pick among 100 upstreams takes", self.complaint(Slow, pickTime=0.0001))

    def test_golden(self) -> None:
        self.assertIn("it has to pick abac, but picks abca", self.complaint(RoundRobin, golden={(2, 1, 1): "abac"}))

    def test_shares(self) -> None:
        self.assertIn("of all: shares [1, 1, 1, 1, 1]", self.complaint(_Balancer, shares="equal"))
        self.assertIn("of all: shares [5, 1, 1]", self.complaint(RoundRobin, shares="weights"))
        self.assertIn("when the first is down", self.complaint(NextInLine, shares="equal"))
        self.assertIn("when the first fails each time", self.complaint(OneTurnForAll, shares="equal"))

    def test_load(self) -> None:
        for good in (LeastRequests, TwoChoices):
            checkBalancer(good, loadAware=True, shares="equal")
        for bad in (RoundRobin, NeverReset):
            self.assertIn("requests under way the picks are", self.complaint(bad, loadAware=True))

    def test_latency(self) -> None:
        checkBalancer(Quickest, latencyAware=True)
        self.assertIn("seconds to the first byte", self.complaint(LeastRequests, latencyAware=True))

    def test_hashing(self) -> None:
        for bad, sentence in (
            (RoundRobin, "keys get another upstream"),
            (Modulo, "keys of others move too"),
            (OnePoint, "all its keys go to"),
        ):
            self.assertIn(sentence, self.complaint(bad, hashing=True))

    def test_whatIsNoBalancer(self) -> None:
        self.assertIn("not IBalancer", self.complaint("static:hello"))
        self.assertIn("is one balancer", self.complaint(RoundRobin()))
        self.assertIn("did you mean", self.complaint("rond-robin"))
        self.assertIn("@implementer", self.complaint(object))


PROMISES: dict[str, dict[str, Any]] = {
    "random": {"shares": "weights"},
    "round-robin": {"shares": "equal", "golden": {(1,): "aaa", (1, 1, 1): "abcabca", (5, 1, 1): "abcabca"}},
    # nginx's commit that brought the smooth variant shows this sequence.
    "weighted-round-robin": {
        "shares": "weights",
        "golden": {(5, 1, 1): "aabacaa" * 2, (4, 3, 2): "abcabacba" * 2, (3, 1): "aaba" * 2, (1, 1): "abab", (4, 2): "abaaba"},
    },
    "least-connections": {"loadAware": True, "shares": "weights", "golden": {(1, 1, 1): "abcabca", (5, 1, 1): "aabacaa"}},
    "power-of-two-choices": {"loadAware": True, "shares": "weights"},
    "peak-ewma": {"loadAware": True, "latencyAware": True},
    "consistent-hash": {"hashing": True, "shares": "weights", "spread": 0.3},
    "rendezvous": {"hashing": True, "shares": "weights"},
    "sticky-cookie": {"loadAware": True, "shares": "weights", "golden": {(1, 1, 1): "abcabca"}},
}
"""What each of the balancers that come with twistproxy promises."""


class BuiltInTests(SynchronousTestCase):
    def test_eachKeepsItsPromises(self) -> None:
        for name, each in vars(twistproxy_plugin).items():
            if isinstance(each, Plugin) and IBalancer in each.provides:
                with self.subTest(name):
                    # With the options that it has by default: an example may have others.
                    self.assertEqual(checkBalancer(each.tag, **PROMISES.get(each.tag, {})).problems, [])

    def test_hashingByEveryKindOfKey(self) -> None:
        for key in ("client", "path", "header\\:X-User", "cookie\\:session", "query\\:q"):
            checkBalancer(f"consistent-hash:key={key}", hashing=True)
            checkBalancer(f"rendezvous:key={key}", hashing=True)

    def test_furtherOptions(self) -> None:
        checkBalancer("consistent-hash:ring=crc32:replicas=100", hashing=True, shares="weights", spread=0.3)
        checkBalancer("consistent-hash:load-factor=150", hashing=True)
        checkBalancer("weighted-round-robin:max-fails=3", shares="weights", golden={(5, 1, 1): "aabacaa"})
        checkBalancer("sticky-cookie:balancer=weighted-round-robin", shares="weights", golden={(4, 3, 2): "abcabacba"})


class StatisticsTests(SynchronousTestCase):
    def test_theGammaFunctionIsThatOfTheTables(self) -> None:
        # Critical values of chi-square: degrees of freedom, value, chance.
        table = ((1, 3.841, 0.05), (1, 6.635, 0.01), (4, 9.488, 0.05), (9, 21.666, 0.01), (99, 123.225, 0.05))
        for freedom, value, chance in table:
            self.assertAlmostEqual(upperGamma(freedom / 2, value / 2), chance, places=3)
        self.assertEqual(upperGamma(2, 0), 1.0)

    def test_chiSquare(self) -> None:
        self.assertAlmostEqual(chiSquare([100, 100], [1, 1]), 1.0)
        self.assertLess(chiSquare([150, 50], [1, 1]), 1e-6)
        self.assertGreater(chiSquare([150, 50], [3, 1]), 0.99)
        self.assertEqual(chiSquare([1, 99], [0, 1]), 0.0)
        self.assertEqual(chiSquare([0, 99], [0, 1]), 1.0)

    def test_clearlyMore(self) -> None:
        self.assertTrue(isClearlyMore(100, 20))
        self.assertFalse(isClearlyMore(100, 90))
        self.assertFalse(isClearlyMore(20, 100))
