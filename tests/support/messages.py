"""HTTP/1.x messages taken apart by hand, so that tests do not read with the code they test."""

from __future__ import annotations

from typing import NamedTuple


class Head(NamedTuple):
    """A message's first line and its fields, in their order."""

    line: bytes
    fields: list[tuple[bytes, bytes]]

    @property
    def code(self) -> int:
        """The status of a response."""
        version, code, *_ = self.line.split(b" ", 2)
        assert version == b"HTTP/1.1", self.line
        return int(code)

    def all(self, name: bytes) -> list[bytes]:
        """Every value of a field."""
        return [value for each, value in self.fields if each.lower() == name.lower()]

    def get(self, name: bytes) -> bytes | None:
        """The value of a field; several values are an error."""
        values = self.all(name)
        assert len(values) < 2, (name, values)
        return values[0] if values else None


class Message(NamedTuple):
    """A complete message."""

    head: Head
    body: bytes
    trailers: list[tuple[bytes, bytes]]

    @property
    def code(self) -> int:
        """The status of a response."""
        return self.head.code


def fieldsOf(lines: list[bytes]) -> list[tuple[bytes, bytes]]:
    """Header or trailer lines as pairs."""
    pairs = (line.partition(b":") for line in lines)
    return [(name, value.strip()) for name, _, value in pairs]


def headOf(block: bytes) -> Head:
    """A head, taken apart; C{block} includes the blank line."""
    assert block.endswith(b"\r\n\r\n"), block
    first, *rest = block[:-4].split(b"\r\n")
    return Head(first, fieldsOf(rest))


def request(target: bytes = b"/", *fields: bytes, method: bytes = b"GET", body: bytes = b"", minor: int = 1) -> bytes:
    """A request; a body gets its Content-Length unless the fields tell how it is framed."""
    lines = [b"%b %b HTTP/1.%d" % (method, target, minor), b"Host: example.test", *fields]
    if body and not any(each.lower().startswith((b"content-length:", b"transfer-encoding:")) for each in fields):
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join([*lines, b"", b""]) + body


def response(body: bytes = b"", *fields: bytes, status: bytes = b"200 OK") -> bytes:
    """A response with its Content-Length."""
    return b"\r\n".join([b"HTTP/1.1 " + status, *fields, b"Content-Length: %d" % len(body), b"", b""]) + body


def chunk(data: bytes) -> bytes:
    """One chunk of the chunked coding."""
    return b"%x\r\n%b\r\n" % (len(data), data)


LAST_CHUNK = b"0\r\n\r\n"
CHUNKED = b"Transfer-Encoding: chunked"
