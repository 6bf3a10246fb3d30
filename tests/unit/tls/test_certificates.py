"""Certificates in files: names, directories, and a sentence for each mistake."""

from __future__ import annotations

import os
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import BestAvailableEncryption, Encoding, PrivateFormat, load_pem_private_key
from cryptography.x509.oid import NameOID
from twisted.trial.unittest import SynchronousTestCase

from tests.support.certificates import EXPIRED, issued, parsed, pem, write
from tests.unit.loader.temporary import temporaryDirectory
from twistproxy.errors import ConfigurationError
from twistproxy.tls.certificates import certificatesIn, dnsNames, readCertificate, signature
from twistproxy.tls.config import CertificateFiles


class CertificateCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = temporaryDirectory(self)

    def path(self, name: str, contents: bytes = b"") -> str:
        path = self.directory / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
        return str(path)

    def problem(self, function: Callable[..., Any], *args: Any) -> str:
        error = self.assertRaises(ConfigurationError, function, *args)
        (line,) = error.problems
        return str(line).replace(str(self.directory), "D")


class TestReading(CertificateCase):
    def read(self, cert: bytes | None, key: bytes | None) -> str:
        for name, contents in (("cert.pem", cert), ("key.pem", key)):
            if contents is not None:
                self.path(name, contents)
        return self.problem(readCertificate, CertificateFiles(f"{self.directory}/cert.pem", f"{self.directory}/key.pem"))

    def test_good(self) -> None:
        cert, key = write(self.directory, issued("a.example", "*.B.example"))
        found = readCertificate(CertificateFiles(cert, key))
        self.assertEqual(found.names, ("a.example", "*.b.example"))

    def test_bothInOneFile(self) -> None:
        path = self.path("both.pem", pem(issued("a.example")))
        self.assertEqual(readCertificate(CertificateFiles(path, path)).names, ("a.example",))

    def test_expiredIsReadable(self) -> None:
        cert, key = write(self.directory, issued("a.example", expires=EXPIRED))
        self.assertEqual(readCertificate(CertificateFiles(cert, key)).notAfter, EXPIRED)

    def test_mistakes(self) -> None:
        leaf = issued("a.example")
        cert, key = leaf.cert_chain_pems[0].bytes(), leaf.private_key_pem.bytes()
        other = issued("b.example").private_key_pem.bytes()
        locked = load_pem_private_key(key, None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"hush")
        )
        self.assertEqual(self.read(None, key), "D/cert.pem: No such file or directory")
        self.assertEqual(self.read(b"", key), "D/cert.pem: holds no certificate (want PEM)")
        self.assertEqual(self.read(cert[:200], key), "D/cert.pem: holds no certificate (want PEM)")
        self.assertEqual(self.read(cert, cert), "D/key.pem: holds no private key (want PEM)")
        self.assertEqual(self.read(cert, other), "D/key.pem: is not the private key of D/cert.pem")
        self.assertEqual(
            self.read(cert, locked), "D/key.pem: the private key is encrypted; a server needs one without a password"
        )
        os.unlink(self.directory / "key.pem")
        self.assertEqual(self.read(cert, None), "D/key.pem: No such file or directory")
        (self.directory / "key.pem").mkdir()
        self.assertEqual(self.read(cert, None), "D/key.pem: Is a directory")


class TestNames(SynchronousTestCase):
    def test_ofTheAlternatives(self) -> None:
        self.assertEqual(dnsNames(parsed(issued("a.example", "10.0.0.1", client="common.example"))), ("a.example",))

    def test_ofTheSubject(self) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Common.Example")])
        made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key()).serial_number(1)
        made = made.not_valid_before(EXPIRED).not_valid_after(EXPIRED + timedelta(days=1))
        self.assertEqual(dnsNames(made.sign(key, hashes.SHA256())), ("common.example",))


class TestDirectories(CertificateCase):
    def found(self) -> list[tuple[str, ...]]:
        base = str(self.directory) + "/"
        return [tuple(path.removeprefix(base) for path in each.paths) for each in certificatesIn(str(self.directory))]

    def test_asCertbotHasThem(self) -> None:
        self.path("archive/b/fullchain1.pem", b"x")
        for name in ("b", "a"):
            (self.directory / name).mkdir()
            for file in ("fullchain.pem", "privkey.pem", "cert.pem", "chain.pem"):
                (self.directory / name / file).symlink_to(f"../../archive/{name}/{file}")
        self.path("README", b"do not touch")
        self.assertEqual(self.found(), [("a/fullchain.pem", "a/privkey.pem"), ("b/fullchain.pem", "b/privkey.pem")])

    def test_asHAProxyTakesThem(self) -> None:
        self.path("b.pem")
        self.path("a.pem")
        self.path("a.pem.bak")
        self.assertEqual(self.found(), [("a.pem",), ("b.pem",)])

    def test_empty(self) -> None:
        self.assertEqual(
            self.problem(certificatesIn, str(self.directory)),
            "D: holds no certificates (want NAME/fullchain.pem and NAME/privkey.pem, or NAME.pem)",
        )

    def test_none(self) -> None:
        self.assertEqual(self.problem(certificatesIn, f"{self.directory}/x"), "D/x: No such file or directory")


class TestSignature(CertificateCase):
    def test_changes(self) -> None:
        path = Path(self.path("a", b"1"))
        seen = [signature([str(path)])]
        self.assertEqual(signature([str(path)]), seen[0])
        path.write_bytes(b"12")
        seen.append(signature([str(path)]))
        os.utime(path, ns=(1, 1))
        seen.append(signature([str(path)]))
        path.unlink()
        seen.append(signature([str(path)]))
        self.assertEqual(len(set(seen)), 4)
