"""Entries of lists, files and registries."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.discovery.entries import EntryReader, checkFormat, shown
from twistproxy.messages import Upstream


class TextTests(SynchronousTestCase):
    def test_anAddressTakesItsPlaceInTheFormat(self) -> None:
        read = EntryReader("http://%s/base").read
        self.assertEqual(read("10.0.0.1:80").key, "http://10.0.0.1/base")
        self.assertEqual(read("10.0.0.1:8080").url, "http://10.0.0.1:8080/base")
        self.assertEqual(read("[::1]:8080").url, "http://[::1]:8080/base")
        self.assertEqual(read(" web-1.example:8080 ").url, "http://web-1.example:8080/base")

    def test_theFormatMayHaveThePort(self) -> None:
        self.assertEqual(EntryReader("https://%s:8443/").read("web-1.example").url, "https://web-1.example:8443/")

    def test_aURLIsTakenAsItIs(self) -> None:
        self.assertEqual(EntryReader("http://%s/base").read("https://a.example/x").url, "https://a.example/x")

    def test_options(self) -> None:
        upstream = EntryReader().read("10.0.0.1:80,weight=3,max-conns=7,backup")
        self.assertEqual((upstream.weight, upstream.maxConnections, upstream.backup), (3, 7, True))

    def test_weights(self) -> None:
        reader = EntryReader("http://%s/base", {"10.0.0.1": 80, "10.0.0.2:81": 20, "http://c": 5}, 50)
        self.assertEqual([reader.read(each).weight for each in ("10.0.0.1:80", "10.0.0.1:81", "10.0.0.2:81", "10.0.0.2:80",
                                                                "http://c", "d:1,weight=9")], [80, 80, 20, 50, 5, 9])  # fmt: skip

    def test_whatIsNone(self) -> None:
        for entry in (
            "", ":80", "10.0.0.1:99999", "a b:80", "x@evil:80", "a:80/../secret", "ftp://a", "http://u:p@a",
            "10.0.0.1:80,wieght=3", "10.0.0.1:80,weight=-1",
            "10.0.0.1:80,weight=0", "10.0.0.1:80,weight=1001", "10.0.0.1:80,weight=x", "\r\n:80",
            "a:80\r\nX: y", "[::1:80", "unix:/run/docker.sock", "%s", "a%00:80", "\u0661.0.0.1:80", 17, None, ["a"], b"a:80",
        ):  # fmt: skip
            error = self.assertRaises(ValueError, EntryReader().read, entry)
            self.assertTrue(str(error).isprintable(), repr(error))
            self.assertLess(len(str(error)), 400)

    def test_socketsAreForFilesOfTheOperator(self) -> None:
        self.assertEqual(EntryReader(hasSockets=True).read("unix:/run/app.sock").key, "unix:/run/app.sock")


class TableTests(SynchronousTestCase):
    def urlOf(self, **table: Any) -> str:
        return EntryReader("http://%s/base").read(table).url

    def test_spellings(self) -> None:
        self.assertEqual(self.urlOf(url="https://a"), "https://a")
        self.assertEqual(self.urlOf(address="10.0.0.1:80"), "http://10.0.0.1:80/base")
        self.assertEqual(self.urlOf(address="10.0.0.1", port=8080, name="web", sslPort=None), "http://10.0.0.1:8080/base")
        self.assertEqual(self.urlOf(host="10.0.0.1", port="8080"), "http://10.0.0.1:8080/base")
        self.assertEqual(self.urlOf(host="::1", port=8080), "http://[::1]:8080/base")
        self.assertEqual(
            self.urlOf(serviceEndpoint={"host": "h", "port": 80}, additionalEndpoints={}, status="ALIVE", shard=1),
            "http://h:80/base",
        )

    def test_options(self) -> None:
        table = {"host": "h", "port": 1, "weight": 3.0, "max-conns": 5, "backup": True, "priority": 2, "metadata": {"zone": "b"}}
        upstream = EntryReader().read(table)
        self.assertEqual((upstream.weight, upstream.maxConnections, upstream.backup), (3, 5, True))
        self.assertEqual(upstream.metadata, {"zone": "b", "priority": 2})

    def test_whatIsNone(self) -> None:
        for table in (
            {}, {"host": "h", "port": 0}, {"host": "h", "port": 65536}, {"host": 3, "port": 1}, {"host": "h/x", "port": 1},
            {"host": "h", "port": True}, {"host": "h", "port": 1.5}, {"url": 3}, {"host": "h", "port": 1, "weight": "many"},
            {"host": "h", "port": 1, "backup": "yes"}, {"host": "h", "port": 1, "metadata": []},
            {"serviceEndpoint": "h:1"}, {"serviceEndpoint": {"host": "h", "port": 1}, "status": "STARTING"},
            {"host": "h", "port": 1, "status": 1}, {"url": "unix:/run/docker.sock"},
        ):  # fmt: skip
            self.assertRaises(ValueError, EntryReader().read, table)

    def test_aPersonsTableHasNoUnknownKeys(self) -> None:
        error = self.assertRaises(ValueError, EntryReader(isStrict=True).read, {"url": "http://a", "wieght": 3})
        self.assertIn("unknown key 'wieght'; did you mean 'weight'?", str(error))


class AllTests(SynchronousTestCase):
    def test_theGoodOnesAndAWordOnEachOther(self) -> None:
        found, problems = EntryReader().readAll(["a:1", "b c", {"host": "d", "port": 4}, 5])
        self.assertEqual([each.url for each in found], ["http://a:1", "http://d:4"])
        self.assertEqual(len(problems), 2)

    @settings(max_examples=60, deadline=None)
    @given(
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["url", "host", "port", "address", "weight", "backup", "metadata", "serviceEndpoint", "status", "priority"]
                ),
                inner,
                max_size=4,
            ),
            max_leaves=8,
        )
    )
    def test_nothingRaisesAnythingElse(self, entry: Any) -> None:
        found, problems = EntryReader().readAll([entry])
        self.assertEqual(len(found) + len(problems), 1)
        for each in found:
            self.assertEqual(Upstream(each.url).key, each.key)
            self.assertIn(each.location.scheme, ("http", "https"))
            self.assertEqual(each.location.socketPath, "")


class FormatTests(SynchronousTestCase):
    def test_good(self) -> None:
        for text in ("http://%s", "https://%s:8443/base?a=%20b", "http://web-%s/"):
            checkFormat(text)

    def test_bad(self) -> None:
        for text in ("http://a", "%s", "http://%s/%s", "ftp://%s", "http://a/%s", "http://%s/ä"):
            self.assertRaises(ValueError, EntryReader, text)

    def test_optionsBehindItHoldForAllAddresses(self) -> None:
        read = EntryReader("https://%s/base,weight=7,max-conns=9,server-name=web.example,insecure=yes").read
        upstream = read("10.0.0.1:443,weight=3")
        self.assertEqual((upstream.url, upstream.weight, upstream.maxConnections), ("https://10.0.0.1:443/base", 3, 9))
        self.assertEqual((upstream.tls.serverName, upstream.tls.isInsecure), ("web.example", True))
        other = read("https://other.example")
        self.assertEqual((other.weight, other.tls.serverName, other.tls.isInsecure), (1, "", False))

    def test_tlsThatCannotBeIsToldAtTheStart(self) -> None:
        for text, problem in (
            ("https://%s,ca=/nowhere/ca.pem", "/nowhere/ca.pem"), ("http://%s,ca=ca.pem", "ca is for https"),
            ("https://%s,key=key.pem", "a key needs its certificate"), ("https://%s,insecure=perhaps", "neither yes nor no"),
            ("https://%s,weight=many", "weight is a whole number"), ("https://%s,servername=a", "did you mean 'server-name'?"),
        ):  # fmt: skip
            self.assertIn(problem, str(self.assertRaises(ValueError, EntryReader, text)))

    def test_aNameForTheCertificateIsForSourcesThatKnowIt(self) -> None:
        entry = {"host": "10.0.0.1", "port": 443, "server-name": "web.example"}
        self.assertEqual(EntryReader("https://%s", hasNames=True).read(entry).tls.serverName, "web.example")
        self.assertEqual(EntryReader("https://%s").read(entry).tls.serverName, "")
        self.assertEqual(EntryReader("http://%s", hasNames=True).read(entry).key, "http://10.0.0.1:443")

    def test_weightsHaveBounds(self) -> None:
        self.assertRaises(ValueError, EntryReader, weights={"a": 0})
        self.assertRaises(ValueError, EntryReader, weight=1001)

    def test_shown(self) -> None:
        self.assertEqual(shown("a\nb"), "'a\\nb'")
        self.assertEqual(len(shown("x" * 500)), 80)
