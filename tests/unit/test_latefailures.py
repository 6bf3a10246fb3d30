"""Once an upstream's answer was taken, its failure is final, whatever a retry policy says: the client may have the head."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.errors import ProxyError
from twistproxy.messages import Commit, Response, Retry
from twistproxy.testing import FakeUpstream, ProxyTestMixin


def always(attempt: Any) -> Any:
    """A policy that never gives up on failures, and takes every answer."""
    return Retry() if attempt.response is None else Commit()


class LateFailuresTests(ProxyTestMixin, SynchronousTestCase):
    def upstreams(self) -> list[FakeUpstream]:
        """One that breaks off in its body, and one that is well."""
        return [FakeUpstream(body=b"x" * 1000).resetAfter(500), FakeUpstream(body=b"another")]

    def test_anAnswerThatWasBegunBreaksOff(self) -> None:
        upstreams = self.upstreams()
        harness = self.proxyHarness(retryPolicy=always, upstreams=upstreams)
        answer = harness.get()
        self.assertEqual((answer.status, answer.isTruncated, upstreams[1].requests), (200, True, []))
        self.assertNotIn(b"another", answer.body)

    def test_anAnswerThatModifiersAreAtWorkOnBecomesAnError(self) -> None:
        async def modify(request: Any, response: Any) -> None:
            await deferLater(harness.network, 20)

        upstreams = self.upstreams()
        harness = self.proxyHarness(retryPolicy=always, modifier=modify, upstreams=upstreams)
        answer = harness.get()
        self.assertEqual((answer.status, upstreams[1].requests), (502, []))

    def test_beforeThatAnotherIsAsked(self) -> None:
        upstreams = [FakeUpstream().resetAfter(10), FakeUpstream(body=b"another")]
        harness = self.proxyHarness(retryPolicy=always, upstreams=upstreams)
        self.assertEqual(harness.get().body, b"another")


class WhileModifiersWorkTests(ProxyTestMixin, SynchronousTestCase):
    """The upstream fails while a modifier is at work on its answer, and middleware waits for both."""

    async def catching(self, request: Any, proceed: Any) -> Any:
        """Middleware that answers failures."""
        try:
            return await proceed()
        except ProxyError as error:
            return Response(599, {}, error.kind.reason.encode())

    def test_theMiddlewareIsToldAtOnceAndItsAnswerIsTheOne(self) -> None:
        ended: list[str] = []

        async def modify(request: Any, response: Any) -> None:
            try:
                await deferLater(harness.network, 5)
            finally:
                ended.append("modifier")

        harness = self.proxyHarness(modifier=modify, middleware=self.catching, upstream=FakeUpstream().closeMidChunk())
        answer = harness.get()
        self.assertEqual((answer.status, answer.body, ended), (599, b"upstream_closed", ["modifier"]))
        harness.advance(10)
        self.assertTrue(answer.isComplete)

    def test_alsoWhenTheMiddlewareTakesItsTime(self) -> None:
        async def slow(request: Any, proceed: Any) -> Any:
            response = await proceed()
            await deferLater(harness.network, 7)
            return response

        async def modify(request: Any, response: Any) -> None:
            await deferLater(harness.network, 5)

        harness = self.proxyHarness(
            modifier=modify, middleware=[slow, self.catching], upstream=FakeUpstream().closeMidChunk()
        )
        answer = harness.get()
        harness.advance(7)
        self.assertEqual((answer.status, answer.isComplete), (599, True))

    def test_aModifierThatReadsIsToldWhatBroke(self) -> None:
        async def modify(request: Any, response: Any) -> Any:
            try:
                await response.body.read(1000)
            except ProxyError as error:
                return Response(203, {}, error.kind.reason.encode())

        harness = self.proxyHarness(modifier=modify, middleware=self.catching, upstream=FakeUpstream().closeMidChunk())
        answer = harness.get()
        self.assertEqual((answer.status, answer.body), (203, b"upstream_closed"))

    def test_oneThatDoesNotCatchItPassesItOn(self) -> None:
        async def modify(request: Any, response: Any) -> Any:
            await response.body.read(1000)

        harness = self.proxyHarness(modifier=modify, middleware=self.catching, upstream=FakeUpstream().closeMidChunk())
        self.assertEqual(harness.get().body, b"upstream_closed")
