"""redirect and static."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

from tests.unit.builtin import CLIENT, DirectorTestCase, asked, items
from tests.unit.loader.temporary import temporaryDirectory
from twistproxy.messages import InboundRequest


class RedirectTests(DirectorTestCase):
    def location(self, written: Any, request: InboundRequest, code: int = 302) -> bytes | None:
        """Where to; None when it is passed on."""
        response = self.direct(written, request)
        if response is None:
            return None
        self.assertEqual((response.code, response.body.contents), (code, b""))
        ((name, value),) = items(response.headers)
        self.assertEqual(name, b"Location")
        return value

    def test_https(self) -> None:
        request = asked(b"/a%2F?b", host=b"www.example:8080")
        self.assertEqual(self.location("redirect:https=yes", request), b"https://www.example/a%2F?b")
        self.assertEqual(self.location("redirect:https=yes", asked(host=b"[::1]:80")), b"https://[::1]/")
        written = r"redirect:https=yes:to=https\://$host\:8443$path:code=308"
        self.assertEqual(self.location(written, asked(b"/a?b"), 308), b"https://www.example:8443/a")

    def test_httpsOnlyForPlainRequests(self) -> None:
        self.assertIs(self.location("redirect:https=yes", asked(scheme="https")), None)

    def test_whatATrustedProxySaysCounts(self) -> None:
        said = (b"X-Forwarded-Proto", b"https")
        trusted = (ip_network(f"{CLIENT}/32"),)
        self.assertIs(self.location("redirect:https=yes", asked(b"/", said, trusted=trusted)), None)
        self.assertEqual(self.location("redirect:https=yes", asked(b"/", said)), b"https://www.example/")
        host = (b"X-Forwarded-Host", b"public.example")
        self.assertEqual(self.location("redirect:https=yes", asked(b"/", host, trusted=trusted)), b"https://public.example/")

    def test_elsewhere(self) -> None:
        written = r"redirect:https\://other.example$target:code=301"
        self.assertEqual(self.location(written, asked(b"/a?b=1"), 301), b"https://other.example/a?b=1")
        self.assertEqual(self.location("redirect:to=/new?from=$path&$query", asked(b"/a?b=1")), b"/new?from=/a&b=1")
        self.assertEqual(self.location("redirect:$scheme\\://${host}x", asked()), b"http://www.examplex")

    def test_byPattern(self) -> None:
        written = "redirect:/new/$1:pattern=^/old/(.*)"
        self.assertEqual(self.location(written, asked(b"/old/a/b?c")), b"/new/a/b")
        self.assertIs(self.location(written, asked(b"/older/a")), None)

    def test_afterOtherDirectors(self) -> None:
        request = asked(b"/old/a?b")
        self.direct("rewrite:^/old:/new", request)
        self.assertEqual(self.location("redirect:$target", request), b"/new/a?b")

    def test_thePathBecomesNoHost(self) -> None:
        written = "redirect:$1:pattern=^/old(.*)"
        for target in (b"/old//evil.example/", b"/old/\\evil.example/", b"/old\\\\evil.example/"):
            self.assertEqual(self.location(written, asked(target)), b"/evil.example/")

    def test_notOptionsOfTheServer(self) -> None:
        self.assertIs(self.location("redirect:/x", asked(b"*", method=b"OPTIONS")), None)

    def test_mistakes(self) -> None:
        self.refuses("redirect", "redirect: needs to=... or https=yes")
        self.refuses("redirect:/x:code=200", "redirect: code: '200' is none of 301, 302, 303, 307, 308")
        self.refuses("redirect:/$1", "redirect: '/$1': there is no $1 (there is $scheme, $host, $path, $query, $target)")
        self.refuses("redirect:/$pth", "redirect: '/$pth': there is no $pth; did you mean 'path'?")


class StaticTests(DirectorTestCase):
    def test_text(self) -> None:
        response = self.direct("static:Be right back.:status=503", asked())
        self.assertEqual((response.code, response.body.contents), (503, b"Be right back."))
        self.assertEqual(items(response.headers), [(b"Content-Type", b"text/plain; charset=utf-8")])

    def test_allOfIt(self) -> None:
        response = self.direct(
            {
                "use": "static", "body": "<p>é", "status": 410, "content-type": "text/html",
                "headers": {"Cache-Control": "no-store", "X-A": ["1", "2"]},
            },
            asked(),
        )  # fmt: skip
        self.assertEqual((response.code, response.body.contents), (410, "<p>é".encode()))
        self.assertEqual(
            items(response.headers),
            [(b"Content-Type", b"text/html"), (b"Cache-Control", b"no-store"), (b"X-A", b"1"), (b"X-A", b"2")],
        )

    def test_nothingAtAll(self) -> None:
        response = self.direct("static:status=204", asked())
        self.assertEqual((response.code, response.body.contents, items(response.headers)), (204, b"", []))

    def test_eachRequestGetsItsOwn(self) -> None:
        director = self.build("static:ok")
        first = director.direct(asked(), asked().outbound)
        first.headers.setRawHeaders("X-A", [b"1"])
        first.body = b"other"
        second = director.direct(asked(), asked().outbound)
        self.assertEqual((second.headers.hasHeader("X-A"), second.body.contents), (False, b"ok"))

    def test_aFile(self) -> None:
        directory = temporaryDirectory(self)
        (directory / "robots.txt").write_bytes(b"Disallow: /\n")
        (directory / "logo.png").write_bytes(b"\x89PNG")
        (directory / "thing").write_bytes(b"?")
        for name, kind in [
            ("robots.txt", b"text/plain; charset=utf-8"),
            ("logo.png", b"image/png"),
            ("thing", b"application/octet-stream"),
        ]:
            response = self.direct(f"static:file={name}", asked(), directory=str(directory))
            self.assertEqual(response.body.contents, (directory / name).read_bytes())
            self.assertEqual(response.headers.get(b"content-type"), kind)

    def test_onePath(self) -> None:
        written = "static:ok:path=/healthz"
        self.assertEqual(self.direct(written, asked(b"/healthz?x")).body.contents, b"ok")
        for target in (b"/", b"/healthz/", b"/healthzz"):
            self.assertIs(self.direct(written, asked(target)), None)

    def test_mistakes(self) -> None:
        self.refuses("static:status=101", "static: status: 101 is none of 200 to 599")
        self.refuses("static:ok:path=healthz", "static: path: 'healthz' does not start with a slash")
        self.refuses("static:ok:headers=X Y=1", "static: headers: 'X Y' is not the name of a header")
        self.refuses("static:ok:file=/nowhere/at all", "static: takes body or file, not both")
        self.refuses("static:file=/nowhere/at all", "static: /nowhere/at all is not there")
        self.refuses("static:file=/dev/null", "static: /dev/null is no regular file")
        big = temporaryDirectory(self) / "big"
        big.write_bytes(b"x" * (1 << 20) + b"x")
        self.refuses(f"static:file={big}", f"static: {big} is longer than 1MiB")
