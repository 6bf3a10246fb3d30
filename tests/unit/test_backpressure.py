"""A side that stops taking stops the other: the proxy holds less than 512 KiB for an exchange, whatever stalls."""

from __future__ import annotations

from typing import Any

from tests.unit.support import (
    OK,
    Client,
    Message,
    ProxyTestCase,
    answer,
    chunked,
    director,
    get,
    head,
    middleware,
    modifier,
    never,
    post,
)
from twistproxy.messages import OutboundRequest, Response
from twistproxy.testing import RawPeer
from twistproxy.transports.writing import HIGH_WATER

MANY = 8 << 20
LIMIT = 512 << 10


class TestStalledReaders(ProxyTestCase):
    def held(self) -> int:
        """The most that the proxy's transports have held together."""
        peers = {client.raw.transport for client in self.clients} | {
            peer.transport for origin in self.origins for peer in origin.peers
        }
        return sum(each.maxBuffered for each in self.network.connections if each not in peers)

    def download(self, script: bytes, **options: Any) -> Client:
        self.proxy(script, **options)
        client = self.client()
        client.raw.pause()
        client.send(get())
        self.assertLess(self.held(), LIMIT)
        self.assertGreater(self.origin.peer.transport.buffered, len(script) - 3 * LIMIT, "the upstream is stopped")
        client.raw.resume()
        self.network.pump()
        self.assertLess(self.held(), LIMIT)
        return client

    def test_aDownload(self) -> None:
        body = bytes(range(256)) * (MANY >> 8)
        self.assertEqual(self.download(answer(body)).answer().body, body)

    def test_aChunkedDownload(self) -> None:
        body = bytes(range(256)) * (MANY >> 8)
        pieces = [body[at : at + 5000] for at in range(0, len(body), 5000)]
        self.assertEqual(self.download(head(b"Transfer-Encoding: chunked") + chunked(*pieces)).answer().body, body)

    def test_aDownloadInTinyChunks(self) -> None:
        body = b"x" * 400000
        script = head(b"Transfer-Encoding: chunked") + chunked(*[b"x"] * len(body))
        self.assertEqual(self.download(script).answer().body, body)

    def test_aDownloadThroughAModifier(self) -> None:
        body = bytes(range(256)) * (MANY >> 8)
        self.assertEqual(self.download(answer(body), modifiers=[modifier(lambda request, response: None)]).answer().body, body)

    def test_aDownloadThroughAFilter(self) -> None:
        class Swap:
            def data(self, chunk: bytes) -> bytes:
                return chunk.swapcase()

            def end(self) -> bytes:
                return b""

        def modify(request: object, response: Response) -> None:
            response.filterBody(Swap())

        body = b"Ab" * (MANY >> 1)
        self.assertEqual(self.download(answer(body), modifiers=[modifier(modify)]).answer().body, body.swapcase())

    def test_aDownloadThatMiddlewareHolds(self) -> None:
        waiting = never()

        async def around(request: object, proceed: Any) -> Response:
            response: Response = await proceed()
            await waiting
            return response

        body = bytes(range(256)) * (MANY >> 8)
        self.proxy(answer(body), middleware=[middleware(around)])
        client = self.ask(get())
        self.assertGreater(self.origin.peer.transport.buffered, len(body) - LIMIT)
        waiting.callback(None)
        self.network.pump()
        self.assertEqual(client.answer().body, body)

    def test_stopAndGo(self) -> None:
        body = bytes(range(256)) * (MANY >> 8)
        self.proxy(answer(body))
        client = self.client()
        client.raw.pause()
        client.send(get())
        while len(client.received) < len(body):
            before = len(client.received)
            client.raw.resume()
            for _ in range(5):
                self.network.turn()
            client.raw.pause()
            self.network.pump()
            self.assertGreater(len(client.received), before)
        self.assertLess(self.held(), LIMIT)
        self.assertEqual(client.answer().body, body)

    def upload(self, data: bytes, **options: Any) -> None:
        self.proxy(OK, **options)
        self.origin.server.onConnect = RawPeer.pause
        client = self.ask(data)
        self.assertLess(self.held(), LIMIT)
        self.assertGreater(client.raw.transport.buffered, len(data) - LIMIT, "the client is stopped")
        self.origin.peer.resume()
        self.network.pump()
        self.assertEqual(client.answer(b"POST").code, 200)
        self.assertLess(self.held(), LIMIT)

    def test_anUpload(self) -> None:
        body = bytes(range(256)) * (MANY >> 8)
        self.upload(post(body))
        self.assertEqual(self.origin.request.body, body)

    def test_aChunkedUpload(self) -> None:
        body = bytes(range(256)) * (MANY >> 8)
        pieces = [body[at : at + 5000] for at in range(0, len(body), 5000)]
        self.upload(get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + chunked(*pieces))
        self.assertEqual(self.origin.request.body, body)

    def test_anUploadThatADirectorHolds(self) -> None:
        waiting = never()
        self.proxy(OK, directors=[director(lambda inbound, outbound: waiting)])
        body = bytes(range(256)) * (MANY >> 8)
        client = self.ask(post(body))
        self.assertGreater(client.raw.transport.buffered, len(body) - LIMIT)
        waiting.callback(None)
        self.network.pump()
        self.assertEqual(self.origin.request.body, body)

    def test_anUploadThatIsReplaced(self) -> None:
        """Nobody takes it, so nobody reads it."""

        def direct(inbound: object, outbound: OutboundRequest) -> None:
            outbound.body = b"instead"

        self.proxy(None, directors=[director(direct)])
        client = self.ask(post(b"x" * MANY))
        self.assertEqual(self.origin.request.body, b"instead")
        self.assertGreater(client.raw.transport.buffered, MANY - LIMIT)
        self.send(self.origin.peer, OK)
        self.assertEqual(client.received.split(b"\r\n")[0], b"HTTP/1.1 200 OK")

    def test_bothDirectionsAtOnce(self) -> None:
        """An upstream that echoes while it reads: neither direction waits for the other."""
        body = bytes(range(256)) * (MANY >> 9)
        self.proxy(None)

        def echo(peer: RawPeer, data: bytes) -> None:
            if peer.received.startswith(b"POST") and len(peer.received) == len(data):
                peer.send(head(b"Content-Length: %d" % len(body)))
                data = data.partition(b"\r\n\r\n")[2]
            peer.send(data)

        self.origin.server.onData = echo
        client = self.ask(post(body))
        self.assertEqual(client.received.partition(b"\r\n\r\n")[2], body)
        self.assertLess(self.held(), LIMIT)

    def test_manyPipelinedAnswers(self) -> None:
        """A client that takes no answers gets no further ones."""
        self.proxy(answer(b"x" * 50000))
        client = self.client()
        client.raw.pause()
        client.send(get() * 200)
        self.assertLess(len(self.origin.requests), 10)
        self.assertLess(self.held(), LIMIT)
        client.raw.resume()
        self.network.pump()
        self.assertEqual(len(client.answers()), 200)

    def test_manyPipelinedErrors(self) -> None:
        """Nor those that cost no upstream."""
        self.proxy(OK, directors=[director(lambda inbound, outbound: Response(200, body=b"x" * 50000))])
        client = self.client()
        client.raw.pause()
        client.send(get() * 200)
        self.assertLess(self.held(), LIMIT)
        client.raw.resume()
        self.network.pump()
        self.assertEqual(len(client.answers()), 200)

    def test_aFloodOfInformation(self) -> None:
        """To a client that takes nothing."""
        hint = head(b"Link: " + b"x" * 30000, status=b"103 Early Hints")
        self.proxy(hint * 30 + answer(b"x" * MANY))
        client = self.client()
        client.raw.pause()
        client.send(get())
        self.assertLess(self.held(), LIMIT)
        client.raw.resume()
        self.network.pump()
        self.assertEqual(len(client.answers()), 31)

    def test_tinySockets(self) -> None:
        self.network.socketBuffer = 100
        self.proxy(lambda peer, request: peer.send(answer(request.body)))
        body = bytes(range(256)) * 400
        self.assertEqual(self.answerTo(post(body)).body, body)
        self.assertLess(self.held(), HIGH_WATER * 5)

    def test_aSlowUpstreamAndItsQuickSuccessor(self) -> None:
        """Pauses of one exchange are not the next one's."""

        def first(peer: RawPeer, request: Message) -> None:
            peer.send(answer(b"x" * 300000))

        self.proxy([first, OK, OK])
        client = self.client()
        client.raw.pause()
        client.send(get(b"/1") + get(b"/2"))
        client.raw.resume()
        self.network.pump()
        client.send(post(b"y" * 300000))
        self.assertEqual([len(each.body) for each in client.answers(b"GET", b"GET", b"POST")], [300000, 2, 2])
