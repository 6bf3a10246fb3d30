"""The Site that streams: request bodies on their way while they come, and everybody else served as ever."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET
from twisted.web.static import Data
from twisted.web.vhost import NameVirtualHost

from tests.unit.server.support import STREAMING, Echo, ResourceTestCase, TreeTestCase
from tests.unit.support import OK, answer, chunked, director, errorHandler, get, head, post
from twistproxy.messages import Response
from twistproxy.server.resource import ReverseProxyResource, StreamingSite, leadsToProxy, site
from twistproxy.testing import MemoryNetwork

BIG = 3 << 20
UPLOAD = get(b"/", b"Content-Length: 10", method=b"PUT")
CHUNKED = get(b"/", b"Transfer-Encoding: chunked", method=b"PUT")


class StreamingTestCase(ResourceTestCase):
    makeSite = staticmethod(STREAMING)


class TestBodies(StreamingTestCase):
    def test_aBodyGoesOnWhileItComes(self) -> None:
        self.proxy(None)
        client = self.ask(UPLOAD)
        self.assertTrue(self.origin.peer.take().endswith(b"\r\n\r\n"))
        client.send(b"01234")
        self.assertEqual(self.origin.peer.take(), b"01234")
        client.send(b"56789" + get(b"/second"))
        self.assertEqual(self.origin.peer.take(), b"56789")
        self.send(self.origin.peer, OK)
        self.assertTrue(self.origin.peer.take().startswith(b"GET /second "))
        self.send(self.origin.peer, OK)
        self.assertEqual([each.body for each in client.answers()], [b"ok", b"ok"])

    def test_aChunkedBodyGoesOnWhileItComes(self) -> None:
        self.proxy(None)
        client = self.ask(CHUNKED + b"2\r\nab\r\n1\r\nc\r\n")
        self.assertTrue(self.origin.peer.take().endswith(b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"))
        client.send(b"2;ext=1\r\ndef"[:-1])
        self.assertEqual(self.origin.peer.take(), b"2\r\nde\r\n")
        client.send(b"\r\n0\r\nX-Trailer: 1\r\n\r\n")
        self.assertEqual(self.origin.peer.take(), b"0\r\n\r\n")
        self.send(self.origin.peer, OK)
        self.assertEqual(client.answer().body, b"ok")
        self.assertFalse(client.isEnded)

    def test_noTrailersAreAnnounced(self) -> None:
        self.proxy(OK)
        self.ask(get(b"/", b"Transfer-Encoding: chunked", b"Trailer: X-T", method=b"PUT") + chunked(b"x", trailers=[b"X-T: 1"]))
        self.assertEqual((self.origin.request.get(b"trailer"), self.origin.request.trailers), (None, []))

    def test_theHeadIsSentOnAsTheClientWroteIt(self) -> None:
        self.proxy(OK)
        self.ask(get(b"/", b"x-mIxed: 1", b"B: 1", b"a: 1", b"b: 2"))
        self.assertEqual(
            self.origin.request.fields[:5],
            [(b"Host", b"app.example"), (b"x-mIxed", b"1"), (b"B", b"1"), (b"a", b"1"), (b"b", b"2")],
        )

    def test_theBytesMayComeOneByOne(self) -> None:
        self.proxy(Echo())
        client = self.client()
        for data in (CHUNKED + chunked(b"hel", b"lo"), get(b"/second"), post(b"abc")):
            for at in range(len(data)):
                client.send(data[at : at + 1])
        self.assertEqual([each.body for each in client.answers()], [b"PUT / hello", b"GET /second ", b"POST / abc"])

    def test_nothingOfABodyIsHeldForAnUpstreamThatTakesNone(self) -> None:
        self.proxy()
        origin = self.serve("10.0.0.9:80", Echo())
        assert self.reverseProxy is not None
        self.reverseProxy.setUpstreams(["http://10.0.0.9"])
        origin.onHead = lambda peer: (peer.pause(), setattr(origin, "onHead", None))
        body = b"x" * BIG
        client = self.ask(post(body))
        self.assertLess(self.network.maxBuffered(self.towards(origin.peer)), 256 << 10)
        self.assertFalse(self.towards(client.raw).isReading)
        self.assertGreater(client.raw.transport.buffered, BIG // 2, "the client keeps what nobody takes")
        origin.peer.resume()
        self.network.pump()
        self.assertEqual(client.answer().body, b"POST / " + body)

    def test_anUploadThatWaitsForItsUpstreamIsNotIdle(self) -> None:
        self.siteOptions = {"timeout": 5}
        self.proxy(settings={"upstreamTimeout": 600.0})
        origin = self.serve("10.0.0.9:80", Echo())
        assert self.reverseProxy is not None
        self.reverseProxy.setUpstreams(["http://10.0.0.9"])
        origin.onHead = lambda peer: (peer.pause(), setattr(origin, "onHead", None))
        client = self.ask(post(b"x" * BIG))
        self.seconds(300)
        self.assertFalse(client.isEnded)
        origin.peer.resume()
        self.network.pump()
        self.assertEqual(len(client.answer().body), BIG + 7)
        self.seconds(6)
        self.assertTrue(client.isEnded, "now it is")

    def test_anAnswerThatDrainsDoesNotReopenAPausedUpload(self) -> None:
        self.proxy()
        origin = self.serve("10.0.0.9:80", None)
        assert self.reverseProxy is not None
        self.reverseProxy.setUpstreams(["http://10.0.0.9"])
        client = self.ask(get(b"/", b"Content-Length: %d" % BIG, method=b"PUT"))
        origin.peer.pause()
        client.raw.pause()
        self.send(origin.peer, head(b"Content-Length: %d" % BIG) + b"y" * (BIG // 2))
        client.send(b"x" * (BIG - 1))
        upload = client.raw.transport.buffered
        client.raw.resume()
        self.network.pump()
        self.assertLess(self.network.maxBuffered(self.towards(origin.peer)), 256 << 10)
        self.assertFalse(self.towards(client.raw).isReading)
        self.assertLess(upload - client.raw.transport.buffered, 512 << 10)
        origin.peer.resume()
        self.network.pump()
        client.send(b"x")
        self.send(origin.peer, b"y" * (BIG // 2))
        self.assertEqual(len(client.answer().body), BIG)

    def test_aSlowBodyIsGivenUp(self) -> None:
        self.proxy(None, settings={"bodyTimeout": 30.0, "minBodyRate": 100})
        client = self.ask(get(b"/", b"Content-Length: 100000", method=b"PUT"))
        for _ in range(3):
            self.seconds(29)
            client.send(b"x" * 4000)
        self.assertEqual(client.received, b"")
        for _ in range(62):
            client.send(b"x")
            self.seconds(1)
        self.assertEqual(client.answer().code, 408)
        self.assertTrue(client.isEnded)
        self.assertEqual(self.outcomes(), [("client_timeout", 0)])

    def test_aBodyThatBecomesTooLong(self) -> None:
        self.proxy(None, settings={"maxBodyBytes": 10})
        client = self.ask(CHUNKED + b"5\r\nabcde\r\n")
        client.send(b"6\r\nfghijk\r\n")
        self.assertEqual(client.answer().code, 413)
        self.assertTrue(client.isEnded)
        self.assertIsNotNone(self.origin.peer.closed)

    def test_aClientThatLeavesInItsUpload(self) -> None:
        self.proxy(None)
        client = self.ask(UPLOAD + b"01")
        client.abort()
        self.assertIsNotNone(self.origin.peer.closed)
        self.assertEqual(self.accessLog.lines, [(499, "client_closed")])

    def test_aLengthOfThousandsOfDigitsIsRefused(self) -> None:
        self.proxy(OK)
        self.assertEqual(self.ask(get(b"/", b"Content-Length: " + b"0" * 5000)).received[:13], b"HTTP/1.1 400 ")
        self.assertEqual(self.origin.peers, [])

    def test_aFoldedHeaderLineIsRefused(self) -> None:
        self.proxy(OK)
        for message in (get(b"/", b"X-A: 1\r\n 2"), get(b"/", b"X-A: 1\r\n\tX-B: 2"), get(b"/", b"X-A: 1", b" 2", b"B: 3")):
            self.assertEqual(self.answerTo(message).code, 400)
        self.assertEqual(self.origin.peers, [])


class TestMalformedChunks(StreamingTestCase):
    def test_inTheSegmentOfTheHead(self) -> None:
        self.proxy(OK)
        client = self.ask(CHUNKED + b"2\r\nab\r\nzz\r\n" + get(b"/smuggled"))
        self.assertTrue(client.received.startswith(b"HTTP/1.1 400 "))
        self.assertTrue(client.isEnded)
        self.assertEqual(self.origin.peers, [])

    def test_later(self) -> None:
        self.proxy(None)
        client = self.ask(CHUNKED + b"2\r\nab\r\n")
        client.send(b"zz\r\n" + get(b"/smuggled"))
        self.assertEqual(client.answer().code, 400)
        self.assertTrue(client.isEnded)
        self.assertIsNotNone(self.origin.peer.closed)
        self.assertNotIn(b"smuggled", self.origin.received)

    def test_afterTheAnswerBegan(self) -> None:
        self.proxy(head(b"Content-Length: 10") + b"he")
        self.origin.onHead = lambda peer: peer.send(head(b"Content-Length: 10") + b"he")
        client = self.ask(CHUNKED + b"2\r\nab\r\n")
        self.assertTrue(client.take().endswith(b"he"))
        client.send(b"zz\r\n")
        self.assertEqual(client.take(), b"", "nothing but an end")
        self.assertTrue(client.isEnded)

    def test_whileSomebodyThinksAboutTheAnswerTheRestIsDropped(self) -> None:
        waiting: Deferred[Any] = Deferred()
        self.proxy(None, errorHandlers=[errorHandler(lambda *_: waiting)])
        client = self.ask(CHUNKED + b"2\r\nab\r\n")
        for _ in range(3):
            client.send(b"zz\r\n" * 1000)
        self.assertEqual(client.received, b"")
        waiting.callback(Response(400, (), b"thought of"))
        self.network.pump()
        self.assertEqual(client.answer().body, b"thought of")


class TestEarlyAnswers(StreamingTestCase):
    def test_anAnswerBeforeTheEndOfTheUpload(self) -> None:
        self.proxy(None)
        self.origin.onHead = lambda peer: peer.send(answer(b"too much", status=b"413 Content Too Large"))
        client = self.ask(UPLOAD)
        told = client.answer()
        self.assertEqual((told.code, told.body, told.get(b"connection")), (413, b"too much", b"close"))
        self.assertTrue(client.raw.eof)
        self.assertFalse(client.wasReset)

    def test_theRestOfTheUploadIsReadAndDropped(self) -> None:
        self.test_anAnswerBeforeTheEndOfTheUpload()
        client = self.clients[0]
        client.send(b"x" * (200 << 10))
        self.assertIsNone(client.raw.closed)
        client.raw.close()
        self.network.pump()
        self.assertEqual(self.engine.channels, set())

    def test_butNotForEver(self) -> None:
        self.test_anAnswerBeforeTheEndOfTheUpload()
        self.assertEqual(len(self.network.connections), 2)
        self.seconds(6)
        self.assertEqual(self.network.connections, [self.clients[0].raw.transport])

    def test_norAnyLength(self) -> None:
        self.test_anAnswerBeforeTheEndOfTheUpload()
        self.clients[0].send(b"x" * (300 << 10))
        self.assertEqual(self.network.connections, [self.clients[0].raw.transport])

    def test_aDirectorAnswersBeforeTheUpload(self) -> None:
        self.proxy(OK, directors=[director(lambda *_: Response(401, (), b"who?"))])
        for message in (UPLOAD, CHUNKED, UPLOAD + b"01", CHUNKED + b"1\r\n"):
            client = self.ask(message)
            self.assertEqual((client.answer().code, client.raw.eof), (401, True))
        self.assertEqual(self.origin.peers, [])

    def test_anAnswerThatStreamsWhileTheUploadDoes(self) -> None:
        self.proxy(None)
        client = self.ask(CHUNKED)
        self.send(self.origin.peer, head(b"Transfer-Encoding: chunked"))
        for number in range(3):
            client.send(b"1\r\n%d\r\n" % number)
            self.assertTrue(self.origin.peer.take().endswith(b"1\r\n%d\r\n" % number))
            self.send(self.origin.peer, b"1\r\n%d\r\n" % number)
            self.assertTrue(client.take().endswith(b"1\r\n%d\r\n" % number))
        client.send(b"0\r\n\r\n")
        self.send(self.origin.peer, b"0\r\n\r\n")
        self.assertEqual(client.answer().body, b"012")
        self.assertTrue(client.isEnded)


class TestExpectations(StreamingTestCase):
    EXPECTING = get(b"/", b"Content-Length: 2", b"Expect: 100-continue", method=b"PUT")

    def test_the100IsTheUpstreams(self) -> None:
        self.proxy(OK)
        self.origin.onHead = lambda peer: peer.send(b"HTTP/1.1 100 Continue\r\nX-From: origin\r\n\r\n")
        client = self.ask(self.EXPECTING)
        self.assertEqual(client.take(), b"HTTP/1.1 100 Continue\r\nX-From: origin\r\n\r\n")
        client.send(b"ab")
        self.assertEqual(client.take(), OK)
        self.assertEqual((self.origin.request.get(b"expect"), self.origin.request.body), (b"100-continue", b"ab"))

    def test_aFinalAnswerInsteadOfIt(self) -> None:
        self.proxy(None)
        self.origin.onHead = lambda peer: peer.send(answer(b"", status=b"417 Expectation Failed"))
        client = self.ask(self.EXPECTING)
        self.assertEqual([each.code for each in client.answers()], [417])

    def test_oursWhenTheUpstreamSaysNothing(self) -> None:
        self.proxy(OK)
        client = self.ask(self.EXPECTING)
        self.assertEqual(client.take(), b"")
        self.seconds(3)
        self.assertEqual(client.take(), b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(b"ab")
        self.assertEqual(client.take(), OK)

    def test_oursWhenAPluginReadsTheBody(self) -> None:
        async def direct(inbound: Any, outbound: Any) -> None:
            await inbound.body.read(10)

        self.proxy(OK, directors=[director(direct)])
        client = self.ask(self.EXPECTING)
        self.assertEqual(client.take(), b"HTTP/1.1 100 Continue\r\n\r\n")


class TestTargets(StreamingTestCase):
    def test_absoluteFormIsRoutedByItsPath(self) -> None:
        self.proxy(Echo())
        for target, asked in {
            b"http://app.example/a/b?c": b"GET /a/b?c ",
            b"http://app.example": b"GET / ",
            b"HTTP://App.Example:80/": b"GET / ",
        }.items():
            self.assertEqual(self.answerTo(get(target)).body, asked)
        self.assertEqual(self.answerTo(get(b"http://app.example/x", b"Content-Length: 2") + b"ab").body, b"GET /x ab")


class TestOthers(TreeTestCase):
    """Resources that are no proxies."""

    makeSite = staticmethod(STREAMING)

    def plant(self) -> Any:
        root = super().plant()
        test = self

        class Taking(Resource):
            isLeaf = True

            def render_POST(self, request: Any) -> bytes:
                test.contents.append(request.content.read())
                return b"%r" % request.args

        class Late(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> Any:
                test.network.callLater(1, lambda: (request.write(b"late"), request.finish()))
                return NOT_DONE_YET

        class Dynamic(Resource):
            def getChild(self, path: bytes, request: Any) -> Any:
                test.contents.append(request.content.read())
                return test.resource

        self.contents: list[bytes] = []
        root.putChild(b"taking", Taking())
        root.putChild(b"late", Late())
        root.putChild(b"dynamic", Dynamic())
        return root

    def test_formsAreParsed(self) -> None:
        self.proxy()
        told = self.answerTo(get(b"/taking?x=1", b"Content-Type: application/x-www-form-urlencoded", b"Content-Length: 3",
                                 method=b"POST") + b"a=b")  # fmt: skip
        self.assertEqual(told.body, b"{b'x': [b'1'], b'a': [b'b']}")

    def test_bodiesAreSpooledAnd100IsSaid(self) -> None:
        self.proxy()
        client = self.ask(get(b"/taking", b"Transfer-Encoding: chunked", b"Expect: 100-continue", method=b"POST"))
        self.assertEqual(client.take(), b"HTTP/1.1 100 Continue\r\n\r\n")
        client.send(chunked(b"x" * 200_000))
        self.assertEqual(client.answers(b"POST")[-1].code, 200) if False else None
        self.assertEqual(self.contents, [b"x" * 200_000])

    def test_malformedChunksAreRefused(self) -> None:
        self.proxy()
        client = self.ask(get(b"/taking", b"Transfer-Encoding: chunked", method=b"POST") + b"zz\r\n")
        self.assertEqual(client.received, b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertTrue(client.isEnded)

    def test_lateAnswersComeInTheirOrder(self) -> None:
        self.proxy(Echo())
        client = self.ask(get(b"/late") + post(b"x", b"X-At: /static").replace(b"POST / ", b"POST /api/x ") + get(b"/late"))
        self.seconds(1)
        self.seconds(1)
        self.assertEqual([each.body for each in client.answers()], [b"late", b"POST /base/x x", b"late"])

    def test_idleClientsAreTimedOutAsEver(self) -> None:
        self.siteOptions = {"timeout": 5}
        self.proxy(OK)
        first, second = self.ask(get(b"/static")), self.ask(get(b"/api"))
        self.seconds(4)
        self.assertFalse(first.isEnded or second.isEnded)
        self.seconds(2)
        self.assertTrue(first.isEnded and second.isEnded)

    def test_aHeadThatComesByteByByteIsTimedOut(self) -> None:
        self.siteOptions = {"timeout": 5}
        self.proxy(OK)
        for start in (b"", get(b"/static"), get(b"/api")):
            client = self.ask(start)
            for at in range(11):
                self.assertFalse(client.isEnded and at < 5, at)
                client.send(get()[at : at + 1])
                self.seconds(1)
            self.assertTrue(client.isEnded)

    def test_aBodyThatComesByteByByteIsNot(self) -> None:
        self.siteOptions = {"timeout": 5}
        self.proxy()
        client = self.ask(get(b"/taking", b"Content-Length: 20", method=b"POST"))
        for _ in range(20):
            self.assertFalse(client.isEnded)
            client.send(b"x")
            self.seconds(1)
        self.assertEqual(client.answer(b"POST").code, 200)

    def test_whatADynamicResourceLeadsToIsSpooled(self) -> None:
        self.proxy(Echo())
        client = self.ask(get(b"/dynamic/x", b"Content-Length: 4", method=b"PUT") + b"ab")
        self.assertEqual(self.origin.peers, [])
        client.send(b"cd")
        self.assertEqual(client.answer().body, b"PUT /base abcd")
        self.assertEqual(self.contents, [b"abcd"])

    def test_itSpeaksHTTP11Only(self) -> None:
        self.proxy()
        self.assertIsInstance(self.site, StreamingSite)
        self.assertEqual(self.site.acceptableProtocols(), [b"http/1.1"])


class TestWhereAPathLeads(ResourceTestCase):
    def tree(self) -> Any:
        self.network = MemoryNetwork()
        proxied = ReverseProxyResource("10.0.0.1", 80, b"", self.network)
        proxied.putChild(b"own", Data(b"", ""))
        root = Resource()
        root.putChild(b"a b", proxied)
        root.putChild(b"data", Data(b"", ""))
        return root, proxied

    def test_aTree(self) -> None:
        root, proxied = self.tree()
        leads = {
            b"/a%20b": True, b"/a%20b/": True, b"/a%20b/x/y": True, b"/a%20b/own": False, b"/a%20b/x/own": True,
            b"/": False, b"/data": False, b"/data/x": False, b"/nowhere": False, b"/a+b": False,
        }  # fmt: skip
        for path, expected in leads.items():
            self.assertEqual(leadsToProxy(root, path, b""), expected, path)
        self.assertTrue(leadsToProxy(proxied, b"/", b""))
        self.assertFalse(leadsToProxy(proxied, b"/own", b""))

    def test_virtualHosts(self) -> None:
        root, proxied = self.tree()
        hosts = NameVirtualHost()
        hosts.addHost(b"one.example", proxied)
        hosts.addHost(b"two.example", root)
        hosts.putChild(b"everywhere", Data(b"", ""))
        for host, path, expected in (
            (b"one.example", b"/x", True), (b"One.Example:8080", b"/x", True), (b"one.example", b"/everywhere", False),
            (b"two.example", b"/x", False), (b"two.example", b"/a%20b/x", True), (b"three.example", b"/x", False),
            (b"", b"/x", False),
        ):  # fmt: skip
            self.assertEqual(leadsToProxy(hosts, path, host), expected, (host, path))
        hosts.default = proxied
        self.assertTrue(leadsToProxy(hosts, b"/x", b"three.example"))

    def test_nobodyIsAsked(self) -> None:
        class Asked(Resource):
            def getChildWithDefault(self, path: bytes, request: Any) -> Any:
                raise AssertionError("asked")

        class AskedToo(Resource):
            def getChild(self, path: bytes, request: Any) -> Any:
                raise AssertionError("asked")

        class Other(ReverseProxyResource):
            def getChild(self, path: bytes, request: Any) -> Any:
                raise AssertionError("asked")

        for resource in (Asked(), AskedToo(), object(), Other("h", 80, b"", MemoryNetwork())):
            self.assertFalse(leadsToProxy(resource, b"/x", b""))  # type: ignore[arg-type]


class TestDefaults(ResourceTestCase):
    def test_optionsAreTheSites(self) -> None:
        made = site(Resource(), timeout=7, reactor=self.network)
        self.assertEqual(made.timeOut, 7)
