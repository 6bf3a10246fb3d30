"""Copies of requests for a second pool: which, of what, and how they are sent. See L{twistproxy.middleware.mirror}."""
