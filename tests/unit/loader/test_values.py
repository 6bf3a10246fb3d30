"""What a person wrote, as annotations want it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.loader.sample import Colour, Mode
from tests.unit.loader.temporary import temporaryDirectory
from twistproxy.loader.values import convert, words
from twistproxy.text.secret import Secret
from twistproxy.text.units import Duration, Size


class ConvertTests(SynchronousTestCase):
    def check(self, annotation: Any, *pairs: tuple[Any, Any]) -> None:
        for written, wanted in pairs:
            made = convert(annotation, written)
            self.assertEqual(made, wanted)
            self.assertIs(type(made), type(wanted), (annotation, written))

    def refuse(self, annotation: Any, *pairs: tuple[Any, str]) -> None:
        for written, sentence in pairs:
            error = self.assertRaises(ValueError, convert, annotation, written)
            self.assertIn(sentence, str(error))

    def test_text(self) -> None:
        self.check(str, ("a", "a"), ("", ""))
        self.refuse(str, (5, "5 is not text: put it in quotes"), (True, "true is not text"), (["a"], "a list is not text"))
        self.check(bytes, ("é", b"\xc3\xa9"))

    def test_numbers(self) -> None:
        self.check(int, ("5", 5), (5, 5), (-5, -5), (5.0, 5))
        self.refuse(int, ("five", "'five' is not a whole number"), (5.5, "5.5"), (True, "true"), (float("inf"), "inf"))
        self.check(float, ("0.5", 0.5), (1, 1.0), (2.5, 2.5))
        self.refuse(float, ("x", "'x' is not a number"), (float("nan"), "nan"), (None, "None is not a number"))

    def test_booleans(self) -> None:
        self.check(bool, *((word, True) for word in ("yes", "true", "ON", "1", True, 1)))
        self.check(bool, *((word, False) for word in ("no", "False", "off", "0", False, 0)))
        self.refuse(bool, ("perhaps", "'perhaps' is neither yes nor no"), (2, "2 is neither"))

    def test_durations(self) -> None:
        self.check(Duration, ("500ms", 0.5), ("5m", 300.0), (3, 3.0), (0.25, 0.25))
        self.refuse(
            Duration, ("soon", "'soon' is not a duration (want one such as"), (-1, "-1 is not a duration"), (True, "true")
        )

    def test_sizes(self) -> None:
        self.check(Size, ("64KiB", 65536), (100, 100))
        self.refuse(Size, ("big", "'big' is not a size"), ([], "a list is not a size"))

    def test_otherAnnotatedTypesAreWhatTheyAnnotate(self) -> None:
        self.check(Annotated[int, "port"], ("80", 80))

    def test_enumsByValueOrName(self) -> None:
        self.check(Mode, ("strict", Mode.STRICT), ("LAX", Mode.LAX))
        self.check(Colour, ("dark-red", Colour.DARK_RED))
        self.refuse(Colour, ("dark-read", "'dark-read' is none of dark-red, blue; did you mean 'dark-red'?"))

    def test_literals(self) -> None:
        self.check(Literal["low", 3], ("low", "low"), ("3", 3), (3, 3))
        self.refuse(Literal["low", "high"], ("hihg", "'hihg' is none of low, high; did you mean 'high'?"))

    def test_lists(self) -> None:
        self.check(list[int], ("1, 2,3", [1, 2, 3]), ([1, "2"], [1, 2]), (7, [7]), ("", []))
        self.check(tuple[Duration, ...], ("1s,500ms", (1.0, 0.5)))
        self.check(frozenset[str], ("a,b,a", frozenset("ab")))
        self.check(list, ("a,b", ["a", "b"]))
        self.refuse(list[int], ("1,x", "'x' is not a whole number"))

    def test_tuplesOfFixedLength(self) -> None:
        self.check(tuple[int, str], ("1,b", (1, "b")))
        self.refuse(tuple[int, str], ("1", "does not have 2 values"))

    def test_tables(self) -> None:
        self.check(dict[str, int], ("a=1, b=2", {"a": 1, "b": 2}), ({"a": 1}, {"a": 1}))
        self.check(dict, ("a=1", {"a": "1"}))
        self.refuse(dict[str, int], ("a", "'a' is not NAME=VALUE"), ("a=x", "'x' is not a whole number"), (3, "3 is not a table"))

    def test_aNameThatIsGivenTwiceHasAList(self) -> None:
        self.check(dict[str, str | list[str]], ("a=1,b=2,a=3,a=4", {"a": ["1", "3", "4"], "b": "2"}))
        self.refuse(dict[str, int], ("a=1,a=2", "a list is not a whole number"))

    def test_aBackslashTakesACommaAsItIs(self) -> None:
        self.check(list[str], (r"a\,b,c\.d", ["a,b", r"c\.d"]))
        self.check(dict[str, str], (r"a=no\, yes,b==", {"a": "no, yes", "b": "="}))

    def test_unionsTryEachInOrder(self) -> None:
        self.check(int | None, ("none", None), (None, None), ("4", 4))
        self.check(int | str, ("4", 4), ("x", "x"))
        self.refuse(int | bool, ("x", "'x' is not a whole number, or 'x' is neither yes nor no"))

    def test_patterns(self) -> None:
        self.check(re.Pattern, ("a+", re.compile("a+")))
        self.check(re.Pattern[bytes], ("a+", re.compile(b"a+")))
        self.refuse(re.Pattern[str], ("(", "'(' is not a regular expression: missing )"))

    def test_pathsAreRelativeToTheDirectory(self) -> None:
        self.assertEqual(convert(Path, "pages/404.html", "/etc/proxy"), Path("/etc/proxy/pages/404.html"))
        self.assertEqual(convert(Path, "/pages", "/etc/proxy"), Path("/pages"))
        self.assertEqual(convert(Path, "pages"), Path("pages"))

    def test_anythingStaysAsItIs(self) -> None:
        for value in ("x", 3, ["a"], {"b": 1}):
            self.assertIs(convert(Any, value), value)

    def test_wordsTellWhatToWrite(self) -> None:
        for annotation, text in [
            (str, "text"),
            (Duration, "duration"),
            (Size | None, "size"),
            (bool, "yes|no"),
            (Mode, "strict|lax"),
            (Literal["a", 1], "a|1"),
            (list[int], "list of whole number"),
            (tuple, "list"),
            (int | str, "whole number or text"),
            (re.Pattern[str], "regular expression"),
            (Annotated[int, "port"], "whole number"),
            (dict[str, str], "NAME=VALUE, ..."),
            (Any, ""),
        ]:
            self.assertEqual(words(annotation), text)


class SecretTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(__import__("os"), "environ", {"TOKEN": "hush"})
        self.path = temporaryDirectory(self) / "token"
        self.path.write_text("quiet\n")

    def read(self, value: Any, directory: str = "") -> Any:
        return convert(Secret, value, directory)

    def test_fromTheEnvironment(self) -> None:
        self.assertEqual(self.read("env:TOKEN"), "hush")
        self.assertEqual(self.read({"env": "TOKEN"}), "hush")
        error = self.assertRaises(ValueError, self.read, "env:TOKAN")
        self.assertEqual(str(error), "there is no environment variable TOKAN")

    def test_fromAFileWithoutItsLineEnd(self) -> None:
        self.assertEqual(self.read(f"file:{self.path}"), "quiet")
        self.assertEqual(self.read({"file": self.path.name}, str(self.path.parent)), "quiet")
        error = self.assertRaises(ValueError, self.read, "file:/nowhere/token")
        self.assertEqual(str(error), "the file /nowhere/token cannot be read: No such file or directory")

    def test_literal(self) -> None:
        self.assertEqual(self.read("plain:text"), "plain:text")

    def test_maskedWhereItIsShown(self) -> None:
        secret = self.read("hush")
        self.assertIsInstance(secret, str)
        self.assertEqual(repr(secret), "***")
        self.assertEqual(repr([secret]), "[***]")
        self.assertEqual(f"Bearer {secret}", "Bearer hush")

    def test_tableForAnyText(self) -> None:
        made = convert(str, {"env": "TOKEN"})
        self.assertEqual(made, "hush")
        error = self.assertRaises(ValueError, convert, str, {"enf": "TOKEN"})
        self.assertEqual(str(error), 'a table here is { env = "NAME" } or { file = "PATH" }')

    def test_otherTypes(self) -> None:
        error = self.assertRaises(ValueError, self.read, 5)
        self.assertEqual(str(error), "a secret is text, or names a place by env:NAME or file:PATH")
