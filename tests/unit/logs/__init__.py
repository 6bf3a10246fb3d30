"""Tests of L{twistproxy.logs}."""
