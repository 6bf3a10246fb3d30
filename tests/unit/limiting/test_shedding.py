"""L{twistproxy.limiting.shedding} and L{twistproxy.limiting.memory}."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.limiting.memory import giveBackMemory, residentMemory
from twistproxy.limiting.shedding import Shedder


class TestShedder(SynchronousTestCase):
    def share(self, *values: float) -> list[float]:
        shedder = Shedder(10.0)
        found = []
        for each in values:
            shedder.measured(each)
            found.append(round(shedder.share, 6))
        return found

    def test_belowTheLimit(self) -> None:
        self.assertEqual(self.share(0, 5, 10), [0, 0, 0])

    def test_upAsMuchAsItIsOver(self) -> None:
        self.assertEqual(self.share(11, 11), [0.22, 0.44])
        self.assertEqual(self.share(20, 100, 100), [0.4, 1.0, 1.0])

    def test_downBySteps(self) -> None:
        self.assertEqual(self.share(11, 1, 1, 1, 1), [0.22, 0.12, 0.02, 0.0, 0.0])

    def refused(self, *values: float, requests: int = 100) -> int:
        shedder = Shedder(10.0)
        for each in values:
            shedder.measured(each)
        count = sum(shedder.refuses() for _ in range(requests))
        self.assertEqual(count, shedder.refused)
        return count

    def test_theShareIsRefused(self) -> None:
        self.assertEqual([self.refused(1), self.refused(20), self.refused(100)], [0, 40, 100])

    def test_spreadEvenly(self) -> None:
        shedder = Shedder(10.0)
        shedder.measured(25)
        self.assertEqual([shedder.refuses() for _ in range(6)], [False, True] * 3)

    def test_overIsOver(self) -> None:
        """What was owed does not hit somebody later."""
        shedder = Shedder(10.0)
        shedder.measured(11)
        for _ in range(4):
            shedder.refuses()
        for _ in range(5):
            shedder.measured(0)
        self.assertFalse(any(shedder.refuses() for _ in range(100)))


class TestMemory(SynchronousTestCase):
    def test_resident(self) -> None:
        try:
            before = residentMemory()
        except OSError as error:
            self.skipTest(f"no /proc: {error}")
        self.assertGreater(before, 1 << 20)
        ballast = bytearray(64 << 20)
        ballast[:: 4096] = b"x" * len(ballast[::4096])
        self.assertGreater(residentMemory(), before + (48 << 20))
        del ballast
        giveBackMemory()
        self.assertLess(residentMemory(), before + (32 << 20))
