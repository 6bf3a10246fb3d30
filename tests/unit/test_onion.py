"""One layer of middleware: proceed once, a Response in time, failures by name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.errors import NO_UPSTREAM, ProxyError
from twistproxy.messages import Address, InboundRequest, Response
from twistproxy.onion import around
from twistproxy.sweep import Sweeper

LIMIT = 5.0


class Layer:
    """Middleware made of a function."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        self.around = function


class OnionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.sweeper = Sweeper(self.clock)
        self.sweeper.start()
        self.addCleanup(self.sweeper.stop)
        self.answer = Response(200)
        self.inner: Deferred[Response] = Deferred()
        self.asked = 0

    def call(self, function: Callable[[Any, Any], Any]) -> Deferred[Response]:
        address = Address("192.0.2.1", 1)
        request = InboundRequest(b"GET", b"/", [], address, address, "http")

        def inner() -> Deferred[Response]:
            self.asked += 1
            return self.inner

        return around(Layer(function), request, inner, self.sweeper, LIMIT)

    def error(self, answering: Deferred[Response]) -> ProxyError:
        error = self.failureResultOf(answering, ProxyError).value
        assert isinstance(error, ProxyError)
        return error

    def advance(self, seconds: int) -> None:
        self.clock.pump([1.0] * seconds)

    def test_aResponseIsTheAnswer(self) -> None:
        self.assertIs(self.successResultOf(self.call(lambda request, proceed: self.answer)), self.answer)
        self.assertEqual(self.asked, 0)

    def test_proceedGivesTheAnswerOfWhatIsInside(self) -> None:
        answering = self.call(lambda request, proceed: proceed())
        self.assertNoResult(answering)
        self.inner.callback(self.answer)
        self.assertIs(self.successResultOf(answering), self.answer)

    def test_proceedMayBeCalledOnce(self) -> None:
        def twice(request: Any, proceed: Any) -> Any:
            proceed()
            return proceed()

        error = self.error(self.call(twice))
        self.assertEqual((error.kind.status, self.asked), (500, 1))
        self.assertIn("proceed may be called once", error.detail)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_somethingElseThanAResponse(self) -> None:
        for wrong in ("text", None, succeed(3)):
            error = self.error(self.call(lambda request, proceed, wrong=wrong: wrong))
            self.assertIn("not a Response", error.detail)
        self.assertEqual(len(self.flushLoggedErrors(TypeError)), 3)

    def test_aProxyErrorKeepsItsKind(self) -> None:
        answering = self.call(lambda request, proceed: proceed())
        self.inner.errback(ProxyError(NO_UPSTREAM))
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
        self.inner.callback(self.answer)
        self.assertIs(self.successResultOf(answering), self.answer)

    def test_theTimeAfterwardsCounts(self) -> None:
        async def slow(request: Any, proceed: Any) -> Any:
            await proceed()
            await Deferred()

        answering = self.call(slow)
        self.inner.callback(self.answer)
        self.advance(8)
        self.assertIn("did not answer in time", self.error(answering).detail)
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_anExchangeThatIsOverCancelsItSilently(self) -> None:
        cancelled: list[object] = []
        answering = self.call(lambda request, proceed: Deferred(cancelled.append))
        answering.addErrback(lambda failure: None)
        answering.cancel()
        self.assertEqual(len(cancelled), 1)
        self.assertEqual(self.flushLoggedErrors(), [])
