"""A client's certificate as plugins see it."""

from __future__ import annotations

from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SynchronousTestCase

from tests.support.certificates import EXPIRED, issued, ofTwisted, parsed
from twistproxy.tls.client import ClientCertificate, certificateOf


def der(certificate: Any) -> bytes:
    """As a transport has it."""
    return ofTwisted(certificate).dump()


class TestClientCertificate(SynchronousTestCase):
    def test_whatItSays(self) -> None:
        leaf = issued("a.example", "10.0.0.1", "alice@a.example", client="alice")
        found = ClientCertificate(der(leaf))
        original = parsed(leaf)
        self.assertIn("CN=alice", found.subject)
        self.assertIn("O=ours", found.issuer)
        self.assertEqual(found.commonName, "alice")
        self.assertEqual(found.sans, ("DNS:a.example", "IP:10.0.0.1", "email:alice@a.example"))
        self.assertEqual(found.fingerprint, original.fingerprint(hashes.SHA256()).hex())
        self.assertEqual((found.serial, found.notAfter), (original.serial_number, original.not_valid_after_utc))
        self.assertEqual(x509.load_pem_x509_certificate(found.pem.encode()), original)
        self.assertIn("alice", repr(found))

    def test_nothingOfItBreaksAHeader(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a\r\nX-Admin: yes")])
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        made = made.not_valid_before(EXPIRED).not_valid_after(EXPIRED)
        from cryptography.hazmat.primitives.serialization import Encoding

        found = ClientCertificate(made.sign(key, hashes.SHA256()).public_bytes(Encoding.DER))
        self.assertEqual(found.commonName, "a\\0d\\0aX-Admin: yes")
        self.assertEqual(found.subject, "CN=a\\0d\\0aX-Admin: yes")
        self.assertEqual(found.sans, ())

    def test_none(self) -> None:
        class Transport:
            peerCertificateDER = None

        class TwistedTransport:
            def getPeerCertificate(self) -> None:
                return None

        self.assertIsNone(certificateOf(Transport()))
        self.assertIsNone(certificateOf(TwistedTransport()))
