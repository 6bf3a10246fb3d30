"""L{twistproxy.exchange.destinations}: where a client wants to go. Pure."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.exchange.destinations import destinationOf
from twistproxy.messages import Destination
from twistproxy.settings import Settings
from twistproxy.wire.http1 import parseRequestHead


def goal(line: bytes, redirected: Destination | None = None) -> Destination | None:
    version = b"1.1\r\nHost: " + line.split(b"/")[2] if b"//" in line else b"1.1\r\nHost: x"
    return destinationOf(parseRequestHead(line + b" HTTP/" + version + b"\r\n\r\n", Settings()), redirected)


class TestDestinations(SynchronousTestCase):
    def test_targets(self) -> None:
        for line, want in (
            (b"GET /", None),
            (b"GET http://App.Example/x", Destination("http", "app.example", 80, "App.Example")),
            (b"GET https://app.example/x", Destination("https", "app.example", 443, "app.example")),
            (b"GET http://app.example:81/x", Destination("http", "app.example", 81, "app.example:81")),
            (b"GET http://app.example:/x", Destination("http", "app.example", 80, "app.example:")),
            (b"GET http://[2001:db8::1]/x", Destination("http", "2001:db8::1", 80, "[2001:db8::1]")),
            (b"GET http://[2001:db8::1]:81/x", Destination("http", "2001:db8::1", 81, "[2001:db8::1]:81")),
            (b"CONNECT app.example:22", Destination("", "app.example", 22, "app.example:22")),
            (b"CONNECT [::1]:443", Destination("", "::1", 443, "[::1]:443")),
        ):
            self.assertEqual(goal(line), want, line)

    def test_redirectedConnections(self) -> None:
        """Where the connection went counts, whatever the request says."""
        there = Destination("http", "198.51.100.1", 80)
        for line in (b"GET /", b"GET http://app.example/x"):
            self.assertEqual(goal(line, there), there)
