"""TLS on both sides, over the in-memory network. The peers are Twisted's, by pyOpenSSL: what both stacks agree on is TLS."""

from __future__ import annotations

import ssl as stdlib
from datetime import UTC, datetime
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from twisted.internet import ssl
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHandshakeListener, ISSLTransport
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import formatEvent, globalLogPublisher
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface import alsoProvides

from tests.support.certificates import EXPIRED, authority, issued, ofTwisted, pem, trustOfTwisted, write, writeAuthority
from tests.unit.loader.temporary import temporaryDirectory
from tests.unit.support import SWITCHED, WEBSOCKET, Client, Message, Origin, ProxyTestCase, answer, get, head, post
from twistproxy.messages import Upstream
from twistproxy.testing import RawClient, RawPeer, RawServer
from twistproxy.testing.peers import RawClientFactory
from twistproxy.tls.config import CertificateFiles, ServerTLS, UpstreamTLS
from twistproxy.tls.contexts import ClientContexts
from twistproxy.tls.listening import SecureFactory
from twistproxy.tls.store import CertificateStore
from twistproxy.tls.transport import SecureTransport

HOST = "tls.example"
SERVER = issued(HOST, "10.0.0.1")


class SecureOrigin(Origin):
    """An origin behind TLS.

    @ivar names: what clients asked for by SNI.
    """

    def __init__(self, network: Any, address: tuple[str, int], script: Any, certificate: Any, trusted: Any = None) -> None:
        super().__init__(network, f"{address[0]}:{address[1] + 10000}", script)
        self.server.port.stopListening()
        self.names: list[bytes | None] = []
        private = ssl.PrivateCertificate.loadPEM(certificate if isinstance(certificate, bytes) else pem(certificate))
        options = ssl.CertificateOptions(
            privateKey=private.privateKey.original,
            certificate=private.original,
            trustRoot=trusted,
        )
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
        self.directory = temporaryDirectory(self)
        self.origin_: SecureOrigin | None = None
        self.events: list[Any] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def start(
        self,
        script: Any,
        certificate: Any = SERVER,
        trusted: str | None = "ours",
        url: str = f"https://{HOST}",
        clients: Any = None,
        settings: Any = None,
        **tls: Any,
    ) -> None:
        """@param trusted: the authority that the proxy trusts."""
        ca = {"ca": writeAuthority(self.directory, trusted)} if trusted else {}
        self.origin_ = SecureOrigin(self.network, ("10.0.0.1", 443), script, certificate, clients)
        self.proxy(urls=[Upstream(url, tls=UpstreamTLS(**ca, **tls))], settings=settings)

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

    def test_endsOfDirections(self) -> None:
        """Where the upstream's TLS can tell one from both, as ours can."""
        self.start(lambda peer, request: peer.send(SWITCHED))
        self.secure.port.stopListening()
        self.network.pump()
        store = CertificateStore(ServerTLS((CertificateFiles(*write(temporaryDirectory(self), SERVER)),)))
        self.secure.port = self.network.listenTCP(443, SecureFactory(store, self.secure.secure), interface="10.0.0.1")
        for first in ("client", "upstream"):
            self.secure.isHTTP = True
            client = self.ask(get(b"/", *WEBSOCKET))
            self.secure.isHTTP = False
            peer = self.secure.peers[-1]
            client.take(), peer.take()
            if first == "client":
                client.halfClose()
                self.assertIsNone(peer.closed)
                self.send(peer, b"more")
                self.assertEqual(client.take(), b"more")
                peer.close()
                self.network.pump()
            else:
                peer.transport.endOutput()
                self.network.pump()
                self.assertTrue(client.raw.eof)
                client.send(b"more")
                self.assertEqual(peer.take(), b"more")
                client.halfClose()
            self.checkNothingRuns()
            self.assertTrue(client.isEnded)

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

    def fails(self, reason: str = "tls_failure", code: int = 502, detail: str = "") -> None:
        client = self.ask(get())
        self.seconds(30)
        self.assertEqual(client.answer().code, code)
        self.assertEqual(self.accessLog.lines, [(code, reason)])
        self.checkNothingRuns()
        error = self.accessLog.exchanges[0].error
        assert error is not None
        self.assertIn(detail, error.detail)
        self.assertEqual([pool.total for pool in self.engine.pools], [0])

    def warned(self) -> str:
        """The one complaint in the log."""
        (event,) = [each for each in self.events if "as it was" in each["log_format"] or "not verified" in each["log_format"]]
        return formatEvent(event)

    def test_anotherName(self) -> None:
        self.start(answer(b""), issued("other.example"))
        self.fails(detail="certificate verify failed: Hostname mismatch, certificate is not valid for 'tls.example'.")

    def test_anotherAddress(self) -> None:
        self.start(answer(b""), issued("10.0.0.2"), url="https://10.0.0.1")
        self.fails(detail="certificate verify failed: IP address mismatch, certificate is not valid for '10.0.0.1'.")

    def test_aNameThatOnlyTheSubjectSays(self) -> None:
        """As browsers and Go see it: a common name is no host name."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, HOST)])
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        made = made.not_valid_before(EXPIRED).not_valid_after(datetime(2099, 1, 1, tzinfo=UTC))
        cert = made.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM)
        both = cert + key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (self.directory / "own.pem").write_bytes(cert)
        self.start(answer(b""), both, trusted=None, ca=str(self.directory / "own.pem"))
        self.fails(detail="Hostname mismatch")

    def test_expired(self) -> None:
        self.start(answer(b""), issued(HOST, expires=EXPIRED))
        self.fails(detail="certificate verify failed: certificate has expired")

    def test_nobodyTrustsIt(self) -> None:
        self.start(answer(b""), issued(HOST, by="another"))
        self.fails(detail="certificate verify failed: unable to get local issuer certificate")

    def test_thePlatformDoesNotTrustIt(self) -> None:
        self.start(answer(b""), trusted=None)
        self.fails(detail="certificate verify failed: unable to get local issuer certificate")

    def test_nameOfTheConfiguration(self) -> None:
        """What SNI asks for, and what the certificate has to be for, when the URL's host is something else."""
        self.start(answer(b"hello"), url="https://10.0.0.1", serverName=HOST)
        self.assertEqual(self.settle(self.ask(get())).body, b"hello")
        self.assertEqual(self.secure.names, [HOST.encode()])
        self.assertEqual(self.secure.request.get(b"host"), b"10.0.0.1", "Host is the URL's")

    def test_anAddressIsNotAskedForBySNI(self) -> None:
        self.start(answer(b"hello"), url="https://10.0.0.1")
        self.settle(self.ask(get()))
        self.assertEqual(self.secure.names, [None])

    def test_itsOwnCertificateIsTrusted(self) -> None:
        """A file with just the upstream's certificate: nobody else is."""
        cert, _ = write(self.directory, SERVER)
        self.start(answer(b"hello"), trusted=None, ca=cert)
        self.assertEqual(self.settle(self.ask(get())).body, b"hello")

    def test_insecure(self) -> None:
        self.start(answer(b"hello"), issued("other.example", by="another", expires=EXPIRED), trusted=None, isInsecure=True)
        self.assertEqual(self.settle(self.ask(get())).body, b"hello")
        self.assertIn("is not verified", self.warned())

    def test_clientCertificate(self) -> None:
        cert, key = write(self.directory, issued("proxy.example", client="the proxy"))
        self.start(answer(b"hello"), clients=trustOfTwisted(), cert=cert, key=key)
        self.assertEqual(self.settle(self.ask(get())).body, b"hello")

    def test_noClientCertificate(self) -> None:
        """In TLS 1.3 the refusal comes after the client's handshake, in the place of an answer."""
        self.start(answer(b"hello"), clients=trustOfTwisted())
        self.fails(detail="certificate required")

    def test_filesThatAreGone(self) -> None:
        self.start(answer(b""))
        (self.directory / "ca.pem").unlink()
        self.fails(detail="ca.pem: No such file or directory")

    def test_changedFiles(self) -> None:
        """Connections that are made later trust whom the file names now; a damaged file changes nothing."""
        self.start(answer(b"hello", b"Connection: close"))
        self.assertEqual(self.settle(self.ask(get())).body, b"hello")
        (self.directory / "ca.pem").write_bytes(b"nothing")
        self.seconds(11)
        self.assertEqual(self.settle(self.ask(get())).body, b"hello")
        self.assertIn("holds no certificate", self.warned())
        writeAuthority(self.directory, "another")
        self.seconds(11)
        self.assertEqual(self.settle(self.ask(get())).code, 502)

    def test_contextsAreMadeOnce(self) -> None:
        """Whatever the names: reading the platform's authorities takes as long as some hundred requests."""
        contexts = ClientContexts(self.network)
        ca = writeAuthority(self.directory)
        one = contexts.of(UpstreamTLS("a.example", ca), "a")
        self.assertIs(contexts.of(UpstreamTLS("b.example", ca), "b"), one)
        self.assertIsNot(contexts.of(UpstreamTLS("b.example"), "b"), one)

    def test_connectionsArePooledByIdentity(self) -> None:
        """Who may be asked by one name is not asked by another."""
        ca = writeAuthority(self.directory)
        self.origin_ = SecureOrigin(self.network, ("10.0.0.1", 443), answer(b"hello"), SERVER)
        one, other = (Upstream("https://10.0.0.1", tls=UpstreamTLS(serverName=name, ca=ca)) for name in (HOST, "10.0.0.1"))
        self.assertNotEqual(one.key, other.key)
        self.proxy(urls=[one, other])
        for _ in range(4):
            self.settle(self.ask(get()))
        self.assertEqual(self.secure.names, [HOST.encode(), None])
        self.assertEqual(len(self.secure.peers), 2)

    def test_sessionsAreResumed(self) -> None:
        """An upstream that closes after each answer, and one whose tickets nobody knows any more."""
        server = RawServer(lambda peer, data: (peer.send(answer(b"hello", b"Connection: close")), peer.close()))
        cert, key = write(self.directory, SERVER)
        config = ServerTLS((CertificateFiles(cert, key),))
        store = CertificateStore(config)
        factory = SecureFactory(store, server)
        port = self.network.listenTCP(443, factory, interface="10.0.0.1")
        ca = writeAuthority(self.directory)
        self.proxy(urls=[Upstream(f"https://{HOST}", tls=UpstreamTLS(ca=ca))])
        resumed: list[bool] = []
        for number in range(4):
            if number == 2:
                factory.store = CertificateStore(config)
            client = self.ask(get())
            self.seconds(0.01)
            resumed.append(server.peers[-1].transport.isResumed)
            self.assertEqual(self.settle(client).body, b"hello")
        self.assertEqual(resumed, [False, True, False, True])
        port.stopListening()

    def test_anotherNameResumesNothing(self) -> None:
        server = RawServer(lambda peer, data: (peer.send(answer(b"hello", b"Connection: close")), peer.close()))
        cert, key = write(self.directory, SERVER)
        store = CertificateStore(ServerTLS((CertificateFiles(cert, key),)))
        port = self.network.listenTCP(443, SecureFactory(store, server), interface="10.0.0.1")
        ca = writeAuthority(self.directory)
        names = (HOST, "other.example")
        self.proxy(urls=[Upstream("https://10.0.0.1", tls=UpstreamTLS(name, ca)) for name in names])
        codes = []
        for _ in names:
            codes.append(self.settle(self.ask(get())).code)
            self.accessLog.exchanges.clear()
        self.assertEqual(codes, [200, 200], "the second was asked in the end of the first's place")
        self.assertIn("tls_failure", [error for error, _ in self.outcomes()])
        port.stopListening()

    def test_thereIsNoTLSToHTTP(self) -> None:
        self.assertRaises(ValueError, Upstream, "http://10.0.0.1", tls=UpstreamTLS(isInsecure=True))

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

    def __init__(self, network: Any, certificate: Any = None) -> None:
        self.network = network
        self.raw = RawClient()
        options = ssl.optionsForClientTLS(
            HOST,
            trustRoot=trustOfTwisted(),
            clientCertificate=certificate and ofTwisted(certificate),
            acceptableProtocols=[b"h2", b"http/1.1"],
        )
        network.connectSSL("10.1.0.1", 8443, RawClientFactory(self.raw), options)
        network.pump()
        self._methods = []


class TLSClientCases:
    """Clients in front of the proxy: the same as without TLS, but for half-closes."""

    asksForCertificates = False

    def secured(self, proxy: Any) -> Any:
        """A port with TLS."""
        raise NotImplementedError

    def proxy(self, *scripts: Any, **options: Any) -> Any:
        proxy = super().proxy(*scripts, **options)
        self.secure = self.secured(proxy)
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

    def test_clientCertificate(self) -> None:
        """Plugins see it, and nobody else's word for it."""
        seen: list[Any] = []

        class Looking:
            def direct(self, inbound: Any, outbound: Any) -> None:
                seen.append((inbound.clientCertificate, inbound.clientCertificate, outbound.headers.get("client-cert")))

        self.asksForCertificates = True
        self.proxy(answer(b"hello"), directors=[Looking()])
        alice = SecureClient(self.network, issued("alice.example", client="alice"))
        self.clients.append(alice)
        alice.send(get(b"/", b"Client-Cert: :bWU=:"))
        self.seconds(0.1)
        self.assertEqual(alice.answer().body, b"hello")
        self.ask(get(b"/", b"Client-Cert: :bWU=:"))
        (first, again, header), (none, _, forged) = seen
        self.assertEqual((first.commonName, header), ("alice", None))
        self.assertIs(first, again)
        self.assertEqual((none, forged), (None, None))

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
        self.seconds(8)
        self.assertTrue(client.isEnded)
        self.assertEqual(self.engine.channels, set())


class TestTLSClientsOfTwisted(TLSClientCases, ProxyTestCase):
    """A listener as any Twisted program may have it."""

    def secured(self, proxy: Any) -> Any:
        private = ofTwisted(SERVER)
        options = private.options()
        if self.asksForCertificates:
            ca = ssl.Certificate.loadPEM(authority().cert_pem.bytes())
            options = ssl.CertificateOptions(
                privateKey=private.privateKey.original, certificate=private.original, verify=True, caCerts=[ca.original],
                requireCertificate=False, acceptableProtocols=[b"http/1.1"],
            )  # fmt: skip
        return self.network.listenSSL(8443, proxy, options, interface="10.1.0.1")


class TestTLSClients(TLSClientCases, ProxyTestCase):
    """A listener of ours."""

    needsCertificates = False

    def setUp(self) -> None:
        super().setUp()
        self.directory = temporaryDirectory(self)

    def secured(self, proxy: Any) -> Any:
        cert, key = write(self.directory, SERVER)
        files = (CertificateFiles(cert, key),)
        config = ServerTLS(files)
        if self.asksForCertificates:
            mode: Any = "require" if self.needsCertificates else "request"
            config = ServerTLS(files, clientCA=writeAuthority(self.directory), clientCertificates=mode)
        store = CertificateStore(config)
        return self.network.listenTCP(8443, SecureFactory(store, proxy), interface="10.1.0.1")

    def test_aReadOfManyRecords(self) -> None:
        """What came in one segment is told in one piece."""
        pieces: list[int] = []
        self.proxy(lambda peer, request: peer.send(answer(b"%d" % len(request.body))))
        client = self.client()
        client.send(b"")
        (channel,) = self.engine.channels
        received = channel.dataReceived  # type: ignore[attr-defined]
        channel.dataReceived = lambda data: (pieces.append(len(data)), received(data))  # type: ignore[attr-defined]
        client.send(post(b"x" * 50000))
        self.seconds(0.1)
        self.assertEqual(client.answer(b"POST").body, b"50000")
        self.assertLessEqual(len(pieces), 2)

    def test_alpn(self) -> None:
        self.proxy(answer(b"hello"))
        client = self.ask(get())
        self.assertEqual(client.raw.transport.negotiatedProtocol, b"http/1.1")
        (channel,) = self.engine.channels
        transport = channel.transport  # type: ignore[attr-defined]
        self.assertEqual(transport.negotiatedProtocol, b"http/1.1")
        self.assertTrue(ISSLTransport.providedBy(transport) and isinstance(transport, SecureTransport))
        self.assertIsNone(transport.getPeerCertificate())

    def test_aRecordThatWasTamperedWith(self) -> None:
        self.proxy(None)
        client = self.ask(get())
        client.raw.transport.transport.write(b"\x17\x03\x03\x00\x20" + b"x" * 32)
        self.seconds(0.1)
        self.assertTrue(client.isEnded)
        self.assertEqual(self.accessLog.lines, [(499, "client_closed")])

    def test_anEndWithoutCloseNotify(self) -> None:
        """A client that was cut off, or is said to be by somebody in between."""
        self.proxy(None)
        client = self.ask(get())
        client.raw.transport.transport.loseConnection()
        self.seconds(0.1)
        self.checkNothingRuns()
        self.assertEqual(self.accessLog.lines, [(499, "client_closed")])
        self.assertEqual(self.engine.channels, set())

    def test_anEarlyAnswerOutlivesTheUpload(self) -> None:
        """The client's last words are read and dropped: a reset could cost it the answer."""
        self.proxy(None)
        self.origin.onHead = lambda peer: peer.send(answer(b"no", status=b"413 Content Too Large"))
        client = BareClient(self.network)
        client.send(post(b"x" * 100000)[:20000])
        for _ in range(5):
            client.send(b"x" * 10000)
        self.assertTrue(client.received.startswith(b"HTTP/1.1 413") and client.received.endswith(b"no"))
        self.assertIsNone(client.raw.closed)
        self.assertTrue(client.raw.eof and client.isToldTheEnd)
        self.seconds(8)
        self.assertEqual(self.engine.channels, set())

    def test_anEarlyAnswerToAnEndlessUpload(self) -> None:
        self.proxy(None)
        self.origin.onHead = lambda peer: peer.send(answer(b"no", status=b"413 Content Too Large"))
        client = BareClient(self.network)
        client.send(post(b"x" * 1000000)[:20000])
        for _ in range(40):
            client.send(b"x" * 10000)
        self.assertEqual(self.engine.channels, set())

    def test_closeNotifyAloneIsLeaving(self) -> None:
        self.proxy(None)
        client = BareClient(self.network)
        client.send(get())
        client.sayClose()
        self.assertEqual(self.accessLog.lines, [(499, "client_closed")])
        self.assertTrue(client.isToldTheEnd)
        self.assertEqual(self.engine.channels, set())

    def tunnelOf(self, **options: Any) -> BareClient:
        """A client in a tunnel."""

        def switch(peer: RawPeer, request: Message) -> None:
            self.origin.isHTTP = False
            peer.send(SWITCHED)

        self.proxy(switch)
        client = BareClient(self.network, **options)
        client.send(get(b"/", *WEBSOCKET))
        self.assertTrue(client.received.endswith(b"\r\n\r\n"))
        client.received = b""
        self.origin.peer.take()
        return client

    def test_aClientEndsItsDirection(self) -> None:
        """RFC 8446 section 6.1: a close_notify is no more than that."""
        client = self.tunnelOf()
        client.send(b"last")
        client.sayClose()
        self.assertEqual((self.origin.peer.take(), self.origin.peer.eof), (b"last", True))
        client.raw.send(b"\x17\x03\x03\x00\x20" + b"x" * 3200)  # what comes behind it is nothing
        self.network.pump()
        (channel,) = self.engine.channels
        self.assertEqual(channel.transport._incoming.pending, 0)  # type: ignore[attr-defined]
        for _ in range(3):
            self.send(self.origin.peer, b"more")
            client.read()
        self.assertEqual((client.received, client.isToldTheEnd), (b"more" * 3, False))
        self.origin.peer.close()
        self.network.pump()
        client.read()
        self.assertTrue(client.isToldTheEnd)
        self.checkNothingRuns()
        self.assertEqual(self.accessLog.lines, [(101, "")])

    def test_anUpstreamEndsItsDirection(self) -> None:
        client = self.tunnelOf()
        self.origin.peer.send(b"last")
        self.origin.peer.halfClose()
        self.network.pump()
        client.read()
        self.assertEqual((client.received, client.isToldTheEnd, client.raw.eof), (b"last", True, False))
        for _ in range(3):
            client.send(b"more" * 10000)
        self.assertEqual(self.origin.peer.take(), b"more" * 30000)
        client.sayClose()
        self.checkNothingRuns()
        self.assertTrue(client.raw.eof and self.origin.peer.eof)

    def test_aBreakIsNoEndOfADirection(self) -> None:
        """Not after our end either."""
        client = self.tunnelOf()
        self.origin.peer.halfClose()
        self.network.pump()
        client.raw.halfClose()
        self.network.pump()
        self.assertTrue(self.origin.peer.closed and not self.origin.peer.closed.check(ConnectionDone))
        self.checkNothingRuns()

    def test_aClientThatIsGoneEndsBoth(self) -> None:
        """It says so by a FIN behind its close_notify."""
        client = self.tunnelOf()
        client.sayClose()
        self.assertEqual(self.engine.inFlight, 1)
        client.raw.halfClose()
        self.network.pump()
        self.assertTrue(self.origin.peer.eof and not self.origin.peer.closed)
        self.checkNothingRuns()

    def test_beforeTLS13TheEndOfOneIsThatOfBoth(self) -> None:
        """RFC 5246 section 7.2.1."""
        client = self.tunnelOf(latest=stdlib.TLSVersion.TLSv1_2)
        client.sayClose()
        self.assertTrue(client.isToldTheEnd and self.origin.peer.eof)
        self.checkNothingRuns()

    def test_plainHTTP(self) -> None:
        """Somebody forgot the s."""
        self.proxy(None)
        client = Client(self.network, ("10.1.0.1", 8443), "203.0.113.9")
        self.clients.append(client)
        client.send(get())
        self.assertTrue(client.received.startswith(b"HTTP/1.0 400 Bad Request\r\n"))
        self.assertTrue(client.isEnded)

    def test_aRefusedClientHearsWhy(self) -> None:
        """It sends its request together with the end of its handshake, and then looks for the answer."""
        self.asksForCertificates = self.needsCertificates = True
        self.network.resetDropsUnread = True
        self.proxy(None)
        client = BareClient(self.network, isHasty=True)
        error = self.assertRaises(stdlib.SSLError, client.send, get() * 5000)
        self.assertEqual(error.reason, "TLSV13_ALERT_CERTIFICATE_REQUIRED")
        self.seconds(8)
        self.assertEqual(self.engine.channels, set())
        self.assertEqual(self.accessLog.lines, [])

    def test_nonsenseIsNoHandshake(self) -> None:
        self.proxy(None)
        client = Client(self.network, ("10.1.0.1", 8443), "203.0.113.9")
        self.clients.append(client)
        client.send(b"\x16\x03\x01\x00\x05hello")
        self.assertEqual(client.received[:1], b"\x15", "an alert")
        self.assertTrue(client.isEnded)


class TestOtherProtocols(ProxyTestCase):
    """The layer below what is not ours."""

    def test_aSiteOfTwisted(self) -> None:
        class Page(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> bytes:
                request.setHeader("X-Secure", str(request.isSecure()))
                return b"x" * 300000

        cert, key = write(temporaryDirectory(self), SERVER)
        store = CertificateStore(ServerTLS((CertificateFiles(cert, key),)))
        site = Site(Page(), reactor=self.network)
        port = self.network.listenTCP(8443, SecureFactory(store, site), interface="10.1.0.1")
        client = SecureClient(self.network)
        self.clients.append(client)
        client.send(get() + get(b"/2", b"Connection: close"))
        self.seconds(0.5)
        first, second = client.answers(b"GET", b"GET")
        self.assertEqual((len(first.body), len(second.body), first.get(b"x-secure")), (300000, 300000, b"True"))
        self.assertTrue(client.isEnded)
        port.stopListening()
        self.seconds(120)

    def test_producers(self) -> None:
        """A push producer is paused with the connection below; a pull producer is refused."""
        told: list[str] = []

        class Producer:
            def pauseProducing(self) -> None:
                told.append("pause")

            def resumeProducing(self) -> None:
                told.append("resume")

            def stopProducing(self) -> None:
                told.append("stop")

        class Greeter(Protocol):
            transport: Any

            def handshakeCompleted(self) -> None:
                self.transport.registerProducer(Producer(), True)
                for _ in range(40):
                    self.transport.writeSequence([b"x" * 50000])

        alsoProvides(greeter := Greeter(), IHandshakeListener)
        factory = Factory.forProtocol(lambda: greeter)  # type: ignore[arg-type]
        cert, key = write(temporaryDirectory(self), SERVER)
        store = CertificateStore(ServerTLS((CertificateFiles(cert, key),)))
        port = self.network.listenTCP(8443, SecureFactory(store, factory), interface="10.1.0.1")
        client = SecureClient(self.network)
        self.clients.append(client)
        self.seconds(1)
        self.assertEqual(len(client.received), 2000000)
        self.assertEqual(told, ["pause", "resume"])
        transport = greeter.transport
        self.assertRaises(RuntimeError, transport.registerProducer, Producer(), True)
        transport.unregisterProducer()
        self.assertRaises(ValueError, transport.registerProducer, Producer(), False)
        transport.loseConnection()
        self.seconds(1)
        self.assertTrue(client.isEnded)
        transport.registerProducer(Producer(), True)
        self.assertEqual(told[2:], ["stop"])
        port.stopListening()


class BareClient:
    """A client by the standard library, whose connection and whose TLS end by themselves.

    @ivar isToldTheEnd: whether the proxy's close_notify came.
    """

    def __init__(self, network: Any, isHasty: bool = False, latest: Any = stdlib.TLSVersion.MAXIMUM_SUPPORTED) -> None:
        """
        @param isHasty: whether the end of its handshake is sent together with what it sends first.
        @param latest: the version of TLS that it knows.
        """
        self.network = network
        self.raw: RawClient = network.connect("10.1.0.1:8443")
        context = stdlib.SSLContext(stdlib.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, stdlib.CERT_NONE
        context.maximum_version = latest
        self._in, self._out = stdlib.MemoryBIO(), stdlib.MemoryBIO()
        self._tls = context.wrap_bio(self._in, self._out)
        self.received = b""
        self.isToldTheEnd = False
        network.pump()
        for _ in range(3):
            try:
                self._tls.do_handshake()
            except stdlib.SSLWantReadError:
                self._exchange()
        if not isHasty:
            self._exchange()

    def _exchange(self) -> None:
        self.raw.send(self._out.read())
        self.network.pump()
        self._in.write(self.raw.take())

    def send(self, data: bytes) -> None:
        """Send it, and read what comes."""
        self._tls.write(data)
        self.read()

    def read(self) -> None:
        """Read what comes."""
        self._exchange()
        try:
            while piece := self._tls.read(65536):
                self.received += piece
            self.isToldTheEnd = True
        except stdlib.SSLZeroReturnError:
            self.isToldTheEnd = True
        except stdlib.SSLWantReadError:
            pass

    def sayClose(self) -> None:
        """Send close_notify, and look for the proxy's."""
        try:
            self._tls.unwrap()
        except stdlib.SSLWantReadError:
            pass
        self._exchange()
        try:
            self._tls.unwrap()
            self.isToldTheEnd = True
        except stdlib.SSLWantReadError:
            pass
