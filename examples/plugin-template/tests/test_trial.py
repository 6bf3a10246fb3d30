"""The same with trial: a mixin makes harnesses, and closes them at the end of each test."""

from twisted.trial.unittest import SynchronousTestCase
from twistproxy.testing import FakeUpstream, ProxyTestMixin

from twistproxy_template.modifier import ServedBy


class ServedByTests(ProxyTestMixin, SynchronousTestCase):
    def test_streams(self):
        upstream = FakeUpstream().events(["one", "two"], every=10)
        harness = self.proxyHarness(modifier=ServedBy("X-Upstream"), upstream=upstream)
        answer = harness.get("/")
        self.assertEqual(answer.headers.get("X-Upstream"), upstream.url)
        harness.advance(10)
        self.assertEqual(answer.body, b"data: one\n\n")
        harness.advance(10)
        self.assertTrue(answer.isComplete)
