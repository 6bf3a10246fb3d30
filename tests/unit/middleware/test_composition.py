"""Each built-in middleware around and within each other: one answer, whole or broken off cleanly, and nothing left.

All pairs are routes of one proxy, told apart by the path. Whoever adds a middleware adds it to L{SPECS}.
"""

from __future__ import annotations

import gzip
import time
from base64 import b64encode
from collections.abc import Sequence
from ipaddress import ip_network
from itertools import product
from typing import Any, Final

import jwt
from twisted.application.service import IService
from twisted.logger import capturedLogs, formatEvent
from twisted.python.threadpool import ThreadPool
from twisted.web.client import HTTPConnectionPool

from tests.unit.builtin import BUILT_IN, built
from tests.unit.loader.temporary import temporaryDirectory
from tests.unit.middleware.test_basicauth import APR1
from tests.unit.support import SWITCHED, WEBSOCKET, Client, Message, ProxyTestCase, answer, chunked, get, head, parse
from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.engine import Route
from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest, Upstream
from twistproxy.testing import RawPeer
from twistproxy.upstream.group import UpstreamGroup

SPECS: Final[dict[str, tuple[str, ...]]] = {
    "bandwidth-limit": ("bandwidth-limit:rate=1KiB:upload=1KiB:burst=3",),
    "basic-auth": ("basic-auth:users",),
    "buffer-request": ("buffer-request",),
    "buffer-response": ("buffer-response",),
    "chaos": ("chaos:latency=10ms:slicer=2:slicer-delay=10ms:slow-close=10ms:seed=1",),
    "circuit-breaker": ("circuit-breaker:volume=100000",),
    "client-certificate": ("client-certificate",),
    "compress": ("compress:gzip:min-size=1",),
    "concurrency-limit": ("concurrency-limit:max=1",),
    "cors": ("cors:origins=*",),
    "fallback": ("fallback:sorry:status=200:on=502", "fallback:pool=backup", "fallback:stale=1h"),
    "forward-auth": ("forward-auth:url=http\\://10.0.0.9/",),
    "ip-filter": ("ip-filter:deny=192.0.2.0/24",),
    "jwt": ("jwt:algorithms=HS256:key=file\\:secret:cookie=token:set=X-User=sub",),
    "mirror": ("mirror:pool=shadow",),
    "rate-limit": ("rate-limit:rate=100000",),
    "request-id": ("request-id",),
    "require-https": ("require-https:hsts=0s",),
    "security-headers": ("security-headers",),
    "shed": ("shed:lag=2h:interval=1h",),
    "statistics": ("statistics",),
}
"""How each is built, so that it does its work and lets the requests pass."""

REFUSING: Final = ("ip-filter:deny=0.0.0.0/0", "chaos:status=500", "chaos:reset=0s", "chaos:timeout=10ms")
"""Those who let nobody pass."""

BODY: Final = b"<p>hello</p>"
OK: Final = answer(BODY, b"Content-Type: text/html")
SECRET: Final = "0123456789" * 4


class _Pool(ThreadPool):
    """Threads that are none."""

    def __init__(self) -> None:
        """Nothing is started."""

    def callInThreadWithCallback(self, onResult: Any, func: Any, *args: Any, **kwargs: Any) -> None:
        onResult(True, func(*args, **kwargs))


class TestPairs(ProxyTestCase):
    def setUp(self) -> None:
        super().setUp()
        network: Any = self.network
        network.getThreadPool = _Pool
        directory = temporaryDirectory(self)
        (directory / "users").write_text(f"ali:{APR1}\n")
        (directory / "secret").write_text(SECRET)
        specs = [each for specs in SPECS.values() for each in specs]
        pools = ("default", "backup", "shadow")
        self.options: dict[str, Any] = {"directory": str(directory), "pools": pools, "reactor": network}
        self.combine(specs, specs)
        token = jwt.encode({"sub": "ali", "exp": time.time() + 3600}, SECRET, "HS256").encode()
        login = b"Authorization: Basic " + b64encode(b"ali:myPassword")
        said = b"Accept-Encoding: gzip", b"Origin: https://a.example", b"X-Forwarded-Proto: https"
        self.lines = (login, b"Cookie: token=" + token, *said)
        self.others = [self.serve(f"10.0.0.{number}:80", answer(BODY)) for number in (7, 8, 9)]

    def combine(self, outside: Sequence[str], inside: Sequence[str]) -> None:
        """Have each of the first around each of the second."""
        outer = [built(IMiddleware, each, **self.options) for each in outside]
        inner = [built(IMiddleware, each, **self.options) for each in inside]
        self.pairs = list(product(outside, inside))
        self.plugins = list(product(outer, inner))
        self.services = [each for each in (*outer, *inner) if IService.providedBy(each)]

    def begin(self, script: Any) -> None:
        """Start a proxy with a route for each pair, before an origin that does C{script}."""
        pools = {
            name: UpstreamGroup(name, RoundRobin(), [Upstream(f"http://10.0.0.{number}")])
            for name, number in (("backup", 7), ("shadow", 8))
        }
        self.proxy(script, pools=pools, settings={"trustedProxies": (ip_network("203.0.113.0/24"),)})
        engine = self.engine
        group = engine.groups["default"]
        self.watched = [each for pool in pools.values() for each in pool.members]
        routes = [Route(group, middleware=pair, name=str(number)) for number, pair in enumerate(self.plugins)]

        def routeFor(request: InboundRequest) -> Route:
            return routes[int(request.path[1:])]

        engine.routeFor = routeFor
        for each in self.services:
            each.startService()

    def tearDown(self) -> None:
        for each in self.services:
            each.stopService()
        super().tearDown()

    def target(self, number: int) -> bytes:
        return b"/%d" % number

    def settle(self) -> None:
        """Whatever is slow on purpose is done then."""
        self.seconds(0.7)

    def checkAllIsOver(self, client: Client, pair: tuple[Any, ...], timers: int) -> None:
        """Nothing of this pair is under way."""
        client.abort()
        self.settle()
        self.checkNothingRuns()
        for each in pair:
            counting = getattr(each, "figures", each)
            self.assertFalse(getattr(counting, "inFlight", 0), f"{each} counts somebody")
        self.assertEqual(self.timers(), timers, "timers")

    def timers(self) -> int:
        """How many there are, but for those of connections that L{Agent}s keep."""
        calls = [getattr(each.func, "__self__", None) for each in self.network.getDelayedCalls()]
        return sum(not isinstance(each, HTTPConnectionPool) for each in calls)

    def each(self, script: Any, request: Any, check: Any) -> None:
        """Have a client of its own send what C{request} makes of a target through each pair, and C{check} what comes of it."""
        self.begin(script)
        timers = self.timers()
        failures = []
        for number, (pair, names) in enumerate(zip(self.plugins, self.pairs, strict=True)):
            with capturedLogs() as logged:
                client = self.ask(request(b"/%d" % number))
                self.settle()
                try:
                    check(client, names)
                    self.checkAllIsOver(client, pair, timers)
                    wrong = [formatEvent(each) for each in logged if "log_failure" in each]
                    self.assertEqual(wrong, [])
                except AssertionError as error:
                    client.abort()
                    failures.append(f"{' around '.join(names)}: {error}")
        self.assertEqual(failures, [], f"{len(failures)} of {len(self.pairs)} pairs")

    def body(self, message: Message) -> bytes:
        """As the upstream had it."""
        return gzip.decompress(message.body) if message.get(b"content-encoding") else message.body

    def test_allAreHere(self) -> None:
        tags = {tag for tag, plugin in BUILT_IN.items() if IMiddleware in plugin.provides}
        self.assertEqual(tags, set(SPECS), "who adds a middleware adds it to SPECS")

    def test_get(self) -> None:
        """One after the other on a connection; what follows a HEAD has to be in its place."""

        def script(peer: RawPeer, request: Message) -> None:
            peer.send(OK if request.method == b"GET" else OK.removesuffix(BODY))

        def check(client: Client, names: tuple[str, ...]) -> None:
            first, second, third = client.answers(b"GET", b"HEAD", b"GET")
            for message in (first, third):
                self.assertEqual((message.code, self.body(message)), (200, BODY))
            self.assertEqual(second.code, 200)

        def request(target: bytes) -> bytes:
            return b"".join(get(target, *self.lines, method=method) for method in (b"GET", b"HEAD", b"GET"))

        self.each(script, request, check)

    def test_postInChunks(self) -> None:
        pieces = [b"one", b"two", b"three"]

        def check(client: Client, names: tuple[str, ...]) -> None:
            message = client.answer(b"POST")
            self.assertEqual((message.code, self.body(message)), (200, BODY))
            self.assertEqual(self.origin.requests[-1].body, b"onetwothree")

        def request(target: bytes) -> bytes:
            return get(target, *self.lines, b"Transfer-Encoding: chunked", method=b"POST") + chunked(*pieces)

        self.each(OK, request, check)

    def test_upgrade(self) -> None:
        def script(peer: RawPeer, request: Message) -> None:
            self.origin.raw.add(peer)
            peer.send(SWITCHED)

        def check(client: Client, names: tuple[str, ...]) -> None:
            found = parse(client.take(), b"GET")
            assert found is not None
            self.assertEqual(found[0].code, 101)
            client.send(b"to and")
            self.settle()
            self.assertTrue(self.origin.peers[-1].received.endswith(b"to and"))
            self.send(self.origin.peers[-1], b"fro")
            self.settle()
            self.assertEqual(client.take(), b"fro")

        self.each(script, lambda target: get(target, *self.lines, *WEBSOCKET), check)

    def test_upstreamFails(self) -> None:
        """The fallbacks may make that good."""

        def check(client: Client, names: tuple[str, ...]) -> None:
            message = client.answer()
            good = any(each.startswith(("fallback:sorry", "fallback:pool")) for each in names)
            self.assertEqual(message.code, 200 if good else 502)
            self.assertTrue(self.body(message))

        self.each(lambda peer, request: peer.abort(), lambda target: get(target, *self.lines), check)

    def test_upstreamBreaksOff(self) -> None:
        """What the client has must not look like the whole."""

        def script(peer: RawPeer, request: Message) -> None:
            peer.send(head(b"Content-Length: 100", b"Content-Type: text/html") + b"<p>hel")
            peer.close()

        def check(client: Client, names: tuple[str, ...]) -> None:
            self.assertTrue(client.isEnded)
            if client.received.startswith(b"HTTP/1.1 200"):
                self.assertIs(parse(client.received, b"GET", ended=True), None)

        self.each(script, lambda target: get(target, *self.lines), check)

    def test_refusedInside(self) -> None:
        """What is outside gets an answer of the proxy's own, or a connection that is gone."""

        def check(client: Client, names: tuple[str, ...]) -> None:
            if names[1].startswith(("chaos:reset", "chaos:timeout")):
                self.assertEqual(client.wasReset, names[1].startswith("chaos:reset"))
                self.assertEqual((client.isEnded, client.received), (True, b""))
            else:
                message = client.answer()
                self.assertEqual(message.code, 403 if names[1].startswith("ip-filter") else 500)
                self.assertTrue(self.body(message))
            self.assertLessEqual(len(self.origin.requests), 2 * len(self.pairs))

        self.combine([each for specs in SPECS.values() for each in specs], REFUSING)
        self.each(OK, lambda target: get(target, *self.lines), check)

    def test_clientLeavesWithinTheAnswer(self) -> None:
        def check(client: Client, names: tuple[str, ...]) -> None:
            self.assertFalse(client.isEnded)

        def script(peer: RawPeer, request: Message) -> None:
            peer.send(head(b"Content-Length: 1000") + b"<p>hel")

        self.each(script, lambda target: get(target, *self.lines), check)
        self.assertEqual([each for each in self.origin.peers if not each.eof and each.closed is None], [])

    def test_clientLeavesEarly(self) -> None:
        def check(client: Client, names: tuple[str, ...]) -> None:
            self.assertEqual(client.received, b"")

        self.each(None, lambda target: get(target, *self.lines), check)

    def test_clientLeavesWithinItsBody(self) -> None:
        def check(client: Client, names: tuple[str, ...]) -> None:
            self.assertEqual(client.received, b"")

        self.each(None, lambda target: get(target, *self.lines, b"Content-Length: 10", method=b"POST") + b"12345", check)
