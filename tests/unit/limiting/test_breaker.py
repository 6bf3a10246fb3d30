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

    def test_whatFailedAfterAllIsForgottenToo(self) -> None:
        window = Window(10.0)
        window.add(100.0, False)
        for now in (101.0, 101.0):  # no more can fail than there were
            window.spoil(now)
        self.assertEqual((window.total, window.failures), (1, 1))
        window.advance(110.5)
        self.assertEqual((window.total, window.failures), (0, 1))
        window.advance(120.0)
        self.assertEqual((window.total, window.failures), (0, 0))


class TestBreaker(SynchronousTestCase):
    def setUp(self) -> None:
        self.breaker = Breaker(Policy(errors=0.5, volume=4, window=10.0, open=5.0, recovery=10.0))

    def feed(self, now: float, *outcomes: bool) -> None:
        for failed in outcomes:
            self.assertEqual(self.breaker.admit(now), 0.0)
            self.breaker.record(now, failed, now)

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
        self.breaker.record(101.0, False, 99.0)
        self.breaker.record(104.0, True, 99.0)
        self.assertEqual(self.breaker.admit(105.0), 0.0)
        self.assertIs(self.breaker.state, State.HALF_OPEN)

    def test_oneTrial(self) -> None:
        self.open()
        self.assertEqual(self.breaker.admit(105.0), 0.0)
        self.assertEqual(self.breaker.admit(106.0), 4.0)
        self.breaker.record(107.0, True, 105.0)
        self.assertIs(self.breaker.state, State.OPEN)
        self.assertEqual(self.breaker.admit(108.0), 4.0)

    def test_aTrialThatNeverComesBack(self) -> None:
        self.open()
        self.assertEqual([self.breaker.admit(now) for now in (105.0, 109.0, 110.0, 111.0)], [0.0, 1.0, 0.0, 4.0])

    def test_whatBeganBeforeTellsNothing(self) -> None:
        """It was let through before the breaker opened, and comes back during the trial, or after."""
        self.open()
        self.assertEqual(self.breaker.admit(105.0), 0.0)
        self.breaker.record(106.0, True, 99.0)
        self.breaker.record(106.0, False, 99.0)
        self.breaker.spoil(106.0, 99.0)
        self.assertIs(self.breaker.state, State.HALF_OPEN)
        self.assertEqual(self.breaker.admit(106.0), 4.0)
        self.breaker.record(107.0, False, 105.0)
        for _ in range(9):
            self.breaker.record(116.0, True, 99.0)
        self.assertEqual(self.breaker.admit(118.0), 0.0)
        self.assertIs(self.breaker.state, State.CLOSED)

    def test_aTrialThatTellsNothing(self) -> None:
        """Its client has left: the next one is the trial."""
        self.open()
        self.assertEqual(self.breaker.admit(105.0), 0.0)
        self.breaker.release(99.0)  # another one
        self.assertEqual(self.breaker.admit(106.0), 4.0)
        self.breaker.release(105.0)
        self.assertEqual([self.breaker.admit(106.0), self.breaker.admit(107.0)], [0.0, 4.0])

    def test_slowerThanItIsOpen(self) -> None:
        """A trial that was given up is believed when it does come back."""
        self.open()
        self.assertEqual([self.breaker.admit(105.0), self.breaker.admit(110.0)], [0.0, 0.0])
        self.breaker.record(112.0, False, 105.0)
        self.assertEqual(self.breaker.admit(122.0), 0.0)
        self.assertIs(self.breaker.state, State.CLOSED)

    def test_answersThatBreakOff(self) -> None:
        """They had begun well."""
        self.feed(100.0, *[False] * 8)
        for _ in range(3):
            self.breaker.spoil(101.0, 100.0)
        self.assertIs(self.breaker.state, State.CLOSED)
        self.breaker.spoil(101.0, 100.0)
        self.assertIs(self.breaker.state, State.OPEN)
        self.assertEqual(self.breaker.cause, (4, 8))

    def test_whatGoesWellOpensNothing(self) -> None:
        """Neither when it makes the volume full, nor when good ones are forgotten before bad ones."""
        self.feed(100.0, True, True, True, False)
        self.assertIs(self.breaker.state, State.CLOSED)
        self.feed(100.0, True)
        self.assertIs(self.breaker.state, State.OPEN)
        self.breaker = Breaker(self.breaker.policy)
        self.feed(100.0, *[False] * 10)
        self.feed(105.0, *[True] * 4)
        self.feed(112.0, False, False)
        self.assertIs(self.breaker.state, State.CLOSED)

    def test_sharesThatAreNoBinaryFractions(self) -> None:
        for percent in range(1, 101):
            breaker = Breaker(Policy(errors=percent / 100, volume=100))
            for number in range(100):
                breaker.record(1.0, number >= 100 - percent, 1.0)
            self.assertIs(breaker.state, State.OPEN, percent)
            breaker = Breaker(Policy(errors=percent / 100, volume=100))
            for number in range(100):
                breaker.record(1.0, number > 100 - percent, 1.0)
            self.assertIs(breaker.state, State.CLOSED, percent)

    def test_moreAndMoreAreLetThrough(self) -> None:
        self.open()
        self.feed(105.0, False)
        passed = [sum(not self.breaker.admit(105.0 + second + part / 100) for part in range(100)) for second in range(10)]
        for second, count in enumerate(passed):
            self.assertTrue(abs(count - second * 10 - 5) <= 1, passed)
        self.assertEqual(self.breaker.admit(115.0), 0.0)
        self.assertIs(self.breaker.state, State.CLOSED)

    def test_failuresWhileItRecovers(self) -> None:
        self.open()
        self.feed(105.0, False)
        for _ in range(4):
            self.breaker.record(109.0, True, 108.0)
        self.assertIs(self.breaker.state, State.OPEN)
        self.assertEqual(self.breaker.opened, 2)

    def test_withoutRecovery(self) -> None:
        self.breaker = Breaker(Policy(volume=1, open=5.0, recovery=0.0))
        self.feed(0.0, True)
        self.feed(5.0, False)
        self.assertEqual(self.breaker.admit(5.0), 0.0)
        self.assertIs(self.breaker.state, State.CLOSED)


class _Model:
    """What docs/how-to/circuit-breakers.md says, without any thought of what it costs."""

    def __init__(self, policy: Policy) -> None:
        self.policy = policy
        self.state, self.changed = State.CLOSED, 0.0
        self.outcomes: list[tuple[int, bool]] = []  # bucket and whether it failed
        self.trial: float | None = None
        self.isRecovering = False
        self.shares = 0.0
        self.passed = 0

    def become(self, state: State, now: float) -> None:
        self.state, self.changed, self.outcomes = state, now, []
        self.trial, self.isRecovering = None, False

    def admit(self, now: float) -> bool:
        policy = self.policy
        if self.state is State.OPEN and now >= self.changed + policy.open:
            self.become(State.HALF_OPEN, now)
        if self.state is State.CLOSED:
            return True
        if self.state is State.OPEN:
            return False
        if not self.isRecovering:
            if self.trial is not None and now < self.trial + policy.open:
                return False
            self.trial = now
            return True
        assert self.trial is not None
        if now >= self.trial + policy.recovery:  # where the trial's time is that of its success
            self.become(State.CLOSED, self.changed)
            return True
        self.shares += (now - self.trial) / policy.recovery
        if int(self.shares) > self.passed:
            self.passed += 1
            return True
        return False

    def record(self, now: float, failed: bool, began: float) -> None:
        if self.state is State.OPEN or (began < self.changed and self.changed):
            return
        if self.state is State.HALF_OPEN and not self.isRecovering:
            if failed:
                self.become(State.OPEN, now)
                return
            self.isRecovering, self.trial, self.shares, self.passed = True, now, 0.0, 0
        self.outcomes.append((int(now), failed))
        recent = [failed for bucket, failed in self.outcomes if bucket > int(now) - 10]
        volume = self.policy.volume if self.state is State.CLOSED else min(5, self.policy.volume)
        if failed and len(recent) >= volume and sum(recent) * 2 >= len(recent):
            self.become(State.OPEN, now)


_EVENTS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.25, 0.25, 1.0, 2.5, 5.0, 11.0]),  # seconds before it
        st.sampled_from(["ask", "ask", "ask", "good", "bad", "leave"]),
        st.integers(0, 3),  # whose answer
    ),
    max_size=120,
)


class TestModel(SynchronousTestCase):
    @given(_EVENTS)
    @settings(deadline=None, derandomize=True, database=None, max_examples=300)
    def test_itDoesWhatTheModelDoes(self, events: list[tuple[float, str, int]]) -> None:
        policy = Policy(errors=0.5, volume=4, window=10.0, open=4.0, recovery=8.0)
        breaker, model = Breaker(policy), _Model(policy)
        now, underWay = 1000.0, list[float]()
        for gap, what, which in events:
            now += gap
            if what == "ask":
                wait = breaker.admit(now)
                self.assertEqual(not wait, model.admit(now))
                self.assertTrue(0.0 <= wait <= max(policy.open, policy.recovery))
                if not wait:
                    underWay.append(now)
            elif underWay:
                began = underWay.pop(which % len(underWay))
                if what == "leave":
                    breaker.release(began)
                    if model.state is State.HALF_OPEN and not model.isRecovering and model.trial == began:
                        model.trial = None
                else:
                    breaker.record(now, what == "bad", began)
                    model.record(now, what == "bad", began)
            self.assertIs(breaker.state, model.state)
        # Whatever has happened, and whoever has not come back yet: when all goes well, it closes.
        for _ in range(3):
            now += policy.open + policy.recovery
            if not breaker.admit(now):
                breaker.record(now, False, now)
        self.assertIs(breaker.state, State.CLOSED)
