"""Properties of L{twistproxy.wire.proxyprotocol}: segments do not matter, and what is written is read."""

from __future__ import annotations

from ipaddress import ip_address
from itertools import pairwise
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.fuzz.test_wire import fuzz
from twistproxy.messages import Address
from twistproxy.wire.proxyprotocol import TLV_CRC32C, ProxyHeaderError, ProxyHeaderReader, Version, encodeHeader

ADDRESSES = st.builds(Address, st.ip_addresses().map(str), st.integers(0, 65535))
FIELDS = st.lists(st.tuples(st.sampled_from([1, 2, 4, 5, TLV_CRC32C, 0x20, 0x30, 0xEE]), st.binary(max_size=12)), max_size=4)
HEADERS = st.one_of(
    st.builds(encodeHeader, st.just("v1"), ADDRESSES, ADDRESSES),
    st.builds(encodeHeader, st.just("v2"), ADDRESSES, ADDRESSES, FIELDS),
    st.builds(lambda lines: b"PROXY " + lines + b"\r\n", st.binary(max_size=120)),
    st.binary(max_size=40),
)


def damaged(data: bytes, changes: list[tuple[int, int]]) -> bytes:
    made = bytearray(data)
    for at, value in changes:
        if made:
            made[at % len(made)] = value
    return bytes(made)


DATA = st.builds(damaged, HEADERS, st.lists(st.tuples(st.integers(0, 300), st.integers(0, 255)), max_size=2))


def outcome(segments: list[bytes]) -> Any:
    """What a reader makes of these segments: the header and what follows it, why it is none, or None."""
    reader = ProxyHeaderReader(200)
    for i, each in enumerate(segments):
        try:
            header = reader.receiveData(each)
        except ProxyHeaderError as error:
            return str(error)
        if header is not None:
            return header, reader.rest + b"".join(segments[i + 1 :])
    return None


def plain(address: Address) -> Address:
    """As it is read: an IPv4 address that is mapped into IPv6 is an IPv4 address."""
    mapped = getattr(ip_address(address.host), "ipv4_mapped", None)
    return address if mapped is None else Address(str(mapped), address.port)


class TestProxyProtocol(SynchronousTestCase):
    @fuzz(300)
    @given(DATA, st.lists(st.integers(0, 300), max_size=6), st.binary(max_size=10))
    @example(b"PROXY UNKNOWN\r\n", [1, 6, 13, 14], b"GET /")
    def test_segmentsDoNotMatter(self, data: bytes, cuts: list[int], rest: bytes) -> None:
        data += rest
        bounds = [0, *sorted(min(each, len(data)) for each in cuts), len(data)]
        whole = outcome([data])
        self.assertEqual(outcome([data[a:b] for a, b in pairwise(bounds)]), whole)
        self.assertEqual(outcome([data[i : i + 1] for i in range(len(data))]), whole)

    @fuzz(200)
    @example("v1", Address("::", 0), Address("::ffff:0:0", 0), b"")
    @given(st.sampled_from(["v1", "v2"]), ADDRESSES, ADDRESSES, st.binary(max_size=10))
    def test_whatIsWrittenIsRead(self, version: Version, source: Address, destination: Address, rest: bytes) -> None:
        header, left = outcome([encodeHeader(version, source, destination) + rest])
        self.assertEqual(left, rest)
        self.assertEqual((header.source.port, header.destination.port), (source.port, destination.port))
        if (":" in source.host) == (":" in destination.host):
            self.assertEqual((header.source, header.destination), (plain(source), plain(destination)))
