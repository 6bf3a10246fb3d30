"""The table of L{tests.conformance.requests}, as the reader takes it."""

from __future__ import annotations

from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from tests.conformance.requests import CASES, SETTINGS, Case
from twistproxy.errors import ProxyError
from twistproxy.wire.http1 import End, RequestHead, RequestReader

NEXT = b"GET /next HTTP/1.1\r\nHost: next\r\n\r\n"


def cuts(data: bytes) -> Iterable[list[bytes]]:
    """In one piece, in two, and byte by byte."""
    yield [data]
    yield [data[: len(data) // 2], data[len(data) // 2 :]]
    yield [data[:-1], data[-1:]]
    yield [bytes([each]) for each in data]


def outcome(pieces: Iterable[bytes]) -> tuple[int | None, list[bytes]]:
    """The status of the refusal, or None, and the targets of the complete requests."""
    reader = RequestReader(SETTINGS)
    targets = []
    try:
        for piece in pieces:
            reader.receiveData(piece)
            while (event := reader.nextEvent()) is not None:
                if isinstance(event, RequestHead):
                    target = event.target
                elif isinstance(event, End):
                    targets.append(target)
                    reader.startNextMessage()
    except ProxyError as error:
        return error.kind.status, targets
    return None, targets


class RequestTests(SynchronousTestCase):
    """Every case, however its bytes are cut."""

    def check(self, case: Case) -> None:
        for pieces in cuts(case.data):
            if case.status is None:
                status, targets = outcome([*pieces, NEXT])
                self.assertEqual((status, len(targets), targets[-1:]), (None, 2, [b"/next"]), case.name)
            else:
                self.assertEqual(outcome(pieces), (case.status, []), case.name)

    def test_namesAreUnique(self) -> None:
        self.assertEqual(len({case.name for case in CASES}), len(CASES))


def _addTests() -> None:
    for case in CASES:
        words = "".join(word if word.isalnum() else f"_{ord(word):x}_" for word in case.name.title() if word != " ")

        def test(self: RequestTests, case: Case = case) -> None:
            self.check(case)

        setattr(RequestTests, f"test_{words[0].lower()}{words[1:]}", test)


_addTests()
