"""client-certificate: headers for the upstream, and nobody without one."""

from __future__ import annotations

from base64 import b64decode
from datetime import UTC, datetime, timedelta

import trustme
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from tests.support.certificates import issued, ofTwisted
from tests.unit.builtin import DirectorTestCase, MiddlewareTestCase
from twistproxy.errors import FORBIDDEN, ConfigurationError
from twistproxy.messages import InboundRequest
from twistproxy.testing.inbound import makeRequest

ALICE = ofTwisted(issued("alice.example", client="alice")).dump()
NAMES = "client-certificate:subject=X-Who:fingerprint=X-Print:sans=X-Sans"
FORGED = {"Client-Cert": ":bWU=:", "X-Who": "CN=root", "X_Who": "CN=root", "x-print": "00", "X-Sans": "DNS:all"}


def urned(uri: str) -> trustme.LeafCert:
    """A certificate for a URI."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a")])
    day, now = timedelta(1), datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + day)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=False)
        .sign(key, SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return trustme.LeafCert(private, made.public_bytes(Encoding.PEM), [])


class ClientCertificateTests(DirectorTestCase):
    def sent(self, request: InboundRequest) -> dict[bytes, list[bytes]]:
        return dict(request.outbound.headers.getAllRawHeaders())

    def test_headers(self) -> None:
        request = makeRequest(headers=FORGED, certificate=ALICE)
        self.assertIsNone(self.direct(NAMES, request))
        headers, certificate = self.sent(request), request.clientCertificate
        assert certificate is not None
        (whole,) = headers[b"Client-Cert"]
        self.assertEqual((whole[:1], b64decode(whole[1:-1]), whole[-1:]), (b":", ALICE, b":"))
        self.assertEqual(headers[b"X-Who"], [certificate.subject.encode()])
        self.assertEqual(headers[b"X-Print"], [certificate.fingerprint.encode()])
        self.assertEqual(headers[b"X-Sans"], [b"DNS:alice.example"])
        self.assertNotIn(b"X_Who", headers)

    def test_withoutOneNothingIsClaimed(self) -> None:
        request = makeRequest(headers=FORGED)
        self.assertIsNone(self.direct(NAMES, request))
        left = {name.lower().replace(b"_", b"-") for name in self.sent(request)}
        self.assertEqual(left & {b"client-cert", b"x-who", b"x-print", b"x-sans"}, set())

    def test_onlySome(self) -> None:
        request = makeRequest(certificate=ALICE)
        self.direct("client-certificate:header=:subject=X-Who", request)
        self.assertNotIn(b"Client-Cert", self.sent(request))
        self.assertIn(b"X-Who", self.sent(request))

    def test_required(self) -> None:
        answer = self.direct("client-certificate:require=yes", makeRequest())
        assert answer is not None
        self.assertEqual(answer.code, 403)
        self.assertIsNone(self.direct("client-certificate:require=yes", makeRequest(certificate=ALICE)))

    def test_alternativeNamesAreToldApart(self) -> None:
        """A URI may have a comma in it, and what looks like another name behind it."""
        request = makeRequest(certificate=ofTwisted(urned("http://a/, DNS:admin\\")).dump())
        self.direct("client-certificate:sans=X-Sans", request)
        self.assertEqual(self.sent(request)[b"X-Sans"], [b"URI:http://a/\\, DNS:admin\\\\"])

    def test_user(self) -> None:
        certificate = makeRequest(certificate=ALICE).clientCertificate
        assert certificate is not None
        for written, user in (
            ("", "alice"), (":user=subject", certificate.subject), (":user=fingerprint", certificate.fingerprint),
            (":user=san", "DNS:alice.example"), (":user=none", ""),
        ):  # fmt: skip
            request = makeRequest(certificate=ALICE)
            self.direct(f"client-certificate{written}", request)
            self.assertEqual(request.user, user)
        request = makeRequest(certificate=ofTwisted(issued("nobody.example")).dump())
        self.direct("client-certificate", request)
        assert request.clientCertificate is not None
        self.assertEqual(request.user, request.clientCertificate.subject)

    def test_whoMayPass(self) -> None:
        certificate = makeRequest(certificate=ALICE).clientCertificate
        assert certificate is not None
        colons = ":".join(certificate.fingerprint[i : i + 2].upper() for i in range(0, 64, 2))
        for good in (certificate.subject, "CN:alice", "DNS:alice.example", f"SHA256:{colons}"):
            allowing = {"use": "client-certificate", "allow": ["CN:bob", good]}
            self.assertIsNone(self.direct(allowing, makeRequest(certificate=ALICE)), good)
        for bad in ("CN:Alice", "CN:alice.example", "CN=alice", "DNS:lice.example", "URI:alice.example", "SHA256:" + "0" * 64):
            request = makeRequest(headers=FORGED, certificate=ALICE)
            answer = self.direct({"use": "client-certificate", "allow": [bad]}, request)
            self.assertEqual((answer.code, request.user), (403, ""), bad)
        self.assertEqual(self.direct("client-certificate:allow=CN\\:alice", makeRequest()).code, 403)

    def test_mistakes(self) -> None:
        for wrong in ("alice", "CN:", "dns:a", "SHA256:00", ""):
            self.assertRaises(ConfigurationError, self.build, {"use": "client-certificate", "allow": [wrong]})
        self.assertRaises(ConfigurationError, self.build, "client-certificate:subject=a b")
        self.assertRaises(ConfigurationError, self.build, "client-certificate:subject=Connection")


class AsMiddlewareTests(MiddlewareTestCase):
    def test_beforeTheDirectors(self) -> None:
        request = makeRequest(headers=FORGED, certificate=ALICE)
        self.assertIs(self.around(f"{NAMES}:allow=CN\\:alice", request), self.answer)
        self.assertEqual(request.user, "alice")
        self.assertEqual(request.outbound.headers.getRawHeaders("X-Sans"), ["DNS:alice.example"])

    def test_whoMayNot(self) -> None:
        for request in (makeRequest(), makeRequest(certificate=ALICE)):
            self.assertIs(self.around("client-certificate:allow=CN\\:bob", request), FORBIDDEN)
        self.assertEqual(self.proceeded, 0)
