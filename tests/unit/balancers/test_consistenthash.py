"""The same upstream for the same key."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any
from zlib import crc32

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.balancers.picks import chiSquare, request, upstreams
from twistproxy.balancers.consistenthash import ConsistentHash
from twistproxy.errors import ConfigurationError
from twistproxy.interfaces import IBalancer
from twistproxy.loader.finder import findPlugins
from twistproxy.messages import InboundRequest, Upstream

KETAMA = Path(__file__).parents[2] / "data" / "nginx-ketama.csv"


def made(members: tuple[Upstream, ...], **options: Any) -> ConsistentHash:
    balancer = ConsistentHash(**options)
    balancer.upstreamsChanged(members)
    return balancer


def clients(count: int) -> list[InboundRequest]:
    return [request(client=f"10.{i >> 16}.{i >> 8 & 255}.{i & 255}") for i in range(count)]


class RingTests(SynchronousTestCase):
    def test_pointsAreThoseOfTheText(self) -> None:
        """crc32 of replica number and address; the first point at or after the key's, wrapping."""
        members = upstreams(1, 1, 1)
        balancer = made(members, replicas=10, ring="crc32")
        ring = sorted((crc32(f"{i}{each.key}".encode()), each) for each in members for i in range(10))
        for asked in clients(200):
            point = crc32(asked.client.host.encode())
            owner = next((each for at, each in ring if at >= point), ring[0][1])
            self.assertIs(balancer.pick(asked, members), owner)

    def test_onlyTheKeysOfWhoIsDownMove(self) -> None:
        members = upstreams(1, 1, 1, 1, 1)
        balancer = made(members)
        asked = clients(500)
        before = [balancer.pick(each, members) for each in asked]
        rest = members[:2] + members[3:]
        after = [balancer.pick(each, rest) for each in asked]
        for was, now in zip(before, after, strict=True):
            if was is not members[2]:
                self.assertIs(now, was)
        # And they spread over all others.
        moved = [now for was, now in zip(before, after, strict=True) if was is members[2]]
        self.assertEqual(set(moved), set(rest))

    def test_leavingIsLikeBeingDown(self) -> None:
        members = upstreams(1, 1, 1)
        whole, without = made(members), made(members[1:])
        for asked in clients(200):
            self.assertIs(without.pick(asked, members[1:]), whole.pick(asked, members[1:]))

    def test_orderOfTheMembersDoesNotMatter(self) -> None:
        members = upstreams(1, 1, 1)
        for asked in clients(100):
            self.assertIs(made(members).pick(asked, members), made(members[::-1]).pick(asked, members))

    def test_weights(self) -> None:
        members = upstreams(3, 1)
        balancer = made(members)
        counts = Counter(balancer.pick(each, members) for each in clients(4000))
        self.assertTrue(0.65 < counts[members[0]] / 4000 < 0.85, counts)

    def test_nginxsOwnPicks(self) -> None:
        """What nginx picked for 1001 paths among nine servers of weight 100 (recorded by Pingora's authors)."""
        members = tuple(Upstream(f"http://10.0.0.{at}:443", 100) for at in range(1, 10))
        balancer = made(members, key="path")
        with open(KETAMA, encoding="ascii") as file:
            rows = [line.strip().split(",") for line in file]
        self.assertEqual(len(rows), 1001)
        for path, server in rows:
            picked = balancer.pick(request(path.encode()), members)
            assert picked is not None
            self.assertEqual(picked.location.authority.decode(), server, path)

    def test_fewLeftOfMany(self) -> None:
        """They get a ring of their own, and the same keys as on the ring of all."""
        members = tuple(Upstream(f"http://10.0.0.{at}") for at in range(40))
        whole, few = made(members), members[3:8]
        alone = made(few)
        for asked in clients(200):
            self.assertIs(whole.pick(asked, few), alone.pick(asked, few))
            self.assertIs(whole.pick(asked, few), next(each for each in whole._ring.walk(crc32(asked.client.host.encode()))
                                                       if each in few))  # fmt: skip

    def test_moreReplicasSpreadMoreEvenly(self) -> None:
        members = upstreams(1, 1, 1, 1)
        uneven = {}
        for replicas in (1, 160):
            balancer = made(members, replicas=replicas)
            counts = Counter(balancer.pick(each, members) for each in clients(4000))
            uneven[replicas] = chiSquare((counts[each] for each in members), [1000.0] * 4)
        self.assertLess(uneven[160], uneven[1])


class KeyTests(SynchronousTestCase):
    members = upstreams(*[1] * 12)

    def isSticky(self, key: str, same: list[InboundRequest], others: list[InboundRequest]) -> None:
        """C{same} all go to one upstream, C{others} do not."""
        balancer = made(self.members, key=key)
        self.assertEqual(len({balancer.pick(each, self.members) for each in same}), 1, key)
        self.assertGreater(len({balancer.pick(each, self.members) for each in others}), 1, key)

    def test_clientWithoutPort(self) -> None:
        self.isSticky("client", [request(port=i) for i in range(30)], clients(30))

    def test_header(self) -> None:
        same = [request(client=f"10.0.0.{i}", headers={"X-User": "u"}) for i in range(30)]
        self.isSticky("header:x-user", same, [request(headers={"X-User": str(i)}) for i in range(30)])

    def test_cookie(self) -> None:
        same = [request(headers=[("Cookie", f"a={i}"), ("Cookie", f"b={i}; sid=x; c")]) for i in range(30)]
        self.isSticky("cookie:sid", same, [request(headers={"Cookie": f"sid={i}; xsid=1"}) for i in range(30)])

    def test_query(self) -> None:
        same = [request(b"/%d?x=%d&user=u&userx=%d" % (i, i, i)) for i in range(30)]
        self.isSticky("query:user", same, [request(b"/?user=%d" % i) for i in range(30)])

    def test_path(self) -> None:
        same = [request(b"/a?x=%d" % i) for i in range(30)]
        self.isSticky("path", same, [request(b"/%d" % i) for i in range(30)])

    def test_withoutAKeyAnywhere(self) -> None:
        """They do not all hash to one upstream, as the empty key would."""
        for key in ("header:X-User", "cookie:sid", "query:user", "client"):
            balancer = made(self.members, key=key)
            asked = request(client="", headers={"X-User": ""})
            self.assertGreater(len({balancer.pick(asked, self.members) for _ in range(60)}), 3, key)

    def test_mistakes(self) -> None:
        plugin = findPlugins().find("consistent-hash", IBalancer)
        for options, sentence in [
            ({"key": "heder:X"}, "key: 'heder:X' is none of client, user, host, path, target, header:NAME, cookie:NAME, query:N"),
            ({"key": "header"}, "key: header needs a name, as in header\\:NAME"),
            ({"key": "path:x"}, "key: 'path:x' is none of"),
            ({"replicas": "0"}, "replicas is 1 or more"),
            ({"load-factor": "99"}, "load-factor is 100 (percent) or more, or 0 for no bound"),
        ]:
            error = self.assertRaises(ConfigurationError, plugin.build, None, **options)
            self.assertIn(sentence, error.problems[0])
