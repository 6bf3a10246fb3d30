"""Upstreams that are found rather than written down."""
