"""L{twistproxy.middleware.requestid}: one name for a request."""

from __future__ import annotations

from twisted.internet.defer import fail

from tests.unit.builtin import MiddlewareTestCase, asked, built
from tests.unit.support import ProxyTestCase, get
from twistproxy.errors import CONNECT_REFUSED, ProxyError
from twistproxy.interfaces import IMiddleware


class TestRequestId(MiddlewareTestCase):
    def test_everybodyIsTold(self) -> None:
        request = asked(b"/", (b"X-Request-ID", b"mine"), (b"x_request_id", b"mine"))
        response = self.around("request-id", request)
        self.assertEqual(response.headers.getRawHeaders("X-Request-ID"), [request.id])
        sent = [(name, value) for _, name, value in request.outbound.headers.items if b"equest" in name]
        self.assertEqual(sent, [(b"X-Request-ID", request.id.encode())])
        self.assertNotEqual(request.id, "mine")

    def test_theNameOfAProxyBeforeUs(self) -> None:
        for given, taken in ((b"abc-1.2:3=", True), (b"a b", False), (b"", False), (b"x" * 128, True), (b"x" * 129, False),
                             (b"<script>", False), (b"a\"b", False)):  # fmt: skip
            request = asked(b"/", (b"X-Correlation-ID", given))
            self.around("request-id:X-Correlation-ID:accept=yes", request)
            self.assertEqual(request.id == given.decode(), taken, given)
            self.assertEqual(request.outbound.headers.get("X-Correlation-ID"), request.id)
        twice = asked(b"/", (b"X-Request-ID", b"one"), (b"X-Request-ID", b"two"))
        self.around("request-id:accept=yes", twice)
        self.assertNotIn(twice.id, ("one", "two"))

    def test_theClientNeedNotKnow(self) -> None:
        request = asked()
        self.assertFalse(self.around("request-id:answer=no", request).headers.hasHeader("X-Request-ID"))
        self.assertEqual(request.outbound.headers.get("X-Request-ID"), request.id)

    def test_failuresHaveIt(self) -> None:
        self.proceed = lambda: fail(ProxyError(CONNECT_REFUSED))  # type: ignore[method-assign,assignment,return-value]
        request = asked()
        self.around("request-id", request)
        self.assertEqual(self.error.headers, [("X-Request-ID", request.id)])

    def test_mistakes(self) -> None:
        self.refuses("request-id:Content-Length", "request-id: header: Content-Length is the proxy's own: it frames the message "
                     "or belongs to one connection")  # fmt: skip


class TestInPlace(ProxyTestCase):
    def test_theErrorPageTellsTheSame(self) -> None:
        self.proxy(urls=["http://10.0.0.9"], middleware=[built(IMiddleware, "request-id:accept=yes")])
        message = self.answerTo(get(b"/", b"X-Request-ID: shop-17"))
        self.assertEqual(message.get(b"x-request-id"), b"shop-17")
        self.assertIn(b"Request shop-17", message.body)
        self.flushLoggedErrors()
