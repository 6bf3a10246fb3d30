"""A director: each tenant has a pool of its own, named by the first label of the host name."""

from zope.interface import implementer

from twistproxy import Response
from twistproxy.interfaces import IDirector


@implementer(IDirector)
class Tenant:
    """Send each tenant's requests to the tenant's pool, and tell upstreams whose they are."""

    def __init__(self, known: list[str], header: str = "X-Tenant") -> None:
        """
        @param known: the tenants; each is a pool's name, too.
        @param header: tells the upstream which one.
        """
        self.known = frozenset(known)
        self.header = header

    def direct(self, inbound, outbound):
        tenant = inbound.host.partition(".")[0].lower()
        if tenant not in self.known:
            return Response(404, {"Content-Type": "text/plain"}, b"nobody of that name lives here\n")
        outbound.headers.setRawHeaders(self.header, [tenant])
        return tenant
