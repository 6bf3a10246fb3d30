"""Requests as raw bytes, and what a proxy has to answer to each: for the reader, and for the live proxy over sockets.

The table holds under L{SETTINGS}. A client that sends a case's bytes and nothing more must get its status at once, not
after a timeout; but for those that are accepted, whose request goes to an upstream.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from twistproxy.settings import Settings

SETTINGS: Final = Settings(maxBodyBytes=64 << 10)


class Case(NamedTuple):
    """One request.

    @ivar status: what it is refused with; None: it is accepted.
    @ivar note: what it is about, or who says so.
    @ivar proxied: for one that the reader accepts, the status with which the proxy answers it itself.
    """

    name: str
    data: bytes
    status: int | None
    note: str
    proxied: int | None = None


HOST: Final = b"Host: a\r\n"


def _line(line: bytes, host: bytes = HOST) -> bytes:
    """A request from its first line."""
    return line + b"\r\n" + host + b"\r\n"


def _target(target: bytes, method: bytes = b"GET", host: bytes = HOST) -> bytes:
    return _line(method + b" " + target + b" HTTP/1.1", host)


def _with(fields: bytes, body: bytes = b"", method: bytes = b"POST", minor: int = 1) -> bytes:
    """A request with more header lines, which end in CRLF, and a body."""
    return method + b" / HTTP/1.%d\r\n" % minor + HOST + fields + b"\r\n" + body


def _host(fields: bytes, target: bytes = b"/", minor: int = 1) -> bytes:
    return b"GET " + target + b" HTTP/1.%d\r\n" % minor + fields + b"\r\n"


_CHUNKED: Final = b"Transfer-Encoding: chunked\r\n"


def _chunked(body: bytes) -> bytes:
    return _with(_CHUNKED, body)


_LINES: Final = (
    Case("plain", _line(b"GET / HTTP/1.1"), None, ""),
    Case("http 1.0", _line(b"GET / HTTP/1.0"), None, ""),
    Case("http 0.9", b"GET /\r\n\r\n", 400, "RFC 9112 appendix C.2.1"),
    Case("http 0.9 with a version", _line(b"GET / HTTP/0.9"), 505, "design 6"),
    Case("http 1.2", _line(b"GET / HTTP/1.2"), 505, "design 6: any version but 1.0 and 1.1"),
    Case("http 2.0", _line(b"GET / HTTP/2.0"), 505, ""),
    Case("http 2 preface", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505, "RFC 9113 section 3.4"),
    Case("version with a letter behind", _line(b"GET / HTTP/1.1x"), 400, ""),
    Case("version with two digits", _line(b"GET / HTTP/1.10"), 400, ""),
    Case("version without a minor", _line(b"GET / HTTP/1"), 400, ""),
    Case("lower-case version", _line(b"GET / http/1.1"), 400, "RFC 9112 section 2.3: case-sensitive"),
    Case("another protocol", _line(b"GET / ICE/1.0"), 400, "llhttp has it for SOURCE"),
    Case("rtsp", _line(b"DESCRIBE /x RTSP/1.0"), 400, "llhttp knows RTSP's methods"),
    Case("version with spaces", _line(b"GET / HTTP/ 1.1"), 400, ""),
    Case("non-ASCII digit in the version", _line(b"GET / HTTP/1.\xd9\xa1"), 400, ""),
    Case("two spaces before the target", _line(b"GET  / HTTP/1.1"), 400, "design 6"),
    Case("two spaces before the version", _line(b"GET /  HTTP/1.1"), 400, "design 6"),
    Case("space at the start", _line(b" GET / HTTP/1.1"), 400, ""),
    Case("space at the end", _line(b"GET / HTTP/1.1 "), 400, ""),
    Case("tab before the target", _line(b"GET\t/ HTTP/1.1"), 400, "RFC 9112 section 3 lets a recipient split on it"),
    Case("tab before the version", _line(b"GET /\tHTTP/1.1"), 400, ""),
    Case("vertical tab before the version", _line(b"GET /\x0bHTTP/1.1"), 400, ""),
    Case("method only", b"GET\r\n\r\n", 400, ""),
    Case("one empty line before", b"\r\n" + _line(b"GET / HTTP/1.1"), None, "RFC 9112 section 2.2"),
    Case("two empty lines before", b"\r\n\r\n" + _line(b"GET / HTTP/1.1"), 400, "one is enough for the old clients"),
    Case("bare LF before", b"\n" + _line(b"GET / HTTP/1.1"), 400, ""),
    Case("bare CR before", b"\r" + _line(b"GET / HTTP/1.1"), 400, ""),
    Case("empty line and bare LF before", b"\r\n\n" + _line(b"GET / HTTP/1.1"), 400, ""),
    Case("TLS to a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400, ""),
)

_METHODS: Final = (
    *(
        Case(f"method {name.decode()}", _target(b"/", name), None, "RFC 9110 section 9.1: any token")
        for name in (
            b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"BREW", b"M-SEARCH", b"PROPFIND", b"PRI",
            b"SOURCE", b"get", b"QUERY", b"!#$%&'*+-.^_`|~0", b"X" * 100,
        )
    ),
    Case("method with a colon", _target(b"/", b"GET:"), 400, "no token"),
    Case("method with a bracket", _target(b"/", b"GE(T"), 400, ""),
    Case("method with a quote", _target(b"/", b'"GET"'), 400, ""),
    Case("non-ASCII method", _target(b"/", b"G\xc9T"), 400, ""),
    Case("method with NUL", _target(b"/", b"GET\x00"), 400, ""),
    Case("empty method", _target(b"/", b""), 400, ""),
    Case("unknown method with a body", _with(b"Content-Length: 2\r\n", b"hi", b"BREW"), None, ""),
)  # fmt: skip

_TARGETS: Final = (
    Case("path and query", _target(b"/a/b?c=d?e/f&%zz"), None, "percent-encoding is not ours to judge"),
    Case("two slashes", _target(b"//evil/a"), None, "a path, not an authority"),
    Case("all that browsers send raw", _target(b"/\"<>\\^`{|}[]'"), None, "nginx lets it pass too"),
    Case("encoded dots", _target(b"/a/%2e%2e/b/../c"), None, "raw bytes, never decoded"),
    Case("empty target", _line(b"GET  HTTP/1.1"), 400, ""),
    Case("no slash", _target(b"foo"), 400, "edge-case 24"),
    Case("query only", _target(b"?a"), 400, ""),
    Case("dot", _target(b"."), 400, ""),
    Case("backslash", _target(b"\\a"), 400, ""),
    Case("asterisk", _target(b"*"), 400, "edge-case 24"),
    Case("asterisk with OPTIONS", _target(b"*", b"OPTIONS"), None, "RFC 9112 section 3.2.4"),
    Case("asterisk and more with OPTIONS", _target(b"*/a", b"OPTIONS"), 400, ""),
    Case("asterisk with an unknown method", _target(b"*", b"BREW"), 400, ""),
    Case("fragment", _target(b"/a#b"), 400, "design 6"),
    Case("fragment in the query", _target(b"/a?b#c"), 400, ""),
    Case("fragment in absolute form", _target(b"http://a/#b"), 400, ""),
    Case("space", _target(b"/a b"), 400, "design 6"),
    Case("tab", _target(b"/a\tb"), 400, ""),
    Case("form feed", _target(b"/a\x0cb"), 400, ""),
    Case("bare LF", _target(b"/a\nb"), 400, ""),
    Case("bare CR", _target(b"/a\rb"), 400, ""),
    Case("CRLF", _target(b"/a\r\nb"), 400, ""),
    *(
        Case(f"byte {byte:#04x}", _target(b"/a" + bytes([byte])), 400, "twisted.md 2.3")
        for byte in (*range(0x20), 0x7F, 0x80, 0xA0, 0xB0, 0xB1, 0xC3, 0xFE, 0xFF)
    ),
    *(Case(f"byte {byte:#04x} in the query", _target(b"/?" + bytes([byte])), 400, "") for byte in (0, 1, 0x7F, 0x80, 0xFF)),
    Case("non-ASCII path as UTF-8", _target("/\xe9".encode()), 400, ""),
)

_AUTHORITIES: Final = (
    Case("absolute form", _target(b"http://a/b?c"), None, "RFC 9112 section 3.2.2"),
    Case("absolute form without a path", _target(b"http://a"), None, ""),
    Case("absolute form with a query and no path", _target(b"http://a?b"), None, ""),
    Case("absolute form in capitals", _target(b"HTTP://A/b"), None, "host and scheme in any case"),
    Case("absolute form with the default port", _target(b"http://a:80/"), None, "edge-case 24"),
    Case("absolute form with an empty port", _target(b"http://a:/"), None, "RFC 3986 section 6.2.3"),
    Case("https absolute form with the default port", _target(b"https://a:443/"), None, ""),
    Case("default port in Host", _target(b"http://a/", host=b"Host: a:80\r\n"), None, ""),
    Case("another default port in Host", _target(b"http://a/", host=b"Host: a:443\r\n"), 400, ""),
    Case("absolute form of OPTIONS", _target(b"http://a", b"OPTIONS"), None, "RFC 9112 section 3.2.4: stands for *"),
    Case("absolute form and another Host", _target(b"http://evil/"), 400, "edge-case 24, HAProxy"),
    Case("absolute form and another port", _target(b"http://a:81/"), 400, ""),
    Case("absolute form and an empty Host", _target(b"http://a/", host=b"Host:\r\n"), 400, ""),
    Case("absolute form and no Host", _target(b"http://a/", host=b""), 400, "RFC 9112 section 3.2"),
    Case("absolute form and no Host in 1.0", _host(b"", b"http://a/", 0), None, ""),
    Case("absolute form with user information", _target(b"http://u@a/"), 400, "RFC 9110 section 4.2.4"),
    Case("absolute form with a password", _target(b"http://u:p@a/"), 400, ""),
    Case("absolute form without a host", _target(b"http:///a"), 400, "RFC 9110 section 4.2.1"),
    Case("absolute form with a port only", _target(b"http://:80/", host=b"Host: :80\r\n"), 400, ""),
    Case("absolute form with a backslash", _target(b"http://a\\@evil/"), 400, ""),
    Case("absolute form of another scheme", _target(b"ftp://a/"), 400, ""),
    Case("absolute form without slashes", _target(b"http:a"), 400, ""),
    Case("scheme-less authority", _target(b"a/b"), 400, ""),
    Case("IPv6 in absolute form", _target(b"http://[::1]:8/", host=b"Host: [::1]:8\r\n"), None, ""),
    Case("CONNECT", _target(b"a:443", b"CONNECT"), None, "a reverse proxy has no tunnels to offer", 405),
    Case("CONNECT to IPv6", _target(b"[::1]:443", b"CONNECT"), None, "", 405),
    Case("CONNECT without a port", _target(b"a", b"CONNECT"), 400, "edge-case 24"),
    Case("CONNECT with an empty port", _target(b"a:", b"CONNECT"), 400, ""),
    Case("CONNECT without a host", _target(b":443", b"CONNECT"), 400, ""),
    Case("CONNECT with an impossible port", _target(b"a:65536", b"CONNECT"), 400, ""),
    Case("CONNECT with a path", _target(b"a:443/", b"CONNECT"), 400, ""),
    Case("CONNECT with a URL", _target(b"http://a:443", b"CONNECT"), 400, ""),
    Case("authority form of GET", _target(b"a:443"), 400, ""),
)

_HOSTS: Final = (
    Case("no Host", _host(b""), 400, "RFC 9112 section 3.2"),
    Case("no Host in 1.0", _host(b"", minor=0), None, "design 6"),
    Case("empty Host", _host(b"Host:\r\n"), None, "RFC 9110 section 7.2"),
    Case("two Hosts", _host(b"Host: a\r\nHost: b\r\n"), 400, "RFC 9112 section 3.2"),
    Case("two equal Hosts", _host(b"Host: a\r\nhost: a\r\n"), 400, ""),
    Case("two Hosts in 1.0", _host(b"Host: a\r\nHost: a\r\n", minor=0), 400, ""),
    Case("Host with a space", _host(b"Host: a b\r\n"), 400, ""),
    Case("Host with user information", _host(b"Host: u@a\r\n"), 400, ""),
    Case("Host with a path", _host(b"Host: a/b\r\n"), 400, ""),
    Case("Host with a scheme", _host(b"Host: http://a\r\n"), 400, ""),
    Case("Host with a query", _host(b"Host: a?b\r\n"), 400, ""),
    Case("Host with a fragment", _host(b"Host: a#b\r\n"), 400, ""),
    Case("Host with a backslash", _host(b"Host: a\\b\r\n"), 400, ""),
    Case("Host with a list", _host(b"Host: a, b\r\n"), 400, ""),
    Case("Host with a non-ASCII byte", _host(b"Host: \xe4\r\n"), 400, ""),
    Case("Host with a bad escape", _host(b"Host: a%2\r\n"), 400, ""),
    Case("Host with an escape", _host(b"Host: a%2d\r\n"), None, "RFC 3986 section 3.2.2"),
    Case("Host with two ports", _host(b"Host: a:1:2\r\n"), 400, ""),
    Case("Host with a word for a port", _host(b"Host: a:http\r\n"), 400, ""),
    Case("Host with an impossible port", _host(b"Host: a:65536\r\n"), 400, ""),
    Case("Host with the highest port", _host(b"Host: a:65535\r\n"), None, ""),
    Case("Host with an empty port", _host(b"Host: a:\r\n"), None, "RFC 3986: port = *DIGIT"),
    Case("Host with a port only", _host(b"Host: :80\r\n"), 400, "RFC 9110 section 4.2.1"),
    Case("Host with an underscore and a dot", _host(b"Host: a_b.example.\r\n"), None, ""),
    Case("Host with an IPv4 address", _host(b"Host: 127.0.0.1:8080\r\n"), None, ""),
    Case("Host with an IPv6 address", _host(b"Host: [2001:db8::1]:8080\r\n"), None, ""),
    Case("Host with an IPv6 address and a zone", _host(b"Host: [fe80::1%25eth0]\r\n"), None, ""),
    Case("Host with a bare IPv6 address", _host(b"Host: ::1\r\n"), 400, ""),
    Case("Host with half a bracket", _host(b"Host: [::1\r\n"), 400, ""),
    Case("Host with a name in brackets", _host(b"Host: [a]\r\n"), 400, ""),
    Case("Host with space around", _host(b"Host: \t a \t\r\n"), None, "optional whitespace"),
    Case("Host in another case", _host(b"hOST: a\r\n"), None, ""),
)

_FIELDS: Final = (
    Case("empty value", _with(b"X:\r\nY: \r\n"), None, ""),
    Case("non-ASCII value", _with(b"X: \x80\xff\r\n"), None, "RFC 9110 section 5.5: obs-text"),
    Case("tab in a value", _with(b"X: a\tb\r\n"), None, ""),
    Case("every token character in a name", _with(b"!#$%&'*+-.^_`|~09azAZ: x\r\n"), None, ""),
    Case("obs-fold", _with(b"X: a\r\n b\r\n"), 400, "RFC 9112 section 5.2"),
    Case("obs-fold with a tab", _with(b"X: a\r\n\tb\r\n"), 400, ""),
    Case("obs-fold of nothing", _with(b"X: a\r\n \r\n"), 400, ""),
    Case("space before the first field", b"GET / HTTP/1.1\r\n Host: a\r\n\r\n", 400, "RFC 9112 section 2.2"),
    Case("space before the colon", _with(b"X : a\r\n"), 400, "RFC 9112 section 5.1"),
    Case("tab before the colon", _with(b"X\t: a\r\n"), 400, ""),
    Case("space before the colon of Content-Length", _with(b"Content-Length : 5\r\n"), 400, ""),
    Case("empty name", _with(b": a\r\n"), 400, ""),
    Case("no colon", _with(b"nocolon\r\n"), 400, ""),
    Case("non-ASCII name", _with(b"X\xe9: a\r\n"), 400, ""),
    Case("name in brackets", _with(b"X(): a\r\n"), 400, ""),
    Case("name in quotes", _with(b'"X": a\r\n'), 400, ""),
    Case("NUL in a name", _with(b"X\x00: a\r\n"), 400, ""),
    *(
        Case(f"byte {byte:#04x} in a value", _with(b"X: a" + bytes([byte]) + b"b\r\n"), 400, "twisted.md 2.3")
        for byte in (*range(9), *range(10, 0x20), 0x7F)
    ),
    Case("vertical tab before a value", _with(b"X:\x0ba\r\n"), 400, ""),
    Case("bare LF behind the request line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", 400, "design 6"),
    Case("bare LF behind the request line, incomplete", b"GET / HTTP/1.1\n", 400, "not at the timeout"),
    Case("bare LF behind a field", b"GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n", 400, ""),
    Case("bare LF behind a field, incomplete", b"GET / HTTP/1.1\r\nHost: a\n", 400, ""),
    Case("bare LFs at the end", b"GET / HTTP/1.1\r\nHost: a\r\n\n", 400, ""),
    Case("bare LFs only", b"GET / HTTP/1.1\nHost: a\n\n", 400, ""),
    Case("bare CR behind a field", b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n", 400, ""),
    Case("two CRs behind a field", b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n", 400, ""),
    Case("two CRs at the end", b"GET / HTTP/1.1\r\nHost: a\r\n\r\r\n", 400, ""),
    Case("two CRs behind the request line", b"GET / HTTP/1.1\r\r\nHost: a\r\n\r\n", 400, ""),
)

_LENGTHS: Final = (
    Case("Content-Length", _with(b"Content-Length: 5\r\n", b"hello"), None, ""),
    Case("Content-Length of zero", _with(b"Content-Length: 0\r\n"), None, ""),
    Case("Content-Length with leading zeros", _with(b"Content-Length: 005\r\n", b"hello"), None, "1*DIGIT"),
    Case("Content-Length with space around", _with(b"Content-Length:\t 5 \r\n", b"hello"), None, ""),
    Case("body of GET", _with(b"Content-Length: 5\r\n", b"hello", b"GET"), None, ""),
    Case("Content-Length in 1.0", _with(b"Content-Length: 5\r\n", b"hello", minor=0), None, ""),
    Case("two Content-Lengths", _with(b"Content-Length: 5\r\nContent-Length: 6\r\n", b"hello"), 400, ""),
    Case("two equal Content-Lengths", _with(b"Content-Length: 5\r\nContent-Length: 5\r\n", b"hello"), 400, "design 6"),
    Case("Content-Length twice in a line", _with(b"Content-Length: 5, 5\r\n", b"hello"), 400, ""),
    Case("Content-Length with a sign", _with(b"Content-Length: +5\r\n", b"hello"), 400, "RFC 9110 section 8.6"),
    Case("negative Content-Length", _with(b"Content-Length: -1\r\n"), 400, ""),
    Case("negative zero", _with(b"Content-Length: -0\r\n"), 400, ""),
    Case("hexadecimal Content-Length", _with(b"Content-Length: 0x10\r\n"), 400, ""),
    Case("Content-Length with an exponent", _with(b"Content-Length: 1e3\r\n"), 400, ""),
    Case("Content-Length with a point", _with(b"Content-Length: 5.0\r\n"), 400, ""),
    Case("Content-Length with an underscore", _with(b"Content-Length: 1_0\r\n"), 400, "int() would take it"),
    Case("Content-Length with a space inside", _with(b"Content-Length: 1 0\r\n"), 400, ""),
    Case("empty Content-Length", _with(b"Content-Length:\r\n"), 400, ""),
    Case("Content-Length of a word", _with(b"Content-Length: five\r\n"), 400, ""),
    Case("Content-Length of 5000 digits", _with(b"Content-Length: " + b"1" * 5000 + b"\r\n"), 400, "twisted.md 2.3"),
    Case("Content-Length of 5000 zeros", _with(b"Content-Length: " + b"0" * 5000 + b"\r\n"), 400, ""),
    Case("Content-Length over 2**64", _with(b"Content-Length: 18446744073709551617\r\n"), 400, ""),
    Case("Content-Length in other digits", _with(b"Content-Length: \xd9\xa5\r\n"), 400, ""),
    Case("Content-Length over the limit", _with(b"Content-Length: 65537\r\n", b"x" * 65537), None, "", 413),
    Case("Content-Length at the limit", _with(b"Content-Length: 65536\r\n", b"x" * 65536), None, ""),
)

_CODINGS: Final = (
    Case("chunked", _chunked(b"5\r\nhello\r\n0\r\n\r\n"), None, ""),
    Case("chunked in capitals", _with(b"Transfer-Encoding: Chunked\r\n", b"0\r\n\r\n"), None, ""),
    Case("chunked with spaces around", _with(b"Transfer-Encoding:  chunked  \r\n", b"0\r\n\r\n"), None, ""),
    Case("chunked with a tab behind", _with(b"Transfer-Encoding: chunked\t\r\n", b"0\r\n\r\n"), 400, "as llhttp has it"),
    Case("Content-Length, then chunked", _with(b"Content-Length: 5\r\n" + _CHUNKED, b"0\r\n\r\n"), 400, "edge-case 20"),
    Case("chunked, then Content-Length", _with(_CHUNKED + b"Content-Length: 5\r\n", b"0\r\n\r\n"), 400, ""),
    Case("chunked and Content-Length 0", _with(_CHUNKED + b"Content-Length: 0\r\n", b"0\r\n\r\n"), 400, ""),
    Case("chunked in 1.0", _with(_CHUNKED, b"0\r\n\r\n", minor=0), 400, "RFC 9112 section 6.1"),
    Case("gzip, chunked in 1.0", _with(b"Transfer-Encoding: gzip, chunked\r\n", minor=0), 400, ""),
    Case("chunked twice", _with(b"Transfer-Encoding: chunked, chunked\r\n", b"0\r\n\r\n"), 400, "edge-case 20"),
    Case("chunked on two lines", _with(_CHUNKED + _CHUNKED, b"0\r\n\r\n"), 400, ""),
    Case("chunked, gzip", _with(b"Transfer-Encoding: chunked, gzip\r\n"), 400, "RFC 9112 section 6.3"),
    Case("chunked, gzip on two lines", _with(_CHUNKED + b"Transfer-Encoding: gzip\r\n"), 400, ""),
    Case("chunked, identity", _with(b"Transfer-Encoding: chunked, identity\r\n"), 400, ""),
    Case("gzip, chunked", _with(b"Transfer-Encoding: gzip, chunked\r\n"), 501, "RFC 9112 section 6.1"),
    Case("gzip, chunked on two lines", _with(b"Transfer-Encoding: gzip\r\n" + _CHUNKED), 501, ""),
    Case("identity", _with(b"Transfer-Encoding: identity\r\n"), 400, "twisted.md 2.3"),
    Case("identity with Content-Length", _with(b"Transfer-Encoding: identity\r\nContent-Length: 5\r\n", b"hello"), 400, ""),
    Case("gzip", _with(b"Transfer-Encoding: gzip\r\n"), 400, "RFC 9112 section 6.3"),
    Case("vertical tab before chunked", _with(b"Transfer-Encoding: \x0bchunked\r\n", b"0\r\n\r\n"), 400, ""),
    Case("vertical tab behind chunked", _with(b"Transfer-Encoding: chunked\x0b\r\n", b"0\r\n\r\n"), 400, ""),
    Case("NUL behind chunked", _with(b"Transfer-Encoding: chunked\x00\r\n", b"0\r\n\r\n"), 400, ""),
    Case("no-break space before chunked", _with(b"Transfer-Encoding: \xa0chunked\r\n", b"0\r\n\r\n"), 400, ""),
    Case("chunked in quotes", _with(b'Transfer-Encoding: "chunked"\r\n', b"0\r\n\r\n"), 400, ""),
    Case("chunked with a parameter", _with(b"Transfer-Encoding: chunked;a=b\r\n", b"0\r\n\r\n"), 400, ""),
    Case("chunked misspelt", _with(b"Transfer-Encoding: xchunked\r\n", b"0\r\n\r\n"), 400, ""),
    Case("chunked and something behind a space", _with(b"Transfer-Encoding: chunked x\r\n", b"0\r\n\r\n"), 400, ""),
    Case("comma before chunked", _with(b"Transfer-Encoding: ,chunked\r\n", b"0\r\n\r\n"), 400, ""),
    Case("comma behind chunked", _with(b"Transfer-Encoding: chunked,\r\n", b"0\r\n\r\n"), 400, ""),
    Case("empty coding", _with(b"Transfer-Encoding:\r\n"), 400, ""),
    Case("empty coding with Content-Length", _with(b"Transfer-Encoding:\r\nContent-Length: 5\r\n", b"hello"), 400, ""),
    Case("empty line, then chunked", _with(b"Transfer-Encoding:\r\n" + _CHUNKED, b"0\r\n\r\n"), 400, ""),
    Case("chunked, then an empty line", _with(_CHUNKED + b"Transfer-Encoding:\r\n", b"0\r\n\r\n"), 400, ""),
    Case("folded chunked", _with(b"Transfer-Encoding:\r\n chunked\r\n", b"0\r\n\r\n"), 400, ""),
    Case("coding with a space before the colon", _with(b"Transfer-Encoding : chunked\r\n", b"0\r\n\r\n"), 400, ""),
    Case("underscore for the hyphen", _with(b"Transfer_Encoding: chunked\r\n"), None, "another name: no body"),
)

_CHUNKS: Final = (
    Case("several chunks", _chunked(b"5\r\nhello\r\nA\r\n0123456789\r\n0\r\n\r\n"), None, ""),
    Case("last chunk of several zeros", _chunked(b"000\r\n\r\n"), None, "RFC 9112 section 7.1: 1*\"0\""),
    Case("extension", _chunked(b'5;a=b;c="d"\r\nhello\r\n0\r\n\r\n'), None, "read over"),
    Case("extension behind a space", _chunked(b"5 ;a\r\nhello\r\n0\r\n\r\n"), None, "BWS"),
    Case("size with 0x", _chunked(b"0x5\r\nhello\r\n0\r\n\r\n"), 400, ""),
    Case("size with a plus", _chunked(b"+5\r\nhello\r\n0\r\n\r\n"), 400, ""),
    Case("size with a minus", _chunked(b"-5\r\nhello\r\n0\r\n\r\n"), 400, ""),
    Case("size behind a space", _chunked(b" 5\r\nhello\r\n0\r\n\r\n"), 400, ""),
    Case("size before a space", _chunked(b"5 \r\nhello\r\n0\r\n\r\n"), 400, ""),
    Case("size before a tab", _chunked(b"5\t\r\nhello\r\n0\r\n\r\n"), 400, ""),
    Case("size with an underscore", _chunked(b"0_5\r\nhello\r\n0\r\n\r\n"), 400, "int() would take it"),
    Case("size of no digits", _chunked(b"\r\nhello\r\n0\r\n\r\n"), 400, ""),
    Case("size of a word", _chunked(b"five\r\nhello\r\n0\r\n\r\n"), 400, ""),
    Case("size of 16 digits", _chunked(b"0000000000000005\r\nhello\r\n0\r\n\r\n"), 400, "more than any body"),
    Case("size of 17 digits", _chunked(b"10000000000000005\r\nhello\r\n0\r\n\r\n"), 400, "wraps in 64 bits"),
    Case("size line of a bare LF", _chunked(b"5\nhello\r\n0\r\n\r\n"), 400, ""),
    Case("size line of a bare CR", _chunked(b"5\rhello\r\n0\r\n\r\n"), 400, ""),
    Case("no CRLF behind the data", _chunked(b"5\r\nhello0\r\n\r\n"), 400, ""),
    Case("bare LF behind the data", _chunked(b"5\r\nhello\n0\r\n\r\n"), 400, ""),
    Case("more data than the size", _chunked(b"5\r\nhello!\r\n0\r\n\r\n"), 400, ""),
    Case("long extension", _chunked(b"5;" + b"a" * 1023 + b"\r\nhello\r\n0\r\n\r\n"), 400, ""),
    Case("extension without an end", _chunked(b"5;" + b"a" * 5000), 400, "not at the timeout"),
    Case("bare CR in an extension", _chunked(b"5;a\rb\r\nhello\r\n0\r\n\r\n"), 400, ""),
    Case("bare LF in an extension", _chunked(b"5;a\nhello\r\n0\r\n\r\n"), 400, "GHSA-8495-4g3g-x7pr and its kin"),
    Case("NUL in an extension", _chunked(b"5;\x00\r\nhello\r\n0\r\n\r\n"), 400, ""),
    Case("more extension than content", _chunked(b"".join([b"1;" + b"a" * 999 + b"\r\nx\r\n"] * 20) + b"0\r\n\r\n"), 400, ""),
    Case("chunks over the limit", _chunked(b"10001\r\n" + b"x" * 65537 + b"\r\n0\r\n\r\n"), None, "", 413),
    Case("chunks at the limit", _chunked(b"10000\r\n" + b"x" * 65536 + b"\r\n0\r\n\r\n"), None, ""),
    Case("trailer", _chunked(b"0\r\nX-Sum: 1\r\n\r\n"), None, ""),
    Case("forbidden trailer", _chunked(b"0\r\nContent-Length: 5\r\nHost: b\r\n\r\n"), None, "dropped, RFC 9110 6.5.1"),
    Case("trailer without a colon", _chunked(b"0\r\nX\r\n\r\n"), 400, ""),
    Case("trailer without a name", _chunked(b"0\r\n: X\r\n\r\n"), 400, ""),
    Case("trailer with a space before the colon", _chunked(b"0\r\nX : a\r\n\r\n"), 400, ""),
    Case("folded trailer", _chunked(b"0\r\nX: a\r\n b\r\n\r\n"), 400, ""),
    Case("control character in a trailer", _chunked(b"0\r\nX: \x01\r\n\r\n"), 400, ""),
    Case("bare LF behind a trailer", _chunked(b"0\r\nX: a\n\r\n\r\n"), 400, ""),
    Case("bare LF behind the last chunk", _chunked(b"0\r\n\n"), 400, ""),
    Case("long trailer section", _chunked(b"0\r\n" + b"X: " + b"a" * 16384 + b"\r\n\r\n"), 400, "max-trailer-bytes"),
    Case("trailer section without an end", _chunked(b"0\r\n" + b"X: " + b"a" * 20000), 400, "not at the timeout"),
)  # fmt: skip

_LIMITS: Final = (
    Case("longest target", _target(b"/" + b"a" * 8191), None, "max-target-bytes"),
    Case("target too long", _target(b"/" + b"a" * 8192), 414, ""),
    Case("target without an end", b"GET /" + b"a" * 9000, 414, "at once, not at the timeout"),
    Case("method without an end", b"G" * 9000, 414, ""),
    Case("long target of two words", b"GET /" + b"a" * 4000 + b" " + b"a" * 5000, 414, ""),
    Case("most fields", _with(b"X: a\r\n" * 99), None, "max-header-count, Host included"),
    Case("too many fields", _with(b"X: a\r\n" * 100), 431, ""),
    Case("longest head", _with(b"X: " + b"a" * (65536 - 33) + b"\r\n"), None, "max-head-bytes"),
    Case("head too long", _with(b"X: " + b"a" * (65536 - 32) + b"\r\n"), 431, ""),
    Case("field without an end", _with(b"X: " + b"a" * 70000), 431, ""),
    Case("head without an end", b"GET / HTTP/1.1\r\n" + b"X: a\r\n" * 12000, 431, ""),
)

_CONNECTIONS: Final = (
    Case("upgrade with a body", _with(b"Connection: upgrade\r\nUpgrade: websocket\r\nContent-Length: 2\r\n", b"hi"), None,
         "the reader frames it; design 6: 400 from the proxy", 400),
    Case("h2c with a body", _with(b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
                                  b"Content-Length: 2\r\n", b"hi"), None, "edge-case 18: goes on as plain HTTP"),
    Case("empty Connection", _with(b"Connection:\r\nConnection: ,,X\r\n"), None, "edge-case 3"),
)  # fmt: skip

CASES: Final[tuple[Case, ...]] = (
    *_LINES,
    *_METHODS,
    *_TARGETS,
    *_AUTHORITIES,
    *_HOSTS,
    *_FIELDS,
    *_LENGTHS,
    *_CODINGS,
    *_CHUNKS,
    *_LIMITS,
    *_CONNECTIONS,
)
