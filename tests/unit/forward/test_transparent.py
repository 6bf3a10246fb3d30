"""L{twistproxy.forward.transparent}: where redirected connections go."""

from __future__ import annotations

from typing import Any

from tests.unit.support import OK, Origin, ProxyTestCase, get
from twistproxy.errors import ProxyError
from twistproxy.forward.transparent import TransparentDirector
from twistproxy.messages import Destination


class TestTransparent(ProxyTestCase):
    def start(self, there: Destination | None, **options: Any) -> Origin:
        target = self.serve("198.51.100.7:80", OK)
        self.proxy(OK, directors=[TransparentDirector(**options)])
        known = self.engine.identify
        self.patch(self.engine, "identify", lambda peer, scheme, was=None, transport=None: known(peer, scheme, there, transport))
        return target

    def test_theOriginalDestination(self) -> None:
        target = self.start(Destination("http", "198.51.100.7", 80))
        for data in (get(), b"GET http://evil.example/ HTTP/1.1\r\nHost: evil.example\r\n\r\n"):
            self.assertEqual(self.ask(data).answer().code, 200)
        self.assertEqual(len(target.requests), 2)
        self.assertEqual(self.origin.requests, [])
        self.assertEqual(target.requests[0].get(b"x-forwarded-for"), b"203.0.113.9")
        inbound = self.accessLog.exchanges[0].inbound
        self.assertEqual((inbound.destination, inbound.host), (Destination("http", "198.51.100.7", 80), "app.example"))

    def test_whatWasNotRedirected(self) -> None:
        self.start(None)
        self.assertEqual(self.ask(get()).answer().code, 400)

    def test_theNextDirector(self) -> None:
        self.start(None, isLast=False)
        self.assertEqual(self.ask(get()).answer().code, 200)
        self.assertEqual(len(self.origin.requests), 1)

    def test_circles(self) -> None:
        """A connection of ours that the kernel brings back."""
        self.start(Destination("http", "10.1.0.1", 8080))
        client = self.ask(get())
        self.assertEqual(client.answer().code, 403)
        self.assertEqual(self.accessLog.lines, [(403, "destination_refused"), (403, "")])

    def test_connect(self) -> None:
        self.start(Destination("http", "198.51.100.7", 80))
        self.engine.acceptsConnect = True
        self.assertEqual(self.ask(b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n").answer().code, 400)

    def test_sixes(self) -> None:
        inbound: Any = type("Inbound", (), {"destination": Destination("http", "2001:db8::7", 81), "method": b"GET"})
        inbound.peer = type("Peer", (), {"host": "::1", "port": 1})
        made = TransparentDirector().direct(inbound, inbound)
        assert made is not None
        self.assertEqual((made.url, made.guard is None), ("http://[2001:db8::7]:81", False))
        inbound.destination = None
        self.assertRaises(ProxyError, TransparentDirector().direct, inbound, inbound)
