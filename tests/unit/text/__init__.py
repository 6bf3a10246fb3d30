"""Tests of L{twistproxy.text}."""
