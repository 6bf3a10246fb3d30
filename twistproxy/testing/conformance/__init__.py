"""What every plugin has to stand: L{twistproxy.testing.checkPlugin} and L{twistproxy.testing.checkBalancer}."""
