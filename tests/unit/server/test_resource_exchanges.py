"""Requests and answers through a ReverseProxyResource, under a stock Site and under the streaming one."""

from __future__ import annotations

from gzip import decompress
from typing import Any

from twisted.web.resource import EncodingResourceWrapper, Resource
from twisted.web.server import GzipEncoderFactory

from tests.unit.server.support import STREAMING, Echo, ResourceTestCase
from tests.unit.support import (
    OK,
    answer,
    chunked,
    director,
    errorHandler,
    get,
    head,
    modifier,
    post,
)
from twistproxy.messages import Response
from twistproxy.server.resource import ReverseProxyResource

BIG = 3 << 20


class Exchanges:
    def test_repeatedHeadersKeepAllTheirValues(self: Any) -> None:
        self.proxy(answer(b"", b"Set-Cookie: a=1", b"Set-Cookie: b=2", b"X-Many: 1", b"X-Many: 2"))
        told = self.answerTo(get(b"/", b"X-One: 1", b"X-One: 2", b"Cookie: a", b"Cookie: b"))
        self.assertEqual(self.origin.request.all(b"x-one"), [b"1", b"2"])
        self.assertEqual(self.origin.request.all(b"cookie"), [b"a", b"b"])
        self.assertEqual(told.all(b"set-cookie"), [b"a=1", b"b=2"])
        self.assertEqual(told.all(b"x-many"), [b"1", b"2"])

    def test_theHostOfTheClientIsKept(self: Any) -> None:
        self.proxy(OK)
        self.ask(get(host=b"app.example:8080"))
        self.assertEqual(self.origin.request.get(b"host"), b"app.example:8080")
        self.assertEqual(self.origin.request.get(b"x-forwarded-for"), b"203.0.113.9")

    def test_nothingIsInvented(self: Any) -> None:
        self.proxy(OK)
        told = self.answerTo(get())
        self.assertEqual(told.fields, [(b"Content-Length", b"2")])

    def test_whatTheUpstreamSaysOfItselfStays(self: Any) -> None:
        self.proxy(answer(b"x", b"Server: origin", b"Date: then", b"Content-Type: text/x"))
        told = self.answerTo(get())
        self.assertEqual(
            (told.get(b"server"), told.get(b"date"), told.get(b"content-type")), (b"origin", b"then", b"text/x")
        )

    def test_thePhraseOfTheStatusStays(self: Any) -> None:
        self.proxy(answer(b"", status=b"299 As You Like It"))
        self.assertEqual(self.answerTo(get()).start, b"HTTP/1.1 299 As You Like It")

    def test_whatOthersHaveSetStays(self: Any) -> None:
        class Wrapper(Resource):
            isLeaf = True

            def render(_, request: Any) -> Any:
                request.setHeader(b"Access-Control-Allow-Origin", b"*")
                request.setHeader(b"X-Both", b"ours")
                request.addCookie(b"ours", b"1")
                return self.resource.render(request)

        self.plant = lambda: Wrapper()
        self.proxy(answer(b"x", b"X-Both: theirs", b"Set-Cookie: theirs=2"))
        told = self.answerTo(get())
        self.assertEqual(told.get(b"access-control-allow-origin"), b"*")
        self.assertEqual(told.get(b"x-both"), b"theirs")
        self.assertEqual(told.all(b"set-cookie"), [b"theirs=2", b"ours=1"])

    def test_anEncoderAroundItEncodes(self: Any) -> None:
        root = Resource()
        self.plant = lambda: root
        self.proxy(answer(b"x" * 1000))
        root.putChild(b"zip", EncodingResourceWrapper(self.resource, [GzipEncoderFactory()]))
        told = self.answerTo(get(b"/zip", b"Accept-Encoding: gzip"))
        self.assertEqual((told.get(b"content-encoding"), told.get(b"content-length")), (b"gzip", None))
        self.assertEqual(decompress(told.body), b"x" * 1000)

    def test_anAnswerToHEADHasItsLengthAndNoBody(self: Any) -> None:
        self.proxy([head(b"Content-Length: 1000"), OK])
        client = self.ask(get(method=b"HEAD") + get())
        first, second = client.answers(b"HEAD", b"GET")
        self.assertEqual((first.get(b"content-length"), second.body), (b"1000", b"ok"))
        self.assertEqual(len(self.origin.peers), 1)

    def test_anAnswerToHEADMayLackALength(self: Any) -> None:
        self.proxy([head(b"Transfer-Encoding: chunked"), OK])
        client = self.ask(get(method=b"HEAD") + get())
        self.assertEqual([each.code for each in client.answers(b"HEAD", b"GET")], [200, 200])

    def test_204And304HaveNoBody(self: Any) -> None:
        self.proxy([head(status=b"204 No Content"), head(b"Content-Length: 9", b"ETag: x", status=b"304 Not Modified"), OK])
        client = self.ask(get() + get() + get())
        first, second, third = client.answers()
        self.assertEqual((first.code, second.code, third.body), (204, 304, b"ok"))
        self.assertEqual((first.fields, second.all(b"transfer-encoding")), ([], []))
        self.assertEqual((second.get(b"content-length"), second.get(b"etag")), (b"9", b"x"))

    def test_aChunkedAnswerIsFramedOnce(self: Any) -> None:
        self.proxy(head(b"Transfer-Encoding: chunked") + chunked(b"he", b"llo"))
        told = self.answerTo(get())
        self.assertEqual((told.body, told.all(b"transfer-encoding")), (b"hello", [b"chunked"]))

    def test_everyPieceOfAnAnswerGoesOnAtOnce(self: Any) -> None:
        self.proxy(head(b"Transfer-Encoding: chunked"))
        client = self.ask(get())
        self.assertIn(b"\r\n\r\n", client.take())
        for piece in (b"data: 1\n\n", b"data: 2\n\n"):
            self.send(self.origin.peer, b"%x\r\n%b\r\n" % (len(piece), piece))
            self.assertEqual(client.take(), b"%x\r\n%b\r\n" % (len(piece), piece))
        self.send(self.origin.peer, b"0\r\n\r\n")
        self.assertEqual(client.take(), b"0\r\n\r\n")
        self.assertFalse(client.isEnded)

    def test_anAnswerThatLastsUntilTheClose(self: Any) -> None:
        self.proxy(lambda peer, request: (peer.send(head(b"Connection: close") + b"all"), peer.close()))
        told = self.answerTo(get())
        self.assertEqual((told.body, told.get(b"transfer-encoding")), (b"all", b"chunked"))

    def test_HTTP10IsAnsweredAndTheConnectionClosed(self: Any) -> None:
        self.proxy(head(b"Transfer-Encoding: chunked") + chunked(b"all"))
        client = self.ask(get(version=b"1.0"))
        self.assertTrue(client.isEnded)
        self.assertFalse(client.wasReset)
        self.assertEqual((client.answer().body, client.answer().all(b"transfer-encoding")), (b"all", []))

    def test_closeIsHeardAmongOtherOptions(self: Any) -> None:
        self.proxy(OK)
        client = self.ask(get(b"/", b"Connection: te,Close"))
        self.assertEqual(client.answer().get(b"connection"), b"close")
        self.assertTrue(client.isEnded)

    def test_anyMethodGoesOn(self: Any) -> None:
        self.proxy([OK] * 4)
        for method in (b"PROPFIND", b"M-SEARCH", b"x", b"DELETE"):
            self.assertEqual(self.answerTo(get(method=method)).code, 200)
        self.assertEqual([each.method for each in self.origin.requests], [b"PROPFIND", b"M-SEARCH", b"x", b"DELETE"])

    def test_aBodyOfKnownLength(self: Any) -> None:
        self.proxy(Echo())
        self.assertEqual(self.answerTo(post(b"a=b&c", b"Content-Type: application/x-www-form-urlencoded")).body, b"POST / a=b&c")

    def test_aChunkedBodyIsFramedOnce(self: Any) -> None:
        self.proxy(Echo())
        upload = get(b"/", b"Transfer-Encoding: chunked", method=b"POST") + chunked(b"5\r\nhel", b"lo")
        client = self.ask(upload + get(b"/second"))
        self.assertEqual([each.body for each in client.answers()], [b"POST / 5\r\nhello", b"GET /second "])
        self.assertEqual(len(self.origin.peers), 1)

    def test_anEmptyChunkedBody(self: Any) -> None:
        self.proxy(Echo())
        self.assertEqual(self.answerTo(get(b"/", b"Transfer-Encoding: chunked", method=b"PUT") + chunked()).body, b"PUT / ")

    def test_aBigBodyGoesOnInPieces(self: Any) -> None:
        self.proxy(Echo())
        body = b"0123456789abcdef" * (BIG // 16)
        self.assertEqual(self.answerTo(post(body)).body, b"POST / " + body)
        self.assertLess(self.network.maxBuffered(self.towards(self.origin.peer)), 256 << 10)

    def test_aBodyWaitsForAnUpstreamThatTakesNothing(self: Any) -> None:
        self.proxy()
        origin = self.serve("10.0.0.9:80", Echo())
        self.reverseProxy.setUpstreams(["http://10.0.0.9"])
        origin.onHead = lambda peer: (peer.pause(), setattr(origin, "onHead", None))
        body = b"x" * BIG
        client = self.ask(post(body))
        self.assertLess(self.network.maxBuffered(self.towards(origin.peer)), 256 << 10)
        self.seconds(20)
        self.assertEqual(client.received, b"")
        origin.peer.resume()
        self.network.pump()
        self.assertEqual(client.answer().body, b"POST / " + body)

    def test_anAnswerWaitsForAClientThatTakesNothing(self: Any) -> None:
        self.proxy(answer(b"x" * BIG))
        client = self.client()
        client.raw.pause()
        client.send(get())
        self.assertLess(self.network.maxBuffered(self.towards(client.raw)), 512 << 10)
        self.assertLess(len(client.received), BIG // 2)
        client.raw.resume()
        self.network.pump()
        self.assertEqual(len(client.answer().body), BIG)

    def test_aClientThatTakesNothingForTooLongIsCutOff(self: Any) -> None:
        self.proxy(answer(b"x" * BIG), settings={"sendTimeout": 20.0})
        client = self.client()
        client.raw.pause()
        client.send(get())
        self.seconds(15)
        self.assertFalse(client.isEnded)
        self.seconds(10)
        client.raw.resume()
        self.network.pump()
        self.assertTrue(client.wasReset)
        self.assertEqual(self.accessLog.lines, [(200, "client_closed")])
        self.assertEqual(self.outcomes(), [("client_closed", 200)])

    def test_pluginsAreAsked(self: Any) -> None:
        def direct(inbound: Any, outbound: Any) -> None:
            self.assertEqual((inbound.path, outbound.path), (b"/a", b"/a"))
            outbound.path = b"/elsewhere"
            outbound.headers.setRawHeaders("X-Directed", ["yes"])

        def modify(request: Any, response: Any) -> None:
            response.headers.setRawHeaders("X-Modified", ["yes"])

        self.proxy(OK, directors=[director(direct)], modifiers=[modifier(modify)])
        told = self.answerTo(get(b"/a"))
        self.assertEqual((self.origin.request.target, self.origin.request.get(b"x-directed")), (b"/elsewhere", b"yes"))
        self.assertEqual((told.get(b"x-modified"), told.body), (b"yes", b"ok"))
        self.assertEqual(len(self.balancer.picks), 1)

    def test_aDirectorAnswers(self: Any) -> None:
        self.proxy(OK, directors=[director(lambda *_: Response(403, {"X-Why": "so"}, b"no"))])
        client = self.ask(get() + post(b"body") + get())
        self.assertEqual([(each.code, each.body) for each in client.answers()], [(403, b"no")] * 3)
        self.assertEqual(self.origin.peers, [])

    def test_aDirectorReadsTheBody(self: Any) -> None:
        async def direct(inbound: Any, outbound: Any) -> None:
            outbound.headers.setRawHeaders("X-Body", [await inbound.body.read(100)])

        self.proxy(Echo(), directors=[director(direct)])
        self.assertEqual(self.answerTo(post(b"hello")).body, b"POST / hello")
        self.assertEqual(self.origin.request.get(b"x-body"), b"hello")

    def test_anErrorHandlerAnswers(self: Any) -> None:
        handler = errorHandler(lambda request, error: Response(502, (), error.kind.reason.encode()))
        self.proxy(urls=["http://10.0.0.9"], errorHandlers=[handler])
        self.assertEqual(self.answerTo(get()).body, b"connect_refused")

    def test_severalUpstreamsTakeTurnsAndStandInForEachOther(self: Any) -> None:
        self.proxy(answer(b"1"), answer(b"2"), urls=["http://10.0.0.1", "http://10.0.0.2", "http://10.0.0.3"])
        self.assertEqual({self.answerTo(get()).body for _ in range(4)}, {b"1", b"2"})

    def test_informationGoesOnAtOnce(self: Any) -> None:
        self.proxy(head(b"Link: </x>; rel=preload", status=b"103 Early Hints"))
        client = self.ask(get())
        self.assertEqual(client.take(), b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\n")
        self.send(self.origin.peer, OK)
        self.assertEqual(client.take(), OK)
        old = self.ask(get(version=b"1.0"))
        self.send(self.origin.peer, OK)
        self.assertTrue(old.received.startswith(b"HTTP/1.1 200") or old.received.startswith(b"HTTP/1.0 200"), old.received)

    def test_theLogOfTheSiteHasALineForEach(self: Any) -> None:
        self.proxy([OK, answer(b"abc", status=b"404 Not Found")])
        self.ask(get(b"/one") + get(b"/two"))
        self.assertIn('"GET /one HTTP/1.1" 200 2 ', self.log.getvalue())
        self.assertIn('"GET /two HTTP/1.1" 404 3 ', self.log.getvalue())

    def test_manyPipelinedRequestsThatAreAnsweredAtOnce(self: Any) -> None:
        self.proxy(OK, directors=[director(lambda *_: Response(200, (), b"x"))])
        client = self.ask(post(b"12345") * 300)
        self.assertEqual([each.body for each in client.answers()], [b"x"] * 300)

    def test_aSubclassThatRendersOtherwiseIsAsked(self: Any) -> None:
        class Locked(ReverseProxyResource):
            def render(self, request: Any) -> Any:
                if request.getHeader(b"authorization") is None:
                    request.setResponseCode(401)
                    return b"who?"
                return super().render(request)

        self.proxy(Echo())
        self.root = Locked("10.0.0.1", 80, b"", self.network)
        self.site.resource = self.root
        self.assertEqual(self.answerTo(post(b"body")).code, 401)
        self.assertEqual(self.answerTo(post(b"body", b"Authorization: x")).body, b"POST / body")
        self.seconds(200)

class TestUnderAStockSite(Exchanges, ResourceTestCase):
    def test_aClientThatWaitsForA100GotOne(self) -> None:
        self.proxy(lambda peer, request: peer.send(b"HTTP/1.1 100 Continue\r\n\r\n" + OK))
        client = self.ask(get(b"/", b"Content-Length: 2", b"Expect: 100-continue", method=b"PUT"))
        self.assertEqual(client.take(), b"HTTP/1.1 100 Continue\r\n\r\n")
        self.assertEqual(self.origin.peers, [])
        client.send(b"ab")
        self.assertEqual(client.take(), OK)
        self.assertEqual((self.origin.request.body, self.origin.request.get(b"expect")), (b"ab", None))

    def test_aSpooledBodyHasItsLength(self) -> None:
        self.proxy(OK)
        coded = chunked(b"he", b"llo", trailers=[b"X-T: 1"])
        self.ask(get(b"/", b"Transfer-Encoding: chunked", b"Trailer: X-T", method=b"PUT") + coded)
        asked = self.origin.request
        self.assertEqual((asked.get(b"content-length"), asked.get(b"trailer"), asked.body), (b"5", None, b"hello"))

    def test_aTargetInAbsoluteFormIsRefused(self) -> None:
        self.proxy(OK)
        self.assertEqual(self.answerTo(get(b"http://app.example/")).code, 400)

    def test_headersGetTwistedsCase(self) -> None:
        self.proxy(answer(b"", b"x-mIxed: 1"))
        told = self.answerTo(get(b"/", b"x-mIxed: 1"))
        self.assertIn((b"X-Mixed", b"1"), told.fields)
        self.assertIn((b"X-Mixed", b"1"), self.origin.request.fields)


class TestUnderAStreamingSite(Exchanges, ResourceTestCase):
    makeSite = staticmethod(STREAMING)
