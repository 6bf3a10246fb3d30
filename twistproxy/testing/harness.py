"""A whole proxy on an in-memory network, with scripted upstreams behind it and clients before it."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final

from twistproxy.engine import Engine
from twistproxy.messages import HeadersLike, Upstream
from twistproxy.settings import Settings
from twistproxy.testing.assembly import ADDRESS, ProxyUnderTest, UpstreamLike, makeSettings
from twistproxy.testing.client import Client, Tunnel
from twistproxy.testing.composing import BodyLike, askingFor, withHost
from twistproxy.testing.failures import FailureCollector
from twistproxy.testing.making import PluginLike
from twistproxy.testing.network import MemoryNetwork
from twistproxy.testing.recorded import Answer
from twistproxy.testing.upstream import FakeUpstream

CLIENT: Final = "203.0.113.9"
"""Where clients come from, if a test does not say otherwise."""


class ProxyHarness:
    """A proxy with plugins, to be asked by a test. No reactor runs: everything happens before a method returns, and time
    passes only in C{advance}::

        with ProxyHarness(director="tenant:header=X-Team", upstream=FakeUpstream(body=b"hi")) as harness:
            answer = harness.get("/x", headers={"X-Team": "blue"})
            assert (answer.status, answer.body) == (200, b"hi")
            assert harness.upstream.requests[0].target == b"/x"

    Each plugin is given as an object, a class, a plugin string, a function, or a list of these; see
    L{twistproxy.testing.making.PluginLike}. C{close}, at the end of the C{with}, raises what plugins raised, and complains of
    connections and delayed calls that they left behind.
    """

    network: MemoryNetwork
    """The reactor of the proxy."""

    clients: list[Client]
    """All connections of clients so far, oldest first."""

    def __init__(
        self,
        *,
        director: PluginLike = None,
        modifier: PluginLike = None,
        middleware: PluginLike = None,
        errorHandler: PluginLike = None,
        balancer: PluginLike = None,
        accessLog: PluginLike = None,
        retryPolicy: PluginLike = None,
        roundTripper: PluginLike = None,
        health: PluginLike = None,
        passive: PluginLike = None,
        source: PluginLike = None,
        upstream: FakeUpstream | None = None,
        upstreams: UpstreamLike | None = None,
        pools: Mapping[str, UpstreamLike] | None = None,
        settings: Settings | Mapping[str, Any] | None = None,
        network: MemoryNetwork | None = None,
        raiseErrors: bool = True,
        directory: str = "",
    ) -> None:
        """
        @param upstream: the only upstream; a L{FakeUpstream} that answers C{hello} by default.
        @param upstreams: or several.
        @param pools: further pools that directors may name; they are balanced in turn.
        @param settings: those that differ, in the spelling of L{Settings} or of a configuration:
            C{{"hookTimeout": 5.0}} or C{{"hook-timeout": "5s"}}.
        @param raiseErrors: whether C{close} raises what is in C{errors}.
        @param directory: what relative paths in plugin strings are relative to.
        @raise twistproxy.errors.ConfigurationError: when a plugin cannot be made, or is none.
        """
        self.network = network or MemoryNetwork()
        self.clients = []
        self._raiseErrors = raiseErrors
        self._failures = FailureCollector()
        self._isClosed = False
        self._settings = makeSettings(settings)
        plugins = {
            "director": director, "modifier": modifier, "middleware": middleware, "errorHandler": errorHandler,
            "balancer": balancer, "accessLog": accessLog, "retryPolicy": retryPolicy, "roundTripper": roundTripper,
            "health": health, "passive": passive, "source": source,
        }  # fmt: skip
        members = upstreams if upstreams is not None else upstream or FakeUpstream()
        with self._failures.listening():
            self._proxy = ProxyUnderTest(self.network, plugins, {"default": members, **(pools or {})}, self._settings, directory)
        self.pump()

    # Asking.

    def get(self, path: str | bytes = "/", headers: HeadersLike = (), *, client: str = CLIENT) -> Answer:
        """Send a GET; see C{request}."""
        return self.request("GET", path, headers, client=client)

    def post(self, path: str | bytes, body: BodyLike, headers: HeadersLike = (), *, client: str = CLIENT) -> Answer:
        """Send a POST; see C{request}."""
        return self.request("POST", path, headers, body, client=client)

    def request(
        self, method: str | bytes, path: str | bytes, headers: HeadersLike = (), body: BodyLike = b"", *, client: str = CLIENT
    ) -> Answer:
        """Send a request on the connection that is there, or a new one where that is closed or busy.

        @param headers: C{Host: app.example} and the body's framing are added, unless they are there.
        @param body: a list of bytes is sent in chunks.
        @param client: the address that it comes from.
        @return: the answer, which is complete unless something keeps it waiting; then it goes on growing in C{advance}.
        """
        current = self.clients[-1] if self.clients else None
        if current is None or not current.isIdle or current.peer.transport.getHost().host != client:
            current = self.connect(client)
        answer = current.request(method, path, withHost(headers), body)
        self._check()
        return answer

    def websocket(
        self, path: str | bytes = "/", headers: HeadersLike = (), *, protocol: str = "websocket", client: str = CLIENT
    ) -> Tunnel:
        """Ask for an upgrade, on a connection of its own. The upstream has to agree: C{FakeUpstream().upgrade()}.

        @param protocol: what to upgrade to; the headers of a WebSocket's handshake are sent for C{websocket}.
        """
        connection = self.connect(client)
        tunnel = Tunnel(connection, connection.request("GET", path, askingFor(protocol, withHost(headers))))
        self._check()
        return tunnel

    def connect(self, client: str = CLIENT) -> Client:
        """A new connection to the proxy.

        @param client: the address that it comes from.
        """
        made = Client(self.network.connect(ADDRESS, source=(client, 0)), self.pump)
        self.clients.append(made)
        self.pump()
        return made

    @property
    def client(self) -> Client:
        """The newest connection of a client; made when there is none, or when the proxy has closed it."""
        if not self.clients or self.clients[-1].isEnded:
            self.connect()
        return self.clients[-1]

    def stallClient(self) -> Client:
        """Have the client take nothing more, from now on and until its C{resume}."""
        client = self.client
        client.stall()
        return client

    # Time, and what can be seen.

    def advance(self, seconds: float) -> None:
        """Let so many seconds pass."""
        with self._failures.listening():
            self.network.advance(seconds)

    def pump(self) -> None:
        """Let everything happen that can happen now."""
        with self._failures.listening():
            self.network.pump()

    @property
    def engine(self) -> Engine:
        """The heart of the proxy."""
        return self._proxy.engine

    @property
    def upstream(self) -> FakeUpstream:
        """The first upstream."""
        return self.upstreams[0]

    @property
    def upstreams(self) -> list[FakeUpstream]:
        """Those of the pool C{default}."""
        return self.pools["default"]

    @property
    def pools(self) -> dict[str, list[FakeUpstream]]:
        """The upstreams of all pools, by name."""
        return self._proxy.pools

    @property
    def members(self) -> tuple[Upstream, ...]:
        """The upstreams of the pool C{default}, as plugins see them."""
        return self.engine.groups["default"].members

    def plugin(self, kind: str, number: int = 0) -> Any:
        """A plugin of a kind, such as C{"director"}: the object that was made of a string or a class.

        @param number: which of them, in their order.
        """
        return self._proxy.plugins[kind][number]

    @property
    def buffered(self) -> int:
        """The most bytes that any one connection of the proxy has held so far, because the other side did not take them."""
        return self.network.maxBufferedUnderTest

    @property
    def errors(self) -> list[BaseException]:
        """What plugins raised, oldest first. A test that expects it looks and calls C{clear}; the rest is raised by C{close}."""
        return self._failures.errors

    @property
    def seen(self) -> frozenset[type[BaseException]]:
        """The types of all that ever was in C{errors}."""
        return frozenset(self._failures.types)

    # The end.

    def close(self) -> None:
        """Let all clients go, stop the proxy, raise what plugins raised, and look for what was left behind.

        @raise AssertionError: naming the connections and delayed calls that are left, or what was said that is no HTTP.
        """
        if self._isClosed:
            return
        self._isClosed = True
        for client in self.clients:
            client.peer.abort()
        self.pump()
        with self._failures.listening():
            ending = self._proxy.stop()
            self.network.pump()
            if not all(each.called for each in ending):
                self.network.advance(self._settings.drainTimeout)
            self.network.closePeers()
        if self._raiseErrors:
            self.network.errors.clear()  # they are in errors already, in their order
            self._failures.raiseKept()
        self._check()
        if not all(each.called for each in ending):
            raise AssertionError("the proxy, or the service of a plugin, does not stop")
        if self.engine.inFlight:
            raise AssertionError(f"{self.engine.inFlight} exchanges have not ended")
        self.network.assertClean()

    def _check(self) -> None:
        """What was said was HTTP."""
        for client in self.clients:
            if client.problem is not None:
                raise client.problem
        for upstream in (each for group in self.pools.values() for each in group):
            if upstream.problems:
                raise upstream.problems[0]

    def __enter__(self) -> ProxyHarness:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<ProxyHarness {len(self.clients)} clients, {self.engine.inFlight} exchanges>"
