"""What name servers answer, as entries."""

from __future__ import annotations

from typing import Any

from twisted.names import dns
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.discovery.answers import Found, Target, addressesOf, targetsOf


def record(name: str, payload: Any, ttl: int = 60) -> dns.RRHeader:
    return dns.RRHeader(name=name, type=payload.TYPE, ttl=ttl, payload=payload)


class AddressTests(SynchronousTestCase):
    def test_sortedAndEachOnceWithTheLeastTime(self) -> None:
        answers = [record("web.example", dns.Record_A(each), ttl) for each, ttl in (("10.0.0.2", 30), ("10.0.0.1", 20))]
        self.assertEqual(addressesOf("Web.Example.", dns.A, [*answers, answers[0]]), Found(("10.0.0.1", "10.0.0.2"), 20))

    def test_ofOneFamilyAndName(self) -> None:
        answers = [
            record("web.example", dns.Record_AAAA("2001:db8::1")), record("web.example", dns.Record_A("10.0.0.1")),
            record("other.example", dns.Record_AAAA("2001:db8::2")),
        ]  # fmt: skip
        self.assertEqual(addressesOf("web.example", dns.AAAA, answers).addresses, ("2001:db8::1",))

    def test_throughAliases(self) -> None:
        answers = [
            record("a.example", dns.Record_CNAME("b.example"), 5), record("b.example", dns.Record_CNAME("c.example")),
            record("c.example", dns.Record_A("10.0.0.1")),
        ]  # fmt: skip
        self.assertEqual(addressesOf("a.example", dns.A, answers), Found(("10.0.0.1",), 5))
        self.assertEqual(addressesOf("a.example", dns.A, answers[:2]), Found((), 5, "c.example"))

    def test_aliasesInACircle(self) -> None:
        answers = [record("a.example", dns.Record_CNAME("b.example")), record("b.example", dns.Record_CNAME("a.example"))]
        self.assertEqual(addressesOf("a.example", dns.A, answers).addresses, ())

    def test_none(self) -> None:
        self.assertEqual(addressesOf("a.example", dns.A, []).addresses, ())


class TargetTests(SynchronousTestCase):
    def weights(self, *weights: int) -> list[int]:
        answers = [record("s", dns.Record_SRV(1, each, 80, f"h{i}.example")) for i, each in enumerate(weights)]
        return [each.weight for each in targetsOf(answers)[0]]

    def test_byPriority(self) -> None:
        answers = [
            record("s", dns.Record_SRV(20, 5, 81, "B.example."), 7), record("s", dns.Record_SRV(10, 6, 80, "a.example")),
        ]  # fmt: skip
        self.assertEqual(targetsOf(answers), ([Target("a.example", 80, 10, 6), Target("b.example", 81, 20, 5)], 7))

    def test_weights(self) -> None:
        self.assertEqual(self.weights(3, 1), [3, 1])
        self.assertEqual(self.weights(0, 0), [1, 1])
        self.assertEqual(self.weights(0, 1, 3), [1, 100, 300])
        self.assertEqual(self.weights(0, 600), [1, 600])
        self.assertEqual(self.weights(65535, 1, 6554), [1000, 1, 100])

    def test_noSuchService(self) -> None:
        self.assertEqual(targetsOf([record("s", dns.Record_SRV(0, 0, 0, b"."))])[0], [])
