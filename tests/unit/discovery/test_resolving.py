"""Which name servers are asked."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.discovery.resolving import parseServer, systemServers


class ServerTests(SynchronousTestCase):
    def test_good(self) -> None:
        for text, parsed in (
            ("10.0.0.53", ("10.0.0.53", 53)), ("127.0.0.1:5353", ("127.0.0.1", 5353)), ("::1", ("::1", 53)),
            ("[::1]", ("::1", 53)), ("[::1]:5353", ("::1", 5353)),
        ):  # fmt: skip
            self.assertEqual(parseServer(text), parsed)

    def test_bad(self) -> None:
        for text in ("", "ns.example", "10.0.0.53:", "10.0.0.53:0", "10.0.0.53:65536", "[::1]5353", "10.0.0.53:x", "[10.0.0.53"):
            self.assertRaises(ValueError, parseServer, text)

    def test_theSystems(self) -> None:
        path = Path(self.mktemp())
        path.write_text("# ours\nsearch example\nnameserver 10.0.0.53\nnameserver\t::1 # two\noptions edns0\nnameserver\n")
        self.assertEqual(systemServers(str(path)), [("10.0.0.53", 53), ("::1", 53)])
        path.write_text("")
        self.assertEqual(systemServers(str(path)), [("127.0.0.1", 53)])
        self.assertEqual(systemServers(str(path) + ".none"), [("127.0.0.1", 53)])
