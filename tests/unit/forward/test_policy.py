"""L{twistproxy.forward.policy}: where a forward proxy goes. Pure."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.forward.policy import ForwardPolicy, isAddress, parseRule


def policy(allow: str = "", deny: str = "") -> ForwardPolicy:
    return ForwardPolicy(tuple(map(parseRule, allow.split())), tuple(map(parseRule, deny.split())))


class TestRules(SynchronousTestCase):
    def test_reading(self) -> None:
        for text, want in (
            ("10.0.0.0/8", "10.0.0.0/8"), ("10.1.2.3/8", "10.0.0.0/8"), ("10.1.2.3", "10.1.2.3/32"), ("::1", "::1/128"),
            ("[::1]", "::1/128"), ("Example.COM.", "example.com"), (".Example.com", ".example.com"), ("my_host", "my_host"),
            ("port:22", "port:22"), ("port:1-9", "port:1-9"), (" a.example ", "a.example"),
        ):  # fmt: skip
            self.assertEqual(str(parseRule(text)), want)

    def test_mistakes(self) -> None:
        for text in ("", ".", "10.0.0.0/33", "10.0.0", "1.2.3.4.5", "a..b", "*.example.com", "http://a", "a/b",
                     "a:80", "-a", "é.example", "port:", "port:0", "port:x", "port:65536", "port:9-1", "port:1-",
                     "port:-1"):  # fmt: skip
            self.assertRaises(ValueError, parseRule, text)


class TestAddresses(SynchronousTestCase):
    def test_notPublic(self) -> None:
        """RFC 6890 and its successors; whatever leads to the machine or its neighbours."""
        for address in (
            "127.0.0.1", "127.255.1.1", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254", "0.0.0.0",
            "100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "239.1.1.1", "240.0.0.1", "255.255.255.255", "192.0.2.1",
            "::", "::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::7f00:1", "fe80::1", "fe80::1%eth0", "fc00::1", "fd12::1",
            "fec0::1", "ff02::1", "2001:db8::1", "2001::1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1",
            "nonsense",
        ):  # fmt: skip
            self.assertFalse(policy().permits(address), address)

    def test_public(self) -> None:
        for address in ("1.1.1.1", "172.32.0.1", "100.128.0.1", "223.255.255.255", "2606:4700::1", "::ffff:1.1.1.1",
                        "64:ff9b::101:101"):  # fmt: skip
            self.assertTrue(policy().permits(address), address)

    def test_theNarrowestDecides(self) -> None:
        made = policy("10.0.0.0/8 10.1.2.0/24 0.0.0.0/0", "10.1.0.0/16 1.1.0.0/16")
        for address, want in (
            ("10.2.0.1", True), ("10.1.1.1", False), ("10.1.2.3", True), ("1.1.1.1", False), ("2.2.2.2", True),
            ("192.168.0.1", False), ("127.0.0.1", False), ("::ffff:10.1.1.1", False), ("::ffff:10.2.0.1", True),
        ):  # fmt: skip
            self.assertEqual(made.permits(address), want, address)

    def test_ofTwoEqualOnesTheOneThatRefuses(self) -> None:
        self.assertFalse(policy("10.0.0.0/8", "10.0.0.0/8").permits("10.0.0.1"))
        self.assertTrue(policy("127.0.0.0/8").permits("127.0.0.1"))

    def test_onlyOneNetwork(self) -> None:
        made = policy("10.0.0.0/8", "0.0.0.0/0 ::/0")
        self.assertEqual([made.permits(each) for each in ("10.0.0.1", "1.1.1.1", "2606:4700::1")], [True, False, False])

    def test_addresses(self) -> None:
        self.assertEqual([isAddress(each) for each in ("1.1.1.1", "::1", "fe80::1%a", "a.example", "127.1", "0x7f000001")],
                         [True, True, True, False, False, False])  # fmt: skip


class TestDestinations(SynchronousTestCase):
    def permits(self, made: ForwardPolicy, host: str, port: int = 80, isTunnel: bool = False) -> bool:
        return not made.refusal(host, port, isTunnel)

    def test_ports(self) -> None:
        made = policy("port:22 port:600-700", "port:8080 port:443")
        for port, plain, tunnel in (
            (80, True, False), (443, False, False), (22, True, True), (25, False, False), (650, True, True), (8080, False, False),
            (9000, True, False), (0, False, False),
        ):  # fmt: skip
            self.assertEqual(self.permits(made, "a.example", port), plain, port)
            self.assertEqual(self.permits(made, "a.example", port, True), tunnel, port)
        self.assertTrue(self.permits(policy(), "a.example", 443, True))
        self.assertFalse(self.permits(policy(), "a.example", 80, True))

    def test_names(self) -> None:
        made = policy("", "bad.example .worse.example")
        for name, want in (
            ("a.example", True), ("bad.example", False), ("bad.example.", False), ("x.bad.example", True),
            ("worse.example", False), ("x.y.worse.example", False), ("notworse.example", True),
        ):  # fmt: skip
            self.assertEqual(self.permits(made, name), want, name)

    def test_onlyTheseNames(self) -> None:
        made = policy("good.example .fine.example 10.0.0.0/8", "bad.fine.example .very.bad.fine.example")
        for name, want in (
            ("good.example", True), ("x.good.example", False), ("fine.example", True), ("a.fine.example", True),
            ("bad.fine.example", False), ("x.bad.fine.example", True), ("x.very.bad.fine.example", False),
            ("other.example", False), ("10.0.0.1", True), ("1.1.1.1", False),
        ):  # fmt: skip
            self.assertEqual(self.permits(made, name), want, name)

    def test_exactNamesBeatSuffixes(self) -> None:
        self.assertTrue(self.permits(policy("a.example", ".a.example"), "a.example"))
        self.assertFalse(self.permits(policy("a.example", ".a.example"), "x.a.example"))
        self.assertFalse(self.permits(policy("a.example", "a.example"), "a.example"))

    def test_namesDoNotOpenNetworks(self) -> None:
        """What a name means is up to whoever answers for it."""
        made = policy("inner.example")
        self.assertTrue(self.permits(made, "inner.example"))
        self.assertFalse(made.permits("10.0.0.1"))

    def test_addresses(self) -> None:
        self.assertIn("127.0.0.1", policy().refusal("127.0.0.1", 80, False))
        self.assertTrue(self.permits(policy(), "1.1.1.1"))
