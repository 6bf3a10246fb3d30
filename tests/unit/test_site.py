"""Built-in plugins at work together: a configuration file, read and built as C{twist revproxy} does, and what it answers."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import BUILT_IN
from tests.unit.loader.temporary import temporaryDirectory
from tests.unit.support import Client, Message, Origin, answer, get
from twistproxy.commandline import CommandLine, configure
from twistproxy.config import buildPlugins
from twistproxy.configfile import ConfigurationFile
from twistproxy.loader.finder import PluginSet
from twistproxy.proxy import ProxyFactory, drainEngine
from twistproxy.service import makeEngine
from twistproxy.testing import MemoryNetwork

SITE = r"""
error-handler = [{ use = "fallback", body = "later", status = 503, on = [502, 504] }, "pages:pages"]

[pools.blue]
upstreams = ["http://10.0.0.1/base"]

[pools.green]
upstreams = ["http://10.0.0.2"]

[pools.gone]
upstreams = ["http://10.0.0.9"]

[[routes]]
match = { path = "/healthz" }
director = "static:ok"

[[routes]]
match = { path = "/old" }
director = '''redirect:https\://$host/new$1:pattern=^/old(/.*)?$:code=308'''

[[routes]]
match = { path = "/api" }
director = [
    "strip-prefix:/api",
    "query:clean:remove=debug",
    { use = "request-headers", set = { X-Team = "a, b" }, remove = "Cookie" },
    "host:app.internal",
    "canary:green:header=X-Canary",
    "split:blue=1:green=0",
]
modifier = ["rewrite-location", "rewrite-cookies:same-site=lax", "response-headers:remove=Server", "status-error:allow=!5xx"]

[[routes]]
match = { path = "/gone" }
pool = "gone"
"""


class SiteTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.directory = temporaryDirectory(self)
        (self.directory / "pages").mkdir()
        (self.directory / "pages" / "404.html").write_text("<p>{{status}}: not here")
        (self.directory / "site.toml").write_text(SITE)
        plugins = PluginSet(BUILT_IN)
        configuration = configure(CommandLine(), plugins, ConfigurationFile(str(self.directory / "site.toml")))
        self.engine = makeEngine(self.network, configuration, buildPlugins(configuration, self.network), [])
        self.port = self.network.listenTCP(8080, ProxyFactory(self.engine), interface="10.1.0.1")
        self.blue = self.serve("10.0.0.1:80")
        self.green = self.serve("10.0.0.2:80")
        self.clients: list[Client] = []

    def tearDown(self) -> None:
        for client in self.clients:
            client.raw.abort()
        self.port.stopListening()
        self.network.pump()
        stopped = drainEngine(self.engine)
        self.network.pump()
        self.successResultOf(stopped)
        self.network.closePeers()
        self.network.assertClean()

    def serve(self, address: str) -> Origin:
        return Origin(self.network, address, answer(b"served"))

    def ask(self, *arguments: Any, **options: Any) -> Message:
        client = Client(self.network, ("10.1.0.1", 8080), "203.0.113.9")
        self.clients.append(client)
        return client.send(get(*arguments, **options)).answer()

    def test_static(self) -> None:
        self.assertEqual(self.ask(b"/healthz").body, b"ok")

    def test_redirect(self) -> None:
        message = self.ask(b"/old/a?b")
        self.assertEqual((message.code, message.get(b"location")), (308, b"https://app.example/new/a"))

    def test_thereAndBack(self) -> None:
        self.blue.script = answer(
            b"served", b"Location: http://app.internal/base/login", b"Set-Cookie: a=1; Path=/base/; Domain=app.internal",
            b"Server: x",
        )  # fmt: skip
        message = self.ask(b"/api/x?a=1&b=%zz&debug=1", b"Cookie: c=1", b"X_Team: mine")
        got = self.blue.request
        self.assertEqual((got.target, got.get(b"host"), got.get(b"cookie")), (b"/base/x?a=1", b"app.internal", None))
        self.assertEqual((got.get(b"x-team"), got.get(b"x_team"), got.get(b"x-forwarded-prefix")), (b"a, b", None, b"/api"))
        self.assertEqual(message.get(b"location"), b"http://app.example/api/login")
        self.assertEqual(message.get(b"set-cookie"), b"a=1; Path=/api/; SameSite=Lax")
        self.assertEqual((message.get(b"server"), message.body), (None, b"served"))

    def test_canary(self) -> None:
        self.ask(b"/api/x", b"X-Canary: 1")
        self.assertEqual((len(self.blue.requests), self.green.request.target), (0, b"/x"))

    def test_failures(self) -> None:
        self.blue.script = answer(b"oops", status=b"500 No")
        message = self.ask(b"/api/x")
        self.assertEqual((message.code, message.body), (503, b"later"))
        self.assertEqual(self.ask(b"/gone").body, b"later")
        message = self.ask(b"/nowhere")
        self.assertEqual((message.code, message.body), (404, b"<p>404: not here"))
