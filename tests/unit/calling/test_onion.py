"""Layers of middleware: proceed once, a Response in time, failures by name; what only passes adds nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.bodies.body import EMPTY
from twistproxy.calling.hooks import label
from twistproxy.calling.onion import Onion
from twistproxy.errors import NO_UPSTREAM, ProxyError
from twistproxy.messages import Address, FrozenHeaders, InboundRequest, Response
from twistproxy.sweep import Sweeper

LIMIT = 5.0


def passes(request: Any, proceed: Any) -> Any:
    """The middleware that does nothing."""
    return proceed()


class Layer:
    """Middleware made of a function."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self.around = function


class Core:
    """An exchange that answers when the test says so, or at once."""

    error: ProxyError | None = None
    isOver = False

    def __init__(self) -> None:
        address = Address("192.0.2.1", 1)
        self.inbound = InboundRequest(b"GET", b"/", FrozenHeaders([]), address, address, "http")
        self.inbound.body = EMPTY
        self.asked = self.cancelled = 0
        self.result: Deferred[Response] = Deferred()
        self.results = 0
        self.atOnce: Callable[[], None] | None = None

    def proceed(self) -> None:
        self.asked += 1
        if self.atOnce is not None:
            self.atOnce()

    def proceedingCancelled(self) -> None:
        self.cancelled += 1

    def surrounded(self, result: Response | Failure) -> None:
        self.results += 1
        self.result.callback(result)


class OnionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sweeper = Sweeper(self.clock)
        self.sweeper.start()
        self.addCleanup(self.sweeper.stop)
        self.answer = Response(200)
        self.core = Core()

    def call(self, *functions: Callable[[Any, Any], Any]) -> Deferred[Response]:
        self.onion = Onion(self.core, [Layer(each) for each in functions], self.sweeper, LIMIT)
        self.onion.run()
        return self.core.result

    def error(self, answering: Deferred[Response]) -> ProxyError:
        error = self.failureResultOf(answering, ProxyError).value
        assert isinstance(error, ProxyError)
        return error

    def advance(self, seconds: int) -> None:
        self.clock.pump([1.0] * seconds)

    def test_aResponseIsTheAnswer(self) -> None:
        self.assertIs(self.successResultOf(self.call(lambda request, proceed: self.answer)), self.answer)
        self.assertEqual(self.core.asked, 0)

    def test_proceedGivesTheAnswerOfWhatIsInside(self) -> None:
        answering = self.call(lambda request, proceed: proceed())
        self.assertNoResult(answering)
        self.onion.answered(self.answer)
        self.assertIs(self.successResultOf(answering), self.answer)

    def test_proceedMayBeCalledOnce(self) -> None:
        def twice(request: Any, proceed: Any) -> Any:
            proceed()
            return proceed()

        error = self.error(self.call(twice))
        self.assertEqual((error.kind.status, self.core.asked), (500, 1))
        self.assertIn("proceed may be called once", error.detail)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_somethingElseThanAResponse(self) -> None:
        for wrong in ("text", None, succeed(3)):
            self.core = Core()
            error = self.error(self.call(lambda request, proceed, wrong=wrong: wrong))
            self.assertIn("not a Response", error.detail)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 3)

    def test_aProxyErrorKeepsItsKind(self) -> None:
        answering = self.call(lambda request, proceed: proceed())
        self.onion.failed(ProxyError(NO_UPSTREAM))
        self.assertIs(self.error(answering).kind, NO_UPSTREAM)

    def test_whatNeverAnswersIsTooLate(self) -> None:
        cancelled: list[object] = []
        answering = self.call(lambda request, proceed: Deferred(cancelled.append))
        self.advance(4)
        self.assertNoResult(answering)
        self.advance(4)
        self.assertIn("did not answer in time", self.error(answering).detail)
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_theTimeOfWhatIsInsideDoesNotCount(self) -> None:
        answering = self.call(lambda request, proceed: proceed())
        self.advance(60)
        self.assertNoResult(answering)
        self.onion.answered(self.answer)
        self.assertIs(self.successResultOf(answering), self.answer)

    def test_theTimeAfterwardsCounts(self) -> None:
        async def slow(request: Any, proceed: Any) -> Any:
            await proceed()
            await Deferred()

        answering = self.call(slow)
        self.onion.answered(self.answer)
        self.advance(8)
        self.assertIn("did not answer in time", self.error(answering).detail)
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_anExchangeThatIsOverCancelsItSilently(self) -> None:
        cancelled: list[object] = []
        self.call(lambda request, proceed: Deferred(cancelled.append))
        self.release()
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.flushLoggedErrors(), [])

    def release(self) -> None:
        """The exchange is over; whatever comes out still is its result."""
        self.onion.release(None)
        self.core.result.addErrback(lambda failure: None)

    def test_whatOnlyPassesIsOneDeferredForAll(self) -> None:
        got: list[Any] = []

        def keeps(request: Any, proceed: Any) -> Any:
            got.append(proceed())
            return got[-1]

        answering = self.call(keeps, keeps, keeps)
        self.assertEqual([each is got[0] for each in got], [True] * 3)
        self.onion.answered(self.answer)
        self.assertIs(self.successResultOf(answering), self.answer)
        self.assertEqual(self.core.results, 1)
        self.assertIs(self.successResultOf(got[0]), self.answer)

    def test_aFailureOfWhatOnlyPasses(self) -> None:
        answering = self.call(passes, passes)
        self.onion.failed(ProxyError(NO_UPSTREAM))
        self.assertIs(self.error(answering).kind, NO_UPSTREAM)
        self.assertEqual(self.core.results, 1)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_callbacksRunFromTheInsideOut(self) -> None:
        seen: list[int] = []

        def noting(number: int) -> Callable[[Any, Any], Any]:
            def around(request: Any, proceed: Any) -> Any:
                return proceed().addCallback(lambda response: seen.append(number) or response)

            return around

        answering = self.call(noting(1), passes, noting(2), passes, noting(3))
        self.onion.answered(self.answer)
        self.assertIs(self.successResultOf(answering), self.answer)
        self.assertEqual(seen, [3, 2, 1])

    def test_aCallbackThatReturnsNonsenseIsNamed(self) -> None:
        def wrong(request: Any, proceed: Any) -> Any:
            return proceed().addCallback(lambda response: None)

        seen: list[Any] = []

        def outside(request: Any, proceed: Any) -> Any:
            return proceed().addErrback(lambda failure: seen.append(failure.value) or failure)

        label(inner := Layer(wrong), "wrong #2")
        self.onion = Onion(self.core, [Layer(outside), Layer(passes), inner, Layer(passes)], self.sweeper, LIMIT)
        self.onion.run()
        self.onion.answered(self.answer)
        error = self.error(self.core.result)
        self.assertIn("wrong #2.around: TypeError: around returned a NoneType, not a Response", error.detail)
        self.assertEqual(seen, [error])
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)

    def test_theTimeOfALayerInsideOneThatPasses(self) -> None:
        """The limit is the slow layer's, and that of the one around it begins when it is through."""
        holding: Deferred[None] = Deferred()

        def holds(request: Any, proceed: Any) -> Any:
            return proceed().addCallback(lambda response: holding.addCallback(lambda _: response))

        async def slow(request: Any, proceed: Any) -> Any:
            await proceed()
            await Deferred()

        answering = self.call(slow, passes, holds)
        self.advance(60)
        self.onion.answered(self.answer)
        self.advance(4)
        holding.callback(None)
        self.advance(4)
        self.assertNoResult(answering)
        self.advance(4)
        self.assertIn("did not answer in time", self.error(answering).detail)
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_anAnswerAtOnce(self) -> None:
        for functions in ((passes,), (passes, passes), (lambda request, proceed: proceed().addCallback(lambda it: it), passes)):
            self.core = Core()
            self.core.atOnce = lambda: self.onion.answered(self.answer)
            self.assertIs(self.successResultOf(self.call(*functions)), self.answer)
            self.assertEqual(self.core.results, 1)

    def test_aFailureAtOnce(self) -> None:
        self.core.atOnce = lambda: self.onion.failed(ProxyError(NO_UPSTREAM))
        self.assertIs(self.error(self.call(passes, passes)).kind, NO_UPSTREAM)

    def test_whenItIsOverWhatWaitsLearnsIt(self) -> None:
        seen: list[Any] = []

        def watching(request: Any, proceed: Any) -> Any:
            return proceed().addErrback(lambda failure: seen.append(failure.value) or failure)

        self.call(watching, passes)
        error = ProxyError(NO_UPSTREAM)
        self.onion.release(error)
        self.core.result.addErrback(lambda failure: None)
        self.assertEqual(seen, [error])

    def test_whoeverListensAfterTheEndLearnsThatItIsOver(self) -> None:
        kept: list[Any] = []

        def keeping(request: Any, proceed: Any) -> Any:
            kept.append(proceed())
            return kept[0]

        self.call(passes, keeping)
        self.assertFalse(self.onion.seesAnswers)
        self.onion.release(None)
        self.assertIn("over", self.error(kept[0]).detail)

    def test_whoSeesAnswers(self) -> None:
        """Only middleware that listens to what proceed gave it, or that has something of its own."""
        waiting: Deferred[None] = Deferred()
        for functions, sees in (
            ((passes, passes), False),
            ((passes, lambda request, proceed: proceed().addBoth(lambda it: it)), True),
            ((lambda request, proceed: waiting.addCallback(lambda _: proceed()), passes), True),
            ((lambda request, proceed: proceed().addCallback(lambda it: it), passes), True),
            ((lambda request, proceed: Deferred(), passes), True),
        ):
            self.core = Core()
            self.call(*functions)
            self.assertEqual(self.onion.seesAnswers, sees)
            self.release()

    def test_whenItIsOverAHeldAnswerIsCancelled(self) -> None:
        cancelled: list[object] = []

        def holds(request: Any, proceed: Any) -> Any:
            return proceed().addCallback(lambda response: Deferred(cancelled.append))

        self.call(holds, passes)
        self.onion.answered(self.answer)
        self.release()
        self.assertEqual(len(cancelled), 1)

    def test_losingPatienceWhileItProceeds(self) -> None:
        got: list[Any] = []

        def impatient(request: Any, proceed: Any) -> Any:
            got.append(proceed())
            return got[0].addErrback(lambda failure: self.answer)

        answering = self.call(impatient)
        got[0].cancel()
        self.assertEqual(self.core.cancelled, 1)
        self.assertIs(self.successResultOf(answering), self.answer)

    def test_proceedingAfterTheEnd(self) -> None:
        later: list[Any] = []
        waiting: Deferred[Response] = Deferred()

        def around(request: Any, proceed: Any) -> Any:
            later.append(proceed)
            return waiting

        self.call(around)
        self.core.isOver = True
        self.assertIsInstance(self.failureResultOf(later[0]()).value, ProxyError)
        self.assertEqual(self.core.asked, 0)
