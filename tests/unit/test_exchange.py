"""Whole exchanges: what goes to the upstream, and what comes back."""

from __future__ import annotations

from tests.unit.support import OK, ProxyTestCase, answer, get


class TestOneRequest(ProxyTestCase):
    def test_theUpstreamGetsTheRequestInOneSegment(self) -> None:
        self.proxy(OK)
        self.ask(get(b"/a?b", b"X-One: 1"))
        self.assertEqual(
            self.origin.received,
            b"GET /a?b HTTP/1.1\r\nHost: app.example\r\nX-One: 1\r\nX-Forwarded-For: 203.0.113.9\r\n"
            b"X-Real-IP: 203.0.113.9\r\nX-Forwarded-Proto: http\r\nX-Forwarded-Host: app.example\r\n\r\n",
        )

    def test_theClientGetsTheAnswer(self) -> None:
        self.proxy(answer(b"hello", b"X-Two: 2"))
        self.assertEqual(self.ask(get()).received, b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-Two: 2\r\n\r\nhello")
        self.assertEqual(self.accessLog.lines, [(200, "")])
        self.assertEqual(self.outcomes(), [("", 200)])
