"""Tests of L{twistproxy.calling}."""
