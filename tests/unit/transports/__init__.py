"""Tests of L{twistproxy.transports}."""
