"""Checks as a configuration names them."""

from __future__ import annotations

import tomllib

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import BUILT_IN
from tests.unit.loader.temporary import temporaryDirectory
from twistproxy.commandline import CommandLine, configure
from twistproxy.config import Configuration
from twistproxy.configfile import ConfigurationFile
from twistproxy.configtext import configurationText
from twistproxy.errors import ConfigurationError
from twistproxy.loader.finder import PluginSet

PLUGINS = PluginSet(BUILT_IN)


class FileTests(SynchronousTestCase):
    def read(self, text: str, **words: list[str]) -> Configuration:
        path = temporaryDirectory(self) / "proxy.toml"
        path.write_text(text)
        return configure(CommandLine(**words), PLUGINS, ConfigurationFile(str(path)))  # type: ignore[arg-type]

    def test_ofEachPool(self) -> None:
        text = """
            [pools.default]
            upstreams = "http://10.0.0.1"
            health = ["tcp", { use = "http", path = "/healthz", initial = "down" }]
            passive = "max-fails:3"
            settings = { health-interval = "1s", health-fall = 1 }
            [pools.other]
            upstreams = "http://10.0.0.2"
            passive = [{ use = "outlier", errors = 3 }, "max-fails"]
        """
        made = self.read(text)
        one, other = made.pools
        self.assertEqual([each.tag for each in one.health], ["tcp", "http"])
        self.assertEqual([(each.tag, each.args) for each in one.passive], [("max-fails", ("3",))])
        self.assertEqual([each.tag for each in other.passive], ["outlier", "max-fails"])
        settings = made.settingsOf(one)
        self.assertEqual((settings.healthInterval, settings.healthFall, settings.healthRise), (1.0, 1, 2))
        self.assertEqual(made.settingsOf(other).healthInterval, 5.0)
        shown = tomllib.loads(configurationText(made))["pools"]
        self.assertEqual(shown["default"]["passive"], [{"use": "max-fails", "fails": "3"}])
        self.assertEqual(shown["default"]["settings"], {"health-interval": "1s", "health-fall": "1"})

    def test_theCommandLineHasNoSayInPoolsOfAFile(self) -> None:
        text = "pools.a.upstreams = 'http://10.0.0.1'"
        error = self.assertRaises(ConfigurationError, self.read, text, passive=["max-fails"], health=["tcp"])
        self.assertEqual([each.partition(": ")[0] for each in error.problems], ["--health", "--passive"])


class CommandLineTests(SynchronousTestCase):
    def test_mistakes(self) -> None:
        for option, spec, problem in (
            ("passive", "max-fail", "--passive #1: no IPassiveCheck plugin is called 'max-fail'; did you mean 'max-fails'?"),
            ("health", "htp", "--health #1: no IHealthCheck plugin is called 'htp'; did you mean 'http'?"),
            ("health", "http:pth=/x", "--health #1: http: has no option 'pth'; did you mean 'path'?"),
            (
                "health",
                "max-fails",
                "--health #1: 'max-fails' is the wrong kind of plugin: IHealthCheck is wanted, it is IPassiveCheck",
            ),
        ):
            words = CommandLine(upstreams=["http://10.0.0.1"], **{option: [spec]})  # type: ignore[arg-type]
            error = self.assertRaises(ConfigurationError, configure, words, PLUGINS)
            self.assertEqual(error.problems, (problem,))
