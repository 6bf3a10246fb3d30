"""Tests of L{twistproxy.tunnels}."""
