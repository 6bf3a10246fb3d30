"""Where requests wait while every upstream that could serve them has as many connections as it may: first come, first served.

A request does not wait for one upstream but in the line of its pool: whichever of the members has room first takes the
first who may go there, as HAProxy's queue of a backend. A line has a limit and a timeout, and forgets who leaves.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from itertools import count
from typing import Protocol

from twistproxy.errors import QUEUE_FULL, QUEUE_TIMEOUT, ProxyError
from twistproxy.messages import Upstream
from twistproxy.sweep import Sweeper
from twistproxy.upstream.candidates import Candidates


class Waiter(Protocol):
    """A request that waits."""

    def accepts(self, key: str) -> bool:
        """Whether it may go to the upstream of that key."""

    def turnCame(self) -> None:
        """There is room for it, and it waits no longer: let it go there."""

    def mayGoOn(self) -> bool:
        """Whether waiting has become pointless, or needless for another reason than room: members came back, or all went."""

    def waitedInVain(self, error: ProxyError) -> None:
        """It waited for too long, and waits no longer."""


class Limited(Protocol):
    """The connections to an upstream."""

    @property
    def isFull(self) -> bool:
        """Whether there are as many as there may be, all in use."""


class Place:
    """A waiter's place in a line.

    @ivar deadline: when it has waited long enough, in the time of L{Sweeper.now}.
    @ivar number: smaller for who came earlier, over all lines.
    """

    __slots__ = ("_line", "deadline", "number", "waiter")

    def __init__(self, line: Line, waiter: Waiter, number: int, deadline: float) -> None:
        self._line = line
        self.waiter = waiter
        self.number = number
        self.deadline = deadline

    def leave(self) -> None:
        """Wait no longer: the client has left, or the turn came."""
        self._line.remove(self)


class Line:
    """Those who wait for the same upstreams, in the order in which they came.

    @ivar deadline: see L{twistproxy.sweep.Watched}: it is looked at with each sweep.
    """

    def __init__(self, room: WaitingRoom, name: str, limit: int) -> None:
        """
        @param name: of the pool, for messages.
        @param limit: most who wait.
        """
        self._room = room
        self._limit = limit
        self._places: OrderedDict[Place, None] = OrderedDict()  # a dict gets slow when its first ones go all the time
        self.name = name
        self.deadline = 0.0

    def __len__(self) -> int:
        return len(self._places)

    def __iter__(self) -> Iterator[Place]:
        return iter(self._places)

    def __repr__(self) -> str:
        return f"<Line {self.name} {len(self)}>"

    def join(self, waiter: Waiter, patience: float) -> Place:
        """Wait at the end of it.

        @param patience: seconds to wait at most.
        @raise ProxyError: when too many wait already.
        """
        if len(self._places) >= self._limit:
            raise ProxyError(QUEUE_FULL, f"{len(self._places)} requests wait for {self.name} already")
        place = Place(self, waiter, self._room.nextNumber(), self._room.sweeper.after(patience))
        self._places[place] = None
        if len(self._places) == 1:
            self._room.lineOpened(self)
        return place

    def remove(self, place: Place) -> None:
        """One waits no longer."""
        if self._places.pop(place, self) is None and not self._places:
            self._room.lineClosed(self)

    def firstFor(self, key: str) -> Place | None:
        """The first who may go to the upstream of that key."""
        for place in self._places:
            if place.waiter.accepts(key):
                return place
        return None

    def deadlinePassed(self) -> None:
        """A sweep: those whose time is up go, and each of the others may see whether it can go on."""
        self._room.refresh()
        self.look()

    def look(self) -> None:
        """Let go who need not wait, or need not wait any longer."""
        now = self._room.sweeper.now
        for place in list(self._places):
            if place not in self._places:
                continue  # it left while another was told
            if place.deadline <= now:
                place.leave()
                place.waiter.waitedInVain(ProxyError(QUEUE_TIMEOUT, f"nothing became free for {self.name} in time"))
            elif place.waiter.mayGoOn():
                place.leave()
                place.waiter.turnCame()


class WaitingRoom:
    """All lines of one proxy, and which upstreams are full.

    @ivar full: upstreams that have as many connections as they may, all of them in use, by key. Nearly always empty.
    """

    def __init__(self, sweeper: Sweeper, limit: int) -> None:
        """@param limit: most who wait in one line."""
        self.sweeper = sweeper
        self.full: dict[str, Limited] = {}
        self._limit = limit
        self._lines: dict[str, Line] = {}
        self._numbers = count()
        self._giving: set[str] = set()
        self._candidates: Candidates | None = None
        self._withRoom = Candidates(())
        self._keysOf: Candidates | None = None
        self._keys: frozenset[str] = frozenset()

    def __len__(self) -> int:
        """How many wait."""
        return sum(map(len, self._lines.values()))

    def line(self, name: str) -> Line:
        """The line of that name."""
        return self._lines.get(name) or Line(self, name, self._limit)

    def nextNumber(self) -> int:
        """For the next who comes."""
        return next(self._numbers)

    def lineOpened(self, line: Line) -> None:
        """Somebody waits in it."""
        self._lines[line.name] = line
        self.sweeper.watch(line)

    def lineClosed(self, line: Line) -> None:
        """Nobody waits in it any more."""
        del self._lines[line.name]
        self.sweeper.forget(line)

    def settle(self, key: str, connections: Limited) -> None:
        """The connections of an upstream have become more, or fewer, or free: note whether there is room, and give it away."""
        if connections.isFull:
            if key not in self.full:
                self.full[key] = connections
                self._candidates = None
            return
        if key in self.full:
            del self.full[key]
            self._candidates = None
        if key not in self._giving:  # else a turn that was given further up the stack is over already: the next is given there
            self._giving.add(key)
            try:
                self._give(key)
            finally:
                self._giving.discard(key)

    def _give(self, key: str) -> None:
        """An upstream has room: as many go there as it takes."""
        while self._lines and key not in self.full:
            first = [place for place in (line.firstFor(key) for line in self._lines.values()) if place is not None]
            if not first:
                return
            place = min(first, key=lambda each: each.number)
            place.leave()
            place.waiter.turnCame()

    def poolsChanged(self) -> None:
        """Members or their limits may be others than they were."""
        self.refresh()
        for line in list(self._lines.values()):
            line.look()

    def refresh(self) -> None:
        """Limits may be others than they were."""
        for key, connections in list(self.full.items()):
            if not connections.isFull:
                self.settle(key, connections)

    def withRoom(self, candidates: Candidates) -> Candidates:
        """Those of C{candidates} that are not full; the same object as long as these are the same."""
        if candidates is not self._candidates:
            self._candidates = candidates
            left: list[Upstream] = [each for each in candidates if each.key not in self.full]
            draining: list[Upstream] = [each for each in candidates.draining if each.key not in self.full]
            isSame = len(left) == len(candidates) and len(draining) == len(candidates.draining)
            self._withRoom = candidates if isSame else Candidates(left, draining)
        return self._withRoom

    def isAmong(self, key: str, candidates: Candidates) -> bool:
        """Whether the upstream of that key is one of them. Those who wait mostly have the same candidates."""
        if candidates is not self._keysOf:
            self._keysOf = candidates
            self._keys = frozenset(each.key for each in candidates)
        return key in self._keys
