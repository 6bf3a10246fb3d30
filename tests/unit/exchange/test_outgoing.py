"""L{twistproxy.exchange.outgoing}: target, Host and framing of what goes to one upstream. Pure."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.bodies.body import EMPTY
from twistproxy.exchange.outgoing import framingLines, outgoingTarget, requestHead
from twistproxy.messages import Address, Headers, OutboundRequest
from twistproxy.text.location import parseLocation
from twistproxy.wire.guard import CHUNKED


def outbound(target: bytes = b"/a", method: bytes = b"GET", headers: Any = (("Host", "a"),)) -> OutboundRequest:
    return OutboundRequest(method, target, Headers(headers).items, EMPTY, Address(), "http")


class TestTargets(SynchronousTestCase):
    def test_joined(self) -> None:
        for url, target, want in (
            ("http://u", b"/a?b", b"/a?b"),
            ("http://u/", b"/a?", b"/a?"),
            ("http://u/base", b"/a?b", b"/base/a?b"),
            ("http://u/base/?x=1", b"/a", b"/base/a?x=1"),
            ("http://u/base?x=1", b"/a?b", b"/base/a?x=1&b"),
            ("http://u/base", b"*", b"*"),
            ("unix:/run/app.sock:/base", b"/a", b"/base/a"),
        ):
            self.assertEqual(outgoingTarget(outbound(target), parseLocation(url)), want, url)

    def test_itIsNotWrittenBack(self) -> None:
        request = outbound(b"/a?b")
        outgoingTarget(request, parseLocation("http://u/base?x=1"))
        self.assertEqual(request.target, b"/a?b")


class TestHeads(SynchronousTestCase):
    def head(self, request: OutboundRequest, url: str = "http://u", **options: Any) -> list[bytes]:
        length, hosts = options.pop("length", 0), options.pop("inboundHosts", ())
        touched = options.pop("touched", False)
        framing = framingLines(length, **{"keepTrailers": False, "announced": b"", "upgrade": b"", **options})
        block = requestHead(request, parseLocation(url), length, touched, framing, hosts)
        self.assertTrue(block.endswith(b"\r\n\r\n"))
        return block[:-4].split(b"\r\n")

    def test_host(self) -> None:
        """The client's for http, the upstream's own for https, a director's for both."""
        own = outbound()
        own.host = "director"
        same = outbound()
        same.host = "a"
        for request, url, want in (
            (outbound(), "http://u:81", b"Host: a"),
            (outbound(), "https://u:444", b"Host: u:444"),
            (outbound(), "https://u:443", b"Host: u"),
            (own, "http://u", b"Host: director"),
            (own, "https://u", b"Host: director"),
            (same, "https://u", b"Host: a"),
            (outbound(headers=[("X", "1")]), "http://u:81", b"Host: u:81"),
            (outbound(headers=[("X", "1")]), "unix:/run/x", b"Host: localhost"),
            (outbound(headers=[("X", "1"), ("Host", "a")]), "http://u", b"Host: a"),
            (outbound(headers=[("Host", "")]), "http://u", b"Host: "),
            (outbound(headers=[("Host", "changed")]), "https://u", b"Host: changed"),
        ):
            found = [line for line in self.head(request, url, inboundHosts=[b"a"]) if line.startswith(b"Host:")]
            self.assertEqual(found, [want], (url, request.headers))

    def test_untouched(self) -> None:
        request = outbound(method=b"POST", headers=[("Host", "a"), ("content-length", "5"), ("X", "1")])
        self.assertEqual(self.head(request, length=5), [b"POST /a HTTP/1.1", b"Host: a", b"content-length: 5", b"X: 1"])

    def test_chunked(self) -> None:
        request = outbound(method=b"POST")
        for touched in (False, True):
            self.assertEqual(
                self.head(request, length=CHUNKED, touched=touched, announced=b"X-T"),
                [b"POST /a HTTP/1.1", b"Host: a", b"Transfer-Encoding: chunked", b"Trailer: X-T"],
            )

    def test_touched(self) -> None:
        """What plugins say about framing is not believed."""
        lies = [
            ("Host", "a"),
            ("Content-Length", "99"),
            ("Transfer-Encoding", "gzip"),
            ("Connection", "x"),
            ("TE", "gzip"),
            ("Upgrade", "x"),
        ]
        for method, headers, length, want in (
            (b"POST", lies, 5, [b"Content-Length: 5"]),
            (b"POST", lies, 0, [b"Content-Length: 0"]),
            (b"GET", lies, 0, [b"Content-Length: 0"]),
            (b"GET", lies[:1], 0, []),
            (b"GET", lies[:1], 3, [b"Content-Length: 3"]),
            (b"POST", lies[:1], 0, [b"Content-Length: 0"]),
            (b"PUT", lies[:1], 0, [b"Content-Length: 0"]),
            (b"DELETE", lies[:1], 0, []),
            (b"POST", lies, CHUNKED, [b"Transfer-Encoding: chunked"]),
        ):
            found = self.head(outbound(method=method, headers=headers), length=length, touched=True)
            self.assertEqual(found[2:], want, (method, length))

    def test_additions(self) -> None:
        self.assertEqual(self.head(outbound(), keepTrailers=True)[2:], [b"TE: trailers"])
        self.assertEqual(self.head(outbound(), upgrade=b"foo, bar")[2:], [b"Connection: Upgrade", b"Upgrade: foo, bar"])

    def test_theHeadersStay(self) -> None:
        """Every attempt starts from the same."""
        request = outbound(method=b"POST", headers=[("Content-Length", "99")])
        before = list(request.headers.items)
        self.head(request, "https://u", length=3, touched=True)
        self.assertEqual(request.headers.items, before)
