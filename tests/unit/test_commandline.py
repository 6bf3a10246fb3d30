"""The words of a command line to a configuration."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.configuring.plugins import HERE, somePlugins
from tests.unit.loader.temporary import temporaryDirectory
from twistproxy.commandline import CommandLine, configure
from twistproxy.config import (
    AccessLogConfig,
    BuildContext,
    Configuration,
    ListenerConfig,
    PluginUse,
    UpstreamConfig,
    buildPlugins,
)
from twistproxy.configfile import ConfigurationFile
from twistproxy.errors import ConfigurationError
from twistproxy.forward.config import ForwardConfig
from twistproxy.routing import RouteMatch
from twistproxy.settings import Settings
from twistproxy.text.networks import UNIX_PEERS

URL = "http://127.0.0.1:9000"


class CommandLineCase(SynchronousTestCase):
    def configure(self, **words: Any) -> Configuration:
        words.setdefault("upstreams", [URL])
        return configure(CommandLine(**words), somePlugins())

    def problems(self, **words: Any) -> list[str]:
        """What is wrong with the words."""
        error = self.assertRaises(ConfigurationError, self.configure, **words)
        return list(error.problems)


class WholeTests(CommandLineCase):
    def test_defaults(self) -> None:
        made = self.configure()
        self.assertEqual(made.listeners, (ListenerConfig("tcp:8080"),))
        (pool,) = made.pools
        self.assertEqual((pool.name, pool.upstreams, pool.balancer.tag), ("default", (UpstreamConfig(URL),), "round-robin"))
        (route,) = made.routes
        self.assertEqual((route.match, route.pool, list(route.uses())), (RouteMatch(), "default", []))
        self.assertEqual((made.settings, made.demo, made.source, made.accessLogs), (Settings(), False, "", ()))
        self.assertIs(made.pool("default"), pool)
        self.assertRaises(KeyError, made.pool, "other")

    def test_noUpstream(self) -> None:
        self.assertEqual(
            self.problems(upstreams=[]), ["no upstream: name one by --upstream URL, a file by --config FILE, or try --demo"]
        )

    def test_demo(self) -> None:
        made = self.configure(upstreams=[], demo=True)
        self.assertTrue(made.demo)
        self.assertEqual(made.pool("default").upstreams, ())
        running = made.withUpstreams("default", ["http://127.0.0.1:2003"])
        self.assertEqual([each.url for each in running.pool("default").servers], ["http://127.0.0.1:2003"])
        self.assertEqual(self.problems(demo=True), ["--demo: brings upstreams of its own: leave out --upstream"])

    def test_pluginsKnowTheirPlaces(self) -> None:
        made = self.configure(
            directors=["direct:a", "direct:name=b:limit=1m"],
            modifiers=["modify"],
            middleware=["wrap"],
            errorHandlers=["handle"],
            health=["probe"],
            accessLogs=["logger"],
        )
        self.assertEqual(
            [(each.place, each.tag) for each in made.uses()],
            [
                ("--access-log #1", "logger"),
                ("--upstream (default balancer)", "round-robin"),
                ("--health #1", "probe"),
                ("--middleware #1", "wrap"),
                ("--director #1", "direct"),
                ("--director #2", "direct"),
                ("--modifier #1", "modify"),
                ("--error-handler #1", "handle"),
            ],
        )
        reactor = object()
        built = buildPlugins(made, reactor)
        first, second = (built[use] for use in made.routes[0].directors)
        self.assertEqual((first.name, first.limit, second.name, second.limit), ("a", 5.0, "b", 60.0))
        self.assertEqual((second.context.reactor, second.context.place), (reactor, "--director #2"))

    def test_everyMistakeOfEveryPartAtOnce(self) -> None:
        self.assertEqual(
            self.problems(
                upstreams=["127.0.0.1:9000", "zookeper:x"],
                listeners=["8080"],
                balancer="direct",
                directors=["direct:limit=soon:nam=x", "dierct"],
                modifiers=["modify:"],
                settings=["upstream-timout=5s", "via", "max-tries=x"],
                admin="tcp:1",
            ),
            [
                "--listen #1: '8080' is not an endpoint; did you mean 'tcp:8080'?",
                "--set #2: 'via' is not NAME=VALUE",
                "--set upstream-timout: there is no setting 'upstream-timout'; did you mean 'upstream-timeout'?",
                "--set max-tries: 'x' is not a whole number",
                "--upstream #1: '127.0.0.1:9000' is not an upstream (want http://host:port, https://host:port or unix:/path); "
                "did you mean 'http://127.0.0.1:9000'?",
                "--upstream #2: 'zookeper:x' is not an upstream (want http://host:port, https://host:port or unix:/path); "
                "did you mean 'zookeeper'?",
                "--balancer: 'direct' is the wrong kind of plugin: IBalancer is wanted, it is IDirector",
                "--director #1: direct: limit: 'soon' is not a duration (want one such as 500ms, 10s, 5m, 1h)",
                "--director #1: direct: has no option 'nam'; did you mean 'name'?",
                "--director #2: no IDirector plugin is called 'dierct'; did you mean 'direct'?",
                "--admin: the admin interface is not built yet",
            ],
        )

    def test_mistakesOfBuildingAtOnceToo(self) -> None:
        made = self.configure(directors=["direct:fail=yes", "direct", "direct:fail=on"])
        error = self.assertRaises(ConfigurationError, buildPlugins, made, None)
        self.assertEqual(error.problems, ("--director #1: direct: it fails", "--director #3: direct: it fails"))

    def test_retryPolicy(self) -> None:
        made = self.configure(retryPolicy="twistproxy.exchange.retrying.RetryRule:on=503:methods=any")
        (route,) = made.routes
        assert route.retryPolicy is not None
        self.assertEqual((route.retryPolicy.place, route.pool), ("--retry-policy", "default"))
        rule = buildPlugins(made, None)[route.retryPolicy]
        self.assertTrue(rule.seesAnswers)
        made = self.configure(retryPolicy="twistproxy.exchange.retrying.RetryRule:on=conect")
        error = self.assertRaises(ConfigurationError, buildPlugins, made, None)
        self.assertIn("did you mean 'connect'?", error.problems[0])

    def test_classByDottedName(self) -> None:
        made = self.configure(directors=[f"{HERE}.Anything:x"])
        (use,) = made.routes[0].directors
        self.assertEqual(use.build(BuildContext(None)).name, "x")

    def test_settings(self) -> None:
        made = self.configure(
            settings=["max-body-bytes=1MiB", "trusted-proxies=10.0.0.0/8, ::1", "forwarded=on", "max-body-bytes=none"]
        )
        self.assertEqual(made.settings.maxBodyBytes, None)
        self.assertEqual(list(map(str, made.settings.trustedProxies)), ["10.0.0.0/8", "::1/128"])
        self.assertTrue(made.settings.forwarded)


class UpstreamTests(CommandLineCase):
    def upstream(self, text: str) -> Any:
        (upstream,) = self.configure(upstreams=[text, "http://spare"]).pool("default").upstreams[:1]
        return upstream

    def problem(self, text: str) -> str:
        """What is wrong with an upstream, without its place."""
        (line,) = self.problems(upstreams=[text])
        place, _, sentence = line.partition(": ")
        self.assertEqual(place, "--upstream #1")
        return sentence

    def test_options(self) -> None:
        for text, wanted in [
            (URL, UpstreamConfig(URL)),
            (f"{URL},weight=3", UpstreamConfig(URL, 3)),
            (f"{URL},backup,max-conns=7,weight=2", UpstreamConfig(URL, 2, 7, True)),
            (f"{URL},priority=0,weight=2", UpstreamConfig(URL, 2)),
            (f"{URL},priority=7", UpstreamConfig(URL, priority=7)),
            (f"{URL}/a,b,c=d,weight=2", UpstreamConfig(f"{URL}/a,b,c=d", 2)),
            ("unix:/run/app.sock:/base,backup", UpstreamConfig("unix:/run/app.sock:/base", backup=True)),
            ("https://[::1]:8443/x?y=1,2", UpstreamConfig("https://[::1]:8443/x?y=1,2")),
        ]:
            self.assertEqual(self.upstream(text), wanted)

    def test_theUpstreamItself(self) -> None:
        made = self.upstream(f"{URL},weight=3,max-conns=7,backup").build()
        self.assertEqual((made.key, made.weight, made.maxConnections, made.backup), (URL, 3, 7, True))
        self.assertEqual(self.upstream(f"{URL},priority=7").build().metadata, {"priority": 7})
        self.assertEqual(self.upstream(URL).build().weight, 1)

    def test_pools(self) -> None:
        """Upstreams may be of other pools than the route's."""
        shadow, other = "http://127.0.0.1:9001/a,b,pool=shadow,weight=2", "unix:/run/a.sock,pool=shadow"
        made = self.configure(upstreams=[URL, shadow, other, "http://a/x,pool=1/y"], balancer="round-robin")
        self.assertEqual([(each.name, [one.url for one in each.servers]) for each in made.pools], [
            ("default", [URL, "http://a/x,pool=1/y"]),
            ("shadow", ["http://127.0.0.1:9001/a,b", "unix:/run/a.sock"]),
        ])  # fmt: skip
        self.assertEqual([each.balancer.tag for each in made.pools], ["round-robin", "weighted-round-robin"])
        (route,) = made.routes
        self.assertEqual((route.pool, made.pools[1].servers[0].place), ("default", "--upstream #2"))
        for upstreams, problem in [
            ([URL + ",pool="], "--upstream #1: pool needs a name, as in pool=shadow"),
            ([URL, URL + ",pool=a,pool=b"], "--upstream #2: pool is given twice"),
            ([URL + ",pool=a"],
             "--upstream: all name a pool, and nothing is left for the route's own: leave out pool= at one of them"),
            ([URL, URL + ",pool=a,weigth=2"], "--upstream #2: an upstream has no option 'weigth'; did you mean 'weight'?"),
        ]:  # fmt: skip
            self.assertEqual(self.problems(upstreams=upstreams), [problem])

    def test_balancerOnceThereIsAWeight(self) -> None:
        for texts, tag in [
            (["http://a", "http://b"], "round-robin"),
            (["http://a", "http://b,weight=1"], "weighted-round-robin"),
            (["http://a", "zookeeper:x"], "weighted-round-robin"),
        ]:
            self.assertEqual(self.configure(upstreams=texts).pool("default").balancer.tag, tag)
        self.assertEqual(
            self.configure(upstreams=["http://b,weight=1"], balancer="random").pool("default").balancer.tag, "random"
        )

    def test_sources(self) -> None:
        for text in ("zookeeper:one:two", f"{HERE}.Source:one:two"):
            made = self.configure(upstreams=[text, URL])
            (source,) = made.pool("default").sources
            self.assertEqual(buildPlugins(made, None)[source].servers, ("one", "two"))

    def test_mistakes(self) -> None:
        for text, sentence in [
            (f"{URL},wieght=3", "an upstream has no option 'wieght'; did you mean 'weight'?"),
            (f"{URL}/a,wieght=3", "an upstream has no option 'wieght'; did you mean 'weight'?"),
            (f"{URL},weight=0", "weight is a whole number from 1, not 0"),
            (f"{URL},weight", "weight takes a value"),
            (f"{URL},priority=-1", "priority is a whole number from 0, not '-1'"),
            (f"{URL},backup=yes", "backup takes no value"),
            (f"{URL},weight=1,weight=2", "weight is given twice"),
            (f"{URL},max-conns=many", "max-conns is a whole number from 1, not 'many'"),
            (f"{URL},backup", "all upstreams are backups: at least one is not"),
            ("http://u:p@h", "http://...@h: credentials in an upstream URL are not supported"),
        ]:
            found = self.problems(upstreams=[text])
            self.assertEqual([each.partition(": ")[2] for each in found], [sentence])

    def test_schemeLeftOut(self) -> None:
        for text, meant in [("localhost:9000", "localhost:9000"), ("[::1]:80", "[::1]:80"), ("example.com/x", "example.com/x")]:
            self.assertTrue(self.problem(text).endswith(f"; did you mean 'http://{meant}'?"), text)

    def test_sameTwice(self) -> None:
        self.assertEqual(
            self.problems(upstreams=["http://A:80/", "http://a"]), ["--upstream #2: http://a is in this pool already"]
        )


class EndpointTests(CommandLineCase):
    def problem(self, text: str) -> str:
        (line,) = self.problems(listeners=[text])
        return line.removeprefix("--listen #1: ")

    def test_endpoints(self) -> None:
        texts = [
            "tcp:8080",
            "tcp:8081:interface=127.0.0.1",
            "unix:/run/x.sock:mode=660",
            "tcp6:80:interface=\\:\\:1",
        ]
        self.assertEqual([each.endpoint for each in self.configure(listeners=texts).listeners], texts)

    def test_mistakes(self) -> None:
        for text, sentence in [
            ("8080", "'8080' is not an endpoint; did you mean 'tcp:8080'?"),
            ("127.0.0.1:80", "'127.0.0.1:80' is not an endpoint; did you mean 'tcp:80:interface=127.0.0.1'?"),
            ("[::1]:80", "'[::1]:80' is not an endpoint; did you mean 'tcp:80:interface=\\:\\:1'?"),
            ("tpc:80", "'tpc:80' is not an endpoint; did you mean 'tcp'?"),
            ("quic:80", "'quic:80' is not an endpoint (Unknown endpoint type: 'quic')"),
        ]:
            self.assertEqual(self.problem(text), sentence)
        for text in ("tcp:x", "tcp", "tcp:80:intrface=x", ""):
            self.assertIn("is not an endpoint", self.problem(text))
        self.assertEqual(len(self.problems(listeners=["ssl:x:privateKey=/no/key.pem"])), 2)

    def test_proxyProtocol(self) -> None:
        (made,) = self.configure(listeners=["tcp:80,proxy-protocol=10.0.0.0/8,proxy-protocol=::1"]).listeners
        self.assertEqual((made.endpoint, [*map(str, made.proxyProtocol)]), ("tcp:80", ["10.0.0.0/8", "::1/128"]))
        (made,) = self.configure(listeners=["unix:/run/a,b.sock,proxy-protocol=unix"]).listeners
        self.assertEqual((made.endpoint, made.proxyProtocol), ("unix:/run/a,b.sock", (UNIX_PEERS,)))
        for text, sentence in (
            ("tcp:80,proxy-protocol=", "proxy-protocol names the networks of those who send it, such as 10.0.0.0/8; not ''"),
            ("tcp:80,proxy-protocol=x", "proxy-protocol: 'x' does not appear to be an IPv4 or IPv6 network"),
            ("tcp:80,proxy-protocl=::1", "a listener has no option 'proxy-protocl'; did you mean 'proxy-protocol'?"),
            ("haproxy:tcp:80", "haproxy: believes everybody who connects; write 'tcp:80,proxy-protocol=NETWORK', with the "
                               "network of those who send PROXY"),
        ):  # fmt: skip
            self.assertEqual(self.problem(text), sentence)

    def test_twice(self) -> None:
        self.assertEqual(self.problems(listeners=["tcp:80", "tcp:80"]), ["--listen #2: tcp:80 is listened on already"])
        self.assertEqual(len(self.configure(listeners=["tcp:0", "tcp:0"]).listeners), 2)


class AnnouncingTests(CommandLineCase):
    def test_upstreams(self) -> None:
        urls = ["http://a,proxy-protocol=v2", "https://b,weight=2,proxy-protocol=v1,server-name=c", "http://a"]
        made = self.configure(upstreams=urls)
        self.assertEqual([each.proxyProtocol for each in made.pools[0].servers], ["v2", "v1", None])
        self.assertEqual([each.build().proxyProtocol for each in made.pools[0].servers], ["v2", "v1", None])

    def test_mistakes(self) -> None:
        self.assertEqual(
            self.problems(upstreams=["http://a,proxy-protocol=v3"]), ["--upstream #1: proxy-protocol is v1 or v2, not 'v3'"]
        )
        self.assertEqual(
            self.problems(upstreams=["http://a,proxy-protocl=v1"]),
            ["--upstream #1: an upstream has no option 'proxy-protocl'; did you mean 'proxy-protocol'?"],
        )


class ForwardTests(CommandLineCase):
    def test_defaults(self) -> None:
        made = self.configure(upstreams=[], forward=True)
        self.assertEqual([each.endpoint for each in made.listeners], ["tcp:8080:interface=127.0.0.1"])
        self.assertEqual((made.forward, made.pools, made.settings.via), (ForwardConfig(), (), "twistproxy"))
        self.assertEqual([each.pool for each in made.routes], [None])
        self.assertEqual(self.configure(upstreams=[], forward=True, settings=["via="]).settings.via, "")
        self.assertEqual(self.configure(upstreams=[], forward=True, listeners=["tcp:80"]).listeners[0].endpoint, "tcp:80")
        self.assertEqual(self.configure(forward=False).settings.via, "")

    def test_rules(self) -> None:
        made = self.configure(upstreams=[], forward=True, forwardAllow=["10.0.0.0/8", "port:22"], forwardDeny=[".bad.example"])
        assert made.forward is not None
        policy = made.forward.policy
        self.assertEqual([[*map(str, each)] for each in (policy.allowed, policy.denied)],
                         [["10.0.0.0/8", "port:22"], [".bad.example"]])  # fmt: skip

    def test_mistakes(self) -> None:
        self.assertEqual(
            self.problems(upstreams=[], forward=True, forwardAllow=["a.example", "a:80"], forwardDeny=["port:x"],
                          forwardUsers="/no/users"),
            ["--forward-allow #2: 'a:80' is not a network (10.0.0.0/8), a name, .suffix or port:N",
             "--forward-deny #1: 'port:x' is not port:N or port:N-M",
             "--forward-users: /no/users: No such file or directory"],
        )  # fmt: skip
        self.assertEqual(
            self.problems(forward=True),
            ["--forward: goes where clients say: leave out --upstream and --demo, or name pools in a file"],
        )
        self.assertEqual(self.problems(forwardAllow=["a.example"]), ["--forward-allow: is for a forward proxy: add --forward"])
        self.assertEqual(self.problems(forwardUsers="x"), ["--forward-users: is for a forward proxy: add --forward"])
        self.assertEqual(
            self.problems(upstreams=[], forward=True, balancer="random"), ["--balancer: is for upstreams, and there are none"]
        )

    def test_transparent(self) -> None:
        made = self.configure(upstreams=[], transparent=True)
        self.assertEqual([(each.endpoint, each.isTransparent) for each in made.listeners], [("tcp:8080", True)])
        self.assertEqual([each.pool for each in made.routes], [None])
        self.assertEqual([each.pool for each in self.configure(transparent=True).routes], ["default"])
        made = self.configure(upstreams=[], listeners=["tcp:80", "tcp:81,transparent=yes,proxy-protocol=::1"], forward=True)
        self.assertEqual([each.isTransparent for each in made.listeners], [False, True])
        self.assertEqual(
            self.problems(listeners=["tcp:81,transparent=maybe"]), ["--listen #1: transparent: 'maybe' is neither yes nor no"]
        )


class LogTests(CommandLineCase):
    def test_accessLogs(self) -> None:
        directory = temporaryDirectory(self)
        made = self.configure(accessLogs=["-", "json:-", f"{directory}/a.log", f"combined:{directory}/b:c.log"])
        self.assertEqual(
            made.accessLogs,
            (
                AccessLogConfig("-"),
                AccessLogConfig("-", "json"),
                AccessLogConfig(f"{directory}/a.log"),
                AccessLogConfig(f"{directory}/b:c.log"),
            ),
        )

    def test_accessLogPlugin(self) -> None:
        for text in ("logger:x", f"{HERE}.Anything:x"):
            (use,) = self.configure(accessLogs=[text]).accessLogs
            assert isinstance(use, PluginUse)
            self.assertEqual(use.args, ("x",))

    def test_files(self) -> None:
        directory = temporaryDirectory(self)
        self.assertEqual(self.configure(errorLog=f"{directory}/e.log").errorLog, f"{directory}/e.log")
        self.assertEqual(
            self.problems(accessLogs=["/no/a.log", f"json:{directory}"], errorLog="/no/e.log"),
            [
                "--access-log #1: there is no directory /no",
                f"--access-log #2: {directory} is a directory",
                "--error-log: there is no directory /no",
            ],
        )


class WithFileTests(CommandLineCase):
    """What the command line says beside a file."""

    def file(self, text: str) -> ConfigurationFile:
        path = temporaryDirectory(self) / "proxy.toml"
        path.write_text(text)
        return ConfigurationFile(str(path))

    def both(self, text: str, **words: Any) -> Configuration:
        return configure(CommandLine(**words), somePlugins(), self.file(text))

    def test_theFileAlone(self) -> None:
        made = self.both("pools.a.upstreams = 'http://a'")
        self.assertEqual([each.name for each in made.pools], ["a"])
        self.assertEqual(made.routes[0].pool, "a")
        self.assertTrue(made.source.endswith("/proxy.toml"))

    def test_listenersSettingsAndLogsOfTheCommandLineHold(self) -> None:
        made = self.both(
            """
            access-log = "-"
            error-handler = "handle:file"
            pools.a.upstreams = "http://a"
            [[listeners]]
            endpoint = "tcp:80"
            [settings]
            max-tries = 1
            drain-timeout = "1s"
            """,
            listeners=["tcp:81"],
            settings=["max-tries=2"],
            accessLogs=["json:-"],
            errorHandlers=["handle:line"],
        )
        self.assertEqual(made.listeners, (ListenerConfig("tcp:81"),))
        self.assertEqual((made.settings.maxTries, made.settings.drainTimeout), (2, 1.0))
        self.assertEqual(made.accessLogs, (AccessLogConfig("-", "json"),))
        self.assertEqual([each.args for each in made.errorHandlers], [("line",)])

    def test_poolsAndRoutesAreToldByOneOfTheTwo(self) -> None:
        text = "pools.a.upstreams = 'http://a'\n[[routes]]\npool = 'a'"
        words = {
            "upstreams": [URL], "balancer": "random", "directors": ["direct"], "modifiers": ["modify"], "retryPolicy": "retry",
        }  # fmt: skip
        error = self.assertRaises(ConfigurationError, self.both, text, **words)
        self.assertEqual(
            [each.partition(": ")[0] for each in error.problems],
            ["--upstream", "--balancer", "--director", "--modifier", "--retry-policy"],
        )

    def test_poolOfTheCommandLineForAFileWithout(self) -> None:
        made = self.both("[settings]\nmax-tries = 1", upstreams=[URL], balancer="random", directors=["direct"])
        self.assertEqual((made.pool("default").balancer.tag, len(made.routes[0].directors)), ("random", 1))
        error = self.assertRaises(ConfigurationError, self.both, "[settings]\nmax-tries = 1")
        self.assertTrue(error.problems[0].endswith("there are no [pools], and no --upstream"))

    def test_directorsForThePoolOfAFileWithoutRoutes(self) -> None:
        made = self.both("pools.a.upstreams = 'http://a'", directors=["direct"])
        self.assertEqual((made.routes[0].pool, len(made.routes[0].directors)), ("a", 1))
