"""Tests of L{twistproxy.text.location}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.text.location import parseLocation


class LocationTests(SynchronousTestCase):
    def test_urlIsTakenApart(self) -> None:
        found = parseLocation("https://Example.org:8443/base/?a=b?c")
        self.assertEqual((found.scheme, found.host, found.port, found.socketPath), ("https", "example.org", 8443, ""))
        self.assertEqual((found.basePath, found.baseQuery), (b"/base/", b"a=b?c"))
        self.assertEqual((found.authority, found.isSecure), (b"example.org:8443", True))
        self.assertEqual(found.key, "https://example.org:8443/base/?a=b?c")

    def test_defaultPortIsLeftOut(self) -> None:
        for url, port, authority in (
            ("http://a", 80, b"a"),
            ("http://a:80", 80, b"a"),
            ("https://a:443", 443, b"a"),
            ("https://a:80", 80, b"a:80"),
        ):
            found = parseLocation(url)
            self.assertEqual((found.port, found.authority), (port, authority))

    def test_pathAndQueryStayRaw(self) -> None:
        found = parseLocation("http://a/%2F//..?%zz")
        self.assertEqual((found.basePath, found.baseQuery), (b"/%2F//..", b"%zz"))
        found = parseLocation("http://a?")
        self.assertEqual((found.basePath, found.baseQuery), (b"", b""))

    def test_ipv6StandsInBrackets(self) -> None:
        found = parseLocation("http://[2001:DB8:0::1]:8080/a")
        self.assertEqual((found.host, found.authority), ("2001:db8::1", b"[2001:db8::1]:8080"))
        self.assertEqual(found.key, "http://[2001:db8::1]:8080/a")

    def test_zoneIsForConnectingOnly(self) -> None:
        for url in ("http://[fe80::1%25eth0]", "http://[fe80::1%eth0]"):
            found = parseLocation(url)
            self.assertEqual((found.host, found.authority), ("fe80::1%eth0", b"[fe80::1]"))
            self.assertEqual(found.key, "http://[fe80::1%25eth0]")

    def test_socketsHaveAPathAndMayHaveABase(self) -> None:
        for url, path, base, query, key in (
            ("unix:/run/a.sock", "/run/a.sock", b"", None, "unix:/run/a.sock"),
            ("unix:///run/a.sock", "/run/a.sock", b"", None, "unix:/run/a.sock"),
            ("unix:/run/a.sock:/", "/run/a.sock", b"/", None, "unix:/run/a.sock"),
            ("unix:/run/a.sock:/b?c", "/run/a.sock", b"/b", b"c", "unix:/run/a.sock:/b?c"),
            ("unix:/run/a.sock?c", "/run/a.sock", b"", b"c", "unix:/run/a.sock:?c"),
            ("unix:a.sock", "a.sock", b"", None, "unix:a.sock"),
            ("unix:/a%3Ab", "/a:b", b"", None, "unix:/a%3Ab"),
        ):
            found = parseLocation(url)
            self.assertEqual((found.socketPath, found.basePath, found.baseQuery, found.key), (path, base, query, key))
            self.assertEqual((found.scheme, found.host, found.port, found.authority), ("http", "", 0, b"localhost"))
            self.assertFalse(found.isSecure)

    def test_equalUpstreamsHaveEqualKeys(self) -> None:
        for one, other in (
            ("http://a", "HTTP://A:80/"),
            ("https://[::1]", "https://[0:0::1]:443/"),
            ("unix:/a b", "unix:/a%20b"),
        ):
            self.assertEqual(parseLocation(one).key, parseLocation(other).key)

    def test_differentUpstreamsHaveDifferentKeys(self) -> None:
        for one, other in (
            ("http://a", "https://a"),
            ("http://a", "http://a:81"),
            ("http://a/b", "http://a/b/"),
            ("http://a", "http://a?"),
            ("http://a/b", "http://a/B"),
            ("unix:/a:/b", "unix:/a%3A/b"),
            ("unix:/a?b", "unix:/a%3Fb"),
            ("unix:/a%2520", "unix:/a%20"),
            ("http://[fe80::1%25a]", "http://[fe80::1%25b]"),
        ):
            self.assertNotEqual(parseLocation(one).key, parseLocation(other).key)

    def test_keyNamesTheSameUpstream(self) -> None:
        for url in (
            "http://a",
            "https://A:80/b?c",
            "http://[::1]:5",
            "http://[fe80::1%25eth0]/x",
            "unix:/a%3Ab:/c?d",
            "unix:/a?b",
            "unix:/\xe9",
            "unix:/%ff",
            "http://a_b.c-d.~:1/?",
        ):
            found = parseLocation(url)
            again = parseLocation(found.key)
            self.assertEqual((again.key, again.authority, again.socketPath), (found.key, found.authority, found.socketPath))

    def test_mistakesAreRefused(self) -> None:
        for url in (
            "",
            "a",
            "a:80",
            "//a",
            "http:a",
            "http:/a",
            "ftp://a",
            "http://",
            "http:///a",
            "http://:80",
            "http://a:",
            "http://a:0",
            "http://a:65536",
            "http://a:x",
            "http://a:1:2",
            "http://a b",
            "http://a/b c",
            "http://a/\xe9",
            "http://a#b",
            "http://a/#b",
            "http://a/\n",
            "http://a\n",
            "http://[1.2.3.4]",
            "http://[zz]",
            "http://[1:2]",
            "http://[::1",
            "http://::1",
            "http://[::1%]",
            "unix:",
            "unix::/a",
            "unix:?a",
            "unix:/a%00b",
            "unix:/a:b",
            "unix:/a:/b c",
            " http://a",
        ):
            error = self.assertRaises(ValueError, parseLocation, url)
            self.assertIn(" ", str(error))

    def test_passwordsAreNotShown(self) -> None:
        for url in ("http://user:secret@a", "ftp://user:secret@a"):
            self.assertNotIn("secret", str(self.assertRaises(ValueError, parseLocation, url)))
