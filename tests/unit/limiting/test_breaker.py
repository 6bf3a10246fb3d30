"""L{twistproxy.limiting.breaker}: closed, open, half-open."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.limiting.breaker import Breaker, Policy, State, Window


class TestWindow(SynchronousTestCase):
    @given(st.lists(st.tuples(st.floats(0, 3), st.booleans()), max_size=60))
    @settings(deadline=None, derandomize=True, database=None, max_examples=150)
    def test_itCountsWhatIsRecent(self, given: list[tuple[float, bool]]) -> None:
        window, now = Window(5.0), 0.0
        seen: list[tuple[float, bool]] = []
        for gap, failed in given:
            now += gap
            window.add(now, failed)
            seen.append((now, failed))
            recent = [each for at, each in seen if at > now - 4.4]  # a bucket is half a second wide
            older = [each for at, each in seen if at > now - 5.1]
            self.assertTrue(len(recent) <= window.total <= len(older))
            self.assertTrue(sum(recent) <= window.failures <= sum(older))


class TestBreaker(SynchronousTestCase):
    def setUp(self) -> None:
        self.breaker = Breaker(Policy(errors=0.5, volume=4, window=10.0, open=5.0, recovery=10.0))

    def feed(self, now: float, *outcomes: bool) -> None:
        for failed in outcomes:
            self.assertEqual(self.breaker.admit(now), 0.0)
            self.breaker.record(now, failed)

    def open(self, now: float = 100.0) -> None:
        self.feed(now, True, True, True, True)
        self.assertIs(self.breaker.state, State.OPEN)

    def test_belowTheVolumeNothingOpens(self) -> None:
        self.feed(100.0, True, True, True)
        self.assertIs(self.breaker.state, State.CLOSED)

    def test_belowTheShareNothingOpens(self) -> None:
        self.feed(100.0, *[False, False, True] * 30)
        self.assertIs(self.breaker.state, State.CLOSED)

    def test_theShareOpens(self) -> None:
        self.feed(100.0, False, False, True, True)
        self.assertIs(self.breaker.state, State.OPEN)
        self.assertEqual(self.breaker.opened, 1)

    def test_oldFailuresAreForgotten(self) -> None:
        self.feed(100.0, True, True, True)
        self.feed(111.0, True)
        self.assertIs(self.breaker.state, State.CLOSED)

    def test_openLetsNobodyThrough(self) -> None:
        self.open()
        self.assertEqual([self.breaker.admit(now) for now in (100.0, 103.0)], [5.0, 2.0])

    def test_lateNewsSaysNothing(self) -> None:
        self.open()
        self.breaker.record(101.0, False)
        self.breaker.record(104.0, True)
        self.assertEqual(self.breaker.admit(105.0), 0.0)
        self.assertIs(self.breaker.state, State.HALF_OPEN)

    def test_oneTrial(self) -> None:
        self.open()
        self.assertEqual(self.breaker.admit(105.0), 0.0)
        self.assertEqual(self.breaker.admit(106.0), 4.0)
        self.breaker.record(107.0, True)
        self.assertIs(self.breaker.state, State.OPEN)
        self.assertEqual(self.breaker.admit(108.0), 4.0)

    def test_aTrialThatNeverComesBack(self) -> None:
        self.open()
        self.assertEqual([self.breaker.admit(now) for now in (105.0, 109.0, 110.0, 111.0)], [0.0, 1.0, 0.0, 4.0])

    def test_moreAndMoreAreLetThrough(self) -> None:
        self.open()
        self.feed(105.0, False)
        passed = [sum(not self.breaker.admit(105.0 + second + part / 100) for part in range(100)) for second in range(10)]
        for second, count in enumerate(passed):
            # The share is that of all since recovery began: it follows the line from below.
            self.assertLessEqual(count, (second + 1) * 20 + 1)
        self.assertEqual(passed, sorted(passed))
        self.assertLessEqual(passed[0], 10)
        self.assertGreater(passed[9], 80)
        self.assertEqual(self.breaker.admit(115.0), 0.0)
        self.assertIs(self.breaker.state, State.CLOSED)

    def test_failuresWhileItRecovers(self) -> None:
        self.open()
        self.feed(105.0, False)
        for _ in range(4):
            self.breaker.record(109.0, True)
        self.assertIs(self.breaker.state, State.OPEN)
        self.assertEqual(self.breaker.opened, 2)

    def test_withoutRecovery(self) -> None:
        self.breaker = Breaker(Policy(volume=1, open=5.0, recovery=0.0))
        self.feed(0.0, True)
        self.feed(5.0, False)
        self.assertEqual(self.breaker.admit(5.0), 0.0)
        self.assertIs(self.breaker.state, State.CLOSED)
