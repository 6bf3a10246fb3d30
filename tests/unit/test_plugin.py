"""Plugins by name: their options, their building, and what their users are told."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from twisted.plugin import IPlugin
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.unit.loader import sample
from twistproxy.config import BuildContext
from twistproxy.errors import ConfigurationError
from twistproxy.interfaces import IBalancer, IDirector, IPluginFactory, IResponseModifier
from twistproxy.loader.options import describeOptions, optionName
from twistproxy.plugin import Plugin

SAMPLE = "tests.unit.loader.sample"


def plugin(name: str, *interfaces: Any) -> Plugin:
    return Plugin("sample", f"{SAMPLE}.{name}", *(interfaces or (IDirector,)))


class PluginCase(SynchronousTestCase):
    context = BuildContext(reactor=object(), place="--director #1", directory="/base")

    def build(self, name: str, *args: Any, **options: Any) -> Any:
        return plugin(name).build(self.context, *args, **options)

    def problems(self, name: str, *args: Any, **options: Any) -> tuple[str, ...]:
        """What building says is wrong."""
        error = self.assertRaises(ConfigurationError, self.build, name, *args, **options)
        return tuple(error.problems)


class PluginTests(PluginCase):
    def test_isAPluginFactory(self) -> None:
        made = Plugin("sample", "no.where", IDirector, summary="tries")
        verifyObject(IPlugin, made)
        verifyObject(IPluginFactory, made)
        self.assertEqual((made.tag, tuple(made.provides), made.summary), ("sample", (IDirector,), "tries"))
        self.assertEqual(repr(made), "<Plugin sample no.where>")

    def test_importsNothingUntilItIsUsed(self) -> None:
        made = Plugin("sample", "no.such.module.Class", IDirector)
        self.assertNotIn("no", sys.modules)
        self.assertRaises(ConfigurationError, made.load)

    def test_refusesWhatCouldNotBeWritten(self) -> None:
        for tag in ("", "a.b", "a:b", "a b", "a=b", "a,b", "a\\", "a\n"):
            self.assertRaises(ValueError, Plugin, tag, "no.where", IDirector)
        self.assertRaises(ValueError, Plugin, "sample", "nowhere", IDirector)
        self.assertRaises(ValueError, Plugin, "sample", "no.where")
        self.assertRaises(ValueError, Plugin, "sample", "no.where", IDirector, example="other:a=b")


class OptionsTests(PluginCase):
    def test_namesAreKebabCase(self) -> None:
        for parameter, name in [
            ("header", "header"),
            ("maxRetries", "max-retries"),
            ("max_retries", "max-retries"),
            ("from_", "from"),
            ("baseURL", "base-url"),
            ("maxHTTPSize", "max-http-size"),
            ("retry2Times", "retry2-times"),
        ]:
            self.assertEqual(optionName(parameter), name)

    def test_everyKindFromText(self) -> None:
        made = self.build(
            "Everything",
            "X-Tenant",
            "3",
            **{
                "ratio": "0.25", "is-on": "yes", "limit": "5m", "max-size": "1MiB", "mode": "strict",
                "colour": "dark-red", "level": "high", "names": "a, b", "waits": "1s,2s", "pair": "2,b",
                "maybe": "none", "pattern": "a+", "raw": "x", "token": "hush", "pages": "errors",
                "table": "a=1", "untyped": "as it is", "guessed": "4",
            },
        )  # fmt: skip
        self.assertEqual(
            made.given,
            {
                "header": "X-Tenant", "count": 3, "ratio": 0.25, "isOn": True, "limit": 300.0, "max_size": 1 << 20,
                "mode": sample.Mode.STRICT, "colour": sample.Colour.DARK_RED, "level": "high", "names": ("a", "b"),
                "waits": [1.0, 2.0], "pair": (2, "b"), "maybe": None, "pattern": re.compile("a+"), "raw": b"x",
                "token": "hush", "pages": Path("/base/errors"), "table": {"a": 1}, "untyped": "as it is", "guessed": 4,
            },
        )  # fmt: skip

    def test_parametersGoByTheirOwnNamesToo(self) -> None:
        self.assertEqual(self.build("Everything", header="A", isOn=True, max_size=7).given["max_size"], 7)

    def test_allMistakesAtOnce(self) -> None:
        self.assertEqual(
            self.problems("Everything", **{"count": "x", "limitt": "5s", "level": "hi", "xyz": "1"}),
            (
                "sample: count: 'x' is not a whole number",
                "sample: has no option 'limitt'; did you mean 'limit'?",
                "sample: level: 'hi' is none of low, high; did you mean 'high'?",
                "sample: has no option 'xyz' (its options: header, count, ratio, is-on, limit, max-size, mode, colour, level, "
                "names, waits, pair, maybe, pattern, raw, token, pages, table, untyped, guessed)",
                "sample: needs the option 'header'",
            ),
        )

    def test_twiceByPositionAndName(self) -> None:
        """Mostly that is a colon in a value."""
        problem = r"once without its name: '//b'; within a plugin string a colon is written \:, as in http\://..."
        self.assertEqual(self.problems("Everything", "//b", header="http"), (f"sample: gets 'header' twice, {problem}",))

    def test_tooManyArguments(self) -> None:
        self.assertEqual(self.problems("Picky", "1", "2"), ("sample: takes no argument '2' (its options: port)",))

    def test_colonsOfAURLArePointedOut(self) -> None:
        (problem,) = self.problems("Picky", "1", "//idp.example")
        self.assertIn(r"a colon is written \:, as in http\://...", problem)

    def test_pluginWithoutOptions(self) -> None:
        self.assertEqual(plugin("Both").check([], {"x": "1"}), ["sample: has no option 'x' (it has none)"])

    def test_contextAndFurtherArguments(self) -> None:
        made = self.build("Contextual", "a", "b", any="3")
        self.assertIs(made.context, self.context)
        self.assertEqual((made.names, made.more), (("a", "b"), {"any": 3}))
        self.assertEqual(self.build("Contextual", names=["a", "b"]).names, ("a", "b"))
        self.assertEqual(self.problems("Contextual", "a", names="b"), ("sample: gets 'names' twice",))

    def test_contextIsNoOption(self) -> None:
        described = describeOptions(sample.Contextual)
        self.assertEqual(
            [(each.name, each.many, each.any) for each in described], [("names", True, False), ("more", False, True)]
        )

    def test_annotationThatIsNotThereAtRunTime(self) -> None:
        self.assertEqual(
            self.problems("Unreadable"),
            ("sample: the type 'Upstream' of 'thing' cannot be read: it is not known at run time",),
        )

    def test_annotationThatIsBroken(self) -> None:
        (problem,) = self.problems("Broken")
        self.assertEqual(problem, "sample: the type '1 / 0' of 'thing' cannot be read: ZeroDivisionError: division by zero")

    def test_noSignature(self) -> None:
        made = Plugin("sample", "builtins.iter", IDirector)
        self.assertEqual(made.check([], {}), ["sample: <built-in function iter> has no signature to take options from"])

    def test_inheritedConstructor(self) -> None:
        self.assertEqual(self.problems("Inherited", port="x"), ("sample: port: 'x' is not a whole number",))

    def test_function(self) -> None:
        self.assertIsInstance(self.build("makePicky", "7"), sample.Picky)

    def test_secretsAreKnown(self) -> None:
        secret = [each.name for each in describeOptions(sample.Everything) if each.isSecret]
        self.assertEqual(secret, ["token"])


class BuildTests(PluginCase):
    def test_checkFindsTheSameWithoutBuilding(self) -> None:
        self.assertEqual(plugin("Picky").check(["x"], {}), ["sample: port: 'x' is not a whole number"])
        self.assertEqual(plugin("Picky").check(["13"], {}), ())

    def test_whatAConstructorRefuses(self) -> None:
        self.assertEqual(self.problems("Picky", "13"), ("sample: 13 is no port for a sailor",))

    def test_constructorWithABug(self) -> None:
        (problem,) = self.problems("Picky", "14")
        self.assertRegex(problem, r"^sample: could not be made: KeyError: 'missing' \(.*sample\.py:\d+\)$")

    def test_missingModule(self) -> None:
        made = Plugin("sample", "no.such.Class", IDirector)
        (problem,) = self.assertRaises(ConfigurationError, made.build, self.context).problems
        self.assertEqual(
            problem,
            "sample: no.such could not be imported: ModuleNotFoundError: No module named 'no' "
            "(a directory of plugins is named by --plugin-path)",
        )

    def test_missingClass(self) -> None:
        self.assertEqual(self.problems("Pickey"), (f"sample: {SAMPLE} has no Pickey; did you mean 'Picky'?",))

    def test_notAClass(self) -> None:
        self.assertEqual(self.problems("notCallable"), (f"sample: {SAMPLE}.notCallable is not a class",))

    def test_misspeltHooks(self) -> None:
        for name, hook in (("Misnamed", "modifyResponse"), ("Snake", "modify_response")):
            error = self.assertRaises(ConfigurationError, plugin(name, IResponseModifier).build, self.context)
            (problem,) = error.problems
            self.assertRegex(
                problem,
                rf"^sample: {SAMPLE}\.{name} \(.*sample\.py:\d+\) is no IResponseModifier: "
                rf"it has no modify\(request, response\); rename {hook} to modify$",
            )

    def test_hookWithoutRoomForItsArguments(self) -> None:
        error = self.assertRaises(ConfigurationError, plugin("TooFew", IResponseModifier).build, self.context)
        self.assertIn("its modify does not take (request, response)", error.problems[0])

    def test_undeclared(self) -> None:
        (problem,) = self.problems("Undeclared")
        self.assertRegex(problem, r"Undeclared \(.*\) does not say @implementer\(IDirector\)$")

    def test_everyInterfaceIsVerified(self) -> None:
        made = plugin("Both", IDirector, IBalancer).build(self.context)
        self.assertTrue(IBalancer.providedBy(made))
        error = self.assertRaises(ConfigurationError, plugin("Picky", IDirector, IBalancer).build, self.context)
        self.assertEqual(len(error.problems), 4)  # not declared, and three methods missing


class LightnessTests(SynchronousTestCase):
    def test_importsNoMachinery(self) -> None:
        """Every Twisted command imports it, by way of the drop-in."""
        import subprocess

        heavy = {"twistproxy.loader.building", "twistproxy.messages", "twisted.internet.reactor", "twisted.internet.defer"}
        program = f"import sys, twisted.plugin, twistproxy.plugin; print(sorted({heavy} & set(sys.modules)))"
        found = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        self.assertEqual(found.stdout.strip(), "[]")
