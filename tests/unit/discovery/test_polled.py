"""Asking again and again."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.discovery.entries import EntryReader
from twistproxy.discovery.polled import Answer, Polled


class PolledTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.asked: list[float] = []
        self.answer: Any = succeed(Answer(["a:1"], 20))
        self.told: list[list[str]] = []
        self.source = Polled(self.clock, "here", EntryReader(), self.find, (5.0, 60.0), 10.0)
        self.source.subscribe(lambda upstreams: self.told.append([each.location.host for each in upstreams]))
        self.addCleanup(self.source.stopService)

    async def find(self) -> Answer:
        self.asked.append(self.clock.seconds())
        found: Answer = await self.answer
        return found

    def advance(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)

    def test_asOftenAsTheAnswerSaysWithinBounds(self) -> None:
        for seconds, expected in ((20, [0, 20, 40]), (1, [0, 5, 10]), (1 << 31, [0, 60])):
            self.answer, self.asked = succeed(Answer(["a:1"], seconds)), []
            self.clock = self.source._reactor = Clock()
            self.source.startService()
            self.advance(60)
            self.assertEqual(self.asked[: len(expected)], expected)
            self.source.stopService()
        self.source.startService()

    def test_aFailureLeavesWhatWasFoundAndIsToldOnce(self) -> None:
        self.source.startService()
        with capturedLogs() as events:
            self.answer = fail(OSError("no route"))
            self.advance(20)  # the first of them
            before = len(self.asked)
            self.advance(100)
            self.assertTrue(4 <= len(self.asked) - before <= 9, self.asked)
            self.answer = succeed(Answer(["b:1"], 20))
            self.advance(40)
        self.assertEqual(self.told[:2], [["a"], ["b"]])
        self.assertEqual([formatEvent(each) for each in events],
                         ["here: OSError: no route; what was found before stands", "here: there is an answer again"])  # fmt: skip

    def test_anAnswerThatDoesNotComeIsAFailure(self) -> None:
        self.answer = Deferred()
        self.source.startService()
        self.advance(10)
        self.answer = succeed(Answer(["a:1"], 20))
        self.advance(5)
        self.assertEqual(self.told, [["a"]])

    def test_nothingNewTellsNothing(self) -> None:
        self.source.startService()
        self.answer = succeed(Answer(None, 5))
        self.advance(40)
        self.assertEqual(self.told, [["a"]])

    def test_stoppedItAsksNoMore(self) -> None:
        self.source.startService()
        self.advance(20)
        self.source.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.answer = Deferred()
        self.source.startService()
        self.source.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.source.startService()

    def test_timesThatMakeNoSense(self) -> None:
        for between, limit in (((0.0, 1.0), 1.0), ((2.0, 1.0), 1.0), ((1.0, 2.0), 0.0)):
            self.assertRaises(ValueError, Polled, self.clock, "here", EntryReader(), self.find, between, limit)
