"""Tests of L{twistproxy.publicurl}."""

from __future__ import annotations

from ipaddress import ip_network

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import CLIENT, asked
from twistproxy.publicurl import isBelow, publicOrigin, publicPrefix, splitPort


class PublicURLTests(SynchronousTestCase):
    def test_originOfTheClient(self) -> None:
        self.assertEqual(publicOrigin(asked(scheme="https", host=b"a.example:8443")), (b"https", b"a.example:8443"))
        self.assertEqual(publicOrigin(asked(host=b"")), (b"http", b""))

    def test_itsOwnForwardingHeadersDoNotCount(self) -> None:
        request = asked(b"/", (b"X-Forwarded-Host", b"evil"), (b"X-Forwarded-Proto", b"https"))
        self.assertEqual(publicOrigin(request), (b"http", b"www.example"))

    def test_aTrustedProxysCount(self) -> None:
        request = asked(
            b"/", (b"X-Forwarded-Host", b"evil, pub.example"), (b"X-Forwarded-Proto", b"http, HTTPS "),
            trusted=(ip_network(f"{CLIENT}/32"),),
        )  # fmt: skip
        self.assertEqual(publicOrigin(request), (b"https", b"pub.example"))

    def test_webSocketsAreOfThePage(self) -> None:
        """Traefik says wss where a WebSocket is asked for."""
        for told, scheme in ((b"wss", b"https"), (b"ws", b"http")):
            request = asked(b"/", (b"X-Forwarded-Proto", told), trusted=(ip_network(f"{CLIENT}/32"),))
            self.assertEqual(publicOrigin(request)[0], scheme)

    def test_withoutThemWhatTheConnectionShows(self) -> None:
        request = asked(scheme="https")
        for name in ("X-Forwarded-Host", "X-Forwarded-Proto"):
            request.outbound.headers.removeHeader(name)
        request.outbound.host = "internal"
        self.assertEqual(publicOrigin(request), (b"https", b"www.example"))

    def test_prefix(self) -> None:
        request = asked()
        self.assertEqual(publicPrefix(request), b"")
        request.outbound.headers.setRawHeaders("X-Forwarded-Prefix", ["/a/, /b", "/c"])
        self.assertEqual(publicPrefix(request), b"/a/b/c")

    def test_splitPort(self) -> None:
        for authority, parts in [
            (b"a", (b"a", b"")), (b"a:1", (b"a", b"1")), (b"a:", (b"a", b"")), (b"[::1]", (b"[::1]", b"")),
            (b"[::1]:1", (b"[::1]", b"1")), (b"", (b"", b"")),
        ]:  # fmt: skip
            self.assertEqual(splitPort(authority), parts)

    def test_isBelow(self) -> None:
        for path in (b"/a", b"/a/", b"/a/b"):
            self.assertTrue(isBelow(path, b"/a"))
        for path in (b"/", b"/ab", b"/A", b"a"):
            self.assertFalse(isBelow(path, b"/a"))
        self.assertTrue(isBelow(b"/x", b""))
