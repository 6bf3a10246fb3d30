"""pages, and the choice among content types."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import ErrorHandlerTestCase, asked, failed, items
from tests.unit.loader.temporary import temporaryDirectory
from twistproxy.errorhandlers.accept import preferred
from twistproxy.errors import (
    BAD_REQUEST,
    CONNECT_REFUSED,
    METHOD_NOT_ALLOWED,
    NO_ROUTE,
    NO_UPSTREAM,
    UPSTREAM_TIMEOUT,
    ErrorKind,
)


class PreferredTests(SynchronousTestCase):
    def test_choices(self) -> None:
        html, js, txt = available = ["text/html", "application/json", "text/plain"]
        for accept, chosen in [
            ("", html),
            ("*/*", html),
            ("application/json", js),
            ("Application/JSON; charset=utf-8", js),
            ("application/*", js),
            ("text/*, application/json;q=0.9", html),
            ("text/html;q=0.2, application/json;q=0.3, */*;q=0.1", js),
            ("text/html;q=0, */*", js),
            ("text/*;q=0.5, text/plain", txt),
            ("image/png", html),
            ("application/json;q=nonsense, text/plain;q=0.1", txt),
            (",, ;q=1", html),
        ]:
            self.assertEqual(preferred(accept, available), chosen, accept)


class PagesTests(ErrorHandlerTestCase):
    def setUp(self) -> None:
        self.directory = temporaryDirectory(self)

    def write(self, **pages: str) -> None:
        for name, text in pages.items():
            (self.directory / name.lstrip("_").replace("_", ".")).write_text(text)

    def page(self, kind: ErrorKind, accept: str = "", written: Any = "pages:.") -> Any:
        request = asked(b"/", *([(b"Accept", accept.encode())] if accept else []))
        return self.handle(written, failed(kind), request, directory=str(self.directory))

    def body(self, kind: ErrorKind, accept: str = "") -> str | None:
        response = self.page(kind, accept)
        return None if response is None else response.body.contents.decode()

    def test_theNearestOne(self) -> None:
        self.write(_404_html="not found", _5xx_html="ours", _504_html="slow", error_html="any")
        for kind, text in [(NO_ROUTE, "not found"), (CONNECT_REFUSED, "ours"), (UPSTREAM_TIMEOUT, "slow"), (BAD_REQUEST, "any")]:
            self.assertEqual(self.body(kind), text)

    def test_statusAndHeaders(self) -> None:
        self.write(error_html="any")
        response = self.page(NO_UPSTREAM)
        self.assertEqual(response.code, 503)
        self.assertEqual(
            items(response.headers),
            [(b"Content-Type", b"text/html; charset=utf-8"), (b"Cache-Control", b"no-store"), (b"Retry-After", b"1")],
        )
        self.assertTrue(self.page(METHOD_NOT_ALLOWED).headers.hasHeader("Allow"))

    def test_whereThereIsNoneTheNextHandlerIsAsked(self) -> None:
        self.write(_5xx_html="ours")
        self.assertIs(self.body(NO_ROUTE), None)

    def test_theClientsAcceptChooses(self) -> None:
        self.write(_404_html="html", error_json="{}", error_txt="text")
        for accept, text, kind in [
            ("text/html", "html", b"text/html; charset=utf-8"),
            ("application/json", "{}", b"application/json"),
            ("text/plain, */*;q=0.1", "text", b"text/plain; charset=utf-8"),
            ("image/png", "html", b"text/html; charset=utf-8"),
            ("", "html", b"text/html; charset=utf-8"),
        ]:
            response = self.page(NO_ROUTE, accept)
            self.assertEqual((response.body.contents.decode(), response.headers.get(b"content-type")), (text, kind))
        self.assertEqual(self.body(BAD_REQUEST), "{}")

    def test_places(self) -> None:
        self.write(error_html="{{status}} {{phrase}}: {{sentence}} {{request}} {{other}} {status}")
        request = asked()
        response = self.handle("pages:.", failed(NO_ROUTE), request, directory=str(self.directory))
        self.assertEqual(
            response.body.contents.decode(),
            f"404 Not Found: Nothing is configured for this address. {request.id} {{{{other}}}} {{status}}",
        )

    def test_readAtTheStart(self) -> None:
        self.write(error_html="before")
        handler = self.build("pages:.", directory=str(self.directory))
        self.write(error_html="after")
        os.remove(self.directory / "error.html")
        self.assertEqual(handler.handle(asked(), failed(NO_ROUTE)).body.contents, b"before")

    def test_otherFilesAreNotRead(self) -> None:
        self.write(error_html="any")
        for name in (".404.html", "404.html.bak", "4044.html", "404.php", "x404.html"):
            (self.directory / name).write_text("x" * (1 << 19))
        os.mkdir(self.directory / "sub")
        self.assertEqual(self.body(NO_ROUTE), "any")

    def test_mistakes(self) -> None:
        here = str(self.directory)
        self.refuses("pages", "pages: needs the option 'directory'")
        self.refuses("pages:nowhere", f"pages: directory: {Path(here, 'nowhere')} is no directory", directory=here)
        self.refuses("pages:.", f"pages: directory: {here} has no page such as 404.html, 5xx.html, error.html", directory=here)
        self.write(_404_html="x" * 100)
        self.refuses("pages:.:limit=99", f"pages: {Path(here, '404.html')} is longer than 99", directory=here)
        os.remove(self.directory / "404.html")
        os.mkdir(self.directory / "404.html")
        self.refuses("pages:.", f"pages: {Path(here, '404.html')} is no regular file", directory=here)
