"""Tests of L{twistproxy.text.units}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.text.units import formatDuration, formatShare, formatSize, parseDuration, parseShare, parseSize


class DurationTests(SynchronousTestCase):
    def test_durationsAreSeconds(self) -> None:
        for text, seconds in (
            ("10", 10.0),
            ("0", 0.0),
            ("500ms", 0.5),
            ("1.1ms", 0.0011),
            ("10s", 10.0),
            ("0.5s", 0.5),
            (".5s", 0.5),
            ("1.5m", 90.0),
            ("2min", 120.0),
            ("1h", 3600.0),
            ("2d", 172800.0),
            (" 5 S ", 5.0),
        ):
            self.assertEqual(parseDuration(text), seconds, text)
            self.assertIsInstance(parseDuration(text), float)

    def test_anythingElseIsRefused(self) -> None:
        for text in (
            "",
            "s",
            "-1s",
            "+1s",
            "1e3",
            "1 0s",
            "1.s",
            "1,5s",
            "10 apples",
            "1s1",
            "inf",
            "nan",
            "0x1",
            "\u0661",
            "9" * 400,
        ):
            self.assertRaises(ValueError, parseDuration, text)

    def test_refusalNamesTheTextAndWhatIsWanted(self) -> None:
        error = self.assertRaises(ValueError, parseDuration, "soon")
        self.assertEqual(str(error), "'soon' is not a duration (want one such as 500ms, 10s, 5m, 1h)")

    def test_shownInTheLargestWholeUnit(self) -> None:
        for seconds, text in (
            (0.0, "0s"),
            (0.5, "500ms"),
            (0.0011, "1.1ms"),
            (1.0, "1s"),
            (1.5, "1.5s"),
            (90.0, "90s"),
            (120.0, "2m"),
            (3600.0, "1h"),
            (172800.0, "2d"),
            (1234567.25, "1234567.25s"),
        ):
            self.assertEqual(formatDuration(seconds), text)

    def test_whatIsShownReadsBackTheSame(self) -> None:
        for seconds in (0.0, 0.001, 0.1, 0.3, 1 / 3, 1e-7, 59.999, 61.0, 1234567.0, 86401.0, 1e9, 123456789.123):
            self.assertEqual(parseDuration(formatDuration(seconds)), seconds)


class SizeTests(SynchronousTestCase):
    def test_sizesAreBytes(self) -> None:
        for text, size in (
            ("0", 0),
            ("512", 512),
            ("512B", 512),
            ("64KiB", 65536),
            ("64k", 65536),
            ("1.5KiB", 1536),
            ("1MiB", 1 << 20),
            ("2m", 2 << 20),
            ("2GiB", 2 << 30),
            ("1TiB", 1 << 40),
            ("64kB", 64000),
            ("1MB", 10**6),
            ("2GB", 2 * 10**9),
            ("1tb", 10**12),
            ("9007199254740993", 9007199254740993),
        ):
            self.assertEqual(parseSize(text), size, text)
            self.assertIsInstance(parseSize(text), int)

    def test_anythingElseIsRefused(self) -> None:
        for text in ("", "k", "-1", "1e3", "1 0", "64 apples", "64KiBs", "64Kib/s", "\u0661", "9" * 400):
            self.assertRaises(ValueError, parseSize, text)

    def test_refusalNamesTheTextAndWhatIsWanted(self) -> None:
        error = self.assertRaises(ValueError, parseSize, "big")
        self.assertEqual(str(error), "'big' is not a size (want one such as 512, 64KiB, 1MiB)")

    def test_shownInTheLargestBinaryUnitThatDividesIt(self) -> None:
        for size, text in (
            (0, "0"),
            (1, "1"),
            (1000, "1000"),
            (1024, "1KiB"),
            (1536, "1536"),
            (3 << 20, "3MiB"),
            (1 << 40, "1TiB"),
        ):
            self.assertEqual(formatSize(size), text)
            self.assertEqual(parseSize(text), size)


class TestShares(SynchronousTestCase):
    def test_read(self) -> None:
        for text, share in (("50%", 0.5), ("0.5", 0.5), ("0", 0.0), ("1", 1.0), ("100 %", 1.0), ("12.5%", 0.125)):
            self.assertEqual(parseShare(text), share)
        for text in ("", "%", "150%", "2", "-1", "half", "50%%", "5%0", "nan", "inf"):
            self.assertRaises(ValueError, parseShare, text)

    def test_written(self) -> None:
        self.assertEqual([formatShare(share) for share in (0.5, 0.125, 1.0, 0.0)], ["50%", "12.5%", "100%", "0%"])
