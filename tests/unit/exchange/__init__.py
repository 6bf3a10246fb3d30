"""Tests of L{twistproxy.exchange}."""
