"""A proxy that keeps good answers, and loses its upstream."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.testing import FakeUpstream, ProxyHarness
from twistproxy.testing.recorded import Answer

STALE = "fallback:stale=10m"
BREAKER = "circuit-breaker:errors=50%:volume=2:open=10s:recovery=0s"


class StaleTestCase(SynchronousTestCase):
    """A proxy that keeps good answers.

    @ivar harness: of it.
    """

    def proxy(self, upstream: FakeUpstream | None = None, middleware: Any = STALE, **options: Any) -> ProxyHarness:
        self.harness = ProxyHarness(upstream=upstream or FakeUpstream(body=b"good"), middleware=middleware, **options)
        self.addCleanup(self.harness.close)
        return self.harness

    def breaks(self) -> None:
        """The upstream is gone."""
        self.harness.upstream.refuse()
        for each in self.harness.upstream.peers:
            each.close()
        self.harness.pump()

    def get(self, path: str = "/", **headers: str) -> Answer:
        """Names of headers have underscores here."""
        return self.harness.get(path, {name.replace("_", "-"): value for name, value in headers.items()})

    def assertStale(self, answer: Answer, body: bytes = b"good", status: int = 200) -> None:
        """It is an earlier one."""
        self.assertEqual((answer.status, answer.body), (status, body))
        self.assertTrue(answer.headers.get("Cache-Status", "").startswith("twistproxy; hit; ttl="), answer.headers)

    def assertBroken(self, answer: Answer, status: int = 502) -> None:
        """It is what failed."""
        self.assertEqual(answer.status, status)
        self.assertFalse(answer.headers.hasHeader("Cache-Status"))

    @property
    def figures(self) -> dict[str, Any]:
        """Of what is kept."""
        figures: dict[str, Any] = self.harness.plugin("middleware").stale.snapshot()
        return figures
