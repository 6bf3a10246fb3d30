"""Once an upstream's answer was taken, its failure is final, whatever a retry policy says: the client may have the head."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase

from twistproxy.messages import Commit, Retry
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
