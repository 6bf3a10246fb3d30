"""What llhttp lets through and a proxy must not: the checks between a parsed head and anything that is done
with it.

Everything here is about two programs reading the same bytes differently. Rules are those of RFC 9112 (its
sections are named), made strict where the RFC leaves a choice that has been used for request smuggling.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

from twistproxy.errors import (
    BAD_REQUEST,
    CODING_NOT_IMPLEMENTED,
    UPSTREAM_PROTOCOL,
    VERSION_NOT_SUPPORTED,
    ProxyError,
)
from twistproxy.messages import Item, isToken

CHUNKED: Final = -1
"""A body in the chunked coding."""

UNTIL_CLOSE: Final = -2
"""A body that ends with the connection; responses only."""

SWITCHED: Final = -3
"""No body: what follows is not HTTP."""

_PORT: Final = rb"(?:[0-5]?\d{1,4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])"
_LITERAL: Final = rb"\[[0-9A-Fa-f]*:[0-9A-Fa-f:.]*(?:%[A-Za-z0-9._~%-]+)?\]"
_NAME: Final = rb"(?=[^:])[A-Za-z0-9._~!$&'()*+,;=-]*(?:%[0-9A-Fa-f]{2}[A-Za-z0-9._~!$&'()*+,;=-]*)*"
_HOST: Final = re.compile(rb"(?:%b|%b)(?::%b?)?\Z" % (_NAME, _LITERAL, _PORT))
_CONNECT_TARGET: Final = re.compile(rb"(?:[A-Za-z0-9._~-]+|%b):%b\Z" % (_LITERAL, _PORT))
_ABSOLUTE: Final = re.compile(rb"([Hh][Tt][Tt][Pp][Ss]?)://([^/?#]*)(.*)\Z")
_VERSION: Final = re.compile(rb"HTTP/\d\.\d\Z")
_SHORT: Final = 64
"""Bytes; values below are worth remembering, and cost little memory."""

_DIGITS: Final = re.compile(rb"\d{1,18}\Z")


COMMON_METHODS: Final = frozenset({b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH"})
"""Methods that need no look at each of their characters."""


def bad(detail: str) -> ProxyError:
    """A malformed request."""
    return ProxyError(BAD_REQUEST, detail)


def nonsense(detail: str) -> ProxyError:
    """A malformed response."""
    return ProxyError(UPSTREAM_PROTOCOL, detail)


def splitRequestLine(line: bytes) -> tuple[bytes, bytes, int]:
    """Method, target and minor version of a request line (RFC 9112 section 3).

    @raise ProxyError: 400, or 505 for a version that is well-formed but not 1.0 or 1.1.
    """
    parts = line.split(b" ")
    if len(parts) != 3:
        raise bad("the request line is not method, target and version with one space between")
    method, target, version = parts
    if method not in COMMON_METHODS and not isToken(method):
        raise bad("the method is not a token")
    if version == b"HTTP/1.1":
        return method, target, 1
    if version == b"HTTP/1.0":
        return method, target, 0
    if _VERSION.match(version) and not hasLineEnd(target):
        raise ProxyError(VERSION_NOT_SUPPORTED, version.decode("ascii"))
    raise bad("the version is malformed")


def hasLineEnd(text: bytes) -> bool:
    """Whether there is a CR or LF in it: what some other program takes for the end of a line."""
    return b"\r" in text or b"\n" in text


def checkConnectTarget(target: bytes) -> None:
    """Authority form with a port (RFC 9112 section 3.2.3).

    @raise ProxyError: 400.
    """
    if not _CONNECT_TARGET.match(target):
        raise bad("the target of CONNECT is not host:port")


def normaliseTarget(method: bytes, target: bytes) -> tuple[bytes, bytes | None, str | None]:
    """The target in origin form, and authority and scheme when it came in absolute form (RFC 9112 section
    3.2).

    @raise ProxyError: 400.
    """
    if target[:1] == b"/":
        if b"#" in target:
            raise bad("the target has a fragment")
        return target, None, None
    if target == b"*":
        if method != b"OPTIONS":
            raise bad("only OPTIONS may have the target *")
        return target, None, None
    found = _ABSOLUTE.match(target)
    if found is None or b"#" in target:
        raise bad("the target is neither a path nor an http URL")
    scheme, authority, rest = found.groups()
    if not _HOST.match(authority):
        raise bad("the target's authority is malformed")
    if not rest:
        rest = b"*" if method == b"OPTIONS" else b"/"
    elif rest[:1] == b"?":
        rest = b"/" + rest
    return rest, authority, scheme.decode("ascii").lower()


@lru_cache(maxsize=1024)
def _isKnownHost(host: bytes) -> bool:
    """Whether a short Host is well-formed or empty; clients name the same few again and again."""
    return not host or _HOST.match(host) is not None


def _withoutDefaultPort(authority: bytes, scheme: str) -> bytes:
    suffix = b":443" if scheme == "https" else b":80"
    lower = authority.lower().removesuffix(b":")
    return lower.removesuffix(suffix)


def checkHost(hosts: Sequence[bytes], minor: int, authority: bytes | None, scheme: str | None) -> None:
    """Exactly one Host on 1.1, at most one on 1.0, well-formed or empty, and agreeing with an absolute-form
    target.

    RFC 9112 section 3.2 asks for a 400 in each case but the last, where HAProxy's is followed: a target that
    names another host than Host does is an attempt to have two programs disagree.

    @raise ProxyError: 400.
    """
    if len(hosts) != 1:
        if hosts:
            raise bad("more than one Host")
        if minor:
            raise bad("no Host")
        return
    host = hosts[0]
    if not (_isKnownHost(host) if len(host) < _SHORT else _HOST.match(host) or not host):
        raise bad("Host is malformed")
    if authority is not None:
        scheme = scheme or "http"
        if _withoutDefaultPort(authority, scheme) != _withoutDefaultPort(host, scheme):
            raise bad("Host and the target disagree")


def requestLength(lengths: Sequence[bytes], codings: Sequence[bytes], minor: int) -> int:
    """How long the body is, or L{CHUNKED} (RFC 9112 section 6.3).

    @raise ProxyError: 400 for any conflict; 501 for a coding before chunked that nobody here can decode.
    """
    if codings:
        if lengths:
            raise bad("both Content-Length and Transfer-Encoding")
        if not minor:
            raise bad("Transfer-Encoding in HTTP/1.0")
        if len(codings) == 1 and codings[0].lower() == b"chunked":
            return CHUNKED
        names = [each.strip(b" \t").lower() for each in b",".join(codings).split(b",")]
        *others, last = names
        if others and last == b"chunked" and b"chunked" not in others and all(map(isToken, others)):
            raise ProxyError(CODING_NOT_IMPLEMENTED, "a transfer coding other than chunked")
        raise bad("Transfer-Encoding is not chunked")
    if not lengths:
        return 0
    if len(lengths) != 1 or not _DIGITS.match(lengths[0]):
        raise bad("Content-Length is malformed or repeated")
    return int(lengths[0])


def responseLength(lengths: Sequence[bytes], codings: Sequence[bytes], minor: int, hasBody: bool) -> int:
    """How long a response's body is, L{CHUNKED} or L{UNTIL_CLOSE} (RFC 9112 section 6.3).

    @param hasBody: False for answers to HEAD, 204 and 304.
    @raise ProxyError: 502 for any conflict.
    """
    if codings and (lengths or not minor or len(codings) != 1 or codings[0].lower() != b"chunked"):
        raise nonsense("Transfer-Encoding is not chunked alone")
    if lengths and (len(lengths) != 1 or not _DIGITS.match(lengths[0])):
        raise nonsense("Content-Length is malformed or repeated")
    if not hasBody:
        return 0
    if codings:
        return CHUNKED
    return int(lengths[0]) if lengths else UNTIL_CLOSE


def tokens(values: Sequence[bytes]) -> tuple[bytes, ...]:
    """The elements of a comma-separated list over several lines, lower-case, empty ones left out (RFC 9110
    section 5.6.1)."""
    if len(values) == 1 and len(values[0]) < _SHORT:
        return _knownTokens(values[0])
    return _splitTokens(values)


@lru_cache(maxsize=1024)
def _knownTokens(value: bytes) -> tuple[bytes, ...]:
    """The elements of one short line: nearly always that of Connection, which has few values in the world."""
    return _splitTokens((value,))


def _splitTokens(values: Sequence[bytes]) -> tuple[bytes, ...]:
    return tuple(name for each in b",".join(values).lower().split(b",") if (name := each.strip(b" \t")))


def single(items: Sequence[Item], lower: bytes) -> list[bytes]:
    """All values of one field."""
    return [item[2] for item in items if item[0] == lower]
