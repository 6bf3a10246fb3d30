"""forward-auth: what the other server is asked, and what becomes of its answers; over an in-memory network."""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs, formatEvent
from zope.interface import implementer

from tests.unit.builtin import MiddlewareTestCase
from twistproxy.interfaces import IMiddleware
from twistproxy.messages import USER, InboundRequest
from twistproxy.testing import FakeUpstream, MemoryNetwork, ProxyHarness

URL = "forward-auth:url=http\\://10.0.9.9\\:81/auth?x=1"


@implementer(IMiddleware)
class Watching:
    """Keeps the requests that come by."""

    def __init__(self) -> None:
        self.requests: list[InboundRequest] = []

    def around(self, request: InboundRequest, proceed: Any) -> Any:
        self.requests.append(request)
        return proceed()


class ForwardAuthTests(MiddlewareTestCase):
    def harness(self, auth: FakeUpstream | None, written: str = URL, **options: Any) -> ProxyHarness:
        network = MemoryNetwork()
        if auth is not None:
            auth.listen(network, "10.0.9.9:81")
        harness = ProxyHarness(network=network, middleware=written, **options)
        self.addCleanup(harness.close)
        return harness

    def test_whoMayPass(self) -> None:
        auth = FakeUpstream(200, body=b"fine")
        harness = self.harness(auth)
        answer = harness.get("/a%2Fb?c=%20", {"Cookie": "sid=1", "Authorization": "x"})
        self.assertEqual((answer.status, answer.body), (200, b"hello"))
        (asked,) = auth.requests
        self.assertEqual((asked.method, asked.target, asked.body), (b"GET", b"/auth?x=1", b""))
        for name, value in [
            ("Host", "10.0.9.9:81"),
            ("X-Forwarded-Method", "GET"),
            ("X-Forwarded-Uri", "/a%2Fb?c=%20"),
            ("X-Forwarded-Proto", "http"),
            ("X-Forwarded-Host", harness.upstream.requests[0].headers.get("X-Forwarded-Host")),
            ("X-Forwarded-For", harness.upstream.requests[0].headers.get("X-Forwarded-For")),
            ("X-Original-Method", "GET"),
            ("Cookie", "sid=1"),
            ("Authorization", "x"),
        ]:
            self.assertEqual(asked.headers.getRawHeaders(name), [value], name)
        self.assertEqual(harness.upstream.requests[0].headers.get("Authorization"), "x", "the upstream gets it as well")
        harness.get("/")
        self.assertEqual(len(auth.peers), 1, "connections are kept")

    def test_whatWouldMislead(self) -> None:
        """A client's own word about its request, its body and its copies reach nobody."""
        auth = FakeUpstream()
        harness = self.harness(auth)
        harness.post(
            "/secret", b"body",
            {"X-Forwarded-Uri": "/public", "X_Forwarded_Method": "GET", "X-Original-URL": "/public", "X-Original-Uri": "/public",
             "X-Rewrite-Url": "/public", "X-Forwarded-Path": "/public", "X_Original_Host": "b",
             "X-Forwarded-Host": "evil", "X-Forwarded-For": "127.0.0.1", "If-None-Match": "*",
             "Range": "bytes=0-1", "Content-Type": "text/plain", "Connection": "X-A", "X-A": "1"},
        )  # fmt: skip
        (asked,) = auth.requests
        self.assertEqual(asked.headers.getRawHeaders("X-Forwarded-Uri"), ["/secret"])
        self.assertEqual(asked.headers.getRawHeaders("X-Forwarded-Method"), ["POST"])
        self.assertNotIn("127.0.0.1", asked.headers.getRawHeaders("X-Forwarded-For"))
        self.assertNotIn("evil", asked.headers.getRawHeaders("X-Forwarded-Host"))
        self.assertTrue(asked.headers.get("X-Original-URL").endswith("/secret"))
        for name in ("X_Forwarded_Method", "X-Original-Uri", "X-Rewrite-Url", "If-None-Match", "Range", "Content-Type", "X-A",
                     "X-Forwarded-Path", "X_Original_Host"):  # fmt: skip
            self.assertFalse(asked.headers.hasHeader(name), name)
        self.assertEqual(harness.upstream.requests[0].body, b"body")

    def test_whatTrustedProxiesSay(self) -> None:
        auth = FakeUpstream()
        harness = self.harness(auth, settings={"trusted-proxies": "203.0.113.9"})
        told = {"X-Forwarded-Port": "443", "X-Forwarded-Prefix": "/app", "X-Forwarded-Proto": "https", "X-Forwarded-Uri": "/b"}
        harness.get("/", told)
        said = auth.requests[0].headers
        self.assertEqual([said.getRawHeaders(name) for name in told], [["443"], ["/app"], ["https"], ["/"]])

    def test_aServerThatIsTheProxyItself(self) -> None:
        """It would be asked whether it may be asked, and so on, until there are no more connections."""
        auth = FakeUpstream()
        harness = self.harness(auth)
        harness.get("/")
        question = {name.decode(): values[0] for name, values in auth.requests[0].headers.getAllRawHeaders()}
        with capturedLogs() as logged:
            answer = harness.get("/", question)
        self.assertEqual((answer.status, len(auth.requests)), (503, 1))
        self.assertTrue([event for event in logged if "asks itself" in (formatEvent(event) or "")])
        self.assertEqual(harness.get("/", dict.fromkeys(question, "x")).status, 200)

    def test_copiedHeaders(self) -> None:
        """What is copied is the server's word only, in whatever spelling (edge case 2)."""
        auth = FakeUpstream().respond(200, [("Remote-User", "alice"), ("Remote-Groups", "a"), ("Remote-Groups", "b")])
        auth.respond(200, {"Other": "x"})
        harness = self.harness(auth, URL + ":copy=remote-user,Remote-Groups,X-Id-*")
        forged = {"Remote-User": "root", "remote_groups": "admin", "X-Id-Mail": "m", "X_ID_x": "y", "X-Other": "stays"}
        for expected in ((["alice"], ["a", "b"]), (None, None)):
            harness.get("/", forged)
            sent = harness.upstream.requests[-1].headers
            self.assertEqual((sent.getRawHeaders("Remote-User"), sent.getRawHeaders("Remote-Groups")), expected)
            for headers in (sent, auth.requests[-1].headers):
                names = {each.lower() for each, _ in headers.getAllRawHeaders()}
                self.assertFalse(names & {b"remote_groups", b"x-id-mail", b"x_id_x"})
                self.assertEqual(headers.get("X-Other"), "stays")
            self.assertFalse(auth.requests[-1].headers.hasHeader("Remote-User"))
            self.assertFalse(sent.hasHeader("Other"))

    def test_credentialsThatAreExchanged(self) -> None:
        """The server has to see by what it judges, and the upstream gets what the server says instead (oauth2-proxy)."""
        auth = FakeUpstream().respond(200, {"Authorization": "Bearer new"}).respond(200)
        harness = self.harness(auth, URL + ":copy=Authorization,Remote-User")
        for expected in (["Bearer new"], None):
            harness.get("/", {"Authorization": "Bearer old", "Remote-User": "root"})
            self.assertEqual(auth.requests[-1].headers.getRawHeaders("Authorization"), ["Bearer old"])
            self.assertFalse(auth.requests[-1].headers.hasHeader("Remote-User"))
            self.assertEqual(harness.upstream.requests[-1].headers.getRawHeaders("Authorization"), expected)

    def test_twoAuthorizations(self) -> None:
        """The server might judge by one, and the upstream believe the other."""
        harness = self.harness(auth := FakeUpstream())
        answer = harness.get("/", {"Authorization": ["Basic YTpi", "Basic Yzpk"]})
        self.assertEqual((answer.status, len(auth.requests), len(harness.upstream.requests)), (400, 0, 0))

    def test_whoMayNot(self) -> None:
        auth = FakeUpstream()
        auth.respond(302, [("Location", "https://login/?x"), ("Set-Cookie", "a=1"), ("Set-Cookie", "b=2"), ("Keep-Alive", "9")])
        auth.respond(401, {"WWW-Authenticate": "Basic"}, b"who are you?").respond(500, {}, b"oh").respond(204)
        harness = self.harness(auth)
        answer = harness.get("/")
        self.assertEqual((answer.status, answer.headers.get("Location")), (302, "https://login/?x"))
        self.assertEqual(answer.headers.getRawHeaders("Set-Cookie"), ["a=1", "b=2"])
        self.assertFalse(answer.headers.hasHeader("Keep-Alive"))
        answer = harness.get("/")
        self.assertEqual((answer.status, answer.headers.get("WWW-Authenticate"), answer.body), (401, "Basic", b"who are you?"))
        self.assertEqual(harness.request("HEAD", "/").status, 500)
        self.assertEqual(harness.upstream.requests, [])
        self.assertEqual(harness.get("/").status, 200)

    def test_whileThereIsNoAnswer(self) -> None:
        servers = [
            None,
            FakeUpstream().raw(b"nonsense\r\n\r\n", close=True),
            FakeUpstream().closeMidChunk(),
            FakeUpstream().respond(304),
            FakeUpstream().respond(200, {}, b"x" * (1 << 20) + b"y"),
            FakeUpstream().respond(403, {}, b"x" * (1 << 20) + b"y"),
        ]
        for i, auth in enumerate(servers):
            harness = self.harness(auth)
            answer = harness.get("/")
            harness.advance(0.5)  # an endpoint's, before it gives up
            self.assertEqual(answer.status, 503, i)
            self.assertEqual(harness.upstream.requests, [])

    def test_itMustAnswerInTime(self) -> None:
        auth = FakeUpstream().stall().play(lambda request: iter([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", 100.0]))
        harness = self.harness(auth, URL + ":timeout=3s")
        for _ in range(2):
            answer = harness.get("/")
            harness.advance(2.9)
            self.assertFalse(answer.isComplete)
            harness.advance(0.2)
            self.assertEqual(answer.status, 503)

    def test_answersThatDoNotEnd(self) -> None:
        """Nobody goes on reading what nobody waits for."""
        auth = FakeUpstream().play(lambda request: iter([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\na", 100.0]))
        harness = self.harness(auth, URL + ":timeout=3s")
        harness.get("/")
        harness.advance(3.1)
        harness.get("/")
        harness.clients[-1].abort()
        harness.pump()
        self.assertEqual([each.isOpen for each in auth.peers], [False, False])

    def test_aClientThatLeaves(self) -> None:
        """It is no failure of the server, at whatever moment it leaves."""
        for auth in (FakeUpstream().stall(), FakeUpstream().raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na"), None):
            with capturedLogs() as logged:
                harness = self.harness(auth)
                harness.get("/")
                harness.clients[0].abort()
                harness.pump()
            if auth is not None:
                self.assertFalse(auth.peers[0].isOpen)
            self.assertEqual((harness.upstream.requests, harness.plugin("middleware").failures), ([], 0))
            self.assertEqual([event for event in logged if "forward-auth" in (formatEvent(event) or "")], [])

    def test_whatTheLogSays(self) -> None:
        for auth, words in (
            (FakeUpstream().stall(), "no answer within 5 s"), (FakeUpstream().raw(b"", close=True), "cleanly"),
            (FakeUpstream().respond(304), "304"),
        ):  # fmt: skip
            with capturedLogs() as logged:
                harness = self.harness(auth)
                harness.get("/")
                harness.advance(6)
            said = [text for event in logged if "forward-auth" in (text := formatEvent(event) or "")]
            self.assertEqual(len(said), 1, said)
            self.assertIn(words, said[0])
            self.assertNotIn("Failure", said[0])

    def test_noWordOfEachConnection(self) -> None:
        with capturedLogs() as logged:
            self.harness(FakeUpstream()).get("/")
        self.assertEqual([event for event in logged if "factory" in event], [])

    def test_whatTheClientGets(self) -> None:
        auth = FakeUpstream(200, [("Set-Cookie", "session=2"), ("X-Own", "1")])
        harness = self.harness(auth, URL + ":to-client=Set-Cookie", upstream=FakeUpstream(headers={"Set-Cookie": "own=1"}))
        answer = harness.get("/")
        self.assertEqual(answer.headers.getRawHeaders("Set-Cookie"), ["own=1", "session=2"])
        self.assertFalse(answer.headers.hasHeader("X-Own"))

    def test_whatTheClientGetsWithAnErrorPage(self) -> None:
        """A session that was renewed is lost with its cookie."""
        auth = FakeUpstream(200, [("Set-Cookie", "session=2"), ("Set-Cookie", "more=3")])
        harness = self.harness(auth, URL + ":to-client=Set-Cookie", upstream=FakeUpstream().resetAfter(0))
        answer = harness.get("/")
        self.assertEqual((answer.status, answer.headers.getRawHeaders("Set-Cookie")), (502, ["session=2", "more=3"]))

    def test_whatIsSent(self) -> None:
        auth = FakeUpstream()
        harness = self.harness(auth, URL + ":send=Cookie")
        harness.get("/", {"Cookie": "a=1", "Authorization": "x"})
        headers = auth.requests[0].headers
        self.assertEqual((headers.get("Cookie"), headers.get("Authorization")), ("a=1", None))
        self.assertEqual(headers.get("X-Forwarded-Uri"), "/")

    def test_user(self) -> None:
        watching = Watching()
        harness = self.harness(FakeUpstream(200, {"Remote-User": "alice"}), [URL + ":user=Remote-User", watching])  # type: ignore[arg-type]
        harness.get("/")
        self.assertEqual((watching.requests[0].user, watching.requests[0].state[USER]), ("alice", "alice"))

    def test_mistakes(self) -> None:
        words = "forward-auth: url: the server is at http://... or https://...; within a plugin string a colon is written \\:"
        self.refuses("forward-auth:url=localhost", words)
        self.refuses("forward-auth", "forward-auth: needs the option 'url'")
        self.refuses(URL + ":copy=a b", "forward-auth: copy: 'a b' is not the name of a header")
        self.refuses(URL + ":copy=Host", "forward-auth: copy: the director host sets Host")
        for star, own in (("X-Forwarded-*", "X-Forwarded-For"), ("Co*", "Connection"), ("H*", "Host")):
            words = f"copy: {star} would take {own} too, which is the proxy's: name those that are meant"
            self.refuses(URL + f":copy={star}", f"forward-auth: {words}")
        self.build(URL + ":copy=X-Forwarded-User,X-Auth-*,Remote-*,X-Authentik-*", reactor=MemoryNetwork())
        self.refuses(URL + ":ca=/nowhere", "forward-auth: ca: the file /nowhere cannot be read: No such file or directory")
        self.refuses(URL + ":ca=/dev/null", "forward-auth: ca: the file /dev/null has no certificate, or one that is damaged")
        self.refuses(URL + ":timeout=0s", "forward-auth: timeout is more than 0")
