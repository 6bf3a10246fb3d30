"""An error handler: what is wrong with our servers is told in the words of the house."""

from html import escape

from zope.interface import implementer

from twistproxy import Response
from twistproxy.errors import Fault
from twistproxy.interfaces import IErrorHandler
from twistproxy.plugin import Duration

PAGE = """<!doctype html>
<title>{name}</title>
<h1>{name} is taking a break</h1>
<p>We know about it. Tell us this number if you write to us: {number}</p>
"""


@implementer(IErrorHandler)
class Friendly:
    """Answer failures of upstreams with a page; leave all others to whoever comes next."""

    def __init__(self, name: str = "This site", retryAfter: Duration = 30.0) -> None:
        """
        @param name: of the site, for the page.
        @param retryAfter: when to come back.
        """
        self.name = name
        self.retryAfter = retryAfter

    def handle(self, request, error):
        if error.kind.fault is not Fault.UPSTREAM:
            return None
        body = PAGE.format(name=escape(self.name), number=request.id)
        headers = {"Content-Type": "text/html; charset=utf-8", "Retry-After": f"{self.retryAfter:.0f}"}
        return Response(error.kind.status, headers, body.encode())
