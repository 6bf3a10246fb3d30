"""The PROXY protocol, versions 1 and 2: who a connection is for, told before its first byte. Sans-IO.

After HAProxy's specification (doc/proxy-protocol.txt, revision of 2020/03/05; its sections are named). Strict where it
leaves a choice: a header is all right to its last byte, or the connection that it came on is of no use.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from itertools import takewhile
from typing import Final, Literal

from attrs import frozen

from twistproxy.messages import Address

Version = Literal["v1", "v2"]
"""As people write them."""

_SIGNATURE_1: Final = b"PROXY "
_SIGNATURE_2: Final = b"\r\n\r\n\x00\r\nQUIT\n"
_LONGEST_1: Final = 107
"""Bytes, CRLF included, of the longest line of version 1 (section 2.1)."""

_FIXED_2: Final = 16
"""Bytes of a header of version 2 before its addresses."""

_LINE: Final = re.compile(rb"(TCP4|TCP6) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})\Z")
_LOCAL, _PROXY = 0x20, 0x21
_TLV: Final = struct.Struct("!BH")

TLV_ALPN: Final = 0x01
TLV_AUTHORITY: Final = 0x02
TLV_CRC32C: Final = 0x03
TLV_NOOP: Final = 0x04
TLV_UNIQUE_ID: Final = 0x05
TLV_SSL: Final = 0x20
TLV_SSL_CN: Final = 0x22


class ProxyHeaderError(ValueError):
    """What came is no header of the PROXY protocol, and will not become one."""


@frozen
class ProxyHeader:
    """What a header says.

    @ivar version: 1 or 2.
    @ivar source: the client; None when the sender speaks for itself (LOCAL), or does not know (UNKNOWN): then the
        connection's own ends are the ones that count.
    @ivar destination: what the client connected to; None as C{source}.
    @ivar tlvs: further fields by type, in their order.
    """

    version: int
    source: Address | None = None
    destination: Address | None = None
    tlvs: Sequence[tuple[int, bytes]] = ()

    def tlv(self, kind: int) -> bytes | None:
        """The first further field of a type."""
        return next((value for each, value in self.tlvs if each == kind), None)

    @property
    def isSecure(self) -> bool:
        """Whether the client came over TLS, which ended at the sender (section 2.2.6: PP2_CLIENT_SSL)."""
        told = self.tlv(TLV_SSL)
        return told is not None and bool(told[0] & 1)

    @property
    def commonName(self) -> bytes | None:
        """That of the client's certificate, if the sender has verified one."""
        told = self.tlv(TLV_SSL)
        if told is None or told[1:5] != b"\x00\x00\x00\x00":
            return None
        return next((value for each, value in _tlvs(told[5:]) if each == TLV_SSL_CN), None)


class ProxyHeaderReader:
    """Reads one header, however it is cut into segments.

    @ivar rest: what followed it.
    """

    def __init__(self, limit: int) -> None:
        """@param limit: the longest header in bytes."""
        self._limit = limit
        self._buffer = b""
        self.rest = b""

    def receiveData(self, data: bytes) -> ProxyHeader | None:
        """Bytes came in.

        @return: the header, once it is complete; nothing is to be received after that.
        @raise ProxyHeaderError: as soon as it cannot become one.
        """
        self._buffer = buffer = self._buffer + data
        if _SIGNATURE_2.startswith(buffer[:12]):
            return self._version2(buffer)
        if _SIGNATURE_1.startswith(buffer[:6]):
            return self._version1(buffer)
        raise ProxyHeaderError("it does not begin as the PROXY protocol does")

    def _version1(self, buffer: bytes) -> ProxyHeader | None:
        end = buffer.find(b"\r\n", 0, _LONGEST_1)
        if end < 0:
            if len(buffer) >= _LONGEST_1:
                raise ProxyHeaderError(f"a line of more than {_LONGEST_1} bytes")
            return None
        self.rest = buffer[end + 2 :]
        return _parseLine(buffer[6:end])

    def _version2(self, buffer: bytes) -> ProxyHeader | None:
        if len(buffer) < _FIXED_2:
            return None
        size = _FIXED_2 + int.from_bytes(buffer[14:16], "big")
        if size > self._limit:
            raise ProxyHeaderError(f"a header of {size} bytes")
        if len(buffer) < size:
            return None
        self.rest = buffer[size:]
        return _parseBinary(buffer[:size])


def _parseLine(line: bytes) -> ProxyHeader:
    """Version 1 (section 2.1), without C{PROXY} and CRLF."""
    if line == b"UNKNOWN" or line.startswith(b"UNKNOWN "):
        return ProxyHeader(1)
    found = _LINE.match(line)
    if found is None:
        raise ProxyHeaderError("a malformed line")
    kind: type[IPv4Address | IPv6Address] = IPv4Address if found[1] == b"TCP4" else IPv6Address
    try:
        hosts = [_hostOf(kind(found[i].decode("ascii"))) for i in (2, 3)]
    except ValueError:
        raise ProxyHeaderError("an address that is none, or of the other family") from None
    ports = [int(found[i]) for i in (4, 5)]
    if max(ports) > 65535:
        raise ProxyHeaderError("a port that is none")
    return ProxyHeader(1, Address(hosts[0], ports[0]), Address(hosts[1], ports[1]))


def _hostOf(address: IPv4Address | IPv6Address) -> str:
    """As text. An IPv4 address is mapped where the other end has an IPv6 one."""
    return str((address.ipv4_mapped if isinstance(address, IPv6Address) else None) or address)


def _parseBinary(header: bytes) -> ProxyHeader:
    """Version 2 (section 2.2), whole."""
    command, family = header[12], header[13]
    if command not in (_LOCAL, _PROXY):
        raise ProxyHeaderError(f"version and command {command:#04x}")
    kind, transport = family >> 4, family & 15
    if kind > 3 or transport > 2:
        raise ProxyHeaderError(f"family and transport {family:#04x}")
    if command == _LOCAL or not kind or not transport:
        return ProxyHeader(2)  # the rest is to be ignored
    block = header[_FIXED_2:]
    length = (0, 12, 36, 216)[kind]
    if len(block) < length:
        raise ProxyHeaderError("too short for its addresses")
    if kind == 3:
        source = destination = Address()
    else:
        size = 4 if kind == 1 else 16
        hosts = [_hostOf(ip_address(block[at : at + size])) for at in (0, size)]
        ports = struct.unpack("!HH", block[2 * size : length])
        source, destination = (Address(host, port) for host, port in zip(hosts, ports, strict=True))
    tlvs = tuple(_tlvs(block[length:]))
    made = ProxyHeader(2, source, destination, tuple(each for each in tlvs if each[0] != TLV_NOOP))
    told = made.tlv(TLV_SSL)
    if told is not None:
        if len(told) < 5:
            raise ProxyHeaderError("a field about TLS that is too short")
        tuple(_tlvs(told[5:]))
    _checkSum(header, _FIXED_2 + length, tlvs)
    return made


def _tlvs(block: bytes) -> Iterator[tuple[int, bytes]]:
    """Section 2.2: type, length, value."""
    at = 0
    while at < len(block):
        if len(block) < at + 3:
            raise ProxyHeaderError("a field that is cut off")
        kind, size = _TLV.unpack_from(block, at)
        at += 3
        if len(block) < at + size:
            raise ProxyHeaderError("a field that is cut off")
        yield kind, block[at : at + size]
        at += size


def _checkSum(header: bytes, start: int, tlvs: Sequence[tuple[int, bytes]]) -> None:
    """Section 2.2.3: the sum is that of the header with zeros in its place.

    @param start: where C{tlvs} begin.
    """
    told = next((value for kind, value in tlvs if kind == TLV_CRC32C), None)
    if told is None:
        return
    if len(told) != 4:
        raise ProxyHeaderError("a checksum that is none")
    before = takewhile(lambda each: each[0] != TLV_CRC32C, tlvs)
    at = start + sum(3 + len(value) for _, value in before) + 3
    if crc32c(header[:at] + bytes(4) + header[at + 4 :]) != int.from_bytes(told, "big"):
        raise ProxyHeaderError("its checksum is wrong")


def encodeHeader(
    version: Version, source: Address | None, destination: Address | None, tlvs: Sequence[tuple[int, bytes]] = ()
) -> bytes:
    """A header; UNKNOWN, or LOCAL, where an address is missing or has no host.

    @param tlvs: further fields, of version 2 only; the value of a checksum is filled in.
    """
    known = source is not None and destination is not None and source.host and destination.host
    if version == "v1":
        return _encodeLine(source, destination) if source and destination and known else b"PROXY UNKNOWN\r\n"
    if not (source and destination and known):
        return _SIGNATURE_2 + bytes((_LOCAL, 0, 0, 0))
    hosts = _sameFamily(source, destination)
    family = 0x11 if hosts[0].version == 4 else 0x21
    block = b"".join(each.packed for each in hosts) + struct.pack("!HH", source.port, destination.port)
    at = 0
    for kind, value in tlvs:
        if kind == TLV_CRC32C:
            at, value = _FIXED_2 + len(block) + 3, bytes(4)
        block += _TLV.pack(kind, len(value)) + value
    header = _SIGNATURE_2 + bytes((_PROXY, family)) + len(block).to_bytes(2, "big") + block
    return header[:at] + crc32c(header).to_bytes(4, "big") + header[at + 4 :] if at else header


def _encodeLine(source: Address, destination: Address) -> bytes:
    hosts = _sameFamily(source, destination)
    kind = "TCP4" if hosts[0].version == 4 else "TCP6"
    return f"PROXY {kind} {hosts[0]} {hosts[1]} {source.port} {destination.port}\r\n".encode("ascii")


def _sameFamily(source: Address, destination: Address) -> list[IPv4Address] | list[IPv6Address]:
    """Both addresses; an IPv4 one beside an IPv6 one is mapped."""
    both = [ip_address(each.host.partition("%")[0]) for each in (source, destination)]
    fours = [each for each in both if isinstance(each, IPv4Address)]
    if len(fours) == 2:
        return fours
    return [IPv6Address(f"::ffff:{each}") if isinstance(each, IPv4Address) else each for each in both]


def _table() -> Iterator[int]:
    """Of the reflected polynomial 0x82F63B78 (RFC 3720 appendix B.4)."""
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        yield value


_CRC: Final = tuple(_table())


def crc32c(data: bytes) -> int:
    """Castagnoli's checksum (RFC 3720 section 12.1)."""
    value = 0xFFFFFFFF
    for each in data:
        value = value >> 8 ^ _CRC[(value ^ each) & 0xFF]
    return value ^ 0xFFFFFFFF
