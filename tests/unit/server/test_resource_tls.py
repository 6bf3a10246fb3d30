"""The resource behind TLS of ours: the client's certificate reaches plugins there too."""

from __future__ import annotations

from typing import Any

from tests.support.certificates import issued, write, writeAuthority
from tests.unit.loader.temporary import temporaryDirectory
from tests.unit.server.support import STREAMING, Echo, ResourceTestCase
from tests.unit.support import get
from tests.unit.test_tls import SERVER, SecureClient
from twistproxy.tls.config import CertificateFiles, ServerTLS
from twistproxy.tls.listening import SecureFactory
from twistproxy.tls.store import CertificateStore


class TestClientCertificate(ResourceTestCase):
    def test_itReachesPlugins(self) -> None:
        seen: list[Any] = []

        class Looking:
            def direct(self, inbound: Any, outbound: Any) -> None:
                seen.append(inbound.clientCertificate)

        self.proxy(Echo(), directors=[Looking()])
        directory = temporaryDirectory(self)
        files = (CertificateFiles(*write(directory, SERVER)),)
        store = CertificateStore(ServerTLS(files, clientCA=writeAuthority(directory), clientCertificates="request"))
        port = self.network.listenTCP(8443, SecureFactory(store, self.site), interface="10.1.0.1")
        for certificate in (issued("alice.example", client="alice"), None):
            client = SecureClient(self.network, certificate)
            self.clients.append(client)
            client.send(get(b"/"))
            self.seconds(0.1)
            self.assertEqual(client.answer().body, b"GET / ")
        self.assertEqual([each and each.commonName for each in seen], ["alice", None])
        self.assertEqual(self.origin.requests[0].get(b"x-forwarded-proto"), b"https")
        port.stopListening()


class TestClientCertificateOfAStreamingSite(TestClientCertificate):
    makeSite = staticmethod(STREAMING)
