"""response-headers; what edits do in general is tested with request-headers."""

from __future__ import annotations

from tests.unit.builtin import ModifierTestCase, answered, asked, items


class ResponseHeadersTests(ModifierTestCase):
    def test_edits(self) -> None:
        response = answered(200, (b"Server", b"app/1"), (b"X-Powered-By", b"x"), (b"X-Old", b"1"), (b"Set-Cookie", b"a=1"))
        for written in (
            "response-headers:set=X-Frame-Options=DENY:remove=Server,X-Powered-By:rename=X-Old=X-New:add=Set-Cookie=b=2",
            {"use": "response-headers", "set": {"X-Frame-Options": "DENY"}},
        ):
            self.modify(written, asked(), response)
        self.assertEqual(
            items(response.headers),
            [(b"Set-Cookie", b"a=1"), (b"X-New", b"1"), (b"X-Frame-Options", b"DENY"), (b"Set-Cookie", b"b=2")],
        )

    def test_hostIsAHeaderLikeAnyHere(self) -> None:
        self.assertEqual(items(self.modify("response-headers:set=Host=a", asked(), answered()).headers), [(b"Host", b"a")])

    def test_mistakes(self) -> None:
        self.refuses("response-headers", "response-headers: needs one of the options remove, rename, set, add")
        self.refuses(
            "response-headers:remove=Content-Length",
            "response-headers: remove: Content-Length is the proxy's own: it frames the message or belongs to one connection",
        )
