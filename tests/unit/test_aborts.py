"""The client leaves, in each phase of an exchange: the upstream is let go at once, and only the log hears of a 499."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from tests.unit.support import (
    OK,
    SWITCHED,
    WEBSOCKET,
    Client,
    Message,
    ProxyTestCase,
    answer,
    director,
    errorHandler,
    get,
    head,
    middleware,
    modifier,
    never,
    post,
)
from twistproxy.messages import InboundRequest, OutboundRequest, Response
from twistproxy.server import channel
from twistproxy.testing import RawPeer

WAYS: dict[str, Callable[[Client], None]] = {
    "reset": Client.abort,
    "half-close": Client.halfClose,
    "close": lambda client: (client.raw.close(), client.network.pump())[1],
}
"""How a client can leave."""


class Leaving(ProxyTestCase):
    """What all phases share."""

    way = ""

    def leave(self, client: Client, outcome: tuple[str, int] | None = ("client_closed", 0), code: int = 499) -> None:
        before = client.received
        WAYS[self.way](client)
        self.checkNothingRuns()
        self.assertEqual(client.received, before, "nothing is written any more")
        self.assertEqual(self.accessLog.lines, [(code, "client_closed")])
        self.assertEqual(self.outcomes(), [outcome] if outcome else [])
        self.assertEqual(self.engine.channels, set())
        self.seconds(120)
        self.assertEqual(self.accessLog.lines, [(code, "client_closed")])


class Phases:
    """One test for each phase."""

    # Before the request is complete, and while plugins decide.

    def test_inTheHead(self: Any) -> None:
        self.proxy(OK)
        client = self.ask(b"GET / HTTP/1.1\r\nHos")
        WAYS[self.way](client)
        self.assertEqual((self.engine.channels, self.accessLog.lines, client.received), (set(), [], b""))

    def test_betweenRequests(self: Any) -> None:
        self.proxy(OK)
        client = self.ask(get())
        WAYS[self.way](client)
        self.assertEqual((self.engine.channels, self.accessLog.lines, client.received), (set(), [(200, "")], OK))

    def test_whileADirectorDecides(self: Any) -> None:
        cancelled: list[Any] = []
        self.proxy(OK, directors=[director(lambda inbound, outbound: never(cancelled))])
        self.leave(self.ask(get()), None)
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.origin.peers, [])

    def test_whileACoroutineDecides(self: Any) -> None:
        cancelled: list[Any] = []

        async def direct(inbound: InboundRequest, outbound: OutboundRequest) -> None:
            await never(cancelled)

        self.proxy(OK, directors=[director(direct)])
        self.leave(self.ask(get()), None)
        self.assertEqual(len(cancelled), 1)

    def test_whileADirectorWillNotBeCancelled(self: Any) -> None:
        waiting: Deferred[None] = Deferred(lambda _: waiting.callback(None))
        self.proxy(OK, directors=[director(lambda inbound, outbound: waiting)])
        self.leave(self.ask(get()), None)
        self.assertEqual(self.origin.peers, [])

    def test_whileADirectorReadsTheBody(self: Any) -> None:
        failures: list[Exception] = []

        async def direct(inbound: InboundRequest, outbound: OutboundRequest) -> None:
            try:
                await inbound.body.read(1000)
            except Exception as error:
                failures.append(error)
                raise

        self.proxy(OK, directors=[director(direct)], errorHandlers=[errorHandler(lambda request, error: Response(200))])
        self.leave(self.ask(post(b"x" * 100)[:-50]), None)
        self.assertEqual(len(failures), 1)

    def test_whileMiddlewareWaits(self: Any) -> None:
        cancelled: list[Any] = []

        async def around(request: InboundRequest, proceed: Callable[[], Any]) -> Response:
            await never(cancelled)
            response: Response = await proceed()
            return response

        self.proxy(OK, middleware=[middleware(around)])
        self.leave(self.ask(get()), None)
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.origin.peers, [])

    def test_whileMiddlewareWillNotBeCancelled(self: Any) -> None:
        waiting: Deferred[None] = Deferred(lambda _: None)

        async def around(request: InboundRequest, proceed: Callable[[], Any]) -> Response:
            try:
                await waiting
            except Exception:
                pass
            response: Response = await proceed()
            return response

        self.proxy(OK, middleware=[middleware(around)])
        self.leave(self.ask(get()), None)
        self.assertEqual(self.origin.peers, [])

    # While there is no connection yet.

    def test_inTheQueue(self: Any) -> None:
        self.proxy(None, settings={"maxConnectionsPerUpstream": 1})
        self.ask(get(b"/1"))
        client = self.ask(get(b"/2"))
        room = self.engine.pools.room
        self.assertEqual(len(room), 1)
        WAYS[self.way](client)
        self.assertEqual((len(room), self.upstream.inFlight), (0, 1))
        self.assertEqual(self.accessLog.lines, [(499, "client_closed")])
        self.send(self.origin.peer, OK)
        self.assertEqual(self.clients[0].received, OK)
        self.assertEqual([request.target for request in self.origin.requests], [b"/1"])

    def test_whileConnecting(self: Any) -> None:
        self.proxy(OK, OK)
        self.network.blackHole("10.0.0.1:80")
        client = self.ask(get())
        self.leave(client)
        self.assertEqual(self.origins[1].peers, [], "no other is asked")

    def test_whileResolving(self: Any) -> None:
        self.proxy(OK, urls=["http://somewhere.example"])
        self.network.hosts["somewhere.example"] = "10.0.0.9"
        self.network.blackHole("10.0.0.9:80")
        self.leave(self.ask(get()))

    def test_whileASecondIsAsked(self: Any) -> None:
        self.proxy(OK, OK, OK)
        self.network.failConnections("10.0.0.1:80")
        self.network.blackHole("10.0.0.2:80")
        self.network.blackHole("10.0.0.3:80")
        client = self.ask(get())
        WAYS[self.way](client)
        self.checkNothingRuns()
        self.assertEqual(self.outcomes(), [("connect_refused", 0), ("client_closed", 0)])

    # While the upstream works.

    def test_duringTheUpload(self: Any) -> None:
        self.proxy(OK)
        self.leave(self.ask(post(b"x" * 100000)[:-10]))
        self.assertIsNotNone(self.origin.peer.closed)
        self.assertEqual(self.origin.requests, [], "it must not look complete")

    def test_duringAChunkedUpload(self: Any) -> None:
        self.proxy(OK)
        self.leave(self.ask(get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + b"5\r\nhello\r\n"))
        self.assertIsNotNone(self.origin.peer.closed)
        self.assertEqual(self.origin.requests, [])

    def test_whileTheUploadIsPaused(self: Any) -> None:
        self.proxy(None)
        self.origin.server.onData = None
        client = self.ask(get(b"/", b"Content-Length: 100000000", method=b"POST"))
        self.origin.peer.pause()
        self.network.pump()
        client.send(b"x" * 3000000)
        WAYS[self.way](client)  # which nobody can tell who does not read
        self.seconds(120)
        self.checkNothingRuns()
        self.assertEqual((self.accessLog.lines, self.outcomes()), ([(504, "upstream_timeout")], [("upstream_timeout", 0)]))

    def test_whileTheAnswerIsAwaited(self: Any) -> None:
        self.proxy(None, OK)
        self.leave(self.ask(get()))
        self.assertIsNotNone(self.origin.peer.closed)
        self.assertEqual(self.origins[1].peers, [])

    def test_whileTheAnswerIsAwaitedOnAConnectionThatServedBefore(self: Any) -> None:
        self.proxy([OK])
        client = self.ask(get())
        client.send(get())
        client.take()
        WAYS[self.way](client)
        self.checkNothingRuns()
        self.assertEqual(self.outcomes(), [("", 200), ("client_closed", 0)])
        self.assertIsNotNone(self.origin.peer.closed)

    def test_afterAnInformationalAnswer(self: Any) -> None:
        self.proxy(head(b"Link: a", status=b"103 Early Hints"))
        self.leave(self.ask(get()))

    def test_duringTheDownload(self: Any) -> None:
        self.proxy(head(b"Content-Length: 1000") + b"x" * 500)
        self.leave(self.ask(get()), ("client_closed", 200), 200)
        self.assertIsNotNone(self.origin.peer.closed)

    def test_duringTheDownloadThroughAModifier(self: Any) -> None:
        self.proxy(head(b"Content-Length: 1000") + b"x" * 500, modifiers=[modifier(lambda request, response: None)])
        self.leave(self.ask(get()), ("client_closed", 200), 200)
        self.assertIsNotNone(self.origin.peer.closed)

    def test_whileItTakesNothing(self: Any) -> None:
        self.proxy(lambda peer, request: peer.send(answer(b"x" * 3000000)))
        client = self.client()
        client.raw.pause()
        client.send(get())
        client.raw.resume()
        client.raw.transport.pauseProducing()
        WAYS[self.way](client)
        self.checkNothingRuns()
        self.seconds(200)
        self.assertEqual(self.engine.channels, set(), "it is not waited for until it takes the rest")

    def test_whileItTakesNothingOfALittle(self: Any) -> None:
        self.proxy(lambda peer, request: peer.send(head(b"Content-Length: 3000000") + b"x" * 100000))
        client = self.client()
        client.raw.pause()
        client.send(get())
        WAYS[self.way](client)
        self.checkNothingRuns()
        self.seconds(200)
        self.assertEqual(self.engine.channels, set(), "it is not waited for until it takes the rest")

    # While plugins look at the answer.

    def test_whileAModifierThinks(self: Any) -> None:
        cancelled: list[Any] = []
        self.proxy(head(b"Content-Length: 9") + b"x", modifiers=[modifier(lambda request, response: never(cancelled))])
        self.leave(self.ask(get()), ("client_closed", 200))
        self.assertEqual(len(cancelled), 1)
        self.assertIsNotNone(self.origin.peer.closed)

    def test_whileAModifierReadsTheBody(self: Any) -> None:
        self.proxy(head(b"Content-Length: 9") + b"x", modifiers=[modifier(lambda request, response: response.body.read(10))])
        self.leave(self.ask(get()), ("client_closed", 200))
        self.assertIsNotNone(self.origin.peer.closed)

    def test_whileAModifierThinksAboutACompleteAnswer(self: Any) -> None:
        self.proxy(OK, modifiers=[modifier(lambda request, response: never())])
        self.leave(self.ask(get()), ("", 200))

    def test_whileMiddlewareHoldsTheAnswer(self: Any) -> None:
        cancelled: list[Any] = []

        async def around(request: InboundRequest, proceed: Callable[[], Any]) -> Response:
            response: Response = await proceed()
            await never(cancelled)
            return response

        self.proxy(head(b"Content-Length: 9") + b"x", middleware=[middleware(around)])
        self.leave(self.ask(get()), ("client_closed", 200))
        self.assertEqual(len(cancelled), 1)

    def test_whileMiddlewareWaitsForTheUpstream(self: Any) -> None:
        seen: list[Exception] = []

        async def around(request: InboundRequest, proceed: Callable[[], Any]) -> Response:
            try:
                response: Response = await proceed()
            except Exception as error:
                seen.append(error)
                raise
            return response

        self.proxy(None, middleware=[middleware(around), middleware(around)])
        self.leave(self.ask(get()))
        self.assertEqual(len(seen), 2)

    def test_whileAnErrorHandlerThinks(self: Any) -> None:
        cancelled: list[Any] = []
        self.proxy(OK, errorHandlers=[errorHandler(lambda request, error: never(cancelled))])
        self.network.failConnections("10.0.0.1:80")
        self.leave(self.ask(get()), ("connect_refused", 0))
        self.assertEqual(len(cancelled), 1)

    def test_withRequestsBehind(self: Any) -> None:
        self.proxy(None)
        self.leave(self.ask(get(b"/1") + get(b"/2") + post(b"x" * 1000)))
        self.assertEqual([request.target for request in self.origin.requests], [b"/1"])

    # Upgrades.

    def test_beforeTheSwitch(self: Any) -> None:
        self.proxy(None)
        self.leave(self.ask(get(b"/", *WEBSOCKET) + b"early"))

    def test_whileAModifierThinksAboutTheSwitch(self: Any) -> None:
        self.proxy(SWITCHED, modifiers=[modifier(lambda request, response: never())])
        self.leave(self.ask(get(b"/", *WEBSOCKET)), ("client_closed", 101))
        self.assertIsNotNone(self.origin.peer.closed)

    def test_inTheTunnel(self: Any) -> None:
        self.proxy(SWITCHED)
        client = self.ask(get(b"/", *WEBSOCKET))
        WAYS[self.way](client)
        if self.way != "reset":
            self.assertTrue(self.origin.peer.eof)
            self.origin.peer.close()
            self.network.pump()
        self.assertIsNotNone(self.origin.peer.closed)
        self.checkNothingRuns()
        self.assertEqual(self.accessLog.lines, [(101, "")])
        self.assertEqual(self.outcomes(), [("", 101)])


class TestByReset(Phases, Leaving):
    way = "reset"


class TestByHalfClose(Phases, Leaving):
    way = "half-close"


class TestByClose(Phases, Leaving):
    way = "close"


PATIENT = {"queueTimeout": 1000.0, "upstreamHeadTimeout": 1000.0}
UPLOAD = post(b"x" * 150_000)
"""All of it finds room, the last of it in the kernel."""


class TestWhoIsNotRead(ProxyTestCase):
    """Behind bytes that nobody takes for now no end is read: the kernel is asked every second or so."""

    def setUp(self) -> None:
        super().setUp()
        self.asked = 0

    def hasLeft(self, transport: Any) -> bool:
        """As L{twistproxy.server.progress.hasLeft}, of sockets in memory."""
        self.asked += 1
        end = transport.getHandle()
        return bool(end.peer.isShut or end.peer.closed)

    def full(self) -> Client:
        """A client that has the only connection, and whose answer does not come."""
        self.patch(channel, "hasLeft", self.hasLeft)
        self.proxy(None, settings={"maxConnectionsPerUpstream": 1, "bodyTimeout": 1.0, **PATIENT})
        return self.ask(get())

    def check(self, client: Client, waiting: int) -> None:
        self.assertEqual(len(self.engine.pools.room), waiting)
        self.seconds(100)
        self.assertFalse(client.isEnded, "it may wait")
        for way in WAYS.values():
            asked = self.asked
            self.assertEqual(self.engine.inFlight, 2)
            way(client)
            self.seconds(2)
            self.assertEqual((self.engine.inFlight, len(self.engine.pools.room)), (1, 0))
            self.assertEqual(len(self.engine.channels), 1)
            self.assertGreater(self.asked, asked)
            client = self.ask(UPLOAD)
        self.assertEqual(self.accessLog.lines, [(499, "client_closed")] * len(WAYS))
        self.assertEqual(len(self.origin.requests), 1)

    def test_anUploadInTheQueue(self) -> None:
        self.full()
        self.check(self.ask(UPLOAD), 1)

    def test_anUploadOfSomebodyWhoThinks(self) -> None:
        """Here a director."""
        self.patch(channel, "hasLeft", self.hasLeft)
        self.proxy(OK, directors=[director(lambda inbound, outbound: Deferred())], settings={"hookTimeout": 1000.0})
        self.ask(get())
        client = self.ask(UPLOAD)
        self.seconds(10)
        WAYS["reset"](client)
        self.seconds(2)
        self.assertEqual(self.engine.inFlight, 1)

    def test_aBodyThatIsCompleteIsNoReasonNotToRead(self) -> None:
        """Though it was too long a moment ago: its sender is read like any other who waits."""
        self.full()
        client = self.ask(post(b"x" * 100_000))
        client.abort()
        self.assertEqual((self.engine.inFlight, self.asked), (1, 0))

    def test_requestsBehind(self) -> None:
        """More of them than are read ahead."""
        self.full()
        client = self.ask(get() + get() * 2500)
        self.check(client, 1)

    def test_whoIsReadAgain(self) -> None:
        """Nobody is asked; the body has its time again."""
        first = self.full()
        client = self.ask(post(b"x" * 100_000)[:-1])
        self.seconds(10)
        self.send(self.origin.peer, OK)
        self.assertEqual(first.answer().code, 200)
        self.assertEqual(len(self.origin.requests), 1)
        asked = self.asked
        self.seconds(4)
        self.assertEqual((client.answer(b"POST").code, self.asked), (408, asked))


class TestWhoComesNext(ProxyTestCase):
    def test_theQueueMovesOn(self) -> None:
        """The connection of a client that left is closed; whoever waits gets a new one."""
        self.proxy([None, OK], settings={"maxConnectionsPerUpstream": 1})
        first = self.ask(get(b"/1"))
        second = self.ask(get(b"/2"))
        first.abort()
        self.assertEqual(second.received, OK)
        self.assertEqual(len(self.origin.peers), 2)

    def test_anAnswerThatComesTooLate(self) -> None:
        def late(peer: RawPeer, request: Message) -> None:
            self.clients[0].raw.abort()
            peer.send(OK)

        self.proxy([late, OK])
        self.ask(get(b"/1"))
        self.assertEqual(self.answerTo(get(b"/2")).body, b"ok")
