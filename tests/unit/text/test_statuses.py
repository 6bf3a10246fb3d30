"""Tests of L{twistproxy.text.statuses}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.text.statuses import Statuses, StatusWords

TRIED = (101, 200, 204, 206, 299, 300, 304, 400, 404, 418, 499, 500, 502, 503, 599, 999)


class StatusesTests(SynchronousTestCase):
    def check(self, words: StatusWords, codes: set[int]) -> None:
        statuses = Statuses(words)
        self.assertEqual({code for code in TRIED if code in statuses}, codes)

    def test_allWithoutAWord(self) -> None:
        self.check((), set(TRIED))

    def test_named(self) -> None:
        self.check([200, "404"], {200, 404})
        self.check(["2xx"], {200, 204, 206, 299})
        self.check(["4XX", "500"], {400, 404, 418, 499, 500})
        self.check(["404-499"], {404, 418, 499})

    def test_allOthers(self) -> None:
        self.check(["!200"], set(TRIED) - {200})
        self.check(["!2xx", "!3xx", "!500-599"], {101, 400, 404, 418, 499, 999})

    def test_namedWithoutSome(self) -> None:
        self.check(["5xx", "!503", "404"], {404, 500, 502, 599})

    def test_mistakes(self) -> None:
        for word in ("", "20", "2000", "0xx", "xx", "200-", "!", "ok", "-200", 7):
            error = self.assertRaises(ValueError, Statuses, [word], "for")
            self.assertEqual(str(error), f"for: {str(word)!r} is no status (want 404, 5xx, 400-499 or !200)")
