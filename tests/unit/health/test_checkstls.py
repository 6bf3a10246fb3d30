"""The check C{http} over TLS."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.certificates import issued, writeAuthority
from tests.unit.loader.temporary import temporaryDirectory
from tests.unit.support import answer
from tests.unit.test_tls import SecureOrigin
from twistproxy.calling.hooks import asDeferred
from twistproxy.config import BuildContext
from twistproxy.health.http import HTTPCheck
from twistproxy.messages import Health, Upstream
from twistproxy.testing import MemoryNetwork
from twistproxy.tls.config import UpstreamTLS


class TLSTests(SynchronousTestCase):
    """An https upstream is asked over TLS, as requests to it are."""

    def setUp(self) -> None:
        self.network = MemoryNetwork({"app.example": "10.0.0.1"})
        self.ca = writeAuthority(temporaryDirectory(self))

    def check(self, names: Sequence[str], url: str = "https://app.example", by: str = "ours", **tls: Any) -> Health:
        """What is found at an upstream with a certificate for these names."""
        origin = SecureOrigin(self.network, ("10.0.0.1", 443), [answer(b"well")], issued(*names, by=by))
        results: list[Any] = []
        upstream = Upstream(url, tls=UpstreamTLS(**{"ca": self.ca, **tls}))
        checking = HTTPCheck(BuildContext(self.network), "/healthz").check(upstream)
        asDeferred(checking).addBoth(results.append)
        self.network.pump()
        self.requests = [each.target for each in origin.requests]
        origin.port.stopListening()
        self.network.closePeers()
        self.network.assertClean()
        (health,) = results
        assert isinstance(health, Health), health
        return health

    def test_itsCertificateIsVerified(self) -> None:
        self.assertEqual(self.check(["app.example"]), Health(True, "status 200", 0.0))
        self.assertEqual(self.requests, [b"/healthz"])

    def test_another(self) -> None:
        health = self.check(["other.example"])
        self.assertFalse(health.ok)
        self.assertIn("certificate verify failed: Hostname mismatch", health.detail)
        self.assertEqual(self.requests, [])
        self.assertIn("certificate verify failed", self.check(["app.example"], by="somebody").detail)

    def test_asTheUpstreamIsConfigured(self) -> None:
        self.assertTrue(self.check(["other.example"], serverName="other.example").ok)
        self.assertTrue(self.check(["other.example"], by="somebody", isInsecure=True, ca="").ok)

    def test_itSpeaksNoTLS(self) -> None:
        self.network.serve("10.0.0.1:443", onConnect=lambda peer: peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n"))
        results: list[Any] = []
        check = HTTPCheck(BuildContext(self.network))
        asDeferred(check.check(Upstream("https://10.0.0.1"))).addBoth(results.append)
        self.network.pump()
        self.assertFalse(results[0].ok)
        self.assertTrue(results[0].detail)
