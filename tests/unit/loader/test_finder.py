"""Plugins from drop-ins, from directories and by dotted names."""

from __future__ import annotations

import sys
from pathlib import Path
from textwrap import dedent

from twisted.logger import LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

import twisted.plugins
from tests.unit.loader.sample import Both
from tests.unit.loader.temporary import temporaryDirectory
from twistproxy.errors import ConfigurationError
from twistproxy.interfaces import IBalancer, IDirector, IPluginFactory, IResponseModifier
from twistproxy.loader.finder import PluginSet, addPluginPath, findPlugins
from twistproxy.loader.listing import helpPlugin, listPlugins
from twistproxy.plugin import Plugin

SAMPLE = "tests.unit.loader.sample"

MODULE = """
from zope.interface import implementer
from twistproxy.interfaces import IDirector
@implementer(IDirector)
class Tenant:
    "Route by tenant."
    def __init__(self, header: str = "X-Tenant"): self.header = header
    def direct(self, inbound, outbound): pass
"""

DROPIN = """
from twistproxy.interfaces import IDirector
from twistproxy.plugin import Plugin
tenant = Plugin("{tag}", "{module}.Tenant", IDirector, summary="routes by tenant")
"""


@implementer(IPluginFactory)
class Factory:
    """Somebody's own kind of factory."""

    summary = "makes both"

    def __init__(self, tag: str) -> None:
        self.tag = tag
        self.provides = (IDirector,)

    def build(self, context: object, *args: str, **options: str) -> Both:
        """One."""
        return Both()


class DirectoryTests(SynchronousTestCase):
    """With directories of plugins on a disk."""

    def setUp(self) -> None:
        self.patch(sys, "path", sys.path[:])
        self.patch(twisted.plugins, "__path__", twisted.plugins.__path__[:])
        self.addCleanup(self.forgetModules, set(sys.modules))

    def forgetModules(self, before: set[str]) -> None:
        for name in set(sys.modules) - before:
            # Only what these tests made: others hold on to classes of the modules that they imported.
            if "findertest" in name:
                del sys.modules[name]

    def directory(self, **files: str) -> Path:
        """A directory on the plugin path: modules by name, drop-ins by a name that starts with dropin."""
        root = temporaryDirectory(self)
        dropins = root / "twisted" / "plugins"
        dropins.mkdir(parents=True)
        for name, text in files.items():
            where = dropins / f"findertest_{name}.py" if name.startswith("dropin") else root / f"findertest{name}.py"
            where.write_text(dedent(text))
        addPluginPath(str(root))
        return root

    def test_dropInIsFoundAndItsModuleImportedWhenUsed(self) -> None:
        self.directory(one=MODULE, dropinone=DROPIN.format(tag="tenant", module="findertestone"))
        found = findPlugins()
        self.assertEqual(found.warnings, ())
        self.assertNotIn("findertestone", sys.modules)
        plugin = found.find("tenant", IDirector)
        self.assertEqual(plugin.build(None, header="A").header, "A")

    def test_builtInsAreThere(self) -> None:
        found = findPlugins()
        for tag in ("random", "round-robin", "weighted-round-robin", "consistent-hash"):
            self.assertTrue(found.provides(tag, IBalancer), tag)

    def test_brokenDropInCostsALine(self) -> None:
        self.directory(
            dropinbroken="import no_such_module_at_all\n",
            dropinsyntax="def f(:\n",
            two=MODULE,
            dropintwo=DROPIN.format(tag="tenant", module="findertesttwo"),
        )
        levels: list[object] = []

        def observe(event: dict[str, object]) -> None:
            levels.append(event["log_level"])

        globalLogPublisher.addObserver(observe)  # type: ignore[arg-type]
        self.addCleanup(globalLogPublisher.removeObserver, observe)  # type: ignore[arg-type]
        found = findPlugins()
        self.assertEqual(len(self.flushLoggedErrors(ModuleNotFoundError, SyntaxError)), 2)
        broken, syntax = sorted(found.warnings)
        self.assertRegex(
            broken,
            r"^the drop-in findertest_dropinbroken could not be imported, its plugins are not available: "
            r"ModuleNotFoundError: No module named 'no_such_module_at_all' \(/.*findertest_dropinbroken\.py:1\)$",
        )
        self.assertRegex(syntax, r"^the drop-in findertest_dropinsyntax .*: SyntaxError: .*findertest_dropinsyntax\.py:1\)$")
        self.assertTrue(found.provides("tenant", IDirector))
        # What twist prints at once are critical events; these are not.
        self.assertEqual(set(levels), {LogLevel.debug})

    def test_tagOfTwo(self) -> None:
        self.directory(
            three=MODULE,
            four=MODULE,
            dropinthree=DROPIN.format(tag="tenant", module="findertestthree"),
            dropinfour=DROPIN.format(tag="tenant", module="findertestfour"),
        )
        found = findPlugins()
        sentence = "two plugins are called 'tenant': findertestfour.Tenant and findertestthree.Tenant; remove one of them"
        self.assertEqual(found.warnings, (sentence,))
        error = self.assertRaises(ConfigurationError, found.find, "tenant", IDirector)
        self.assertEqual(error.problems, (sentence,))

    def test_tagOfABuiltInCannotBeTaken(self) -> None:
        self.directory(five=MODULE, dropinfive=DROPIN.format(tag="round-robin", module="findertestfive"))
        found = findPlugins()
        self.assertIn("twistproxy's own is used", found.warnings[0])
        self.assertTrue(found.provides("round-robin", IBalancer))

    def test_factoriesThatCannotBeUsed(self) -> None:
        self.directory(
            dropinodd="""
            from twisted.plugin import IPlugin
            from zope.interface import implementer
            from twistproxy.interfaces import IPluginFactory
            @implementer(IPlugin, IPluginFactory)
            class Odd:
                def __init__(self, tag): self.tag = tag
            one, two = Odd("a.b"), Odd("bare")
            """
        )
        name = "twisted.plugins.findertest_dropinodd.Odd"
        self.assertEqual(
            sorted(findPlugins().warnings),
            [f"the plugin 'bare' ({name}) lacks build or provides", f"the plugin {name} has no usable tag: 'a.b'"],
        )

    def test_classOfADirectory(self) -> None:
        self.directory(six=MODULE)
        made = PluginSet({}).find("findertestsix.Tenant", IDirector)
        self.assertEqual((made.tag, made.build(None).header), ("findertestsix.Tenant", "X-Tenant"))

    def test_noDirectory(self) -> None:
        error = self.assertRaises(ConfigurationError, addPluginPath, "/no/where")
        self.assertEqual(error.problems, ("/no/where is not a directory",))


class FindTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.set = PluginSet(
            {
                "tenant": Plugin("tenant", f"{SAMPLE}.Everything", IDirector, summary="routes by tenant"),
                "canary": Plugin("canary", f"{SAMPLE}.Both", IDirector, IBalancer),
                "random": Plugin("random", f"{SAMPLE}.Both", IBalancer),
                "own": Factory("own"),
            }
        )

    def problem(self, name: str, wanted: type) -> str:
        (found,) = self.assertRaises(ConfigurationError, self.set.find, name, wanted).problems
        return str(found)

    def test_byTag(self) -> None:
        self.assertEqual(self.set.find("canary", IDirector).tag, "canary")
        self.assertEqual(self.set.find("canary", IBalancer).tag, "canary")

    def test_unknown(self) -> None:
        self.assertEqual(self.problem("tennant", IDirector), "no IDirector plugin is called 'tennant'; did you mean 'tenant'?")
        self.assertEqual(self.problem("xyz", IBalancer), "no IBalancer plugin is called 'xyz' (there are: canary, random)")
        self.assertEqual(self.problem("xyz", IResponseModifier), "no IResponseModifier plugin is called 'xyz' (there are none)")

    def test_otherKind(self) -> None:
        self.assertEqual(
            self.problem("tenant", IBalancer), "'tenant' is the wrong kind of plugin: IBalancer is wanted, it is IDirector"
        )
        self.assertEqual(
            self.problem("canary", IResponseModifier),
            "'canary' is the wrong kind of plugin: IResponseModifier is wanted, it is IDirector and IBalancer",
        )

    def test_dottedClass(self) -> None:
        found = self.set.find(f"{SAMPLE}.Both", IBalancer)
        self.assertEqual(set(found.provides), {IDirector, IBalancer})
        self.assertEqual(
            self.problem(f"{SAMPLE}.Picky", IBalancer),
            f"'{SAMPLE}.Picky' is the wrong kind of plugin: IBalancer is wanted, it is IDirector",
        )
        self.assertEqual(
            self.problem(f"{SAMPLE}.Undeclared", IDirector),
            f"{SAMPLE}.Undeclared implements no interface: decorate it with @implementer(...)",
        )

    def test_list(self) -> None:
        self.assertEqual(
            listPlugins(self.set),
            "random  IBalancer\n"
            "own     IDirector             makes both\n"
            "tenant  IDirector             routes by tenant\n"
            "canary  IDirector, IBalancer\n",
        )
        self.assertEqual(listPlugins(PluginSet({})), "no plugins were found\n")

    def test_help(self) -> None:
        text = helpPlugin(self.set, "tenant")
        self.assertTrue(text.startswith("tenant: IDirector\n\nroutes by tenant\n\nTakes an option of every kind.\n\nOptions:\n"))
        lines = [line.split(None, 1) for line in text.splitlines()[7:]]
        self.assertIn(["header", "text                   required"], lines)
        self.assertIn(["limit", "duration               default 5s"], lines)
        self.assertIn(["max-size", "size                   default 1KiB"], lines)
        self.assertIn(["mode", "strict|lax             default lax"], lines)
        self.assertIn(["is-on", "yes|no                 default no"], lines)
        self.assertIn(["names", "list of text           default none"], lines)

    def test_helpForADottedClassAndForAnothersFactory(self) -> None:
        self.assertIn("port  whole number  default 1", helpPlugin(self.set, f"{SAMPLE}.Picky"))
        self.assertIn("It has no options.", helpPlugin(self.set, "random"))
        self.assertEqual(helpPlugin(self.set, "own"), "own: IDirector\n\nmakes both\n\nSomebody's own kind of factory.\n")

    def test_helpForNothing(self) -> None:
        error = self.assertRaises(ConfigurationError, helpPlugin, self.set, "tenat")
        self.assertEqual(error.problems, ("no plugin is called 'tenat'; did you mean 'tenant'?",))
