"""L{twistproxy.text.networks}: what is in which."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_network

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.text.networks import UNIX_PEERS, Network, NetworkSet, parseNetworks

NEARBY = st.integers(0, 0xFF).map(lambda low: IPv4Address(0x0A00_0000 | low)) | st.integers(0, 0xFF).map(
    lambda low: IPv6Address(0xFD00 << 112 | low)
)
"""Addresses that often have a network in common."""

ADDRESSES = st.ip_addresses() | NEARBY


@st.composite
def networks(draw: st.DrawFn) -> Network:
    """Any, of any length."""
    address = draw(ADDRESSES)
    return ip_network((address, draw(st.integers(0, address.max_prefixlen))), strict=False)


class NetworkSetTests(SynchronousTestCase):
    def test_members(self) -> None:
        inner = parseNetworks("10.0.0.0/8, fd00::/8,192.0.2.7")
        for host, want in (
            ("10.1.2.3", True), ("11.0.0.1", False), ("fd00::1", True), ("fe80::1", False), ("::ffff:10.0.0.1", True),
            ("192.0.2.7", True), ("192.0.2.8", False), ("fd00::1%eth0", True), ("nonsense", False), ("", False),
        ):  # fmt: skip
            self.assertEqual(host in NetworkSet(inner), want, host)
        self.assertTrue("" in NetworkSet((*inner, UNIX_PEERS)))
        self.assertFalse("10.0.0.1" in NetworkSet((UNIX_PEERS,)))

    def test_anySet(self) -> None:
        self.assertTrue("203.0.113.1" in NetworkSet(parseNetworks("0.0.0.0/0")))
        self.assertFalse("::1" in NetworkSet(parseNetworks("0.0.0.0/0")))
        self.assertTrue("::1" in NetworkSet(parseNetworks("::/0")))

    def test_whetherThereAreAny(self) -> None:
        self.assertFalse(NetworkSet(()))
        self.assertTrue(NetworkSet((UNIX_PEERS,)))
        self.assertTrue(NetworkSet(parseNetworks("0.0.0.0/0")))

    def test_mappedNetworks(self) -> None:
        """Those of mapped IPv4 addresses are networks of IPv4 addresses."""
        self.assertEqual(parseNetworks("::ffff:10.0.0.0/104"), parseNetworks("10.0.0.0/8"))

    @given(st.lists(networks(), max_size=6), ADDRESSES)
    def test_likeTheStandardLibrary(self, written: list[Network], address: IPv4Address | IPv6Address) -> None:
        plain = getattr(address, "ipv4_mapped", None) or address
        want = any(plain in each for each in written if each.version == plain.version)  # type: ignore[union-attr]
        self.assertEqual(str(address) in NetworkSet(written), want)
