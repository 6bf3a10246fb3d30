"""TOML to a configuration, and back."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from textwrap import dedent

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.configuring.plugins import somePlugins
from tests.unit.loader.temporary import temporaryDirectory
from twistproxy.commandline import CommandLine, configure
from twistproxy.config import AccessLogConfig, Configuration, ListenerConfig, UpstreamConfig, buildPlugins
from twistproxy.configfile import ConfigurationFile
from twistproxy.configtext import configurationText
from twistproxy.configuring.workers import processors
from twistproxy.errors import ConfigurationError
from twistproxy.routing import HeaderMatch, RouteMatch

WHOLE = """
access-log = "json:access.log"
error-log = "error.log"
error-handler = ["handle:all"]

[[listeners]]
endpoint = "tcp:8080"

[[listeners]]
endpoint = "unix:run/proxy.sock:mode=660"

[pools.app]
upstreams = [
    "http://10.0.0.1:9000",
    "http://10.0.0.2:9000,weight=3",
    { url = "unix:app.sock", max-conns = 5, backup = true },
    { use = "zookeeper" },
    "zookeeper:one",
]
balancer = { use = "consistent-hash", key = "header:X-User", replicas = 20 }
health = ["probe:limit=2s", { use = "probe", limit = 3 }]

[pools."two words"]
upstreams = "https://api.internal"

[[routes]]
match = { host = ["API.example.com", "*.example.org"], path = "/v1/", method = ["GET", "POST"], header = { X-Canary = "yes" } }
pool = "two words"
director = ["direct:first", { use = "direct", name = "second", token = "hush" }]
modifier = "modify"
middleware = { use = "wrap", token = { env = "HOME" } }
error-handler = ["handle"]
settings = { max-tries = 3, hook-timeout = "5s" }

[[routes]]
match.path-regex = '\\.php$'
match.header = { Authorization = false, X-Any = true }
pool = "app"

[[routes]]
pool = "app"

[settings]
trusted-proxies = ["10.0.0.0/8", "::1"]
upstream-timeout = 5
max-body-bytes = "1MiB"
max-tries = 2
forwarded = true
"""


TWO_ROUTES = """
[[routes]]
[[routes]]
match = { path = "/a" }
middleware = "wrap"
"""


class FileCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = temporaryDirectory(self)
        self.path = self.directory / "proxy.toml"

    def read(self, text: str) -> Configuration:
        """The configuration of a file with C{text} alone."""
        self.path.write_text(dedent(text))
        return configure(CommandLine(), somePlugins(), ConfigurationFile(str(self.path)))

    def problems(self, text: str) -> list[str]:
        """What is wrong with C{text}, without the file's name."""
        lines = self.assertRaises(ConfigurationError, self.read, text).problems
        for each in lines:
            self.assertTrue(each.startswith(f"{self.path}: "), each)
        return [each.replace(f"{self.path}: ", "") for each in lines]


class ReadTests(FileCase):
    def test_whole(self) -> None:
        made = self.read(WHOLE)
        self.assertEqual(made.source, str(self.path))
        self.assertEqual(
            made.listeners, (ListenerConfig("tcp:8080"), ListenerConfig(f"unix:{self.directory}/run/proxy.sock:mode=660"))
        )
        self.assertEqual(made.accessLogs, (AccessLogConfig(f"{self.directory}/access.log", "json"),))
        self.assertEqual(made.errorLog, f"{self.directory}/error.log")
        self.assertEqual([each.args for each in made.errorHandlers], [("all",)])
        app, other = made.pools
        self.assertEqual(
            app.servers,
            (
                UpstreamConfig("http://10.0.0.1:9000"),
                UpstreamConfig("http://10.0.0.2:9000", 3),
                UpstreamConfig(f"unix:{self.directory}/app.sock", maxConnections=5, backup=True),
            ),
        )
        self.assertEqual([each.args for each in app.sources], [(), ("one",)])
        self.assertEqual((app.balancer.tag, app.balancer.options), ("consistent-hash", {"key": "header:X-User", "replicas": 20}))
        self.assertEqual([each.options for each in app.health], [{"limit": "2s"}, {"limit": 3}])
        self.assertEqual((other.name, other.balancer.tag), ("two words", "round-robin"))
        first, second, third = made.routes
        self.assertEqual(
            first.match,
            RouteMatch(
                ("api.example.com", "*.example.org"), b"/v1/", None, (b"GET", b"POST"), (HeaderMatch(b"x-canary", b"yes"),)
            ),
        )
        self.assertEqual(
            second.match,
            RouteMatch(
                pathRegex=re.compile(r"\.php$"),
                headers=(HeaderMatch(b"authorization", absent=True), HeaderMatch(b"x-any")),
            ),
        )
        self.assertEqual((first.pool, second.pool, third.pool, third.match), ("two words", "app", "app", RouteMatch()))
        self.assertEqual(made.settingsOf(first).maxTries, 3)
        self.assertEqual(made.settingsOf(first).upstreamTimeout, 5.0)
        self.assertIs(made.settingsOf(second), made.settings)
        self.assertEqual((made.settings.maxBodyBytes, made.settings.forwarded), (1 << 20, True))

    def test_proxyProtocol(self) -> None:
        made = self.read(
            'pools.app.upstreams = ["http://a"]\n[[listeners]]\nendpoint = "tcp:80"\nproxy-protocol = ["10.0.0.0/8", "::1"]'
        )
        self.assertEqual([*map(str, made.listeners[0].proxyProtocol)], ["10.0.0.0/8", "::1/128"])
        self.assertEqual(self.read(configurationText(made)).listeners, made.listeners)
        self.assertEqual(
            self.problems('pools.a.upstreams = "http://a"\n[[listeners]]\nproxy-protocol = "::1"\n[[listeners]]\n'
                          'endpoint = "tcp:80"\nproxy-protocol = 5'),
            ["listeners[0]: has no endpoint",
             "listeners[1]: proxy-protocol names the networks of those who send it, such as 10.0.0.0/8; not 5"],
        )  # fmt: skip

    def test_announcedUpstreams(self) -> None:
        made = self.read('pools.a.upstreams = [{ url = "http://a", proxy-protocol = "v2" }]')
        self.assertEqual(made.pools[0].servers[0].proxyProtocol, "v2")
        self.assertEqual(self.read(configurationText(made)).pools[0].servers, made.pools[0].servers)

    def test_announcedPools(self) -> None:
        upstreams = 'upstreams = ["http://a", { url = "http://b", proxy-protocol = "v1" }]'
        made = self.read(f'[pools.a]\n{upstreams}\nproxy-protocol = "v2"')
        pool = made.pools[0]
        self.assertEqual([each.build().announced(pool.proxyProtocol).proxyProtocol for each in pool.servers], ["v2", "v1"])
        again = self.read(configurationText(made)).pools[0]
        self.assertEqual((again.servers, again.proxyProtocol), (pool.servers, "v2"))
        self.assertEqual(
            self.problems('[pools.a]\nupstreams = "http://a"\nproxy-protocol = 2'),
            ["pools.a.proxy-protocol: proxy-protocol is v1 or v2, not 2"],
        )

    def test_forward(self) -> None:
        made = self.read('[forward]\nallow = ["10.0.0.0/8", "port:22"]\ndeny = ".bad.example"')
        assert made.forward is not None
        policy = made.forward.policy
        self.assertEqual([[*map(str, each)] for each in (policy.allowed, policy.denied)],
                         [["10.0.0.0/8", "port:22"], [".bad.example"]])  # fmt: skip
        self.assertEqual([each.endpoint for each in made.listeners], ["tcp:8080:interface=127.0.0.1"])
        self.assertEqual(self.read(configurationText(made)).forward, made.forward)
        self.assertEqual(
            self.problems('[forward]\nalow = "x"\nallow = ["a:80", 5]\nusers = 5'),
            ["forward.alow: unknown key; did you mean 'allow'?",
             "forward.allow[0]: 'a:80' is not a network (10.0.0.0/8), a name, .suffix or port:N",
             "forward.allow[1]: '5' is not a network (10.0.0.0/8), a name, .suffix or port:N",
             "forward.users: users are in a file: name it"],
        )  # fmt: skip

    def test_transparent(self) -> None:
        made = self.read('[[listeners]]\nendpoint = "tcp:80"\ntransparent = true')
        self.assertEqual([(each.pool, each.place) for each in made.routes], [(None, "--transparent")])
        self.assertTrue(made.isTransparent)
        self.assertEqual(self.read(configurationText(made)).listeners, made.listeners)

    def test_pluginsKnowTheirPlaces(self) -> None:
        made = self.read(WHOLE)
        self.assertEqual(
            [each.place.replace(f"{self.path}: ", "") for each in made.routes[0].uses()],
            ["routes[0].middleware[0]", "routes[0].director[0]", "routes[0].director[1]", "routes[0].modifier[0]",
             "routes[0].error-handler[0]"],
        )  # fmt: skip
        built = buildPlugins(made, None)
        middleware = built[made.routes[0].middleware[0]]
        self.assertEqual(middleware.context.directory, str(self.directory))
        self.assertEqual(middleware.context.settings.maxTries, 3)

    def test_middlewareOfAllRoutes(self) -> None:
        made = self.read('middleware = ["wrap"]\npools.a.upstreams = "http://a"\n' + TWO_ROUTES)
        self.assertEqual([each.place.replace(f"{self.path}: ", "") for each in made.middleware], ["middleware[0]"])
        self.assertEqual([len(each.middleware) for each in made.routes], [0, 1])
        self.assertEqual(len(buildPlugins(made, None)), 3)  # with the balancer
        again = self.read(configurationText(made))
        self.assertEqual([len(each.middleware) for each in (again, *again.routes)], [1, 0, 1])
        self.assertEqual(
            self.problems('middleware = ["wrpa"]\npools.a.upstreams = "http://a"'),
            ["middleware[0]: no IMiddleware plugin is called 'wrpa'; did you mean 'wrap'?"],
        )

    def test_defaults(self) -> None:
        made = self.read('pools.app.upstreams = ["http://a"]')
        self.assertEqual(made.listeners, (ListenerConfig("tcp:8080"),))
        self.assertEqual([each.pool for each in made.routes], ["app"])
        made = self.read('[pools.default]\nupstreams = ["http://a"]\n[pools.other]\nupstreams = ["http://b"]')
        self.assertEqual([each.pool for each in made.routes], ["default"])

    def test_poolOfARoute(self) -> None:
        one = 'pools.app.upstreams = "http://a"\n'
        self.assertEqual(self.read(one + "[[routes]]\nmatch.path = '/a'").routes[0].pool, "app")
        two = one + 'pools.b.upstreams = "http://b"\n'
        self.assertIs(self.read(two + "[[routes]]\ndirector = 'direct'").routes[0].pool, None)

    def test_certificatesAreFoundFromTheFile(self) -> None:
        (line,) = self.problems('pools.a.upstreams = "http://a"\n[[listeners]]\nendpoint = "ssl:443:privateKey=key.pem"')
        self.assertIn(f"{self.directory}/key.pem", line)

    def test_internationalHosts(self) -> None:
        made = self.read("pools.a.upstreams = 'http://a'\n[[routes]]\nmatch = { host = 'Bücher.example', path = '/ä b' }")
        self.assertEqual(made.routes[0].match.hosts, ("xn--bcher-kva.example",))
        self.assertEqual(made.routes[0].match.path, b"/%C3%A4%20b")


class MistakeTests(FileCase):
    def test_allAtOnce(self) -> None:
        found = self.problems(
            """
            acces-log = "-"
            [[listeners]]
            endpoin = "tcp:8080"
            [[listeners]]
            endpoint = "tpc:80"
            [pools.app]
            upstreams = ["htp://10.0.0.1:9000", { url = "unix:app.sock", max-cons = 5 }, 3]
            balancer = { use = "consistent-hash", ky = "path", replicas = "many" }
            [pools.api]
            health = ["prob"]
            [[routes]]
            match = { hots = "a", path = "v1/", method = "get", path-regex = "(", host = "a:80", header = { "a b" = 3 } }
            pool = "apu"
            settings = { max-tries = 3, head-timeout = "3s", max-trys = 4 }
            director = ["nope:x=1", { usee = "x" }, 3, "random"]
            [[routes]]
            pool = "app"
            [[routes]]
            pool = "app"
            [settings]
            trusted-proxies = ["10.0.0.0/99"]
            upstream-timeout = "x"
            forwarded = "perhaps"
            [admin]
            """
        )
        self.assertEqual(
            [line.replace("http://host:port, https://host:port or unix:/path", "...") for line in found],
            [
                "acces-log: unknown key; did you mean 'access-log'?",
                "listeners[0].endpoin: unknown key; did you mean 'endpoint'?",
                "listeners[1].endpoint: 'tpc:80' is not an endpoint; did you mean 'tcp'?",
                "pools.app.upstreams[0]: 'htp://10.0.0.1:9000' is not an upstream (want ...); did you mean 'http'?",
                "pools.app.upstreams[1]: an upstream has no option 'max-cons'; did you mean 'max-conns'?",
                "pools.app.upstreams[2]: an upstream is a string or a table",
                "pools.app.balancer: consistent-hash: has no option 'ky'; did you mean 'key'?",
                "pools.app.balancer: consistent-hash: replicas: 'many' is not a whole number",
                "pools.api: a pool needs upstreams",
                "pools.api.health[0]: no IHealthCheck plugin is called 'prob'; did you mean 'probe'?",
                "routes[0].match.hots: unknown key; did you mean 'host'?",
                "routes[0].match.host: 'a:80' is not a host name (without its port): want example.com or *.example.com",
                "routes[0].match.path: is text that starts with a slash",
                "routes[0].match.path-regex: '(' is not a regular expression: missing ), unterminated subpattern at position 0",
                "routes[0].match.method: methods are case-sensitive: did you mean 'GET'?",
                "routes[0].match.header.a b: is not the name of a header",
                "routes[0].director[0]: no IDirector plugin is called 'nope' (there are: direct)",
                "routes[0].director[1]: a plugin table needs use = \"tag\"; you wrote 'usee'",
                'routes[0].director[2]: a plugin is a string, or a table with use = "tag"',
                "routes[0].director[3]: 'random' is the wrong kind of plugin: IDirector is wanted, it is IBalancer",
                "routes[0].settings.head-timeout: head-timeout holds for the whole proxy: set it in [settings]",
                "routes[0].settings.max-trys: there is no setting 'max-trys'; did you mean 'max-tries'?",
                "settings.trusted-proxies: '10.0.0.0/99' does not appear to be an IPv4 or IPv6 network",
                "settings.upstream-timeout: 'x' is not a duration (want one such as 500ms, 10s, 5m, 1h)",
                "settings.forwarded: 'perhaps' is neither yes nor no",
                "admin: the admin interface is not built yet",
                "routes[0]: there is no pool 'apu'; did you mean 'app'?",
                "routes[2]: no request gets here, routes[1] matches the same",
            ],
        )

    def test_wrongShapes(self) -> None:
        self.assertEqual(
            self.problems(
                """
                listeners = "tcp:80"
                routes = ["x"]
                pools = 3
                settings = 4
                error-log = 5
                access-log = [6]
                """
            ),
            [
                "listeners: is a list of tables: write [[listeners]]",
                "pools: is a table: write [pools]",
                "routes: is a list of tables: write [[routes]]",
                "settings: is a table: write [settings]",
                'access-log[0]: a plugin is a string, or a table with use = "tag"',
                "error-log: an error log is the path of a file",
                "there are no [pools], and no --upstream",
            ],
        )
        self.assertEqual(
            self.problems(
                """
                pools.a.upstreams = [{ url = 3, weight = true, backup = "yes" }]
                [[listeners]]
                [[routes]]
                match = { host = 3, path = 4, path-regex = 5, method = [6], header = 7 }
                pool = 8
                [[routes]]
                match = { path = "/a*", method = "a b" }
                [[routes]]
                match = { path = "/a?b", host = "é..é", header = { X = 3 } }
                """
            ),
            [
                "listeners[0]: has no endpoint",
                "pools.a.upstreams[0]: url is text: put it in quotes",
                "pools.a.upstreams[0]: weight is a whole number from 1, not True",
                "pools.a.upstreams[0]: backup is true or false, not 'yes'",
                "routes[0].pool: a pool is named by text",
                "routes[0].match.host: is text, or a list of texts",
                "routes[0].match.path: is text that starts with a slash",
                "routes[0].match.path-regex: is text",
                "routes[0].match.method: is text, or a list of texts",
                'routes[0].match.header: is a table such as { X-Canary = "yes" }',
                "routes[1].match.path: '/a*': a path is a prefix and needs no *; path-regex takes patterns",
                "routes[1].match.method: 'a b' is not a method",
                "routes[2].match.host: 'é..é' is not a host name",
                "routes[2].match.path: '/a?b' has more than a path",
                "routes[2].match.header.X: is text, true for any value or false for none",
                "routes[0]: there is no pool 'default'",
            ],
        )

    def test_noRouteAmongSeveralPools(self) -> None:
        two = "pools.a.upstreams = 'http://a'\npools.b.upstreams = 'http://b'\n"
        self.assertEqual(self.problems(two), ["there are several pools (a, b) and no [[routes]] to say which requests go where"])
        self.assertEqual(self.problems(two + "[[routes]]"), ["routes[0]: names no pool, and has no director to choose one"])

    def test_unreadableFiles(self) -> None:
        self.assertEqual(self.problems("a = ="), ["not valid TOML: Invalid value (at line 1, column 5)"])
        error = self.assertRaises(ConfigurationError, ConfigurationFile, "/no/proxy.toml")
        self.assertEqual(error.problems, ("/no/proxy.toml: No such file or directory",))

    def test_pluginPathIsRelativeToTheFile(self) -> None:
        self.path.write_text("plugin-path = ['plugins', '/abs']")
        self.assertEqual(ConfigurationFile(str(self.path)).pluginPath, [f"{self.directory}/plugins", "/abs"])


class TextTests(FileCase):
    def test_printedConfigurationReadsAsTheSame(self) -> None:
        text = configurationText(self.read(WHOLE.replace("hush", "env:HOME")))
        again = configurationText(self.read(text))
        self.assertEqual(text, again)

    def test_secretsAreMasked(self) -> None:
        made = self.read(
            """
            pools.a.upstreams = "http://a"
            [[routes]]
            director = ["direct:token=hush", "direct:a:5s:hush", { use = "direct", token = { env = "HOME" } }]
            """
        )
        text = configurationText(made)
        self.assertNotIn("hush", text)
        directors = tomllib.loads(text)["routes"][0]["director"]
        self.assertEqual(
            directors,
            [
                {"use": "direct", "token": "***"},
                {"use": "direct", "name": "a", "limit": "5s", "token": "***"},
                {"use": "direct", "token": {"env": "HOME"}},
            ],
        )

    def test_everySettingIsThere(self) -> None:
        from twistproxy.settings import describeSettings

        settings = tomllib.loads(configurationText(self.read("pools.a.upstreams = 'http://a'")))["settings"]
        self.assertEqual(list(settings), [each.name for each in describeSettings()])

    def test_demo(self) -> None:
        text = configurationText(configure(CommandLine(demo=True), somePlugins()))
        self.assertIn("# --demo adds", text)
        self.assertEqual(tomllib.loads(text)["pools"]["default"]["upstreams"], [])


class ExampleTests(SynchronousTestCase):
    def test_oddNamesAreQuoted(self) -> None:
        directory: Path = temporaryDirectory(self)
        path = directory / "p.toml"
        path.write_text('[pools."a \\"b\\" \\u0007"]\nupstreams = ["http://a"]')
        made = configure(CommandLine(), somePlugins(), ConfigurationFile(str(path)))
        self.assertEqual(list(tomllib.loads(configurationText(made))["pools"]), ['a "b" \x07'])


class RouteSettingsTests(FileCase):
    def test_thoseOfAnExchange(self) -> None:
        """The engine reads these of the route (L{twistproxy.exchange.exchange.Exchange.settings}), all others of the proxy."""
        from twistproxy.configuring.settings import ROUTE_SETTINGS
        from twistproxy.settings import describeSettings

        known = {each.attribute: each for each in describeSettings()}
        self.assertLessEqual(ROUTE_SETTINGS, set(known))
        shown = "\n".join(f"{known[each].name} = '{known[each].default}'" for each in ROUTE_SETTINGS)
        made = self.read(f"pools.a.upstreams = 'http://a'\n[[routes]]\n[routes.settings]\n{shown}")
        self.assertEqual(set(made.routes[0].settings), set(ROUTE_SETTINGS))


class PoolSettingsTests(FileCase):
    def test_aPoolsOwn(self) -> None:
        made = self.read("pools.a = { upstreams = 'http://a', settings = { slow-start = '30s', panic-threshold = 50 } }")
        self.assertEqual(dict(made.pools[0].settings), {"slowStart": 30.0, "panicThreshold": 50})
        shown = tomllib.loads(configurationText(made))
        self.assertEqual(shown["pools"]["a"]["settings"], {"slow-start": "30s", "panic-threshold": "50"})

    def test_notThoseOfARoute(self) -> None:
        self.assertEqual(
            self.problems("pools.a = { upstreams = 'http://a', settings = { max-tries = 2 } }"),
            ["pools.a.settings.max-tries: max-tries holds for a route or the whole proxy: set it there, or in [settings]"],
        )


class WorkersTests(FileCase):
    def test_aNumberOrOneForEachProcessor(self) -> None:
        made = self.read("workers = 3\npools.a.upstreams = 'http://a'")
        self.assertEqual((made.workers, tomllib.loads(configurationText(made))["workers"]), (3, 3))
        self.assertEqual(self.read("workers = 'auto'\npools.a.upstreams = 'http://a'").workers, processors())
        alone = self.read("pools.a.upstreams = 'http://a'")
        self.assertEqual(alone.workers, 1)
        self.assertNotIn("workers =", configurationText(alone))

    def test_theCommandLineWins(self) -> None:
        self.path.write_text("workers = 3\npools.a.upstreams = 'http://a'")
        words = CommandLine(workers="2")
        self.assertEqual(configure(words, somePlugins(), ConfigurationFile(str(self.path))).workers, 2)

    def test_mistakes(self) -> None:
        for value in ("0", "-1", "true", "1.5", "257", "'many'"):
            (problem,) = self.problems(f"workers = {value}\npools.a.upstreams = 'http://a'")
            self.assertTrue(problem.startswith("workers: workers are a whole number from 1 to 256, or auto, not "), problem)
        words = CommandLine(demo=True, workers="2")
        error = self.assertRaises(ConfigurationError, configure, words, somePlugins())
        self.assertEqual(error.problems, ("--demo: is served by one process: leave out --workers",))
