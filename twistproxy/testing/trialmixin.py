"""The harness for tests that trial runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from twistproxy.testing.harness import ProxyHarness

if TYPE_CHECKING:
    from twisted.trial.unittest import SynchronousTestCase as _TestCase
else:
    _TestCase = object


class ProxyTestMixin(_TestCase):
    """Makes harnesses that are closed at the end of the test; goes before trial's C{TestCase} or C{SynchronousTestCase}.

    The engine logs what plugins raise, and under trial a logged error fails the test. Here the harness knows of it:
    what a test takes out of C{errors} is forgiven, the rest fails the test, once::

        class TenantTests(ProxyTestMixin, SynchronousTestCase):
            def test_unknownTenants(self):
                harness = self.proxyHarness(director=Tenant())
                self.assertEqual(harness.get("/").status, 500)
                self.assertIsInstance(harness.errors.pop(), KeyError)
    """

    def proxyHarness(self, **options: Any) -> ProxyHarness:
        """A harness; see L{ProxyHarness} for what it takes."""
        harness = ProxyHarness(**options)
        self.addCleanup(self._closeHarness, harness)
        return harness

    def _closeHarness(self, harness: ProxyHarness) -> None:
        try:
            harness.close()
        finally:
            if harness.seen:
                self.flushLoggedErrors(*harness.seen)  # type: ignore[no-untyped-call]
