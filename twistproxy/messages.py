"""The messages as plugins and the engine see them: headers, requests, responses, upstreams, outcomes. No I/O.

Names and types are a contract with plugin authors (docs/plugins). Wire data is C{bytes}; header names and values may
be given as C{str} too (names ASCII, values UTF-8, as in Twisted). The inbound request is frozen; the outbound one is
the directors' own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from twistproxy.clients import Address, ConnectionFacts, Destination, newRequestId
from twistproxy.headers import FrozenHeaders, Headers, HeadersLike, Item, headerItem, isToken
from twistproxy.outcomes import Attempt, Choice, Commit, GiveUp, Health, Outcome, Retry, Try, Upstream
from twistproxy.response import BodyHolder, Response

if TYPE_CHECKING:
    from twistproxy.bodies.body import Body
    from twistproxy.bodies.stages import Stage
    from twistproxy.exchange.standin import StandIn
    from twistproxy.tls.client import ClientCertificate
    from twistproxy.wire.proxyprotocol import ProxyHeader

__all__ = [
    "Address",
    "Attempt",
    "BodyHolder",
    "Choice",
    "Commit",
    "ConnectionFacts",
    "Destination",
    "FrozenHeaders",
    "GiveUp",
    "Headers",
    "HeadersLike",
    "Health",
    "InboundRequest",
    "Item",
    "OutboundRequest",
    "Outcome",
    "Response",
    "Retry",
    "Try",
    "Upstream",
    "headerItem",
    "isToken",
    "newRequestId",
    "splitTarget",
]

STAGES: Final = "twistproxy.bodies.stages"
"""Where C{state} of a request has what its body passes on its way to the upstream."""

USER: Final = "twistproxy.user"
"""Where C{state} of a request has the name that its client has proved to be its own."""

WITHHELD: Final = "twistproxy.withheld"
"""Where C{state} of a request has a list of functions that say of a lower-case name that it is none for its trailers."""

_BAD_TARGET: Final = re.compile(rb"[^\x21-\x7e]|#")


def splitTarget(target: bytes) -> tuple[bytes, bytes | None]:
    """Path and query of an origin-form target: what stands before and after the first C{?}; None without one."""
    path, mark, query = target.partition(b"?")
    return path, query if mark else None


class Lines(Protocol):
    """L{FrozenHeaders}, or what makes their lines when it is asked for them."""

    @property
    def items(self) -> Sequence[Item]:
        """The lines."""


class InboundRequest:
    """A request as the client sent it. Nothing of it can be changed, but C{state} and C{body} belong to the plugins.

    @ivar body: read it by C{await request.body.read(limit)}; else it streams.
    @ivar outbound: the request that will be sent on.
    @ivar finishers: what L{whenFinished} was given; None for nothing.
    @ivar standIn: who takes the place of upstreams that fail; None for nobody.
    @ivar watchers: what L{whenTried} was given; None for nothing.
    """

    __slots__ = (
        "_client", "_connection", "_destination", "_headers", "_id", "_lines", "_method", "_minor", "_peer", "_scheme",
        "_state", "_target", "body", "finishers", "outbound", "standIn", "watchers",
    )  # fmt: skip

    body: Body
    outbound: OutboundRequest

    def __init__(
        self,
        method: bytes,
        target: bytes,
        headers: Lines,
        client: Address,
        peer: Address,
        scheme: str,
        minor: int = 1,
        destination: Destination | None = None,
        connection: ConnectionFacts | None = None,
    ) -> None:
        """@param headers: which nobody changes."""
        self._destination = destination
        self._connection = connection
        self._method = method
        self._target = target
        self._lines = headers
        self._headers: FrozenHeaders | None = None
        self._client = client
        self._peer = peer
        self._scheme = scheme
        self._minor = minor
        self._id = ""
        self._state: dict[Any, Any] | None = None
        self.finishers: list[Callable[[Any], None]] | None = None
        self.standIn: StandIn | None = None
        self.watchers: list[Callable[[Outcome], None]] | None = None

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
            self._headers = FrozenHeaders(list(self._lines.items))
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
    def destination(self) -> Destination | None:
        """Where the client itself wants to go; None when it leaves that to the proxy, as with a reverse proxy."""
        return self._destination

    @property
    def connectionKey(self) -> bytes:
        """Tells the client's connection from all that are open: the other end of it, or, where that has no address, which of our
        transports it is."""
        if self._peer.host:
            return str(self._peer).encode()
        return b"" if self._connection is None else b"unix:%x" % id(self._connection.transport)

    @property
    def scheme(self) -> str:
        """C{"http"} or C{"https"}."""
        return self._scheme

    @property
    def clientCertificate(self) -> ClientCertificate | None:
        """The certificate that the client showed, verified; None without one, and where a proxy before us speaks TLS."""
        source = None if self._connection is None else self._connection.certificate
        return None if source is None else source.certificate

    @property
    def local(self) -> Address:
        """The address that the client connected to, as far as it is known."""
        return Address() if self._connection is None else self._connection.local

    @property
    def proxyHeader(self) -> ProxyHeader | None:
        """What the PROXY protocol told of the connection, by a sender that is believed; its C{tlv} has further fields."""
        return None if self._connection is None else self._connection.proxyHeader

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

    def whenFinished(self, call: Callable[[Any], None]) -> None:
        """Have C{call} called once all of this is over: the answer went out to its last byte, or broke off, or the client
        left, or the tunnel closed. It gets the exchange: C{code}, C{error} (a L{ProxyError} or None), C{upstream}, C{attempts},
        C{bytesOut}, and C{started} by the reactor's clock.
        """
        if self.finishers is None:
            self.finishers = []
        self.finishers.append(call)

    def detached(self) -> InboundRequest:
        """The same request for work that outlives this one: C{state} and C{finishers} are its own. It has no body yet."""
        made = InboundRequest(
            self._method, self._target, self.headers, self._client, self._peer, self._scheme, self._minor, self._destination,
            self._connection,
        )  # fmt: skip
        made._id = self.id
        return made

    @property
    def engine(self) -> Any:
        """The L{twistproxy.engine.Engine} that serves it; None for a request that no proxy got."""
        return None if self._connection is None else self._connection.engine

    def whenTried(self, call: Callable[[Outcome], None]) -> None:
        """Have C{call} called with the L{Outcome} of each attempt at an upstream for this request, when that has ended, those
        that are tried again elsewhere too.
        """
        if self.watchers is None:
            self.watchers = []
        self.watchers.append(call)

    def abort(self) -> bool:
        """Reset the client's connection: it gets no answer, or none that is complete.

        @return: whether that can be done; not where the connection is twisted.web's.
        """
        transport = None if self._connection is None else self._connection.transport
        if transport is None:
            return False
        transport.abortConnection()
        return True

    def addStage(self, stage: Stage) -> None:
        """Have the body, and what the client sends in a tunnel, pass through what C{stage} makes on its way to the upstream:
        it may hold it back, as those of L{twistproxy.bodies.pacing} do. The first added comes first. To be called before
        anybody is asked, so by middleware or directors.
        """
        stages: list[Stage] = self.state.setdefault(STAGES, [])
        if not stages:
            self.whenFinished(lambda exchange: stages.clear())  # they know this request, as a rule
        stages.append(stage)

    @property
    def stages(self) -> list[Stage] | None:
        """As C{state[STAGES]} has it."""
        return None if self._state is None else self._state.get(STAGES)

    @property
    def user(self) -> str:
        """The name that the client has proved to be its own, as C{state[USER]} has it; empty for none."""
        return "" if self._state is None else str(self._state.get(USER, ""))

    def trailersToSend(self, trailers: list[Item]) -> list[Item]:
        """Those of the client's that go on, as C{state[WITHHELD]} has it."""
        withheld = None if self._state is None else self._state.get(WITHHELD)
        return [each for each in trailers if not any(has(each[0]) for has in withheld)] if withheld else trailers

    @property
    def id(self) -> str:
        """Names this request in logs and error pages; made when first asked for. Middleware that knows it by another name may
        say so.
        """
        if not self._id:
            self._id = newRequestId()
        return self._id

    @id.setter
    def id(self, id: str) -> None:
        self._id = id

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
        """Host header as sent, or the authority of an absolute target or CONNECT; port included; empty without one."""
        if self._destination is not None and self._destination.authority:
            return self._destination.authority
        host: str = self.headers.get("host", "")
        return host

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method.decode('latin-1')} {self.target.decode('latin-1')} from {self.client}>"


class OutboundRequest:
    """The request that will be sent on: hop-by-hop and client-sent forwarding headers are gone, ours are in.

    @ivar client: the client's address.
    @ivar scheme: C{"http"} or C{"https"}, as the client spoke to us.
    @ivar block: the lines of C{headers} as they are sent, as long as nobody asked for those; None when they are not known.
    """

    __slots__ = (
        "_body", "_headers", "_isRenamed", "_items", "_makeItems", "_method", "_path", "_query", "_target", "block", "client",
        "hostSet", "scheme", "stream",
    )  # fmt: skip

    def __init__(
        self, method: bytes, target: bytes, headers: Headers | list[Item], body: Body, client: Address, scheme: str
    ) -> None:
        """@param headers: or their lines, which are the request's from now on."""
        self._begin(method, target, body, client, scheme)
        self.block: bytes | None = None
        self._items: list[Item] | None = headers if isinstance(headers, list) else headers.items
        self._makeItems: Callable[[], list[Item]] | None = None

    @classmethod
    def fromBlock(
        cls,
        method: bytes,
        target: bytes,
        block: bytes,
        makeItems: Callable[[], list[Item]],
        body: Body,
        client: Address,
        scheme: str,
    ) -> OutboundRequest:
        """One whose headers were encoded already.

        @param makeItems: makes their lines, for whoever wants to see or change them.
        """
        made = cls.__new__(cls)
        made._begin(method, target, body, client, scheme)
        made.block = block
        made._items = None
        made._makeItems = makeItems
        return made

    def _begin(self, method: bytes, target: bytes, body: Body, client: Address, scheme: str) -> None:
        self._method = method
        self._target: bytes | None = target  # until a part of it is set
        self._path: bytes | None = None  # until it is taken apart
        self._query: bytes | None = None
        self._headers: Headers | None = None
        self.stream = body
        self._body: Body | None = None
        self.client = client
        self.scheme = scheme
        self.hostSet = self._isRenamed = False

    def _takeApart(self) -> bytes:
        """Path and query, for whoever wants one of them; the path."""
        assert self._target is not None
        self._path, self._query = parts = splitTarget(self._target)
        return parts[0]

    @property
    def items(self) -> list[Item]:
        """The lines of C{headers}, the same whoever changes them."""
        if self._items is None:
            assert self._makeItems is not None
            self._items = self._makeItems()
            self._makeItems = None
        return self._items

    @property
    def isTouched(self) -> bool:
        """Whether anybody may have changed what framing depends on: header lines, method or body."""
        return self._headers is not None or self._isRenamed or self._body is not None

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
        self._isRenamed = True

    @property
    def path(self) -> bytes:
        """Raw path, before the upstream's base path is joined to it.

        @raise ValueError: when set to one with a C{?}, C{#}, space, control or non-ASCII byte, or without a slash at its start.
        """
        return self._path if self._path is not None else self._takeApart()

    @path.setter
    def path(self, path: bytes) -> None:
        if _BAD_TARGET.search(path) or b"?" in path or (path[:1] != b"/" and path != b"*"):
            raise ValueError(f"{path!r} is not a path: percent-encode what is not allowed in one")
        if self._path is None:
            self._takeApart()
        self._path = path
        self._target = None

    @property
    def query(self) -> bytes | None:
        """Raw query without its C{?}; None for none.

        @raise ValueError: when set to one with a C{#}, space, control or non-ASCII byte.
        """
        if self._path is None:
            self._takeApart()
        return self._query

    @query.setter
    def query(self, query: bytes | None) -> None:
        if query is not None and _BAD_TARGET.search(query):
            raise ValueError(f"{query!r} is not a query: percent-encode what is not allowed in one")
        if self._path is None:
            self._takeApart()
        self._query = query
        self._target = None

    @property
    def target(self) -> bytes:
        """Path and query joined."""
        if self._target is not None:
            return self._target
        return self.path if self._query is None else self.path + b"?" + self._query

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
        from twistproxy.bodies.body import Body  # the two modules describe each other; only this way round at run time

        self._body = Body.of(body)

    @property
    def replacedBody(self) -> Body | None:
        """The body that was assigned, if any."""
        return self._body

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.method.decode('latin-1')} {self.target.decode('latin-1')}>"
