"""L{twistproxy.middleware.securityheaders}: what browsers are told for safety."""

from __future__ import annotations

from twisted.internet.defer import fail

from tests.unit.builtin import MiddlewareTestCase, answered, items
from twistproxy.errors import CONNECT_REFUSED, ConfigurationError, ProxyError


class TestSecurityHeaders(MiddlewareTestCase):
    def test_byDefault(self) -> None:
        self.answer = answered(200, (b"Server", b"Old/1.0"), (b"X-Powered-By", b"hope"), (b"X-Kept", b"1"))
        self.assertEqual(
            items(self.around("security-headers").headers),
            [(b"X-Kept", b"1"), (b"X-Content-Type-Options", b"nosniff"), (b"X-Frame-Options", b"SAMEORIGIN"),
             (b"Referrer-Policy", b"strict-origin-when-cross-origin")],
        )  # fmt: skip

    def test_all(self) -> None:
        written = {"use": "security-headers", "nosniff": False, "frames": "deny", "referrer": "", "csp": "default-src 'self'",
                   "permissions": "camera=()", "opener": "same-origin", "remove": []}  # fmt: skip
        self.answer = answered(200, (b"Server", b"Old/1.0"))
        self.assertEqual(
            items(self.around(written).headers),
            [(b"Server", b"Old/1.0"), (b"X-Frame-Options", b"DENY"), (b"Content-Security-Policy", b"default-src 'self'"),
             (b"Permissions-Policy", b"camera=()"), (b"Cross-Origin-Opener-Policy", b"same-origin")],
        )  # fmt: skip

    def test_theUpstreamKnowsBetter(self) -> None:
        for override, want in (("", "DENY"), (":override=yes", "SAMEORIGIN")):
            self.answer = answered(200, (b"X-Frame-Options", b"DENY"))
            self.assertEqual(self.around("security-headers" + override).headers.get("X-Frame-Options"), want)

    def test_noneForFrames(self) -> None:
        self.assertFalse(self.around("security-headers:frames=any").headers.hasHeader("X-Frame-Options"))

    def test_aSwitchOfProtocolsIsNoPage(self) -> None:
        self.answer = answered(101, (b"Server", b"Old/1.0"))
        self.assertEqual(items(self.around("security-headers").headers), [])

    def test_errorPagesToo(self) -> None:
        self.proceed = lambda: fail(ProxyError(CONNECT_REFUSED, "", [("Retry-After", "1")]))  # type: ignore[method-assign,assignment,return-value]
        self.assertIs(self.around("security-headers:frames=deny:referrer="), CONNECT_REFUSED)
        want = [("Retry-After", "1"), ("X-Content-Type-Options", "nosniff"), ("X-Frame-Options", "DENY")]
        self.assertEqual(self.error.headers, want)

    def test_mistakes(self) -> None:
        written = {"use": "security-headers", "csp": "a\r\nSet-Cookie: b"}
        error = self.assertRaises(ConfigurationError, self.build, written)
        self.assertIn("security-headers", str(error))
