"""The PROXY protocol towards upstreams: who a connection is for, and that it serves nobody else."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from tests.unit.support import OK, Client, Origin, ProxyTestCase, get
from twistproxy.discovery.membership import followedBy
from twistproxy.messages import Address, Upstream
from twistproxy.server.proxied import ProxiedReactor
from twistproxy.testing import RawPeer
from twistproxy.tls.config import UpstreamTLS
from twistproxy.wire.proxyprotocol import ProxyHeader, ProxyHeaderReader, Version, encodeHeader


class AnnouncedOrigin(Origin):
    """An origin whose connections begin with a header.

    @ivar headers: of each connection, in their order.
    """

    def __init__(self, network: Any, address: str, script: Any) -> None:
        super().__init__(network, address, script)
        self.headers: list[ProxyHeader] = []

    def _received(self, peer: RawPeer, data: bytes) -> None:
        if peer not in self._used:
            reader = ProxyHeaderReader(4096)
            header = reader.receiveData(peer.received)
            if header is None:
                return
            self.headers.append(header)
            self._used[peer] = len(peer.received) - len(reader.rest)
        super()._received(peer, data)


class TestAnnouncing(ProxyTestCase):
    def start(self, version: Version = "v2", **options: Any) -> None:
        limit = options.pop("limit", 0)
        self.target = Upstream("http://10.0.0.1", proxyProtocol=version, maxConnections=limit)
        self.announced = AnnouncedOrigin(self.network, "10.0.0.1:80", OK)
        self.proxy(urls=[self.target], **options)

    def ends(self) -> list[tuple[str, str]]:
        return [(each.source.host, str(each.destination)) for each in self.announced.headers if each.source is not None]

    def test_both(self) -> None:
        for version, number in (("v1", 1), ("v2", 2)):
            self.start(version)  # type: ignore[arg-type]
            client = self.ask(get(b"/x"), "203.0.113.9")
            self.assertEqual(client.answer().code, 200)
            (header,) = self.announced.headers
            self.assertEqual((header.version, header.destination), (number, Address("10.1.0.1", 8080)))
            inbound = self.accessLog.exchanges[0].inbound
            self.assertEqual((header.source, inbound.local), (inbound.client, Address("10.1.0.1", 8080)))
            self.assertEqual(self.announced.request.target, b"/x")
            self.tearDown()
            self.setUp()

    def test_eachClientHasItsOwn(self) -> None:
        self.start()
        first = self.ask(get() + get(), "203.0.113.1")
        second = self.ask(get(), "203.0.113.2")
        first.send(get())
        second.send(get())
        self.assertEqual([len(first.answers(*[b"GET"] * 3)), len(second.answers(*[b"GET"] * 2))], [3, 2])
        self.assertEqual([host for host, _ in self.ends()], ["203.0.113.1", "203.0.113.2"])
        (pool,) = self.engine.pools
        self.assertEqual((pool.total, pool.idle), (2, 2))

    def test_aSecondConnectionOfAClientIsAnother(self) -> None:
        """Its port is."""
        self.start()
        self.ask(get(), "203.0.113.1")
        self.ask(get(), "203.0.113.1")
        self.assertEqual(len(self.ends()), 2)

    def test_limits(self) -> None:
        """An idle connection of somebody else gives way."""
        self.start(limit=2)
        clients = [self.ask(get(), f"203.0.113.{at}") for at in range(1, 4)]
        for each in clients:
            self.assertEqual(each.answer().code, 200)
        self.assertEqual([host for host, _ in self.ends()], [f"203.0.113.{at}" for at in range(1, 4)])
        (pool,) = self.engine.pools
        self.assertEqual(pool.total, 2)

    def test_whoWaits(self) -> None:
        """At the limit, and all connections in use: who waits gets one of its own afterwards."""
        self.start(limit=1)
        waiting: list[RawPeer] = []
        self.announced.script = lambda peer, request: waiting.append(peer)
        first, second = self.ask(get(), "203.0.113.1"), self.ask(get(), "203.0.113.2")
        self.send(waiting[0], OK)
        self.assertEqual(first.answer().code, 200)
        self.seconds(1)
        self.assertEqual([host for host, _ in self.ends()], ["203.0.113.1", "203.0.113.2"])
        self.send(waiting[1], OK)
        self.assertEqual(second.answer().code, 200)

    def test_throughTrustedProxies(self) -> None:
        """The client is who they say; its port is not known."""
        self.start(settings={"trustedProxies": (ip_network("203.0.113.0/24"),)})
        client = self.ask(get(b"/", b"X-Forwarded-For: 198.51.100.7"), "203.0.113.9")
        client.send(get(b"/", b"X-Forwarded-For: 198.51.100.8"))
        client.send(get(b"/", b"X-Forwarded-For: 198.51.100.7"))
        self.assertEqual([each.source for each in self.announced.headers], [Address("198.51.100.7"), Address("198.51.100.8")])

    def test_throughAHeader(self) -> None:
        """What came in goes out, the destination too."""
        self.start()
        assert self.reverseProxy is not None
        facade = ProxiedReactor(self.network, self.engine, (ip_network("203.0.113.0/24"),))
        port = facade.listenTCP(8081, self.reverseProxy, interface="10.1.0.1")
        client = Client(self.network, ("10.1.0.1", 8081), "203.0.113.9")
        self.clients.append(client)
        ends = Address("2001:db8::7", 4711), Address("2001:db8::1", 443)
        client.send(encodeHeader("v1", *ends) + get())
        (header,) = self.announced.headers
        self.assertEqual((header.source, header.destination), ends)
        port.stopListening()

    def test_staleConnections(self) -> None:
        """The fresh one is for the same client."""
        self.start()
        client = self.ask(get(), "203.0.113.1")
        self.announced.peers[0].close()
        client.send(get())
        self.assertEqual([host for host, _ in self.ends()], ["203.0.113.1"] * 2)

    def test_keys(self) -> None:
        """With and without are two upstreams, whose connections are not mixed."""
        self.assertEqual(Upstream("http://a", proxyProtocol="v2").key, "http://a,proxy-protocol=v2")

    def test_ofItsPool(self) -> None:
        """What is said of a pool holds for members of which nothing is said, those that a source finds too."""
        self.start("v1")
        (group,) = self.engine.groups.values()
        changed = followedBy(self.engine, group, version="v2")
        changed([Upstream("http://10.0.0.1"), Upstream("http://10.0.0.2", proxyProtocol="v1")])
        self.assertEqual([each.proxyProtocol for each in group.members], ["v2", "v1"])
        self.assertEqual(self.ask(get()).answer().code, 200)
        self.assertEqual(self.announced.headers[0].version, 2)

    def test_withTLSOfItsPool(self) -> None:
        made = Upstream("https://a", proxyProtocol="v2").secured(UpstreamTLS(serverName="b"))
        self.assertEqual((made.proxyProtocol, made.tls.serverName), ("v2", "b"))


class TestBeforeTLS(ProxyTestCase):
    def test_theHeaderIsInTheClear(self) -> None:
        raw = self.serve("10.0.0.1:443")
        raw.isHTTP = False
        self.proxy(urls=[Upstream("https://10.0.0.1", proxyProtocol="v1")])
        client = self.ask(get(), "203.0.113.1")
        received = raw.peer.take()
        line, _, hello = received.partition(b"\r\n")
        self.assertTrue(line.startswith(b"PROXY TCP4 203.0.113.1 10.1.0.1 "), line)
        self.assertTrue(hello.startswith(b"\x16\x03"), hello)
        client.abort()
