"""
Tests for how the in-memory network moves bytes: segments, order, socket buffers, and the backpressure they
make.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import ClientFactory, Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.testing import MemoryNetwork, RawPeer


class Echo(Protocol):
    """Sends back what it gets."""

    def dataReceived(self, data: bytes) -> None:
        assert self.transport is not None
        self.transport.write(data)


class TestDelivery(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = MemoryNetwork()

    def deliveries(self, size: Any, data: bytes = b"abcdefg") -> list[bytes]:
        """The deliveries to a server with that C{segmentSize}."""
        got: list[bytes] = []
        self.network.serve(80, onData=lambda peer, part: got.append(part))
        self.network.segmentSize = size
        self.network.connect(80).send(data)
        self.network.pump()
        return got

    def test_whole(self) -> None:
        self.assertEqual(self.deliveries(None), [b"abcdefg"])

    def test_aNumber(self) -> None:
        self.assertEqual(self.deliveries(3), [b"abc", b"def", b"g"])

    def test_anIteratorAndThenTheRest(self) -> None:
        self.assertEqual(self.deliveries(iter([1, 2])), [b"a", b"bc", b"defg"])

    def test_aFunction(self) -> None:
        sizes = [5, None]
        self.assertEqual(self.deliveries(lambda: sizes.pop(0)), [b"abcde", b"fg"])

    def test_noBytesAreNoSegment(self) -> None:
        self.assertEqual(self.deliveries(0), [])
        self.flushLoggedErrors(ValueError)

    def test_theOrderIsTheSameEveryTime(self) -> None:
        def run() -> list[tuple[int, bytes]]:
            network = MemoryNetwork()
            network.segmentSize = 1
            got: list[tuple[int, bytes]] = []
            server = network.serve(80, onData=lambda peer, part: got.append((server.peers.index(peer), part)))
            for text in (b"abc", b"de", b"f"):
                network.connect(80).send(text)
            network.pump()
            return got

        self.assertEqual(run(), run())
        self.assertEqual(run()[:3], [(0, b"a"), (1, b"d"), (2, b"f")])

    def test_aPausedReaderFillsItsSocketAndThenTheWriter(self) -> None:
        self.network.socketBuffer = 1000
        server = self.network.serve(80, onConnect=RawPeer.pause)
        client = self.network.connect(80)
        client.send(b"x" * 5000)
        self.network.pump()
        self.assertEqual((client.transport.sent, client.transport.buffered), (1000, 4000))
        self.assertEqual(len(server.peers[0].transport.end.unread), 1000)
        server.peers[0].resume()
        self.network.pump()
        self.assertEqual((client.transport.buffered, server.peers[0].transport.received), (0, 5000))

    def test_unreadBytesGoWithAResetWhereTheKernelDoesSo(self) -> None:
        for drops, expected in ((False, b"answer"), (True, b"")):
            network = MemoryNetwork()
            network.resetDropsUnread = drops
            server = network.serve(80, onConnect=RawPeer.pause)
            client = network.connect(80)
            client.send(b"answer")
            network.pump()
            client.abort()
            network.pump()
            server.peers[0].resume()
            network.pump()
            self.assertEqual(server.peers[0].received, expected)
            server.peers[0].closed.trap(ConnectionLost)

    def test_pumpNamesTheBusyConnection(self) -> None:
        self.network.pumpLimit = 500
        self.network.listenTCP(80, Factory.forProtocol(Echo))
        self.network.connect(80, onData=RawPeer.send).send(b"for ever")
        error = self.assertRaises(AssertionError, self.network.pump)
        self.assertIn("Echo 127.0.0.1:80 <- 127.0.0.1:", str(error))

    def test_anExceptionInAProtocolIsKept(self) -> None:
        self.network.serve(80, onData=lambda peer, data: 1 / 0)
        client = self.network.connect(80)
        client.send(b"x")
        self.network.pump()
        self.assertTrue(client.eof)
        self.assertEqual([each.type for each in self.network.errors], [ZeroDivisionError])
        self.flushLoggedErrors(ZeroDivisionError)


class TestBackpressure(SynchronousTestCase):
    """The kit tells a proxy with backpressure from one without."""

    def setUp(self) -> None:
        self.network = MemoryNetwork()

    def held(self, isPolite: bool) -> int:
        """The most bytes that a relay between a stalled reader and 8 MiB holds."""
        upstream = self.network.serve(81, onConnect=lambda peer: peer.send(b"x" * (8 << 20)))
        network = self.network

        class Upstream(Protocol):
            front: Any

            def connectionMade(self) -> None:
                if isPolite:
                    self.front.transport.registerProducer(self.transport, True)

            def dataReceived(self, data: bytes) -> None:
                self.front.transport.write(data)

        class Front(Protocol):
            def connectionMade(self) -> None:
                back = ClientFactory.forProtocol(Upstream)
                Upstream.front = self
                network.connectTCP("127.0.0.1", 81, back)

        network.listenTCP(80, Factory.forProtocol(Front))
        client = network.connect(80)
        client.pause()
        network.pump()
        relay = client.transport.peer
        assert relay is not None
        held = network.maxBuffered(relay)
        client.resume()
        network.pump()
        self.assertEqual(len(client.received), 8 << 20)
        self.assertEqual(upstream.peers[0].transport.buffered, 0)
        return held

    def test_withProducers(self) -> None:
        self.assertLessEqual(self.held(True), 192 * 1024)

    def test_without(self) -> None:
        self.assertGreater(self.held(False), 7 << 20)
