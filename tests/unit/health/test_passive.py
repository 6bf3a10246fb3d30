"""Passive checks: what they make of outcomes, and what becomes of the upstreams."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.unit.builtin import built
from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.errors import ALL_KINDS, ConfigurationError, Fault
from twistproxy.health.maxfails import MaxFails
from twistproxy.health.outlier import Outlier
from twistproxy.interfaces import IPassiveCheck
from twistproxy.messages import Health, Outcome, Upstream
from twistproxy.sweep import Sweeper
from twistproxy.testing import FakeUpstream, ProxyHarness
from twistproxy.upstream.evidence import Evidence, evidenceOf
from twistproxy.upstream.group import Administrative, UpstreamGroup
from twistproxy.upstream.standing import Active

SOMEBODY = Upstream("http://10.0.0.1")


def ended(code: int = 200, error: str = "", upstream: Upstream = SOMEBODY) -> Outcome:
    return Outcome(upstream, error, code, 0.0, 0.0, 0.0, 0, 0, False)


REFUSED = ended(0, "connect_refused")


class EvidenceTests(SynchronousTestCase):
    def test_answers(self) -> None:
        for code in (101, 200, 304, 400, 403, 404, 429, 499):
            self.assertIs(evidenceOf(ended(code)), Evidence.GOOD, code)
        for code in (500, 502, 503, 504, 599):
            self.assertIs(evidenceOf(ended(code)), Evidence.SERVER_ERROR, code)

    def test_errors(self) -> None:
        """An upstream's failures count, a client's and the proxy's own do not; a refused answer is as good as its status."""
        for kind in ALL_KINDS:
            found = evidenceOf(ended(0, kind.reason))
            if kind.reason == "status_refused":
                continue
            expected = Evidence.FAILURE if kind.fault is Fault.UPSTREAM else Evidence.NOTHING
            self.assertIs(found, expected, kind.reason)
        self.assertIs(evidenceOf(ended(200, "upstream_reset")), Evidence.FAILURE)
        self.assertIs(evidenceOf(ended(200, "client_closed")), Evidence.NOTHING)
        self.assertIs(evidenceOf(ended(404, "status_refused")), Evidence.GOOD)
        self.assertIs(evidenceOf(ended(503, "status_refused")), Evidence.SERVER_ERROR)


def judged(check: Any, *events: tuple[float, Outcome]) -> list[float]:
    memory: dict[str, Any] = {}
    return [check.judge(outcome, memory, now) for now, outcome in events]


class MaxFailsTests(SynchronousTestCase):
    def test_one(self) -> None:
        self.assertEqual(judged(MaxFails(), (0, ended()), (1, REFUSED)), [0, 10])

    def test_threeWithinTheTime(self) -> None:
        check = MaxFails(3, 10.0)
        self.assertEqual(judged(check, (0, REFUSED), (4, REFUSED), (9, REFUSED)), [0, 0, 10])
        self.assertEqual(judged(check, (0, REFUSED), (4, REFUSED), (11, REFUSED), (12, REFUSED), (13, REFUSED)), [0, 0, 0, 0, 10])

    def test_aGoodAnswerWithinTheTimeForgivesNothing(self) -> None:
        """As nginx, where failures need not be in a row."""
        check = MaxFails(2, 10.0)
        self.assertEqual(judged(check, (0, REFUSED), (1, ended()), (2, REFUSED)), [0, 0, 10])
        self.assertEqual(judged(check, (0, REFUSED), (10, ended()), (10, REFUSED)), [0, 0, 0])

    def test_oneMoreAfterItsTimeIsTooMany(self) -> None:
        """However long after: nginx forgets failures at a good answer only."""
        for later in (11, 25, 1000):
            events = [(0, REFUSED), (0, REFUSED), (0, REFUSED), (later, REFUSED), (2 * later, ended()), (2 * later, REFUSED)]
            self.assertEqual(judged(MaxFails(3, 10.0), *events), [0, 0, 10, 10, 0, 0])

    def test_aGoodOneAfterItsTimeForgivesAll(self) -> None:
        check = MaxFails(3, 10.0)
        events = [(0, REFUSED), (0, REFUSED), (0, REFUSED), (11, ended()), (12, REFUSED), (12, REFUSED), (12, REFUSED)]
        self.assertEqual(judged(check, *events), [0, 0, 10, 0, 0, 0, 10])

    def test_statuses(self) -> None:
        self.assertEqual(judged(MaxFails(), (0, ended(503)), (1, ended(500))), [0, 0])
        self.assertEqual(judged(MaxFails(statuses=(503,)), (0, ended(500)), (1, ended(503))), [0, 10])

    def test_mistakes(self) -> None:
        for written, problem in (
            ("max-fails:0", "fails is 1 or more"),
            ("max-fails:timeout=0s", "timeout is more than 0"),
            ("max-fails:statuses=404", "statuses: 404 is none from 500 to 599: others are the client's fault, or no failure"),
        ):
            error = self.assertRaises(ConfigurationError, built, IPassiveCheck, written)
            self.assertEqual(str(error), f"here: max-fails: {problem}")


class OutlierTests(SynchronousTestCase):
    def test_fiveInARow(self) -> None:
        outcomes = [500, 502, 404, 500, 500, 500, 500, 503]
        found = judged(Outlier(), *((float(now), ended(code)) for now, code in enumerate(outcomes)))
        self.assertEqual(found, [0, 0, 0, 0, 0, 0, 0, 30])
        self.assertEqual(judged(Outlier(), *[(0.0, REFUSED)] * 5), [0, 0, 0, 0, 30])

    def test_gatewayErrorsInARow(self) -> None:
        check = Outlier(errors=0, gatewayErrors=3)
        codes = [502, 503, 500, 504, 502, 503]
        self.assertEqual(judged(check, *((0.0, ended(each)) for each in codes)), [0, 0, 0, 0, 0, 30])
        self.assertEqual(judged(check, *[(0.0, REFUSED)] * 3), [0, 0, 30])
        self.assertEqual(judged(check, *[(0.0, ended(500))] * 30), [0] * 30)

    def test_longerEachTimeUpToACap(self) -> None:
        """Envoy: 30 s times the number of ejections, 300 s at most."""
        check, memory, now, found = Outlier(errors=1), dict[str, Any](), 0.0, []
        for _ in range(12):
            seconds = check.judge(REFUSED, memory, now)
            found.append(seconds)
            now += seconds
        self.assertEqual(found, [30, 60, 90, 120, 150, 180, 210, 240, 270, 300, 300, 300])

    def test_cleanIntervalsTakeOffOneEach(self) -> None:
        check, memory = Outlier(errors=1), dict[str, Any]()
        self.assertEqual(check.judge(REFUSED, memory, 0.0), 30)
        self.assertEqual(check.judge(REFUSED, memory, 30.0), 60)
        self.assertEqual(check.judge(REFUSED, memory, 90.0 + 10.0), 60)
        self.assertEqual(check.judge(REFUSED, memory, 160.0 + 25.0), 30)

    def test_oneThatCameBackEarlyHasNoCleanIntervals(self) -> None:
        check, memory = Outlier(errors=1), dict[str, Any]()
        self.assertEqual([check.judge(REFUSED, memory, each) for each in (0.0, 1.0, 2.0)], [30, 60, 90])

    def test_mistakes(self) -> None:
        for written, problem in (
            ("outlier:errors=0", "errors or gateway-errors is 1 or more"),
            ("outlier:max-ejected=101", "max-ejected is a percentage, from 0 to 100"),
            ("outlier:base=0s", "base is more than 0"),
        ):
            error = self.assertRaises(ConfigurationError, built, IPassiveCheck, written)
            self.assertEqual(str(error), f"here: outlier: {problem}")


@implementer(IPassiveCheck)
class Always:
    """Every failure is one too many."""

    def __init__(self, maxEjected: float = 1.0, hasTrial: bool = False) -> None:
        self.maxEjected = maxEjected
        self.hasTrial = hasTrial

    def judge(self, outcome: Outcome, memory: dict[str, Any], now: float) -> float:
        return 30.0 if outcome.error else 0.0


class GroupTests(SynchronousTestCase):
    def make(self, count: int = 3, check: Any = None) -> UpstreamGroup:
        self.clock = Clock()
        sweeper = Sweeper(self.clock)
        sweeper.start()
        self.addCleanup(sweeper.stop)
        members = [Upstream(f"http://10.0.0.{each}") for each in range(1, count + 1)]
        self.group = UpstreamGroup("web", RoundRobin(), members, passive=[check or Always()])
        self.group.keepTime(sweeper, self.clock.seconds)
        return self.group

    def tell(self, at: int, error: str = "", code: int = 200) -> None:
        upstream = self.group.members[at]
        if upstream in self.group.trials:
            self.group.picked(upstream)
        assert self.group.report is not None
        self.group.report(upstream, ended(code, error, upstream))

    def advance(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1)

    @property
    def asked(self) -> str:
        return "".join(each.location.host[-1] for each in self.group.candidates)

    def test_ejectedForATime(self) -> None:
        self.make()
        self.tell(0, "connect_refused")
        self.assertEqual((self.asked, self.group.members[0].state), ("23", "ejected: connect_refused"))
        self.advance(29)
        self.assertEqual(self.asked, "23")
        self.advance(3)
        self.assertEqual((self.asked, self.group.members[0].state), ("123", "up"))

    def test_aSingleUpstreamIsNeverEjected(self) -> None:
        self.make(1)
        for _ in range(100):
            self.tell(0, "connect_refused")
        self.assertEqual((self.asked, self.group.members[0].state), ("1", "up"))

    def test_norTheLastOneThatIsWell(self) -> None:
        self.make()
        self.group.administer(self.group.members[0], Administrative.DOWN)
        self.tell(1, "connect_refused")
        self.tell(2, "connect_refused")
        self.assertEqual((self.asked, self.group.members[2].state), ("3", "up"))

    def test_anEjectedOneIsAskedWhenNobodyElseIsLeft(self) -> None:
        self.make(2)
        self.tell(0, "connect_refused")
        self.group.administer(self.group.members[1], Administrative.DOWN)
        self.assertEqual(self.asked, "1")

    def test_notTooMany(self) -> None:
        self.make(10, Always(maxEjected=0.2))
        for at in range(10):
            self.tell(at, "upstream_reset")
        self.assertEqual(self.asked, "34567890"[:-1] + "0")

    def test_oneMayAlwaysBe(self) -> None:
        self.make(3, Always(maxEjected=0.1))
        for at in range(3):
            self.tell(at, "upstream_reset")
        self.assertEqual(self.asked, "23")

    def test_whatTellsNothingIsNotJudged(self) -> None:
        self.make()
        for error in ("client_closed", "plugin_error", "queue_timeout", "queue_full"):
            self.tell(0, error, 0)
        self.assertEqual(self.asked, "123")

    def test_whatWasUnderWayWhenItWasEjectedIsNotJudged(self) -> None:
        self.make()
        self.tell(0, "connect_refused")
        self.advance(20)
        self.tell(0, "connect_refused")
        self.advance(12)
        self.assertEqual(self.asked, "123")

    def test_aTrialIsOneRequest(self) -> None:
        self.make(check=Always(hasTrial=True))
        self.tell(0, "connect_refused")
        self.advance(32)
        one = self.group.members[0]
        self.assertEqual((self.asked, one.state, self.group.trials), ("123", "trial: connect_refused", {one}))
        self.group.picked(one)
        self.assertEqual((self.asked, self.group.trials), ("23", set()))
        assert self.group.report is not None
        self.group.report(one, ended(0, "client_closed", one))
        self.assertEqual((self.asked, one.state), ("123", "trial: connect_refused"))
        self.tell(0, "connect_refused")
        self.assertEqual((self.asked, one.state), ("23", "ejected: connect_refused"))
        self.advance(32)
        self.tell(0)
        self.assertEqual((self.asked, one.state, self.group.trials), ("123", "up", set()))

    def test_aGoodCheckEndsIt(self) -> None:
        self.make()
        one = self.group.members[0]
        self.group.checkedBy(one, {"tcp": Active.UNCHECKED})
        self.tell(0, "connect_refused")
        self.group.checked(one, "tcp", Health(True))
        self.assertEqual(self.asked, "123")

    def test_memoryStaysOverSnapshots(self) -> None:
        self.make(check=MaxFails(2))
        self.tell(0, "connect_refused")
        self.group.setMembers([Upstream(each.url) for each in self.group.members])
        self.tell(0, "connect_refused")
        self.assertEqual(self.asked, "23")

    def test_aCheckThatRaises(self) -> None:
        class Broken(Always):
            def judge(self, outcome: Outcome, memory: dict[str, Any], now: float) -> float:
                raise ZeroDivisionError

        self.make(check=Broken())
        self.tell(0, "connect_refused")
        self.assertEqual((self.asked, len(self.flushLoggedErrors(ZeroDivisionError))), ("123", 1))


class ProxyTests(SynchronousTestCase):
    """With requests."""

    def codes(self, harness: ProxyHarness, count: int) -> list[int | None]:
        return [harness.get("/").status for _ in range(count)]

    def test_nothingIsReportedWhereNothingListens(self) -> None:
        with ProxyHarness(upstreams=[FakeUpstream()]) as harness:
            self.assertIsNone(harness.engine.groups["default"].report)

    def test_maxFails(self) -> None:
        broken, well = FakeUpstream(503), FakeUpstream(body=b"well")
        with ProxyHarness(upstreams=[broken, well], passive="max-fails:2:statuses=503") as harness:
            self.assertEqual(self.codes(harness, 8), [503, 200, 503, 200, 200, 200, 200, 200])
            harness.advance(12)
            self.assertEqual(self.codes(harness, 6).count(503), 1)
            harness.advance(12)
            broken.respond(200)
            self.assertEqual(self.codes(harness, 6), [200] * 6)
            self.assertEqual(harness.members[0].state, "up")

    def test_asNginx(self) -> None:
        """What nginx 1.22 was seen to do with C{max_fails=2 fail_timeout=2s}: how many of some requests try the broken one."""
        broken, well = FakeUpstream().closeAfter(0), FakeUpstream()
        with ProxyHarness(upstreams=[broken, well], passive="max-fails:2:timeout=2s") as harness:

            def tries(count: int) -> int:
                before = len(broken.requests)
                for _ in range(count):
                    answer = harness.get("/")
                    harness.advance(0.05)  # before the next try
                    self.assertEqual(answer.status, 200)
                return len(broken.requests) - before

            found = [tries(10)]
            harness.advance(5)
            found += [tries(6), tries(4)]
            broken.respond(200)
            harness.advance(5)
            found += [tries(1) + tries(10)]
            self.assertEqual(found, [2, 1, 0, 5])

    def test_outlier(self) -> None:
        broken, well = FakeUpstream(500), FakeUpstream(body=b"well")
        with ProxyHarness(upstreams=[broken, well], passive="outlier:errors=3") as harness:
            self.assertEqual(self.codes(harness, 10).count(500), 3)
            self.assertEqual(harness.members[0].state, "ejected: 500")
            harness.advance(32)
            self.assertEqual(self.codes(harness, 10).count(500), 3)

    def test_clientsThatLeaveAndTheirMistakesDoNotCount(self) -> None:
        slow, well = FakeUpstream().stall(), FakeUpstream(404)
        with ProxyHarness(upstreams=[slow, well], passive=["max-fails:1", "outlier:errors=1"]) as harness:
            for _ in range(6):
                client = harness.connect()
                client.request("GET", "/")
                client.abort()
            harness.advance(1)
            self.assertEqual([each.state for each in harness.members], ["up", "up"])
