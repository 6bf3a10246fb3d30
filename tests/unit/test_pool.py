"""Connections to upstreams: when one is used again, when never (features row 85), limits, and the queue in front."""

from __future__ import annotations

import errno
import os
from typing import Any

from twisted.internet.error import ConnectBindError

from tests.unit.support import OK, Client, Message, ProxyTestCase, answer, chunked, get, head, modifier, post
from twistproxy.messages import Upstream
from twistproxy.testing import RawPeer
from twistproxy.upstream.pool import ConnectionPool


class PoolTestCase(ProxyTestCase):
    @property
    def pool(self) -> ConnectionPool:
        pool: ConnectionPool
        (pool,) = self.engine.pools
        return pool

    def state(self) -> tuple[int, int, int]:
        return self.pool.total, self.pool.idle, len(self.engine.pools.room)


class TestHygiene(PoolTestCase):
    """Used again only if both messages are complete, nothing came behind, and nobody says close."""

    def isReused(self, script: Any, data: bytes = b"", **options: Any) -> bool:
        """Whether a second request goes over the connection of the first."""
        self.proxy([script, OK, OK], **options)
        client = self.ask(data or get())
        second = self.client().send(get(b"/second"))
        self.assertEqual(second.answer().body, b"ok", "whatever the first left behind")
        reused = len(self.origin.peers) == 1
        if not reused:
            self.assertTrue(self.origin.peers[0].eof or self.origin.peers[0].closed is not None)
        self.first = client
        self.tearDown()
        self.setUp()
        return reused

    def test_completeAnswers(self) -> None:
        self.assertTrue(self.isReused(OK))
        self.assertTrue(self.isReused(answer(b"")))
        self.assertTrue(self.isReused(head(b"Transfer-Encoding: chunked") + chunked(b"a", trailers=[b"X: 1"])))
        self.assertTrue(self.isReused(head(status=b"204 No Content")))
        self.assertTrue(self.isReused(head(status=b"304 Not Modified")))
        self.assertTrue(self.isReused(head(b"Content-Length: 5"), get(method=b"HEAD")))
        self.assertTrue(self.isReused(head(status=b"103 Early Hints") + OK))
        self.assertTrue(self.isReused(OK, post(b"body")))
        self.assertTrue(self.isReused(answer(b"x", b"Connection: keep-alive", version=b"1.0")))

    def test_throughModifiers(self) -> None:
        self.assertTrue(self.isReused(OK, modifiers=[modifier(lambda request, response: None)]))
        self.assertTrue(self.isReused(head(status=b"204 No Content"), modifiers=[modifier(lambda request, response: None)]))

    def test_aClientThatClosesIsNoReason(self) -> None:
        self.assertTrue(self.isReused(OK, get(b"/", b"Connection: close")))
        self.assertTrue(self.isReused(OK, get(version=b"1.0")))

    def test_bytesBehindTheAnswer(self) -> None:
        """What they are taken for would be the next client's answer."""
        self.assertFalse(self.isReused(OK + b"x"))
        self.assertFalse(self.isReused(OK + answer(b"poison")))
        self.assertFalse(self.isReused(OK + b"\r\n"))
        self.assertFalse(self.isReused(head(status=b"204 No Content") + answer(b"poison")))
        self.assertFalse(self.isReused(head(b"Content-Length: 6") + b"poison", get(method=b"HEAD")))
        self.assertFalse(self.isReused(head(b"Transfer-Encoding: chunked") + chunked(b"a") + b"0\r\n\r\n"))

    def test_bytesLater(self) -> None:
        self.proxy([OK, OK])
        self.ask(get())
        self.assertEqual(self.state(), (1, 1, 0))
        self.send(self.origin.peer, answer(b"poison"))
        self.assertEqual(self.state(), (0, 0, 0))
        self.assertEqual(self.answerTo(get()).body, b"ok")

    def test_bytesBeforeAnyRequest(self) -> None:
        """An upstream that speaks first, on a new connection, does not speak HTTP, or poisons."""
        self.proxy([OK, OK])
        self.origin.server.onConnect = lambda peer: peer.send(answer(b"poison"))
        client = self.ask(get())
        self.assertIn(client.answer().body, (b"poison", b"ok"))  # its own answer, as far as anybody can tell
        self.assertEqual(self.pool.idle, 0)

    def test_itSaysClose(self) -> None:
        self.assertFalse(self.isReused(answer(b"x", b"Connection: close")))
        self.assertFalse(self.isReused(answer(b"x", b"Connection: Close, X-Other")))
        self.assertFalse(self.isReused(answer(b"x", version=b"1.0")))

    def test_credentialsOfAConnection(self) -> None:
        """IIS takes whoever comes next on a connection for the one who has proved by NTLM who it is."""
        for credentials in (b"NTLM TlRMTVNTUAAD", b"negotiate YII"):
            self.assertFalse(self.isReused(OK, get(b"/", b"Authorization: " + credentials)))
            for spelling in (b"authorization:", b"AUTHORIZATION: ", b"AuthorizatioN:\t"):
                self.assertFalse(self.isReused(OK, get(b"/", spelling + credentials)), spelling)
        for credentials in (b"Basic TlRMOg==", b"Bearer NTLM"):
            self.assertTrue(self.isReused(OK, get(b"/", b"Authorization: " + credentials)))

    def test_untilTheClose(self) -> None:
        self.assertFalse(self.isReused(lambda peer, request: (peer.send(head() + b"x"), peer.close())))

    def test_itClosesBehindTheAnswer(self) -> None:
        self.assertFalse(self.isReused(lambda peer, request: (peer.send(OK), peer.close())))
        self.assertFalse(self.isReused(lambda peer, request: (peer.send(OK), peer.halfClose())))
        self.assertFalse(self.isReused(lambda peer, request: (peer.send(OK), peer.abort())))

    def test_aFailedAnswer(self) -> None:
        self.assertFalse(self.isReused(b"nonsense\r\n\r\n"))
        self.assertFalse(self.isReused(head(b"Transfer-Encoding: chunked") + b"x\r\n"))

    def test_anAnswerBeforeTheRequestsEnd(self) -> None:
        self.proxy([None, OK])
        self.origin.onHead = lambda peer: peer.send(OK)
        client = self.ask(post(b"x" * 10)[:-5])
        self.assertEqual(client.answer(b"POST").code, 200)
        self.assertIsNotNone(self.origin.peer.closed)
        self.assertEqual(self.state(), (0, 0, 0))

    def test_anAnswerOfNoContentThatSaysItHasSome(self) -> None:
        self.assertFalse(self.isReused(head(b"Content-Length: 5", status=b"204 No Content")))
        self.assertFalse(self.isReused(head(b"Transfer-Encoding: chunked", status=b"204 No Content")))
        self.assertTrue(self.isReused(head(b"Content-Length: 0", status=b"204 No Content")))

    def test_anAnswerThatNobodyWants(self) -> None:
        from twistproxy.messages import Response

        refuse = modifier(lambda request, response: Response(403))
        self.proxy([head(b"Content-Length: 1000") + b"x", OK], modifiers=[refuse])
        self.assertEqual(self.answerTo(get()).code, 403)
        self.assertEqual(self.state(), (0, 0, 0))

    def test_pausedWhenItsAnswerEnded(self) -> None:
        """A connection that was paused for a slow client reads again when it is idle."""
        self.proxy([answer(b"x" * 150000), OK])
        client = self.client()
        client.raw.pause()
        client.send(get())
        self.network.pump()
        client.raw.resume()
        self.network.pump()
        self.assertEqual(self.state(), (1, 1, 0))
        self.assertEqual(self.answerTo(get()).body, b"ok")
        self.assertEqual(len(self.origin.peers), 1)
        self.origin.peer.close()
        self.network.pump()
        self.assertEqual(self.state(), (0, 0, 0))


class TestConnections(PoolTestCase):
    def test_theNewestServesFirst(self) -> None:
        self.proxy(None)
        clients = [self.ask(get()) for _ in range(3)]
        for peer in self.origin.peers:
            self.send(peer, OK)
        self.assertEqual(self.state(), (3, 3, 0))
        self.origin.script = OK
        clients[0].send(get())
        self.assertEqual([peer.received.count(b"GET") for peer in self.origin.peers], [1, 1, 2])

    def test_eachUpstreamHasItsOwn(self) -> None:
        self.proxy(OK, OK)
        for _ in range(4):
            self.ask(get())
        self.assertEqual([(pool.total, pool.idle) for pool in self.engine.pools], [(1, 1), (1, 1)])

    def test_unixSockets(self) -> None:
        origin = self.serve("unix:/run/app.sock", OK)
        self.proxy(urls=["unix:/run/app.sock", "unix:/run/app.sock:/base?q=1"])
        self.assertEqual([self.answerTo(get(b"/x")).code for _ in range(2)], [200, 200])
        self.assertEqual([request.target for request in origin.requests], [b"/x", b"/base/x?q=1"])

    def test_names(self) -> None:
        self.network.hosts["app.internal"] = ["10.0.0.8", "10.0.0.9"]
        self.network.failConnections("10.0.0.8:81")
        origin = self.serve("10.0.0.9:81", OK)
        self.proxy(urls=["http://app.internal:81"])
        client = self.ask(get())
        self.seconds(1)
        self.assertEqual(client.answer().code, 200)
        self.assertEqual(origin.request.get(b"host"), b"app.example")

    def test_membersThatGo(self) -> None:
        """Their idle connections close, others when their exchange is over."""
        proxy = self.proxy(None, OK)
        busy = self.ask(get())
        idle = self.ask(get())
        self.assertEqual(idle.received, OK)
        proxy.setUpstreams([Upstream("http://10.0.0.3")])
        self.serve("10.0.0.3:80", answer(b"third"))
        self.network.pump()
        self.assertTrue(self.origins[1].peer.eof)
        self.assertTrue(self.origins[0].peer.isOpen and not self.origins[0].peer.eof)
        self.assertEqual(self.answerTo(get()).body, b"third")
        self.send(self.origins[0].peer, OK)
        self.assertEqual(busy.received, OK)
        self.assertTrue(self.origins[0].peer.eof)

    def test_membersThatStay(self) -> None:
        proxy = self.proxy(None, OK)
        client = self.ask(get())
        before = proxy.upstreams[0]
        proxy.setUpstreams(["http://10.0.0.1:80/", "http://10.0.0.9"])
        self.assertIs(proxy.upstreams[0], before)
        self.assertEqual(before.inFlight, 1)
        self.send(self.origin.peer, OK)
        self.assertEqual(client.received, OK)
        self.assertEqual(len(self.origin.peers), 1)

    def test_membersThatGoWhileTheyAreWaitedFor(self) -> None:
        """Who waits goes to those who are members then."""
        proxy = self.proxy(None, settings={"maxConnectionsPerUpstream": 1})
        first, second = self.ask(get()), self.ask(get())
        self.serve("10.0.0.2:80", OK)
        proxy.setUpstreams(["http://10.0.0.2"])
        self.send(self.origin.peer, OK)
        self.network.pump()
        self.assertEqual((first.received, second.received), (OK, OK))


    def test_noDescriptorIsLeft(self) -> None:
        """The proxy has none: no fault of the upstream, and no other could be reached."""
        for number in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS):
            self.proxy(OK, OK)
            for at in (1, 2):
                self.network.failConnections(f"10.0.0.{at}:80", ConnectBindError(number, os.strerror(number)))
            self.assertEqual(self.answerTo(get()).code, 503)
            self.assertEqual(self.accessLog.lines, [(503, "no_resources")])
            self.assertEqual(self.outcomes(), [("no_resources", 0)])
            for at in (1, 2):
                self.network.heal(f"10.0.0.{at}:80")
            self.assertEqual(self.answerTo(get()).code, 200)
            self.tearDown()
            self.setUp()

    def test_anAddressThatCannotBeBound(self) -> None:
        self.proxy(OK)
        self.network.failConnections("10.0.0.1:80", ConnectBindError(errno.EACCES, "no"))
        self.assertEqual(self.answerTo(get()).code, 500)


class TestQueue(PoolTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.targets: list[bytes] = []

    def limited(self, limit: int = 1, script: Any = None, **settings: Any) -> None:
        self.proxy(script, settings={"maxConnectionsPerUpstream": limit, **settings})

    def waiting(self, count: int) -> list[Client]:
        return [self.ask(get(b"/%d" % at)) for at in range(count)]

    def test_inOrder(self) -> None:
        self.limited()
        clients = self.waiting(4)
        self.assertEqual(self.state(), (1, 0, 3))
        for at in range(4):
            self.assertEqual([bool(client.received) for client in clients], [True] * at + [False] * (4 - at))
            self.send(self.origin.peer, OK)
        self.assertEqual([request.target for request in self.origin.requests], [b"/0", b"/1", b"/2", b"/3"])
        self.assertEqual((self.state(), len(self.origin.peers)), ((1, 1, 0), 1))

    def test_aConnectionThatCloses(self) -> None:
        self.limited()
        clients = self.waiting(3)
        for at in range(3):
            self.send(self.origin.peers[at], answer(b"x", b"Connection: close"))
        self.assertEqual([client.answer().body for client in clients], [b"x"] * 3)
        self.assertEqual((self.state(), len(self.origin.peers)), ((0, 0, 0), 3))

    def test_aConnectionThatFails(self) -> None:
        self.limited()
        clients = self.waiting(3)
        for at in range(3):
            self.origin.peers[at].abort()
            self.network.pump()
        self.assertEqual([client.answer().code for client in clients], [502] * 3)

    def test_connectionsThatCannotBeMade(self) -> None:
        self.limited()
        clients = self.waiting(4)
        self.network.failConnections("10.0.0.1:80")
        self.origin.peer.abort()
        self.network.pump()
        self.assertEqual([client.answer().code for client in clients], [502] * 4)
        self.assertEqual(self.state(), (0, 0, 0))

    def test_noMoreThanTheLimit(self) -> None:
        self.limited(3)
        self.waiting(10)
        self.assertEqual(self.state(), (3, 0, 7))
        self.assertEqual(len(self.origin.peers), 3)
        for peer in list(self.origin.peers):
            peer.abort()
        self.network.pump()
        self.assertEqual(self.state(), (3, 0, 4))

    def test_timesOut(self) -> None:
        self.limited(queueTimeout=5)
        clients = self.waiting(3)
        self.seconds(3)
        late = self.ask(get(b"/late"))
        self.seconds(4)
        self.assertEqual([bool(client.received) for client in (*clients, late)], [False, True, True, False])
        self.assertEqual(self.state(), (1, 0, 1))
        self.send(self.origin.peer, OK)
        self.assertEqual([request.target for request in self.origin.requests], [b"/0", b"/late"])

    def test_aStaleConnectionUnderALimit(self) -> None:
        """Its place is taken by the connection that replaces it."""

        def gone(peer: RawPeer, request: Message) -> None:
            peer.abort()

        self.limited(1, [OK, gone, OK])
        client = self.ask(get())
        client.send(get())
        self.assertEqual([each.code for each in client.answers()], [200, 200])
        self.assertEqual(self.state(), (1, 1, 0))

    def test_staleConnectionsUnderALimitWithIdleOnes(self) -> None:
        self.limited(2, None)
        clients = self.waiting(2)
        for peer in list(self.origin.peers):
            self.send(peer, OK)
        self.assertEqual(self.state(), (2, 2, 0))
        self.origin.script = [lambda peer, request: peer.abort(), OK]
        clients[0].send(get())
        self.assertEqual(clients[0].answers()[1].code, 200)
        self.assertLessEqual(self.pool.total, 2)

    def test_theClientsUploadWaits(self) -> None:
        self.limited()
        self.ask(get())
        client = self.ask(post(b"x" * 3000000))
        self.assertGreater(client.raw.transport.buffered, 2500000)
        self.origin.script = OK
        self.send(self.origin.peer, OK)
        self.assertEqual(client.answer(b"POST").code, 200)

    def test_drainingLetsTheQueueEnd(self) -> None:
        self.limited()
        clients = self.waiting(3)
        assert self.reverseProxy is not None
        stopping = self.reverseProxy.stopService()
        self.assertNoResult(stopping)
        for _ in range(3):
            self.send(self.origin.peer, OK)
        self.successResultOf(stopping)
        self.assertEqual([client.answer().body for client in clients], [b"ok"] * 3)
