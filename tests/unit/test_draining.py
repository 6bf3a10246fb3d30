"""Upstreams that are drained, taken down or removed while something runs there."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.messages import Upstream
from twistproxy.testing import FakeUpstream, ProxyHarness
from twistproxy.upstream.group import Administrative


class DrainingTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.first, self.second = FakeUpstream(body=b"first"), FakeUpstream(body=b"second")

    def harness(self) -> ProxyHarness:
        harness = ProxyHarness(upstreams=[self.first, self.second])
        self.addCleanup(harness.close)
        return harness

    def leave(self, harness: ProxyHarness, how: str) -> None:
        """Have the first upstream get nothing more."""
        one, two = harness.members
        if how == "removed":
            harness.engine.groups["default"].setMembers([two])
            harness.engine.pools.keepOnly(frozenset([two.key]))
        else:
            self.assertEqual(harness.engine.administer(one.key, Administrative(how)), 1)
        harness.pump()

    def test_tunnelsGoOn(self) -> None:
        for how in ("drain", "down", "removed"):
            self.setUp()
            self.first.upgrade()
            harness = self.harness()
            one = harness.members[0]
            tunnel = harness.websocket("/")
            self.leave(harness, how)
            tunnel.send(b"still here?")
            harness.advance(100)
            self.assertEqual((tunnel.received, one.inFlight), (b"still here?", 1), how)
            self.assertEqual([harness.get("/").body for _ in range(3)], [b"second"] * 3)
            tunnel.halfClose()
            harness.pump()
            self.assertEqual((tunnel.client.isEnded, one.inFlight), (True, 0), how)

    def test_exchangesUnderWayEnd(self) -> None:
        for how in ("drain", "down", "removed"):
            self.setUp()
            self.first.wait(5).respond(200, body=b"late")
            harness = self.harness()
            answer = harness.get("/")
            self.leave(harness, how)
            harness.advance(5)
            self.assertEqual((answer.isComplete, answer.body), (True, b"late"), how)

    def test_idleConnectionsOfARemovedOneAreClosed(self) -> None:
        harness = self.harness()
        for _ in range(2):
            harness.get("/")
        self.leave(harness, "removed")
        self.assertEqual([each.peers[0].closed is not None for each in (self.first, self.second)], [True, False])

    def test_soAreThoseOfADrainedOne(self) -> None:
        for how in ("drain", "down"):
            self.setUp()
            harness = self.harness()
            for _ in range(2):
                harness.get("/")
            self.leave(harness, how)
            self.assertEqual([each.peers[0].closed is not None for each in (self.first, self.second)], [True, False], how)

    def test_soIsTheOneThatWasBusyThenOnceItIsIdle(self) -> None:
        self.first.wait(5).respond(200, body=b"late")
        harness = self.harness()
        harness.get("/")
        self.leave(harness, "removed")
        self.assertIsNone(self.first.peers[0].closed)
        harness.advance(5)
        self.assertIsNotNone(self.first.peers[0].closed)

    def test_theLimitOfConnectionsFollowsASnapshot(self) -> None:
        self.first.stall()
        harness = ProxyHarness(upstream=self.first)
        group = harness.engine.groups["default"]
        for limit, expected in ((1, 1), (3, 3), (2, 3), (4, 4)):
            group.setMembers([Upstream(self.first.url, maxConnections=limit)])
            for _ in range(3):
                harness.connect().request("GET", "/", {"Host": "a"})
            self.assertEqual(len([each for each in self.first.peers if each.closed is None]), expected, limit)
        for client in harness.clients:
            client.abort()
        harness.close()

    def test_whoIsAskedWhenAllAreDrained(self) -> None:
        harness = self.harness()
        for each in harness.members:
            harness.engine.administer(each.key, Administrative.DRAIN)
        self.assertEqual(harness.get("/").status, 503)
        self.assertEqual(harness.engine.administer("http://10.9.9.9", Administrative.DRAIN), 0)
        harness.engine.administer(harness.members[0].key, Administrative.READY)
        self.assertEqual(harness.get("/").body, b"first")

    def test_aStickySessionStaysWithADrainedUpstream(self) -> None:
        harness = ProxyHarness(upstreams=[self.first, self.second], balancer="sticky-cookie")
        self.addCleanup(harness.close)
        answer = harness.get("/")
        cookie = answer.headers.get("set-cookie").partition(";")[0]
        mine, other = (self.first, self.second) if answer.body == b"first" else (self.second, self.first)
        harness.engine.administer(mine.url, Administrative.DRAIN)
        self.assertEqual([harness.get("/", {"Cookie": cookie}).body for _ in range(3)], [answer.body] * 3)
        before = len(mine.requests)
        for _ in range(3):
            harness.get("/")
        self.assertEqual(len(mine.requests), before)
        harness.engine.administer(other.url, Administrative.DRAIN)
        self.assertEqual(harness.get("/", {"Cookie": cookie}).body, answer.body)
        harness.engine.administer(other.url, Administrative.READY)
        harness.engine.administer(mine.url, Administrative.DOWN)
        self.assertNotEqual(harness.get("/", {"Cookie": cookie}).body, answer.body)
        self.assertEqual(len(other.requests), 4)
