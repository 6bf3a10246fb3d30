"""Tunnels whose bytes pass stages: all of them arrive, and every end comes behind what came before it."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis.strategies import integers, lists, sampled_from, tuples

from tests.unit.builtin import built
from tests.unit.support import Client
from tests.unit.tunnels.test_tunnel import TunnelTestCase
from twistproxy.bodies.body import HIGH_WATER
from twistproxy.bodies.pacing import limited
from twistproxy.errors import FAULT_INJECTED, ProxyError
from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest, Response
from twistproxy.testing import RawPeer
from twistproxy.tunnels import tunnel


class Limiting:
    """Middleware that breaks tunnels off."""

    def __init__(self, up: int | None = None, down: int | None = None) -> None:
        self.up = up
        self.down = down

    def around(self, request: InboundRequest, proceed: Any) -> Any:
        """L{IMiddleware.around}."""

        def answered(response: Response) -> Response:
            if self.down is not None:
                response.addStage(limited(self.down, ProxyError(FAULT_INJECTED, "down")))
            return response

        if self.up is not None:
            request.addStage(limited(self.up, ProxyError(FAULT_INJECTED, "up")))
        return proceed().addCallback(answered)


class StagedTestCase(TunnelTestCase):
    def slow(self, options: str, **more: Any) -> Client:
        """A tunnel with a bandwidth-limit."""
        limit = built(IMiddleware, f"bandwidth-limit:{options}:burst=0", reactor=self.network)
        return self.open(middleware=[limit], **more)

    def checkNoTimers(self) -> None:
        """But the one that all share."""
        self.assertEqual([each for each in self.network.getDelayedCalls() if "Sweeper" not in str(each)], [])


class TestPace(StagedTestCase):
    def test_eachDirection(self) -> None:
        client = self.slow("rate=1000:upload=100")
        self.send(self.peer, b"d" * 1500)
        client.send(b"u" * 150)
        self.seconds(1.001)
        self.assertEqual((len(client.take()), len(self.peer.take())), (1000, 100))
        self.seconds(1)
        self.assertEqual((len(client.take()), len(self.peer.take())), (500, 50))
        self.checkNoTimers()

    def test_oneDirection(self) -> None:
        client = self.slow("upload=100")
        self.send(self.peer, b"d" * 100000)
        self.assertEqual(len(client.take()), 100000)

    def test_bytesAtOnce(self) -> None:
        """Behind the request and the 101: slowed too, and in order."""
        client = self.slow("rate=1000:upload=1000", behind=b"early", glued=b"first")
        client.send(b"late")
        self.send(self.peer, b"second")
        self.seconds(1)
        self.assertTrue(client.received.endswith(b"\r\n\r\nfirstsecond"))
        self.assertTrue(self.peer.received.endswith(b"\r\n\r\nearlylate"))

    def test_theSenderWaits(self) -> None:
        client = self.slow("rate=2000:upload=2000")
        for sender, reader in ((client.raw, self.peer), (self.peer, client.raw)):
            before = len(reader.received)
            self.send(sender, b"x" * 400_000)
            for seconds in range(1, 20):
                self.seconds(1)
                self.assertLess(abs(len(reader.received) - before - 2000 * seconds), 500)
                self.assertLess(400_000 - (len(reader.received) - before) - sender.transport.buffered, 5 * HIGH_WATER)
        client.abort()
        self.seconds(1)  # nobody reads from it, but it is written to
        self.over()

    def test_aReaderThatTakesNothing(self) -> None:
        client = self.slow("rate=100KiB")
        client.raw.pause()
        self.send(self.peer, b"x" * 800_000)
        for _ in range(100):
            self.seconds(0.1)
        self.assertLess(800_000 - self.peer.transport.buffered, 5 * HIGH_WATER)
        client.raw.resume()
        for _ in range(100):
            self.seconds(0.1)
        self.assertEqual(len(client.take()), 800_000)

    def test_itIsNotIdleMeanwhile(self) -> None:
        client = self.slow("rate=10", settings={"tunnelIdleTimeout": 5})
        self.send(self.peer, b"x" * 200)
        self.seconds(19)
        self.assertEqual((round(len(client.take()), -1), client.isEnded), (190, False))
        self.seconds(10)
        self.over()


class TestEnds(StagedTestCase):
    def test_halfCloses(self) -> None:
        client = self.slow("rate=100:upload=100")
        client.send(b"u" * 100)
        client.halfClose()
        self.seconds(0.9)
        self.assertFalse(self.peer.eof)
        self.seconds(0.2)
        self.assertEqual((len(self.peer.take()), self.peer.eof), (100, True))
        self.send(self.peer, b"d" * 100)
        self.peer.close()
        self.network.pump()
        self.assertFalse(client.isEnded)
        self.seconds(1.1)
        self.assertEqual((len(client.take()), client.raw.eof), (100, True))
        self.over()
        self.checkNoTimers()

    def test_closesWhereThereIsNoHalfClose(self) -> None:
        """What either side has sent until then arrives, also on its own slow way."""
        self.patch(tunnel, "canHalfClose", lambda transport: False)
        for first in ("client", "upstream"):
            client = self.slow("rate=100:upload=200")
            client.send(b"u" * 200)
            self.send(self.peer, b"d" * 200)
            if first == "client":
                client.halfClose()
            else:
                self.peer.halfClose()
            self.seconds(1.1)
            self.assertEqual((len(self.peer.take()), client.isEnded or self.peer.eof), (200, False))
            self.seconds(1)
            self.assertEqual((len(client.take()), client.raw.eof, self.peer.eof), (200, True, True))
            self.over()
            self.tearDown()
            self.setUp()

    def test_aSideThatIsGone(self) -> None:
        """By a clean end of all of its connection, as TLS has: what it sent arrives nevertheless."""
        client = self.slow("rate=100:upload=100")
        client.send(b"u" * 100)
        self.send(self.peer, b"d" * 100)
        (channel,) = self.engine.channels
        end: Any = channel._tunnel  # type: ignore[attr-defined]
        end.readConnectionLost()
        end.transport.loseConnection()
        client.raw.close()
        self.seconds(1.1)
        self.assertEqual((len(self.peer.take()), self.peer.eof), (100, True))
        self.peer.close()
        self.network.pump()
        self.over()
        self.checkNoTimers()

    def test_aResetBehindTheEnd(self) -> None:
        """Of a side that takes nothing more: what it has sent before is not lost by that."""
        client = self.slow("rate=100")
        self.send(self.peer, b"d" * 100)
        self.peer.close()
        client.send(b"u")
        client.send(b"u")
        self.seconds(1.1)
        self.assertEqual((len(client.take()), client.raw.eof), (100, True))
        client.raw.close()
        self.network.pump()
        self.checkNothingRuns()
        self.checkNoTimers()

    def test_resets(self) -> None:
        for who in ("client", "upstream"):
            client = self.slow("rate=1:upload=1")
            client.send(b"u" * 1000)
            self.send(self.peer, b"d" * 1000)
            (client.raw if who == "client" else self.peer).abort()
            self.network.pump()
            self.assertTrue(client.isEnded and self.peer.closed is not None)
            self.over()
            self.checkNoTimers()
            self.tearDown()
            self.setUp()

    def test_aStop(self) -> None:
        client = self.slow("rate=1:upload=1", settings={"drainTimeout": 5})
        client.send(b"u" * 1000)
        assert self.reverseProxy is not None
        stopping = self.reverseProxy.stopService()
        self.seconds(6)
        self.successResultOf(stopping)
        self.network.pump()
        self.over()
        self.checkNoTimers()


class TestCut(StagedTestCase):
    def test_afterSoMuch(self) -> None:
        for way in ("up", "down"):
            client = self.open(middleware=[Limiting(**{way: 5})])
            client.send(b"123")
            self.send(self.peer, b"abc")
            self.assertEqual((client.take(), self.peer.take()), (b"abc", b"123"))
            if way == "up":
                client.send(b"456")
                self.assertEqual(self.peer.take(), b"45")
            else:
                self.send(self.peer, b"def")
                self.assertEqual(client.take(), b"de")
            self.assertTrue(client.isEnded and self.peer.eof)
            client.raw.close()
            self.peer.close()
            self.network.pump()
            self.checkNothingRuns()
            self.assertEqual(self.accessLog.lines, [(101, "fault_injected")])
            self.tearDown()
            self.setUp()

    def test_behindTheHeads(self) -> None:
        client = self.open(behind=b"early", middleware=[Limiting(up=2)])
        self.assertTrue(self.peer.received.endswith(b"\r\n\r\nea"))
        self.assertTrue(client.isEnded)


class TestAnyOrder(StagedTestCase):
    @settings(max_examples=25, deadline=None)
    @given(
        lists(
            tuples(sampled_from(("up", "down", "pause client", "pause upstream", "resume", "wait", "up ends", "down ends")),
                   integers(1, 30_000)), max_size=12,
        ),
        sampled_from(("rate=50000", "upload=50000", "rate=300000:upload=50000")),
    )  # fmt: skip
    def test_allOfItArrives(self, steps: list[tuple[str, int]], options: str) -> None:
        self.setUp()
        client = self.slow(options)
        sides: dict[str, tuple[RawPeer, RawPeer]] = {"up": (client.raw, self.peer), "down": (self.peer, client.raw)}
        sent = {"up": b"", "down": b""}
        ended: set[str] = set()
        for what, size in steps:
            way, _, rest = what.partition(" ")
            if way in ended:
                continue
            if way in sides and rest:
                ended.add(way)
                sides[way][0].halfClose()
            elif way in sides:
                data = bytes([len(sent[way]) % 251]) * size
                sent[way] += data
                sides[way][0].send(data)
            elif way == "pause":
                (client.raw if rest == "client" else self.peer).pause()
            elif way == "resume":
                client.raw.resume()
                self.peer.resume()
            self.network.pump()
            self.seconds(size / 30_000)
        client.raw.resume()
        self.peer.resume()
        for _ in range(9):
            self.seconds(1)
        for way, (_, reader) in sides.items():
            self.assertEqual(reader.take(), sent[way])
            self.assertEqual(reader.eof, way in ended)
        self.peer.abort()
        self.tearDown()
