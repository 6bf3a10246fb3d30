"""client-certificate: headers for the upstream, and nobody without one."""

from __future__ import annotations

from base64 import b64decode

from tests.support.certificates import issued, ofTwisted
from tests.unit.builtin import DirectorTestCase
from twistproxy.errors import ConfigurationError
from twistproxy.messages import InboundRequest
from twistproxy.testing.inbound import makeRequest

ALICE = ofTwisted(issued("alice.example", client="alice")).dump()
NAMES = "client-certificate:subject=X-Who:fingerprint=X-Print:sans=X-Sans"
FORGED = {"Client-Cert": ":bWU=:", "X-Who": "CN=root", "X_Who": "CN=root", "x-print": "00", "X-Sans": "DNS:all"}


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

    def test_mistakes(self) -> None:
        self.assertRaises(ConfigurationError, self.build, "client-certificate:subject=a b")
        self.assertRaises(ConfigurationError, self.build, "client-certificate:subject=Connection")
