"""Scripted upstreams, asked directly."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.testing import Do, FakeUpstream, MemoryNetwork
from twistproxy.testing.client import Client
from twistproxy.testing.recorded import Answer, RecordedRequest


class UpstreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = MemoryNetwork()

    def tearDown(self) -> None:
        self.network.closePeers()
        self.network.assertClean()

    def serve(self, upstream: FakeUpstream) -> Client:
        """A client that is connected to it."""
        upstream.listen(self.network, "10.0.0.1:80")
        client = Client(self.network.connect("10.0.0.1:80"), self.network.pump)
        self.network.pump()
        return client

    def statuses(self, client: Client, count: int) -> list[int]:
        return [client.request("GET", "/").status for _ in range(count)]

    def test_answersAsItWasMade(self) -> None:
        upstream = FakeUpstream(201, {"X-A": "b"}, b"made")
        answer = self.serve(upstream).request("GET", "/x?y")
        self.assertEqual((answer.status, answer.headers.get("x-a"), answer.body), (201, "b", b"made"))
        self.assertEqual(upstream.requests[0].raw, b"GET /x?y HTTP/1.1\r\n\r\n")
        self.assertEqual(repr(upstream), "<FakeUpstream http://10.0.0.1, 1 requests>")

    def test_eachRequestTakesTheNextAnswerAndTheLastIsRepeated(self) -> None:
        upstream = FakeUpstream()
        client = self.serve(upstream)
        self.assertEqual(self.statuses(client, 2), [200, 200])
        upstream.respond(500).respond(404)
        self.assertEqual(self.statuses(client, 4), [500, 404, 404, 404])
        upstream.respond(418)
        self.assertEqual(self.statuses(client, 2), [418, 418])

    def test_anAnswerHasNoBodyWhereThereIsNone(self) -> None:
        client = self.serve(FakeUpstream().respond(200, body=b"ab").respond(304, {"ETag": "1"}, b"no"))
        answer = client.request("HEAD", "/")
        self.assertEqual((answer.headers.get("content-length"), answer.isComplete), ("2", True))
        self.assertEqual(client.request("GET", "/").raw, b"HTTP/1.1 304 Not Modified\r\nETag: 1\r\n\r\n")

    def test_chunksAndTrailers(self) -> None:
        answer = self.serve(FakeUpstream().respond(200, (), [b"a", b"b"], {"T": "1"})).request("GET", "/")
        self.assertEqual((answer.body, answer.isChunked, answer.trailers.get("t")), (b"ab", True, "1"))

    def test_informsWhenTheHeadIsThere(self) -> None:
        client = self.serve(FakeUpstream().inform(100).respond(200))
        said = client.raw(b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n")
        self.assertEqual(said, b"HTTP/1.1 100 Continue\r\n\r\n")
        client.raw(b"ok")
        self.assertEqual((client.answers[0].status, client.answers[0].informational[0].status), (200, 100))

    def test_waits(self) -> None:
        client = self.serve(FakeUpstream().wait(5).respond(200))
        answer = client.request("GET", "/")
        self.network.advance(4.9)
        self.assertEqual(answer.status, 0)
        self.network.advance(0.2)
        self.assertEqual(answer.status, 200)

    def test_whatPrecedesHoldsForTheConstructorsAnswerToo(self) -> None:
        client = self.serve(FakeUpstream().inform(103))
        self.assertEqual([each.status for each in client.request("GET", "/").informational], [103])

    def test_whoeverLeavesTakesTheTimersAlong(self) -> None:
        client = self.serve(FakeUpstream().wait(5).respond(200))
        client.request("GET", "/")
        client.abort()
        self.assertEqual(self.network.getDelayedCalls(), [])

    def test_stalls(self) -> None:
        upstream = FakeUpstream().stall()
        client = self.serve(upstream)
        answer = client.request("POST", "/", (), b"x" * 1_000_000)
        self.network.advance(1000)
        self.assertEqual((answer.status, upstream.requests[0].isComplete), (0, True))

    def test_stallsWithoutReading(self) -> None:
        upstream = FakeUpstream().stall(reading=False)
        client = self.serve(upstream)
        client.request("POST", "/", (), b"x" * 1_000_000)
        self.assertLess(len(upstream.requests[0].body), 100_000)

    def test_resetsAfterSoManyBytes(self) -> None:
        for count, body in ((0, b""), (10, b""), (len(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n") + 2, b"wh")):
            upstream = FakeUpstream(body=b"whole.").resetAfter(count)
            self.network = MemoryNetwork()
            client = self.serve(upstream)
            answer = client.request("GET", "/")
            self.assertEqual((len(client.received), answer.body), (count, body))
            self.assertEqual((client.wasReset, answer.isTruncated, answer.isComplete), (True, True, False))

    def test_closesAfterSoManyBytes(self) -> None:
        client = self.serve(FakeUpstream(body=b"whole.").closeAfter(12))
        self.assertTrue(client.request("GET", "/").isTruncated)
        self.assertEqual((client.received, client.isEnded, client.wasReset), (b"HTTP/1.1 200", True, False))

    def test_closesInAChunk(self) -> None:
        client = self.serve(FakeUpstream().closeMidChunk())
        answer = client.request("GET", "/")
        self.assertEqual((answer.status, answer.isTruncated, client.wasReset), (200, True, False))
        self.assertTrue(answer.body.startswith(b"hello"))

    def test_sendsEvents(self) -> None:
        client = self.serve(FakeUpstream().events(["one", b"two\nlines"], every=2))
        answer = client.request("GET", "/")
        self.assertEqual((answer.status, answer.headers.get("content-type"), answer.body), (200, "text/event-stream", b""))
        self.network.advance(2)
        self.assertEqual(answer.body, b"data: one\n\n")
        self.network.advance(2)
        self.assertEqual((answer.body, answer.isComplete), (b"data: one\n\ndata: two\ndata: lines\n\n", True))

    def test_upgradesToAnEcho(self) -> None:
        client = self.serve(FakeUpstream().upgrade(greeting=b"hey "))
        asked = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="}
        answer = client.request("GET", "/", asked)
        # The example of RFC 6455, section 1.3.
        self.assertEqual(answer.headers.get("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        client.raw(b"GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(client.tunneled, b"hey GET / HTTP/1.1\r\n\r\n")
        self.assertEqual(len(client.answers), 1)
        client.halfClose()
        self.assertTrue(client.isEnded)

    def test_upgradesNobodyWhoDoesNotAsk(self) -> None:
        self.assertEqual(self.serve(FakeUpstream().upgrade()).request("GET", "/").status, 426)

    def test_sendsBytes(self) -> None:
        client = self.serve(FakeUpstream().raw(b"nonsense", close=True))
        self.assertEqual(client.raw(b"GET / HTTP/1.1\r\n\r\n"), b"nonsense")
        self.assertTrue(client.isEnded)

    def test_playsAScriptOfOnesOwn(self) -> None:
        def script(request: RecordedRequest) -> Iterator[bytes | float | Do]:
            yield b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n"
            yield request.target[1:]
            yield 1.0
            yield b"cd"

        answer = self.serve(FakeUpstream().play(script)).request("GET", "/ab")
        self.assertEqual((answer.body, answer.isComplete), (b"ab", False))
        self.network.advance(1)
        self.assertEqual((answer.body, answer.isComplete), (b"abcd", True))

    def test_holdsLittleOfALongAnswer(self) -> None:
        upstream = FakeUpstream(body=b"x" * 8_000_000)
        client = self.serve(upstream)
        client.stall()
        answer = client.request("GET", "/")
        self.assertLess(upstream.peers[0].transport.maxBuffered, 200_000)
        client.resume()
        self.assertEqual((len(answer.body), answer.isComplete), (8_000_000, True))

    def test_canBeAway(self) -> None:
        upstream = FakeUpstream()
        client = self.serve(upstream)
        upstream.refuse()
        refused = self.network.connect("10.0.0.1:80")
        self.network.pump()
        self.assertIsNotNone(refused.closed)
        upstream.comeBack().vanish()
        hanging = self.network.connect("10.0.0.1:80")
        self.network.pump()
        self.assertFalse(hanging.isOpen or hanging.closed)
        self.network.advance(30)
        upstream.comeBack()
        self.assertEqual(self.statuses(client, 1), [200])

    def test_hasToListenBeforeItCanGoAway(self) -> None:
        self.assertRaises(RuntimeError, FakeUpstream().refuse)

    def test_keepsWhatIsNoHTTP(self) -> None:
        upstream = FakeUpstream()
        self.serve(upstream).raw(b"what?\r\n\r\n")
        self.assertEqual([str(each) for each in upstream.problems], ["b'what?' is not a request line"])

    def test_theProxyKnowsWhatIsSaidOfIt(self) -> None:
        fake = FakeUpstream(weight=3, backup=True, metadata={"zone": "a"})
        known = fake.listen(self.network, "10.0.0.1:80")
        self.assertEqual((known.weight, known.backup, known.metadata), (3, True, {"zone": "a"}))
        self.assertEqual(fake.url, known.key)


class AnswerReprTests(SynchronousTestCase):
    def test_saysHowFarItIs(self) -> None:
        self.assertEqual(repr(Answer()), "<Answer 'nothing yet', 0 bytes of body, not complete>")
