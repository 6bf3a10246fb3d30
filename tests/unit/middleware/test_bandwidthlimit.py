"""L{twistproxy.middleware.bandwidthlimit}: so many bytes a second."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis.strategies import booleans, integers, lists, sampled_from, tuples
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import PluginTestCase, built
from tests.unit.support import OK, ProxyTestCase, answer, chunked, director, get, post
from twistproxy.bodies.pacing import HIGH_WATER
from twistproxy.exchange.retrying import RetryRule
from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest, OutboundRequest
from twistproxy.testing import FakeUpstream, ProxyHarness, ProxyTestMixin
from twistproxy.testing.client import Client

SIZE = 400_000


def put(body: bytes) -> bytes:
    """An idempotent request with a body."""
    return post(body, method=b"PUT")


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


class TestUploads(ProxyTestCase):
    def limited(self, options: str, *scripts: Any, **more: Any) -> None:
        limit = built(IMiddleware, f"bandwidth-limit:{options}", reactor=self.network)
        self.proxy(*scripts or (OK,), middleware=[limit], **more)

    def checkNoTimers(self) -> None:
        """But the one that all share."""
        self.assertEqual([each for each in self.network.getDelayedCalls() if "Sweeper" not in str(each)], [])

    def uploaded(self) -> int:
        """Bytes of bodies that came to the origins."""
        return sum(each.received.count(b"u") for each in self.origins)

    def test_atItsRate(self) -> None:
        self.limited("upload=1000:burst=0")
        client = self.ask(put(b"u" * 3000))
        self.assertIn(b"content-length: 3000", self.origin.received.lower())
        for seconds in (1, 2):
            self.seconds(1.001)
            self.assertEqual(self.uploaded(), 1000 * seconds)
        self.seconds(1.01)
        self.assertEqual(client.answer().code, 200)
        self.checkNoTimers()

    def test_theBurstOfBoth(self) -> None:
        self.limited("upload=1000:rate=100:burst=600", answer(b"x" * 1000))
        client = self.ask(put(b"u" * 1000))
        self.assertEqual(self.uploaded(), 600)
        self.seconds(0.41)
        self.assertEqual((self.uploaded(), client.received.count(b"x")), (1000, 600))

    def test_onlyWhatHasABodyIsSlowed(self) -> None:
        self.limited("upload=1", answer(b"x" * 1000))
        self.assertEqual(len(self.answerTo(get()).body), 1000)

    def test_chunksAndTrailers(self) -> None:
        self.limited("upload=1000:burst=0")
        body = chunked(b"u" * 500, b"u" * 500, trailers=[b"X-T: 1"])
        client = self.ask(get(b"/", b"Transfer-Encoding: chunked", method=b"PUT") + body)
        self.seconds(0.9)
        self.assertEqual(client.received, b"")
        self.seconds(0.2)
        self.assertEqual(client.answer().code, 200)
        self.assertEqual(self.origin.request.body, b"u" * 1000)

    def test_theClientWaits(self) -> None:
        """The proxy holds little of a request, and no timeout ends what it slows by itself."""
        self.limited("upload=2000:burst=0")
        client = self.ask(put(b"u" * SIZE))
        for seconds in range(1, 100):
            self.seconds(1)
            self.assertLess(SIZE - self.uploaded() - client.raw.transport.buffered, 5 * HIGH_WATER)
            self.assertLess(abs(self.uploaded() - 2000 * seconds), 500)
        self.seconds(110)
        self.assertEqual((client.answer().code, self.uploaded()), (200, SIZE))

    def test_anUpstreamThatTakesNothing(self) -> None:
        """Its pauses and those of the stage are apart."""
        self.limited("upload=100KiB:burst=0")
        self.network.socketBuffer = 1000
        client = self.client()
        client.send(put(b"u" * SIZE)[:200])
        self.origin.peer.pause()
        client.send(put(b"u" * SIZE)[200:])
        for _ in range(100):
            self.seconds(0.1)
        self.assertLess(SIZE - client.raw.transport.buffered, 4 * HIGH_WATER)
        self.origin.peer.resume()
        for _ in range(100):
            self.seconds(0.1)
        self.assertEqual((client.answer().code, self.origin.request.body), (200, b"u" * SIZE))

    def test_anotherTry(self) -> None:
        """What one upstream got is sent to the next at once, the rest at the pace."""
        self.limited("upload=1000:burst=0", None, OK, retryPolicy=RetryRule("reset", backoff=0))
        client = self.ask(put(b"u" * 2000))
        self.seconds(1.001)
        self.origin.peer.abort()
        self.seconds(0)
        self.assertEqual([each.received.count(b"u") for each in self.origins], [1000, 1000])
        self.seconds(0.5)
        self.assertEqual(self.origins[1].received.count(b"u"), 1500)
        self.seconds(0.51)
        self.assertEqual((client.answer().code, self.origins[1].request.body), (200, b"u" * 2000))

    def test_aBodyThatADirectorReads(self) -> None:
        async def direct(inbound: InboundRequest, outbound: OutboundRequest) -> None:
            await inbound.body.read(5000)

        def fail(peer: Any, request: Any) -> None:
            peer.abort()

        self.limited("upload=1000:burst=0", fail, OK, directors=[director(direct)], retryPolicy=RetryRule("reset", backoff=0))
        client = self.ask(put(b"u" * 2000))
        self.assertEqual(self.uploaded(), 0)
        self.seconds(2.01)
        self.assertEqual((client.answer().code, self.origins[1].request.body), (200, b"u" * 2000))

    @settings(max_examples=25, deadline=None)
    @given(
        lists(tuples(sampled_from(("send", "chunk", "pause", "resume", "break")), integers(1, 60_000)), max_size=12),
        sampled_from(("upload=50000:burst=0", "upload=300000", "upload=50000:rate=1000")),
        booleans(),
    )
    def test_allOfItArrives(self, steps: list[tuple[str, int]], options: str, isChunked: bool) -> None:
        """Whatever comes when, whoever pauses, and also when the first upstream breaks in the midst of it."""
        self.setUp()
        self.limited(options, None, OK, retryPolicy=RetryRule("reset", backoff=0), settings={"maxReplayBytes": 1 << 20})
        pieces = [bytes([number]) * size for number, (what, size) in enumerate(steps) if what in ("send", "chunk")]
        body = b"".join(pieces)
        framing = b"Transfer-Encoding: chunked" if isChunked else b"Content-Length: %d" % len(body)
        client = self.ask(get(b"/", framing, method=b"PUT"))
        for what, size in steps:
            peers = [peer for origin in self.origins for peer in origin.peers]
            if what in ("send", "chunk"):
                piece = pieces.pop(0)
                client.send(b"%x\r\n%b\r\n" % (len(piece), piece) if isChunked else piece)
            elif what == "break" and peers and not self.origins[1].peers:
                peers[0].abort()
            elif peers:
                (peers[-1].pause if what == "pause" else peers[-1].resume)()
            self.seconds(size / 60_000)
        if isChunked:
            client.send(b"0\r\n\r\n")
        for _ in range(20):
            for origin in self.origins:
                for peer in origin.peers:
                    peer.resume()
            self.seconds(1)
        if not self.origins[1].peers:
            self.send(self.origin.peer, OK)
        (request,) = self.origins[1].requests or self.origin.requests
        self.assertEqual((request.body, client.answer(b"PUT").code), (body, 200))
        self.checkNoTimers()
        self.tearDown()

    def test_anAnswerBeforeItsEnd(self) -> None:
        self.limited("upload=1000:burst=0", None)
        client = self.ask(put(b"u" * 2000))
        self.send(self.origin.peer, OK)
        self.assertEqual(client.answer().code, 200)
        self.checkNoTimers()

    def test_aClientThatLeaves(self) -> None:
        self.limited("upload=1000:burst=0")
        client = self.ask(put(b"u" * 2000))
        client.abort()
        self.checkNothingRuns()
        self.checkNoTimers()


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
        self.refuses("bandwidth-limit:upload=0", "bandwidth-limit: upload is 1 or more")
        self.refuses("bandwidth-limit:rate=1:keys=0", "bandwidth-limit: keys is 1 or more")
        self.refuses("bandwidth-limit:key=client", "bandwidth-limit: give a rate, an upload or both")
