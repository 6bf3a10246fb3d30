"""The proxy as a resource, on an in-memory network: under a stock Site, and under the one that streams."""

from __future__ import annotations

from io import StringIO
from typing import Any

from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from tests.unit.support import Message, ProxyTestCase, Recorder, Script
from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.proxy import ReverseProxy
from twistproxy.server.resource import ReverseProxyResource, site
from twistproxy.settings import Settings
from twistproxy.testing import MemoryTransport, RawPeer

STOCK = Site
STREAMING = site


class ResourceTestCase(ProxyTestCase):
    """Tests of a L{ReverseProxyResource}.

    @ivar makeSite: what serves the tree.
    @ivar base: the resource's path at the upstream.
    @ivar resource: the proxy.
    @ivar root: of the tree; the proxy itself, unless C{plant} makes another.
    """

    makeSite: Any = staticmethod(STOCK)
    base = b""
    siteOptions: dict[str, Any] = {}

    def plant(self) -> Any:
        """The root of the tree."""
        return self.resource

    def proxy(
        self, *scripts: Script, balancer: Any = None, settings: Any = None, urls: Any = None, **options: Any
    ) -> ReverseProxy:
        """Start a Site with a proxy in it, in front of one origin for each script; as L{ProxyTestCase.proxy}."""
        self.origins = [self.serve(f"10.0.0.{at}:80", script) for at, script in enumerate(scripts, 1)]
        self.balancer = Recorder(balancer or RoundRobin())
        self.resource = ReverseProxyResource(
            "unused",
            80,
            self.base,
            self.network,
            upstreams=urls or [f"http://10.0.0.{at}" for at in range(1, len(scripts) + 1)],
            balancer=self.balancer,
            settings=Settings(**(settings or {})),
            **options,
        )
        self.reverseProxy = self.resource.proxy
        self.reverseProxy.engine.accessLogs = (self.accessLog,)
        self.root = self.plant()
        self.site = self.makeSite(self.root, reactor=self.network, **self.siteOptions)
        self.port = self.network.listenTCP(8080, self.site, interface="10.1.0.1")
        self.log = StringIO()
        self.site.logFile = self.log
        return self.reverseProxy

    def towards(self, peer: RawPeer) -> MemoryTransport:
        """Our transport at the other end of a peer's connection."""
        transport = peer.transport.peer
        assert transport is not None
        return transport

    def tearDown(self) -> None:
        super().tearDown()
        self.assertEqual(self.flushLoggedErrors(), [])


class TreeTestCase(ResourceTestCase):
    """The proxy is at C{/api} of a tree that has other resources too."""

    base = b"/base"

    def plant(self) -> Any:
        root = Resource()
        root.putChild(b"api", self.resource)
        root.putChild(b"static", Data(b"static", "text/plain"))
        return root


class Echo:
    """A script of an origin: answers with what was asked."""

    def __call__(self, peer: RawPeer, request: Message) -> None:
        told = request.method + b" " + request.target + b" " + request.body
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(told), told))
