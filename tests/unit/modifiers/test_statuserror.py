"""status-error, alone and before error handlers."""

from __future__ import annotations

from typing import Any

from tests.unit.builtin import ModifierTestCase, answered, asked, built
from tests.unit.support import SWITCHED, WEBSOCKET, Message, ProxyTestCase, answer, get
from twistproxy.balancers.weighted import WeightedRoundRobin
from twistproxy.errors import STATUS_REFUSED, Fault, ProxyError
from twistproxy.interfaces import IErrorHandler, IResponseModifier
from twistproxy.messages import Upstream


class StatusErrorTests(ModifierTestCase):
    def refused(self, written: Any, code: int) -> ProxyError | None:
        modifier = self.build(written)
        try:
            self.assertIs(modifier.modify(asked(), answered(code)), None)
        except ProxyError as error:
            return error
        return None

    def test_onlyThoseAllowed(self) -> None:
        for written, codes in [
            ("status-error", {400, 404, 500, 503}),
            ("status-error:200", {204, 302, 304, 400, 404, 500, 503}),
            ("status-error:200,4xx", {204, 302, 304, 500, 503}),
            ({"use": "status-error", "allow": 200}, {204, 302, 304, 400, 404, 500, 503}),
            ("status-error:allow=!5xx", {500, 503}),
        ]:
            tried = (101, 200, 204, 302, 304, 400, 404, 500, 503)
            self.assertEqual({code for code in tried if self.refused(written, code)}, codes)

    def test_theErrorTellsTheStatus(self) -> None:
        error = self.refused("status-error:200", 404)
        assert error is not None
        self.assertIs(error.kind, STATUS_REFUSED)
        self.assertEqual(str(error), "status_refused: http://10.0.0.1:9000 answered 404")

    def test_itMayKeepTheStatus(self) -> None:
        error = self.refused("status-error:keep-status=yes", 404)
        assert error is not None
        self.assertEqual((error.kind.status, error.kind.reason, error.kind.fault), (404, "status_refused", Fault.UPSTREAM))

    def test_mistakes(self) -> None:
        self.refuses("status-error:ok", "status-error: allow: 'ok' is no status (want 404, 5xx, 400-499 or !200)")


class FailureTests(ProxyTestCase):
    def gets(self, script: Any, *handlers: Any, written: Any = "status-error:200", **options: Any) -> Message:
        self.proxy(
            script, modifiers=[built(IResponseModifier, written)],
            errorHandlers=[built(IErrorHandler, each) for each in handlers], **options,
        )  # fmt: skip
        return self.answerTo(get())

    def test_theErrorHandlersAnswer(self) -> None:
        message = self.gets(answer(b"app's words", status=b"404 Not Found"), "text:sorry\\: :status=500")
        self.assertEqual((message.code, message.body), (500, b"sorry: The server could not answer this request.\n"))
        self.assertEqual(self.accessLog.lines, [(500, "status_refused")])
        self.assertEqual(self.outcomes(), [("status_refused", 404)])
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_withoutThemTheBuiltInPage(self) -> None:
        message = self.gets(answer(b"app's words", status=b"404 Not Found"))
        self.assertEqual(message.code, 502)
        self.assertIn(b"The server could not answer this request.", message.body)

    def test_allowedOnesPass(self) -> None:
        self.assertEqual(self.gets(answer(b"fine")).body, b"fine")
        self.assertEqual(self.outcomes(), [("", 200)])

    def test_theUpstreamLosesWeight(self) -> None:
        """The tutorial's "todo": a failure lowers the weight of the node."""
        balancer = WeightedRoundRobin()
        bad = answer(b"", status=b"500 No")
        self.proxy(
            bad, answer(b"fine"), balancer=balancer, modifiers=[built(IResponseModifier, "status-error")],
            urls=[Upstream("http://10.0.0.1", 4), Upstream("http://10.0.0.2", 4)],
        )  # fmt: skip
        codes = [self.answerTo(get()).code for _ in range(20)]
        self.assertLess(codes.count(502), 10)

    def test_upgradesPass(self) -> None:
        self.proxy(SWITCHED, modifiers=[built(IResponseModifier, "status-error:200")])
        client = self.ask(get(b"/", *WEBSOCKET))
        self.assertTrue(client.received.startswith(b"HTTP/1.1 101 "))
