"""The balancers that come with twistproxy, one idea a module. Each is built by its tag, as anybody's plugin is."""
