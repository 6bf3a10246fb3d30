"""Clients, upstreams and plugins that do anything at any time: nothing is left over, and no answer is another's.

Each storm is made from a seed, and is the same every time. STORMS=1-5000 in the environment runs others.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.support.certificates import issued, write
from tests.unit.builtin import built
from tests.unit.loader.temporary import temporaryDirectory
from tests.unit.support import (
    SWITCHED,
    WEBSOCKET,
    Client,
    Message,
    ProxyTestCase,
    WritingAtOnce,
    answer,
    chunked,
    director,
    errorHandler,
    get,
    head,
    middleware,
    modifier,
    parse,
    post,
)
from tests.unit.test_tls import HOST, SecureClient
from twistproxy.exchange.retrying import RetryRule
from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest, OutboundRequest, Response
from twistproxy.server import channel
from twistproxy.testing import RawPeer
from twistproxy.tls import transport
from twistproxy.tls.config import CertificateFiles, ServerTLS
from twistproxy.tls.listening import SecureFactory
from twistproxy.tls.store import CertificateStore
from twistproxy.upstream import connection

FAULTS = (
    "latency=1s:jitter=1s", "timeout=2s", "reset=1s", "status=418", "limit-data=3000:stream=both",
    "slicer=5000:slicer-variation=4000:slicer-delay=10ms:stream=both", "data-latency=1s:data-jitter=1s:stream=both",
    "slow-close=2s:stream=both",
)  # fmt: skip
"""What the middleware chaos is told."""


class Storm:
    """What happens, drawn from a seed."""

    def __init__(self, case: TestStorms, seed: int) -> None:
        self.case = case
        self.random = random.Random(seed)
        self.count = 0
        self.broken: set[Client] = set()  # whose answers are no longer looked at
        self.asked: dict[Client, list[tuple[bytes, bytes]]] = {}  # method and mark of each request

    def chance(self, percent: float) -> bool:
        return self.random.random() * 100 < percent

    def later(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Do it now, soon, or in a while."""
        network = self.case.network
        delay = self.random.choice((0, 0, 0, 0.01, 0.5, 3, 20))
        if delay:
            network.callLater(delay, function, *arguments)
        else:
            function(*arguments)

    def size(self) -> int:
        return self.random.choice((0, 1, 5, 100, 3000, 70000, 300000))

    # Upstreams.

    def saysNoMore(self, peer: RawPeer) -> None:
        """Whatever comes from now on, the upstream does not answer."""
        for origin in self.case.origins:
            origin.raw.add(peer)

    def answered(self, peer: RawPeer, request: Message) -> None:
        """Whatever is answered, names the request."""
        mark = request.get(b"x-mark") or b""
        body = mark + b":" + bytes([self.random.randrange(256)]) * self.size()
        named = b"X-Answer: " + mark
        pick = self.random.randrange(14)
        toHead = request.method == b"HEAD"
        if request.all(b"upgrade") and self.chance(70):
            self.saysNoMore(peer)
            peer.send(SWITCHED.replace(b"\r\n\r\n", b"\r\n" + named + b"\r\n\r\n"))
            if self.chance(50):
                peer.send(b"frame" * self.random.randrange(20000))
            self.later(self.random.choice((peer.close, peer.abort, peer.halfClose)))
            return
        whole = answer(body, named, status=b"503 Busy" if self.chance(10) else b"200 OK")
        if pick == 0:
            whole = head(named, b"Transfer-Encoding: chunked") + chunked(body, b"end", trailers=[b"X-T: 1"])
        elif pick == 1:
            whole = head(named, status=b"204 No Content")
        elif pick == 2:
            whole = head(named, b"Link: a", status=b"103 Early Hints") * 3 + whole
        elif pick == 3:
            whole = answer(body, named, b"Connection: close")
        elif pick == 4:
            whole = head(named) + body
        elif pick == 5:
            whole += b"poison"
        elif pick == 6:
            whole = b"nonsense\r\n\r\n"
        elif pick == 7:
            peer.abort()
            return
        elif pick == 8:
            peer.close()
            return
        elif pick == 9:
            return  # for ever
        if toHead and pick != 5:
            whole = whole.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
        if self.chance(15):
            cut = self.random.randrange(len(whole) + 1)
            peer.send(whole[:cut])
            self.later(self.random.choice((peer.close, peer.abort)))
        elif self.chance(30):
            cut = self.random.randrange(len(whole) + 1)
            peer.send(whole[:cut])
            self.later(peer.send, whole[cut:])
            if pick == 4:
                self.case.network.callLater(30, peer.close)
        else:
            self.later(peer.send, whole)
            if pick == 4:
                self.case.network.callLater(30, peer.close)

    def arrived(self, peer: RawPeer) -> None:
        """A head is there: some upstreams do not wait for the body."""
        if self.chance(5):
            peer.send(answer(b"early", b"X-Answer: early"))
            self.saysNoMore(peer)
        elif self.chance(3):
            peer.abort()
        elif self.chance(10):
            peer.pause()
            self.later(peer.resume)

    # Plugins.

    def slowly(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """A hook that may take its time, or fail."""

        async def waiting(*arguments: Any) -> Any:
            await deferLater(self.case.network, self.random.choice((0.1, 2, 40)), lambda: None)
            result = function(*arguments)
            return await result if isawaitable(result) else result

        def hook(*arguments: Any) -> Any:
            if self.chance(3):
                raise ValueError("a plugin")
            if self.chance(3):
                return Deferred()
            return waiting(*arguments) if self.chance(20) else function(*arguments)

        return hook

    def plugins(self) -> dict[str, Any]:
        async def reading(request: InboundRequest, response: Response) -> None:
            await response.body.read(100000)

        async def readingRequest(inbound: InboundRequest, outbound: OutboundRequest) -> None:
            await inbound.body.read(100000)

        async def through(request: InboundRequest, proceed: Callable[[], Any]) -> Response:
            response: Response = await proceed()
            if self.chance(10):
                await deferLater(self.case.network, 2, lambda: None)
            if self.chance(10):
                return Response(418, {"X-Answer": request.headers.get("X-Mark", "")})
            return response

        found: dict[str, Any] = {}
        if self.chance(30):
            found["directors"] = [director(self.slowly(self.random.choice((lambda *_: None, readingRequest))))]
        if self.chance(30):
            found["modifiers"] = [modifier(self.slowly(self.random.choice((lambda *_: None, reading))))]
        if self.chance(20):
            found["middleware"] = [middleware(through)] * self.random.randint(1, 2)
        if self.chance(30):
            rates = self.random.choice(("rate=20000", "upload=20000", "rate=1000000:upload=300000:key=route"))
            slow = built(IMiddleware, f"bandwidth-limit:{rates}:burst=0", reactor=self.case.network)
            found["middleware"] = [*found.get("middleware", []), slow]
        if self.chance(20):
            chaos = built(IMiddleware, f"chaos:{self.random.choice(FAULTS)}:share=50%:seed=1", reactor=self.case.network)
            found["middleware"] = [*found.get("middleware", []), chaos]
        if self.chance(40):
            limit = self.random.choice(("max=3", "max=1:key=client", "max=2:key=path"))
            self.case.limits = [built(IMiddleware, f"concurrency-limit:{limit}")]
            found["middleware"] = [*self.case.limits, *found.get("middleware", [])]
        if self.chance(40):
            policy = self.random.choice(("volume=3:open=3s:recovery=5s:latency=2s", "errors=90%:volume=5:recovery=0s"))
            self.case.breakers = [built(IMiddleware, f"circuit-breaker:{policy}", reactor=self.case.network)]
            found["middleware"] = [*self.case.breakers, *found.get("middleware", [])]
        if self.chance(60):
            self.case.statistics = [built(IMiddleware, "statistics", reactor=self.case.network)]
            found["middleware"] = [*self.case.statistics, *found.get("middleware", [])]
        if self.chance(20):
            found["errorHandlers"] = [errorHandler(self.slowly(lambda *_: None))]
        if self.chance(40):
            on = self.random.choice(("503", "connect,reset,timeout,invalid", "connect,reset,5xx"))
            backoff = self.random.choice((0, 0.1, 3))
            found["retryPolicy"] = rule = RetryRule(on, self.random.choice(("idempotent", "any")), backoff)
            rule.random = self.random.random
        return found

    def settings(self) -> dict[str, Any]:
        choices = {
            "maxConnectionsPerUpstream": (0, 0, 1, 3),
            "maxQueuedRequests": (0, 5, 1000),
            "maxPipelinedBytes": (100, 65536),
            "maxReplayBytes": (10, 65536),
            "maxIdlePerUpstream": (0, 1, 100),
            "headTimeout": (2, 15),
            "bodyTimeout": (2, 30),
            "keepAliveTimeout": (1, 75),
            "sendTimeout": (2, 60),
            "upstreamTimeout": (3, 60),
            "upstreamHeadTimeout": (3, 60),
            "idleConnectionTimeout": (1, 60),
            "queueTimeout": (1, 10),
            "connectTimeout": (1, 10),
            "tunnelIdleTimeout": (5, 3600),
            "maxLingerBytes": (0, 262144),
            "maxTries": (0, 1, 2),
            "tryTimeout": (0, 0.5, 3),
            "triesTimeout": (0, 1, 20),
            "retryBudget": (0, 20, 100),
            "explain": (False, True),
        }
        return {name: self.random.choice(values) for name, values in choices.items() if self.chance(40)}

    # Clients.

    def request(self, client: Client) -> bytes:
        self.count += 1
        mark = b"m%d" % self.count
        line = b"X-Mark: " + mark
        pick = self.random.randrange(12)
        method = self.random.choice((b"GET", b"GET", b"HEAD", b"POST", b"PUT", b"OPTIONS"))
        extra = [b"Idempotency-Key: 1"] * self.chance(20) + [b"Expect: 100-continue"] * self.chance(5)
        if pick < 5:
            data = get(b"/" + mark, line, *extra, method=method)
        elif pick < 8:
            data = post(b"p" * self.size(), line, *extra, method=method)
        elif pick == 8:
            data = get(b"/", line, *extra, b"Transfer-Encoding: chunked", method=method) + chunked(
                b"c" * 10, b"d" * (self.size() + 1)
            )
        elif pick == 9:
            data, method = get(b"/", line, *WEBSOCKET), b"GET"
            self.broken.add(client)
        elif pick == 10:
            data = get(b"/", line, b"Connection: close", method=method)
        else:
            data = get(b"/", line, b"Transfer-Encoding: chunked", method=method) + b"5\r\nhello\r\nx\r\n"
            self.broken.add(client)
        self.asked.setdefault(client, []).append((method, mark))
        return data

    def act(self) -> None:
        """One client does something."""
        case = self.case
        pick = self.random.randrange(20)
        if pick < 6 or not case.clients:
            client = case.client()
        else:
            client = self.random.choice(case.clients)
        if pick < 13:
            data = b"".join(self.request(client) for _ in range(self.random.choice((1, 1, 1, 3))))
            if self.chance(10):
                cut = self.random.randrange(len(data))
                client.raw.send(data[:cut])
                self.later(client.raw.send, data[cut:])
                self.broken.add(client)  # what else is sent meanwhile comes in between
            else:
                client.raw.send(data)
        elif pick < 15:
            self.broken.add(client)
            self.later(self.random.choice((client.raw.abort, client.raw.close, client.raw.halfClose)))
        elif pick == 15:
            client.raw.pause()
            self.later(client.raw.resume)
        elif pick == 16:
            for origin in case.origins:
                for peer in origin.peers:
                    if self.chance(30):
                        self.random.choice((peer.abort, peer.close, peer.pause))()
        elif pick == 17:
            where = f"10.0.0.{self.random.randint(1, 3)}:80"
            self.random.choice((case.network.failConnections, case.network.blackHole, case.network.heal))(where)
        elif pick == 18 and case.reverseProxy is not None:
            members = [f"http://10.0.0.{at}" for at in range(1, 4) if self.chance(80)]
            case.seen.update(case.reverseProxy.upstreams)
            case.reverseProxy.setUpstreams(members)
        if self.chance(70):
            case.network.pump()
        if self.chance(40):
            case.seconds(self.random.choice((0.1, 1, 5, 30)))

    def check(self) -> None:
        """Every answer is that of its request, in order."""
        for client, asked in self.asked.items():
            data, left = client.received, list(asked)
            while data and left and client not in self.broken:
                method, mark = left[0]
                found = parse(data, method)
                if found is None:
                    break
                message, length = found
                data = data[length:]
                named = message.all(b"x-answer")
                if message.code >= 200:
                    left.pop(0)
                    if message.code == 200 and named != [b"early"] and method != b"HEAD":
                        begin = message.body.split(b":")[0]  # one that lasts until the close may be cut there
                        self.case.assertEqual(begin, mark[: len(begin)])
                if named and named != [b"early"]:
                    self.case.assertEqual(named, [mark])


class TestStorms(ProxyTestCase):
    seen: set[Any]
    writers: tuple[Any, ...] = (channel, connection)
    seeds = "1-40"

    def storm(self, seed: int) -> None:
        storm = Storm(self, seed)
        self.seen = set()
        self.limits: list[Any] = []
        self.breakers: list[Any] = []
        self.statistics: list[Any] = []
        network = self.network
        network.segmentSize = storm.random.choice((None, None, 1000, lambda: storm.random.randint(1, 3000)))
        network.socketBuffer = storm.random.choice((65536, 65536, 2000))
        network.resetDropsUnread = storm.chance(30)
        if storm.chance(50):
            for module in self.writers:
                self.patch(module, "writerFor", WritingAtOnce)
        self.proxy(*[storm.answered] * 3, settings=storm.settings(), **storm.plugins())
        for origin in self.origins:
            origin.onHead = storm.arrived
        for _ in range(40):
            storm.act()
        storm.check()
        network.pump()
        self.watched += self.seen
        for client in self.clients:
            client.raw.abort()
        for origin in self.origins:
            origin.script = None
            origin.onHead = None
            for peer in origin.peers:
                peer.abort()
        network.pump()
        self.seconds(1000)
        storm.check()
        self.assertEqual([each.inFlight for each in self.limits], [{}] * len(self.limits))
        self.assertEqual([each.breaker.admit(self.network.seconds()) for each in self.breakers], [0.0] * len(self.breakers))
        for each in self.statistics:
            figures = each.figures
            self.assertEqual(figures.inFlight, 0)
            tries = sum(upstream.requests for upstream in figures.upstreams.values())
            self.assertEqual(tries, len(self.balancer.outcomes))
            self.assertLessEqual(figures.all.requests, self.engine.exchanges)
            self.assertEqual(sum(figures.all.statuses.values()), figures.all.requests)
        self.flushLoggedErrors()

    def test_storms(self) -> None:
        first, _, last = os.environ.get("STORMS", self.seeds).partition("-")
        for seed in range(int(first), int(last or first) + 1):
            try:
                self.storm(seed)
                self.tearDown()
            except BaseException:
                print(f"the storm of seed {seed}: STORMS={seed}")
                raise
            self.setUp()


class TestSecureStorms(TestStorms):
    """The same, with clients by TLS."""

    writers = (transport, connection)
    seeds = "1-8"

    def proxy(self, *scripts: Any, **options: Any) -> Any:
        proxy = super().proxy(*scripts, **options)
        cert, key = write(temporaryDirectory(self), issued(HOST))
        store = CertificateStore(ServerTLS((CertificateFiles(cert, key),)))
        self.secure = self.network.listenTCP(8443, SecureFactory(store, proxy), interface="10.1.0.1")
        return proxy

    def client(self, host: str = "") -> Client:
        client = SecureClient(self.network)
        self.clients.append(client)
        return client

    def tearDown(self) -> None:
        self.secure.stopListening()
        # The clients' TLS, Twisted 26.10's, writes once more after it was lost in the middle of a write.
        self.network.errors[:] = [each for each in self.network.errors if "bio_read" not in each.getErrorMessage()]
        super().tearDown()
