"""Upstreams from a file that may change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.config import BuildContext
from twistproxy.discovery.files import File, parseEntries


class ParseTests(SynchronousTestCase):
    def test_lines(self) -> None:
        content = b"# ours\n\nhttp://a,weight=2\n  10.0.0.1:80 # the old one\r\n#http://b\n"
        self.assertEqual(parseEntries(content, "lines"), ["http://a,weight=2", "10.0.0.1:80"])

    def test_toml(self) -> None:
        content = b'upstreams = ["http://a", { url = "http://b", weight = 2 }]\n'
        self.assertEqual(parseEntries(content, "toml"), ["http://a", {"url": "http://b", "weight": 2}])

    def test_json(self) -> None:
        for content in (b'["http://a"]', b'{"upstreams": ["http://a"], "version": 3}'):
            self.assertEqual(parseEntries(content, "json"), ["http://a"])

    def test_whatIsNone(self) -> None:
        for content, syntax in (
            (b"\xff", "lines"), (b"upstreams = [", "toml"), (b"servers = []", "toml"), (b'"text"', "json"), (b"[1,", "json"),
            (b'{"upstreams": "http://a"}', "json"), (b"[" * 100_000, "json"),
        ):  # fmt: skip
            self.assertRaises(ValueError, parseEntries, content, syntax)


class FileTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.path = Path(self.mktemp())
        self.told: list[list[str]] = []

    def start(self, content: str, **options: Any) -> File:
        self.path.write_text(content)
        source = File(BuildContext(self.clock), self.path, **options)
        source.subscribe(lambda upstreams: self.told.append([each.url for each in upstreams]))
        source.startService()
        self.addCleanup(source.stopService)
        return source

    def test_toldAtOnceAndWhenItChanges(self) -> None:
        self.start("http://a\n")
        self.path.write_text("http://a\nb:81\n")
        self.clock.advance(1)
        self.clock.advance(1)
        self.assertEqual(self.told, [["http://a"], ["http://a", "http://b:81"]])

    def test_aMistakeAsAWholeLeavesItsLastStateAndIsToldOnce(self) -> None:
        self.start('["http://a"]', syntax="json")
        with capturedLogs() as events:
            self.path.write_text('["http://a", ')
            self.clock.pump([1, 1, 1])
            self.path.unlink()
            self.clock.pump([1, 1, 1])
            self.path.write_text('["http://b"]')
            self.clock.advance(1)
        self.assertEqual(self.told, [["http://a"], ["http://b"]])
        lines = [formatEvent(each) for each in events if each["log_namespace"] == "twistproxy.discovery"]
        self.assertEqual(len(lines), 2)
        self.assertIn("it is no JSON", lines[0])
        self.assertIn("No such file", lines[1])

    def test_aBadEntryIsLeftOutAndToldOnce(self) -> None:
        with capturedLogs() as events:
            self.start("http://a\nno address\n")
            self.path.write_text("http://b\nno address\n")
            self.clock.advance(1)
        self.assertEqual(self.told, [["http://a"], ["http://b"]])
        lines = [formatEvent(each) for each in events if each["log_namespace"] == "twistproxy.discovery"]
        self.assertEqual(lines, [f"{self.path}: left out: no address is neither an address nor a URL"])

    def test_theEndingSaysTheSyntax(self) -> None:
        self.path = self.path.with_suffix(".toml")
        self.start('upstreams = [{ host = "a", port = 81, weight = 3 }]')
        self.assertEqual(self.told, [["http://a:81"]])

    def test_aFileThatIsNotThereIsAMistakeOfTheStart(self) -> None:
        error = self.assertRaises(ValueError, File, BuildContext(self.clock), self.path)
        self.assertIn("No such file or directory", str(error))

    def test_whatIsTooLongIsNotRead(self) -> None:
        self.path.write_bytes(b"#" * ((4 << 20) + 1))
        error = self.assertRaises(ValueError, File, BuildContext(self.clock), self.path)
        self.assertIn("longer than 4 MiB", str(error))

    def test_stoppedItLooksNoMore(self) -> None:
        source = self.start("http://a")
        source.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        source.startService()
