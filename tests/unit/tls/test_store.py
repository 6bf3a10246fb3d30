"""The certificates of a listener: by name, and new ones while it listens."""

from __future__ import annotations

import ssl
from datetime import timedelta
from typing import Any

from cryptography import x509
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.support.certificates import EXPIRED, authority, issued, pem, write, writeAuthority
from tests.unit.loader.temporary import temporaryDirectory
from twistproxy.errors import ConfigurationError
from twistproxy.tls.certificates import dnsNames
from twistproxy.tls.config import CertificateFiles, ServerTLS
from twistproxy.tls.listening import CertificateWatch
from twistproxy.tls.store import CertificateStore


def clientContext(certificate: Any = None, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    """What a client speaks with that trusts our authority, whatever the name."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    authority().configure_trust(context)
    context.set_alpn_protocols(["h2", "http/1.1"])
    if certificate is not None:
        certificate.configure_cert(context)
    if version is not None:
        context.maximum_version = version
    return context


def shake(store: CertificateStore, context: ssl.SSLContext, name: str | None, session: Any = None) -> Any:
    """A client's side of a connection, once its first bytes came from the server.

    @raise ssl.SSLError: when either side refuses.
    """
    toClient, toServer = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context.wrap_bio(toClient, toServer, server_hostname=name, session=session)
    server = store.context.wrap_bio(toServer, toClient, server_side=True)
    for _ in range(3):
        for side in (client, server):
            try:
                side.do_handshake()
            except ssl.SSLWantReadError:
                pass
    server.write(b"x")
    client.read(1)
    client.server = server
    return client


class StoreCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = temporaryDirectory(self)
        self.events: list[Any] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def put(self, place: str, certificate: Any) -> CertificateFiles:
        """Write a certificate as certbot would; a later one is another file."""
        (self.directory / place).mkdir(exist_ok=True)
        for name in ("fullchain.pem", "privkey.pem"):
            (self.directory / place / name).unlink(missing_ok=True)
        return CertificateFiles(*write(self.directory / place, certificate, "fullchain.pem", "privkey.pem"))

    def logged(self) -> list[str]:
        """What the log got since the last look."""
        lines = [formatEvent(each).replace(str(self.directory), "D") for each in self.events]
        self.events.clear()
        return lines

    def store(self, **options: Any) -> CertificateStore:
        return CertificateStore(ServerTLS(**{"directory": str(self.directory), **options}))

    def shown(self, store: CertificateStore, name: str | None) -> x509.Certificate:
        der = shake(store, clientContext(), name).getpeercert(binary_form=True)
        return x509.load_der_x509_certificate(der)

    def names(self, store: CertificateStore, name: str | None) -> tuple[str, ...]:
        return dnsNames(self.shown(store, name))


class TestNames(StoreCase):
    def test_exactThenWildcardThenTheFirst(self) -> None:
        self.put("1", issued("first.example"))
        self.put("2", issued("a.example", "*.a.example"))
        self.put("3", issued("b.a.example"))
        store = self.store()
        for asked, first in [
            ("first.example", "first.example"),
            ("a.example", "a.example"),
            ("A.Example", "a.example"),
            ("x.a.example", "a.example"),
            ("b.a.example", "b.a.example"),
            ("y.x.a.example", "first.example"),
            ("elsewhere.example", "first.example"),
            ("com", "first.example"),
            (None, "first.example"),
        ]:
            self.assertEqual(self.names(store, asked)[0], first, asked)

    def test_theOneThatIsValidLongest(self) -> None:
        self.put("1", issued("first.example"))
        self.put("2", issued("a.example", "old.example", expires=EXPIRED))
        self.put("3", issued("a.example", "new.example"))
        self.assertIn("new.example", self.names(self.store(), "a.example"))

    def test_ownOnesComeBeforeThoseOfADirectory(self) -> None:
        own = self.put("z", issued("own.example"))
        self.put("a", issued("a.example"))
        self.assertEqual(self.names(self.store(certificates=(own,)), None), ("own.example",))

    def test_protocolsAndVersions(self) -> None:
        self.put("1", issued("a.example"))
        client = shake(self.store(), clientContext(version=ssl.TLSVersion.TLSv1_2), "a.example")
        self.assertEqual((client.version(), client.selected_alpn_protocol()), ("TLSv1.2", "http/1.1"))
        client = shake(self.store(minVersion="1.3"), clientContext(), "a.example")
        self.assertEqual((client.version(), client.selected_alpn_protocol()), ("TLSv1.3", "http/1.1"))
        old = clientContext(version=ssl.TLSVersion.TLSv1_2)
        self.assertRaises(ssl.SSLError, shake, self.store(minVersion="1.3"), old, "a.example")

    def test_aChainInItsOwnFile(self) -> None:
        between = authority().create_child_ca()
        leaf = between.issue_cert("a.example")
        cert, key = write(self.directory, leaf)
        (self.directory / "cert.pem").write_bytes(leaf.cert_chain_pems[0].bytes())
        chain = self.directory / "chain.txt"
        chain.write_bytes(between.cert_pem.bytes())
        one = CertificateFiles(cert, key)
        alone = CertificateStore(ServerTLS((one,)))
        self.assertRaises(ssl.SSLCertVerificationError, shake, alone, clientContext(), "a.example")
        whole = CertificateStore(ServerTLS((CertificateFiles(cert, key, str(chain)),)))
        shake(whole, clientContext(), "a.example")


class TestClients(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        files = self.put("server", issued("a.example"))
        self.options = {"directory": "", "certificates": (files,), "clientCA": writeAuthority(self.directory)}

    def test_required(self) -> None:
        store = self.store(**self.options, clientCertificates="require")
        shake(store, clientContext(issued("client.example")), "a.example")
        for bad in (None, issued("client.example", by="another"), issued("client.example", expires=EXPIRED)):
            self.assertRaises(ssl.SSLError, shake, store, clientContext(bad), "a.example")

    def test_requested(self) -> None:
        store = self.store(**self.options, clientCertificates="request")
        shake(store, clientContext(issued("client.example")), "a.example")
        shake(store, clientContext(), "a.example")
        bad = issued("client.example", by="another")
        self.assertRaises(ssl.SSLError, shake, store, clientContext(bad), "a.example")

    def test_aResumedSessionHasTheCertificate(self) -> None:
        """Nobody gets in by a session without it being known who that is."""
        store = self.store(**self.options, clientCertificates="require")
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            context = clientContext(issued("client.example", client="alice"), version)
            first = shake(store, context, "a.example")
            second = shake(store, context, "a.example", first.session)
            self.assertTrue(second.session_reused)
            shown = [each.server.getpeercert(binary_form=True) for each in (first, second)]
            self.assertTrue(shown[0])
            self.assertEqual(shown[0], shown[1], version)

    def test_anotherAuthority(self) -> None:
        """Who it trusted before is trusted no longer, old sessions included."""
        store = self.store(**self.options, clientCertificates="require")
        context = clientContext(issued("client.example"))
        session = shake(store, context, "a.example").session
        self.assertTrue(shake(store, context, "a.example", session).session_reused)
        writeAuthority(self.directory, "another")
        self.assertTrue(store.reload())
        self.assertRaises(ssl.SSLError, shake, store, context, "a.example", session)
        shake(store, clientContext(issued("client.example", by="another")), "a.example")


class TestReloading(StoreCase):
    def test_aNewCertificate(self) -> None:
        self.put("1", issued("a.example"))
        store = self.store()
        self.assertFalse(store.reload())
        self.put("1", issued("a.example", "b.example"))
        self.assertTrue(store.reload())
        self.assertEqual(self.names(store, "b.example"), ("a.example", "b.example"))
        self.assertEqual(self.logged(), ["Loaded the certificate D/1/fullchain.pem"])
        self.assertFalse(store.reload())

    def test_moreAndFewer(self) -> None:
        self.put("1", issued("a.example"))
        store = self.store()
        self.put("2", issued("b.example"))
        store.reload()
        self.assertEqual(self.names(store, "b.example"), ("b.example",))
        for each in (self.directory / "2").iterdir():
            each.unlink()
        store.reload()
        self.assertEqual(self.names(store, "b.example"), ("a.example",))

    def test_halfWritten(self) -> None:
        """The certificate is new, its key is not yet: the old pair stays, until the new one is whole."""
        self.put("1", issued("a.example"))
        store = self.store()
        new = issued("a.example", "b.example")
        (self.directory / "1/fullchain.pem").write_bytes(new.cert_chain_pems[0].bytes())
        for _ in range(3):
            self.assertFalse(store.reload())
        self.assertEqual(self.names(store, "a.example"), ("a.example",))
        self.assertEqual(
            self.logged(),
            [
                "A certificate was not loaded, the one before stays in use: "
                "D/1/privkey.pem: is not the private key of D/1/fullchain.pem"
            ],
        )
        (self.directory / "1/privkey.pem").write_bytes(new.private_key_pem.bytes())
        self.assertTrue(store.reload())
        self.assertEqual(self.names(store, "a.example"), ("a.example", "b.example"))

    def test_theDirectoryIsGone(self) -> None:
        self.put("1", issued("a.example"))
        store = self.store()
        (self.directory / "1").rename(self.directory.parent / f"{self.directory.name}-gone")
        self.assertFalse(store.reload())
        self.assertEqual(self.names(store, "a.example"), ("a.example",))
        (self.directory.parent / f"{self.directory.name}-gone").rename(self.directory / "1")

    def test_sessionsOutliveIt(self) -> None:
        self.put("1", issued("a.example"))
        store = self.store()
        for version in (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_2):
            context = clientContext(version=version)
            session = shake(store, context, "a.example").session
            self.put("1", issued("a.example", f"v{version.value}.example"))
            self.assertTrue(store.reload())
            self.assertTrue(shake(store, context, "a.example", session).session_reused, version)

    def test_nothingAtTheStart(self) -> None:
        error = self.assertRaises(ConfigurationError, self.store)
        self.assertIn("holds no certificates", error.problems[0])

    def test_allMistakesAtTheStart(self) -> None:
        for name in ("1", "2"):
            self.put(name, issued("a.example"))
            (self.directory / name / "privkey.pem").unlink()
        error = self.assertRaises(ConfigurationError, self.store)
        self.assertEqual(len(error.problems), 2)

    def test_watching(self) -> None:
        self.put("1", issued("a.example"))
        store, clock = self.store(), Clock()
        watch = CertificateWatch(clock, [store], 10.0)
        watch.startService()
        self.put("1", issued("a.example", "b.example"))
        clock.advance(9)
        self.assertEqual(self.names(store, "b.example"), ("a.example",))
        clock.advance(1)
        self.assertEqual(self.names(store, "b.example"), ("a.example", "b.example"))
        watch.stopService()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_notWatching(self) -> None:
        self.put("1", issued("a.example"))
        clock = Clock()
        watch = CertificateWatch(clock, [self.store()], 0.0)
        watch.startService()
        self.assertEqual(clock.getDelayedCalls(), [])
        watch.stopService()

    def test_complaints(self) -> None:
        self.put("1", issued("a.example"))
        (self.directory / "2.pem").write_bytes(pem(issued("b.example", expires=EXPIRED)))
        store, clock = self.store(), Clock()
        expiry = store.certificates[0].notAfter
        store.complain(expiry - timedelta(days=8))
        self.assertEqual(self.logged(), ["The certificate D/2.pem has expired on 2020-01-01"])
        store.complain(expiry - timedelta(days=6))
        self.assertEqual(self.logged()[0], f"The certificate D/1/fullchain.pem expires on {expiry:%Y-%m-%d}")
        watch = CertificateWatch(clock, [store], 3600.0)
        watch.startService()
        clock.pump([3600] * 25)
        watch.stopService()
        self.assertEqual(len(self.logged()), 2, "once a day")
