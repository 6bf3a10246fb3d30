"""An upstream that came back gets its share little by little."""

from __future__ import annotations

from collections import Counter
from random import Random

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.balancers.randomchoice import RandomChoice
from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.messages import Upstream
from twistproxy.testing.inbound import makeRequest
from twistproxy.upstream.candidates import Candidates
from twistproxy.upstream.group import Administrative, UpstreamGroup
from twistproxy.upstream.slowstart import SlowStart


class SlowStartTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.slow = SlowStart(30.0, self.clock.seconds, Random(1).random)
        self.members = Candidates(Upstream(f"http://{each}") for each in "abc")

    def share(self, count: int = 4000) -> float:
        """In which part of the requests the first is a candidate."""
        return sum(self.members[0] in self.slow.thin(self.members) for _ in range(count)) / count

    def test_growsInProportionToTheTime(self) -> None:
        a = self.members[0]
        self.slow.begin(a)
        found = []
        for seconds in (0, 1, 5, 9, 10):  # 0, 1, 6, 15 and 25 of 30
            self.clock.advance(seconds)
            found.append((self.slow.share(a), self.share()))
        for (share, seen), expected in zip(found, (0.1, 0.1, 0.2, 0.5, 25 / 30), strict=True):
            self.assertAlmostEqual(share, expected)
            candidate = 3 * share / (2 + share)  # then it gets a third of these, so share / (2 + share) of all
            self.assertTrue(abs(seen - candidate) < 0.04, (seen, candidate))

    def test_theShareOfAHeavyOne(self) -> None:
        """With weights 3 and 1, half a share is 1.5 in 2.5 of the requests, for a balancer that knows weights."""
        members = Candidates([Upstream("http://a", 3), Upstream("http://b", 1)])
        self.slow.advise(members[0], 0.5)
        balancer = RandomChoice(seed=7)
        picks = [balancer.pick(makeRequest(), self.slow.thin(members)) for _ in range(4000)]
        self.assertTrue(abs(picks.count(members[0]) / 4000 - 1.5 / 2.5) < 0.03, picks.count(members[0]))

    def test_isOverWithTheTime(self) -> None:
        self.slow.begin(self.members[0])
        self.clock.advance(30)
        self.assertIs(self.slow.thin(self.members), self.members)
        self.assertEqual(self.slow.since, {})

    def test_whoIsLeftOutLeavesTheOthersInTheirOrder(self) -> None:
        slow = SlowStart(30.0, self.clock.seconds, lambda: 0.99)
        slow.begin(self.members[1])
        thinned = slow.thin(self.members)
        self.assertEqual(list(thinned), [self.members[0], self.members[2]])
        self.assertIs(slow.thin(self.members), thinned)

    def test_neverNobody(self) -> None:
        slow = SlowStart(30.0, self.clock.seconds, lambda: 0.99)
        for each in self.members:
            slow.begin(each)
        self.assertIs(slow.thin(self.members), self.members)

    def test_strangersDoNotMatter(self) -> None:
        slow = SlowStart(30.0, self.clock.seconds, lambda: 0.99)
        slow.begin(Upstream("http://x"))
        self.assertIs(slow.thin(self.members), self.members)


class GroupTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.slow = SlowStart(30.0, self.clock.seconds, Random(2).random)
        self.members = [Upstream(f"http://{each}") for each in "abcd"]
        self.group = UpstreamGroup("web", RoundRobin(), self.members, slowStart=self.slow)

    def asked(self) -> Counter[str]:
        return Counter(each.location.host for _ in range(1000) for each in self.group.without(()))

    def test_notAtTheStart(self) -> None:
        """All of them are new then: there is nobody to take the load off them."""
        self.assertEqual(set(self.asked().values()), {1000})

    def test_whoCameBack(self) -> None:
        self.group.administer(self.members[0], Administrative.DOWN)
        self.assertEqual(dict(self.group.warming), {})
        self.group.administer(self.members[0], Administrative.READY)
        self.assertEqual(list(self.group.warming), [self.members[0]])
        counts = self.asked()
        self.assertTrue(60 < counts.pop("a") < 150)
        self.assertEqual(set(counts.values()), {1000})

    def test_whoIsNew(self) -> None:
        self.group.setMembers([*self.members, Upstream("http://e")])
        self.assertEqual([each.location.host for each in self.group.warming], ["e"])

    def test_whoLeft(self) -> None:
        self.group.administer(self.members[0], Administrative.DOWN)
        self.group.administer(self.members[0], Administrative.READY)
        self.group.setMembers(self.members[1:])
        self.assertEqual(dict(self.group.warming), {})

    def test_aSecondTryMayGoThere(self) -> None:
        slow = SlowStart(30.0, self.clock.seconds, lambda: 0.99)
        group = UpstreamGroup("web", RoundRobin(), self.members, slowStart=slow)
        slow.begin(self.members[0])
        self.assertNotIn(self.members[0], group.without(()))
        self.assertIn(self.members[0], group.without((self.members[1],)))
