"""C{fallback} and C{circuit-breaker} together: who is asked, and who answers, while upstreams fail."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.unit.builtin import built
from twistproxy.errors import FORBIDDEN, ProxyError
from twistproxy.interfaces import IMiddleware
from twistproxy.messages import InboundRequest
from twistproxy.testing import FakeUpstream, MemoryNetwork, ProxyHarness

BREAKER = "circuit-breaker:errors=50%:volume=2:open=10s:recovery=0s"


@implementer(IMiddleware)
class Door:
    """Lets nobody pass who asks for /secret."""

    def around(self, request: InboundRequest, proceed: Any) -> Any:
        if request.path == b"/secret":
            raise ProxyError(FORBIDDEN)
        return proceed()


class DegradationTestCase(SynchronousTestCase):
    """A proxy with two pools.

    @ivar first: the one upstream of the first pool.
    @ivar other: that of the other.
    """

    def harness(self, *middleware: Any, **options: Any) -> ProxyHarness:
        """A proxy whose first pool is broken, if nothing else is said."""
        self.first = options.pop("first", None) or FakeUpstream().respond(502, body=b"broken")
        self.other = FakeUpstream(body=b"other")
        harness = ProxyHarness(upstream=self.first, pools={"other": self.other}, middleware=list(middleware), **options)
        self.addCleanup(harness.close)
        return harness


class TestBreakerAndPool(DegradationTestCase):
    def test_itOpensThoughTheOtherPoolAnswers(self) -> None:
        """What counts is what the first pool does."""
        harness = self.harness("fallback:pool=other", BREAKER)
        for _ in range(4):
            self.assertEqual(harness.get("/").body, b"other")
        self.assertEqual((len(self.first.requests), len(self.other.requests)), (2, 4))

    def test_aPoolThatIsNotThereCountsToo(self) -> None:
        harness = self.harness("fallback:pool=other", BREAKER)
        self.first.refuse()
        harness.get("/")
        harness.get("/")
        self.first.comeBack()
        self.assertEqual((harness.get("/").body, len(self.first.requests)), (b"other", 0))

    def test_whatIsNoFailureDoesNotCount(self) -> None:
        harness = self.harness("fallback:pool=other:on=404", BREAKER, first=FakeUpstream().respond(404))
        for _ in range(4):
            self.assertEqual(harness.get("/").body, b"other")
        self.assertEqual(len(self.first.requests), 4)

    def test_itClosesAgain(self) -> None:
        first = FakeUpstream().respond(502).respond(502).respond(200, body=b"first")
        harness = self.harness("fallback:pool=other", BREAKER, first=first)
        self.assertEqual([harness.get("/").body for _ in range(3)], [b"other"] * 3)
        harness.advance(11)
        self.assertEqual([harness.get("/").body for _ in range(2)], [b"first"] * 2)

    def test_theOthersFailuresAreNotTheFirsts(self) -> None:
        """While it is open the trial after it is the first pool's, whatever the other does meanwhile."""
        first = FakeUpstream().respond(502).respond(502).respond(200, body=b"first")
        harness = self.harness("fallback:pool=other", BREAKER, first=first)
        self.other.respond(502)
        self.assertEqual([harness.get("/").status for _ in range(3)], [502] * 3)
        harness.advance(11)
        self.assertEqual(harness.get("/").body, b"first")

    def test_requestsWithABody(self) -> None:
        """Nothing was sent to anybody yet: any method may go to the other."""
        harness = self.harness("fallback:pool=other", BREAKER)
        harness.get("/")
        harness.get("/")
        self.assertEqual(harness.post("/", b"pay").body, b"other")
        self.assertEqual((len(self.first.requests), self.other.requests[-1].body), (2, b"pay"))

    def test_whoMayNotPassIsRefusedAllTheSame(self) -> None:
        """What is inside of the breaker is asked."""
        harness = self.harness("fallback:pool=other", BREAKER, Door())
        for _ in range(3):
            harness.get("/")
        asked = len(self.other.requests)
        self.assertEqual(harness.get("/secret").status, 403)
        self.assertEqual(len(self.other.requests), asked)

    def test_itIsNotForThatStatus(self) -> None:
        harness = self.harness("fallback:pool=other:on=502", BREAKER)
        harness.get("/")
        harness.get("/")
        answer = harness.get("/")
        self.assertEqual((answer.status, answer.headers.get("Retry-After")), (503, "10"))
        self.assertEqual(len(self.first.requests), 2)

    def test_directorsChooseNobodyWhoRests(self) -> None:
        """An upstream that a director chose is spared, too."""
        harness = self.harness("fallback:pool=other", BREAKER, director=lambda inbound, outbound: harness.members[0])
        for _ in range(4):
            self.assertEqual(harness.get("/").body, b"other")
        self.assertEqual(len(self.first.requests), 2)

    def test_aBreakerWithin(self) -> None:
        """Neither is asked beyond the first that is open, and the outer one does not learn from it."""
        network = MemoryNetwork()
        outer = built(IMiddleware, BREAKER.replace("volume=2", "volume=4"), reactor=network)
        harness = self.harness("fallback:pool=other", outer, BREAKER, network=network)
        for _ in range(8):
            self.assertEqual(harness.get("/").body, b"other")
        self.assertEqual(len(self.first.requests), 2)
        self.assertEqual(outer.breaker.state.value, "closed")
