"""Requests as plugins get them, made by hand; and what the package offers without importing it."""

from __future__ import annotations

import subprocess
import sys

from twisted.trial.unittest import SynchronousTestCase

import twistproxy.testing
from twistproxy.testing import ProxyHarness, makeRequest


class MakeRequestTests(SynchronousTestCase):
    def test_isWhatTheEngineGives(self) -> None:
        seen = []
        fields = {"X-A": "b", "Connection": "X-Private", "X-Private": "1", "X-Forwarded-For": "1.2.3.4"}
        with ProxyHarness(director=lambda inbound, outbound: seen.append(inbound)) as harness:
            harness.request("POST", "/a?b", fields, b"body", client="198.51.100.7")
        [real] = seen
        made = makeRequest("POST", "/a?b", fields, b"body", client="198.51.100.7")
        for name in ("method", "target", "path", "query", "scheme", "host", "headers"):
            self.assertEqual(getattr(made, name), getattr(real, name), name)
        self.assertEqual(made.client.host, real.client.host)
        for name in ("method", "target", "path", "query", "scheme", "host", "headers"):
            self.assertEqual(getattr(made.outbound, name), getattr(real.outbound, name), name)

    def test_itsBodyCanBeRead(self) -> None:
        self.assertEqual(self.successResultOf(makeRequest("POST", "/", (), b"body").body.read(10)), b"body")
        self.assertEqual(self.successResultOf(makeRequest().body.read(10)), b"")


class PackageTests(SynchronousTestCase):
    def test_allNamesAreThere(self) -> None:
        for name in twistproxy.testing.__all__:
            self.assertIsNotNone(getattr(twistproxy.testing, name))
        self.assertRaises(AttributeError, getattr, twistproxy.testing, "Nothing")

    def test_pytestImportsLittle(self) -> None:
        """It imports the plugin at every start, whatever it is to test, and before a reactor is chosen."""
        program = (
            "import pytest, sys; before = set(sys.modules); import twistproxy.testing.pytestplugin; "
            "print(sorted(each for each in set(sys.modules) - before if not each.startswith('twistproxy')))"
        )
        said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
        self.assertNotIn("twisted", said)
        self.assertNotIn("zope", said)
