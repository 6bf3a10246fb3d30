"""What sources tell becomes the members of a pool."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.discovery.membership import Membership
from twistproxy.messages import Upstream
from twistproxy.settings import Settings


class Source(Service):
    """A source that tells what the test says, and fails as often as it says."""

    def __init__(self, failures: int = 0) -> None:
        self.failures = failures
        self.observer: Callable[[Sequence[Any]], None] | None = None

    def subscribe(self, observer: Callable[[Sequence[Any]], None]) -> Callable[[], None]:
        if self.failures:
            self.failures -= 1
            raise OSError("no registry")
        self.observer = observer
        return self.unsubscribe

    def unsubscribe(self) -> None:
        self.observer = None

    def tell(self, *urls: Any, weight: int = 1) -> None:
        assert self.observer is not None
        self.observer([Upstream(each, weight) if isinstance(each, str) else each for each in urls])


A, B, C = "http://10.0.0.1", "http://10.0.0.2", "http://10.0.0.3"


class MembershipTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.changes: list[list[str]] = []

    def start(self, *sources: Source, written: Sequence[str] = (), **settings: Any) -> Membership:
        members = [Upstream(each) for each in written]
        given = Settings(**({"discoveryInterval": 0.0} | settings))

        def changed(told: Sequence[Upstream]) -> None:
            self.changes.append([each.key for each in told])

        membership = Membership(self.clock, "web", members, sources, changed, given)
        membership.startService()
        self.addCleanup(membership.stopService)
        return membership

    def test_aSnapshotIsTheMembers(self) -> None:
        source = Source()
        self.start(source)
        source.tell(A, B)
        source.tell(B)
        self.assertEqual(self.changes, [[A, B], [B]])

    def test_writtenMembersStay(self) -> None:
        source = Source()
        self.start(source, written=[C])
        source.tell(A)
        source.tell(B)
        self.assertEqual(self.changes, [[C, A], [C, B]])

    def test_severalSourcesAddUp(self) -> None:
        one, two = Source(), Source()
        self.start(one, two)
        one.tell(A)
        two.tell(A, B)
        one.tell(C)
        self.assertEqual(self.changes, [[A], [A, B], [C, A, B]])

    def test_anEqualSnapshotChangesNothing(self) -> None:
        source = Source()
        self.start(source)
        source.tell(A, B)
        source.tell(A, B)
        source.tell(A, B, weight=2)
        self.assertEqual(len(self.changes), 2)

    def test_anEmptySnapshotKeepsTheLastOne(self) -> None:
        source = Source()
        membership = self.start(source)
        source.tell(A)
        source.tell()
        self.assertEqual(self.changes, [[A]])
        self.assertEqual([each.key for each in membership.members], [A])

    def test_anEmptySnapshotKeepsTheLastOneBesideWrittenMembersToo(self) -> None:
        source = Source()
        self.start(source, written=[C])
        source.tell(A)
        source.tell()
        self.clock.advance(60)
        self.assertEqual(self.changes, [[C, A]])

    def test_whereAllowedAnEmptySnapshotIsBelievedWhenItLasts(self) -> None:
        source = Source()
        self.start(source, discoveryAllowEmpty=True)
        source.tell(A)
        source.tell()
        self.clock.advance(9)
        self.assertEqual(self.changes, [[A]])
        self.clock.advance(1)
        self.assertEqual(self.changes, [[A], []])

    def test_nonsenseIsLeftOut(self) -> None:
        source = Source()
        self.start(source)
        source.tell(A, 17)
        source.tell(17)
        self.assertEqual(self.changes, [[A]])

    def test_aGreatLossIsBelievedWhenItLasts(self) -> None:
        source = Source()
        self.start(source)
        source.tell(A, B, C)
        source.tell(A)
        self.clock.advance(6)
        source.tell(B)  # still one: what counts is since when, and what was told last
        self.clock.advance(3)
        self.assertEqual(self.changes, [[A, B, C]])
        self.clock.advance(1)
        self.assertEqual(self.changes, [[A, B, C], [B]])

    def test_aGreatLossThatDoesNotLastNeverWas(self) -> None:
        source = Source()
        self.start(source)
        source.tell(A, B, C)
        source.tell(A)
        self.clock.advance(6)
        source.tell(A, B, C)
        self.clock.advance(60)
        self.assertEqual(self.changes, [[A, B, C]])

    def test_aSmallLossIsBelievedAtOnce(self) -> None:
        source = Source()
        self.start(source)
        source.tell(A, B)
        source.tell(A)
        self.assertEqual(self.changes, [[A, B], [A]])

    def test_theFirstChangeComesAtOnceAndOthersTogether(self) -> None:
        source = Source()
        self.start(source, discoveryInterval=0.5)
        source.tell(A)
        source.tell(A, B)
        source.tell(A, B, C)
        self.assertEqual(self.changes, [[A]])
        self.clock.advance(0.5)
        self.assertEqual(self.changes, [[A], [A, B, C]])
        self.clock.advance(0.5)
        source.tell(B, C)
        self.assertEqual(self.changes, [[A], [A, B, C], [B, C]])

    def test_whatChangesBackWithinTheIntervalIsNoChange(self) -> None:
        source = Source()
        self.start(source, discoveryInterval=0.5)
        source.tell(A, B)
        source.tell(A)
        source.tell(A, B)
        self.clock.advance(5)
        self.assertEqual(self.changes, [[A, B]])

    def test_readyWhenEachSourceToldSomething(self) -> None:
        one, two = Source(), Source(failures=1)
        membership = self.start(one, two)
        ready = membership.whenReady()
        one.tell(A)
        self.assertFalse(membership.isReady)
        self.assertNoResult(ready)
        self.clock.advance(3)
        two.tell()
        self.successResultOf(ready)
        self.successResultOf(membership.whenReady())
        self.flushLoggedErrors(OSError)

    def test_whoWaitsMayLeave(self) -> None:
        source = Source()
        ready = self.start(source).whenReady()
        ready.cancel()
        self.failureResultOf(ready)
        source.tell(A)

    def test_aSourceThatFailsIsAskedAgain(self) -> None:
        source = Source(failures=3)
        self.start(source)
        self.assertIsNone(source.observer)
        for _ in range(60):
            self.clock.advance(1)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 3)
        source.tell(A)
        self.assertEqual(self.changes, [[A]])

    def test_stoppingEndsItAll(self) -> None:
        source, failing = Source(), Source(failures=1)
        membership = self.start(source, failing, discoveryInterval=1.0)
        source.tell(A, B, C)
        source.tell(A, B)
        source.tell(A)
        self.successResultOf(membership.stopService())
        self.assertIsNone(source.observer)
        self.assertFalse(source.running)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.flushLoggedErrors(OSError)
