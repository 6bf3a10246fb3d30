"""The PROXY protocol in front of clients' connections: who may send it, when, and what is believed."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from twisted.internet import ssl
from twisted.internet.endpoints import serverFromString
from twisted.protocols.tls import TLSMemoryBIOFactory

from tests.support.certificates import issued, ofTwisted, trustOfTwisted, write
from tests.unit.loader.temporary import temporaryDirectory
from tests.unit.support import OK, SWITCHED, WEBSOCKET, Client, ProxyTestCase, get
from twistproxy.health.announcing import AnnouncingFactory
from twistproxy.messages import Address
from twistproxy.server.proxied import ProxiedReactor
from twistproxy.testing import RawClient
from twistproxy.testing.peers import RawClientFactory
from twistproxy.text.networks import UNIX_PEERS
from twistproxy.tls.config import CertificateFiles, ServerTLS
from twistproxy.tls.listening import SecureFactory
from twistproxy.tls.store import CertificateStore
from twistproxy.wire.proxyprotocol import TLV_SSL, TLV_UNIQUE_ID, encodeHeader

HOST = "tls.example"
SENDER = "192.0.2.1"
LINE = b"PROXY TCP4 203.0.113.77 198.51.100.1 4711 443\r\n"


class TestProxied(ProxyTestCase):
    senders: tuple[Any, ...] = (ip_network("192.0.2.0/24"),)

    def proxy(self, *scripts: Any, **options: Any) -> Any:
        proxy = super().proxy(*scripts, **options)
        self.facade = ProxiedReactor(self.network, self.engine, self.senders)
        self.others: list[Any] = [self.facade.listenTCP(8081, proxy, interface="10.1.0.1")]
        return proxy

    def tearDown(self) -> None:
        for each in self.others:
            each.stopListening()
        super().tearDown()

    def client(self, host: str = SENDER, port: int = 8081) -> Client:
        client = Client(self.network, ("10.1.0.1", port), host)
        self.clients.append(client)
        return client

    def toldFor(self, data: bytes) -> bytes | None:
        self.proxy(OK)
        self.client().send(data)
        told = self.origin.request.get(b"x-forwarded-for")
        return told

    def test_theClientOfTheHeader(self) -> None:
        self.assertEqual(self.toldFor(LINE + get()), b"203.0.113.77")
        inbound = self.accessLog.exchanges[0].inbound
        self.assertEqual((inbound.client, inbound.peer), (Address("203.0.113.77", 4711),) * 2)
        self.assertEqual(inbound.local, Address("198.51.100.1", 443))
        assert inbound.proxyHeader is not None
        self.assertEqual(inbound.proxyHeader.version, 1)

    def test_furtherFields(self) -> None:
        ends = Address("203.0.113.77", 1), Address("198.51.100.1", 443)
        self.toldFor(encodeHeader("v2", *ends, [(TLV_UNIQUE_ID, b"abc")]) + get())
        inbound = self.accessLog.exchanges[0].inbound
        assert inbound.proxyHeader is not None
        self.assertEqual(inbound.proxyHeader.tlv(TLV_UNIQUE_ID), b"abc")

    def test_version2(self) -> None:
        header = encodeHeader("v2", Address("2001:db8::7", 1), Address("2001:db8::1", 2))
        self.assertEqual(self.toldFor(header + get()), b"2001:db8::7")

    def test_theSenderItself(self) -> None:
        for header in (b"PROXY UNKNOWN\r\n", encodeHeader("v2", None, None)):
            self.assertEqual(self.toldFor(header + get()), SENDER.encode())
            self.tearDown()
            self.setUp()

    def test_bytewise(self) -> None:
        self.proxy(OK)
        client = self.client()
        for each in LINE + get():
            client.send(bytes((each,)))
        self.assertEqual(client.answer().code, 200)
        self.assertEqual(self.origin.request.get(b"x-forwarded-for"), b"203.0.113.77")

    def test_requestsFollow(self) -> None:
        self.proxy(OK)
        client = self.client().send(LINE).send(get(b"/1")).send(get(b"/2"))
        self.assertEqual(len(client.answers(b"GET", b"GET")), 2)

    def test_aSecondHeader(self) -> None:
        """It is a malformed request, as it would be of anybody."""
        self.proxy(OK)
        self.assertEqual(self.client().send(LINE + LINE).answer().code, 400)

    def test_listedSendersHaveTo(self) -> None:
        self.proxy(OK)
        client = self.client().send(get())
        self.assertTrue(client.isEnded)
        self.assertEqual((client.received, self.origin.requests), (b"", []))

    def test_othersMayNot(self) -> None:
        self.proxy(OK)
        self.assertEqual(self.client("192.0.3.1").send(LINE + get()).answer().code, 400)
        self.assertEqual(self.client("192.0.3.1").send(encodeHeader("v2", None, None) + get()).answer().code, 400)
        self.assertEqual(self.client("192.0.3.1").send(get()).answer().code, 200)
        self.assertEqual([each.get(b"x-forwarded-for") for each in self.origin.requests], [b"192.0.3.1"])

    def test_trustedProxiesAreThoseOfTheHeader(self) -> None:
        """Who sends PROXY is believed about the connection, and about nothing else."""
        self.proxy(OK, settings={"trustedProxies": (ip_network("203.0.113.0/24"),)})
        self.client().send(LINE + get(b"/", b"X-Forwarded-For: 198.51.100.99"))
        self.client("192.0.2.2").send(b"PROXY UNKNOWN\r\n" + get(b"/", b"X-Forwarded-For: 198.51.100.99"))
        told = [each.get(b"x-forwarded-for") for each in self.origin.requests]
        self.assertEqual(told, [b"198.51.100.99, 203.0.113.77", b"192.0.2.2"])

    def test_tlsThatEndedAtTheSender(self) -> None:
        self.proxy(OK)
        ends = Address("203.0.113.77", 1), Address("198.51.100.1", 443)
        self.client().send(encodeHeader("v2", *ends, [(TLV_SSL, b"\x01\0\0\0\0")]) + get())
        self.client().send(encodeHeader("v2", *ends, [(TLV_SSL, b"\x00\0\0\0\0")]) + get())
        self.assertEqual([each.get(b"x-forwarded-proto") for each in self.origin.requests], [b"https", b"http"])

    def test_aHeaderThatDoesNotCome(self) -> None:
        self.proxy(OK, settings={"headTimeout": 5})
        client = self.client().send(LINE[:20])
        self.seconds(4)
        self.assertFalse(client.isEnded)
        self.seconds(4)
        self.assertTrue(client.isEnded)
        self.assertEqual(self.engine.channels, set())

    def test_theTimeOfAHeadBeginsBehindIt(self) -> None:
        self.proxy(OK, settings={"headTimeout": 5})
        client = self.client()
        self.seconds(4)
        client.send(LINE)
        self.seconds(4)
        client.send(get())
        self.assertEqual(client.answer().code, 200)

    def test_theSenderLeaves(self) -> None:
        self.proxy(OK)
        for data in (b"", LINE[:20], LINE):
            for leave in (Client.abort, Client.halfClose):
                client = self.client().send(data)
                leave(client)
                self.assertTrue(client.isEnded or leave is Client.abort)
                self.assertEqual(self.engine.channels, set())

    def test_halfCloses(self) -> None:
        """Tunnels behind a header have them, too."""
        self.proxy(lambda peer, request: peer.send(SWITCHED))
        client = self.client().send(LINE + get(b"/", *WEBSOCKET))
        self.origin.isHTTP = False
        client.take()
        client.halfClose()
        self.assertFalse(client.isEnded)
        self.send(self.origin.peer, b"last")
        self.assertEqual(client.take(), b"last")
        self.origin.peer.close()
        self.network.pump()
        self.assertTrue(client.isEnded)

    def test_draining(self) -> None:
        self.proxy(OK)
        waiting, answered = self.client(), self.client().send(LINE + get())
        stopped = self.reverseProxy.stopService() if self.reverseProxy else None
        self.network.pump()
        self.assertTrue(waiting.isEnded and answered.isEnded)
        self.successResultOf(stopped)  # type: ignore[arg-type]

    def test_drainingIsCut(self) -> None:
        self.proxy(OK)
        waiting = self.client().send(LINE[:5])
        for each in list(self.engine.channels):
            each.abort()
        self.network.pump()
        self.assertTrue(waiting.isEnded)

    def test_endpoints(self) -> None:
        """Whatever an endpoint listens on; below TLS."""
        proxy = self.proxy(OK)
        endpoint: Any = serverFromString(self.facade, "tcp:8082:interface=10.1.0.1")
        self.others.append(self.successResultOf(endpoint.listen(proxy)))
        self.client(port=8082).send(LINE + get())
        self.assertEqual(self.origin.requests[0].get(b"x-forwarded-for"), b"203.0.113.77")

    def test_belowTLS(self) -> None:
        proxy = self.proxy(OK)
        self.others.append(self.facade.listenSSL(8443, proxy, ofTwisted(issued(HOST)).options(), interface="10.1.0.1"))
        cert, key = write(temporaryDirectory(self), issued(HOST))
        secure = SecureFactory(CertificateStore(ServerTLS((CertificateFiles(cert, key),))), proxy)
        self.others.append(self.facade.listenTCP(8444, secure, interface="10.1.0.1"))
        for port in (8443, 8444):
            inner = RawClient()
            trust = ssl.optionsForClientTLS(HOST, trustRoot=trustOfTwisted())
            tls = TLSMemoryBIOFactory(trust, True, RawClientFactory(inner), clock=self.network)
            self.network.connectTCP("10.1.0.1", port, AnnouncingFactory(LINE, tls), bindAddress=(SENDER, 0))
            self.network.advance(0.1)
            inner.send(get())
            self.network.advance(0.1)
            self.assertIn(b"200", inner.received[:20])
            request = self.origin.requests[-1]
            told = request.get(b"x-forwarded-for"), request.get(b"x-forwarded-proto")
            self.assertEqual(told, (b"203.0.113.77", b"https"))
            inner.close()
            self.network.advance(0.1)

    def test_nobodyWantsIt(self) -> None:
        proxy = self.proxy(OK)
        self.patch(proxy, "buildProtocol", lambda addr: None)
        self.assertTrue(self.client().send(LINE + get()).isEnded)

    def test_adoptedPorts(self) -> None:
        """As systemd hands them over."""
        proxy = self.proxy(OK)
        adopted: list[Any] = []
        self.network.adoptStreamPort = lambda *arguments: adopted.append(arguments)  # type: ignore[attr-defined]
        self.facade.adoptStreamPort(3, 2, proxy)
        ((descriptor, family, factory),) = adopted
        self.assertEqual((descriptor, family), (3, 2))
        self.others.append(self.network.listenTCP(8083, factory, interface="10.1.0.1"))
        self.client(port=8083).send(LINE + get())
        self.assertEqual(self.origin.request.get(b"x-forwarded-for"), b"203.0.113.77")

    def test_noWayAround(self) -> None:
        """A reactor's other ways to listen do not exist here: they would take requests without a header."""
        self.proxy(OK)
        self.network.listenSomehow = self.network.adoptSomehow = lambda *arguments: None  # type: ignore[attr-defined]
        for name in ("listenSomehow", "adoptSomehow"):
            self.assertRaises(AttributeError, getattr, self.facade, name)
        self.assertEqual(self.facade.seconds, self.network.seconds)

    def test_theyCanBeTold(self) -> None:
        self.proxy(OK)
        self.client()
        self.assertIn(SENDER, repr(next(iter(self.engine.channels))))

    def test_unixSockets(self) -> None:
        self.senders = (UNIX_PEERS,)
        proxy = self.proxy(OK)
        self.others.append(self.facade.listenUNIX("/run/proxy.sock", proxy))
        raw = self.network.connect("/run/proxy.sock")
        raw.send(LINE + get())
        self.network.pump()
        self.assertIn(b"200", raw.received[:20])
        self.assertEqual(self.origin.request.get(b"x-forwarded-for"), b"203.0.113.77")
        raw.abort()
