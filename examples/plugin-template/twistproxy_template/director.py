"""A director: it sees a request before an upstream is chosen."""

from pathlib import Path

from twistproxy import Response
from twistproxy.interfaces import IDirector
from twistproxy.plugin import Duration
from zope.interface import implementer


@implementer(IDirector)
class Maintenance:
    """Answer 503 with the contents of a file as long as that file is there."""

    def __init__(self, file: Path, retry: Duration = 60.0) -> None:
        """
        @param file: says what is going on.
        @param retry: when clients shall come again.
        """
        self.file = file
        self.retry = f"{retry:.0f}"

    def direct(self, inbound, outbound):
        """Answer, or let the request go on."""
        if self.file.exists():
            headers = {"Retry-After": self.retry, "Content-Type": "text/plain"}
            return Response(503, headers, self.file.read_bytes())
        return None
