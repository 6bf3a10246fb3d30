"""C{twist revproxy} as a person meets it: what it prints, and how it ends."""

from __future__ import annotations

import io
import sys
import tomllib

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.configuring.plugins import HERE
from tests.unit.loader.temporary import temporaryDirectory
from twistproxy import __version__
from twistproxy.config import Configuration
from twistproxy.tap import Options, makeService

URL = "http://127.0.0.1:9000"


class OptionsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.out, self.err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)
        self.patch(sys, "path", sys.path[:])

    def parse(self, *arguments: str) -> Options:
        options = Options()
        options.parseOptions(arguments)
        return options

    def configuration(self, *arguments: str) -> Configuration:
        return self.parse(*arguments).configuration

    def exits(self, *arguments: str) -> object:
        """The exit code."""
        return self.assertRaises(SystemExit, self.parse, *arguments).code

    def test_shortAndLongOptions(self) -> None:
        director = f"{HERE}.Anything"
        long = ("--upstream", "--listen", "--balancer", "--director", "--modifier")
        for up, listen, balancer, direct, modify in (("-u", "-l", "-b", "-d", "-m"), long):
            made = self.configuration(
                up, URL, listen, "tcp:1", up, "http://b", balancer, "random", direct, director, modify, director, listen, "tcp:2"
            )  # fmt: skip
            self.assertEqual([each.endpoint for each in made.listeners], ["tcp:1", "tcp:2"])
            (pool,) = made.pools
            self.assertEqual(([each.url for each in pool.servers], pool.balancer.tag), ([URL, "http://b"], "random"))
            (route,) = made.routes
            self.assertEqual((len(route.directors), len(route.modifiers)), (1, 1))

    def test_everyOtherOption(self) -> None:
        plugin = f"{HERE}.Anything"
        path = temporaryDirectory(self)
        made = self.configuration(
            "-u", URL, "--middleware", plugin, "--error-handler", plugin, "--health", plugin, "--set", "max-tries=2",
            "--access-log", "-", "--error-log", f"{path}/error.log", "--plugin-path", str(path),
        )  # fmt: skip
        self.assertEqual((len(made.routes[0].middleware), len(made.errorHandlers), len(made.pools[0].health)), (1, 1, 1))
        self.assertEqual((made.settings.maxTries, made.errorLog, len(made.accessLogs)), (2, f"{path}/error.log", 1))

    def test_mistakesGoToStandardErrorOneALine(self) -> None:
        self.assertEqual(self.exits("-u", "127.0.0.1:9000", "--set", "x"), 1)
        self.assertEqual(
            self.err.getvalue().splitlines(),
            [
                "--set #1: 'x' is not NAME=VALUE",
                "--upstream #1: '127.0.0.1:9000' is not an upstream (want http://host:port, https://host:port or unix:/path); "
                "did you mean 'http://127.0.0.1:9000'?",
            ],
        )
        self.assertEqual(self.out.getvalue(), "")

    def test_nothingGiven(self) -> None:
        self.assertEqual(self.exits(), 1)
        self.assertEqual(self.err.getvalue(), "no upstream: name one by --upstream URL, a file by --config FILE, or try --demo\n")

    def test_configFile(self) -> None:
        path = temporaryDirectory(self) / "proxy.toml"
        path.write_text("pools.a.upstreams = 'http://a'")
        self.assertEqual(self.configuration("-c", str(path)).pools[0].name, "a")
        self.assertEqual(self.exits("-c", f"{path}.no"), 1)
        self.assertEqual(self.err.getvalue(), f"{path}.no: No such file or directory\n")

    def test_pluginPathMistake(self) -> None:
        self.assertEqual(self.exits("-u", URL, "--plugin-path", "/no/where"), 1)
        self.assertEqual(self.err.getvalue(), "--plugin-path: /no/where is not a directory\n")

    def test_printConfig(self) -> None:
        self.assertEqual(self.exits("-u", URL, "--print-config"), 0)
        self.assertEqual(
            tomllib.loads(self.out.getvalue())["pools"], {"default": {"upstreams": [URL], "balancer": "round-robin"}}
        )

    def test_listPlugins(self) -> None:
        self.assertEqual(self.exits("--list-plugins"), 0)
        self.assertRegex(self.out.getvalue(), r"(?m)^consistent-hash +IBalancer +the same one for the same client")

    def test_helpPlugin(self) -> None:
        self.assertEqual(self.exits("--help-plugin", "consistent-hash"), 0)
        self.assertIn("replicas     whole number  default 160", self.out.getvalue())
        self.assertEqual(self.exits("--help-plugin", "consistant-hash"), 1)
        self.assertEqual(self.err.getvalue(), "no plugin is called 'consistant-hash'; did you mean 'consistent-hash'?\n")

    def test_version(self) -> None:
        self.assertEqual(self.exits("--version"), 0)
        self.assertEqual(self.out.getvalue(), f"twistproxy {__version__}\n")

    def test_check(self) -> None:
        good = self.parse("-u", URL, "--check")
        self.assertEqual(self.assertRaises(SystemExit, makeService, good).code, 0)
        self.assertEqual(self.out.getvalue(), "the configuration is good\n")
        bad = self.parse("-u", URL, "--check", "-d", f"{HERE}.Anything:fail=yes")
        self.assertEqual(self.assertRaises(SystemExit, makeService, bad).code, 1)
        self.assertEqual(self.err.getvalue(), f"--director #1: {HERE}.Anything: it fails\n")

    def test_everyOptionHasAHelpLine(self) -> None:
        usage = Options().getUsage()
        for name in ("upstream", "listen", "check", "demo", "set", "help-plugin"):
            self.assertIn(f"--{name}", usage)
        self.assertNotIn("None", usage)

    def test_pluginPathOfAFile(self) -> None:
        root = temporaryDirectory(self)
        path = root / "proxy.toml"
        path.write_text("plugin-path = 'plugins'\npools.a.upstreams = 'http://a'\n")
        for arguments in (["-c", str(path)], ["-c", str(path), "--list-plugins"]):
            self.assertEqual(self.exits(*arguments), 1)
        line = f"{path}: plugin-path: {root}/plugins is not a directory\n"
        self.assertEqual(self.err.getvalue(), 2 * line)
        (root / "plugins").mkdir()
        self.assertEqual(self.exits("-c", str(path), "--list-plugins"), 0)
        self.assertIn(str(root / "plugins"), sys.path)
