"""An upstream in the hands of a test: what it answers, and what it was asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from twistproxy.messages import HeadersLike, Upstream
from twistproxy.testing import scripts
from twistproxy.testing.composing import BodyLike
from twistproxy.testing.framing import Malformed
from twistproxy.testing.network import MemoryNetwork
from twistproxy.testing.outbox import Outbox
from twistproxy.testing.peers import RawPeer
from twistproxy.testing.reading import RequestReader
from twistproxy.testing.recorded import RecordedRequest
from twistproxy.testing.scripts import Do, Script, Turn


class FakeUpstream:
    """A scripted upstream on a L{MemoryNetwork}.

    What the constructor is given is its answer to everything, as long as nothing else was said. Each method that says
    what to do adds one more answer: each request takes the next one, and the last is repeated. They can be chained, and
    called while the test runs::

        upstream = FakeUpstream(body=b"hi")                 # always that
        upstream = FakeUpstream().respond(503).respond(200) # an error, then successes
        upstream.inform(103, {"Link": "</a.css>"}).wait(2).respond(200, body=b"late")

    C{inform} and C{wait} belong to the answer that follows them.
    """

    requests: list[RecordedRequest]
    """What it was asked, oldest first, over all connections; the last one may still be on its way."""

    peers: list[RawPeer]
    """Its connections so far, the closed ones too, oldest first."""

    problems: list[Malformed]
    """What came that was no HTTP."""

    url: str
    """Where the proxy reaches it, and the key by which it knows it; empty before C{listen}."""

    def __init__(
        self,
        code: int = 200,
        headers: HeadersLike = (),
        body: BodyLike = b"hello",
        *,
        weight: int = 1,
        backup: bool = False,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        """
        @param weight: as the proxy is told, like the next two; see L{Upstream}.
        """
        self.requests = []
        self.problems = []
        self.peers = []
        self.url = self._address = ""
        self._default = scripts.responding(code, headers, body)
        self._script: list[Script] = []
        self._prefix: list[Script] = []
        self._used = 0
        self._about: dict[str, Any] = {"weight": weight, "backup": backup, "metadata": metadata}
        self._network: MemoryNetwork | None = None

    # What it does.

    def respond(
        self, code: int = 200, headers: HeadersLike = (), body: BodyLike = b"", trailers: HeadersLike = ()
    ) -> FakeUpstream:
        """Answer, once the request is complete.

        @param body: bytes and text get a Content-Length, a list of bytes is sent in chunks; unless the headers say how
            the body is framed.
        @param trailers: sent after a chunked body.
        """
        return self.play(scripts.responding(code, headers, body, trailers))

    def inform(self, code: int = 103, headers: HeadersLike = ()) -> FakeUpstream:
        """Send a 1xx before what follows, as soon as the request's head is there."""
        self._prefix.append(scripts.informing(code, headers))
        return self

    def wait(self, seconds: float) -> FakeUpstream:
        """Let so many seconds of virtual time pass before what follows."""
        self._prefix.append(scripts.waiting(seconds))
        return self

    def stall(self, reading: bool = True) -> FakeUpstream:
        """Never answer.

        @param reading: whether to take the request's body, or leave it where it is.
        """
        return self.play(scripts.stalling(reading))

    def resetAfter(self, count: int) -> FakeUpstream:
        """Reset the connection after so many bytes of the constructor's answer, its head included; after 0 at once when
        the request is complete."""
        return self.play(scripts.cutting(self._default, count, Do.RESET))

    def closeAfter(self, count: int) -> FakeUpstream:
        """Close the connection properly after so many bytes of the constructor's answer."""
        return self.play(scripts.cutting(self._default, count, Do.CLOSE))

    def closeMidChunk(self, headers: HeadersLike = (), body: Sequence[bytes] = (b"hello",)) -> FakeUpstream:
        """Send a chunked answer, and close the connection properly in the middle of a chunk after C{body}."""
        return self.play(scripts.closingMidChunk(headers, body))

    def events(self, events: Sequence[bytes | str], every: float = 1.0, headers: HeadersLike = ()) -> FakeUpstream:
        """Send server-sent events, the head at once, then one event after each C{every} seconds, then the end."""
        return self.play(scripts.sendingEvents(events, every, headers))

    def upgrade(self, protocol: str = "websocket", greeting: bytes = b"", headers: HeadersLike = ()) -> FakeUpstream:
        """Switch to another protocol, in which everything is echoed; 426 for a request that does not ask for one.

        @param greeting: sent right behind the 101.
        """
        return self.play(scripts.upgrading(protocol, greeting, headers))

    def raw(self, data: bytes, close: bool = False) -> FakeUpstream:
        """Send these bytes once the request is complete, whatever they are.

        @param close: whether to close the connection behind them.
        """
        return self.play(scripts.sending(data, close))

    def play(self, script: Script) -> FakeUpstream:
        """Play a script of your own; see L{twistproxy.testing.scripts}."""
        prefix, self._prefix = self._prefix, []
        self._script.append(scripts.following([*prefix, script]) if prefix else script)
        return self

    def refuse(self) -> FakeUpstream:
        """Refuse connections from now on; those that are there stay."""
        self._listening().failConnections(self._address)
        return self

    def vanish(self) -> FakeUpstream:
        """Do not even refuse: let attempts to connect hang."""
        self._listening().blackHole(self._address)
        return self

    def comeBack(self) -> FakeUpstream:
        """Take connections again."""
        self._listening().heal(self._address)
        return self

    # Where it is.

    def listen(self, network: MemoryNetwork, address: str) -> Upstream:
        """Listen at C{address}, such as C{"10.0.0.1:80"}; what the proxy knows of it. A L{ProxyHarness} does this."""
        upstream = Upstream(f"http://{address}", **self._about)
        self._network = network
        self._address = address
        self.url = upstream.key
        network.serve(address, onConnect=self._connected)
        return upstream

    def _listening(self) -> MemoryNetwork:
        if self._network is None:
            raise RuntimeError("this upstream listens nowhere yet: give it to a ProxyHarness, or call listen")
        return self._network

    def _connected(self, peer: RawPeer) -> None:
        self.peers.append(peer)
        _Connection(self, peer, self._listening())

    def nextScript(self) -> Script:
        """What is to be done with a request that begins now."""
        if self._prefix:
            self.play(self._default)
        if not self._script:
            return self._default
        self._used = min(self._used + 1, len(self._script))
        return self._script[self._used - 1]

    def __repr__(self) -> str:
        return f"<FakeUpstream {self.url or 'nowhere'}, {len(self.requests)} requests>"


class _Connection:
    """One connection to a scripted upstream."""

    def __init__(self, upstream: FakeUpstream, peer: RawPeer, network: MemoryNetwork) -> None:
        self._upstream = upstream
        self._peer = peer
        self._network = network
        self._turn: Turn | None = None
        self._isEcho = False
        self._reader = RequestReader(self._headReceived, self._requestEnded)
        self._outbox = Outbox(peer.transport)
        peer.onData = self._received
        peer.onEnd = self._ended

    def _received(self, peer: RawPeer, data: bytes) -> None:
        if self._isEcho:
            self._outbox.add(data)
            return
        isFine = self._reader.problem is None
        self._reader.receive(data)
        if isFine and self._reader.problem is not None:
            self._upstream.problems.append(self._reader.problem)

    def _headReceived(self, request: RecordedRequest) -> None:
        self._upstream.requests.append(request)
        self._turn = Turn(self._peer, self._network, self._outbox, request, self._echo)
        self._turn.start(self._upstream.nextScript())

    def _requestEnded(self, request: RecordedRequest) -> None:
        if self._turn is not None:
            self._turn.requestEnded()

    def _echo(self) -> None:
        self._isEcho = True
        self._reader.tunnel()
        self._outbox.add(bytes(self._reader.rest))

    def _ended(self, peer: RawPeer) -> None:
        if self._turn is not None:
            self._turn.stop()
        # A server that waits for the next request, or an echo, closes when the other side does; what waits still goes out.
        self._outbox.add(self._peer.close)
