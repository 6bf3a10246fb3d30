"""L{twistproxy.mirroring.copying}: requests made anew."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import asked
from twistproxy.bodies.body import EMPTY
from twistproxy.exchange.outgoing import requestHead
from twistproxy.headeredits import HeaderEdits
from twistproxy.mirroring.copying import bodyOf, copied
from twistproxy.text.location import parseLocation
from twistproxy.wire.guard import CHUNKED, single


class TestCopied(SynchronousTestCase):
    def test_nothingIsShared(self) -> None:
        """What is done to the copy is not done to the original, nor the other way round."""
        original = asked(b"/a?b", (b"X-A", b"1"))
        before = list(original.outbound.items)
        made = copied(original, EMPTY, 0, HeaderEdits(set={"X-A": "2", "X-B": "3"}), False)
        made.outbound.path = b"/other"
        made.inbound.state["x"] = 1
        made.inbound.whenFinished(print)
        self.assertEqual((original.outbound.target, original.outbound.items, original.state), (b"/a?b", before, {}))
        self.assertIs(original.finishers, None)
        original.outbound.headers.setRawHeaders("X-A", ["9"])
        self.assertEqual(made.outbound.headers.get("X-A"), "2")
        self.assertEqual((made.inbound.id, made.inbound.client), (original.id, original.client))

    def test_hosts(self) -> None:
        """An https upstream gets its own, unless a director or the mirror says otherwise."""
        location = parseLocation("https://shadow")
        for directed, edits, expected in [
            ("", None, b"shadow"),
            ("directed", None, b"directed"),
            ("", HeaderEdits(set={"Host": "set"}), b"set"),
            ("directed", HeaderEdits(set={"host": "set"}), b"set"),
            ("client", None, b"client"),
        ]:
            original = asked(host=b"client")
            if directed:
                original.outbound.host = directed
            made = copied(original, EMPTY, 0, edits, edits is not None)
            hosts = single(made.head.items, b"host")
            head = requestHead(made.outbound, location, 0, made.outbound.isTouched, b"", hosts)
            self.assertIn(b"\r\nHost: " + expected + b"\r\n", head.replace(b"\r\nhost:", b"\r\nHost:"))
            self.assertEqual(head.lower().count(b"\r\nhost:"), 1)

    def test_lengths(self) -> None:
        chunked = asked(b"/", (b"Transfer-Encoding", b"chunked"), (b"TE", b"trailers"), method=b"POST")
        made = copied(chunked, bodyOf(b"body", []), 4, None, False)
        self.assertEqual((made.head.length, made.head.mentionsTe, made.size), (CHUNKED, True, 4))
        known = asked(b"/", (b"Content-Length", b"4"), method=b"POST")
        made = copied(known, bodyOf(b"body", []), 4, None, False)
        self.assertEqual((made.head.length, made.head.mentionsTe, made.outbound.isTouched), (4, False, False))
