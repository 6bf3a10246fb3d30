"""rewrite-location."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from tests.unit.builtin import CLIENT, ModifierTestCase, answered, asked, built, items
from twistproxy.interfaces import IDirector
from twistproxy.messages import InboundRequest

PLAIN = "rewrite-location"


class RewriteLocationTests(ModifierTestCase):
    def location(
        self,
        location: bytes,
        written: Any = PLAIN,
        request: InboundRequest | None = None,
        upstream: str | None = "http://10.0.0.1:9000",
        name: bytes = b"Location",
    ) -> bytes:
        """What the client gets for an upstream's C{location}."""
        response = answered(302, (name, location), upstream=upstream)
        self.modify(written, request or asked(), response)
        ((kept, value),) = items(response.headers)
        self.assertEqual(kept, name)
        return value

    def stripped(self, *headers: tuple[bytes, bytes], **options: Any) -> InboundRequest:
        """A request that strip-prefix:/api has seen."""
        request = asked(b"/api/x", *headers, **options)
        built(IDirector, "strip-prefix:/api").direct(request, request.outbound)
        return request

    def test_theUpstreamByItsURL(self) -> None:
        for location, rewritten in [
            (b"http://10.0.0.1:9000/login?to=http://10.0.0.1:9000/#top", b"http://www.example/login?to=http://10.0.0.1:9000/#top"),
            (b"HTTP://10.0.0.1:9000", b"http://www.example/"),
            (b"//10.0.0.1:9000/a", b"http://www.example/a"),
            (b"http://10.0.0.1:9000?x", b"http://www.example/?x"),
        ]:
            self.assertEqual(self.location(location), rewritten)

    def test_othersStay(self) -> None:
        for location in (
            b"http://10.0.0.1/login", b"https://10.0.0.1:9000/", b"http://10.0.0.1:90000/", b"http://other.example/",
            b"http://10.0.0.1:9000@evil.example/", b"http://x@10.0.0.1:9000/", b"mailto:a@b", b"login", b"", b"?x", b"../x",
            b"http:/10.0.0.1:9000/",
        ):  # fmt: skip
            self.assertEqual(self.location(location), location)

    def test_defaultPorts(self) -> None:
        for upstream, location in [
            ("http://app", b"http://APP:80/x"), ("http://app:80", b"http://app/x"), ("https://app:443", b"https://app/x"),
            ("https://app", b"https://app:443/x"), ("http://[::1]:80", b"http://[::1]/x"),
        ]:  # fmt: skip
            self.assertEqual(self.location(location, upstream=upstream), b"http://www.example/x")

    def test_theHostThatItGot(self) -> None:
        """An application that does not look at X-Forwarded-Proto redirects its https clients to http."""
        request = asked(scheme="https", host=b"www.example:8443")
        self.assertEqual(self.location(b"http://www.example:8443/x", request=request), b"https://www.example:8443/x")
        self.assertEqual(self.location(b"https://www.example:8443/x", request=request), b"https://www.example:8443/x")

    def test_theHostThatADirectorSet(self) -> None:
        for upstream, scheme in (("http://10.0.0.1:9000", b"http"), ("https://10.0.0.1:9000", b"https")):
            request = asked()
            request.outbound.host = "app.internal"
            location = scheme + b"://app.internal/x"
            self.assertEqual(self.location(location, request=request, upstream=upstream), b"http://www.example/x")

    def test_aSecureUpstreamDoesNotGetTheClientsHost(self) -> None:
        location = b"https://www.example/x"
        self.assertEqual(self.location(location, upstream="https://app"), location)

    def test_theBasePath(self) -> None:
        upstream = "http://10.0.0.1:9000/base/"
        for location, rewritten in [
            (b"http://10.0.0.1:9000/base/x", b"http://www.example/x"),
            (b"http://10.0.0.1:9000/base", b"http://www.example/"),
            (b"http://10.0.0.1:9000/other", b"http://10.0.0.1:9000/other"),
            (b"/base/x?y", b"/x?y"),
            (b"/basement", b"/basement"),
            (b"/x", b"/x"),
        ]:
            self.assertEqual(self.location(location, upstream=upstream), rewritten)

    def test_thePrefixThatWasStripped(self) -> None:
        for location, rewritten in [
            (b"http://10.0.0.1:9000/x", b"http://www.example/api/x"),
            (b"/x?y#z", b"/api/x?y#z"),
            (b"/", b"/api/"),
            (b"/api/x", b"/api/x"),
            (b"/apix", b"/api/apix"),
            (b"x", b"x"),
            (b"http://www.example/api/x", b"http://www.example/api/x"),
        ]:
            self.assertEqual(self.location(location, request=self.stripped()), rewritten)

    def test_behindATrustedProxy(self) -> None:
        request = self.stripped(
            (b"X-Forwarded-Prefix", b"/outer"), (b"X-Forwarded-Proto", b"https"), (b"X-Forwarded-Host", b"pub.example"),
            trusted=(ip_network(f"{CLIENT}/32"),),
        )  # fmt: skip
        self.assertEqual(self.location(b"http://10.0.0.1:9000/x", request=request), b"https://pub.example/outer/api/x")

    def test_aClientWithoutHost(self) -> None:
        self.assertEqual(self.location(b"http://10.0.0.1:9000/x", request=asked(host=b"")), b"/x")

    def test_contentLocationAndRefresh(self) -> None:
        self.assertEqual(self.location(b"http://10.0.0.1:9000/x", name=b"content-location"), b"http://www.example/x")
        for refresh, rewritten in [
            (b"5; url=http://10.0.0.1:9000/x", b"5; url=http://www.example/x"),
            (b"0;URL='http://10.0.0.1:9000/x'", b"0;URL='http://www.example/x'"),
            (b"5", b"5"),
            (b"5; url=/x", b"5; url=/x"),
        ]:
            self.assertEqual(self.location(refresh, name=b"Refresh"), rewritten)

    def test_furtherNames(self) -> None:
        written = {"use": PLAIN, "from": ["http://app.internal:8080/app/", "http://old.example"], "to": "https://new.example/x/"}
        for location, rewritten in [
            (b"http://app.internal:8080/app/y?z", b"https://new.example/x/y?z"),
            (b"http://app.internal:8080/app", b"https://new.example/x/"),
            (b"http://app.internal:8080/apple", b"http://app.internal:8080/apple"),
            (b"http://OLD.example:80/y", b"https://new.example/x/y"),
            (b"http://10.0.0.1:9000/y", b"http://www.example/y"),
        ]:
            self.assertEqual(self.location(location, written), rewritten)

    def test_furtherNamesLeadToTheClientsOriginByDefault(self) -> None:
        written = r"rewrite-location:from=http\://app.internal\:8080/app"
        self.assertEqual(self.location(b"http://app.internal:8080/app/y", written), b"http://www.example/y")
        self.assertEqual(
            self.location(b"http://app.internal:8080/app/y", written, self.stripped()), b"http://www.example/api/y"
        )

    def test_pathToPath(self) -> None:
        written = "rewrite-location:from=/two:to=/"
        self.assertEqual(self.location(b"/two/x", written), b"/x")
        self.assertEqual(self.location(b"/twofold", written), b"/twofold")
        self.assertEqual(self.location(b"/x", "rewrite-location:from=/:to=/two"), b"/two/x")

    def test_anAnswerOfNobodysUpstream(self) -> None:
        self.assertEqual(self.location(b"/x", upstream=None), b"/x")
        self.assertEqual(self.location(b"/two/x", "rewrite-location:from=/two:to=/one", upstream=None), b"/one/x")

    def test_aUnixSocket(self) -> None:
        upstream = "unix:/run/app.sock:/base"
        self.assertEqual(self.location(b"/base/x", upstream=upstream), b"/x")
        self.assertEqual(self.location(b"http://localhost/base/x", upstream=upstream), b"http://www.example/x")

    def test_otherHeadersStay(self) -> None:
        response = answered(200, (b"Link", b"</x>"))
        self.assertEqual(items(self.modify(PLAIN, self.stripped(), response).headers), [(b"Link", b"</x>")])

    def test_mistakes(self) -> None:
        self.refuses("rewrite-location:to=/x", "rewrite-location: to: needs from as well")
        for written in ("app", "ftp://x/", "//x", "http:///x"):
            self.refuses(
                {"use": PLAIN, "from": written},
                f"rewrite-location: from: {written!r} is no URL, and no path that starts with a slash",
            )
