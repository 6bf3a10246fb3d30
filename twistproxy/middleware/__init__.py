"""The middleware that comes with twistproxy, one idea a file."""
