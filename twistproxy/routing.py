"""Which route a request takes. Pure: no I/O, no Twisted, nothing known of what a route does.

Of the routes that match a request the most exact one wins, whatever their order in the configuration:

    1. an exact host before C{*.example.com}, a longer such wildcard before a shorter one, any host last;
    2. then the longest path prefix, counted in segments;
    3. then a route with a path-regex before one without;
    4. then a route with methods before one without;
    5. then the route with more headers;
    6. then the one that comes first in the configuration.

Paths are compared as an origin server would understand them, so that no spelling of a path slips by the route
that is meant for it: percent-encoded unreserved characters count as themselves, dot segments are resolved,
empty segments do not count. What is sent on is still the raw path.

Of some characters applications do not think alike: many decode C{%2F} to a slash (all of WSGI), some take a backslash for
one, and Java's leave out what follows a semicolon in a segment. A path that would take another route when it is read so
is refused: it is a way around whatever that route is for.

Hosts are a table and paths a tree of segments, so thousands of routes cost a request no more than a few.
Routes that share host and path prefix are tried one after the other.
"""

from __future__ import annotations

import re
from bisect import insort
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, Generic, Protocol, TypeVar

from attrs import field, frozen

from twistproxy.errors import BAD_REQUEST, ProxyError

T = TypeVar("T")

_UNRESERVED: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPE: Final = re.compile(rb"%([0-9A-Fa-f]{2})")
_LOOSE: Final = ((re.compile(rb"%2[Ff]"), b"/"), (re.compile(rb"\\|%5[Cc]"), b"/"), (re.compile(rb";[^/]*"), b""))
"""What some programs read in a path, and as what."""

_MOST_LOOSE: Final = 64
"""How much of that may be in a path: it is looked at in up to eight readings."""


class _Headers(Protocol):
    def getRawHeaders(self, name: bytes) -> Sequence[bytes] | None: ...


class Routable(Protocol):
    """What a request has to have; L{twistproxy.messages.InboundRequest} has it."""

    @property
    def method(self) -> bytes:
        """A token."""

    @property
    def path(self) -> bytes:
        """Raw, without its query."""

    @property
    def host(self) -> str:
        """The Host header, port included."""

    @property
    def headers(self) -> _Headers:
        """Those of the request."""


@frozen
class HeaderMatch:
    """What a header has to be.

    @ivar name: lower case.
    @ivar value: one of the header's lines has to be this; None: any line will do.
    @ivar absent: whether there must be no such line instead.
    """

    name: bytes
    value: bytes | None = None
    absent: bool = False

    def matches(self, headers: _Headers) -> bool:
        """Whether C{headers} are so."""
        lines = headers.getRawHeaders(self.name)
        if lines is None or self.absent:
            return lines is None and self.absent
        return self.value is None or self.value in lines


@frozen
class RouteMatch:
    """Which requests a route is for; empty fields match all.

    @ivar hosts: lower case, without port; C{*.example.com} matches every name below example.com.
    @ivar path: a prefix by segments: C{/a} matches C{/a}, C{/a/} and C{/a/b}, not C{/ab}.
    @ivar pathRegex: searched for in the path; anchor it by C{^} and C{$}.
    @ivar methods: exact names.
    @ivar headers: all of which have to match.
    """

    hosts: tuple[str, ...] = ()
    path: bytes = b""
    pathRegex: re.Pattern[str] | None = None
    methods: tuple[bytes, ...] = ()
    headers: tuple[HeaderMatch, ...] = ()

    @property
    def isEverything(self) -> bool:
        """Whether every request matches."""
        return self.isPlain and not self.hosts and not segmentsOf(self.path)

    @property
    def isPlain(self) -> bool:
        """Whether only host and path prefix matter."""
        return not (self.pathRegex or self.methods or self.headers)

    @property
    def rank(self) -> tuple[bool, bool, int]:
        """Rules 3 to 5 of the module's order: smaller is more exact."""
        return self.pathRegex is None, not self.methods, -len(self.headers)

    def matchesRest(self, request: Routable, path: Sequence[bytes]) -> bool:
        """Whether all but host and path prefix match.

        @param path: the segments of the request's path.
        """
        if self.methods and request.method not in self.methods:
            return False
        if self.pathRegex is not None:
            shown = b"/" + b"/".join(path) + (b"/" if path and request.path.endswith(b"/") else b"")
            if not self.pathRegex.search(shown.decode("utf-8", "surrogateescape")):
                return False
        return all(each.matches(request.headers) for each in self.headers)


def segmentsOf(path: bytes) -> list[bytes]:
    """The segments of a path that count, in normal form."""
    return _segments(_unescaped(path))


def _unescaped(path: bytes) -> bytes:
    """The path with the characters that need no escape."""
    return _ESCAPE.sub(_plain, path) if b"%" in path else path


def _segments(path: bytes) -> list[bytes]:
    segments = [each for each in path.split(b"/") if each]
    if b"/." not in path:
        return segments
    resolved: list[bytes] = []
    for each in segments:
        if each == b"..":
            del resolved[-1:]
        elif each != b".":
            resolved.append(each)
    return resolved


def _plain(found: re.Match[bytes]) -> bytes:
    code = int(found[1], 16)
    return bytes((code,)) if code in _UNRESERVED else found[0].upper()


def hostName(host: str) -> str:
    """The Host header C{host} as routes know it: without port and final dot, in lower case."""
    end = host.rfind("]") + 1 if host.startswith("[") else host.find(":")
    return (host[:end] if end > 0 else host).rstrip(".").lower()


@frozen
class _Entry(Generic[T]):
    match: RouteMatch
    route: T
    isPlain: bool


@frozen(eq=False)
class _Node(Generic[T]):
    """What is known of one path prefix: its routes, most exact first, and the prefixes below it."""

    entries: list[_Entry[T]] = field(factory=list)
    children: dict[bytes, _Node[T]] = field(factory=dict)

    def add(self, segments: Sequence[bytes], entry: _Entry[T]) -> None:
        node = self
        for each in segments:
            node = node.children.setdefault(each, _Node())
        insort(node.entries, entry, key=lambda each: each.match.rank)  # after its equals

    def find(self, request: Routable, path: Sequence[bytes]) -> _Entry[T] | None:
        passed: list[_Node[T]] = [self] if self.entries else []
        node: _Node[T] | None = self
        for each in path:
            assert node is not None
            node = node.children.get(each)
            if node is None:
                break
            if node.entries:
                passed.append(node)
        while passed:
            for entry in passed.pop().entries:
                if entry.isPlain or entry.match.matchesRest(request, path):
                    return entry
        return None


class Router(Generic[T]):
    """Finds the route of a request."""

    def __init__(self, routes: Iterable[tuple[RouteMatch, T]]) -> None:
        """
        @param routes: with what they match, in the configuration's order.
        """
        self._exact: dict[str, _Node[T]] = {}
        self._wild: dict[str, _Node[T]] = {}
        self._any: _Node[T] = _Node()
        entries = [_Entry(match, route, match.isPlain) for match, route in routes]
        for entry in entries:
            segments = segmentsOf(entry.match.path)
            for tree in self._treesOf(entry.match.hosts):
                tree.add(segments, entry)
        # Whoever has a route for such a spelling knows how it is read.
        regexes = [entry.match.pathRegex.pattern for entry in entries if entry.match.pathRegex is not None]
        written = [entry.match.path for entry in entries] + [each.replace("\\", "").encode() for each in regexes]
        self._loose = [(each, plain) for each, plain in _LOOSE if not any(map(each.search, written))]
        self._only = entries[0] if len(entries) == 1 and entries[0].match.isEverything else None

    def _treesOf(self, hosts: Sequence[str]) -> list[_Node[T]]:
        if not hosts:
            return [self._any]
        return [
            self._wild.setdefault(host[2:], _Node()) if host.startswith("*.") else self._exact.setdefault(host, _Node())
            for host in dict.fromkeys(hosts)
        ]

    def route(self, request: Routable) -> T | None:
        """The route that C{request} takes; None when none matches.

        @raise ProxyError: 400, when the path is another route's for programs that read it in another way.
        """
        if self._only is not None:
            return self._only.route
        path = _unescaped(request.path)
        found = self._find(request, path)
        if b"%" in path or b";" in path or b"\\" in path:
            if sum(map(path.count, (b";", b"\\", b"%2F", b"%5C"))) > _MOST_LOOSE:
                raise ProxyError(BAD_REQUEST, "the path can be read in too many ways")
            for each in self._readingsOf(path):
                if self._find(request, each) is not found:
                    raise ProxyError(BAD_REQUEST, "the path can be read as one that takes another route")
        return None if found is None else found.route

    def _readingsOf(self, path: bytes) -> list[bytes]:
        """The path as other programs read it, in all combinations."""
        readings = [path]
        for loose, plain in self._loose:
            readings += [changed for each in readings if (changed := loose.sub(plain, each)) != each]
        return readings[1:]

    def _find(self, request: Routable, path: bytes) -> _Entry[T] | None:
        segments = _segments(path)
        if self._exact or self._wild:
            for tree in self._treesFor(hostName(request.host)):
                found = tree.find(request, segments)
                if found is not None:
                    return found
        return self._any.find(request, segments)

    def _treesFor(self, host: str) -> Iterable[_Node[T]]:
        exact = self._exact.get(host)
        if exact is not None:
            yield exact
        if self._wild:
            _, dot, rest = host.partition(".")
            while dot:
                tree = self._wild.get(rest)
                if tree is not None:
                    yield tree
                _, dot, rest = rest.partition(".")


def unreachable(matches: Sequence[RouteMatch]) -> Mapping[int, int]:
    """Routes that no request can take, since an equal one comes first: its index, and that one's."""
    first: dict[object, int] = {}
    found: dict[int, int] = {}
    for i, match in enumerate(matches):
        same = (
            frozenset(match.hosts),
            tuple(segmentsOf(match.path)),
            match.pathRegex,
            frozenset(match.methods),
        )
        other = first.setdefault((*same, frozenset(match.headers)), i)
        if other != i:
            found[i] = other
    return found
