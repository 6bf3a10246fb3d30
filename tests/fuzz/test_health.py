"""Properties of what is known of upstreams, whatever happens to them."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some
from twisted.internet.task import Clock

from tests.fuzz.test_wire import fuzz
from twistproxy.balancers.roundrobin import RoundRobin
from twistproxy.health.agent import readAgent
from twistproxy.health.maxfails import MaxFails
from twistproxy.health.outlier import Outlier
from twistproxy.messages import Health, Outcome, Upstream
from twistproxy.sweep import Sweeper
from twistproxy.upstream.group import Administrative, UpstreamGroup
from twistproxy.upstream.standing import Active, Passive, Traffic, rowFor

COUNT = 4
CHECKS = {"one": Active.UNCHECKED, "two": Active.DOWN}

WHICH = some.integers(0, COUNT - 1)
OUTCOMES = some.sampled_from([("", 200), ("", 404), ("", 500), ("", 503), ("connect_refused", 0), ("client_closed", 0)])
TRAFFIC = some.tuples(some.just("traffic"), WHICH, OUTCOMES)
TIME = some.tuples(some.just("time"), some.integers(0, 40), some.none())
EVENTS = some.one_of(
    TRAFFIC,
    TRAFFIC,
    TIME,
    some.tuples(some.just("administer"), WHICH, some.sampled_from(Administrative)),
    some.tuples(some.just("check"), WHICH, some.tuples(some.sampled_from([*CHECKS, "none"]), some.booleans(), some.booleans())),
    some.tuples(some.just("advise"), WHICH, some.sampled_from(["ready", "drain", "maint", "0%", "50%", "100%", "up", "down"])),
    some.tuples(some.just("members"), some.sets(WHICH), some.none()),
)


class Pool:
    """A pool to which things happen."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.sweeper = Sweeper(self.clock)
        self.sweeper.start()
        self.urls = [f"http://10.0.0.{each}" for each in range(COUNT)]
        passive = [MaxFails(2, 5.0, (503,)), Outlier(errors=3, base=7.0, maxEjected=50)]
        self.group = UpstreamGroup("web", RoundRobin(), [Upstream(each) for each in self.urls], passive=passive)
        self.group.keepTime(self.sweeper, self.clock.seconds)

    def happens(self, what: str, which: object, how: object) -> None:
        group = self.group
        if what == "time":
            for _ in range(int(str(which))):
                self.clock.advance(1)
        elif what == "members":
            assert isinstance(which, set)
            group.setMembers([Upstream(self.urls[each]) for each in sorted(which)])
        else:
            assert isinstance(which, int)
            known = group.table.get(Upstream(self.urls[which]).key)
            if known is not None:
                self.happensTo(known.upstream, what, how)

    def happensTo(self, upstream: Upstream, what: str, how: object) -> None:
        group = self.group
        if what == "traffic":
            assert isinstance(how, tuple)
            if upstream in group.trials:
                group.picked(upstream)
            assert group.report is not None
            group.report(upstream, Outcome(upstream, *how, None, None, 0.0, 0, 0, False))
        elif what == "administer":
            assert isinstance(how, Administrative)
            group.administer(upstream, how)
        elif what == "check":
            assert isinstance(how, tuple)
            name, ok, isInconclusive = how
            group.checkedBy(upstream, CHECKS)
            group.checked(upstream, name, Health(ok, isInconclusive=isInconclusive), 2, 2)
        else:
            group.checked(upstream, "one", readAgent(str(how).encode()))

    def check(self) -> None:
        """What always holds."""
        group = self.group
        candidates = group.candidates
        assert candidates is group.candidates
        assert set(candidates) <= set(group.members)
        for upstream in group.members:
            standing = group.standing(upstream)
            assert standing is not None and standing.isPresent
            row = rowFor(True, standing.administrative, standing.active, standing.passive)
            assert standing.verdict.row is row
            assert upstream.state.partition(":")[0] == row.state
            assert (standing.ejectedUntil is not None) == (standing.passive is Passive.EJECTED)
            assert not standing.isTried or standing.passive is Passive.TRIAL
            if row.traffic is Traffic.ALL:
                assert upstream in candidates
            if row.traffic in (Traffic.NONE, Traffic.SESSIONS):
                assert upstream not in candidates
            assert candidates.mayBePicked(upstream) == (upstream in candidates or row.traffic is Traffic.SESSIONS)
        group.status()


@fuzz(60)
@given(some.lists(EVENTS, max_size=40))
def test_whateverHappensTheTableHolds(events: list[tuple[str, object, object]]) -> None:
    pool = Pool()
    for what, which, how in events:
        pool.happens(what, which, how)
        pool.check()
    pool.sweeper.stop()


@fuzz(60)
@given(some.lists(some.one_of(TRAFFIC, TIME), max_size=40))
def test_trafficAloneNeverLeavesNobody(events: list[tuple[str, object, object]]) -> None:
    pool = Pool()
    for what, which, how in events:
        pool.happens(what, which, how)
        states = [each.state.partition(":")[0] for each in pool.group.members]
        assert "up" in states
    for _ in range(20):  # and with time all come back, at least for a trial
        pool.clock.advance(20)
    assert {each.state.partition(":")[0] for each in pool.group.members} <= {"up", "trial"}
    pool.sweeper.stop()


@fuzz(100)
@given(some.binary(max_size=200))
def test_anAgentMaySayAnything(line: bytes) -> None:
    health = readAgent(line)
    assert health.detail.isprintable() and (health.share is None or health.share >= 0)
