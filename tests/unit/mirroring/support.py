"""What the tests of L{twistproxy.middleware.mirror} share."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from twistproxy.middleware.mirror import Mirror
from twistproxy.testing import FakeUpstream, ProxyHarness, ProxyTestMixin
from twistproxy.testing.recorded import RecordedRequest


class MirrorTestCase(ProxyTestMixin, SynchronousTestCase):
    shadow: FakeUpstream
    mirror: Mirror

    def harness(
        self, options: str = "", shadow: FakeUpstream | list[FakeUpstream] | None = None, *, inside: Any = (), **more: Any
    ) -> ProxyHarness:
        """
        @param shadow: one or several; C{self.shadow} is the first.
        @param inside: further middleware.
        """
        shadows = shadow if isinstance(shadow, list) else [shadow or FakeUpstream(body=b"from the shadow")]
        self.shadow = shadows[0]
        middleware = [f"mirror:pool=shadow{options and ':'}{options}", *([inside] if isinstance(inside, str) else inside)]
        pools = {"shadow": shadows, **more.pop("pools", {})}
        harness = self.proxyHarness(middleware=middleware, pools=pools, **more)
        self.mirror = harness.plugin("middleware")
        return harness

    @property
    def copies(self) -> list[RecordedRequest]:
        return self.shadow.requests

    def assertCounts(self, **counts: Any) -> None:
        """The figures; what is not named is 0."""
        found = {name: value for name, value in self.mirror.snapshot().items() if value and name != "pool"}
        self.assertEqual(found, counts)
