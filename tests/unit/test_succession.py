"""L{twistproxy.succession}: which middleware goes on at a reload."""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.unit.builtin import BUILT_IN
from tests.unit.test_reloading import A, B, _Reloading
from twistproxy.config import Configuration, PluginUse, RouteConfig
from twistproxy.interfaces import IMiddleware
from twistproxy.routing import RouteMatch
from twistproxy.succession import successors


def use(tag: str, *args: Any, **options: Any) -> PluginUse:
    return PluginUse("somewhere", IMiddleware, BUILT_IN[tag], args, options)


class TestSuccessors(SynchronousTestCase):
    def pairs(self, before: list[RouteConfig], after: list[RouteConfig], *forAll: list[PluginUse]) -> list[tuple[str, str]]:
        """Their first arguments."""
        old, new = forAll or ([], [])
        one = Configuration((), (), tuple(before), middleware=tuple(old))
        other = Configuration((), (), tuple(after), middleware=tuple(new))
        return [(each.args[0], following.args[0]) for each, following in successors(one, other)]

    def route(self, *words: str, **options: Any) -> RouteConfig:
        return RouteConfig(middleware=tuple(use("fallback", each) for each in words), **options)

    def test_writtenAsBefore(self) -> None:
        self.assertEqual(self.pairs([self.route("a", "b")], [self.route("a", "b")]), [("a", "a"), ("b", "b")])

    def test_elsewhereInTheFile(self) -> None:
        a, b = RouteMatch(hosts=("a.example",)), RouteMatch(hosts=("b.example",))
        before = [self.route("x", match=a), self.route("y", match=b)]
        after = [self.route("new"), self.route("y", match=b), self.route("x", match=a)]
        self.assertEqual(self.pairs(before, after), [("y", "y"), ("x", "x")])

    def test_theSameTwice(self) -> None:
        self.assertEqual(len(self.pairs([self.route("a")], [self.route("a"), self.route("a")])), 1)

    def test_otherWords(self) -> None:
        before = self.route("a", pool="web", settings={"hookTimeout": 1.0})
        for after in (
            self.route("b", pool="web", settings={"hookTimeout": 1.0}),
            self.route("a", "b", pool="web", settings={"hookTimeout": 1.0}),
            self.route("a", pool="other", settings={"hookTimeout": 1.0}),
            self.route("a", pool="web"),
            self.route("a", pool="web", settings={"hookTimeout": 1.0}, match=RouteMatch(hosts=("a.example",))),
            self.route("a", pool="web", settings={"hookTimeout": 1.0}, directors=(use("split", "x"),)),
            self.route("a", pool="web", settings={"hookTimeout": 1.0}, retryPolicy=use("retry")),
        ):
            self.assertEqual(self.pairs([before], [after]), [])

    def test_ofAllRoutes(self) -> None:
        """They see requests of all of them."""
        same = [use("fallback", "all")], [use("fallback", "all")]
        self.assertEqual(self.pairs([self.route("a")], [self.route("a")], *same), [("all", "all"), ("a", "a")])
        self.assertEqual(self.pairs([self.route("a")], [self.route("b")], *same), [])
        self.assertEqual(self.pairs([self.route("a")], [self.route("a"), self.route("b")], *same), [("a", "a")])
        self.assertEqual(self.pairs([], [], [use("fallback", "all")], [use("fallback", "other")]), [])


@implementer(IMiddleware)
class Successor:
    """Knows whose place it took."""

    made: list[Successor] = []
    isBroken = False
    before: Any = None

    def __init__(self) -> None:
        self.made.append(self)

    def takeOver(self, before: Successor) -> None:
        self.before = before
        if self.isBroken:
            raise ValueError("ours")

    def around(self, request: Any, proceed: Any) -> Any:
        return proceed()


class TestAtAReload(_Reloading):
    words = "tests.unit.test_succession.Successor"

    def setUp(self) -> None:
        super().setUp()
        Successor.made = []

    def test_itGetsTheOneBefore(self) -> None:
        self.start(A, middleware=[self.words])
        self.successResultOf(self.reload(B, middleware=[self.words]))
        before, after = Successor.made
        self.assertIs(after.before, before)
        self.successResultOf(self.reload(B, middleware=[self.words, "request-id"]))
        self.assertIs(Successor.made[-1].before, None)

    def test_aFailureChangesNothing(self) -> None:
        self.patch(Successor, "isBroken", True)
        self.start(A, middleware=[self.words])
        with capturedLogs() as logged:
            self.successResultOf(self.reload(B, middleware=[self.words]))
        self.assertEqual(self.members(), [B])
        self.assertEqual([each["log_format"] for each in logged if "log_failure" in each], ["Plugin {plugin} failed in takeOver"])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_earlierAnswersStay(self) -> None:
        self.start(A, middleware=["fallback:stale=10m"])
        fallback = self.fallback()
        self.successResultOf(self.reload(B, middleware=["fallback:stale=10m"]))
        self.assertIsNot(self.fallback(), fallback)
        self.assertIs(self.fallback().stale, fallback.stale)
        self.successResultOf(self.reload(B, middleware=["fallback:stale=11m"]))
        self.assertIsNot(self.fallback().stale, fallback.stale)

    def fallback(self) -> Any:
        """The one that is there now."""
        return next(each for each in self.service._generation.plugins if hasattr(each, "stale"))
