"""
Tests for the in-memory network's time, turns and life as a reactor.
"""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IReactorCore,
    IReactorFromThreads,
    IReactorPluggableNameResolver,
    IReactorTime,
)
from twisted.internet.task import LoopingCall, deferLater
from twisted.internet.testing import SynchronousResolver
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from twistproxy.testing import MemoryNetwork


class TestTime(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.calls: list[object] = []

    def later(self, delay: float, name: str) -> None:
        self.network.callLater(delay, lambda: self.calls.append((name, self.network.seconds())))

    def test_nothingRunsByItself(self) -> None:
        self.later(0, "a")
        self.assertEqual(self.calls, [])

    def test_pumpRunsWhatIsDue(self) -> None:
        self.later(0, "a")
        self.later(1, "b")
        self.network.pump()
        self.assertEqual(self.calls, [("a", 0.0)])

    def test_advanceStopsAtEachCall(self) -> None:
        # Twisted's Clock would let all of them see the end of the advance.
        self.later(3, "c")
        self.later(1, "a")
        self.later(2, "b")
        self.network.advance(10)
        self.assertEqual(self.calls, [("a", 1.0), ("b", 2.0), ("c", 3.0)])
        self.assertEqual(self.network.seconds(), 10.0)

    def test_advanceRunsWhatTheCallsAdd(self) -> None:
        self.network.callLater(1, self.later, 1, "b")
        self.network.advance(2)
        self.assertEqual(self.calls, [("b", 2.0)])

    def test_aSweepRunsOncePerInterval(self) -> None:
        sweep = LoopingCall(lambda: self.calls.append(self.network.seconds()))
        sweep.clock = self.network
        sweep.start(1.0, now=False)
        self.network.advance(3.5)
        sweep.stop()
        self.assertEqual(self.calls, [1.0, 2.0, 3.0])

    def test_pumpTakesTimingsLikeAClock(self) -> None:
        self.later(1, "a")
        self.later(2, "b")
        self.network.pump([1, 1])
        self.assertEqual(self.calls, [("a", 1.0), ("b", 2.0)])

    def test_timeDoesNotGoBack(self) -> None:
        self.assertRaises(ValueError, self.network.advance, -1)

    def test_equalTimesRunInTheOrderOfTheCalls(self) -> None:
        for name in "abc":
            self.later(1, name)
        self.network.advance(1)
        self.assertEqual([name for name, _ in self.calls], ["a", "b", "c"])

    def test_aCallOfTheSameTurnCanCancelAnother(self) -> None:
        self.network.callLater(0, lambda: other.cancel())
        other = self.network.callLater(0, self.calls.append, "other")
        self.network.pump()
        self.assertEqual(self.calls, [])

    def test_aCallOfTheSameTurnCanPostponeAnother(self) -> None:
        self.network.callLater(0, lambda: other.reset(5))
        other = self.network.callLater(0, self.calls.append, "other")
        self.network.pump()
        self.assertEqual(self.calls, [])
        self.network.advance(5)
        self.assertEqual(self.calls, ["other"])

    def test_aCallBroughtForwardRunsEarlier(self) -> None:
        self.later(9, "late")
        self.later(5, "early")
        self.network.getDelayedCalls()[1].reset(1)
        self.network.advance(2)
        self.assertEqual(self.calls, [("late", 1.0)])

    def test_anErrorIsLoggedKeptAndStopsNothing(self) -> None:
        self.network.callLater(0, lambda: 1 / 0)
        self.later(0, "after")
        self.network.pump()
        self.assertEqual(self.calls, [("after", 0.0)])
        self.assertEqual([f.type for f in self.network.errors], [ZeroDivisionError])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_deferLater(self) -> None:
        fired = deferLater(self.network, 5, lambda: "now")
        self.network.advance(4)
        self.assertNoResult(fired)
        self.network.advance(1)
        self.assertEqual(self.successResultOf(fired), "now")

    def test_pumpNamesWhoNeverStops(self) -> None:
        self.network.pumpLimit = 1000

        def again() -> None:
            self.network.callLater(0, again)

        again()
        error = self.assertRaises(AssertionError, self.network.pump)
        self.assertIn("1000 turns", str(error))
        self.assertIn("again", str(error))

    def test_aSmallLimitStillNamesThem(self) -> None:
        self.network.pumpLimit = 3

        def again() -> None:
            self.network.callLater(0, again)

        again()
        self.assertIn("again", str(self.assertRaises(AssertionError, self.network.pump)))

    def test_pumpInsidePumpIsRefused(self) -> None:
        self.network.callLater(0, self.network.pump)
        self.network.pump()
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_callFromThreadRunsInTheNextTurn(self) -> None:
        self.network.callFromThread(self.calls.append, "a")
        self.assertEqual(self.calls, [])
        self.network.pump()
        self.assertEqual(self.calls, ["a"])


class TestLife(SynchronousTestCase):
    def setUp(self) -> None:
        self.network = MemoryNetwork()
        self.calls: list[str] = []

    def test_interfaces(self) -> None:
        for interface in (IReactorCore, IReactorTime, IReactorFromThreads, IReactorPluggableNameResolver):
            verifyObject(interface, self.network)

    def test_callWhenRunningCallsAtOnce(self) -> None:
        self.assertIsNone(self.network.callWhenRunning(self.calls.append, "a"))
        self.assertEqual(self.calls, ["a"])

    def test_callWhenRunningWaitsForTheStart(self) -> None:
        self.network.crash()
        self.network.callWhenRunning(self.calls.append, "a")
        self.assertEqual(self.calls, [])
        self.network.fireSystemEvent("startup")
        self.assertEqual(self.calls, ["a"])

    def test_shutdownRunsThreePhasesOnce(self) -> None:
        waiting: Deferred[None] = Deferred()
        add = self.network.addSystemEventTrigger
        add("after", "shutdown", self.calls.append, "after")
        add("during", "shutdown", self.calls.append, "during")
        add("before", "shutdown", lambda: waiting)
        add("before", "startup", self.calls.append, "startup")
        self.network.stop()
        self.assertEqual((self.calls, self.network.running), ([], True))
        waiting.callback(None)
        self.assertEqual((self.calls, self.network.running), (["during", "after"], False))
        self.network.fireSystemEvent("shutdown")
        self.assertEqual(self.calls, ["during", "after"])

    def test_aFailedTriggerDoesNotStopTheOthers(self) -> None:
        self.network.addSystemEventTrigger("during", "shutdown", lambda: 1 / 0)
        self.network.addSystemEventTrigger("during", "shutdown", self.calls.append, "second")
        self.network.fireSystemEvent("shutdown")
        self.assertEqual(self.calls, ["second"])
        self.flushLoggedErrors(ZeroDivisionError)

    def test_aTriggerIsRemoved(self) -> None:
        trigger = self.network.addSystemEventTrigger("before", "shutdown", self.calls.append, "a")
        self.network.removeSystemEventTrigger(trigger)
        self.network.fireSystemEvent("shutdown")
        self.assertEqual(self.calls, [])
        self.assertRaises(ValueError, self.network.removeSystemEventTrigger, trigger)

    def test_anUnknownPhaseIsRefused(self) -> None:
        self.assertRaises(KeyError, self.network.addSystemEventTrigger, "soon", "shutdown", self.fail)

    def test_thereIsNoLoop(self) -> None:
        self.assertRaises(NotImplementedError, self.network.run)

    def test_iterateAdvances(self) -> None:
        self.network.callLater(2, self.calls.append, "a")
        self.network.iterate(2)
        self.assertEqual(self.calls, ["a"])


class TestNames(SynchronousTestCase):
    def test_resolve(self) -> None:
        network = MemoryNetwork({"db.example": ["10.0.0.1", "10.0.0.2"]})
        self.assertEqual(self.successResultOf(network.resolve("localhost")), "127.0.0.1")
        self.assertEqual(self.successResultOf(network.resolve("DB.example.")), "10.0.0.1")
        self.assertEqual(self.successResultOf(network.resolve("10.9.8.7")), "10.9.8.7")
        self.failureResultOf(network.resolve("nowhere.example"), DNSLookupError)

    def test_anotherResolver(self) -> None:
        network = MemoryNetwork()
        other = SynchronousResolver()
        previous = network.nameResolver
        self.assertIs(network.installNameResolver(other), previous)
        self.assertIs(network.nameResolver, other)
