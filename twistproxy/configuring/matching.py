"""What a route matches: the C{match} table of a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from twistproxy.configuring.reading import Reader
from twistproxy.messages import isToken
from twistproxy.routing import HeaderMatch, RouteMatch

MATCH_KEYS: Final = ("host", "path", "path-regex", "method", "header")

_HOST: Final = re.compile(r"(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*\Z|\[[0-9a-f:.]+\]\Z")
_USUAL: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})


def readMatch(reader: Reader, where: str, table: Mapping[str, Any]) -> RouteMatch:
    """The match; where something is wrong with it the reader knows."""
    reader.keys(where, table, MATCH_KEYS)
    return RouteMatch(
        hosts=tuple(_host(reader, f"{where}.host", each) for each in _texts(reader, f"{where}.host", table.get("host"))),
        path=_path(reader, f"{where}.path", table.get("path", "")),
        pathRegex=_regex(reader, f"{where}.path-regex", table.get("path-regex")),
        methods=tuple(
            _method(reader, f"{where}.method", each) for each in _texts(reader, f"{where}.method", table.get("method"))
        ),
        headers=_headers(reader, f"{where}.header", table.get("header", {})),
    )


def _texts(reader: Reader, where: str, value: Any) -> list[str]:
    """A text, or a list of them."""
    values = [] if value is None else value if isinstance(value, list) else [value]
    if not all(isinstance(each, str) for each in values):
        reader.wrong(where, "is text, or a list of texts")
        return []
    return values


def _host(reader: Reader, where: str, written: str) -> str:
    host = written.rstrip(".").lower()
    if not host.isascii():
        try:
            host = host.encode("idna").decode("ascii")
        except UnicodeError:
            reader.wrong(where, f"{written!r} is not a host name")
            return ""
    if not _HOST.match(host):
        hint = " (without its port)" if re.search(r":\d+\Z", host) else ""
        reader.wrong(where, f"{written!r} is not a host name{hint}: want example.com or *.example.com")
    return host


def _path(reader: Reader, where: str, path: Any) -> bytes:
    if not isinstance(path, str) or (path and not path.startswith("/")):
        reader.wrong(where, "is text that starts with a slash")
        return b""
    if "?" in path or "#" in path:
        reader.wrong(where, f"{path!r} has more than a path")
    if "*" in path:
        reader.wrong(where, f"{path!r}: a path is a prefix and needs no *; path-regex takes patterns")
    # As a client writes it: what is not allowed in a path comes percent-encoded.
    return re.sub(rb"[^\x21-\x7e]", lambda found: b"%%%02X" % found[0][0], path.encode())


def _regex(reader: Reader, where: str, pattern: Any) -> re.Pattern[str] | None:
    if pattern is None:
        return None
    if not isinstance(pattern, str):
        reader.wrong(where, "is text")
        return None
    try:
        return re.compile(pattern)
    except re.error as error:
        reader.wrong(where, f"{pattern!r} is not a regular expression: {error}")
        return None


def _method(reader: Reader, where: str, method: str) -> bytes:
    if not isToken(method.encode()):
        reader.wrong(where, f"{method!r} is not a method")
    elif method.upper() in _USUAL and method not in _USUAL:
        reader.wrong(where, f"methods are case-sensitive: did you mean {method.upper()!r}?")
    return method.encode()


def _headers(reader: Reader, where: str, table: Any) -> tuple[HeaderMatch, ...]:
    """By name: text for a line of that value, true for any, false for none."""
    if not isinstance(table, dict):
        reader.wrong(where, 'is a table such as { X-Canary = "yes" }')
        return ()
    made: list[HeaderMatch] = []
    for name, value in table.items():
        lower = name.encode().lower()
        if not isToken(lower):
            reader.wrong(f"{where}.{name}", "is not the name of a header")
        elif isinstance(value, str):
            made.append(HeaderMatch(lower, value.encode()))
        elif isinstance(value, bool):
            made.append(HeaderMatch(lower, None, not value))
        else:
            reader.wrong(f"{where}.{name}", "is text, true for any value or false for none")
    return tuple(made)
