"""The messages as plugins and the engine see them: headers, requests, responses, upstreams, outcomes. No I/O.

Names and types are a contract with plugin authors (docs/plugins). Wire data is C{bytes}; header names and values may
be given as C{str} too (names ASCII, values UTF-8, as in Twisted). The inbound request is frozen; the outbound one is
the directors' own.
"""

from __future__ import annotations

import re
from binascii import hexlify
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import count
from os import urandom
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from attrs import frozen

from twistproxy.location import parseLocation

if TYPE_CHECKING:
    from twistproxy.body import Body

Item = tuple[bytes, bytes, bytes]
"""One header line: lower-case name, name as on the wire, value."""

_TOKEN: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
_BAD_VALUE: Final = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]")
_BAD_TARGET: Final = re.compile(rb"[^\x21-\x7e]|#")


_RUN: Final = hexlify(urandom(4)).decode()
_COUNT: Final = count(1)


def isToken(text: bytes) -> bool:
    """Whether C{text} is a token of RFC 9110 section 5.6.2."""
    return _TOKEN.match(text) is not None


def _name(name: bytes | str) -> bytes:
    return name if isinstance(name, bytes) else name.encode("ascii")


def _value(value: bytes | str) -> bytes:
    return value if isinstance(value, bytes) else value.encode("utf-8")


def headerItem(name: bytes | str, value: bytes | str) -> Item:
    """A checked line.

    @raise ValueError: when the name is no token or the value could break the message's framing.
    """
    raw, content = _name(name), _value(value).strip(b" \t")
    if not isToken(raw):
        raise ValueError(f"{raw!r} is not a header name")
    if _BAD_VALUE.search(content):
        raise ValueError(f"the value of {raw.decode()} has a control character")
    return raw.lower(), raw, content


class FrozenHeaders:
    """Headers to be read: the reading methods of L{twisted.web.http_headers.Headers}, wire case and order kept.

    @ivar items: the lines, a list that must not be changed from outside.
    """

    __slots__ = ("items",)

    def __init__(self, items: list[Item]) -> None:
        self.items = items

    def hasHeader(self, name: bytes | str) -> bool:
        """Whether there is a line of this name, in any case."""
        lower = _name(name).lower()
        return any(item[0] == lower for item in self.items)

    def get(self, name: bytes | str, default: Any = None) -> Any:
        """The value of the first line of this name, of the type of C{name}; else C{default}."""
        lower = _name(name).lower()
        for item in self.items:
            if item[0] == lower:
                return item[2] if isinstance(name, bytes) else item[2].decode("utf-8", "replace")
        return default

    def getRawHeaders(self, name: bytes | str, default: Any = None) -> Any:
        """All values of this name in order, of the type of C{name}; else C{default}."""
        lower = _name(name).lower()
        values = [item[2] for item in self.items if item[0] == lower]
        if not values:
            return default
        return values if isinstance(name, bytes) else [value.decode("utf-8", "replace") for value in values]

    def getAllRawHeaders(self) -> Iterator[tuple[bytes, Sequence[bytes]]]:
        """Each name once, as first seen on the wire, with all its values."""
        found: dict[bytes, tuple[bytes, list[bytes]]] = {}
        for lower, name, value in self.items:
            found.setdefault(lower, (name, []))[1].append(value)
        return iter(found.values())

    def copy(self) -> Headers:
        """A copy that may be changed."""
        return Headers.fromItems(list(self.items))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FrozenHeaders) and other.items == self.items

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__}({[(name, value) for _, name, value in self.items]!r})"


HeadersLike = FrozenHeaders | Mapping[Any, Any] | Iterable[tuple[bytes | str, bytes | str]]
"""What a constructor takes for headers: Headers, a mapping of name to value or values, or pairs."""


class Headers(FrozenHeaders):
    """Headers that may be changed: all methods of L{twisted.web.http_headers.Headers}."""

    __slots__ = ()

    def __init__(self, headers: HeadersLike = ()) -> None:
        if isinstance(headers, FrozenHeaders):
            super().__init__(list(headers.items))
            return
        super().__init__([])
        pairs: Iterable[tuple[Any, Any]] = headers.items() if isinstance(headers, Mapping) else headers
        for name, value in pairs:
            for each in value if isinstance(value, (list, tuple)) else (value,):
                self.addRawHeader(name, each)

    @classmethod
    def fromItems(cls, items: list[Item]) -> Headers:
        """Headers over C{items} themselves: not checked, not copied."""
        made = cls.__new__(cls)
        made.items = items
        return made

    def addRawHeader(self, name: bytes | str, value: bytes | str) -> None:
        """Add one line at the end.

        @raise ValueError: as L{headerItem}.
        """
        self.items.append(headerItem(name, value))

    def setRawHeaders(self, name: bytes | str, values: Sequence[bytes | str]) -> None:
        """Replace all lines of this name; the first keeps its place.

        @raise ValueError: as L{headerItem}.
        @raise TypeError: when C{values} is one string, a slip that would set one line a character.
        """
        if isinstance(values, (bytes, str)):
            raise TypeError("setRawHeaders takes a list of values")
        new = [headerItem(name, value) for value in values]
        lower = _name(name).lower()
        at = next((i for i, item in enumerate(self.items) if item[0] == lower), len(self.items))
        rest = [item for item in self.items[at:] if item[0] != lower]
        self.items[at:] = new + rest

    def removeHeader(self, name: bytes | str) -> None:
        """Remove all lines of this name, if any."""
        lower = _name(name).lower()
        self.items[:] = [item for item in self.items if item[0] != lower]


@frozen
class Address:
    """Where a client is.

    @ivar host: its IP address as text; empty when it has none, as over a UNIX socket.
    @ivar port: 0 when not known.
    """

    host: str = ""
    port: int = 0

    def __str__(self) -> str:
        if not self.host:
            return "unix"
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def splitTarget(target: bytes) -> tuple[bytes, bytes | None]:
    """Path and query of an origin-form target: what stands before and after the first C{?}; None without one."""
    path, mark, query = target.partition(b"?")
    return path, query if mark else None


class InboundRequest:
    """A request as the client sent it. Nothing of it can be changed, but C{state} and C{body} belong to the plugins.

    @ivar body: read it by C{await request.body.read(limit)}; else it streams.
    @ivar outbound: the request that will be sent on.
    """

    __slots__ = (
        "_client", "_headers", "_id", "_items", "_method", "_minor", "_peer", "_scheme", "_state", "_target", "body", "outbound",
    )  # fmt: skip

    body: Body
    outbound: OutboundRequest

    def __init__(
        self,
        method: bytes,
        target: bytes,
        headers: FrozenHeaders | list[Item],
        client: Address,
        peer: Address,
        scheme: str,
        minor: int = 1,
    ) -> None:
        """@param headers: or their lines, which are the request's from now on."""
        self._method = method
        self._target = target
        self._items = headers if isinstance(headers, list) else headers.items
        self._headers: FrozenHeaders | None = None
        self._client = client
        self._peer = peer
        self._scheme = scheme
        self._minor = minor
        self._id = ""
        self._state: dict[Any, Any] | None = None

    @property
    def method(self) -> bytes:
        """A token, such as C{b"GET"}."""
        return self._method

    @property
    def target(self) -> bytes:
        """In origin form, raw: C{b"/a?b"}; C{b"*"} for OPTIONS."""
        return self._target

    @property
    def headers(self) -> FrozenHeaders:
        """All of them, as they came."""
        if self._headers is None:
            self._headers = FrozenHeaders(self._items)
        return self._headers

    @property
    def client(self) -> Address:
        """The client's address, as trusted proxies tell it."""
        return self._client

    @property
    def peer(self) -> Address:
        """The address at the other end of the connection."""
        return self._peer

    @property
    def scheme(self) -> str:
        """C{"http"} or C{"https"}."""
        return self._scheme

    @property
    def minor(self) -> int:
        """1 for HTTP/1.1, 0 for HTTP/1.0."""
        return self._minor

    @property
    def state(self) -> dict[Any, Any]:
        """A dict for this request."""
        if self._state is None:
            self._state = {}
        return self._state

    @property
    def id(self) -> str:
        """Names this request in logs and error pages; made when first asked for."""
        if not self._id:
            self._id = f"{_RUN}{next(_COUNT):08x}"
        return self._id

    @property
    def path(self) -> bytes:
        """What stands before the first C{?} of the target."""
        return self._target.partition(b"?")[0]

    @property
    def query(self) -> bytes | None:
        """What follows the first C{?} of the target; None without one."""
        return splitTarget(self._target)[1]

    @property
    def host(self) -> str:
        """Host header as sent, port included; empty without one."""
        host: str = self.headers.get("host", "")
        return host

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method.decode('latin-1')} {self.target.decode('latin-1')} from {self.client}>"


class OutboundRequest:
    """The request that will be sent on: hop-by-hop and client-sent forwarding headers are gone, ours are in.

    @ivar items: the lines of C{headers}, the same whoever changes them.
    @ivar client: the client's address.
    @ivar scheme: C{"http"} or C{"https"}, as the client spoke to us.
    """

    __slots__ = ("_body", "_headers", "_method", "_path", "_query", "client", "hostSet", "items", "scheme", "stream")

    def __init__(
        self, method: bytes, target: bytes, headers: Headers | list[Item], body: Body, client: Address, scheme: str
    ) -> None:
        """@param headers: or their lines, which are the request's from now on."""
        self._method = method
        self._path: bytes = target
        self._query: bytes | None = None
        if b"?" in target:
            self._path, self._query = splitTarget(target)
        self.items = headers if isinstance(headers, list) else headers.items
        self._headers: Headers | None = None
        self.stream = body
        self._body: Body | None = None
        self.client = client
        self.scheme = scheme
        self.hostSet = False

    @property
    def headers(self) -> Headers:
        """The directors' to change. Framing, TE, Connection and Upgrade are written after them."""
        if self._headers is None:
            self._headers = Headers.fromItems(self.items)
        return self._headers

    @property
    def method(self) -> bytes:
        """A token; set it to send another.

        @raise ValueError: when set to what is no token.
        """
        return self._method

    @method.setter
    def method(self, method: bytes) -> None:
        if not isToken(method):
            raise ValueError(f"{method!r} is not a method")
        self._method = method

    @property
    def path(self) -> bytes:
        """Raw path, before the upstream's base path is joined to it.

        @raise ValueError: when set to one with a C{?}, C{#}, space, control or non-ASCII byte, or without a slash at its start.
        """
        return self._path

    @path.setter
    def path(self, path: bytes) -> None:
        if _BAD_TARGET.search(path) or b"?" in path or (path[:1] != b"/" and path != b"*"):
            raise ValueError(f"{path!r} is not a path: percent-encode what is not allowed in one")
        self._path = path

    @property
    def query(self) -> bytes | None:
        """Raw query without its C{?}; None for none.

        @raise ValueError: when set to one with a C{#}, space, control or non-ASCII byte.
        """
        return self._query

    @query.setter
    def query(self, query: bytes | None) -> None:
        if query is not None and _BAD_TARGET.search(query):
            raise ValueError(f"{query!r} is not a query: percent-encode what is not allowed in one")
        self._query = query

    @property
    def target(self) -> bytes:
        """Path and query joined."""
        return self._path if self._query is None else self._path + b"?" + self._query

    @property
    def host(self) -> str:
        """The Host header; setting it overrides the proxy's own rule.

        @raise ValueError: as L{headerItem}.
        """
        host: str = self.headers.get("host", "")
        return host

    @host.setter
    def host(self, host: str | bytes) -> None:
        self.headers.setRawHeaders("Host", [host])
        self.hostSet = True

    @property
    def body(self) -> Body:
        """The body that will be sent: the client's, or, once bytes were assigned, those."""
        return self.stream if self._body is None else self._body

    @body.setter
    def body(self, body: bytes) -> None:
        from twistproxy.body import Body  # the two modules describe each other; only this way round at run time

        self._body = Body.of(body)

    @property
    def replacedBody(self) -> Body | None:
        """The body that was assigned, if any."""
        return self._body

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method.decode('latin-1')} {self.target.decode('latin-1')}>"


class Response:
    """An answer: an upstream's, for modifiers to change, or one that a plugin makes.

    @ivar headers: end-to-end headers. Framing is written after the modifiers.
    @ivar upstream: who answered; None when a plugin did.
    """

    __slots__ = ("_body", "_code", "_phrase", "filters", "headers", "stream", "upstream")

    def __init__(self, code: int, headers: HeadersLike = (), body: bytes = b"", phrase: bytes = b"") -> None:
        self.code = code
        self.phrase = phrase
        self.headers = headers if type(headers) is Headers else Headers(headers)
        self.upstream: Upstream | None = None
        self.stream: Body | None = None
        self.filters: list[Any] = []
        self._body: Body | None = None
        if body:
            self.body = body

    @property
    def code(self) -> int:
        """The status.

        @raise ValueError: when set to what is no final status.
        """
        return self._code

    @code.setter
    def code(self, code: int) -> None:
        if not (200 <= code <= 999 or code == 101):
            raise ValueError(f"{code} is not a final status")
        self._code = code

    @property
    def phrase(self) -> bytes:
        """The reason phrase as on the wire; empty: the usual one of the code.

        @raise ValueError: when set to one with a control character.
        """
        return self._phrase

    @phrase.setter
    def phrase(self, phrase: bytes) -> None:
        if _BAD_VALUE.search(phrase):
            raise ValueError("the reason phrase has a control character")
        self._phrase = phrase

    def filterBody(self, bodyFilter: Any) -> None:
        """Pass the body through an L{twistproxy.interfaces.IBodyFilter}, piece by piece as it comes; the first added comes first.

        What depends on the body's exact bytes (Content-Length, ETag, digests) is taken from the headers.
        """
        self.filters.append(bodyFilter)

    @property
    def body(self) -> Body:
        """The body that will be sent: the upstream's, or, once bytes were assigned, those."""
        if self._body is not None:
            return self._body
        if self.stream is None:
            from twistproxy.body import EMPTY

            return EMPTY
        return self.stream

    @body.setter
    def body(self, body: bytes) -> None:
        from twistproxy.body import Body

        self._body = Body.of(body)

    @property
    def replacedBody(self) -> Body | None:
        """The body that was assigned, if any."""
        return self._body

    def __repr__(self) -> str:
        return f"<Response {self.code}>"


class Upstream:
    """A server that requests are sent to.

    @ivar url: as configured, without weight: C{http://127.0.0.1:9000/base}, C{unix:/run/app.sock}.
    @ivar weight: a positive share for balancers that have shares.
    @ivar metadata: what its source tells about it.
    @ivar inFlight: exchanges that run there now, tunnels included. Read-only for plugins, as the next two.
    @ivar latency: seconds to the first byte, a moving average; None before the first answer.
    @ivar state: C{"up"}, or why it gets no requests.
    """

    __slots__ = ("backup", "inFlight", "key", "latency", "location", "maxConnections", "metadata", "state", "url", "weight")

    def __init__(self, url: str, weight: int = 1, metadata: Mapping[str, Any] | None = None, *, backup: bool = False,
                 maxConnections: int = 0) -> None:
        self.location = parseLocation(url)
        self.url = url
        self.key = self.location.key
        if weight < 0:
            raise ValueError("a weight is not negative")
        self.weight = weight
        self.metadata: Mapping[str, Any] = metadata or {}
        self.backup = backup
        self.maxConnections = maxConnections
        self.inFlight = 0
        self.latency: float | None = None
        self.state = "up"

    def __repr__(self) -> str:
        return f"<Upstream {self.key}>"


class Outcome(NamedTuple):
    """How one attempt at an upstream ended. Times are seconds, None when that point was not reached.

    C{error} is the word of L{twistproxy.errors.ErrorKind.reason}, empty for a complete answer; C{code} the upstream's
    status, 0 without one; C{bytesIn} counts body bytes sent to the upstream and C{bytesOut} those that came from it, a
    tunnel's included; C{reused} says whether the connection had served before.
    """

    upstream: Upstream
    error: str
    code: int
    connectTime: float | None
    firstByteTime: float | None
    duration: float
    bytesIn: int
    bytesOut: int
    reused: bool


@frozen
class Health:
    """What a health check found. C{latency} in seconds."""

    ok: bool
    detail: str = ""
    latency: float | None = None


@frozen
class Attempt:
    """What a retry policy decides about.

    @ivar request: the inbound request.
    @ivar upstream: who was asked.
    @ivar number: 1 for the first.
    @ivar error: what went wrong; None when C{response} came.
    @ivar sent: whether any byte of the request may have reached the upstream.
    @ivar replayable: whether the body can be sent again.
    """

    request: InboundRequest
    upstream: Upstream
    number: int
    error: Exception | None
    response: Response | None
    sent: bool
    replayable: bool


@frozen
class Retry:
    """Ask another upstream, after C{delay} seconds."""

    delay: float = 0.0


@frozen
class Commit:
    """Give the client what there is."""


@frozen
class GiveUp:
    """Fail with the attempt's error."""
