"""rewrite-cookies."""

from __future__ import annotations

from typing import Any

from tests.unit.builtin import ModifierTestCase, answered, asked, built, items
from twistproxy.interfaces import IDirector
from twistproxy.messages import InboundRequest

PLAIN = "rewrite-cookies"


class RewriteCookiesTests(ModifierTestCase):
    def cookie(
        self,
        cookie: bytes,
        written: Any = PLAIN,
        request: InboundRequest | None = None,
        upstream: str | None = "http://app.internal:9000/base",
    ) -> bytes:
        """What the client gets for an upstream's C{cookie}."""
        response = answered(200, (b"set-cookie", cookie), upstream=upstream)
        self.modify(written, request or asked(), response)
        ((_, value),) = items(response.headers)
        return value

    def test_whatFitsStaysByteForByte(self) -> None:
        for cookie in (b"a=1", b"a=1;Path=/ ; HttpOnly;;", b'a="x=/y"; Max-Age=3; foo=Path=/base', b"a", b"", b"a=1; path=x"):
            self.assertEqual(self.cookie(cookie), cookie)

    def test_theBasePath(self) -> None:
        self.assertEqual(self.cookie(b"a=1; Path=/base/x; Secure"), b"a=1; Path=/x; Secure")
        self.assertEqual(self.cookie(b"a=1; path=/base"), b"a=1; path=/")
        self.assertEqual(self.cookie(b"a=1; Path=/basement"), b"a=1; Path=/basement")

    def test_thePrefixThatWasStripped(self) -> None:
        request = asked(b"/api/x")
        built(IDirector, "strip-prefix:/api").direct(request, request.outbound)
        for path, rewritten in [(b"/", b"/api"), (b"/x/", b"/api/x/"), (b"/api/x", b"/api/x")]:
            for upstream in ("http://app", "http://app/"):
                self.assertEqual(self.cookie(b"a=1; Path=" + path, request=request, upstream=upstream), b"a=1; Path=" + rewritten)

    def test_aDomainOfTheUpstreamsAlone(self) -> None:
        for domain in (b"app.internal", b".APP.internal", b".internal"):
            self.assertEqual(self.cookie(b"a=1; Domain=" + domain + b"; Secure"), b"a=1; Secure")
        for domain in (b"www.example", b".example", b"other.internal", b"pp.internal"):
            cookie = b"a=1; Domain=" + domain
            self.assertEqual(self.cookie(cookie), cookie)

    def test_theDomainOfTheHostThatItGot(self) -> None:
        request = asked()
        request.outbound.host = "shop.internal:8080"
        self.assertEqual(self.cookie(b"a=1; domain=shop.internal", request=request), b"a=1")

    def test_aDomainThatHoldsBothStays(self) -> None:
        request = asked(host=b"www.internal")
        self.assertEqual(self.cookie(b"a=1; Domain=internal", request=request), b"a=1; Domain=internal")

    def test_domainsByName(self) -> None:
        written = {"use": PLAIN, "domain": {"App.internal": ".example", "old.example": ""}}
        self.assertEqual(self.cookie(b"a=1; Domain=.app.INTERNAL; x", written), b"a=1; Domain=example; x")
        self.assertEqual(self.cookie(b"a=1; Domain=old.example", written), b"a=1")
        self.assertEqual(self.cookie(b"a=1; Domain=www.example", written), b"a=1; Domain=www.example")
        self.assertEqual(self.cookie(b"a=1; Domain=www.example", "rewrite-cookies:domain=*="), b"a=1")
        self.assertEqual(self.cookie(b"a=1", "rewrite-cookies:domain=*=x.example"), b"a=1")

    def test_pathsByTheirBeginning(self) -> None:
        written = "rewrite-cookies:path=/two/=/one,/three=/"
        for path, rewritten in [
            (b"/two", b"/one"), (b"/two/x", b"/one/x"), (b"/twofold", b"/twofold"), (b"/three/", b"/"), (b"/three/x", b"/x"),
            (b"/base/x", b"/x"),
        ]:  # fmt: skip
            self.assertEqual(self.cookie(b"a=1; Path=" + path, written), b"a=1; Path=" + rewritten)
        self.assertEqual(self.cookie(b"a=1; Path=/", "rewrite-cookies:path=/=/one"), b"a=1; Path=/one")

    def test_hostCookiesKeepBoth(self) -> None:
        written = {"use": PLAIN, "path": {"/": "/x"}, "domain": {"*": "x.example"}, "same-site": "lax"}
        self.assertEqual(self.cookie(b"__Host-a=1; Path=/; Secure", written), b"__Host-a=1; Path=/; Secure; SameSite=Lax")

    def test_flags(self) -> None:
        for written, cookie, flagged in [
            ("secure=yes", b"a=1", b"a=1; Secure"),
            ("secure=yes", b"a=1; secure", b"a=1; secure"),
            ("secure=no", b"a=1;Secure; Max-Age=1; SECURE", b"a=1; Max-Age=1"),
            ("http-only=yes", b"secure=1", b"secure=1; HttpOnly"),
            ("http-only=no", b"a=1; HttpOnly", b"a=1"),
            ("same-site=strict", b"a=1; SameSite=None; x", b"a=1; x; SameSite=Strict"),
            ("same-site=none", b"a=1", b"a=1; Secure; SameSite=None"),
            ("same-site=keep", b"a=1; SameSite=None", b"a=1; SameSite=None"),
            ("secure=yes:cookies=b,c", b"a=1", b"a=1"),
            ("secure=yes:cookies=b,c", b"c=1", b"c=1; Secure"),
        ]:
            self.assertEqual(self.cookie(cookie, f"rewrite-cookies:{written}"), flagged)

    def test_everyCookie(self) -> None:
        response = answered(200, (b"Set-Cookie", b"a=1"), (b"X", b"y"), (b"Set-Cookie", b"b=2"))
        self.modify("rewrite-cookies:secure=yes", asked(), response)
        self.assertEqual(response.headers.getRawHeaders(b"set-cookie"), [b"a=1; Secure", b"b=2; Secure"])

    def test_anAnswerOfNobodysUpstream(self) -> None:
        cookie = b"a=1; Path=/base; Domain=app.internal"
        self.assertEqual(self.cookie(cookie, upstream=None), cookie)

    def test_mistakes(self) -> None:
        self.refuses("rewrite-cookies:secure=no:same-site=none", "rewrite-cookies: same-site=none needs secure cookies")
        self.refuses("rewrite-cookies:path=a=/b", "rewrite-cookies: path: 'a' does not start with a slash")
        self.refuses(
            "rewrite-cookies:same-site=lazy",
            "rewrite-cookies: same-site: 'lazy' is none of keep, strict, lax, none",
        )
