"""What the engine's tests share: a proxy on an in-memory network, origins that the test scripts, clients in bytes.

Whatever a test does, its end checks that nothing is left: no exchange, no connection, no timer, and one report for
each pick of the balancer.
"""

from __future__ import annotations

import gc
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.engine import Engine
from twistproxy.errors import ProxyError
from twistproxy.exchange.exchange import Exchange
from twistproxy.messages import InboundRequest, Outcome, Upstream
from twistproxy.proxy import ReverseProxy
from twistproxy.settings import Settings
from twistproxy.testing import MemoryNetwork, RawPeer
from twistproxy.transports.writing import EagerWriter

CLIENT = "203.0.113.9"
"""The address that clients come from."""

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
"""A plain answer."""

WEBSOCKET = (b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: a2V5")
"""The lines that ask for a WebSocket."""

SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: x\r\n\r\n"
"""An upstream's consent."""


def get(
    target: bytes = b"/", *lines: bytes, method: bytes = b"GET", version: bytes = b"1.1", host: bytes = b"app.example"
) -> bytes:
    """A request without a body."""
    return b"\r\n".join((b"%b %b HTTP/%b" % (method, target, version), b"Host: " + host, *lines, b"", b""))


def post(body: bytes, *lines: bytes, method: bytes = b"POST", version: bytes = b"1.1") -> bytes:
    """A request with a body of known length."""
    return get(b"/", b"Content-Length: %d" % len(body), *lines, method=method, version=version) + body


def chunked(*pieces: bytes, trailers: Sequence[bytes] = ()) -> bytes:
    """A body in the chunked coding."""
    coded = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces)
    return coded + b"0\r\n" + b"".join(line + b"\r\n" for line in trailers) + b"\r\n"


def answer(body: bytes = b"", *lines: bytes, status: bytes = b"200 OK", version: bytes = b"1.1") -> bytes:
    """An answer with a body of known length."""
    return head(b"Content-Length: %d" % len(body), *lines, status=status, version=version) + body


def head(*lines: bytes, status: bytes = b"200 OK", version: bytes = b"1.1") -> bytes:
    """An answer's head."""
    return b"\r\n".join((b"HTTP/%b %b" % (version, status), *lines, b"", b""))


@contextmanager
def uncollected() -> Iterator[None]:
    """What is freed in here is freed by its references, at once, and C{gc.get_objects} knows only what was made in here.

    A collection before that would do no more, and takes a second in a whole run.
    """
    gc.disable()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
        gc.enable()


@define
class Message:
    """A message as a peer got it, taken apart by hand: the code under test has no part in it.

    @ivar start: its first line.
    @ivar fields: its header lines in order.
    @ivar body: decoded.
    @ivar trailers: the fields behind a chunked body.
    @ivar raw: all of it.
    """

    start: bytes
    fields: list[tuple[bytes, bytes]]
    body: bytes
    trailers: list[tuple[bytes, bytes]]
    raw: bytes

    def all(self, name: bytes) -> list[bytes]:
        """The values of a field, in order."""
        return [value for each, value in self.fields if each.lower() == name.lower()]

    def get(self, name: bytes) -> bytes | None:
        """The value of a field that is there once, or not at all."""
        values = self.all(name)
        if len(values) > 1:
            raise AssertionError(f"{len(values)} lines {name!r}")
        return values[0] if values else None

    @property
    def method(self) -> bytes:
        """Of a request."""
        return self.start.split(b" ")[0]

    @property
    def target(self) -> bytes:
        """Of a request."""
        return self.start.split(b" ")[1]

    @property
    def code(self) -> int:
        """Of an answer."""
        return int(self.start.split(b" ")[1])


def _fields(block: bytes) -> list[tuple[bytes, bytes]]:
    fields = []
    for line in block.split(b"\r\n"):
        name, colon, value = line.partition(b": ")
        if line:
            if not colon or b"\n" in line or b"\r" in line:
                raise AssertionError(f"not a header line: {line!r}")
            fields.append((name, value))
    return fields


def _chunks(data: bytes, at: int) -> tuple[bytes, list[tuple[bytes, bytes]], int] | None:
    if b"\r\n\r\n" not in data[at - 2 :]:
        return None  # seen at once, for this is asked after each byte
    body = b""
    while True:
        end = data.find(b"\r\n", at)
        if end < 0:
            return None
        size = int(data[at:end], 16)
        at = end + 2
        if not size:
            break
        if len(data) < at + size + 2:
            return None
        body += data[at : at + size]
        if data[at + size : at + size + 2] != b"\r\n":
            raise AssertionError("a chunk without its end")
        at += size + 2
    if data.startswith(b"\r\n", at):
        return body, [], at + 2
    end = data.find(b"\r\n\r\n", at)
    return None if end < 0 else (body, _fields(data[at:end]), end + 4)


def parse(data: bytes, answerTo: bytes | None = None, ended: bool = False) -> tuple[Message, int] | None:
    """The message that C{data} begins with, and its length; None when it is not complete.

    @param answerTo: for an answer, the request's method.
    @param ended: whether no more will come.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        return None
    start, _, block = data[:end].partition(b"\r\n")
    message = Message(start, _fields(block), b"", [], b"")
    at = end + 4
    lengths, codings = message.all(b"content-length"), message.all(b"transfer-encoding")
    if answerTo is not None and (answerTo == b"HEAD" or message.code in (204, 304) or message.code < 200):
        pass
    elif codings:
        if codings != [b"chunked"] or lengths:
            raise AssertionError(f"a framing conflict in {data[:end]!r}")
        found = _chunks(data, at)
        if found is None:
            return None
        message.body, message.trailers, at = found
    elif lengths:
        (length,) = lengths
        if len(data) < at + int(length):
            return None
        message.body = data[at : at + int(length)]
        at += int(length)
    elif answerTo is not None:
        if not ended:
            return None
        message.body, at = data[at:], len(data)
    message.raw = data[:at]
    return message, at


Script = bytes | None | Callable[[RawPeer, Message], object] | list[Any]
"""What an origin does with each request: send these bytes; nothing; call this; or one of these for each in turn."""


class Origin:
    """An upstream.

    @ivar requests: those that came in complete, over all connections.
    @ivar onHead: called with a peer when a head is there, body or no body.
    @ivar isHTTP: set it to False where bytes are no requests any more.
    @ivar raw: connections for which that holds.
    """

    def __init__(self, network: MemoryNetwork, address: str, script: Script) -> None:
        self.script = script
        self.address = address
        self.requests: list[Message] = []
        self.onHead: Callable[[RawPeer], object] | None = None
        self._used: dict[RawPeer, int] = {}
        self._seen: dict[RawPeer, int] = {}
        self.isHTTP = True
        self.raw: set[RawPeer] = set()
        self.server = network.serve(address, onData=self._received)

    @property
    def peers(self) -> list[RawPeer]:
        """The connections so far."""
        return self.server.peers

    @property
    def peer(self) -> RawPeer:
        """The only connection so far."""
        (peer,) = self.server.peers
        return peer

    @property
    def received(self) -> bytes:
        """All bytes of all connections."""
        return b"".join(peer.received for peer in self.server.peers)

    @property
    def request(self) -> Message:
        """The only request so far."""
        (request,) = self.requests
        return request

    def _received(self, peer: RawPeer, data: bytes) -> None:
        while self.isHTTP and peer not in self.raw:
            used = self._used.get(peer, 0)
            rest = peer.received[used:]
            if self.onHead is not None and b"\r\n\r\n" in rest and self._seen.get(peer, -1) < used:
                self._seen[peer] = used
                self.onHead(peer)
            found = parse(rest)
            if found is None or peer in self.raw:
                return
            request, length = found
            self._used[peer] = used + length
            self.requests.append(request)
            script = self.script
            if isinstance(script, list):
                script = script.pop(0) if script else None
            if callable(script):
                script(peer, request)
            elif script:
                peer.send(script)


class Client:
    """A client of the proxy. What it does happens at once: the network is pumped."""

    def __init__(self, network: MemoryNetwork, address: Any, host: str) -> None:
        self.network = network
        self.raw = network.connect(address, source=(host, 0))
        network.pump()
        self._methods: list[bytes] = []

    def send(self, data: bytes) -> Client:
        """Send bytes."""
        self.raw.send(data)
        self.network.pump()
        return self

    def halfClose(self) -> None:
        """Send no more."""
        self.raw.halfClose()
        self.network.pump()

    def abort(self) -> None:
        """Go, by a reset."""
        self.raw.abort()
        self.network.pump()

    def take(self) -> bytes:
        """What came since the last time."""
        return self.raw.take()

    @property
    def received(self) -> bytes:
        """All that came."""
        return self.raw.received

    @property
    def isEnded(self) -> bool:
        """Whether the proxy has closed the connection or its half, by whatever means."""
        return self.raw.eof or self.raw.closed is not None

    @property
    def wasReset(self) -> bool:
        """Whether the end was not a clean one."""
        return self.raw.closed is not None and not self.raw.eof

    def answers(self, *methods: bytes) -> list[Message]:
        """All that came as complete answers, 1xx ones too.

        @param methods: of the requests, where they are not all GET.
        """
        asked = list(methods)
        data, answers = self.received, []
        while data:
            found = parse(data, asked[0] if asked else b"GET", self.isEnded and not self.wasReset)
            if found is None:
                raise AssertionError(f"an incomplete answer of {len(data)} bytes: {data[:200]!r}")
            message, length = found
            answers.append(message)
            if message.code >= 200 and asked:
                asked.pop(0)
            data = data[length:]
        return answers

    def answer(self, method: bytes = b"GET") -> Message:
        """The only answer."""
        (message,) = self.answers(method)
        return message


class Recorder:
    """A balancer that keeps account of another: each pick gets one report."""

    def __init__(self, balancer: Any) -> None:
        self.balancer = balancer
        self.picks: list[Upstream] = []
        self.outcomes: list[Outcome] = []
        self.candidates: list[Sequence[Upstream]] = []
        self.changes: list[Sequence[Upstream]] = []

    def pick(self, request: InboundRequest, candidates: Sequence[Upstream]) -> Any:
        """The other's pick."""
        self.candidates.append(candidates)
        upstream = self.balancer.pick(request, candidates)
        if isinstance(upstream, Upstream) and upstream in candidates:
            self.picks.append(upstream)
        return upstream

    def report(self, upstream: Upstream, outcome: Outcome) -> None:
        """Pass it on."""
        self.outcomes.append(outcome)
        self.balancer.report(upstream, outcome)

    def upstreamsChanged(self, upstreams: Sequence[Upstream]) -> None:
        """Pass it on."""
        self.changes.append(upstreams)
        self.balancer.upstreamsChanged(upstreams)


class AccessLog:
    """Keeps the exchanges that have ended."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.refusals: list[tuple[int, str]] = []

    def log(self, record: Exchange) -> None:
        """One has."""
        self.exchanges.append(record)

    def refused(self, peer: object, error: ProxyError, requestId: str, size: int) -> None:
        """Something was no request."""
        self.refusals.append((error.kind.status, error.kind.reason))

    @property
    def lines(self) -> list[tuple[int, str]]:
        """Status and reason of each; the reason is empty for a success."""
        return [(each.code, each.error.kind.reason if each.error is not None else "") for each in self.exchanges]


class ProxyTestCase(SynchronousTestCase):
    """Tests of a proxy on an in-memory network."""

    reverseProxy: ReverseProxy | None = None

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.clients: list[Client] = []
        self.origins: list[Origin] = []
        self.watched: list[Upstream] = []
        self.accessLog = AccessLog()

    def proxy(
        self, *scripts: Script, balancer: Any = None, settings: Any = None, urls: Any = None, **options: Any
    ) -> ReverseProxy:
        """Start the proxy, in front of one origin for each script.

        @param settings: those that are not as by default.
        @param urls: of the upstreams; else the origins'.
        """
        self.origins = [self.serve(f"10.0.0.{at}:80", script) for at, script in enumerate(scripts, 1)]
        self.balancer = Recorder(balancer or RoundRobin())
        self.reverseProxy = proxy = ReverseProxy(
            self.network,
            urls or [f"http://10.0.0.{at}" for at in range(1, len(scripts) + 1)],
            balancer=self.balancer,
            settings=Settings(**(settings or {})),
            **options,
        )
        proxy.engine.accessLogs = (self.accessLog,)
        self.port = self.network.listenTCP(8080, proxy, interface="10.1.0.1")
        proxy.startService()
        return proxy

    def serve(self, address: str, script: Script = None) -> Origin:
        """One more origin."""
        return Origin(self.network, address, script)

    @property
    def engine(self) -> Engine:
        """The proxy's."""
        assert self.reverseProxy is not None
        return self.reverseProxy.engine

    @property
    def origin(self) -> Origin:
        """The first origin."""
        return self.origins[0]

    @property
    def upstream(self) -> Upstream:
        """The first upstream."""
        assert self.reverseProxy is not None
        return self.reverseProxy.upstreams[0]

    def client(self, host: str = CLIENT) -> Client:
        """A client that is connected."""
        client = Client(self.network, ("10.1.0.1", 8080), host)
        self.clients.append(client)
        return client

    def ask(self, data: bytes, host: str = CLIENT) -> Client:
        """A client that has sent these bytes."""
        return self.client(host).send(data)

    def answerTo(self, data: bytes, method: bytes | None = None) -> Message:
        """The answer that a client gets for these bytes."""
        return self.ask(data).answer(method or data.split(b" ")[0])

    def send(self, peer: RawPeer, data: bytes) -> None:
        """Let an origin's peer send bytes."""
        peer.send(data)
        self.network.pump()

    def seconds(self, amount: float) -> None:
        """Let time pass."""
        self.network.advance(amount)

    def outcomes(self) -> list[tuple[str, int]]:
        """What the balancer was told: the error's word and the status of each attempt."""
        return [(outcome.error, outcome.code) for outcome in self.balancer.outcomes]

    def checkNothingRuns(self) -> None:
        """Nothing is under way: to be called by tests at once after what ends an exchange, and at their end."""
        self.assertEqual(self.engine.inFlight, 0, "exchanges are under way")
        assert self.reverseProxy is not None
        for upstream in [*self.reverseProxy.upstreams, *self.watched]:
            self.assertEqual(upstream.inFlight, 0, f"{upstream!r} has exchanges under way")
        reported = Counter(outcome.upstream.key for outcome in self.balancer.outcomes)
        picked = Counter(upstream.key for upstream in self.balancer.picks)
        self.assertEqual(reported, picked, "each pick gets one report")

    def tearDown(self) -> None:
        for client in self.clients:
            client.raw.abort()
        self.network.pump()
        if self.reverseProxy is not None:
            self.checkNothingRuns()
            self.port.stopListening()
            stopped = self.reverseProxy.stopService()
            self.network.pump()
            self.successResultOf(stopped)
        self.network.closePeers()
        self.network.assertClean()
        if self.reverseProxy is not None:
            for pool in self.engine.pools:
                self.assertEqual((pool.total, pool.idle), (0, 0), repr(pool))
            room = self.engine.pools.room
            self.assertEqual((len(room), room.full), (0, {}))


class _Gathering:
    """A socket of the memory network with C{sendmsg}, which the eager writer uses for long answers."""

    def __init__(self, end: Any) -> None:
        self._send: Callable[[bytes], int] = end.send

    def send(self, data: bytes, flags: int = 0) -> int:
        """Send it, or some of it."""
        return self._send(data)

    def sendmsg(self, pieces: list[bytes]) -> int:
        """Send them all, or some."""
        return self._send(b"".join(pieces))


class WritingAtOnce(EagerWriter):
    """The writer that real sockets get, on the memory network's."""

    __slots__ = ()

    def __init__(self, transport: Any, owner: Any) -> None:
        super().__init__(transport, owner)
        self._socket = _Gathering(self._socket)  # type: ignore[assignment]


class Called:
    """A plugin of one hook, made of a function; keeps what it was called with."""

    def __init__(self, hook: str, function: Callable[..., Any]) -> None:
        self.calls: list[tuple[Any, ...]] = []

        def called(*arguments: Any) -> Any:
            self.calls.append(arguments)
            return function(*arguments)

        setattr(self, hook, called)


def director(function: Callable[..., Any]) -> Any:
    """An IDirector."""
    return Called("direct", function)


def modifier(function: Callable[..., Any]) -> Any:
    """An IResponseModifier."""
    return Called("modify", function)


def errorHandler(function: Callable[..., Any]) -> Any:
    """An IErrorHandler."""
    return Called("handle", function)


def middleware(function: Callable[..., Any]) -> Any:
    """An IMiddleware."""
    return Called("around", function)


def never(cancelled: list[Any] | None = None) -> Deferred[Any]:
    """A Deferred that nobody fires.

    @param cancelled: grows when it is cancelled.
    """
    return Deferred(None if cancelled is None else cancelled.append)


def sizes(numbers: Iterable[int]) -> Callable[[], int]:
    """Segment sizes, again and again."""
    kept = list(numbers)
    at = -1

    def size() -> int:
        nonlocal at
        at += 1
        return kept[at % len(kept)]

    return size
