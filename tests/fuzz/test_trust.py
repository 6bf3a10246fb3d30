"""Properties of what is believed of forwarding headers: whatever they say, an address comes out, and nothing is raised."""

from __future__ import annotations

from ipaddress import ip_address, ip_network
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.test_wire import fuzz
from twistproxy.forwarding import identify, outboundItems
from twistproxy.messages import Address
from twistproxy.trust import Trust
from twistproxy.wire.forwarded import parseForwarded

PIECES = st.one_of(
    st.sampled_from([b"1.1.1.1", b"10.0.0.1", b"::1", b"[fe80::1%\xe9]:80", b"fe80::1%a b", b"::ffff:2.2.2.2", b"unknown",
                     b'"', b"for=", b"for=1.1.1.1", b'for="[::1%\xff]"', b"proto=https", b'host="\\"x"', b";", b",", b" ", b"="]),
    st.binary(max_size=6).map(lambda data: bytes(each for each in data if each >= 0x20 and each != 0x7F)),
)  # fmt: skip
VALUES = st.lists(PIECES, max_size=8).map(b"".join)
NAMES = st.sampled_from(["X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "Forwarded", "X-Real-Ip", "Host"])
NETWORKS = st.sampled_from([(), (ip_network("10.0.0.0/8"), ip_network("fe80::/10"))])
TRUSTS = st.builds(Trust, NETWORKS, st.integers(0, 4), st.booleans(), st.booleans())


class TestTrust(SynchronousTestCase):
    @fuzz(400)
    @given(st.lists(st.tuples(NAMES, VALUES), max_size=4), TRUSTS, st.booleans())
    @example([("X-Forwarded-For", b"fe80::1%\xe9")], Trust(hops=1), True)
    def test_anything(self, fields: list[tuple[str, bytes]], trust: Trust, emit: bool) -> None:
        lines: Any = [(name.lower().encode(), name.encode(), value) for name, value in fields]
        items, client = outboundItems(lines, (), identify(Address("10.0.0.1", 5), "http", trust), b"", emit)
        self.assertEqual(str(ip_address(client.host)), client.host)
        self.assertNotIn("%", client.host)
        for _, _, value in items:
            self.assertFalse(set(value) & set(b"\r\n\0"))

    @fuzz(300)
    @given(st.lists(VALUES, max_size=3))
    def test_forwarded(self, values: list[bytes]) -> None:
        for each in parseForwarded(values):
            self.assertTrue(each)
