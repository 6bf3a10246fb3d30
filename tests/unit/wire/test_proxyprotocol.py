"""L{twistproxy.wire.proxyprotocol}: headers of both versions, and what is none."""

from __future__ import annotations

import struct

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.messages import Address
from twistproxy.wire.proxyprotocol import (
    TLV_AUTHORITY,
    TLV_CRC32C,
    TLV_NOOP,
    TLV_SSL,
    TLV_UNIQUE_ID,
    ProxyHeader,
    ProxyHeaderError,
    ProxyHeaderReader,
    crc32c,
    encodeHeader,
)

LIMIT = 4096
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
FOUR = (Address("192.0.2.1", 4711), Address("198.51.100.2", 443))
SIX = (Address("2001:db8::1", 4711), Address("2001:db8::2", 443))


def binary(command: int, family: int, block: bytes) -> bytes:
    return SIGNATURE + struct.pack("!BBH", command, family, len(block)) + block


def inet(*tlvs: tuple[int, bytes]) -> bytes:
    ends = b"\xc0\x00\x02\x01\xc6\x33\x64\x02" + struct.pack("!HH", 4711, 443)
    return ends + b"".join(struct.pack("!BH", kind, len(value)) + value for kind, value in tlvs)


class ReadingTestCase(SynchronousTestCase):
    def read(self, data: bytes, limit: int = LIMIT) -> ProxyHeader | None:
        self.reader = ProxyHeaderReader(limit)
        return self.reader.receiveData(data)

    def ends(self, data: bytes) -> tuple[Address | None, Address | None]:
        header = self.read(data)
        assert header is not None
        return header.source, header.destination

    def refused(self, data: bytes, reason: str = "", limit: int = LIMIT) -> None:
        error = self.assertRaises(ProxyHeaderError, self.read, data, limit)
        self.assertIn(reason, str(error))


class TestVersion1(ReadingTestCase):
    def test_addresses(self) -> None:
        self.assertEqual(self.ends(b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\nGET"), FOUR)
        self.assertEqual(self.reader.rest, b"GET")
        self.assertEqual(self.ends(b"PROXY TCP6 2001:DB8:0::1 2001:db8::2 4711 443\r\n"), SIX)
        self.assertEqual(self.reader.rest, b"")

    def test_unknown(self) -> None:
        for line in (b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN ffff::1 whatever \xff 1 2\r\n"):
            self.assertEqual(self.read(line), ProxyHeader(1))

    def test_longest(self) -> None:
        line = b"PROXY UNKNOWN " + b"x" * 91 + b"\r\n"
        self.assertEqual(len(line), 107)
        self.assertEqual(self.read(line), ProxyHeader(1))
        self.refused(b"PROXY UNKNOWN " + b"x" * 92 + b"\r\n", "more than 107")
        self.assertIsNone(self.read(line[:-1]))
        self.refused(line[:-2] + b"yz", "more than 107")

    def test_malformed(self) -> None:
        for line in (
            b"PROXY TCP4 192.0.2.1 198.51.100.2 4711", b"PROXY TCP4  192.0.2.1 198.51.100.2 4711 443",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443 ", b"PROXY TCP4 192.0.2.1 198.51.100.2 04711 443",
            b"PROXY TCP4 192.0.2.1 198.51.100.2 +4711 443", b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 -1",
            b"PROXY TCP5 192.0.2.1 198.51.100.2 4711 443", b"PROXY tcp4 192.0.2.1 198.51.100.2 4711 443",
            b"PROXY UNKNOWNX", b"PROXY ", b"PROXY TCP4 192.0.2.1\n198.51.100.2 4711 443",
        ):  # fmt: skip
            self.refused(line + b"\r\n", "malformed line")
        for ends in (b"TCP4 2001:db8::1 2001:db8::2", b"TCP6 192.0.2.1 198.51.100.2", b"TCP4 192.0.2.256 1.1.1.1",
                     b"TCP4 192.0.2.01 1.1.1.1", b"TCP6 1:2 ::1"):  # fmt: skip
            self.refused(b"PROXY " + ends + b" 1 2\r\n", "an address")
        self.refused(b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n", "a port")


class TestVersion2(ReadingTestCase):
    def test_addresses(self) -> None:
        self.assertEqual(self.ends(binary(0x21, 0x11, inet()) + b"GET"), FOUR)
        self.assertEqual(self.reader.rest, b"GET")
        six = bytes.fromhex("20010db8000000000000000000000001" "20010db8000000000000000000000002")
        self.assertEqual(self.ends(binary(0x21, 0x21, six + struct.pack("!HH", 4711, 443))), SIX)
        self.assertEqual(self.ends(binary(0x21, 0x12, inet())), FOUR)  # over UDP; the address is the client's all the same

    def test_unixSockets(self) -> None:
        self.assertEqual(self.ends(binary(0x21, 0x31, b"/client".ljust(108, b"\0") * 2)), (Address(), Address()))

    def test_theSenderItself(self) -> None:
        """LOCAL, whatever stands in it; and PROXY without knowing for whom."""
        for command, family in ((0x20, 0), (0x20, 0x11), (0x21, 0), (0x21, 0x10), (0x21, 0x01)):
            self.assertEqual(self.read(binary(command, family, b"xx") + b"GET"), ProxyHeader(2))
            self.assertEqual(self.reader.rest, b"GET")

    def test_fields(self) -> None:
        header = self.read(binary(0x21, 0x11, inet((TLV_AUTHORITY, b"app.example"), (TLV_NOOP, b"xx"), (0xEE, b""))))
        assert header is not None
        self.assertEqual(header.tlvs, ((TLV_AUTHORITY, b"app.example"), (0xEE, b"")))
        self.assertEqual((header.tlv(TLV_AUTHORITY), header.tlv(TLV_UNIQUE_ID)), (b"app.example", None))
        self.assertEqual((header.isSecure, header.commonName), (False, None))

    def test_tls(self) -> None:
        name = b"\x22\x00\x03bob"
        for flags, verified, fields, isSecure, common in (
            (1, 0, b"\x21\x00\x03TLS" + name, True, b"bob"),
            (1, 0, b"\x21\x00\x03TLS", True, None),
            (1, 1, name, True, None),
            (0, 0, b"", False, None),
        ):
            block = inet((TLV_SSL, bytes((flags,)) + struct.pack("!I", verified) + fields))
            header = self.read(binary(0x21, 0x11, block))
            assert header is not None
            self.assertEqual((header.isSecure, header.commonName), (isSecure, common))

    def test_checksums(self) -> None:
        self.assertEqual(crc32c(b"123456789"), 0xE3069283)  # the check value of the algorithm
        likeOne = b"\x03\x00\x04"
        for fields in ([(TLV_CRC32C, b"")], [(TLV_AUTHORITY, likeOne), (TLV_CRC32C, b""), (TLV_UNIQUE_ID, likeOne)]):
            header = encodeHeader("v2", *FOUR, fields)
            self.assertEqual(self.ends(header), FOUR)
            for at in (16, len(header) - 1):
                changed = header[:at] + bytes((header[at] ^ 1,)) + header[at + 1 :]
                self.refused(changed, "checksum is wrong")
        self.refused(binary(0x21, 0x11, inet((TLV_CRC32C, b"xxx"))), "checksum that is none")

    def test_malformed(self) -> None:
        for command in (0x11, 0x22, 0x2F, 0x31, 0x00):
            self.refused(binary(command, 0x11, inet()), "version and command")
        for family in (0x41, 0x13, 0xF1, 0x1F):
            self.refused(binary(0x21, family, inet()), "family and transport")
        for block in (b"", inet()[:-1]):
            self.refused(binary(0x21, 0x11, block), "too short")
        for tail in (b"\x02", b"\x02\x00", b"\x02\x00\x02x"):
            self.refused(binary(0x21, 0x11, inet() + tail), "cut off")
        self.refused(binary(0x21, 0x11, inet((TLV_SSL, b"\x01\0\0\0"))), "TLS")
        self.refused(binary(0x21, 0x11, inet((TLV_SSL, b"\x01\0\0\0\0\x22\x00\x09x"))), "cut off")

    def test_limit(self) -> None:
        """Refused when its length is known, not when it has come."""
        self.refused(binary(0x21, 0x11, inet())[:16], "header of 28 bytes", limit=27)
        self.assertIsNone(self.read(binary(0x21, 0x11, inet())[:16], limit=28))


class TestNeither(ReadingTestCase):
    def test_atOnce(self) -> None:
        for data in (b"G", b"PX", b"\r\n\r\n\x01", b"\n", b"PROXY\r\n", b"\x16\x03\x01", b"PROXYTCP4"):
            self.refused(data, "does not begin")

    def test_nothingYet(self) -> None:
        for data in (b"", b"P", b"PROXY ", b"\r", SIGNATURE, SIGNATURE + b"\x21\x11\x00"):
            self.assertIsNone(self.read(data))


class TestEncoding(ReadingTestCase):
    def test_bothWays(self) -> None:
        for ends in (FOUR, SIX):
            self.assertEqual(self.ends(encodeHeader("v1", *ends)), ends)
            self.assertEqual(self.ends(encodeHeader("v2", *ends)), ends)
        self.assertEqual(encodeHeader("v1", *FOUR), b"PROXY TCP4 192.0.2.1 198.51.100.2 4711 443\r\n")

    def test_twoFamilies(self) -> None:
        """A mapped IPv4 address, as HAProxy sends it too, is that of an IPv4 client for limits and logs."""
        mixed = (FOUR[0], SIX[1])
        for header in (encodeHeader("v1", *mixed), encodeHeader("v2", *mixed)):
            self.assertTrue(header.startswith(b"PROXY TCP6 ") or header[13] == 0x21)
            self.assertEqual(self.ends(header), mixed)

    def test_zones(self) -> None:
        source, _ = self.ends(encodeHeader("v2", Address("fe80::1%eth0", 1), SIX[1]))
        self.assertEqual(source, Address("fe80::1", 1))

    def test_nobody(self) -> None:
        for ends in ((None, None), (FOUR[0], None), (Address(), FOUR[1])):
            self.assertEqual(encodeHeader("v1", *ends), b"PROXY UNKNOWN\r\n")
            self.assertEqual(encodeHeader("v2", *ends), SIGNATURE + b"\x20\x00\x00\x00")

    def test_fields(self) -> None:
        header = self.read(encodeHeader("v2", *SIX, [(TLV_AUTHORITY, b"a"), (TLV_UNIQUE_ID, b"b")]))
        assert header is not None
        self.assertEqual(header.tlvs, ((TLV_AUTHORITY, b"a"), (TLV_UNIQUE_ID, b"b")))
