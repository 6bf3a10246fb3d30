"""Tests of L{twistproxy.settings}."""

from __future__ import annotations

from ipaddress import ip_network

from attrs import fields
from attrs.exceptions import FrozenInstanceError
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.settings import SettingDescription, Settings, describeSettings, formatSetting, kebab, parseSetting, parseYesNo


def described(name: str) -> SettingDescription:
    return next(each for each in describeSettings() if each.name == name)


class SettingsTests(SynchronousTestCase):
    def test_defaultsAreThoseOfTheDesign(self) -> None:
        settings = Settings()
        self.assertEqual((settings.maxHeadBytes, settings.maxHeaderCount, settings.maxTargetBytes), (65536, 100, 8192))

    def test_cannotBeChanged(self) -> None:
        self.assertRaises(FrozenInstanceError, setattr, Settings(), "maxHeadBytes", 1)

    def test_copyHasOtherValues(self) -> None:
        settings = Settings()
        changed = settings.with_(maxHeadBytes=1, via="proxy")
        self.assertEqual((changed.maxHeadBytes, changed.via, changed.maxTargetBytes), (1, "proxy", settings.maxTargetBytes))
        self.assertEqual(settings.maxHeadBytes, 65536)
        self.assertRaises(TypeError, settings.with_, noSuch=1)

    def test_valuesAreNamed(self) -> None:
        self.assertRaises(TypeError, Settings, 1)


class DescriptionTests(SynchronousTestCase):
    def test_allAreDescribedInTheirOrder(self) -> None:
        self.assertEqual([each.attribute for each in describeSettings()], [each.name for each in fields(Settings)])

    def test_namesAreKebabCase(self) -> None:
        self.assertEqual(
            (kebab("maxHeadBytes"), kebab("via"), kebab("tcpKeepAlive")), ("max-head-bytes", "via", "tcp-keep-alive")
        )
        for each in describeSettings():
            self.assertRegex(each.name, r"\A[a-z]+(-[a-z]+)*\Z")
            self.assertEqual(each.name, kebab(each.attribute))

    def test_eachIsDocumentedByASentence(self) -> None:
        for each in describeSettings():
            self.assertRegex(each.documentation, r"(?s)\A[A-Z].*\.\Z", each.name)

    def test_defaultsReadBackTheSame(self) -> None:
        for each in describeSettings():
            self.assertEqual(parseSetting(each, each.default), getattr(Settings(), each.attribute), each.name)

    def test_defaultsAreOfTheirKind(self) -> None:
        types = {"duration": float, "size": (int, type(None)), "count": int, "yes-no": bool, "networks": tuple, "word": str}
        for each in describeSettings():
            self.assertIsInstance(getattr(Settings(), each.attribute), types[each.kind], each.name)


class ParsingTests(SynchronousTestCase):
    def test_textIsReadByItsKind(self) -> None:
        for name, text, value in (
            ("head-timeout", "500ms", 0.5),
            ("max-head-bytes", "1MiB", 1 << 20),
            ("max-header-count", "7", 7),
            ("forwarded", "Yes", True),
            ("via", "Proxy", "Proxy"),
            ("trusted-proxies", "10.0.0.0/8, ::1,", (ip_network("10.0.0.0/8"), ip_network("::1"))),
            ("trusted-proxies", "10.1.2.3/8", (ip_network("10.0.0.0/8"),)),
            ("trusted-proxies", "", ()),
        ):
            self.assertEqual(parseSetting(described(name), text), value)

    def test_noneIsForWhatMayBeNone(self) -> None:
        self.assertIsNone(parseSetting(described("max-body-bytes"), "None"))
        self.assertEqual(parseSetting(described("max-body-bytes"), "1k"), 1024)
        self.assertRaises(ValueError, parseSetting, described("max-head-bytes"), "none")

    def test_mistakesAreRefused(self) -> None:
        for name, text in (
            ("head-timeout", "soon"),
            ("max-head-bytes", "big"),
            ("max-header-count", "-1"),
            ("max-header-count", "1.5"),
            ("max-header-count", ""),
            ("max-header-count", "\u0663"),
            ("forwarded", "maybe"),
            ("trusted-proxies", "10.0.0.0/33"),
            ("trusted-proxies", "localhost"),
        ):
            self.assertRaises(ValueError, parseSetting, described(name), text)

    def test_yesAndNoHaveFourSpellings(self) -> None:
        for yes, no in (("yes", "no"), ("TRUE", "False"), ("On", "oFF"), ("1", "0")):
            self.assertEqual((parseYesNo(yes), parseYesNo(no)), (True, False))
        for text in ("", "y", "2", " yes"):
            self.assertRaises(ValueError, parseYesNo, text)

    def test_valuesAreShownAsTheyAreWritten(self) -> None:
        for kind, value, text in (
            ("size", None, "none"),
            ("duration", 90.0, "90s"),
            ("size", 65536, "64KiB"),
            ("count", 5, "5"),
            ("yes-no", True, "yes"),
            ("yes-no", False, "no"),
            ("networks", (ip_network("10.0.0.0/8"), ip_network("::1")), "10.0.0.0/8,::1/128"),
            ("word", "a", "a"),
        ):
            self.assertEqual(formatSetting(kind, value), text)
