"""host, down to what the upstream gets."""

from __future__ import annotations

from tests.unit.builtin import DirectorTestCase, asked, built
from twistproxy.exchange.outgoing import requestHead
from twistproxy.interfaces import IDirector
from twistproxy.text.location import parseLocation


class HostTests(DirectorTestCase):
    def host(self, written: str, upstream: str, host: bytes = b"www.example:8080") -> bytes:
        """What Host says in the head that is sent."""
        request = asked(host=host)
        self.assertIs(built(IDirector, written).direct(request, request.outbound), None)
        head = requestHead(request.outbound, parseLocation(upstream), 0, True, b"", [host] if host else [])
        (line,) = (each for each in head.split(b"\r\n") if each.lower().startswith(b"host:"))
        return line.partition(b": ")[2]

    def test_keep(self) -> None:
        for upstream in ("http://10.0.0.1:9000", "https://app.internal"):
            self.assertEqual(self.host("host:keep", upstream), b"www.example:8080")
        self.assertEqual(self.host("host:keep", "http://10.0.0.1:9000", host=b""), b"10.0.0.1:9000")

    def test_upstream(self) -> None:
        self.assertEqual(self.host("host:upstream", "http://10.0.0.1:9000"), b"10.0.0.1:9000")
        self.assertEqual(self.host("host:upstream", "https://App.internal:443/x"), b"app.internal")

    def test_literal(self) -> None:
        for written, host in [
            ("host:app.internal", b"app.internal"),
            (r"host:name=app.internal\:8443", b"app.internal:8443"),
            (r"host:[\:\:1]\:80", b"[::1]:80"),
        ]:
            for upstream in ("http://10.0.0.1:9000", "https://app.internal"):
                self.assertEqual(self.host(written, upstream), host)

    def test_theForwardingHeaderKeepsTheClients(self) -> None:
        request = asked()
        self.direct("host:app.internal", request)
        self.assertEqual(request.outbound.headers.get(b"X-Forwarded-Host"), b"www.example")

    def test_mistakes(self) -> None:
        self.refuses("host", "host: needs the option 'name'")
        for written in ("a b", "http//x", ""):
            self.refuses(
                {"use": "host", "name": written},
                f"host: name: {written!r} is not keep, upstream, or a host such as www.example.com",
            )
