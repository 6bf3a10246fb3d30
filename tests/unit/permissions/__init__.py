"""Tests of L{twistproxy.permissions}."""
