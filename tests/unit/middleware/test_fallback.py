"""L{twistproxy.errorhandlers.fallback} as middleware. As an error handler: C{tests/unit/errorhandlers/test_answers.py}."""

from __future__ import annotations

from twisted.internet.defer import fail
from twisted.logger import capturedLogs

from tests.unit.builtin import MiddlewareTestCase, answered, built, items
from tests.unit.support import ProxyTestCase, get
from twistproxy.errors import CIRCUIT_OPEN, CLIENT_CLOSED, CONNECT_REFUSED, NO_ROUTE, ErrorKind, ProxyError
from twistproxy.interfaces import IMiddleware


class TestFallback(MiddlewareTestCase):
    def fails(self, kind: ErrorKind, *headers: tuple[str, str]) -> None:
        self.proceed = lambda: fail(ProxyError(kind, "secret", headers))  # type: ignore[method-assign,assignment,return-value]

    def test_insteadOfAFailure(self) -> None:
        self.fails(CONNECT_REFUSED)
        with capturedLogs() as logged:
            response = self.around("fallback:[]:status=200:content-type=application/json:on=502,504")
        self.assertEqual((response.code, response.body.contents), (200, b"[]"))
        self.assertEqual(items(response.headers), [(b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store")])
        self.assertEqual([(each["reason"], each["detail"]) for each in logged], [("connect_refused", ": secret")])

    def test_insteadOfAnAnswer(self) -> None:
        self.answer = answered(503, (b"X-Secret", b"yes"), body=b"stack trace")
        response = self.around("fallback:later")
        self.assertEqual((response.code, response.body.contents, response.upstream), (503, b"later", None))
        self.assertFalse(response.headers.hasHeader("X-Secret"))

    def test_othersPass(self) -> None:
        for code in (200, 404, 501):
            self.answer = answered(code)
            self.assertIs(self.around("fallback:later:on=502-504"), self.answer)
        self.fails(NO_ROUTE)
        self.assertIs(self.around("fallback:later"), NO_ROUTE)

    def test_whoLeftGetsNothing(self) -> None:
        self.fails(CLIENT_CLOSED)
        self.assertIs(self.around("fallback:later:on=4xx"), CLIENT_CLOSED)

    def test_otherExceptionsPass(self) -> None:
        self.proceed = lambda: fail(ValueError("ours"))  # type: ignore[method-assign,assignment,return-value]
        self.assertRaises(ValueError, self.around, "fallback:later")

    def test_whatTheFailureAsksForStaysWithItsStatus(self) -> None:
        self.fails(CIRCUIT_OPEN, ("Retry-After", "9"))
        self.assertEqual(self.around("fallback:later").headers.get("Retry-After"), "9")
        self.assertFalse(self.around("fallback:[]:status=200").headers.hasHeader("Retry-After"))


class TestInPlace(ProxyTestCase):
    def test_anAnswerIsReplacedAndTheNextRequestIsRight(self) -> None:
        bad = b"HTTP/1.1 500 Oh no\r\nContent-Length: 5\r\n\r\ntrace"
        self.proxy(bad, middleware=[built(IMiddleware, "fallback:later:on=500:status=203")])
        for _ in range(2):
            message = self.answerTo(get())
            self.assertEqual((message.code, message.body), (203, b"later"))
        self.origin.script = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
        self.assertEqual(self.answerTo(get()).body, b"ok")

    def test_nobodyThere(self) -> None:
        self.proxy(urls=["http://10.0.0.9"], middleware=[built(IMiddleware, "fallback:[]:status=200")])
        message = self.answerTo(get())
        self.assertEqual((message.code, message.body), (200, b"[]"))
        self.flushLoggedErrors()
