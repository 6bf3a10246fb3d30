"""What C{checkPlugin} finds, and what it lets pass."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.testing import flawed
from twistproxy.interfaces import IBalancer, IDirector
from twistproxy.plugin import Plugin
from twistproxy.testing import FakeUpstream, checkPlugin
from twistproxy.testing.conformance.stage import Stage
from twistproxy.testing.conformance.subject import Subject

FLAWED = flawed.__name__


class CheckPluginTests(SynchronousTestCase):
    def tearDown(self) -> None:
        self.flushLoggedErrors()

    def complaint(self, plugin: Any, **options: Any) -> str:
        """The report of a plugin that fails."""
        return str(self.assertRaises(AssertionError, checkPlugin, plugin, **options))

    def test_aGoodPluginPassesInEveryForm(self) -> None:
        factory = Plugin("good", f"{FLAWED}.Good", IDirector, summary="adds a header", example="good:value=maybe")
        for given in (
            flawed.Good,
            flawed.Good("b"),
            lambda: flawed.Good("c"),
            f"{FLAWED}.Good",
            f"{FLAWED}.Good:value=d",
            {"use": f"{FLAWED}.Good", "value": "e"},
            factory,
        ):
            report = checkPlugin(given)
            self.assertEqual(report.problems, [])
            self.assertIn("(IDirector) passes", str(report))

    def test_theReportNamesEachCheck(self) -> None:
        report = checkPlugin(flawed.Good)
        lines = str(report).splitlines()
        self.assertEqual(len(lines), 1 + len(report.checks))
        self.assertIn("  ok      GET", lines)
        self.assertIn("  ok      GET, byte by byte", lines)
        self.assertTrue(repr(report).startswith(f"<Report {FLAWED}.Good"))

    def test_checksCanBeSkipped(self) -> None:
        report = checkPlugin(flawed.Good, skip=["GET", "HEAD, byte by byte"])
        names = {each.name for each in report.checks}
        self.assertEqual({"GET", "GET, byte by byte", "HEAD, byte by byte", "HEAD"} & names, {"HEAD"})

    def test_headersAndPathGiveThePluginWhatItLooksFor(self) -> None:
        self.assertIn("KeyError", self.complaint(flawed.Assuming))
        self.assertEqual(checkPlugin(flawed.Assuming, headers={"X-Team": "blue"}, path="/blue").problems, [])

    def test_directors(self) -> None:
        for name, sentence in (
            ("Assuming", "Assuming failed in direct: KeyError"),
            ("Meddling", "were changed: only those of outbound may be"),
            ("Babbling", "direct returned a int"),
            ("Littering", "left over"),
            ("Pondering", "it did not answer in time"),
            ("Bytewise", "byte by byte"),
        ):
            self.assertIn(sentence, self.complaint(f"{FLAWED}.{name}"), name)

    def test_loading(self) -> None:
        for given, sentence in (
            (flawed.Misnamed, "it has no direct(inbound, outbound); rename direct_request to direct"),
            (flawed.Undeclared, "decorate it with @implementer"),
            (flawed.shared, "is shared"),
            (f"{FLAWED}.Restless", "twice"),
            (f"{FLAWED}.Good:valeu=x", "did you mean 'value'?"),
            ("rond-robin", "did you mean 'round-robin'?"),
            (Plugin("good", f"{FLAWED}.Good", IDirector), "has no summary"),
            (Plugin("good", f"{FLAWED}.Good", IBalancer, summary="s"), "does not say @implementer(IBalancer)"),
            (Plugin("good", f"{FLAWED}.Nothing", IDirector, summary="s"), "has no Nothing"),
        ):
            self.assertIn(sentence, self.complaint(given))

    def test_otherKinds(self) -> None:
        for plugin, sentence in (
            (flawed.Reading, "KeyError: 'too long'"),
            (flawed.Twice, "proceed may be called once"),
            (flawed.Holding, "failed in around: it did not answer in time"),
            (flawed.Ailing, "check returned a str"),
            (flawed.Helpless, "AttributeError"),
            (flawed.Mumbling, "it was swallowed"),
        ):
            self.assertIn(sentence, self.complaint(plugin))

    def test_kindsWithoutConversationsAreLoadedOnly(self) -> None:
        report = checkPlugin(flawed.Filtering)
        self.assertEqual(report.checks[0].name, "it is made, and has the methods of its interfaces")
        self.assertLess(len(report.checks), 5)

    def test_healthChecksAndSourcesGoThroughThemToo(self) -> None:
        for good in (flawed.Checking, flawed.Telling):
            self.assertGreater(len(checkPlugin(good).checks), 20)

    def test_whatDoesNotEndIsToldOf(self) -> None:
        stage = Stage(Subject(flawed.Good), "/", (), (), None, "", None)
        stage.play(FakeUpstream().stall())
        error = self.assertRaises(AssertionError, stage.waitUntil, lambda: False, "nothing came")
        self.assertEqual(str(error), "nothing came, after 400 s")
