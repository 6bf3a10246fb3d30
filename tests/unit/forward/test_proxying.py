"""A forward proxy as it is configured: who may use it, where it goes, and what plugins see of that."""

from __future__ import annotations

from base64 import b64encode
from typing import Any

import bcrypt
from twisted.python.threadpool import ThreadPool
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import BUILT_IN
from tests.unit.loader.temporary import temporaryDirectory
from tests.unit.support import AccessLog, Client, Message, Origin, answer
from twistproxy.commandline import CommandLine, configure
from twistproxy.config import Configuration, buildPlugins
from twistproxy.configfile import ConfigurationFile
from twistproxy.generation import Generation
from twistproxy.loader.finder import PluginSet
from twistproxy.proxy import ProxyFactory, drainEngine
from twistproxy.service import makeEngine
from twistproxy.testing import MemoryNetwork

HOSTS = {"app.example": "93.184.216.34", "inner.example": "10.0.0.1", "mixed.example": ["10.0.0.1", "93.184.216.34"]}


class AtOnce:
    """A thread pool that does what it is asked at once."""

    def callInThreadWithCallback(self, told: Any, function: Any, *arguments: Any, **options: Any) -> None:
        """As of C{ThreadPool}."""
        told(True, function(*arguments, **options))


class ForwardTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.network: Any = MemoryNetwork(HOSTS)
        pool: ThreadPool = AtOnce()  # type: ignore[assignment]
        self.network.getThreadPool = lambda: pool
        self.network.callFromThread = lambda function, *arguments: function(*arguments)
        self.log = AccessLog()
        self.clients: list[Client] = []
        self.origin = Origin(self.network, "93.184.216.34:80", answer(b"hello"))

    def configured(self, file: str = "", **words: Any) -> Configuration:
        source = None
        if file:
            path = temporaryDirectory(self) / "proxy.toml"
            path.write_text(file)
            source = ConfigurationFile(str(path))
        return configure(CommandLine(**({"forward": True} | words)), PluginSet(BUILT_IN), source)

    def start(self, file: str = "", **words: Any) -> None:
        self.configuration = self.configured(file, **words)
        self.engine = makeEngine(self.network, self.configuration, buildPlugins(self.configuration, self.network), [])
        self.engine.accessLogs = (self.log,)
        self.port = self.network.listenTCP(8080, ProxyFactory(self.engine), interface="10.1.0.1")

    def tearDown(self) -> None:
        for client in self.clients:
            client.raw.abort()
        self.network.pump()
        self.port.stopListening()
        stopped = drainEngine(self.engine)
        self.network.pump()
        self.successResultOf(stopped)
        self.network.closePeers()
        self.network.assertClean()

    def send(self, data: bytes, source: str = "203.0.113.9") -> Client:
        client = Client(self.network, ("10.1.0.1", 8080), source)
        self.clients.append(client)
        client.send(data)
        self.network.advance(1)
        return client

    def get(self, url: str, *lines: bytes) -> Message:
        host = url.split("/")[2].encode()
        return self.send(b"\r\n".join([b"GET %b HTTP/1.1" % url.encode(), b"Host: " + host, *lines, b"", b""])).answer()

    def connect(self, to: str, *lines: bytes) -> Client:
        return self.send(b"\r\n".join([b"CONNECT %b HTTP/1.1" % to.encode(), b"Host: " + to.encode(), *lines, b"", b""]))


class TestRequests(ForwardTestCase):
    def test_theTutorials(self) -> None:
        """T1: the request as it was, with the client's address appended."""
        self.start(settings=["trusted-proxies=203.0.113.0/24"])
        message = self.get("http://app.example/x?y=1", b"X-Forwarded-For: 1.1.1.1", b"Proxy-Connection: keep-alive", b"Cookie: a")
        self.assertEqual((message.code, message.body, message.get(b"via")), (200, b"hello", b"1.1 twistproxy"))
        request = self.origin.request
        self.assertEqual((request.method, request.target, request.get(b"host")), (b"GET", b"/x?y=1", b"app.example"))
        self.assertEqual(request.get(b"x-forwarded-for"), b"1.1.1.1, 203.0.113.9")
        self.assertEqual((request.get(b"via"), request.get(b"cookie")), (b"1.1 twistproxy", b"a"))
        for name in (b"proxy-connection", b"x-forwarded-host", b"x-forwarded-proto", b"x-real-ip"):
            self.assertIsNone(request.get(name), name)

    def test_nothingTold(self) -> None:
        self.start(settings=["x-forwarded=no", "via="])
        self.get("http://app.example/", b"X-Forwarded-For: 1.1.1.1")
        self.assertEqual((self.origin.request.get(b"x-forwarded-for"), self.origin.request.get(b"via")), (None, None))

    def test_connectionsAreKept(self) -> None:
        self.start()
        for _ in range(3):
            self.get("http://app.example/")
        self.get("http://93.184.216.34/")
        self.assertEqual(len(self.origin.peers), 2)

    def test_failures(self) -> None:
        self.start()
        self.assertEqual(self.get("http://nowhere.example/").code, 502)
        self.assertEqual(self.get("http://93.184.216.35/").code, 502)
        self.network.blackHole("93.184.216.36:80")
        client = self.send(b"GET http://93.184.216.36/ HTTP/1.1\r\nHost: 93.184.216.36\r\n\r\n")
        self.network.advance(11)
        self.assertEqual(client.answer().code, 504)

    def test_origin(self) -> None:
        """What was not meant for a proxy."""
        self.start()
        client = self.send(b"GET /x HTTP/1.1\r\nHost: app.example\r\n\r\n")
        self.assertEqual(client.answer().code, 400)
        self.assertEqual(self.origin.requests, [])

    def test_hostsThatDisagree(self) -> None:
        self.start()
        client = self.send(b"GET http://app.example/ HTTP/1.1\r\nHost: inner.example\r\n\r\n")
        self.assertEqual(client.answer().code, 400)

    def test_oddHosts(self) -> None:
        self.start()
        self.assertEqual(self.get("http://a%41.example/").code, 400)
        self.assertEqual(self.send(b"GET http://app.example/ HTTP/1.0\r\n\r\n").answer().code, 200)
        self.assertEqual(self.origin.request.get(b"host"), b"app.example")


    def test_maxForwards(self) -> None:
        """RFC 9110 section 7.6.2."""
        self.start()
        for method, value, code in (
            (b"OPTIONS", b"0", 204), (b"TRACE", b"0", 405), (b"OPTIONS", b"x", 400), (b"OPTIONS", b"5", 200), (b"GET", b"0", 200),
        ):  # fmt: skip
            line = b"%b http://app.example HTTP/1.1\r\nHost: app.example\r\nMax-Forwards: %b\r\n\r\n" % (method, value)
            self.assertEqual(self.send(line).answer(method).code, code, (method, value))
        self.assertEqual([(each.method, each.target, each.get(b"max-forwards")) for each in self.origin.requests],
                         [(b"OPTIONS", b"*", b"4"), (b"GET", b"/", b"0")])  # fmt: skip


class TestRules(ForwardTestCase):
    def test_closedByDefault(self) -> None:
        inner = Origin(self.network, "10.0.0.1:80", answer(b"secret"))
        self.start()
        self.assertEqual([each.endpoint for each in self.configuration.listeners], ["tcp:8080:interface=127.0.0.1"])
        for url in (
            "http://10.0.0.1/", "http://inner.example/", "http://[::ffff:10.0.0.1]/", "http://localhost/", "http://127.0.0.1/",
            "http://169.254.169.254/latest/meta-data/", "http://app.example:25/",
        ):  # fmt: skip
            self.assertEqual(self.get(url).code, 403, url)
        self.assertEqual(inner.peers, [])
        self.assertEqual({reason for _, reason in self.log.lines}, {"destination_refused"})

    def test_theCheckedAddressIsTheOneThatIsConnectedTo(self) -> None:
        """A name with both kinds of address goes to the public one only; one that changes its mind gains nothing."""
        inner = Origin(self.network, "10.0.0.1:80", answer(b"secret"))
        self.start()
        self.assertEqual(self.get("http://mixed.example/").body, b"hello")
        self.assertEqual(self.get("http://app.example/").body, b"hello")
        self.network.hosts["app.example"] = "10.0.0.1"
        self.origin.peers[-1].close()
        self.network.pump()
        self.assertEqual(self.get("http://app.example/").code, 403)
        self.assertEqual(inner.peers, [])

    def test_allowed(self) -> None:
        Origin(self.network, "10.0.0.1:80", answer(b"inner"))
        self.start(forwardAllow=["10.0.0.0/8"], forwardDeny=["app.example"])
        self.assertEqual(self.get("http://inner.example/").body, b"inner")
        self.assertEqual(self.get("http://app.example/").code, 403)

    def test_tunnels(self) -> None:
        secure = Origin(self.network, "93.184.216.34:443", None)
        secure.isHTTP = False
        self.start()
        client = self.connect("app.example:443")
        self.assertEqual(client.take(), b"HTTP/1.1 200 Connection established\r\n\r\n")
        client.send(b"hello")
        self.assertEqual(secure.peer.take(), b"hello")
        for to in ("app.example:80", "inner.example:443", "10.0.0.1:443", "[::1]:443"):
            self.assertEqual(self.connect(to).answer().code, 403, to)

    def test_toItself(self) -> None:
        """Round and round: the second time the client is us."""
        self.network.hosts["me.example"] = "10.1.0.1"
        self.start(forwardAllow=["10.1.0.1", "port:8080"])
        message = self.get("http://me.example:8080/")
        self.assertEqual(message.code, 400)  # the second request has no absolute target
        client = self.connect("me.example:8080")
        self.assertIn(b"200", client.take())
        client.send(b"CONNECT me.example:8080 HTTP/1.1\r\nHost: me.example:8080\r\n\r\n")
        self.network.advance(1)
        self.assertIn(b"403", client.take()[:20])

    def test_poolsAreNotReached(self) -> None:
        """An upstream of the configuration is not a destination, nor are its connections used for one."""
        inner = Origin(self.network, "10.0.0.1:80", answer(b"inner"))
        pool = '[pools.app]\nupstreams = ["http://10.0.0.1"]\n'
        self.start(f'[forward]\n{pool}[[routes]]\nmatch.host = "app.example"\npool = "app"\n[[routes]]\n', forward=False)
        self.assertEqual(self.get("http://app.example/").body, b"inner")
        self.assertEqual(self.get("http://10.0.0.1/").code, 403)
        self.assertEqual(self.connect("app.example:443").answer().code, 405)
        self.assertEqual(len(inner.requests), 1)

    def test_routes(self) -> None:
        """By the host that the client wants to go to, whatever its Host says."""
        route = '[[routes]]\nmatch.host = "app.example"\ndirector = "static:status=451"\n'
        self.start(f"forward = {{}}\n{route}[[routes]]\n", forward=False)
        self.assertEqual(self.get("http://app.example/").code, 451)
        client = self.send(b"CONNECT app.example:443 HTTP/1.1\r\nHost: other.example\r\n\r\n")
        self.assertEqual(client.answer().code, 451)
        self.assertEqual(self.get("http://mixed.example/").code, 200)


class TestReloading(ForwardTestCase):
    def reload(self, file: str = "", **words: Any) -> None:
        configuration = self.configured(file, **words)
        made = Generation(self.network, configuration, buildPlugins(configuration, self.network))
        groups = made.makeGroups({})
        self.engine.replace(groups, made.makeRouter(groups), [])
        made.follow(self.engine)
        self.network.pump()

    def test_rules(self) -> None:
        """The new ones hold at once, whatever connections there are by the old ones."""
        inner = Origin(self.network, "10.0.0.1:80", answer(b"inner"))
        self.start(forwardAllow=["10.0.0.0/8"])
        self.assertEqual(self.get("http://inner.example/").body, b"inner")
        self.reload()
        self.assertEqual(self.get("http://inner.example/").code, 403)
        self.assertTrue(inner.peer.eof)
        self.reload(forwardAllow=["10.0.0.0/8"])
        self.assertEqual(self.get("http://inner.example/").body, b"inner")

    def test_forwardingItself(self) -> None:
        Origin(self.network, "10.0.0.1:80", answer(b"inner"))
        self.start()
        self.assertEqual(self.connect("nowhere.example:443").answer().code, 502)
        self.reload('pools.app.upstreams = "http://10.0.0.1"', forward=False)
        self.assertEqual(self.connect("nowhere.example:443").answer().code, 405)
        self.assertEqual(self.get("http://app.example/").body, b"inner")
        self.reload()
        self.assertEqual(self.connect("nowhere.example:443").answer().code, 502)


class TestLogins(ForwardTestCase):
    def start(self, file: str = "", **words: Any) -> None:
        path = temporaryDirectory(self) / "users"
        path.write_text("ali:" + bcrypt.hashpw(b"sesame", bcrypt.gensalt(4)).decode())
        super().start(file, forwardUsers=str(path), **words)

    def test_whoDoesNotSay(self) -> None:
        self.start()
        message = self.get("http://app.example/")
        self.assertEqual(message.code, 407)
        self.assertEqual(message.get(b"proxy-authenticate"), b'Basic realm="proxy", charset="UTF-8"')
        self.assertEqual(self.connect("app.example:443").answer().code, 407)
        self.assertEqual(self.origin.peers, [])

    def test_who(self) -> None:
        self.start()
        for password, code in ((b"sesame", 200), (b"barley", 407)):
            line = b"Proxy-Authorization: Basic " + b64encode(b"ali:" + password)
            message = self.get("http://app.example/", line)
            self.assertEqual(message.code, code)
        self.assertIsNone(self.origin.request.get(b"proxy-authorization"))
        self.assertEqual(self.log.exchanges[0].inbound.state, {"twistproxy.user": "ali"})
        twice = self.get("http://app.example/", line, line)
        self.assertEqual(twice.code, 407)

    def test_beforeAllDirectors(self) -> None:
        self.start(directors=["static:status=204"])
        self.assertEqual(self.get("http://app.example/").code, 407)
        line = b"Proxy-Authorization: Basic " + b64encode(b"ali:sesame")
        self.assertEqual(self.get("http://app.example/", line).code, 204)


class TestPlugins(ForwardTestCase):
    def test_modifiersAndDirectors(self) -> None:
        self.start(directors=["add-prefix:/base"], modifiers=["response-headers:remove=Server"])
        self.origin.script = answer(b"hello", b"Server: x")
        message = self.get("http://app.example/")
        self.assertEqual((message.body, message.get(b"server")), (b"hello", None))
        self.assertEqual(self.origin.request.target, b"/base/")
