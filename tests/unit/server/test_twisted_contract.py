"""What twistproxy.server takes for granted about the insides of twisted.web, one test for each thing.

A failure here means that Twisted has changed what it never promised: see where the named thing is used, first of all in
twistproxy/server/_twisted.py.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web import http, server
from twisted.web.resource import Resource
from zope.interface import alsoProvides

from twistproxy.server import _twisted
from twistproxy.testing import MemoryNetwork

UPLOAD = b"PUT /a?b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"


class Recording(http.HTTPChannel):
    """Notes what is called, in which state."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def allHeadersReceived(self) -> None:
        self.calls.append(("head", self._command, self._path, self._version, self.length, self._handlingRequest))
        super().allHeadersReceived()
        self.calls.append("told of the head")

    def allContentReceived(self) -> None:
        self.calls.append("body")
        super().allContentReceived()
        self.calls.append(("handling", self._handlingRequest))

    def requestDone(self, request: Any) -> None:
        self.calls.append("done")
        super().requestDone(request)

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.calls.append("refused")
        super()._respondToBadRequestAndDisconnect()


class Noting(http.Request):
    """Notes what its channel tells it."""

    def parseCookies(self) -> None:
        self.channel.calls.append("parseCookies")

    def gotLength(self, length: int | None) -> None:
        self.channel.calls.append(("gotLength", length))
        super().gotLength(length)

    def handleContentChunk(self, data: bytes) -> None:
        self.channel.calls.append(("piece", data))

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        self.channel.calls.append(("requestReceived", command, path, version))


class ContractTestCase(SynchronousTestCase):
    def channel(self, requestFactory: Any = Noting) -> Any:
        channel = Recording()
        channel.requestFactory = requestFactory
        channel.timeOut = None
        self.transport = StringTransport()
        channel.makeConnection(self.transport)
        return channel


class TestTheChannel(ContractTestCase):
    def test_theOrderInWhichARequestIsTold(self) -> None:
        """StreamingChannel.allHeadersReceived and _stream, which does what is seen here but for the 100."""
        channel = self.channel()
        persistence: list[Any] = []
        channel.checkPersistence = lambda *arguments: persistence.append(arguments) or True
        channel.dataReceived(UPLOAD + b"ab")
        self.assertEqual(
            channel.calls,
            [
                ("head", b"PUT", b"/a?b", b"HTTP/1.1", 4, False),
                "parseCookies",
                ("gotLength", 4),
                "told of the head",
                ("piece", b"ab"),
            ],
        )
        self.assertEqual(self.transport.value(), b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(persistence, [(channel.requests[0], b"HTTP/1.1")])
        del channel.calls[:]
        channel.dataReceived(b"cd")
        self.assertEqual(
            channel.calls,
            [("piece", b"cd"), "body", ("requestReceived", b"PUT", b"/a?b", b"HTTP/1.1"), ("handling", True)],
        )

    def test_theLengthOfAChunkedBodyIsNone(self) -> None:
        """IncomingBody.length."""
        channel = self.channel()
        channel.dataReceived(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n")
        self.assertEqual(channel.calls[0], ("head", b"PUT", b"/", b"HTTP/1.1", None, False))
        self.assertIn(("gotLength", None), channel.calls)
        self.assertEqual(channel.calls[-1], ("piece", b"ab"))

    def test_aTargetThatIsChangedInTimeIsTheOneThatIsTold(self) -> None:
        """StreamingChannel.allHeadersReceived: _path."""

        class Changing(Recording):
            def allHeadersReceived(self) -> None:
                self._path = b"/changed"
                super().allHeadersReceived()

        channel: Any = Changing()
        channel.requestFactory, channel.timeOut = Noting, None
        channel.makeConnection(StringTransport())
        channel.dataReceived(b"GET http://h/changed HTTP/1.1\r\n\r\n")
        self.assertIn(("requestReceived", b"GET", b"/changed", b"HTTP/1.1"), channel.calls)

    def test_aMalformedChunkIsRefusedThere(self) -> None:
        """StreamingChannel._respondToBadRequestAndDisconnect."""
        channel = self.channel()
        channel.dataReceived(b"PUT / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n")
        self.assertEqual(channel.calls[-1], "refused")
        self.assertTrue(self.transport.value().startswith(b"HTTP/1.1 400 "))
        self.assertTrue(self.transport.disconnecting)

    def test_aLengthThatIsNoNumberForPythonIsAValueErrorOfHeaderReceived(self) -> None:
        """StreamingChannel.headerReceived; should Twisted refuse it by itself, that can go."""
        channel = self.channel()
        with self.assertRaises(ValueError):
            channel.dataReceived(b"PUT / HTTP/1.1\r\nContent-Length: " + b"1" * 5000 + b"\r\n\r\n")

    def test_eachLineOfAHeadIsToldRaw(self) -> None:
        """StreamingChannel.lineReceived."""
        channel, lines = self.channel(), []
        received = channel.lineReceived
        channel.lineReceived = lambda line: (lines.append(line), received(line))[1]
        channel.dataReceived(b"\r\nGET / HTTP/1.1\r\nx-Y:  z \r\n folded\r\n\r\n")
        self.assertEqual(lines, [b"", b"GET / HTTP/1.1", b"x-Y:  z ", b" folded", b""])

    def test_whatComesWhileARequestIsHandledIsKept(self) -> None:
        """takeOver: _dataBuffer."""
        channel = self.channel()
        channel.dataReceived(b"GET / HTTP/1.1\r\n\r\nearly")
        channel.dataReceived(b"more")
        self.assertEqual(channel._dataBuffer, [b"early", b"more"])
        self.assertEqual(channel.clearLineBuffer(), b"")

    def test_whatIsKeptIsPutBackThroughDataReceived(self) -> None:
        """StreamingChannel.dataReceived: _putBack."""
        channel = self.channel()
        channel.dataReceived(b"GET / HTTP/1.1\r\n\r\nearly")
        again: list[bytes] = []
        channel.dataReceived = again.append
        channel.requestDone(channel.requests[0])
        self.assertEqual(again, [b"early"])

    def test_aRequestThatIsNotPersistentClosesByLoseConnection(self) -> None:
        """StreamingChannel.loseConnection; WebStream._closeAfterwards: persistent."""
        channel = self.channel()
        channel.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        closed: list[bool] = []
        channel.loseConnection = lambda: closed.append(True)
        channel.persistent = False
        channel.requestDone(channel.requests[0])
        self.assertEqual(closed, [True])

    def test_itIsTheProducerOfItsTransport(self) -> None:
        """StreamingChannel.resumeProducing, .loseConnection; takeOver: it unregisters the channel."""
        channel = self.channel()
        self.assertIs(self.transport.producer, channel)
        told: list[str] = []

        class Producer:
            def pauseProducing(self) -> None:
                told.append("pause")

            def resumeProducing(self) -> None:
                told.append("resume")

        channel.dataReceived(UPLOAD)
        channel.requests[0].registerProducer(Producer(), True)
        channel.pauseProducing()
        self.assertEqual((told, self.transport.producerState), (["pause"], "paused"))
        channel.resumeProducing()
        self.assertEqual((told, self.transport.producerState), (["pause", "resume"], "producing"))


class TestTheUpgrade(ContractTestCase):
    def test_aProtocolGetsTheConnectionAndItsEnd(self) -> None:
        """takeOver: _protocolUpgradeForWebsockets."""
        channel = self.channel()
        channel.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        told: list[Any] = []

        class Taking(Protocol):
            def dataReceived(self, data: bytes) -> None:
                told.append(data)

            def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
                told.append(reason)

        taking = Taking()
        channel._protocolUpgradeForWebsockets(taking)
        self.assertIs(taking.transport, self.transport)
        channel.dataReceived(b"data")
        reason = Failure(ConnectionDone())
        channel.connectionLost(reason)
        self.assertEqual(told, [b"data", reason])

    def test_theChannelsOwnEndEndsItsRequests(self) -> None:
        """_Spliced.connectionLost."""
        channel = self.channel()
        channel.dataReceived(b"GET / HTTP/1.1\r\n\r\n")
        lost = channel.requests[0].notifyFinish()
        http.HTTPChannel.connectionLost(channel, Failure(ConnectionDone()))
        self.failureResultOf(lost, ConnectionDone)

    def test_aStockSitesProtocolPassesOnToItsChannel(self) -> None:
        """takeOver: _channel, and what is set on it later counts."""
        network = MemoryNetwork()
        site = server.Site(Resource(), reactor=network)
        protocol: Any = site.buildProtocol(None)
        protocol.makeConnection(StringTransport())
        self.assertIsInstance(protocol._channel, http.HTTPChannel)
        told: list[Any] = []
        protocol._channel.dataReceived = told.append
        protocol._channel.connectionLost = told.append
        protocol.dataReceived(b"data")
        protocol.connectionLost("gone")
        self.assertEqual(told, [b"data", "gone"])
        protocol._channel.setTimeout(None)

    def test_aTransportKnowsItsProtocolAndAsksItAboutHalfCloses(self) -> None:
        """takeOver: the transport's protocol attribute, and IHalfCloseableProtocol provided late."""
        network = MemoryNetwork()
        site = server.Site(Resource(), reactor=network)
        port = network.listenTCP(80, site)
        client = network.connect("127.0.0.1:80")
        network.pump()
        transport: Any = client.transport.peer
        protocol = transport.protocol
        self.assertIs(protocol._channel.transport, transport)
        told: list[str] = []
        protocol.readConnectionLost = lambda: told.append("half-closed")
        alsoProvides(protocol, IHalfCloseableProtocol)
        client.halfClose()
        network.pump()
        self.assertEqual(told, ["half-closed"])
        self.assertTrue(transport.connected)
        port.stopListening()
        client.abort()
        transport.abortConnection()
        network.closePeers()
        network.assertClean()


class TestTheRequest(ContractTestCase):
    def rendered(self, head: bytes, render: Any) -> bytes:
        """What a client gets from a Site with a resource that renders so."""

        class Rendering(Resource):
            isLeaf = True

            def render(self, request: Any) -> Any:
                return render(request)

        network = MemoryNetwork()
        site = server.Site(Rendering(), reactor=network)
        channel: Any = site.buildProtocol(None)
        transport = StringTransport()
        channel.makeConnection(transport)
        channel.dataReceived(head)
        channel.connectionLost(Failure(ConnectionDone()))
        return transport.value()

    def test_theHeadersThatItInvents(self) -> None:
        """WebStream.sendHead: Server (twisted.web.server.version), Date, and defaultContentType."""

        def render(request: Any) -> Any:
            headers = request.responseHeaders
            self.assertEqual(headers.getRawHeaders(b"server"), [server.version])
            self.assertEqual({name.lower() for name, _ in headers.getAllRawHeaders()}, {b"server", b"date"})
            request.defaultContentType = None
            return b"x"

        self.assertNotIn(b"Content-Type", self.rendered(b"GET / HTTP/1.1\r\n\r\n", render))

    def test_itFramesByItself(self) -> None:
        """WebStream.sendHead and _isUntilClose: Content-Length, else chunks, else the close; the attribute chunked."""

        def render(request: Any) -> Any:
            request.write(b"")
            self.assertEqual(request.chunked, request.clientproto == b"HTTP/1.1")
            request.write(b"data")
            request.finish()
            return server.NOT_DONE_YET

        told = self.rendered(b"GET / HTTP/1.1\r\n\r\n", render)
        self.assertTrue(told.endswith(b"\r\n\r\n4\r\ndata\r\n0\r\n\r\n"))
        self.assertTrue(self.rendered(b"GET / HTTP/1.0\r\n\r\n", render).endswith(b"\r\n\r\ndata"))

    def test_itsCookiesReplaceWhatIsInTheHeaders(self) -> None:
        """WebStream.sendHead: cookies, which get the upstream's before them."""

        def render(request: Any) -> Any:
            request.responseHeaders.setRawHeaders(b"Set-Cookie", [b"lost=1"])
            request.addCookie(b"kept", b"2")
            return b""

        told = self.rendered(b"GET / HTTP/1.1\r\n\r\n", render)
        self.assertIn(b"Set-Cookie: kept=2\r\n", told)
        self.assertNotIn(b"lost", told)

    def test_itHasNoChannelOnceItsClientIsGone(self) -> None:
        """ReverseProxyResource.render: channel."""
        kept: list[Any] = []

        def render(request: Any) -> Any:
            kept.append(request)
            return server.NOT_DONE_YET

        self.rendered(b"GET / HTTP/1.1\r\n\r\n", render)
        self.assertIsNone(kept[0].channel)

    def test_whatOursOverridesIsThere(self) -> None:
        """StreamingRequest and StreamingChannel: each method that they override, in both."""
        overridden = {
            (_twisted.StreamingRequest, server.Request): ("gotLength", "handleContentChunk", "requestReceived"),
            (_twisted.StreamingChannel, http.HTTPChannel): (
                "_respondToBadRequestAndDisconnect", "allContentReceived", "allHeadersReceived", "dataReceived", "headerReceived",
                "lineReceived", "loseConnection", "requestDone", "resetTimeout", "resumeProducing", "timeoutConnection",
            ),
        }  # fmt: skip
        for (ours, theirs), names in overridden.items():
            for name in names:
                self.assertIn(name, vars(ours))
                self.assertTrue(callable(getattr(theirs, name)), f"{theirs.__name__} has no {name} any more")

    def test_bytesResetTheTimeoutBeforeTheyAreRead(self) -> None:
        """StreamingChannel.resetTimeout, and line_mode, which tells a head from a body."""
        channel, modes = self.channel(), []
        channel.resetTimeout = lambda: modes.append(bool(channel.line_mode))
        for data in (UPLOAD[:9], UPLOAD[9:], b"ab"):
            channel.dataReceived(data)
        self.assertEqual(modes, [True, True, False])
