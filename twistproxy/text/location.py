"""Where an upstream is: the URL of C{--upstream} taken apart, and its normal form, which is the upstream's
identity."""

from __future__ import annotations

import os
import re
from ipaddress import IPv6Address
from typing import Final
from urllib.parse import quote, unquote

from attrs import field, frozen

_AUTHORITY: Final = re.compile(
    r"(?:\[(?P<six>[0-9A-Fa-f:.]+)(?:%(?:25)?(?P<zone>[A-Za-z0-9._~-]+))?\]|(?P<name>[A-Za-z0-9._~-]+))"
    r"(?::(?P<port>[0-9]{1,5}))?\Z"
)
_PORTS: Final = {"http": 80, "https": 443}
_BAD_PATH: Final = re.compile(r"[^\x21-\x7e]|#")


@frozen
class Location:
    """A parsed upstream URL.

    @ivar scheme: C{"http"} or C{"https"}.
    @ivar host: name or IP address to connect to, without brackets but with the zone of a link-local one; empty
        for a UNIX socket.
    @ivar socketPath: of a UNIX socket; empty for TCP.
    @ivar authority: what Host says when the upstream's own is sent; never a zone (RFC 6874 section 1).
    @ivar basePath: raw path to be joined with the request's; C{b""} or C{b"/"} for none.
    @ivar baseQuery: raw query to be joined with the request's; None for none.
    @ivar key: the normal form of the whole: equal for equal upstreams.
    @ivar isSecure: whether the connection is TLS.
    @ivar hasBase: whether anything is joined to a request's target.
    """

    scheme: str
    host: str
    port: int
    socketPath: str
    authority: bytes
    basePath: bytes
    baseQuery: bytes | None
    key: str
    isSecure: bool = field(init=False)
    hasBase: bool = field(init=False)

    @isSecure.default
    def _isSecure(self) -> bool:
        return self.scheme == "https"

    @hasBase.default
    def _hasBase(self) -> bool:
        return bool(self.baseQuery) or self.basePath not in (b"", b"/")


def parseLocation(url: str) -> Location:
    """Take apart C{http://host[:port][/path][?query]}, C{https://...} or C{unix:PATH[:/base][?query]}.

    @raise ValueError: with a sentence for the person who wrote it.
    """
    if url.startswith("unix:"):
        return _unix(url)
    scheme, mark, rest = url.partition("://")
    scheme = scheme.lower()
    if not mark or scheme not in _PORTS:
        shown = f"{scheme}:..." if "@" in url else repr(url)  # a password is not to be shown
        raise ValueError(f"{shown} is not an upstream (want http://host:port, https://host:port or unix:/path)")
    cut = next((i for i, char in enumerate(rest) if char in "/?"), len(rest))
    authority, tail = rest[:cut], rest[cut:]
    if "@" in authority:
        host = authority.rpartition("@")[2]
        raise ValueError(f"{scheme}://...@{host}: credentials in an upstream URL are not supported")
    found = _AUTHORITY.match(authority)
    if found is None:
        raise ValueError(f"{url!r}: {authority!r} is not host or host:port")
    port = int(found["port"] or _PORTS[scheme])
    if not 0 < port < 65536:
        raise ValueError(f"{url!r}: {port} is not a port")
    colonPort = "" if port == _PORTS[scheme] else f":{port}"
    if found["six"]:
        try:
            host = str(IPv6Address(found["six"]))
        except ValueError:
            raise ValueError(f"{url!r}: {found['six']!r} is not an IPv6 address") from None
        zone = found["zone"] or ""
        shown = f"[{host}%25{zone}]" if zone else f"[{host}]"
        authority = f"[{host}]{colonPort}"
        host = f"{host}%{zone}" if zone else host
    else:
        host = shown = found["name"].lower()
        authority = host + colonPort
    path, query = _tail(url, tail)
    key = f"{scheme}://{shown}{colonPort}{_keyTail(path, query)}"
    return Location(scheme, host, port, "", authority.encode("ascii"), path, query, key)


def _unix(url: str) -> Location:
    rest = url[len("unix:") :].removeprefix("//")
    cut = next((i for i, char in enumerate(rest) if char in ":?"), len(rest))
    socketPath, tail = unquote(rest[:cut], errors="surrogateescape"), rest[cut:].removeprefix(":")
    if not socketPath or "\0" in socketPath:
        raise ValueError(f"{url!r} names no socket (want unix:/run/app.sock)")
    path, query = _tail(url, tail)
    keyTail = _keyTail(path, query)
    key = f"unix:{quote(os.fsencode(socketPath))}{keyTail and ':'}{keyTail}"
    return Location("http", "", 0, socketPath, b"localhost", path, query, key)


def _tail(url: str, tail: str) -> tuple[bytes, bytes | None]:
    if _BAD_PATH.search(tail):
        raise ValueError(f"{url!r}: percent-encode what is not allowed in a path or query")
    if tail and tail[0] not in "/?":
        raise ValueError(f"{url!r}: the base path starts with a slash")
    path, mark, query = tail.partition("?")
    return path.encode("ascii"), query.encode("ascii") if mark else None


def _keyTail(path: bytes, query: bytes | None) -> str:
    shown = "" if path == b"/" else path.decode("ascii")
    return shown if query is None else f"{shown}?{query.decode('ascii')}"
