"""L{twistproxy.caching.control}: reading Cache-Control."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.caching.control import CacheControl

NAMES = st.sampled_from([b"no-store", b"No-Cache", b"max-age", b"x", b"private", b"stale-if-error"])
ARGUMENTS = st.sampled_from([b"", b"=0", b"=10", b'="10"', b'="a, no-store"', b'="\\"private"', b" = 5", b"=abc"])
BETWEEN = st.sampled_from([b",", b", ", b" ,\t", b",,", b" , , "])


class TestCacheControl(SynchronousTestCase):
    def test_names(self) -> None:
        control = CacheControl([b"Max-Age=5 ,\tPublic", b"x, no-Store"])
        for name in (b"max-age", b"public", b"x", b"no-store"):
            self.assertIn(name, control)
        self.assertNotIn(b"private", control)
        self.assertNotIn(b"no-store", CacheControl([]))
        self.assertNotIn(b"no-store", CacheControl([b"", b" , ,"]))

    def test_quotedCommasPartNothing(self) -> None:
        control = CacheControl([b'private="set-cookie, no-store", x="a\\", public", max-age="7"'])
        self.assertIn(b"private", control)
        self.assertNotIn(b"no-store", control)
        self.assertNotIn(b"public", control)
        self.assertEqual(control.seconds(b"max-age"), 7)

    def test_seconds(self) -> None:
        for value, want in (
            (b"max-age=60", 60),
            (b'max-age="60"', 60),
            (b"max-age=0060", 60),
            (b"x=5", None),
            (b"max-age", 0),
            (b"max-age=-1", 0),
            (b"max-age=1.5", 0),
            (b"max-age=soon", 0),
            (b"max-age=99999999999999999", 1 << 31),
            (b"max-age=999999999999999999999999999", 1 << 31),
            (b"max-age=60, max-age=5", 5),
            (b"max-age=60, max-age", 0),
        ):
            self.assertEqual(CacheControl([value]).seconds(b"max-age"), want, value)

    def test_bare(self) -> None:
        self.assertTrue(CacheControl([b"max-stale, x=1"]).isBare(b"max-stale"))
        self.assertFalse(CacheControl([b"max-stale=1"]).isBare(b"max-stale"))
        self.assertFalse(CacheControl([b"x"]).isBare(b"max-stale"))

    def test_whatCannotBeReadSaysNoStore(self) -> None:
        for value in (b'private="unclosed', b"max age=5", b"public; max-age=5", b"=5", b"\xff", b"a=b=c", b'x="a"b', b"max-age="):
            self.assertIn(b"no-store", CacheControl([value]), value)

    @settings(deadline=None)
    @given(st.lists(st.tuples(NAMES, ARGUMENTS, BETWEEN), max_size=6))
    def test_allThatIsWrittenIsFound(self, written: list[tuple[bytes, bytes, bytes]]) -> None:
        control = CacheControl([b"".join(b"%b%b%b" % each for each in written)])
        names = {name.lower() for name, _, _ in written}
        for name in (b"no-store", b"no-cache", b"max-age", b"x", b"private", b"stale-if-error"):
            self.assertEqual(name in control, name in names, (written, name))

    @settings(deadline=None)
    @given(st.lists(st.binary(max_size=40), max_size=3))
    def test_anythingCanBeRead(self, values: list[bytes]) -> None:
        control = CacheControl(values)
        for name in (b"max-age", b"no-store"):
            seconds = control.seconds(name)
            self.assertEqual(seconds is None, name not in control)
            self.assertTrue(seconds is None or 0 <= seconds <= 1 << 31)
