"""The checks that come with twistproxy, at upstreams in memory."""

from __future__ import annotations

import re
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.certificates import issued, ofTwisted, writeAuthority
from tests.unit.builtin import built
from tests.unit.loader.temporary import temporaryDirectory
from twistproxy.calling.hooks import asDeferred
from twistproxy.config import BuildContext
from twistproxy.errors import ConfigurationError
from twistproxy.health.agent import readAgent
from twistproxy.health.http import HTTPCheck, parseStatuses
from twistproxy.health.tcp import TCPCheck
from twistproxy.interfaces import IHealthCheck
from twistproxy.messages import Health, Upstream
from twistproxy.proxy import ReverseProxy
from twistproxy.settings import Settings
from twistproxy.testing import FakeUpstream, MemoryNetwork, ProxyHarness, RawServer
from twistproxy.testing.peers import RawPeer
from twistproxy.tls.config import UpstreamTLS
from twistproxy.upstream.group import Administrative


class CheckCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = MemoryNetwork({"app.example": "10.0.0.1"})
        self.fake = FakeUpstream()
        self.upstream = self.fake.listen(self.network, "10.0.0.1:80")
        self.addCleanup(self.network.assertClean)
        self.addCleanup(self.network.closePeers)

    def context(self) -> BuildContext:
        return BuildContext(self.network, Settings())

    def result(self, check: Any, upstream: Upstream | None = None, seconds: float = 0.0) -> Any:
        """What a check finds; its failure where it fails."""
        results: list[Any] = []
        asDeferred(check.check(upstream or self.upstream)).addBoth(results.append)
        self.network.pump()
        if seconds:
            self.network.advance(seconds)
        self.assertEqual(len(results), 1, "it goes on")
        self.network.pump()
        self.assertEqual(self.network.getDelayedCalls(), [])
        return results[0]


class TCPTests(CheckCase):
    def check(self, **options: Any) -> TCPCheck:
        return TCPCheck(self.context(), **options)

    def test_accepts(self) -> None:
        self.assertEqual(self.result(self.check()), Health(True, latency=0.0))
        self.assertEqual(self.fake.requests, [])

    def test_refuses(self) -> None:
        self.fake.refuse()
        self.assertIn("refused", self.result(self.check()).getErrorMessage())

    def test_anotherPort(self) -> None:
        other = FakeUpstream()
        other.listen(self.network, "10.0.0.1:81")
        self.fake.refuse()
        self.assertTrue(self.result(self.check(port=81)).ok)

    def test_byName(self) -> None:
        self.assertTrue(self.result(self.check(), Upstream("http://app.example")).ok)

    def test_unixSocket(self) -> None:
        self.network.serve("/run/app.sock")
        self.assertTrue(self.result(self.check(), Upstream("unix:/run/app.sock")).ok)
        problem = self.result(self.check(port=81), Upstream("unix:/run/app.sock"))
        self.assertEqual(problem.getErrorMessage(), "unix:/run/app.sock has no port 81")

    def test_neverAnswers(self) -> None:
        self.network.blackHole("10.0.0.9:80")
        failure = self.result(self.check(), Upstream("http://10.0.0.9"), seconds=3.5)
        self.assertIn("timeout", type(failure.value).__name__.lower())


class HTTPTests(CheckCase):
    def check(self, *args: Any, **options: Any) -> HTTPCheck:
        return HTTPCheck(self.context(), *args, **options)

    def test_asks(self) -> None:
        self.assertEqual(self.result(self.check("/healthz?deep=1")), Health(True, "status 200", 0.0))
        (request,) = self.fake.requests
        self.assertEqual((request.method, request.target), (b"GET", b"/healthz?deep=1"))
        self.assertEqual(request.headers.getRawHeaders(b"host"), [b"10.0.0.1"])
        self.assertTrue(request.headers.get(b"user-agent", b"").startswith(b"twistproxy/"))

    def test_itsOwnHeaders(self) -> None:
        check = self.check(method="HEAD", host="app.example", headers={"X-Probe": "1", "User-Agent": "probe"})
        self.assertTrue(self.result(check).ok)
        headers = self.fake.requests[0].headers
        self.assertEqual(headers.getRawHeaders(b"host"), [b"app.example"])
        self.assertEqual((headers.get(b"x-probe"), headers.getRawHeaders(b"user-agent")), (b"1", [b"probe"]))

    def test_theUpstreamsOwnPathIsNotPutBefore(self) -> None:
        self.assertTrue(self.result(self.check(), Upstream("http://10.0.0.1/base?a=b")).ok)
        self.assertEqual(self.fake.requests[0].target, b"/")

    def test_byTLS(self) -> None:
        """As requests have it: the same authorities, the same name."""
        server = RawServer(lambda peer, data: peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"))
        options = ofTwisted(issued("app.example")).options()
        port = self.network.listenSSL(443, server, options, interface="10.0.0.1")
        ca = writeAuthority(temporaryDirectory(self))
        good = Upstream("https://10.0.0.1", tls=UpstreamTLS(serverName="app.example", ca=ca))
        self.assertEqual(self.result(self.check(), good, seconds=0.1).detail, "status 200")
        for tls, sentence in [
            (UpstreamTLS(ca=ca), "IP address mismatch"),
            (UpstreamTLS(serverName="app.example"), "unable to get local issuer certificate"),
            (UpstreamTLS(serverName="app.example", ca="/no/ca.pem"), "/no/ca.pem: No such file"),
        ]:
            found = self.result(self.check(), Upstream("https://10.0.0.1", tls=tls), seconds=0.1)
            self.assertFalse(getattr(found, "ok", False))
            self.assertIn(sentence, str(found))
        port.stopListening()
        for peer in server.peers:
            peer.abort()

    def test_statuses(self) -> None:
        for code, isGood in ((200, True), (204, True), (302, True), (404, False), (500, False), (503, False)):
            self.fake.respond(code)
            health = self.result(self.check())
            self.assertEqual((health.ok, health.detail), (isGood, f"status {code}"))

    def test_otherStatuses(self) -> None:
        self.fake.respond(401).respond(200)
        check = self.check(status=["401", "403"])
        self.assertEqual([self.result(check).ok for _ in range(2)], [True, False])

    def test_readsStatuses(self) -> None:
        self.assertEqual(parseStatuses(["200", "204-206", "404"]), {200, 204, 205, 206, 404})
        self.assertEqual(parseStatuses(["3XX"]), set(range(300, 400)))

    def test_body(self) -> None:
        for body, isGood in ((b'{"status": "ok"}', True), (b'{"status": "bad"}', False), (b"", False)):
            self.fake.respond(200, body=body)
            check = built(IHealthCheck, {"use": "http", "body": 'status": *"ok'})
            check._reactor = self.network
            health = self.result(check)
            self.assertEqual(health.ok, isGood)
        self.assertIn("lacks", health.detail)

    def test_onlyTheBeginningOfABodyIsRead(self) -> None:
        self.fake.respond(200, body=[b"x" * 1000] * 100 + [b"end"])
        self.assertFalse(self.result(self.check(body=re.compile(b"end"), maxBody=10_000)).ok)
        self.fake.respond(200, body=[b"x" * 1000] * 100 + [b"end"])
        self.assertTrue(self.result(self.check(body=re.compile(b"x{10000}"), maxBody=10_000)).ok)

    def test_aBodyToTheEndOfTheConnection(self) -> None:
        self.fake.raw(b"HTTP/1.0 200 OK\r\n\r\nwell", close=True)
        self.assertTrue(self.result(self.check()).ok)

    def test_aBodyThatBreaksOff(self) -> None:
        self.fake.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nwell", close=True)
        self.assertTrue(self.result(self.check()).getErrorMessage())

    def test_brokenAnswers(self) -> None:
        for answer in (b"", b"HTTP/1.1", b"SSH-2.0-OpenSSH_9.2\r\n\r\n"):
            self.fake.raw(answer, close=True)
            result = self.result(self.check())
            self.assertFalse(isinstance(result, Health) and result.ok, answer)

    def test_neverAnswers(self) -> None:
        """The runner's timeout cancels it: nothing is left."""
        self.fake.stall()
        with ProxyHarness(upstream=self.fake, health="http:interval=1s:timeout=500ms:fall=1") as harness:
            harness.advance(1)
            self.assertEqual(harness.members[0].state, "down: it took too long")

    def test_aBodyThatNeverEnds(self) -> None:
        self.fake.raw(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nwell")
        with ProxyHarness(upstream=self.fake, health="http:timeout=500ms:fall=1") as harness:
            harness.advance(1)
            self.assertEqual(harness.members[0].state, "down: it took too long")

    def test_mistakes(self) -> None:
        for written, problem in (
            (
                "http:path=healthz",
                "path: 'healthz' is no path: it starts with a slash; percent-encode what is not allowed in one",
            ),
            ("http:status=2x", "status: '2x' is no status (want 200, 200-299 or 2xx)"),
            ("http:status=101", "status: '101' is none from 200 to 599"),
            ("http:method=get", "method: 'get' is no method"),
            ("http:method=HEAD:body=ok", "body: there is none in the answer to HEAD"),
            ("http:interval=0s", "interval is more than 0"),
            ("http:rise=0", "rise is more than 0"),
            ("http:down-interval=0s", "down-interval is more than 0"),
            ("http:initial=maybe", "initial: 'maybe' is none of up, down"),
            ("agent:port=0", "port: 0 is no port"),
            ("agent", "needs the option 'port'"),
        ):
            error = self.assertRaises(ConfigurationError, built, IHealthCheck, written)
            tag = written.partition(":")[0]
            self.assertEqual(str(error), f"here: {tag}: {problem}")


class AgentLineTests(SynchronousTestCase):
    """HAProxy's configuration manual, agent-check."""

    def test_golden(self) -> None:
        for line, expected in (
            (b"up\n", Health(True, "agent: up")),
            (b"75%\n", Health(True, "agent: 75%", share=0.75, isInconclusive=True)),
            (b"up 75%\r\n", Health(True, "agent: up 75%", share=0.75)),
            (b"ready,up\t50% maxconn:30\n", Health(True, "agent: ready,up 50% maxconn:30", None, 0.5, 30, "ready")),
            (b"drain\n", Health(True, "agent: drain", advice="drain", isInconclusive=True)),
            (b"maint\n", Health(True, "agent: maint", advice="maint", isInconclusive=True)),
            (b"down\n", Health(False, "agent: down")),
            (b"down#disk full, rebuilding\n", Health(False, "agent: down disk full, rebuilding")),
            (b"stopped#by ops\n", Health(False, "agent: stopped by ops")),
            (b"failed # up\n", Health(False, "agent: failed up")),
            (b"UP 100%", Health(True, "agent: UP 100%", share=1.0)),
            (b"0%\n", Health(True, "agent: 0%", share=0.0, isInconclusive=True)),
            (b"hello world\n", Health(True, "agent: hello world", isInconclusive=True)),
            (b"\n", Health(True, "agent: ", isInconclusive=True)),
            (b"-5% maxconn:-1 %\n", Health(True, "agent: -5% maxconn:-1 %", isInconclusive=True)),
            (b"\x1b[31mdown\n", Health(True, "agent: [31mdown", isInconclusive=True)),
        ):
            self.assertEqual(readAgent(line), expected, line)


class AgentTests(SynchronousTestCase):
    """An agent beside an upstream."""

    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.line: bytes | None = b"up\n"
        self.asked: list[bytes] = []
        self.network.serve("10.0.0.1:9777", onConnect=self.connected, onData=lambda peer, data: self.asked.append(data))

    def connected(self, peer: RawPeer) -> None:
        if self.line is not None:
            peer.send(self.line)

    def harness(self, spec: str = "agent:port=9777:interval=1s") -> ProxyHarness:
        return ProxyHarness(upstreams=[FakeUpstream(body=b"one"), FakeUpstream(body=b"two")], health=spec, network=self.network)

    def say(self, harness: ProxyHarness, line: bytes | None) -> str:
        """The agent's next answer, and what becomes of the upstream."""
        self.line = line
        harness.advance(1)
        return harness.members[0].state

    def test_words(self) -> None:
        with self.harness() as harness:
            self.assertEqual(self.say(harness, b"down#disk full\n"), "down: agent: down disk full")
            self.assertEqual([harness.get("/").body for _ in range(3)], [b"two"] * 3)
            self.assertEqual(self.say(harness, b"up drain\n"), "draining: agent: up drain")
            self.assertEqual([harness.get("/").body for _ in range(3)], [b"two"] * 3)
            self.assertEqual(self.say(harness, b"up ready 50% maxconn:3\n"), "up")
            self.assertEqual(harness.members[0].maxConnections, 3)
            found = [harness.get("/").body for _ in range(300)].count(b"one")
            self.assertTrue(70 < found < 130, found)  # half of what the other gets
            self.assertEqual(self.say(harness, b"100%\n"), "up")
            self.assertEqual([harness.get("/").body for _ in range(10)].count(b"one"), 5)

    def test_anAgentThatIsNotThereSaysNothing(self) -> None:
        with self.harness() as harness:
            self.assertEqual(self.say(harness, b"down\n"), "down: agent: down")
            self.network.failConnections("10.0.0.1:9777")
            self.assertEqual(self.say(harness, None), "down: agent: down")
            self.assertEqual(harness.members[1].state, "up")

    def test_norOneThatNeverEndsItsLine(self) -> None:
        with self.harness("agent:port=9777:interval=1s:timeout=300ms") as harness:
            for line in (b"dow", None, b""):
                self.assertEqual(self.say(harness, line), "up")

    def test_aLineWithoutEnd(self) -> None:
        with self.harness() as harness:
            self.assertEqual(self.say(harness, b"down " + b"x" * 100_000), "down: agent: down")

    def test_whatItIsSent(self) -> None:
        with self.harness("agent:port=9777:send=shop-1") as harness:
            harness.advance(1)
        self.assertEqual(b"".join(self.asked), b"shop-1\n")


class ReverseProxyTests(SynchronousTestCase):
    """In a program."""

    def test_checksRunWhileItListens(self) -> None:
        network = MemoryNetwork()
        one, two = FakeUpstream(500), FakeUpstream()
        members = [each.listen(network, f"10.0.0.{at}:80") for at, each in enumerate((one, two), 1)]
        check = HTTPCheck(BuildContext(network), "/healthz", fall=1, interval=1.0)
        proxy = ReverseProxy(network, members, health=[check])
        port = network.listenTCP(8080, proxy)
        network.pump()
        self.assertEqual([each.state for each in proxy.upstreams], ["down: status 500", "up"])
        proxy.startService()
        self.assertEqual(len(one.requests), 1)
        proxy.administer("http://10.0.0.2:80", Administrative.DRAIN)
        self.assertEqual(members[1].state, "draining: by the operator")
        self.assertRaises(KeyError, proxy.administer, "http://10.0.0.3", Administrative.DOWN)
        port.stopListening()
        proxy.stopService()
        network.advance(5)
        self.assertEqual(len(one.requests), 1)
        network.closePeers()
        network.assertClean()


class AnnouncedTests(CheckCase):
    """Upstreams that want the PROXY protocol get it from checks, too: these speak for themselves."""

    def served(self, check: Any, url: str = "http://10.0.0.9", version: Any = "v1", port: int = 80) -> bytes:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"

        def heard(peer: RawPeer, data: bytes) -> None:
            if b"GET" in data:
                peer.send(answer)
            elif b"\x16\x03" in data:
                peer.close()

        server = self.network.serve(f"10.0.0.9:{port}", heard)
        self.result(check, Upstream(url, proxyProtocol=version), 1)
        return server.peers[0].received

    def test_tcp(self) -> None:
        self.assertEqual(self.served(TCPCheck(self.context())), b"PROXY UNKNOWN\r\n")

    def test_http(self) -> None:
        self.assertTrue(self.served(HTTPCheck(self.context())).startswith(b"PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n"))

    def test_version2(self) -> None:
        local = b"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00GET "
        self.assertTrue(self.served(HTTPCheck(self.context()), version="v2").startswith(local))

    def test_beforeTLS(self) -> None:
        received = self.served(HTTPCheck(self.context()), "https://10.0.0.9", port=443)
        self.assertTrue(received.startswith(b"PROXY UNKNOWN\r\n\x16\x03"), received)

    def test_anotherPort(self) -> None:
        """Another program, which need not want it."""
        self.assertTrue(self.served(HTTPCheck(self.context(), port=81), port=81).startswith(b"GET "))
