"""require-https: the redirect, and the header by which browsers remember."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import asked, built
from twistproxy.errors import CONNECT_REFUSED, ConfigurationError, ProxyError
from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest, Response


class RequireHTTPSTests(SynchronousTestCase):
    def around(self, written: str, request: InboundRequest) -> Response:
        async def proceed() -> Response:
            return Response(200, [(b"Strict-Transport-Security", b"theirs")])

        made: Any = built(IMiddleware, written).around(request, proceed)
        if isinstance(made, Response):
            return made
        try:
            made.send(None)
        except StopIteration as stop:
            response: Response = stop.value
            return response
        raise AssertionError("it waits")

    def location(self, written: str, **request: Any) -> tuple[int, Any]:
        answer = self.around(written, asked(b"/a?b=%2F", **request))
        return answer.code, answer.headers.get("location")

    def test_redirect(self) -> None:
        self.assertEqual(self.location("require-https"), (308, "https://www.example/a?b=%2F"))
        self.assertEqual(self.location("require-https", host=b"www.example:8080"), (308, "https://www.example/a?b=%2F"))
        self.assertEqual(self.location("require-https:port=8443:code=301"), (301, "https://www.example:8443/a?b=%2F"))
        self.assertEqual(self.location("require-https", host=b"[::1]:80"), (308, "https://[::1]/a?b=%2F"))

    def test_hsts(self) -> None:
        for written, policy in [
            ("require-https", "max-age=31536000"),
            ("require-https:hsts=10m", "max-age=600"),
            ("require-https:hsts=730d:include-subdomains=yes:preload=yes", "max-age=63072000; includeSubDomains; preload"),
            ("require-https:hsts=0", "theirs"),
        ]:
            answer = self.around(written, asked(scheme="https"))
            self.assertEqual((answer.code, answer.headers.get("strict-transport-security")), (200, policy))
        self.assertIsNone(self.around("require-https", asked()).headers.get("strict-transport-security"), "not by HTTP")

    def test_errorPagesAreRememberedToo(self) -> None:
        async def proceed() -> Response:
            raise ProxyError(CONNECT_REFUSED)

        waiting: Any = built(IMiddleware, "require-https:hsts=10m").around(asked(scheme="https"), proceed)
        error = self.assertRaises(ProxyError, waiting.send, None)
        self.assertEqual(error.headers, [("Strict-Transport-Security", "max-age=600")])

    def test_certificatesMayBeAskedForByHTTP(self) -> None:
        for target, code in [
            (b"/.well-known/acme-challenge/x", 200),
            (b"/.well-known/acme-challenges", 308),
            (b"/x/.well-known/acme-challenge/x", 308),
            (b"/.well-known/acme-challenge/../../account", 308),
            (b"/.well-known/acme-challenge/..%2f..%2faccount", 308),
            (b"/.well-known/acme-challenge/..;/..;/account", 308),
            (b"/.well-known/acme-challenge/..\\..\\account", 308),
        ]:
            self.assertEqual(self.around("require-https", asked(target)).code, code, target)
        self.assertEqual(self.around("require-https:exempt=", asked(b"/.well-known/acme-challenge/x")).code, 308)
        self.assertEqual(self.around("require-https:exempt=/plain", asked(b"/plain/x")).code, 200)

    def test_withoutAHost(self) -> None:
        self.assertEqual(self.around("require-https", asked(host=b"")).code, 200)
        self.assertEqual(self.around("require-https", asked(b"*", method=b"OPTIONS")).code, 200)

    def test_behindAProxy(self) -> None:
        told = (b"X-Forwarded-Proto", b"https"), (b"X-Forwarded-Host", b"public.example")
        self.assertEqual(self.around("require-https", asked(b"/", *told)).code, 308, "anybody can say that")
        trusted = (ip_network("203.0.113.0/24"),)
        self.assertEqual(self.around("require-https", asked(b"/", *told, trusted=trusted)).code, 200)

    def test_mistakes(self) -> None:
        for written in ("preload=yes", "preload=yes:hsts=365d", "hsts=-1", "code=303", "port=x", "exempt=/", "exempt=x"):
            self.assertRaises(ConfigurationError, built, IMiddleware, f"require-https:{written}")
