"""What every built-in plugin owes: it is found, described, and is what the drop-in says."""

from __future__ import annotations

import re

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import BUILT_IN
from twistproxy.loader.finder import PluginSet, findPlugins
from twistproxy.loader.listing import helpPlugin


class BuiltInTests(SynchronousTestCase):
    def test_found(self) -> None:
        found = findPlugins()
        self.assertEqual([tag for tag in BUILT_IN if tag not in found.byTag], [])

    def test_theDropInSaysWhatTheyAre(self) -> None:
        for tag, plugin in BUILT_IN.items():
            for interface in plugin.provides:
                self.assertTrue(interface.implementedBy(plugin.load()), tag)

    def test_aSummaryOfOneLine(self) -> None:
        for tag, plugin in BUILT_IN.items():
            self.assertRegex(plugin.summary, r"\A[a-z][^\n]{0,80}[^.\n]\Z", tag)

    def test_everyOptionIsDescribed(self) -> None:
        for tag, plugin in BUILT_IN.items():
            lines = helpPlugin(PluginSet(BUILT_IN), tag).partition("Example:")[0].splitlines()
            described = [bool(re.match(r" {6}\S", after)) for line, after in zip(lines, [*lines[1:], ""], strict=True)
                         if re.match(r" {2}\S", line)]  # fmt: skip
            self.assertEqual(len(described), len(plugin.describeOptions()), tag)
            self.assertTrue(all(described), tag)
