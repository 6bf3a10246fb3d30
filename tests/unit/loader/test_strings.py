"""The grammar of plugin strings."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import endpoints
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.loader.strings import PluginString, formatPluginString, parsePluginString


class ParsePluginStringTests(SynchronousTestCase):
    def check(self, text: str, tag: str, *args: str, **options: str) -> None:
        self.assertEqual(parsePluginString(text), PluginString(tag, args, options))

    def test_tagAlone(self) -> None:
        self.check("random", "random")
        self.check("  random ", "random")

    def test_argumentsAndOptions(self) -> None:
        self.check("a:b:c=d:e", "a", "b", "e", c="d")
        self.check("consistent-hash:key=header\\:X-User:replicas=160", "consistent-hash", key="header:X-User", replicas="160")

    def test_firstEqualsSignEndsTheName(self) -> None:
        self.check("a:set=X=1,Y=2", "a", set="X=1,Y=2")

    def test_backslashTakesAnything(self) -> None:
        self.check("a:b\\=c:d\\\\e:f\\:g", "a", "b=c", "d\\e", "f:g")

    def test_emptyValues(self) -> None:
        self.check("a::b=", "a", "", b="")

    def test_mistakes(self) -> None:
        for text, words in [
            ("", "does not start with the name of a plugin"),
            (":a", "does not start with the name of a plugin"),
            ("a=b", "does not start with the name of a plugin"),
            ("a:b\\", "ends in a backslash"),
            ("a:b=1:b=2", "gives 'b' twice"),
        ]:
            error = self.assertRaises(ValueError, parsePluginString, text)
            self.assertIn(words, str(error))


_WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
_TAGS = st.text("abc.-_", min_size=1, max_size=8)


class RoundTripTests(SynchronousTestCase):
    @given(_TAGS, st.lists(_WORDS), st.dictionaries(_WORDS, _WORDS))
    def test_formattedStringsParseToTheSame(self, tag: str, args: list[str], options: dict[str, str]) -> None:
        # Space around the whole string is a person's, not the plugin's.
        text = formatPluginString(tag, [*args, "end"], options)
        if text == text.strip():
            self.assertEqual(parsePluginString(text), PluginString(tag, (*args, "end"), options))

    @given(st.text("ab:=\\", max_size=12))
    def test_agreesWithTwistedsEndpointStrings(self, text: str) -> None:
        """The grammar is Twisted's; its parser is private, so only this test uses it."""
        theirs: Any
        try:
            theirs = endpoints._parse(text)
        except RuntimeError:  # a backslash at the end
            self.assertRaises(ValueError, parsePluginString, text)
            return
        try:
            ours = parsePluginString(text)
        except ValueError:
            return  # a name given twice, or no tag: stricter than Twisted
        self.assertEqual(([ours.tag, *ours.args], ours.options), theirs)
