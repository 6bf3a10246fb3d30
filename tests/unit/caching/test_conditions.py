"""L{twistproxy.caching.conditions}: whether a 304 will do."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.caching.conditions import isKnown, updated, withoutBody
from twistproxy.messages import FrozenHeaders, Headers

EARLY, LATE = b"Sun, 06 Nov 1994 08:49:37 GMT", b"Mon, 07 Nov 1994 08:49:37 GMT"


def headers(*lines: tuple[bytes, bytes]) -> FrozenHeaders:
    return FrozenHeaders(Headers(lines).items)


class TestConditions(SynchronousTestCase):
    def test_tags(self) -> None:
        """Compared weakly (RFC 9110 section 13.1.2)."""
        for asked, tag, want in (
            (b'"a"', b'"a"', True),
            (b'W/"a"', b'"a"', True),
            (b'"a"', b'W/"a"', True),
            (b'"b", "a"', b'"a"', True),
            (b'"x,y"', b'"x,y"', True),
            (b"*", b'"a"', True),
            (b'"b"', b'"a"', False),
            (b'"A"', b'"a"', False),
            (b"a", b"a", False),
            (b'"a', b'"a"', False),
            (b'"ba"', b'"a"', False),
            (b'""', b'"a"', False),
        ):
            self.assertEqual(isKnown(headers((b"If-None-Match", asked)), headers((b"ETag", tag))), want, asked)
        self.assertTrue(isKnown(headers((b"If-None-Match", b"*")), headers()))
        self.assertFalse(isKnown(headers((b"If-None-Match", b'"a"')), headers()))
        self.assertFalse(isKnown(headers(), headers((b"ETag", b'"a"'))))

    def test_dates(self) -> None:
        for asked, modified, want in (
            (EARLY, EARLY, True),
            (LATE, EARLY, True),
            (EARLY, LATE, False),
            (b"soon", EARLY, False),
            (EARLY, b"soon", False),
        ):
            found = isKnown(headers((b"If-Modified-Since", asked)), headers((b"Last-Modified", modified)))
            self.assertEqual(found, want, (asked, modified))
        self.assertFalse(isKnown(headers((b"If-Modified-Since", EARLY)), headers()))

    def test_aTagGoesBeforeADate(self) -> None:
        asked = headers((b"If-None-Match", b'"b"'), (b"If-Modified-Since", LATE))
        self.assertFalse(isKnown(asked, headers((b"ETag", b'"a"'), (b"Last-Modified", EARLY))))

    def test_whatIsNew(self) -> None:
        old = Headers([(b"A", b"1"), (b"B", b"1"), (b"B", b"2"), (b"Content-Type", b"a/b")]).items
        new = Headers([(b"b", b"3"), (b"C", b"4"), (b"content-type", b"x"), (b"Content-Length", b"0")]).items
        found = [(item[1], item[2]) for item in updated(old, new)]
        self.assertEqual(found, [(b"A", b"1"), (b"Content-Type", b"a/b"), (b"b", b"3"), (b"C", b"4")])

    def test_whatIsLeft(self) -> None:
        lines = Headers([(b"Content-Type", b"a/b"), (b"ETag", b'"a"'), (b"Content-Location", b"/x"), (b"Vary", b"a")]).items
        self.assertEqual([item[0] for item in withoutBody(lines)], [b"etag", b"content-location", b"vary"])
