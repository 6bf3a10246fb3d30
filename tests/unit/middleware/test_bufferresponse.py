"""L{twistproxy.middleware.bufferresponse}: the upstream is done with an answer before its client is."""

from __future__ import annotations

from tests.unit.builtin import PluginTestCase, built
from tests.unit.support import Client, ProxyTestCase, answer, chunked, get, head
from twistproxy.interfaces import IMiddleware

BODY = bytes(range(256)) * (1 << 10)
"""256 KiB."""


class TestBufferResponse(ProxyTestCase):
    def stalled(self, script: bytes, options: str = "", *others: str) -> Client:
        """A client that has asked and takes nothing."""
        written = [f"buffer-response{options}", *others]
        self.proxy(script, middleware=[built(IMiddleware, each, reactor=self.network) for each in written])
        self.network.socketBuffer = 1000
        client = self.client()
        client.raw.pause()
        return client.send(get())

    @property
    def left(self) -> int:
        """What the upstream could not send."""
        return self.origin.peer.transport.buffered

    def taken(self, client: Client) -> bytes:
        """What the client gets when it takes all."""
        client.raw.resume()
        self.network.pump()
        return client.answer().body

    def test_theUpstreamIsFree(self) -> None:
        client = self.stalled(answer(BODY))
        (pool,) = self.engine.pools
        self.assertEqual((self.left, pool.idle, self.outcomes()), (0, 1, [("", 200)]))
        self.assertLess(len(client.received), 5000)
        self.assertEqual(self.taken(client), BODY)

    def test_withoutIt(self) -> None:
        """What that is good for."""
        self.proxy(answer(BODY))
        self.network.socketBuffer = 1000
        client = self.client()
        client.raw.pause()
        client.send(get())
        self.assertGreater(self.left, 100 << 10)
        self.assertEqual(self.taken(client), BODY)

    def test_inChunks(self) -> None:
        pieces = [BODY[at : at + 5000] for at in range(0, len(BODY), 5000)]
        client = self.stalled(head(b"Transfer-Encoding: chunked") + chunked(*pieces))
        self.assertEqual(self.left, 0)
        self.assertEqual(self.taken(client), BODY)

    def test_noMoreThanThat(self) -> None:
        body = BODY * 16
        client = self.stalled(answer(body), ":max=512KiB")
        self.assertTrue(3 << 20 < self.left < len(body) - (512 << 10), self.left)
        left = self.left
        self.seconds(5)
        self.assertEqual(self.left, left)
        self.assertEqual(self.taken(client), body)

    def test_eachPauseIsCountedAnew(self) -> None:
        """A client that takes a little now and then: as much waits each time, and no more."""
        body = BODY * 16
        client = self.stalled(answer(body), ":max=512KiB")
        take = client.raw.dataReceived
        self.more = 0

        def dataReceived(data: bytes) -> None:
            take(data)
            self.more -= len(data)
            if self.more <= 0:
                client.raw.pause()

        client.raw.dataReceived = dataReceived  # type: ignore[method-assign]
        for _ in range(3):
            self.more = 1 << 20
            client.raw.resume()
            self.network.pump()
            waiting = len(body) - self.left - len(client.received)
            self.assertTrue(512 << 10 <= waiting < 800 << 10, waiting)
        self.more = len(body)
        self.assertEqual(self.taken(client), body)

    def test_aClientThatLeaves(self) -> None:
        client = self.stalled(answer(BODY * 16), ":max=512KiB")
        client.abort()
        self.checkNothingRuns()
        self.assertEqual(self.accessLog.lines, [(200, "client_closed")])

    def test_aClientThatTakesNothing(self) -> None:
        """Is cut off, also when its answer has come whole."""
        self.stalled(answer(BODY))
        self.seconds(65)
        self.assertEqual(len(self.engine.channels), 0)

    def test_behindASlowOne(self) -> None:
        """What is held back on purpose still holds the upstream."""
        client = self.stalled(answer(BODY), ":max=1MiB", "bandwidth-limit:rate=1000:burst=0")
        self.assertGreater(self.left, 100 << 10)
        client.abort()

    def test_nothingIsHeldBack(self) -> None:
        self.proxy(head(b"Transfer-Encoding: chunked") + b"5\r\nhello\r\n", middleware=[built(IMiddleware, "buffer-response")])
        self.assertIn(b"hello", self.ask(get()).received)


class TestOptions(PluginTestCase):
    interface = IMiddleware

    def test_mistakes(self) -> None:
        self.refuses("buffer-response:max=0", "buffer-response: max is 1 or more")
