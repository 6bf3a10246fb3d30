"""C{fallback:stale=}: when an earlier answer is given, and what stands beside it."""

from __future__ import annotations

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.unit.builtin import built
from tests.unit.caching.support import BREAKER, STALE, StaleTestCase
from twistproxy.errors import ConfigurationError
from twistproxy.interfaces import IBodyFilter, IMiddleware
from twistproxy.messages import InboundRequest, Response
from twistproxy.testing import FakeUpstream, MemoryNetwork, ProxyHarness


class TestTriggers(StaleTestCase):
    """Whatever is wrong with upstreams."""

    def test_refused(self) -> None:
        self.proxy()
        self.assertEqual(self.get().body, b"good")
        self.breaks()
        with capturedLogs() as logged:
            self.assertStale(self.get())
        told = [each for each in logged if "answered by" in each["log_format"]]
        self.assertEqual([(each["reason"], each["by"]) for each in told], [("connect_refused", "an earlier answer")])
        figures = self.figures
        self.assertGreater(figures.pop("bytes"), 4)
        self.assertEqual(figures, {"entries": 1, "copying": 0, "evicted": 0, "kept": 1, "given": 1, "missed": 0, "passed": {}})

    def test_nothingWasKept(self) -> None:
        self.proxy()
        self.breaks()
        self.assertBroken(self.get())
        self.assertEqual(self.figures["missed"], 1)

    def test_aStatus(self) -> None:
        self.proxy(FakeUpstream().respond(200, body=b"good").respond(503, body=b"secret trace"))
        self.get()
        for _ in range(2):
            self.assertStale(self.get())

    def test_aTimeout(self) -> None:
        self.proxy(FakeUpstream().respond(200, body=b"good").stall(), settings={"upstream-head-timeout": "5s"})
        self.get()
        answer = self.get()
        self.harness.advance(7)
        self.assertStale(answer)

    def test_aReset(self) -> None:
        self.proxy(FakeUpstream(body=b"good").respond(200, body=b"good").resetAfter(0))
        self.get()
        self.assertStale(self.get())

    def test_nobodyIsUp(self) -> None:
        self.proxy(health="tcp:interval=1s:fall=1:rise=1")
        self.get()
        self.breaks()
        self.harness.advance(3)
        asked = len(self.harness.upstream.requests)
        answer = self.get()
        self.assertStale(answer)
        self.assertIn("detail=", str(answer.headers.get("Cache-Status")))
        self.assertEqual(len(self.harness.upstream.requests), asked)

    def test_anOpenBreaker(self) -> None:
        upstream = FakeUpstream().respond(200, body=b"good").respond(502).respond(502).respond(502)
        self.proxy(upstream, [STALE, BREAKER])
        for _ in range(5):
            self.assertEqual(self.get().body, b"good")
        self.assertIn("detail=circuit_open", str(self.get().headers.get("Cache-Status")))
        self.assertLess(len(upstream.requests), 5)

    def test_onlyThoseAskedFor(self) -> None:
        self.proxy(FakeUpstream().respond(200, body=b"good").respond(500), STALE + ":on=502-504")
        self.get()
        self.assertBroken(self.get(), 500)

    def test_no4xx(self) -> None:
        """Who is told that they may not, or that it is gone, is told so."""
        self.proxy(FakeUpstream().respond(200, body=b"good").respond(403).respond(404), STALE + ":on=4xx,5xx")
        self.get()
        self.assertBroken(self.get(), 403)
        self.assertBroken(self.get(), 404)

    def test_afterTheHeadNothingCanBeDone(self) -> None:
        self.proxy(FakeUpstream(body=b"good" * 100).respond(200, body=b"good").closeAfter(100))
        self.get()
        answer = self.get()
        self.assertFalse(answer.isComplete)


class TestChain(StaleTestCase):
    """The other pool, an earlier answer, what is written down: each if it is there, in this order."""

    def test_allOfThem(self) -> None:
        other = FakeUpstream(body=b"other").respond(200, body=b"other").respond(503)
        self.proxy(None, STALE + ":pool=other:body=sorry:status=200", pools={"other": other})
        self.assertEqual(self.get().body, b"good")
        self.breaks()
        self.assertEqual(self.get().body, b"other")
        self.assertStale(self.get())
        self.assertEqual(self.get("/new").body, b"sorry")

    def test_theOtherPoolsAnswersAreNotKept(self) -> None:
        other = FakeUpstream().respond(200, body=b"other").respond(503)
        self.proxy(None, STALE + ":pool=other", pools={"other": other})
        self.breaks()
        self.assertEqual(self.get().body, b"other")
        self.assertBroken(self.get(), 503)

    def test_aChangeByTheOtherPool(self) -> None:
        """What it has changed is changed, too."""
        self.proxy(None, STALE + ":pool=other", pools={"other": FakeUpstream(204).respond(204).respond(503)})
        self.get()
        self.breaks()
        self.assertEqual(self.harness.post("/", b"data").status, 204)
        self.assertBroken(self.get(), 503)

    def test_withABreaker(self) -> None:
        first = FakeUpstream().respond(200, body=b"good").respond(502)
        other = FakeUpstream().respond(200, body=b"other").respond(200, body=b"other").respond(200, body=b"other").respond(503)
        self.proxy(first, [STALE + ":pool=other:body=sorry:status=200", BREAKER], pools={"other": other})
        bodies = [self.get().body for _ in range(6)]
        self.assertEqual(bodies, [b"good", b"other", b"other", b"other", b"good", b"good"])
        self.assertLess(len(first.requests), 4)
        self.assertEqual(self.get("/new").body, b"sorry")

    def test_withoutWords(self) -> None:
        """What failed goes to the client."""
        self.proxy(FakeUpstream().respond(503, body=b"down"))
        self.assertEqual(self.get().body, b"down")


class TestBesideOthers(StaleTestCase):
    """What comes to it is what it keeps."""

    def test_compressWithin(self) -> None:
        page = FakeUpstream(headers={"Content-Type": "text/html", "ETag": '"1"'}, body=b"page " * 1000)
        self.proxy(page, [STALE, "compress:gzip"])
        packed = self.get(Accept_Encoding="gzip")
        plain = self.get()
        self.breaks()
        again = self.get(Accept_Encoding="gzip")
        self.assertStale(again, packed.body)
        self.assertEqual((again.headers.get("Content-Encoding"), again.headers.get("ETag")), ("gzip", 'W/"1"'))
        self.assertStale(self.get(), plain.body)
        self.assertLess(len(again.body), len(plain.body))
        self.assertBroken(self.get(Accept_Encoding="br"))

    def test_compressOutside(self) -> None:
        page = FakeUpstream(headers={"Content-Type": "text/html", "ETag": '"1"'}, body=b"page " * 1000)
        harness = ProxyHarness(upstream=page, middleware=["compress:gzip", STALE])
        self.addCleanup(harness.close)
        packed = harness.get("/", {"Accept-Encoding": "gzip"})
        page.refuse()
        page.peers[0].close()
        harness.pump()
        again = harness.get("/", {"Accept-Encoding": "gzip"})
        self.assertEqual((again.body, again.headers.get("Content-Encoding")), (packed.body, "gzip"))
        plain = harness.get("/")
        self.assertEqual((plain.body, plain.headers.get("ETag")), (b"page " * 1000, '"1"'))
        self.assertTrue(plain.headers.hasHeader("Cache-Status"))
        self.assertEqual(harness.get("/", {"If-None-Match": 'W/"1"'}).status, 304)

    def test_aFilterWithin(self) -> None:
        """Tag and length are not those of what comes out of it."""

        @implementer(IBodyFilter)
        class Upper:
            def data(self, chunk: bytes) -> bytes:
                return chunk.upper()

            def end(self) -> bytes:
                return b"!"

        def modify(request: InboundRequest, response: Response) -> None:
            response.filterBody(Upper())

        self.proxy(FakeUpstream(headers={"ETag": '"1"'}, body=b"good"), modifier=modify)
        self.assertEqual(self.get().body, b"GOOD!")
        self.breaks()
        answer = self.get()
        self.assertStale(answer, b"GOOD!")
        self.assertFalse(answer.headers.hasHeader("ETag"))

    def test_bandwidthLimit(self) -> None:
        for middleware in ([STALE, "bandwidth-limit:rate=10:burst=0"], ["bandwidth-limit:rate=10:burst=0", STALE]):
            with ProxyHarness(upstream=FakeUpstream(body=b"good" * 10), middleware=middleware) as harness:
                first = harness.get("/")
                self.assertLess(len(first.body), 40)
                harness.advance(5)
                self.assertEqual(first.body, b"good" * 10)
                harness.upstream.refuse()
                harness.upstream.peers[0].close()
                harness.advance(1)
                again = harness.get("/")
                harness.advance(5)
                self.assertEqual(again.body, b"good" * 10)
                self.assertTrue(again.headers.hasHeader("Cache-Status"))

    def test_chaos(self) -> None:
        """A body that was cut off on purpose within this, as an upstream's would be, is none that is kept."""
        for middleware, isKept in (([STALE, "chaos:limit-data=2"], False), ([STALE, "chaos:latency=1s"], True)):
            self.proxy(None, middleware)
            self.get()
            self.harness.advance(2)
            self.assertEqual(self.figures["entries"], int(isKept), middleware)

    def test_twoOfThem(self) -> None:
        """The inner one is asked first."""
        other = FakeUpstream(body=b"other")
        self.proxy(None, [STALE, "fallback:pool=other"], pools={"other": other})
        self.get()
        self.breaks()
        self.assertEqual(self.get().body, b"other")
        other.refuse()
        other.peers[0].close()
        self.harness.pump()
        self.assertStale(self.get())

    def test_manyAtOnce(self) -> None:
        """What is on its way has a limit, too; what does not fit passes all the same."""
        first = b"HTTP/1.1 200 OK\r\nContent-Length: 3000\r\n\r\n" + b"x" * 2000
        self.proxy(FakeUpstream().raw(first), STALE + ":stale-size=8000:stale-body=4000")
        for at in range(4):
            self.harness.connect()
            self.get(f"/{at}")
        self.assertEqual(self.figures["copying"], 4000)


class TestOptions(SynchronousTestCase):
    def test_mistakes(self) -> None:
        for written, sentence in (
            ("stale-entries=0", "stale-entries is 1 or more"),
            (
                "stale-size=1MiB",
                "stale-body is at most half of stale-size, as answers are copied while others are kept",
            ),
            ("stale-vary=a b", "stale-vary: 'a b' is not the name of a header"),
        ):
            error = self.assertRaises(ConfigurationError, built, IMiddleware, f"{STALE}:{written}", reactor=MemoryNetwork())
            self.assertEqual(error.problems, (f"here: fallback: {sentence}",))
