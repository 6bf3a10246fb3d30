"""TLS upstreams, over the in-memory network with a certificate made for the test: success, and every failure."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import cache
from ipaddress import ip_address
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet import ssl
from twisted.internet.error import ConnectionDone

from tests.unit.support import SWITCHED, WEBSOCKET, Client, Message, Origin, ProxyTestCase, answer, get, head, post
from twistproxy.testing import RawClient, RawPeer, RawServer
from twistproxy.testing.peers import RawClientFactory

HOST = "tls.example"


@cache
def certificate(name: str) -> ssl.PrivateCertificate:
    """A self-signed certificate for a host name."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime(2026, 1, 1)
    names = x509.SubjectAlternativeName([x509.DNSName(name), x509.IPAddress(ip_address("10.0.0.1"))])
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=3650))
        .not_valid_after(now + timedelta(days=36500))
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = made.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return ssl.PrivateCertificate.loadPEM(pem)


class SecureOrigin(Origin):
    """An origin behind TLS."""

    def __init__(self, network: Any, address: tuple[str, int], script: Any, name: str) -> None:
        super().__init__(network, f"{address[0]}:{address[1] + 10000}", script)
        self.server.port.stopListening()
        self.names: list[bytes | None] = []
        options = certificate(name).options()
        context = options.getContext()
        context.set_tlsext_servername_callback(lambda connection: self.names.append(connection.get_servername()))
        self.secure = RawServer(self.server.onData)
        self.port = network.listenSSL(address[1], self.secure, options, interface=address[0])

    @property
    def peers(self) -> list[RawPeer]:
        return self.secure.peers


class TestTLS(ProxyTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.network.hosts[HOST] = "10.0.0.1"
        self.origin_: SecureOrigin | None = None

    def start(
        self, script: Any, name: str = HOST, trusted: str | None = None, url: str = f"https://{HOST}", **options: Any
    ) -> None:
        original = ssl.optionsForClientTLS
        root = ssl.trustRootFromCertificates([certificate(trusted or name)])
        self.patch(ssl, "optionsForClientTLS", lambda host, **more: original(host, trustRoot=root, **more))
        self.origin_ = SecureOrigin(self.network, ("10.0.0.1", 443), script, name)
        self.proxy(urls=[url], **options)

    def tearDown(self) -> None:
        if self.origin_ is not None:
            self.origin_.port.stopListening()
        for peer in [] if self.origin_ is None else self.origin_.peers:
            peer.abort()
        super().tearDown()

    @property
    def secure(self) -> SecureOrigin:
        assert self.origin_ is not None
        return self.origin_

    def settle(self, client: Client) -> Message:
        self.seconds(1)
        return client.answer()

    def test_anExchange(self) -> None:
        self.start(answer(b"hello"))
        client = self.ask(get(b"/x"))
        self.assertEqual(self.settle(client).body, b"hello")
        request = self.secure.request
        self.assertEqual((request.target, request.get(b"host")), (b"/x", b"tls.example"))
        self.assertEqual((request.get(b"x-forwarded-host"), request.get(b"x-forwarded-proto")), (b"app.example", b"http"))
        self.assertEqual(self.secure.names, [b"tls.example"])
        client.send(get(b"/y"))
        self.seconds(1)
        self.assertEqual(len(client.answers()), 2)
        self.assertEqual(len(self.secure.peers), 1, "it is used again")

    def test_anAddress(self) -> None:
        self.start(answer(b"hello"), url="https://10.0.0.1")
        self.assertEqual(self.settle(self.ask(get())).body, b"hello")

    def test_bodies(self) -> None:
        body = bytes(range(256)) * 4096
        self.start(lambda peer, request: peer.send(answer(request.body)))
        client = self.ask(post(body))
        self.seconds(1)
        self.assertEqual(client.answer(b"POST").body, body)

    def test_aTunnel(self) -> None:
        """Twisted's TLS has no half-close: the end of one side is that of both."""
        self.start(lambda peer, request: peer.send(SWITCHED))
        client = self.ask(get(b"/", *WEBSOCKET))
        self.seconds(1)
        self.secure.isHTTP = False
        client.take()
        self.secure.peers[0].take()
        client.send(b"up")
        self.seconds(1)
        self.assertEqual(self.secure.peers[0].take(), b"up")
        client.raw.send(b"last")
        client.halfClose()
        self.seconds(1)
        self.assertEqual(self.secure.peers[0].take(), b"last")
        self.assertTrue(client.isEnded)
        self.assertIsNotNone(self.secure.peers[0].closed)
        self.checkNothingRuns()

    def test_aTruncatedAnswer(self) -> None:
        def half(peer: RawPeer, request: Message) -> None:
            peer.send(head(b"Content-Length: 10") + b"hello")
            peer.transport.loseConnection()

        self.start(half)
        client = self.ask(get())
        self.seconds(1)
        self.assertTrue(client.received.endswith(b"hello") and client.isEnded)
        self.assertEqual(self.accessLog.lines[0][0], 200)
        self.assertIn(self.accessLog.lines[0][1], ("upstream_closed", "upstream_reset"))

    def fails(self, reason: str = "tls_failure", code: int = 502) -> None:
        client = self.ask(get())
        self.seconds(30)
        self.assertEqual(client.answer().code, code)
        self.assertEqual(self.accessLog.lines, [(code, reason)])
        self.checkNothingRuns()
        self.assertEqual([pool.total for pool in self.engine.pools], [0])

    def test_anotherName(self) -> None:
        self.start(answer(b""), name="other.example")
        self.fails()

    def test_nobodyTrustsIt(self) -> None:
        self.start(answer(b""), trusted="another.example")
        self.fails()

    def test_noTLS(self) -> None:
        self.proxy(urls=[f"https://{HOST}:80"])
        self.serve("10.0.0.1:80").server.onConnect = lambda peer: peer.send(b"HTTP/1.1 400 No\r\n\r\n")
        self.fails()

    def test_refused(self) -> None:
        self.proxy(urls=[f"https://{HOST}"])
        self.fails("connect_refused")
        self.seconds(60)

    def test_noName(self) -> None:
        self.proxy(urls=["https://nowhere.example"])
        self.fails("dns_failure")

    def test_connectionThatHangs(self) -> None:
        self.network.blackHole("10.0.0.1:443")
        self.proxy(urls=[f"https://{HOST}"], settings={"connectTimeout": 20, "tlsHandshakeTimeout": 5})
        self.fails("connect_timeout", 504)

    def test_handshakeThatHangs(self) -> None:
        self.serve("10.0.0.1:443")
        self.proxy(urls=[f"https://{HOST}"], settings={"tlsHandshakeTimeout": 5})
        self.fails("connect_timeout", 504)

    def test_handshakeThatIsCut(self) -> None:
        self.serve("10.0.0.1:443").server.onConnect = RawPeer.close
        self.proxy(urls=[f"https://{HOST}"])
        client = self.ask(get())
        self.seconds(1)
        self.assertEqual(client.answer().code, 502)

    def test_theNextUpstream(self) -> None:
        self.network.failConnections("10.0.0.1:443")
        self.serve("10.0.0.2:80", answer(b"plain"))
        self.proxy(urls=[f"https://{HOST}", "http://10.0.0.2"])
        self.assertEqual(self.settle(self.ask(get())).body, b"plain")

    def test_theClientLeavesDuringTheHandshake(self) -> None:
        origin = self.serve("10.0.0.1:443")
        self.proxy(urls=[f"https://{HOST}"])
        client = self.ask(get())
        self.assertEqual(len(origin.peers), 1)
        client.abort()
        self.checkNothingRuns()
        self.assertIsNotNone(origin.peer.closed)
        self.assertEqual(self.accessLog.lines, [(499, "client_closed")])
        self.seconds(30)

    def test_theClientLeavesDuringTheConnect(self) -> None:
        self.network.blackHole("10.0.0.1:443")
        self.proxy(urls=[f"https://{HOST}"])
        self.ask(get()).abort()
        self.checkNothingRuns()
        self.seconds(30)


class SecureClient(Client):
    """A client over TLS."""

    def __init__(self, network: Any) -> None:
        self.network = network
        self.raw = RawClient()
        options = ssl.optionsForClientTLS(HOST, trustRoot=ssl.trustRootFromCertificates([certificate(HOST)]))
        network.connectSSL("10.1.0.1", 8443, RawClientFactory(self.raw), options)
        network.pump()
        self._methods = []


class TestTLSClients(ProxyTestCase):
    """In front of the proxy: the same, but for half-closes."""

    def proxy(self, *scripts: Any, **options: Any) -> Any:
        proxy = super().proxy(*scripts, **options)
        self.secure = self.network.listenSSL(8443, proxy, certificate(HOST).options(), interface="10.1.0.1")
        return proxy

    def client(self, host: str = "") -> Client:
        client = SecureClient(self.network)
        self.clients.append(client)
        return client

    def ask(self, data: bytes, host: str = "") -> Client:
        client = self.client().send(data)
        self.seconds(0.1)
        return client

    def tearDown(self) -> None:
        self.secure.stopListening()
        super().tearDown()

    def test_exchanges(self) -> None:
        self.proxy(answer(b"hello"))
        client = self.ask(get(b"/1") + get(b"/2"))
        client.send(post(b"body"))
        self.seconds(0.1)
        self.assertEqual([each.body for each in client.answers(b"GET", b"GET", b"POST")], [b"hello"] * 3)
        self.assertEqual(self.origin.requests[0].get(b"x-forwarded-proto"), b"https")
        self.assertEqual(self.accessLog.exchanges[0].inbound.scheme, "https")

    def test_close(self) -> None:
        self.proxy(answer(b"x" * 500000))
        client = self.ask(get(b"/", b"Connection: close"))
        self.assertEqual(len(client.answer().body), 500000)
        self.assertTrue(client.isEnded)

    def test_leaving(self) -> None:
        for leave in (Client.abort, lambda client: client.raw.close()):
            self.proxy(None)
            client = self.ask(get())
            leave(client)
            self.seconds(0.1)
            self.checkNothingRuns()
            self.assertEqual(self.accessLog.lines, [(499, "client_closed")])
            self.tearDown()
            self.setUp()

    def test_aStalledReader(self) -> None:
        body = bytes(range(256)) * 16384
        self.proxy(answer(body))
        client = self.client()
        client.raw.pause()
        client.send(get())
        self.seconds(1)
        self.assertGreater(self.origin.peer.transport.buffered, len(body) - (1 << 20))
        client.raw.resume()
        self.seconds(1)
        self.assertEqual(client.answer().body, body)

    def test_aClientThatTakesNothing(self) -> None:
        self.proxy(answer(b"x" * 4000000), settings={"sendTimeout": 5})
        client = self.client()
        client.raw.pause()
        client.send(get())
        self.seconds(10)
        self.checkNothingRuns()
        self.assertEqual(self.engine.channels, set())

    def test_aLongUpload(self) -> None:
        body = bytes(range(256)) * 8192
        self.proxy(lambda peer, request: peer.send(answer(b"%d" % len(request.body))))
        client = self.ask(post(body))
        self.seconds(1)
        self.assertEqual(client.answer(b"POST").body, b"%d" % len(body))

    def test_anAnswerBeforeTheRequestsEnd(self) -> None:
        self.proxy(None)
        self.origin.onHead = lambda peer: peer.send(answer(b"no", status=b"413 Content Too Large"))
        client = self.ask(post(b"x" * 1000)[:-1])
        self.assertEqual(client.answer(b"POST").code, 413)
        self.assertTrue(client.isEnded)

    def test_aTruncatedAnswer(self) -> None:
        for version in (b"1.1", b"1.0"):
            self.proxy(lambda peer, request: (peer.send(head(b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n"), peer.close()))
            client = self.ask(get(version=version))
            self.assertIn(b"hello", client.received)
            self.assertNotIn(b"\r\n0\r\n\r\n", client.received)
            self.assertIsNotNone(client.raw.closed)
            if version == b"1.0":
                self.assertIsNone(client.raw.closed.check(ConnectionDone), "no close_notify: not the end")
            self.tearDown()
            self.setUp()

    def test_aTunnel(self) -> None:
        def switch(peer: RawPeer, request: Message) -> None:
            self.origin.isHTTP = False
            peer.send(SWITCHED + b"first")

        self.proxy(switch)
        client = self.ask(get(b"/", *WEBSOCKET) + b"early")
        self.assertTrue(client.received.endswith(b"\r\n\r\nfirst"))
        self.assertTrue(self.origin.peer.received.endswith(b"\r\n\r\nearly"))
        client.send(b"up")
        self.seconds(0.1)
        self.send(self.origin.peer, b"down")
        self.seconds(0.1)
        self.assertTrue(client.received.endswith(b"down") and self.origin.peer.received.endswith(b"up"))
        self.origin.peer.halfClose()
        self.seconds(0.1)
        self.assertTrue(client.isEnded and self.origin.peer.eof)
        self.origin.peer.close()
        self.network.pump()
        self.checkNothingRuns()

    def test_draining(self) -> None:
        proxy = self.proxy(None)
        client = self.ask(get())
        idle = self.ask(b"")
        stopping = proxy.stopService()
        self.seconds(0.1)
        self.assertTrue(idle.isEnded)
        self.send(self.origin.peer, answer(b"last"))
        self.seconds(0.1)
        self.assertEqual(client.answer().body, b"last")
        self.assertTrue(client.isEnded)
        self.seconds(6)
        self.successResultOf(stopping)

    def test_noHandshake(self) -> None:
        """A client that says nothing is a client that sends no head."""
        self.proxy(None, settings={"headTimeout": 5})
        client = Client(self.network, ("10.1.0.1", 8443), "203.0.113.9")
        self.clients.append(client)
        self.seconds(8)
        self.assertEqual(self.engine.channels, set())
        self.assertTrue(client.isEnded)

    def test_noTLS(self) -> None:
        self.proxy(None)
        client = Client(self.network, ("10.1.0.1", 8443), "203.0.113.9")
        self.clients.append(client)
        client.send(get())
        self.seconds(1)
        self.assertTrue(client.isEnded)
        self.assertEqual(self.engine.channels, set())
