"""What is made of a snapshot."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.discovery.snapshots import MAX_MEMBERS, Told, Verdict, areEqual, asTold, judge, merge, sift
from twistproxy.messages import Upstream


def of(*names: str, **options: Any) -> list[Upstream]:
    return [Upstream(f"http://{each}", **options) for each in names]


def told(*names: str, **options: Any) -> list[Told]:
    return [asTold(each) for each in of(*names, **options)]


class SiftTests(SynchronousTestCase):
    def test_whatIsNoUpstreamIsLeftOutAndTheRestUsed(self) -> None:
        found, problems = sift([*of("a"), 17, *of("b"), None])
        self.assertEqual([each.upstream.key for each in found], ["http://a", "http://b"])
        self.assertEqual(problems, ["int is no Upstream", "NoneType is no Upstream"])

    def test_eachOnce(self) -> None:
        found, problems = sift(of("a", "A:80", "b"))
        self.assertEqual([each.upstream.key for each in found], ["http://a", "http://b"])
        self.assertEqual(problems, ["http://a is there twice"])

    def test_thereIsAnEnd(self) -> None:
        found, problems = sift(Upstream(f"http://h{i}") for i in range(MAX_MEMBERS + 5))
        self.assertEqual((len(found), len(problems)), (MAX_MEMBERS, 1))


class JudgeTests(SynchronousTestCase):
    def verdict(self, before: str, after: str, allowEmpty: bool = False, maxShrink: int = 50) -> Verdict:
        return judge(told(*before), told(*after), allowEmpty, maxShrink)

    def test_emptyOnesAreRefusedUnlessAllowed(self) -> None:
        self.assertIs(self.verdict("ab", ""), Verdict.EMPTY)
        self.assertIs(self.verdict("", ""), Verdict.EMPTY)
        self.assertIs(self.verdict("ab", "", allowEmpty=True, maxShrink=100), Verdict.TAKE)
        self.assertIs(self.verdict("ab", "", allowEmpty=True), Verdict.SHRUNK)
        self.assertIs(self.verdict("", "", allowEmpty=True), Verdict.EQUAL)

    def test_moreThanTheShareAtOnceIsHeldBack(self) -> None:
        self.assertIs(self.verdict("abcd", "ab"), Verdict.TAKE)
        self.assertIs(self.verdict("abcd", "a"), Verdict.SHRUNK)
        self.assertIs(self.verdict("abc", "a"), Verdict.SHRUNK)
        self.assertIs(self.verdict("abcd", "a", maxShrink=75), Verdict.TAKE)

    def test_othersInTheirPlaceAreNoLoss(self) -> None:
        self.assertIs(self.verdict("abcd", "efgh"), Verdict.TAKE)

    def test_equal(self) -> None:
        self.assertIs(self.verdict("ab", "ab"), Verdict.EQUAL)
        self.assertIs(self.verdict("ab", "ba"), Verdict.TAKE)

    def test_whatMakesADifference(self) -> None:
        for options in ({"weight": 2}, {"backup": True}, {"maxConnections": 3}, {"metadata": {"zone": "b"}}):
            self.assertFalse(areEqual(told("a"), told("a", **options)), options)


    def test_whatBecomesOfTheObjectMakesNone(self) -> None:
        before = told("a")
        before[0].upstream.maxConnections = 7
        self.assertTrue(areEqual(before, told("a")))


class MergeTests(SynchronousTestCase):
    def test_whatIsWrittenStands(self) -> None:
        written = told("a", weight=7)
        self.assertEqual(merge(written, told("a", weight=1)), tuple(written))

    def test_eachOnceInOrder(self) -> None:
        merged = merge(told("c"), told("a"), told("b", "a"))
        self.assertEqual([each.upstream.url for each in merged], ["http://c", "http://a", "http://b"])
