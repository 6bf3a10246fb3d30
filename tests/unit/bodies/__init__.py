"""Tests of L{twistproxy.bodies}."""
