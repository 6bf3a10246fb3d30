"""A modifier: it sees an upstream's answer before the client does."""

from twistproxy.interfaces import IResponseModifier
from zope.interface import implementer


@implementer(IResponseModifier)
class ServedBy:
    """Tell the client which upstream answered."""

    def __init__(self, header: str = "X-Served-By") -> None:
        """
        @param header: in which it is told.
        """
        self.header = header

    def modify(self, request, response):
        """Add the header; the body streams on behind."""
        response.headers.setRawHeaders(self.header, [response.upstream.key])
