"""A balancer: it picks one of the upstreams that may be asked."""

from twistproxy.interfaces import IBalancer
from zope.interface import implementer


@implementer(IBalancer)
class First:
    """Pick the first upstream that is up; the others stand by."""

    def pick(self, request, candidates):
        """The first, in the order of the configuration."""
        return candidates[0] if candidates else None

    def report(self, upstream, outcome):
        """How an attempt ended: nothing is learnt from it."""

    def upstreamsChanged(self, upstreams):
        """Who is there: nothing is kept of it."""
