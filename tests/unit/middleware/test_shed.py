"""L{twistproxy.middleware.shed}: some are refused before all become slow."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent

from tests.unit.builtin import MiddlewareTestCase
from twistproxy.middleware import shed as module


class TestShed(MiddlewareTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.memory = 100 << 20
        self.trims = 0
        self.patch(module, "residentMemory", lambda: self.memory)
        self.patch(module, "giveBackMemory", self.trim)

    def trim(self) -> None:
        self.trims += 1

    def started(self, options: str) -> Any:
        shed = self.build(f"shed:{options}", reactor=self.clock)
        shed.startService()
        self.addCleanup(shed.stopService)
        return shed

    def codes(self, shed: Any, count: int) -> list[int]:
        found = [self.around(shed) for _ in range(count)]
        return [getattr(each, "code", None) or each.status for each in found]

    def test_inTime(self) -> None:
        shed = self.started("lag=200ms")
        for _ in range(10):
            self.clock.advance(0.1)
        self.assertEqual(self.codes(shed, 3), [200] * 3)
        self.assertEqual((shed.allowed, shed.lag.value), (3, 0.0))

    def test_lag(self) -> None:
        shed = self.started("lag=200ms:retry-after=3s")
        for _ in range(5):
            self.clock.advance(0.5)  # one long turn
        self.assertAlmostEqual(shed.lag.value, 0.4)
        self.assertEqual(self.codes(shed, 3), [503] * 3)
        self.assertEqual((str(self.error), self.error.headers), ("shed_lag: 0.4 of 0.2", [("Retry-After", "3")]))
        self.assertEqual((self.proceeded, shed.lag.refused), (0, 3))
        for _ in range(10):
            self.clock.advance(0.1)
        self.assertEqual(self.codes(shed, 3), [200] * 3)

    def test_someFirst(self) -> None:
        shed = self.started("lag=200ms")
        self.clock.advance(0.6)
        self.assertEqual(self.codes(shed, 10).count(503), 5)

    def test_memory(self) -> None:
        shed = self.started("memory=200MiB:interval=1s")
        self.memory = 400 << 20
        for _ in range(3):
            self.clock.advance(1)
        self.assertEqual(self.codes(shed, 2), [503] * 2)
        self.assertEqual((str(self.error), shed.memory.refused), (f"shed_memory: {400 << 20:.6g} of {200 << 20:.6g}", 2))
        self.memory = 100 << 20
        for _ in range(10):
            self.clock.advance(1)
        self.assertEqual(self.codes(shed, 2), [200] * 2)

    def test_memoryIsGivenBackFirst(self) -> None:
        """What the C library has kept is not in use; but that is not tried all the time."""
        shed = self.started("memory=200MiB:interval=1s")

        def trim() -> None:
            self.trims += 1
            self.memory = 150 << 20

        self.patch(module, "giveBackMemory", trim)
        self.memory = 400 << 20
        self.clock.advance(1)
        self.assertEqual((self.trims, shed.memory.value, self.codes(shed, 1)), (1, 150 << 20, [200]))
        self.memory = 400 << 20
        for _ in range(9):
            self.clock.advance(1)
        self.assertEqual((self.trims, self.codes(shed, 1)), (1, [503]))
        self.clock.advance(1)
        self.assertEqual(self.trims, 2)

    def test_theLogSaysWhen(self) -> None:
        self.started("lag=200ms")
        with capturedLogs() as events:
            self.clock.advance(0.6)
            for _ in range(20):
                self.clock.advance(0.1)
        begin, end = [formatEvent(each) for each in events]
        self.assertEqual(begin, "shed: refusing requests begins (shed_lag 0.5 of 0.2)")
        self.assertEqual(end, "shed: refusing requests ends (shed_lag 0 of 0.2)")

    def test_stopped(self) -> None:
        shed = self.started("lag=200ms")
        shed.stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_mistakes(self) -> None:
        self.refuses("shed:interval=1s", "shed: name a limit: lag or memory", reactor=self.clock)
        self.refuses("shed:lag=1s:interval=0s", "shed: interval is more than 0", reactor=self.clock)
        self.refuses("shed:memory=100MiB", "shed: memory: 100MiB is less than the process has at the start", reactor=self.clock)

    def test_whereMemoryIsNotKnown(self) -> None:
        def residentMemory() -> int:
            raise FileNotFoundError

        self.patch(module, "residentMemory", residentMemory)
        self.refuses("shed:memory=1GiB", "shed: memory: this system does not tell how much a process has", reactor=self.clock)
        self.build("shed:lag=1s", reactor=self.clock)
