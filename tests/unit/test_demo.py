"""The sample upstreams of C{--demo}, over in-memory connections."""

from __future__ import annotations

from typing import Any

import treq
from treq.testing import RequestTraversalAgent
from twisted.application.service import IService
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort
from twisted.internet.task import Clock
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers
from twisted.web.iweb import IResponse
from zope.interface.verify import verifyObject

from twistproxy.demo import SLOW_SECONDS, DemoUpstreams, SampleUpstream, startDemo


class SampleUpstreamTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.agent = RequestTraversalAgent(SampleUpstream(self.clock, 2))

    def ask(
        self, path: str, method: bytes = b"GET", headers: dict[str, list[str]] | None = None
    ) -> tuple[IResponse, str]:
        url = f"http://127.0.0.1:2004{path}".encode()
        response = self.successResultOf(self.agent.request(method, url, Headers(headers or {})))
        return response, self.successResultOf(treq.content(response)).decode()

    def test_echoTellsAddressAndPathAndForwarding(self) -> None:
        response, body = self.ask(
            "/some/p%61th?q=1&q=2", headers={"X-Forwarded-For": ["1.2.3.4"], "X-Real-Ip": ["5.6.7.8"]}
        )
        self.assertEqual(response.code, 200)
        self.assertEqual(
            body.split("\n")[:5],
            [
                "GET http://127.0.0.1:2004/some/p%61th?q=1&q=2",
                "RemoteAddr: 127.0.0.1:31337",
                "X-Forwarded-For: 1.2.3.4",
                "X-Real-Ip: 5.6.7.8",
                "",
            ],
        )

    def test_echoListsEveryHeaderLine(self) -> None:
        _, body = self.ask("/", headers={"X-Twice": ["one", "two"]})
        _, _, listed = body.partition("\n\n")
        self.assertIn("X-Twice: one\nX-Twice: two\n", listed)
        self.assertIn("Host: 127.0.0.1:2004\n", listed)

    def test_anyMethodIsEchoed(self) -> None:
        for method in (b"POST", b"PROPFIND", b"DELETE"):
            response, body = self.ask("/", method)
            self.assertEqual((response.code, body.split(" ")[0]), (200, method.decode()))

    def test_headHasTheLengthOfTheBodyAndNoBody(self) -> None:
        _, body = self.ask("/same")
        response, nothing = self.ask("/same", b"HEAD")
        self.assertEqual(nothing, "")
        # "HEAD" is one letter longer than "GET".
        self.assertEqual(response.headers.getRawHeaders("content-length"), [str(len(body) + 1)])

    def test_plainTextUnlessAPageIsAccepted(self) -> None:
        for accept, kind in (("*/*", "text/plain"), ("text/html,*/*;q=0.8", "text/html")):
            response, _ = self.ask("/", headers={"Accept": [accept]})
            self.assertEqual(response.headers.getRawHeaders("content-type"), [f"{kind}; charset=utf-8"])
            self.assertEqual(response.headers.getRawHeaders("vary"), ["Accept"])

    def test_pageShowsWhichUpstreamAnsweredAndFetchesNothing(self) -> None:
        _, page = self.ask("/", headers={"Accept": ["text/html"]})
        self.assertIn("<h1>127.0.0.1:2004</h1>", page)
        self.assertIn("sample upstream 2", page)
        # A second request per page, such as one for an icon, would upset the round robin.
        self.assertIn('<link rel="icon" href="data:', page)
        for mark in ('src="', "@import", "url("):
            self.assertNotIn(mark, page)

    def test_upstreamsHaveTheirOwnColours(self) -> None:
        other = RequestTraversalAgent(SampleUpstream(self.clock, 1))
        _, page = self.ask("/", headers={"Accept": ["text/html"]})
        self.agent = other
        _, otherPage = self.ask("/", headers={"Accept": ["text/html"]})

        def colour(text: str) -> str:
            return text.partition("--colour: ")[2].partition(";")[0]

        self.assertNotEqual(colour(page), colour(otherPage))

    def test_pageEscapesWhatItEchoes(self) -> None:
        _, page = self.ask("/?<script>", headers={"Accept": ["text/html"], "X-Echoed": ["<i>&"]})
        for raw in ("<script>", "<i>"):
            self.assertNotIn(raw, page)
        self.assertIn("&lt;i&gt;&amp;", page)

    def test_errorPathAnswers500(self) -> None:
        response, body = self.ask("/base/error")
        self.assertEqual((response.code, body), (500, "error handler\n"))

    def test_timeoutPathAnswersAfterSixSeconds(self) -> None:
        asked = self.agent.request(b"GET", b"http://127.0.0.1:2004/base/timeout")
        self.clock.advance(SLOW_SECONDS - 0.1)
        self.agent.flush()
        self.assertNoResult(asked)
        self.clock.advance(0.1)
        self.agent.flush()
        response = self.successResultOf(asked)
        self.assertEqual(self.successResultOf(treq.content(response)), b"answered after 6 s\n")

    def test_timeoutPathForgetsAClientThatLeft(self) -> None:
        asked = self.agent.request(b"GET", b"http://127.0.0.1:2004/base/timeout")
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        asked.cancel()
        self.failureResultOf(asked)
        self.agent.flush()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TakenPortReactor(MemoryReactorClock):
    """A reactor on which something else listens on port 2003, and whose free ports begin at 50000."""

    free = 50000

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> IListeningPort:
        if port == 2003:
            raise CannotListenError(interface, port, OSError("taken"))
        if port == 0:
            port, self.free = self.free, self.free + 1
        return super().listenTCP(port, factory, backlog, interface)


class StartDemoTests(SynchronousTestCase):
    def test_listensOnLoopbackInTheOrderOfThePorts(self) -> None:
        reactor = MemoryReactorClock()
        started = startDemo(reactor)
        self.assertEqual([url for _, url in started], ["http://127.0.0.1:2003", "http://127.0.0.1:2004"])
        listening = [(port, interface) for port, _, _, interface in reactor.tcpServers]
        self.assertEqual(listening, [(2003, "127.0.0.1"), (2004, "127.0.0.1")])

    def test_takenPortIsReplacedByAFreeOne(self) -> None:
        urls = [url for _, url in startDemo(TakenPortReactor())]
        self.assertEqual(urls, ["http://127.0.0.1:50000", "http://127.0.0.1:2004"])

    def test_serviceKnowsItsUrlsBeforeItStarts(self) -> None:
        service = DemoUpstreams(MemoryReactorClock(), (1, 2, 3))
        self.assertTrue(verifyObject(IService, service))
        self.assertEqual(len(service.urls), 3)

    def test_stoppingTheServiceClosesThePorts(self) -> None:
        closed = []

        class Port:
            def stopListening(self) -> None:
                closed.append(self)

        service = DemoUpstreams(MemoryReactorClock())
        service._ports = [Port(), Port()]  # type: ignore[list-item]
        service.startService()
        self.successResultOf(service.stopService())
        self.assertEqual(len(closed), 2)
        self.successResultOf(service.stopService())
        self.assertEqual(len(closed), 2)
