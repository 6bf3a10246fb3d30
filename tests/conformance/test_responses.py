"""The table of L{tests.conformance.responses}, as the reader takes it."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from tests.conformance.responses import CASES, SETTINGS, Case
from tests.conformance.test_requests import cuts
from twistproxy.errors import RESPONSE_HEAD_TOO_LARGE, UPSTREAM_CLOSED, UPSTREAM_PROTOCOL, ProxyError
from twistproxy.wire.http1 import End, ResponseHead, ResponseReader


def read(reader: ResponseReader, pieces: Iterable[bytes], toHead: bool) -> tuple[ResponseHead | None, bytes, bool]:
    """The final head, the body, and whether it was complete."""
    reader.expectResponse(toHead)
    head, body, pieces = None, b"", list(pieces)
    try:
        for piece in pieces:
            reader.receiveData(piece)
            while (event := reader.nextEvent()) is not None:
                if isinstance(event, ResponseHead):
                    head = event if event.code >= 200 else None
                elif isinstance(event, End):
                    continue  # what still comes stays in the buffer
                else:
                    body += event
        if not reader.isDone:
            reader.connectionClosed()
    except ProxyError as error:
        assert error.kind in (UPSTREAM_CLOSED, UPSTREAM_PROTOCOL, RESPONSE_HEAD_TOO_LARGE), error
        return head, body, False
    return head, body, True


class ResponseTests(SynchronousTestCase):
    """Every case, however its bytes are cut."""

    def check(self, case: Case) -> None:
        for pieces in cuts(case.data):
            reader = ResponseReader(SETTINGS)
            head, body, complete = read(reader, pieces, case.toHead)
            if case.expected is None:
                self.assertEqual((head, complete), (None, False), case.name)
                continue
            assert head is not None
            found = (head.code, head.length, body, complete)
            self.assertEqual(found, (*case.expected, not case.truncated), case.name)
            if complete:
                self.assertEqual((head.keepAlive, reader.takeBuffered()), (case.again, case.rest), case.name)

    def test_namesAreUnique(self) -> None:
        self.assertEqual(len({case.name for case in CASES}), len(CASES))

    def test_acceptedOnesLeaveTheConnectionInStep(self) -> None:
        for case in CASES:
            if case.expected is None or case.truncated or case.rest or not case.again:
                continue
            reader = ResponseReader(SETTINGS)
            read(reader, [case.data], case.toHead)
            self.assertEqual(reader.buffered, 0, case.name)
            head, body, complete = read(reader, [b"HTTP/1.1 299 Next\r\nContent-Length: 4\r\n\r\nnext"], False)
            assert head is not None
            self.assertEqual((head.code, body, complete), (299, b"next", True), case.name)


def _addTests() -> None:
    for case in CASES:
        words = "".join(word if word.isalnum() else f"_{ord(word):x}_" for word in case.name.title() if word != " ")

        def test(self: ResponseTests, case: Case = case) -> None:
            self.check(case)

        setattr(ResponseTests, f"test_{words[0].lower()}{words[1:]}", test)


_addTests()
