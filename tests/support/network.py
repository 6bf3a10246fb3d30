"""Upstreams, proxies and clients of one test, on real sockets in this process."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet import reactor as realReactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.task import deferLater

from tests.support.dialogue import LIMIT, Peer, Upstream, connectPeer
from twistproxy.messages import Upstream as Known
from twistproxy.proxy import ReverseProxy
from twistproxy.settings import Settings

reactor: Any = realReactor


class Hurried:
    """The reactor with a faster clock, for timeouts of seconds that should not take seconds.

    @ivar factor: how much faster.
    """

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)

    def seconds(self) -> float:
        """As C{IReactorTime}."""
        return float(reactor.seconds()) * self.factor

    def callLater(self, delay: float, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """As C{IReactorTime}."""
        return reactor.callLater(delay / self.factor, function, *args, **kwargs)


class LiveProxy:
    """A proxy that listens.

    @ivar proxy: it.
    @ivar engine: its engine.
    @ivar port: its port.
    @ivar address: where that listens.
    """

    def __init__(self, network: Network, proxy: ReverseProxy, port: Any) -> None:
        self._network = network
        self._isListening = True
        self.port = port
        self.proxy = proxy
        self.engine = proxy.engine
        self.address = port.getHost()

    async def connect(self) -> Peer:
        """A client of it."""
        return await self._network.client(TCP4ClientEndpoint(reactor, "127.0.0.1", self.address.port))

    async def stopListening(self) -> None:
        """Accept nobody any more."""
        if self._isListening:
            self._isListening = False
            await self.port.stopListening()

    async def quiet(self) -> None:
        """Wait until no exchange is under way."""
        await self._network.until(lambda: not self.engine.inFlight, "an exchange goes on")


class Network:
    """Upstreams, proxies and clients of one test; all are closed at its end.

    @ivar log: lines of the proxy's error log.
    @ivar peers: the clients.
    """

    def __init__(self) -> None:
        self.log: list[str] = []
        self.peers: list[Peer] = []
        self._upstreams: list[Upstream] = []
        self._proxies: list[LiveProxy] = []
        self._spawned: list[Deferred[Any]] = []

    async def upstream(self, endpoint: Any = None, host: str = "127.0.0.1", scheme: str = "http") -> Upstream:
        """An upstream that listens, on 127.0.0.1 unless told otherwise."""
        upstream = Upstream(reactor)
        self._upstreams.append(upstream)
        return await upstream.listen(endpoint or TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1"), host, scheme)

    async def proxy(
        self, *upstreams: Upstream | Known | str, clock: Any = None, endpoint: Any = None, **options: Any
    ) -> LiveProxy:
        """A proxy to these; options are of L{ReverseProxy} or, all others, of L{Settings}."""
        known = (
            "balancer", "directors", "modifiers", "errorHandlers", "middleware", "accessLogs", "sources", "health", "passive",
            "pools",
        )  # fmt: skip
        keywords = {name: options.pop(name) for name in known if name in options}
        urls = [each.url if isinstance(each, Upstream) else each for each in upstreams]
        proxy = ReverseProxy(clock or reactor, urls, settings=Settings(**options), **keywords)
        port = await (endpoint or TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1")).listen(proxy)
        live = LiveProxy(self, proxy, port)
        self._proxies.append(live)
        return live

    async def chain(self, **options: Any) -> tuple[Peer, Upstream]:
        """A client connected to a proxy, and the upstream behind it."""
        upstream = await self.upstream()
        proxy = await self.proxy(upstream, **options)
        return await proxy.connect(), upstream

    async def client(self, endpoint: Any) -> Peer:
        """A client at C{endpoint}."""
        peer = await connectPeer(reactor, endpoint)
        self.peers.append(peer)
        return peer

    async def until(self, holds: Callable[[], object], what: str, limit: float = LIMIT) -> None:
        """Wait for what nobody announces."""
        deadline = reactor.seconds() + limit
        while not holds():
            assert reactor.seconds() < deadline, what
            await deferLater(reactor, 0.005)

    async def logged(self, *words: str) -> str:
        """Wait for the one line of the error log; it holds all these words."""
        await self.until(lambda: self.log, "nothing was logged")
        assert len(self.log) == 1, self.log
        line = self.log.pop()
        assert all(word in line for word in words), line
        assert "\n" not in line
        return line

    def spawn(self, coroutine: Coroutine[Any, Any, Any]) -> None:
        """Run something beside the test; what it raises fails the test."""
        self._spawned.append(Deferred.fromCoroutine(coroutine))

    async def close(self) -> None:
        """Close everything."""
        for peer in [*self.peers, *(each for upstream in self._upstreams for each in upstream.connections)]:
            if peer.reason is None:
                peer.abort()
        for upstream in self._upstreams:
            await upstream.stop()
        for live in self._proxies:
            await live.stopListening()
            await live.proxy.stopService()
        for each in self._spawned:
            await each


def leftIn(clock: Any) -> set[object]:
    """The delayed calls and the selectables of a reactor, its own wakers apart."""
    selectables = {*clock.getReaders(), *clock.getWriters()} - {*clock._internalReaders}
    return {*clock.getDelayedCalls(), *selectables}


async def leftAfter(clock: Any, before: set[object]) -> set[object]:
    """What is left beside what there was before, a second later at most."""
    for _ in range(100):
        if not leftIn(clock) - before:
            break
        await deferLater(clock, 0.01)
    return leftIn(clock) - before
