"""query: edge-case 23, and edits of single parameters."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import DirectorTestCase
from twistproxy.directors.query import MAX_PARAMETERS, cleanQuery


class CleaningTests(SynchronousTestCase):
    def test_edgeCase23(self) -> None:
        for query, clean in [
            (b"a=1&a=2;b=3", b"a=1"),
            (b"a=1&a=%zz&b=3", b"a=1&b=3"),
            (b"a=%zz", None),
            (b"a=%", None),
            (b"a=%4", None),
            (b"a;b", None),
            (b"%zz=1&b", b"b"),
        ]:
            self.assertEqual(cleanQuery(query), clean)

    def test_whatIsCleanStaysAsItIs(self) -> None:
        for query in (b"", b"b=2&a=1&&=x&c", b"a=%41+%2f%2F", b"z&y&z"):
            self.assertEqual(cleanQuery(query), query)
        self.assertEqual(cleanQuery(b"b=%41&a;x&&a=1"), b"b=%41&&a=1")

    def test_tooManyParameters(self) -> None:
        most = b"&".join([b"a"] * MAX_PARAMETERS)
        self.assertEqual(cleanQuery(most), most)
        self.assertIs(cleanQuery(most + b"&a"), None)


class QueryTests(DirectorTestCase):
    def query(self, written: Any, query: bytes | None) -> bytes | None:
        target = b"/p" if query is None else b"/p?" + query
        path, mark, rest = self.target(written, target).partition(b"?")
        self.assertEqual(path, b"/p")
        return rest if mark else None

    def test_rawByDefault(self) -> None:
        for query in (None, b"", b"a;b=%zz&&c"):
            self.assertEqual(self.query("query", query), query)
            self.assertEqual(self.query("query:raw", query), query)

    def test_clean(self) -> None:
        for written in ("query:clean", "query:policy=clean"):
            self.assertEqual(self.query(written, b"a=1&a=2;b=3"), b"a=1")
            self.assertEqual(self.query(written, b"a=%zz"), None)
            self.assertEqual(self.query(written, None), None)
            self.assertEqual(self.query(written, b""), b"")

    def test_removeLeavesTheOthersByteForByte(self) -> None:
        written = "query:remove=utm_source,b"
        self.assertEqual(self.query(written, b"z=%2f+1&utm_source=x&a&b=1&&b"), b"z=%2f+1&a&")
        self.assertEqual(self.query(written, b"b"), None)
        self.assertEqual(self.query(written, None), None)
        self.assertEqual(self.query(written, b"bb=1&B=2"), b"bb=1&B=2")

    def test_noSpellingOfANameGetsPast(self) -> None:
        self.assertEqual(self.query({"use": "query", "remove": ["a b", "ab"]}, b"%61b=1&a+b=2&a%20b&a=3"), b"a=3")

    def test_setReplacesInPlace(self) -> None:
        self.assertEqual(self.query("query:set=lang=en", b"a=1&lang=de&b=2&l%61ng=fr"), b"a=1&lang=en&b=2")
        self.assertEqual(self.query("query:set=lang=en", b"a=1"), b"a=1&lang=en")
        self.assertEqual(self.query("query:set=lang=en", None), b"lang=en")
        self.assertEqual(self.query("query:set=lang=en", b""), b"lang=en")
        self.assertEqual(self.query("query:set=a=1,a=2,b=3", b"b&a&c"), b"b=3&a=1&a=2&c")

    def test_setIsEncoded(self) -> None:
        table = {"use": "query", "set": {"a b": "x&y=z;50% +é"}}
        self.assertEqual(self.query(table, None), b"a%20b=x%26y%3Dz%3B50%25%20%2B%C3%A9")

    def test_cleaningComesFirst(self) -> None:
        self.assertEqual(self.query("query:clean:set=a=1:remove=b", b"a=2;x&b&c=%"), b"a=1")

    def test_mistakes(self) -> None:
        self.refuses("query:cleen", "query: policy: 'cleen' is none of raw, clean; did you mean 'clean'?")
