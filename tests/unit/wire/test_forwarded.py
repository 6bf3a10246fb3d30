"""L{twistproxy.wire.forwarded}: RFC 7239."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.wire.forwarded import parseForwarded


class TestForwarded(SynchronousTestCase):
    def test_examplesOfTheRFC(self) -> None:
        """Section 4."""
        for value, want in (
            (b'for="_gazonk"', [{"for": "_gazonk"}]),
            (b'For="[2001:db8:cafe::17]:4711"', [{"for": "[2001:db8:cafe::17]:4711"}]),
            (b"for=192.0.2.60;proto=http;by=203.0.113.43", [{"for": "192.0.2.60", "proto": "http", "by": "203.0.113.43"}]),
            (b"for=192.0.2.43, for=198.51.100.17", [{"for": "192.0.2.43"}, {"for": "198.51.100.17"}]),
        ):
            self.assertEqual(parseForwarded([value]), want)

    def test_severalLines(self) -> None:
        self.assertEqual(parseForwarded([b"for=a", b"", b"for=b;host=c"]), [{"for": "a"}, {"for": "b", "host": "c"}])

    def test_lenience(self) -> None:
        """Empty elements and pairs, and spaces around them."""
        self.assertEqual(parseForwarded([b" ,, for=a ; ;host=b , "]), [{"for": "a", "host": "b"}])
        self.assertEqual(parseForwarded([]), [])

    def test_quotes(self) -> None:
        self.assertEqual(parseForwarded([rb'host="a,b;\"c\\"']), [{"host": 'a,b;"c\\'}])

    def test_malformed(self) -> None:
        """One mistake, and nothing of it is believed."""
        for value in (b"for", b"for=", b'for="a', b"for=a b", b"for=a;for=b",
                      b"for=[::1]", b"=a", b'for="\x00"', b"for=a, :", b'for="a\\'):  # fmt: skip
            self.assertEqual(parseForwarded([b"for=1.1.1.1", value]), [], value)
