"""L{twistproxy.middleware.cors}: whose scripts may read what is here."""

from __future__ import annotations

from twisted.internet.defer import fail

from tests.unit.builtin import MiddlewareTestCase, answered, asked
from twistproxy.errors import CONNECT_REFUSED, ProxyError
from twistproxy.messages import InboundRequest, Response

APP = b"https://app.example.com"


class TestCORS(MiddlewareTestCase):
    def preflight(self, origin: bytes = APP, method: bytes = b"PUT", wanted: bytes = b"") -> InboundRequest:
        headers = [(b"Origin", origin), (b"Access-Control-Request-Method", method)]
        return asked(b"/", *headers, *([(b"Access-Control-Request-Headers", wanted)] if wanted else []), method=b"OPTIONS")

    def said(self, response: Response) -> dict[str, str]:
        """What it says of CORS, without what all names begin with."""
        found = {}
        for name, values in response.headers.getAllRawHeaders():
            if name.lower().startswith(b"access-control-") or name.lower() == b"vary":
                found[name.decode().removeprefix("Access-Control-")] = b", ".join(values).decode()
        return found

    def test_whoMayRead(self) -> None:
        written = "cors:https\\://app.example.com"
        response = self.around(written, asked(b"/", (b"Origin", APP)))
        self.assertEqual(self.said(response), {"Allow-Origin": APP.decode(), "Vary": "Origin"})

    def test_whoMayNot(self) -> None:
        """And the same answer may be stored for those who may: it says that it varies."""
        written = "cors:https\\://app.example.com:credentials=yes"
        for origin in (b"https://evil.example", b"http://app.example.com", b"https://app.example.com.evil.example", b"null",
                       b"https://app.example.com:8443", b"https://xapp.example.com"):  # fmt: skip
            response = self.around(written, asked(b"/", (b"Origin", origin)))
            self.assertEqual(self.said(response), {"Vary": "Origin"}, origin)
        twice = asked(b"/", (b"Origin", APP), (b"Origin", APP))
        for request in (asked(), twice):
            self.assertEqual(self.said(self.around(written, request)), {"Vary": "Origin"})

    def test_portsThatBrowsersLeaveOut(self) -> None:
        cors = self.build("cors:https\\://App.example\\:443,http\\://*.test\\:80,http\\://c.example\\:443")
        for origin in ("https://app.example", "http://a.test", "http://c.example:443"):
            self.assertTrue(cors.isAllowed(origin), origin)

    def test_everybody(self) -> None:
        response = self.around("cors:*", asked(b"/", (b"Origin", b"https://who.example")))
        self.assertEqual(self.said(response), {"Allow-Origin": "*"})

    def test_allBelow(self) -> None:
        cors = self.build("cors:https\\://*.example.com,http\\://*.test\\:8080")
        for origin in ("https://a.example.com", "https://a.b.example.com", "http://x.test:8080", "https://A.example.com"):
            self.assertTrue(cors.isAllowed(origin), origin)
        for origin in ("https://example.com", "https://.example.com", "https://badexample.com", "http://a.example.com",
                       "https://a.example.com:444", "https://*.example.com", "https://evil/.example.com", "http://x.test",
                       "https://evil.example\0.example.com", "https://evil:1@a.example.com"):  # fmt: skip
            self.assertFalse(cors.isAllowed(origin), origin)

    def test_beforehand(self) -> None:
        written = "cors:https\\://app.example.com:methods=GET,PUT:headers=X-A,X-B:credentials=yes:max-age=1h"
        response = self.around(written, self.preflight(wanted=b"x-a, x-evil"))
        self.assertEqual((response.code, self.proceeded), (204, 0))
        self.assertEqual(
            self.said(response),
            {"Allow-Origin": APP.decode(), "Allow-Credentials": "true", "Allow-Methods": "GET, PUT", "Allow-Headers": "X-A, X-B",
             "Max-Age": "3600", "Vary": "Origin, Access-Control-Request-Method, Access-Control-Request-Headers"},
        )  # fmt: skip

    def test_whicheverHeadersTheyAskFor(self) -> None:
        response = self.around("cors:*", self.preflight(wanted=b"x-a, authorization, no token"))
        self.assertEqual(self.said(response)["Allow-Headers"], "x-a, authorization")

    def test_beforehandToOthers(self) -> None:
        response = self.around("cors:https\\://app.example.com", self.preflight(b"https://evil.example"))
        self.assertEqual((response.code, self.proceeded, list(self.said(response))), (204, 0, ["Vary"]))

    def test_otherOptionsPass(self) -> None:
        self.assertIs(self.around("cors:*", asked(b"/", (b"Origin", APP), method=b"OPTIONS")), self.answer)

    def test_whatAnUpstreamSaysIsReplaced(self) -> None:
        for origin, want in ((APP, {"Allow-Origin": APP.decode(), "Expose-Headers": "X-Count"}), (b"https://evil.example", {})):
            self.answer = answered(
                200, (b"Access-Control-Allow-Origin", b"*"), (b"Access-Control-Allow-Credentials", b"true"),
                (b"Vary", b"Accept, origin"),
            )  # fmt: skip
            response = self.around("cors:https\\://app.example.com:expose=X-Count", asked(b"/", (b"Origin", origin)))
            self.assertEqual(self.said(response), {**want, "Vary": "Accept, origin"})

    def test_failuresMayBeReadToo(self) -> None:
        error = ProxyError(CONNECT_REFUSED, "", [("Retry-After", "1")])
        self.proceed = lambda: fail(error)  # type: ignore[method-assign,assignment,return-value]
        self.around("cors:https\\://app.example.com", asked(b"/", (b"Origin", APP)))
        self.assertEqual(
            self.error.headers, [("Retry-After", "1"), ("Access-Control-Allow-Origin", APP.decode()), ("Vary", "Origin")]
        )

    def test_mistakes(self) -> None:
        self.refuses("cors:*:credentials=yes", "cors: credentials are for origins that are named, not for *")
        for text in ("app.example.com", "https\\://app.example.com/", "https\\://a*.example.com", "https\\://"):
            shown = text.replace("\\", "")
            self.refuses(f"cors:{text}", f"cors: origins: {shown!r} is no origin such as https://app.example.com")
        self.refuses("cors:null:credentials=yes", "cors: credentials are for origins that are named, and null may be anybody's")
        self.refuses("cors:*:methods=G T", "cors: methods: 'G T' is no name")
