"""L{twistproxy.caching.rules}: RFC 9111 and RFC 5861, row by row."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.caching.rules import ANSWERED, ASKED, Fields, Terms, fieldsOf, instant, mayGive, selectors, termsOf
from twistproxy.messages import FrozenHeaders, Headers

Lines = Sequence[tuple[bytes, bytes]]
MAX_AGE = 600.0
DATE = (b"Date", b"Sun, 06 Nov 1994 08:49:37 GMT")


def headers(lines: Lines) -> FrozenHeaders:
    return FrozenHeaders(Headers(lines).items)


def fields(lines: Lines) -> Fields:
    return fieldsOf(Headers(lines).items, ASKED | ANSWERED)


def control(value: bytes, *more: tuple[bytes, bytes]) -> Lines:
    return [(b"Cache-Control", value), *more]


def terms(
    answer: Lines = (), asked: Lines = (), code: int = 200, hasCredentials: bool = False, delay: float = 0.0
) -> Terms | str:
    return termsOf(code, fields(asked), fields(answer), hasCredentials, delay, MAX_AGE)


class TestWhatIsKept(SynchronousTestCase):
    def test_not(self) -> None:
        rows: list[tuple[str, Lines, Lines, str]] = [
            ("section 5.2.2.5", control(b"no-store"), (), "no-store"),
            ("in any case", control(b"max-age=5, NO-STORE"), (), "no-store"),
            ("section 5.2.2.7", control(b"private"), (), "private"),
            ("some of it is private", control(b'private="x-name"'), (), "private"),
            ("section 5.2.2.4", control(b"no-cache"), (), "no-cache"),
            ("some of it has to be asked for", control(b'no-cache="x-name", max-age=60'), (), "no-cache"),
            ("section 5.2.1.5", (), control(b"no-store"), "no-store"),
            ("what cannot be read", control(b'private="'), (), "no-store"),
            ("a cookie is one user's", control(b"public, max-age=60", (b"Set-Cookie", b"a=b")), (), "set-cookie"),
            ("section 4.1", [(b"Vary", b"accept, *")], (), "vary"),
            ("a part", [(b"Content-Range", b"bytes 0-1/2")], (), "status"),
            ("without an end", [(b"Content-Type", b"text/event-stream; charset=utf-8")], (), "stream"),
            ("as old as it may get", [(b"Age", b"600")], (), "age"),
            ("nonsense is old", [(b"Age", b"new")], (), "age"),
            ("section 5.2.2.2, and nothing is said to be fresh", control(b"must-revalidate"), (), "age"),
            ("section 5.2.2.8", control(b"proxy-revalidate, max-age=0"), (), "age"),
            ("section 5.2.2.10", control(b"s-maxage=0"), (), "age"),
            ("RFC 5861 section 4", control(b"stale-if-error=0"), (), "age"),
            ("the most restrictive counts", control(b"must-revalidate, max-age=0, stale-if-error=60"), (), "age"),
            ("had its time on the way", control(b"max-age=10, must-revalidate", (b"Age", b"10")), (), "age"),
        ]
        for why, answer, asked, want in rows:
            self.assertEqual(terms(answer, asked), want, why)

    def test_statuses(self) -> None:
        kept = [code for code in range(200, 600) if isinstance(terms(control(b"max-age=60, public"), code=code), Terms)]
        self.assertEqual(kept, [200, 203, 301, 308])

    def test_credentials(self) -> None:
        """Section 3.5, but for must-revalidate: what is fresh would go to others."""
        for value in (b"public", b"s-maxage=60", b"max-age=5, public"):
            found = terms(control(value), hasCredentials=True)
            self.assertTrue(isinstance(found, Terms) and found.isShared, value)
        for value in (b"max-age=60", b"must-revalidate, max-age=60", b"x"):
            self.assertEqual(terms(control(value), hasCredentials=True), "credentials")
            found = terms(control(value))
            self.assertTrue(isinstance(found, Terms) and not found.isShared, value)

    def test_times(self) -> None:
        """Age, freshness, and how old it may get."""
        rows: list[tuple[Lines, float, tuple[float, float, float]]] = [
            ((), 0, (0, 0, 600)),
            ((), 2.5, (2.5, 0, 600)),
            ([(b"Age", b"30")], 2, (32, 0, 600)),
            (control(b"max-age=60"), 0, (0, 60, 600)),
            (control(b"max-age=6000"), 0, (0, 6000, 600)),
            (control(b"max-age=60, s-maxage=20"), 0, (0, 20, 20)),
            (control(b"max-age=60, must-revalidate"), 0, (0, 60, 60)),
            (control(b"max-age=60, proxy-revalidate"), 0, (0, 60, 60)),
            (control(b"max-age=6000, must-revalidate"), 0, (0, 6000, 600)),
            (control(b"max-age=60, stale-if-error=40"), 0, (0, 60, 100)),
            (control(b"stale-if-error=40"), 0, (0, 0, 40)),
            (control(b"max-age=60, stale-if-error=4000"), 0, (0, 60, 600)),
            ([DATE, (b"Expires", b"Sun, 06 Nov 1994 08:50:07 GMT")], 0, (0, 30, 600)),
            (control(b"max-age=5", DATE, (b"Expires", b"Sun, 06 Nov 1994 08:50:07 GMT")), 0, (0, 5, 600)),
            (control(b"max-age=x", DATE, (b"Expires", b"Sun, 06 Nov 1994 08:50:07 GMT")), 0, (0, 0, 600)),
            ([DATE, (b"Expires", b"0")], 0, (0, 0, 600)),
            ([DATE, (b"Expires", b"Sun, 06 Nov 1994 08:49:07 GMT")], 0, (0, 0, 600)),
            ([(b"Expires", b"Sun, 06 Nov 2094 08:49:37 GMT")], 0, (0, 0, 600)),
        ]
        for answer, delay, want in rows:
            found = terms(answer, delay=delay)
            assert isinstance(found, Terms), answer
            self.assertEqual((found.age, found.lifetime, found.limit), want, answer)

    def test_vary(self) -> None:
        found = terms([(b"Vary", b"B, accept"), (b"Vary", b"A")])
        self.assertEqual(isinstance(found, Terms) and found.vary, (b"a", b"accept", b"b"))


class TestWhoGetsIt(SynchronousTestCase):
    def given(self, age: float, *asked: tuple[bytes, bytes], hasCredentials: bool = False, isShared: bool = False) -> bool:
        return mayGive(Terms(0, 60, 100, isShared, ()), age, fields(asked), hasCredentials)

    def test_age(self) -> None:
        self.assertTrue(self.given(0))
        self.assertTrue(self.given(99.9))
        self.assertFalse(self.given(100))

    def test_credentials(self) -> None:
        self.assertFalse(self.given(0, hasCredentials=True))
        self.assertTrue(self.given(0, hasCredentials=True, isShared=True))

    def test_whatTheRequestSays(self) -> None:
        rows = [
            (b"no-cache", 0, False),
            (b"no-store", 0, False),
            (b'max-age="', 0, False),  # cannot be read
            (b"max-age=0", 90, True),
            (b"max-stale", 90, True),
            (b"max-stale=30", 90, True),
            (b"max-stale=29", 90, False),
            (b"max-stale=0", 60, True),
            (b"stale-if-error=29", 90, False),
            (b"stale-if-error=30", 90, True),
            (b"min-fresh=10", 50, True),
            (b"min-fresh=11", 50, False),
            (b"min-fresh=0", 61, False),
        ]
        for value, age, want in rows:
            self.assertEqual(self.given(age, (b"Cache-Control", value)), want, value)

    def test_conditionsForTheOriginOnly(self) -> None:
        self.assertFalse(self.given(0, (b"If-Match", b'"x"')))
        self.assertFalse(self.given(0, (b"If-Unmodified-Since", DATE[1])))
        self.assertTrue(self.given(0, (b"If-None-Match", b'"x"'), (b"Range", b"bytes=0-1")))


class TestSelectors(SynchronousTestCase):
    def test_theyTellRequestsApart(self) -> None:
        def of(*lines: tuple[bytes, bytes]) -> object:
            return selectors((b"accept",), headers(lines))

        self.assertEqual(of((b"Accept", b" a ")), of((b"accept", b"a")))
        self.assertEqual(of((b"Accept", b"a"), (b"X", b"y")), of((b"Accept", b"a")))
        self.assertEqual(of((b"Accept", b"a"), (b"Accept", b"b")), of((b"Accept", b"a,b")))
        for other in ([], [(b"Accept", b"")], [(b"Accept", b"A")], [(b"Accept", b"a, b")]):
            self.assertNotEqual(of((b"Accept", b"a")), of(*other))
        self.assertNotEqual(of(), of((b"Accept", b"")))

    def test_whatIsSentOnCountsToo(self) -> None:
        came = headers([(b"X", b"1")])
        self.assertNotEqual(selectors((b"y",), came, headers([(b"Y", b"1")])), selectors((b"y",), came, headers([(b"Y", b"2")])))


class TestInstant(SynchronousTestCase):
    def test_forms(self) -> None:
        for value in (DATE[1], b"Sunday, 06-Nov-94 08:49:37 GMT", b"Sun Nov  6 08:49:37 1994"):
            self.assertEqual(instant(value), 784111777, value)
        for value in (b"", b"0", b"-1", b"soon", b"\xff", b"Sun, 99 Nov 99999999999 08:49:37 GMT"):
            self.assertIn(instant(value), (None,), value)
