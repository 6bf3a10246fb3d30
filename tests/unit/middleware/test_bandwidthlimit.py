"""L{twistproxy.middleware.bandwidthlimit}: so many bytes a second."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import PluginTestCase, built
from tests.unit.support import ProxyTestCase, answer, get
from twistproxy.interfaces import IMiddleware
from twistproxy.pacing import HIGH_WATER
from twistproxy.testing import FakeUpstream, ProxyHarness, ProxyTestMixin
from twistproxy.testing.client import Client

SIZE = 400_000


class TestBandwidthLimit(ProxyTestMixin, SynchronousTestCase):
    def harness(self, options: str, body: object = b"x" * 5000) -> ProxyHarness:
        upstream = FakeUpstream().respond(200, {}, body)  # type: ignore[arg-type]
        return self.proxyHarness(upstream=upstream, middleware=f"bandwidth-limit:{options}")

    def test_theHeadAtOnceTheBodyAtItsRate(self) -> None:
        harness = self.harness("rate=1000:burst=0")
        answer = harness.get()
        self.assertEqual((answer.status, answer.body), (200, b""))
        self.assertEqual(answer.headers.get("Content-Length"), "5000")
        harness.advance(2.5)
        self.assertTrue(2400 <= len(answer.body) <= 2500, len(answer.body))
        harness.advance(2.6)
        self.assertEqual((len(answer.body), answer.isComplete), (5000, True))

    def test_theBurst(self) -> None:
        harness = self.harness("rate=1000:burst=600")
        self.assertEqual(len(harness.get().body), 600)

    def test_theConnectionGoesOn(self) -> None:
        harness = self.harness("rate=10000:burst=0")
        for _ in range(2):
            answer = harness.get()
            harness.advance(1)
            self.assertEqual(len(answer.body), 5000)
        self.assertEqual(len(harness.clients), 1)

    def test_chunks(self) -> None:
        harness = self.harness("rate=1000:burst=0", [b"a" * 500, b"b" * 500])
        answer = harness.get()
        harness.advance(0.6)
        self.assertFalse(answer.isComplete)
        harness.advance(0.5)
        self.assertEqual((answer.body, answer.isComplete), (b"a" * 500 + b"b" * 500, True))

    def ask(self, harness: ProxyHarness, *clients: str) -> list[int]:
        answers = [harness.connect(each).request("GET", "/", {"Host": "a"}) for each in clients]
        harness.advance(1.01)
        return [round(len(each.body), -2) for each in answers]

    def test_connectionsAreApart(self) -> None:
        self.assertEqual(self.ask(self.harness("rate=1000:burst=0"), "192.0.2.1", "192.0.2.2"), [1000, 1000])

    def test_aKeyIsSharedEvenly(self) -> None:
        harness = self.harness("rate=1000:burst=0:key=client")
        self.assertEqual(self.ask(harness, "192.0.2.1", "192.0.2.1", "192.0.2.2"), [500, 500, 1000])

    def test_aClientThatLeaves(self) -> None:
        harness = self.harness("rate=1000:burst=0")
        harness.get()
        client: Client = harness.client
        client.abort()
        harness.advance(10)
        self.assertEqual(harness.engine.inFlight, 0)

    def test_head(self) -> None:
        harness = self.harness("rate=1000:burst=0")
        answer = harness.request("HEAD", "/")
        self.assertEqual((answer.status, answer.isComplete), (200, True))


class TestMemory(ProxyTestCase):
    def test_theUpstreamWaits(self) -> None:
        """The proxy holds little of an answer, and no timeout ends what it slows by itself."""
        limit = built(IMiddleware, "bandwidth-limit:rate=2000:burst=0", reactor=self.network)
        self.proxy(answer(b"x" * SIZE), middleware=[limit])
        client = self.ask(get())
        for seconds in range(1, 100):
            self.network.advance(1)
            sent, waiting = len(client.received), self.origin.peer.transport.buffered
            self.assertLess(SIZE - sent - waiting, 5 * HIGH_WATER)  # what the sockets hold included
            self.assertLess(abs(sent - 2000 * seconds), 500)
        self.network.advance(110)
        self.assertEqual(len(client.answer().body), SIZE)

    def test_aFastOneInFrontOfASlowOne(self) -> None:
        """Whoever is slowest holds the upstream, also when another has taken all that it held."""
        limits = [built(IMiddleware, f"bandwidth-limit:rate={each}:burst=0", reactor=self.network) for each in (2000, 1000000)]
        self.proxy(answer(b"x" * 4 * SIZE), middleware=limits)
        client = self.ask(get())
        for _ in range(40):
            self.network.advance(0.1)
        self.assertLess(4 * SIZE - len(client.received) - self.origin.peer.transport.buffered, 8 * HIGH_WATER)

    def test_aClientThatGoesOnMeanwhile(self) -> None:
        """Does not have the upstream go on while the stage has enough."""
        limit = built(IMiddleware, "bandwidth-limit:rate=100KiB:burst=0", reactor=self.network)
        self.network.socketBuffer = 1000
        self.proxy(answer(b"x" * SIZE), middleware=[limit])
        client = self.ask(get())
        client.raw.pause()
        for _ in range(67):
            self.network.advance(0.01)
        waiting = self.origin.peer.transport.buffered
        client.raw.resume()
        self.network.pump()
        self.assertEqual(self.origin.peer.transport.buffered, waiting)


class TestOptions(PluginTestCase):
    interface = IMiddleware

    def test_mistakes(self) -> None:
        self.refuses("bandwidth-limit:rate=0", "bandwidth-limit: rate is 1 or more")
        self.refuses("bandwidth-limit:rate=1:keys=0", "bandwidth-limit: keys is 1 or more")
