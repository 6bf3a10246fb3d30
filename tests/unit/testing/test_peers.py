"""
Tests for what a test does with the in-memory network: raw peers, addresses, and what it can ask.
"""

from __future__ import annotations

import inspect
import re
import textwrap

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from twistproxy import testing
from twistproxy.testing import MemoryNetwork, RawPeer, addressOf

QUIET = Factory.forProtocol(Protocol)


class TestExample(SynchronousTestCase):
    def test_theExamplesOfThePackageRun(self) -> None:
        examples = re.findall(r"(?<=::\n\n)(?:    .*\n|\n)+", inspect.getdoc(testing) or "")
        self.assertEqual(len(examples), 2)
        for example in examples:
            exec(textwrap.dedent(example), {})


class TestAddresses(SynchronousTestCase):
    def test_whatATestMayWrite(self) -> None:
        network = MemoryNetwork()
        for written, meant in [
            (80, IPv4Address("TCP", "127.0.0.1", 80)),
            (("a.example", 80), IPv4Address("TCP", "a.example", 80)),
            ("a.example:80", IPv4Address("TCP", "a.example", 80)),
            ("[::1]:80", IPv6Address("TCP", "::1", 80)),
            (("::1", 80), IPv6Address("TCP", "::1", 80)),
            ("/run/x", UNIXAddress("/run/x")),
            ("unix:/run/x", UNIXAddress("/run/x")),
            ("\0name", UNIXAddress("\0name")),
            (UNIXAddress("/run/x"), UNIXAddress("/run/x")),
            (network.listenTCP(80, QUIET), IPv4Address("TCP", "0.0.0.0", 80)),
        ]:
            self.assertEqual(addressOf(written), meant)

    def test_whatItMayNot(self) -> None:
        for text in ("localhost", "localhost:", "localhost:http", ""):
            self.assertRaises(ValueError, addressOf, text)
        self.assertRaises(TypeError, addressOf, b"/run/x")
        self.assertRaises(TypeError, addressOf, None)
        self.assertRaises(TypeError, addressOf, IPv4Address("UDP", "127.0.0.1", 80))


class TestRawPeers(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = MemoryNetwork()

    def test_actionsBeforeTheConnectionTakeEffectInOrder(self) -> None:
        server = self.network.serve(80)
        client = self.network.connect(80)
        client.send(b"a")
        client.send(b"b")
        client.halfClose()
        self.network.pump()
        peer = server.peers[0]
        self.assertEqual((peer.received, peer.eof, peer.closed), (b"ab", True, None))
        peer.send(b"c")
        peer.close()
        self.network.pump()
        self.assertEqual((client.take(), client.take(), client.received), (b"c", b"", b"c"))
        self.assertEqual((client.eof, client.closed), (True, None))
        client.close()
        self.network.pump()
        assert client.closed is not None
        client.closed.trap(ConnectionDone)

    def test_take(self) -> None:
        server = self.network.serve(80)
        client = self.network.connect(80)
        client.send(b"a")
        self.network.pump()
        self.assertEqual(server.peers[0].take(), b"a")
        client.send(b"b")
        self.network.pump()
        self.assertEqual((server.peers[0].take(), server.peers[0].received), (b"b", b"ab"))

    def test_pauseAndResume(self) -> None:
        server = self.network.serve(80, onConnect=RawPeer.pause)
        client = self.network.connect(80)
        client.send(b"a")
        self.network.pump()
        self.assertEqual(server.peers[0].received, b"")
        server.peers[0].resume()
        self.network.pump()
        self.assertEqual(server.peers[0].received, b"a")

    def test_abort(self) -> None:
        server = self.network.serve(80)
        client = self.network.connect(80)
        self.network.pump()
        client.abort()
        self.network.pump()
        closed = server.peers[0].closed
        assert closed is not None
        closed.trap(ConnectionLost)
        self.assertFalse(server.peers[0].eof)
        client.send(b"nothing happens")
        client.close()

    def test_anAnsweringServer(self) -> None:
        server = self.network.serve(onData=lambda peer, data: peer.send(data.upper()))
        client = self.network.connect(server.address)
        client.send(b"abc")
        self.network.pump()
        self.assertEqual(client.received, b"ABC")
        server.stop()
        self.network.pump()
        late = self.network.connect(server.address)
        self.assertIn("connecting", repr(late))
        self.network.pump()
        self.assertIn("refused", repr(late))
        self.assertIn("open", repr(client))

    def test_unix(self) -> None:
        server = self.network.serve("/run/x")
        client = self.network.connect("unix:/run/x")
        client.send(b"abc")
        self.network.flush()
        self.assertEqual(server.peers[0].received, b"abc")
        self.assertIn("<- unix:", repr(server.peers[0].transport))


class TestAsking(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = MemoryNetwork()

    def test_connectionsAndPeers(self) -> None:
        server = self.network.serve(80)
        client = self.network.connect(server.address)
        self.assertEqual(self.network.connections, [])
        self.network.pump()
        ours, theirs = client.transport, server.peers[0].transport
        self.assertEqual({*self.network.connections}, {ours, theirs})
        self.assertEqual((ours.peer, theirs.peer), (theirs, ours))
        self.assertEqual((ours.application, ours.isClient, theirs.isClient), (client, True, False))
        self.assertTrue(ours.isReading)
        client.close()
        self.network.pump()
        self.assertEqual(self.network.connections, [theirs])
        self.assertEqual((theirs.peer, ours.isReading), (None, False))

    def test_maxBuffered(self) -> None:
        self.network.serve(80)
        small, large = self.network.connect(80), self.network.connect(80)
        self.network.pump()
        small.send(b"x" * 10)
        large.transport.writeSequence([b"x" * 10, b"y" * 20])
        self.network.pump()
        small.send(b"x" * 5)
        small.close()
        large.close()
        self.network.pump()
        self.assertEqual(self.network.maxBuffered(small.transport), 10)
        self.assertEqual(self.network.maxBuffered(large.transport), 30)
        self.assertEqual(self.network.maxBuffered(), 30)
        self.assertEqual(large.transport.buffered, 0)

    def test_writesThatAreIgnoredAreNotBuffered(self) -> None:
        self.network.serve(80)
        client = self.network.connect(80)
        self.network.pump()
        client.halfClose()
        self.network.pump()
        client.transport.write(b"ignored")
        client.transport.writeSequence([b"ignored"])
        self.assertRaises(TypeError, client.transport.writeSequence, [b"a", "b"])
        self.assertEqual(client.transport.buffered, 0)

    def test_anIteratorIsLostAsInTwisted(self) -> None:
        server = self.network.serve(80)
        client = self.network.connect(80)
        self.network.pump()
        client.transport.writeSequence(iter([b"lost"]))
        self.assertEqual(client.transport.buffered, 0)
        self.network.pump()
        self.assertEqual(server.peers[0].received, b"")

    def test_assertCleanNamesWhatIsLeft(self) -> None:
        self.network.serve("127.0.0.1:80")
        self.network.connect(80)
        self.network.pump()
        self.network.blackHole("10.0.0.1")
        self.network.connect("10.0.0.1:99")
        self.network.callLater(5, self.fail)
        self.network.callLater(0, lambda: 1 / 0)
        self.network.pump()
        text = str(self.assertRaises(AssertionError, self.network.assertClean))
        for part in (
            "<RawClient 127.0.0.1:",
            "<port 127.0.0.1:80 of",
            "to 10.0.0.1:99, connecting",
            "fail",
            "zero",
        ):
            self.assertIn(part, text)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_closePeersLeavesNothingRaw(self) -> None:
        self.network.serve(80)
        self.network.connect(80).pause()
        self.network.connect(81)
        self.network.pump()
        self.network.closePeers()
        self.network.assertClean()

    def test_closePeersLeavesTheRest(self) -> None:
        self.network.listenTCP(80, QUIET)
        self.network.connect(80)
        self.network.pump()
        self.network.closePeers()
        self.assertEqual((len(self.network.ports), self.network.connections), (1, []))
