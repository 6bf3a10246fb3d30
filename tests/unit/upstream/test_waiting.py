"""Lines: first come, first served, and nobody waits while there is room."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.errors import ProxyError
from twistproxy.messages import Upstream
from twistproxy.sweep import Sweeper
from twistproxy.upstream.candidates import Candidates
from twistproxy.upstream.waiting import Place, WaitingRoom


class Connections:
    """Of an upstream, with so much room."""

    def __init__(self, model: Model, key: str, limit: int) -> None:
        self.model = model
        self.key = key
        self.limit = limit
        self.used = 0

    @property
    def isFull(self) -> bool:
        return self.used >= self.limit

    def use(self, by: int) -> None:
        self.used += by
        self.model.room.settle(self.key, self)


class Request:
    """Waits, and takes a connection when its turn comes."""

    def __init__(self, model: Model, number: int, wants: frozenset[str]) -> None:
        self.model = model
        self.number = number
        self.wants = wants
        self.place: Place | None = None
        self.error = ""

    def accepts(self, key: str) -> bool:
        return key in self.wants

    def mayGoOn(self) -> bool:
        return any(not self.model.connections[key].isFull for key in self.wants)

    def turnCame(self) -> None:
        self.place = None
        self.begin()

    def waitedInVain(self, error: ProxyError) -> None:
        self.place = None
        self.error = error.kind.reason

    def begin(self) -> None:
        free = [key for key in sorted(self.wants) if not self.model.connections[key].isFull]
        if free:
            self.model.served.append((self.number, free[0]))
            self.model.connections[free[0]].use(1)
        else:
            self.place = self.model.room.line("pool").join(self, 5.0)


class Model:
    """Upstreams a, b and c."""

    def __init__(self, limits: tuple[int, ...], queue: int = 1000) -> None:
        self.clock = Clock()
        self.sweeper = Sweeper(self.clock)
        self.sweeper.start()
        self.room = WaitingRoom(self.sweeper, queue)
        self.connections = {key: Connections(self, key, limit) for key, limit in zip("abc", limits, strict=False)}
        self.requests: list[Request] = []
        self.served: list[tuple[int, str]] = []

    def ask(self, wants: str = "abc") -> Request:
        request = Request(self, len(self.requests), frozenset(wants) & frozenset(self.connections))
        self.requests.append(request)
        request.begin()
        return request

    @property
    def waiting(self) -> list[Request]:
        return [each for each in self.requests if each.place is not None]


class TestLines(SynchronousTestCase):
    def test_inOrder(self) -> None:
        model = Model((1,))
        for _ in range(4):
            model.ask()
        self.assertEqual((model.served, len(model.room)), ([(0, "a")], 3))
        for _ in range(3):
            model.connections["a"].use(-1)
        self.assertEqual([number for number, _ in model.served], [0, 1, 2, 3])
        self.assertEqual(len(model.room), 0)

    def test_whicheverHasRoomFirst(self) -> None:
        model = Model((1, 1))
        for _ in range(4):
            model.ask()
        model.connections["b"].use(-1)
        model.connections["b"].use(-1)
        self.assertEqual(model.served, [(0, "a"), (1, "b"), (2, "b"), (3, "b")])

    def test_whoMayNotGoThereIsPassedOver(self) -> None:
        model = Model((1, 1))
        for wants in ("a", "b", "a", "b"):
            model.ask(wants)
        model.connections["b"].use(-1)
        self.assertEqual(model.served[-1], (3, "b"))
        self.assertEqual([each.number for each in model.waiting], [2])

    def test_thoseWhoFailAtOnce(self) -> None:
        """However many wait, and however soon each is done: nobody's turn comes within that of another."""
        model = Model((1,), 5000)
        depth: list[int] = []

        class Failing(Request):
            def begin(self) -> None:
                depth.append(1)
                self.model.connections["a"].use(1)
                self.model.served.append((self.number, str(sum(depth))))
                self.model.connections["a"].use(-1)
                depth.pop()

        model.ask()
        for number in range(3000):
            request = Failing(model, number, frozenset("a"))
            request.place = model.room.line("pool").join(request, 5)
        model.connections["a"].use(-1)
        self.assertEqual(model.served[1:], [(number, "1") for number in range(3000)])

    def test_leaving(self) -> None:
        model = Model((1,))
        model.ask()
        left, stays = model.ask(), model.ask()
        assert left.place is not None
        left.place.leave()
        left.place.leave()  # harmless
        left.place = None
        model.connections["a"].use(-1)
        self.assertEqual(model.served[-1], (stays.number, "a"))

    def test_aLimit(self) -> None:
        model = Model((1,), 2)
        for _ in range(3):
            model.ask()
        error = self.assertRaises(ProxyError, model.ask)
        self.assertEqual(error.kind.reason, "queue_full")

    def test_aTimeout(self) -> None:
        """Never early, and at most two seconds late; the others go on waiting."""
        model = Model((1,))
        model.ask()
        first = model.ask()
        model.clock.advance(3)
        second = model.ask()
        model.clock.advance(1.9)
        self.assertEqual(first.error, "")
        model.clock.pump([0.5] * 5)
        self.assertEqual((first.error, second.error), ("queue_timeout", ""))
        self.assertEqual(len(model.room), 1)

    def test_aLimitThatWasRaised(self) -> None:
        """As by an agent: noticed with the next sweep."""
        model = Model((1,))
        model.ask()
        model.ask()
        model.connections["a"].limit = 2
        model.clock.advance(1)
        self.assertEqual([number for number, _ in model.served], [0, 1])

    def test_linesOfSeveralPools(self) -> None:
        """Who came first to either goes first to an upstream that both have."""
        model = Model((1,))
        model.ask()
        room = model.room
        ends = [Request(model, 7, frozenset("a")), Request(model, 8, frozenset("a")), Request(model, 9, frozenset("a"))]
        for request, name in zip(ends, ("x", "y", "x"), strict=True):
            request.place = room.line(name).join(request, 5)
        for _ in range(3):
            model.connections["a"].use(-1)
        self.assertEqual([number for number, _ in model.served], [0, 7, 8, 9])

    @given(
        st.tuples(st.integers(1, 3), st.integers(1, 3), st.integers(1, 3)),
        st.lists(st.one_of(st.sampled_from(["a", "b", "c", "ab", "bc", "abc"]), st.integers(0, 2), st.none()), max_size=80),
    )
    def test_fairness(self, limits: tuple[int, ...], steps: list[str | int | None]) -> None:
        """Whatever comes: nobody waits for whom there is room, no limit is passed, and nobody overtakes an earlier one who
        could have gone to the same place."""
        model = Model(limits)
        for step in steps:
            if isinstance(step, str):
                model.ask(step)
            elif step is None:
                if model.waiting:
                    gone = model.waiting[len(model.waiting) // 2]
                    assert gone.place is not None
                    gone.place.leave()
                    gone.place = None
            elif model.connections["abc"[step]].used:
                earlier = [each.number for each in model.waiting if "abc"[step] in each.wants]
                before = len(model.served)
                model.connections["abc"[step]].use(-1)
                if earlier:
                    assert model.served[before:] == [(min(earlier), "abc"[step])]
            for connections in model.connections.values():
                assert 0 <= connections.used <= connections.limit
                assert (connections.key in model.room.full) == connections.isFull
            assert not any(each.mayGoOn() for each in model.waiting)
            assert len(model.room) == len(model.waiting)


class TestWithRoom(SynchronousTestCase):
    def test_withRoom(self) -> None:
        model = Model((1, 1))
        upstreams = Candidates(Upstream(f"http://{key}") for key in "ab")
        for upstream in upstreams:
            model.connections[upstream.key] = Connections(model, upstream.key, 1)
        room = model.room
        self.assertIs(room.withRoom(upstreams), upstreams)
        model.connections[upstreams[0].key].use(1)
        left = room.withRoom(upstreams)
        self.assertEqual(list(left), [upstreams[1]])
        self.assertIs(room.withRoom(upstreams), left, "balancers may cache by identity")
        model.connections[upstreams[0].key].use(-1)
        self.assertIs(room.withRoom(upstreams), upstreams)
