"""L{twistproxy.trust}: whom to believe. Pure."""

from __future__ import annotations

from ipaddress import ip_network

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.messages import Address
from twistproxy.settings import Settings
from twistproxy.trust import NOBODY, Trust, clientAddress, clientAt

INNER = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


class TestAddresses(SynchronousTestCase):
    def test_nobody(self) -> None:
        self.assertFalse(NOBODY.trusts("127.0.0.1"))
        self.assertFalse(NOBODY.trusts(""))
        self.assertTrue(NOBODY.isNobody)
        self.assertFalse(Trust(hops=1).isNobody)

    def test_settings(self) -> None:
        settings = Settings(trustedProxies=INNER, trustedHops=2, readForwarded=True, xForwarded=False)
        self.assertEqual(Trust.of(settings), Trust(INNER, 2, True, False))

    def test_chains(self) -> None:
        """From the right, the first that is not trusted."""
        for chain, want in (
            ([], "10.0.0.1"),
            (["1.1.1.1"], "1.1.1.1"),
            (["6.6.6.6", "1.1.1.1"], "1.1.1.1"),
            (["1.1.1.1", "10.0.0.2", "10.0.0.3"], "1.1.1.1"),
            (["10.0.0.9", "10.0.0.2"], "10.0.0.9"),
            (["1.1.1.1:4711"], "1.1.1.1"),
            (["[2001:db8::1]:4711"], "2001:db8::1"),
            (['"[2001:db8::1]"'], "2001:db8::1"),
            (["2001:db8::1"], "2001:db8::1"),
            (["fe80::1%eth0"], "fe80::1"),
            (["fe80::1%\xe9"], "fe80::1"),
            (["::ffff:1.1.1.1"], "1.1.1.1"),
            (["1.1.1.1", "unknown"], "10.0.0.1"),
            (["1.1.1.1", "unknown", "10.0.0.2"], "10.0.0.2"),
        ):
            self.assertEqual(clientAddress(Address("10.0.0.1", 1), chain, Trust(INNER)).host, want, chain)
        self.assertEqual(clientAddress(Address("8.8.8.8", 1), ["1.1.1.1"], Trust(INNER)).host, "8.8.8.8")

    def test_places(self) -> None:
        """Which element named the client, so that what it says beside the address can be used."""
        peer, trust = Address("10.0.0.1", 1), Trust(INNER)
        self.assertEqual(clientAt(peer, ["1.1.1.1", "2.2.2.2", "10.0.0.2"], trust), (Address("2.2.2.2", 0), 1))
        self.assertEqual(clientAt(peer, [], trust), (peer, 0))
        self.assertEqual(clientAt(peer, ["1.1.1.1", "unknown"], trust), (peer, 2))
