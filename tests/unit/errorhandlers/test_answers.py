"""json, fallback and text, and their place in the chain."""

from __future__ import annotations

import json
from typing import Any

from tests.unit.builtin import ErrorHandlerTestCase, asked, built, failed, items
from tests.unit.loader.temporary import temporaryDirectory
from tests.unit.support import Message, ProxyTestCase, get
from twistproxy.errors import CONNECT_REFUSED, METHOD_NOT_ALLOWED, NO_ROUTE, NO_UPSTREAM, UPSTREAM_TIMEOUT
from twistproxy.interfaces import IErrorHandler


class JSONTests(ErrorHandlerTestCase):
    def test_whateverTheClientAccepts(self) -> None:
        request = asked(b"/", (b"Accept", b"text/html"))
        response = self.handle("json", failed(NO_ROUTE, "secret"), request)
        self.assertEqual(response.code, 404)
        self.assertEqual(response.headers.get(b"content-type"), b"application/problem+json")
        self.assertEqual(
            json.loads(response.body.contents),
            {
                "type": "about:blank", "title": "Not Found", "status": 404, "reason": "no_route", "requestId": request.id,
                "detail": "Nothing is configured for this address.",
            },
        )  # fmt: skip

    def test_whatAStatusAsksFor(self) -> None:
        self.assertTrue(self.handle("json", failed(METHOD_NOT_ALLOWED)).headers.hasHeader("Allow"))
        self.assertTrue(self.handle("json", failed(NO_UPSTREAM)).headers.hasHeader("Retry-After"))

    def test_contentType(self) -> None:
        response = self.handle("json:application/json", failed(NO_ROUTE))
        self.assertEqual(response.headers.get(b"content-type"), b"application/json")


class FallbackTests(ErrorHandlerTestCase):
    def test_insteadOfAFailure(self) -> None:
        for written in (
            "fallback:[]:status=200:content-type=application/json:on=502,504",
            {"use": "fallback", "body": "[]", "status": 200, "content-type": "application/json", "on": [502, 504]},
        ):
            response = self.handle(written, failed(CONNECT_REFUSED))
            self.assertEqual((response.code, response.body.contents), (200, b"[]"))
            self.assertEqual(
                items(response.headers), [(b"Content-Type", b"application/json"), (b"Cache-Control", b"no-store")]
            )
            self.assertIs(self.handle(written, failed(NO_UPSTREAM)), None)

    def test_forTheProxysFailuresByDefault(self) -> None:
        self.assertEqual(self.handle("fallback:later", failed(UPSTREAM_TIMEOUT)).code, 504)
        self.assertIs(self.handle("fallback:later", failed(NO_ROUTE)), None)
        self.assertEqual(self.handle("fallback:x:on=4xx", failed(NO_ROUTE)).code, 404)

    def test_headers(self) -> None:
        response = self.handle("fallback:later:headers=cache-control=max-age=5,Retry-After=9", failed(NO_UPSTREAM))
        self.assertEqual(
            items(response.headers),
            [(b"Content-Type", b"text/plain; charset=utf-8"), (b"cache-control", b"max-age=5"), (b"Retry-After", b"9")],
        )

    def test_aFile(self) -> None:
        directory = temporaryDirectory(self)
        (directory / "offline.html").write_text("<p>offline")
        response = self.handle("fallback:file=offline.html", failed(CONNECT_REFUSED), directory=str(directory))
        self.assertEqual(response.body.contents, b"<p>offline")
        self.assertEqual(response.headers.get(b"content-type"), b"text/html; charset=utf-8")

    def test_mistakes(self) -> None:
        self.refuses("fallback:x:status=99", "fallback: status: 99 is none of 200 to 599")
        self.refuses("fallback:x:on=bad", "fallback: on: 'bad' is no status (want 404, 5xx, 400-499 or !200)")
        self.refuses("fallback:x:file=/nowhere/x", "fallback: takes body or file, not both")


class TextTests(ErrorHandlerTestCase):
    def test_sentence(self) -> None:
        response = self.handle("text", failed(NO_ROUTE, "secret"))
        self.assertEqual((response.code, response.body.contents), (404, b"Nothing is configured for this address.\n"))
        self.assertEqual(response.headers.get(b"content-type"), b"text/plain; charset=utf-8")

    def test_asInTheTutorial(self) -> None:
        response = self.handle(r"text:ErrorHandler error\::status=500:detail=yes", failed(CONNECT_REFUSED, "10.0.0.1:9000"))
        self.assertEqual((response.code, response.body.contents), (500, b"ErrorHandler error:connect_refused: 10.0.0.1:9000\n"))

    def test_mistakes(self) -> None:
        self.refuses("text:x:status=700", "text: status: 700 is none of 200 to 599")


class ChainTests(ProxyTestCase):
    def gets(self, *written: Any) -> Message:
        """What a client gets when no upstream listens."""
        self.proxy(urls=["http://10.0.0.9"], errorHandlers=[built(IErrorHandler, each) for each in written])
        return self.answerTo(get())

    def test_theFirstThatAnswers(self) -> None:
        message = self.gets("fallback:never:on=404", "fallback:this:on=502", "json")
        self.assertEqual((message.code, message.body), (502, b"this"))

    def test_afterTheLastTheBuiltInPage(self) -> None:
        message = self.gets("fallback:never:on=404")
        self.assertIn(b"The server could not be reached.", message.body)

    def test_anAnswerToHead(self) -> None:
        self.proxy(urls=["http://10.0.0.9"], errorHandlers=[built(IErrorHandler, "text")])
        message = self.answerTo(get(method=b"HEAD"))
        self.assertEqual((message.code, message.body, message.get(b"content-length")), (502, b"", b"33"))
