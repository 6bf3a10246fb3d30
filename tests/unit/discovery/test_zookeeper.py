"""Upstreams from ZooKeeper, with a client that does what the test says."""

from __future__ import annotations

import sys
from typing import Any
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.builtin import BUILT_IN
from twistproxy.config import BuildContext
from twistproxy.discovery.entries import EntryReader
from twistproxy.discovery.keeper import MISSING, KeeperOptions
from twistproxy.discovery.zookeeper import ZooKeeper, entryOf
from twistproxy.errors import ConfigurationError


class ConnectionLoss(Exception):
    """Named as kazoo's."""


class NoAuthError(Exception):
    """Another one."""


class FakeKeeper:
    """Nodes in a dict, answered at once, or when the test says.

    @ivar asked: paths, as they were read.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, bytes] = {}
        self.asked: list[str] = []
        self.slow: list[tuple[Deferred[Any], Any]] | None = None
        self.error: Exception | None = None
        self.starts = self.stops = 0

    def start(self) -> None:
        self.starts += 1

    def stop(self) -> Deferred[None]:
        self.stops += 1
        return succeed(None)

    def _answer(self, value: Any) -> Deferred[Any]:
        if self.error is not None:
            return fail(self.error)
        if self.slow is None:
            return succeed(value)
        waiting: Deferred[Any] = Deferred()
        self.slow.append((waiting, value))
        return waiting

    def children(self, path: str) -> Deferred[Any]:
        self.asked.append(path)
        found = [each.removeprefix(f"{path}/") for each in self.nodes if each.startswith(f"{path}/")]
        return self._answer(found if path in self.nodes else None)

    def data(self, path: str) -> Deferred[Any]:
        self.asked.append(path)
        return self._answer(self.nodes.get(path))

    def exists(self, path: str) -> Deferred[Any]:
        return self._answer(path in self.nodes)

    def release(self) -> None:
        """Answer what was asked so far."""
        slow, self.slow = self.slow or [], []
        for waiting, value in slow:
            if not waiting.called:
                waiting.callback(value)


class ZooKeeperTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.keeper = FakeKeeper()
        self.keeper.nodes = {"/web": b"", "/web/a:1": b"", "/web/b:2": b""}
        self.told: list[list[str]] = []
        self.source = ZooKeeper(BuildContext(self.clock), "/web", format="http://%s/x")
        self.patch(self.source, "makeKeeper", lambda: self.keeper)
        self.source.subscribe(lambda upstreams: self.told.append([each.location.host for each in upstreams]))
        self.source.startService()
        self.addCleanup(self.source.stopService)

    def connect(self) -> None:
        self.source._stateChanged("CONNECTED")
        self.clock.advance(0)

    def test_readOnceItIsConnected(self) -> None:
        self.assertEqual(self.keeper.asked, [])
        self.connect()
        self.assertEqual(self.told, [["a", "b"]])

    def test_aChangeIsReadAndOnlyWhatChanged(self) -> None:
        self.connect()
        self.keeper.asked.clear()
        self.keeper.nodes |= {"/web/c:3": b""}
        self.source._nodeChanged("/web")
        self.clock.advance(1)
        self.assertEqual(self.told[1:], [["a", "b", "c"]])
        self.assertEqual(self.keeper.asked, ["/web", "/web/c:3"])

    def test_dataThatChangesIsReadAgain(self) -> None:
        self.connect()
        self.keeper.nodes["/web/a:1"] = b'{"host": "z", "port": 1}'
        self.source._nodeChanged("/web/a:1")
        self.clock.advance(1)
        self.assertEqual(self.told[1:], [["z", "b"]])

    def test_aChangeWhileItReadsIsReadAfterIt(self) -> None:
        self.keeper.slow = []
        self.connect()
        self.keeper.release()  # the names
        self.keeper.nodes["/web/a:1"] = b'{"host": "z", "port": 1}'
        self.source._nodeChanged("/web/a:1")  # comes before the answer that was sent before it
        self.keeper.release()  # the data of both
        self.keeper.slow = None
        self.clock.advance(1)
        self.assertEqual(self.told, [["a", "b"], ["z", "b"]])

    def test_manyChangesAreOneReading(self) -> None:
        self.connect()
        self.keeper.asked.clear()
        for _ in range(50):
            self.source._nodeChanged("/web")
        self.clock.advance(1)
        self.assertEqual(self.keeper.asked, ["/web"])

    def test_aLostConnectionChangesNothingAndAllIsReadAfterIt(self) -> None:
        self.connect()
        with capturedLogs() as events:
            self.source._nodeChanged(None)
            self.source._stateChanged("SUSPENDED")
            self.source._stateChanged("LOST")
            self.clock.advance(100)
        self.assertEqual(self.told, [["a", "b"]])
        self.assertEqual([formatEvent(each) for each in events],
                         ["zookeeper 127.0.0.1:2181/web: connection lost; its 2 upstreams stay"])  # fmt: skip
        self.keeper.asked.clear()
        self.keeper.nodes.pop("/web/a:1")
        self.connect()
        self.assertEqual(self.told[1:], [["b"]])
        self.assertEqual(self.keeper.asked, ["/web", "/web/b:2"])

    def test_aConnectionLostWhileItReadsIsNoFailure(self) -> None:
        self.keeper.slow = []
        self.connect()
        with capturedLogs() as events:
            self.keeper.slow.pop()[0].errback(ConnectionLoss())
            self.source._stateChanged("SUSPENDED")
            self.clock.advance(100)
        self.assertEqual(len(events), 1)
        self.keeper.slow = None
        self.connect()
        self.assertEqual(self.told, [["a", "b"]])

    def test_whatCannotBeReadIsTriedAgainLaterAndLater(self) -> None:
        self.keeper.error = NoAuthError()
        with capturedLogs() as events:
            self.connect()
            for _ in range(100):
                self.clock.advance(1)
        self.assertTrue(4 <= len(events) <= 8, len(events))
        self.assertIn("not read (NoAuthError); again in ", formatEvent(events[1]))
        self.keeper.error = None
        self.clock.pump([1] * 31)
        self.assertEqual(self.told, [["a", "b"]])

    def test_anAnswerThatNeverComesIsNotWaitedForForEver(self) -> None:
        self.keeper.slow = []
        self.connect()
        self.clock.advance(10)
        self.keeper.slow = None
        self.clock.advance(3)
        self.assertEqual(self.told, [["a", "b"]])

    def test_aNodeThatIsNotThereIsEmptyUntilItComes(self) -> None:
        self.keeper.nodes.clear()
        self.connect()
        self.assertEqual(self.told, [[]])
        self.keeper.nodes = {"/web": b"", "/web/c:3": b""}
        self.source._nodeChanged("/web")
        self.clock.advance(1)
        self.assertEqual(self.told, [[], ["c"]])

    def test_kazooGivesUpAndWeDoNot(self) -> None:
        self.connect()
        self.source._stateChanged("LOST")
        self.source._ended()
        self.assertEqual((self.keeper.starts, self.keeper.stops), (1, 1))
        self.clock.advance(3)
        self.assertEqual(self.keeper.starts, 2)

    def test_complaintsAreToldOnceForEachTimeWithout(self) -> None:
        with capturedLogs() as events:
            for _ in range(5):
                self.source._complained("refused")
            self.connect()
            self.source._stateChanged("SUSPENDED")
            self.source._complained("refused")
        self.assertEqual([formatEvent(each).endswith("refused") for each in events], [True, False, False, True])

    def test_stoppedItPlansNothing(self) -> None:
        self.keeper.slow = []
        self.connect()
        self.source._nodeChanged("/web")
        self.source.stopService()
        self.keeper.release()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.told, [])
        self.source.startService()


class EntryTests(SynchronousTestCase):
    def test_auto(self) -> None:
        for name, data, entry in (
            ("10.0.0.1:80", b"", "10.0.0.1:80"),
            ("10.0.0.1:80", b"192.168.0.7", "10.0.0.1:80"),  # old clients of ZooKeeper leave their own address as data
            ("10.0.0.1:80", b'{"weight": 3}', {"weight": 3, "address": "10.0.0.1:80"}),
            ("10.0.0.1:80", b'{"host": "h", "port": 1}', {"host": "h", "port": 1}),
            ("member_01", b"10.0.0.1:80", "10.0.0.1:80"),
            ("member_01", b'{"address": "h", "port": 1}', {"address": "h", "port": 1}),
            ("http%3A%2F%2F10.0.0.1%3A80%2Fbase", b"", "http://10.0.0.1:80/base"),
            ("member_01", b'{"host"', 'member_01: {"host"'),
        ):
            self.assertEqual(entryOf(name, data, "auto"), entry)

    def test_oneOfTheTwo(self) -> None:
        self.assertEqual(entryOf("h:1", b'{"host": "x"}', "names"), "h:1")
        self.assertEqual(entryOf("h:1", b"x:2", "data"), "x:2")
        self.assertEqual(entryOf("h:1", b'{"weight": 2}', "data"), {"weight": 2})

    @settings(max_examples=60, deadline=None)
    @given(st.text(min_size=1), st.binary() | st.text().map(lambda text: f'{{"host": {text!r}'.encode()))
    def test_nothingRaisesAnythingElse(self, name: str, data: bytes) -> None:
        found, problems = EntryReader().readAll([entryOf(name, data, "auto")])
        self.assertEqual(len(found) + len(problems), 1)

    def test_longDataIsNone(self) -> None:
        entry = entryOf("member", b"[" * 20_000, "auto")
        self.assertEqual(EntryReader().readAll([entry]),
                         ([], ["member: more than 16384 bytes of data is neither an address nor a URL"]))  # fmt: skip


class OptionTests(SynchronousTestCase):
    def problem(self, *args: Any, **options: Any) -> str:
        context = BuildContext(Clock())
        return str(self.assertRaises(ConfigurationError, BUILT_IN["zookeeper"].build, context, *args, **options))

    def test_mistakesAreALineEach(self) -> None:
        self.assertIn("is not the path of a node", self.problem("services"))
        self.assertIn("needs one %s", self.problem("/web", format="http://a"))
        self.assertIn("hosts: ':x'", self.problem("/web", hosts=":x"))
        self.assertIn("auth: scheme:credential", self.problem("/web", auth="secret"))
        self.assertIn("ca: /nowhere/ca.pem cannot be read", self.problem("/web", ca="/nowhere/ca.pem"))
        self.assertIn("a key needs its certificate", self.problem("/web", key=__file__))
        self.assertIn(__file__, self.problem("/web", ca=__file__))
        self.assertIn("did you mean 'weights'?", self.problem("/web", wieghts="a=1"))

    def test_withoutKazooALineSaysWhatToDo(self) -> None:
        with mock.patch.dict(sys.modules, {"kazoo": None, "kazoo.hosts": None}):
            self.assertEqual(self.problem("/web"), f"zookeeper: {MISSING}")

    def test_aSecretIsNotShown(self) -> None:
        self.assertNotIn("password", repr(KeeperOptions("h:1", 1.0, "digest:me:password")))
