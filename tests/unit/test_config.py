"""Uses of plugins, above all of factories that are somebody's own."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.unit.loader.sample import Both
from twistproxy.config import BuildContext, PluginUse
from twistproxy.errors import ConfigurationError
from twistproxy.interfaces import IDirector, IPluginFactory, IResponseModifier


@implementer(IPluginFactory)
class Own:
    """A factory that is no L{twistproxy.plugin.Plugin}."""

    tag = "own"
    summary = ""
    provides = (IDirector, IResponseModifier)

    def build(self, context: BuildContext, *args: Any, **options: Any) -> Any:
        """A director, whatever was asked for."""
        if "wrong" in options:
            raise ConfigurationError("wrong is wrong", "and that too")
        made: Any = Both()
        made.built = (context, args, options)
        return made


class PluginUseTests(SynchronousTestCase):
    def test_foreignFactory(self) -> None:
        use = PluginUse("p.toml: x", IDirector, Own(), ("a",), {"b": "c"}, "/base")
        self.assertEqual((use.tag, use.check()), ("own", ()))
        reactor = object()
        context, args, options = use.build(BuildContext(reactor)).built
        self.assertEqual((context.reactor, context.place, context.directory), (reactor, "p.toml: x", "/base"))
        self.assertEqual((args, options), (("a",), {"b": "c"}))

    def test_itsMistakesGetTheirPlace(self) -> None:
        use = PluginUse("--director #1", IDirector, Own(), options={"wrong": "1"})
        error = self.assertRaises(ConfigurationError, use.build, BuildContext(None))
        self.assertEqual(error.problems, ("--director #1: wrong is wrong", "--director #1: and that too"))

    def test_whatItMakesIsVerified(self) -> None:
        use = PluginUse("--modifier #1", IResponseModifier, Own())
        error = self.assertRaises(ConfigurationError, use.build, BuildContext(None))
        self.assertTrue(error.problems[0].startswith("--modifier #1: own: tests.unit.loader.sample.Both ("), error.problems)
        self.assertIn("does not say @implementer(IResponseModifier)", error.problems[0])

    def test_usesAreTheirOwnKeys(self) -> None:
        one, other = (PluginUse("same", IDirector, Own()) for _ in range(2))
        self.assertEqual(len({one: 1, other: 2}), 2)
