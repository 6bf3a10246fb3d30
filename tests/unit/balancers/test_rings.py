"""Points on a ring, and walking along it."""

from __future__ import annotations

from zlib import crc32

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.balancers import rings
from twistproxy.balancers.rings import Ring, ketamaPoints, replicaPoints, serverName, shareOut
from twistproxy.messages import Upstream


class PointTests(SynchronousTestCase):
    def test_eachKetamaPointMakesTheNext(self) -> None:
        """The algorithm of nginx: host, zero byte, port, and the point before as four bytes, little end first."""
        found = ketamaPoints(Upstream("http://10.0.0.1:443"), 3)
        first = crc32(b"10.0.0.1\x00443\0\0\0\0")
        second = crc32(b"10.0.0.1\x00443" + first.to_bytes(4, "little"))
        self.assertEqual(list(found), [first, second, crc32(b"10.0.0.1\x00443" + second.to_bytes(4, "little"))])

    def test_namesAsNginxHasThem(self) -> None:
        for url, name in (
            ("http://10.0.0.1:443", b"10.0.0.1\x00443"),
            ("http://Backend.example", b"backend.example\0"),
            ("http://[::1]:80", b"[::1]\x0080"),
            ("http://[::1]", b"[::1]\0"),
            ("unix:/run/app.sock", b"/run/app.sock\0"),
        ):
            self.assertEqual(serverName(Upstream(url)), name, url)

    def test_basePathsMakeADifference(self) -> None:
        names = {serverName(Upstream(f"http://a:80{tail}")) for tail in ("", "/", "/x", "/y", "/x?q")}
        self.assertEqual(len(names), 4)

    def test_textbook(self) -> None:
        self.assertEqual(list(replicaPoints(Upstream("http://a"), 2)), [crc32(b"0http://a"), crc32(b"1http://a")])


class RingTests(SynchronousTestCase):
    def test_walkComesByEachOnce(self) -> None:
        members = [Upstream(f"http://{each}") for each in "abcdef"]
        ring = Ring(shareOut(members, 50, ketamaPoints, {}))
        for value in (0, 1 << 31, (1 << 32) - 1):
            walked = list(ring.walk(value))
            self.assertIs(walked[0], ring.first(value))
            self.assertEqual(sorted(each.key for each in walked), [each.key for each in members])

    def test_walkFollowsThePoints(self) -> None:
        members = [Upstream(f"http://{each}") for each in "abc"]
        shares = shareOut(members, 20, replicaPoints, {})
        points = sorted((point, each.key) for each in members for point in shares[each])
        value = 123456789
        order = [key for point, key in points if point >= value] + [key for point, key in points if point < value]
        self.assertEqual([each.key for each in Ring(shares).walk(value)], list(dict.fromkeys(order)))

    def test_equalPointsBelongToTheSmallerKeyInAnyOrder(self) -> None:
        a, b = Upstream("http://a"), Upstream("http://b")
        points = replicaPoints(a, 5)
        for shares in ({a: points, b: points}, {b: points, a: points}):
            self.assertEqual({Ring(shares).first(point) for point in points}, {a})

    def test_whoHasNoPointsIsNotThere(self) -> None:
        a, b = Upstream("http://a"), Upstream("http://b", 0)
        ring = Ring(shareOut([a, b], 5, ketamaPoints, {}))
        self.assertEqual(list(ring.walk(0)), [a])

    def test_pointsThatWereMadeAreKept(self) -> None:
        a, b = Upstream("http://a"), Upstream("http://b")
        known = shareOut([a], 5, ketamaPoints, {})
        self.assertIs(shareOut([a, b], 5, ketamaPoints, known)[a], known[a])
        a.weight = 2
        self.assertEqual(len(shareOut([a, b], 5, ketamaPoints, known)[a]), 10)

    def test_aLimitForAllOfThem(self) -> None:
        """Heavy weights, or many upstreams, get fewer points, in proportion, and nobody none."""
        self.patch(rings, "MOST_POINTS", 1000)
        members = [Upstream("http://a", 1000), Upstream("http://b", 500), Upstream("http://c", 1)]
        shares = shareOut(members, 160, ketamaPoints, {})
        self.assertEqual([len(shares[each]) for each in members], [666, 333, 1])
